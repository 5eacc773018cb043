"""One file a layer, each `async def (request, handler)`. None calls sideways or waits but by clock, signal or store."""
