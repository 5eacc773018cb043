"""One file a layer, each `async def (request, handler)`. Never calls sideways; waits only through clock, signal, store and handler."""
