"""
A pytest plugin for suites that are not ours: puts llm_edge under every client, with all of its layers off.

What the client's own transport is stays where it is, for tests that look at it; only the calls
take the way through an `EdgeTransport` whose last hop is that very transport.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import httpx2

from llm_edge import EdgeClient

EDGE = EdgeClient(
    cache={"policy": "off"}, retry={"attempts": 1}, breaker={"enabled": False}, telemetry={"traces": False}, env={}
)


def under(client: Any, kind: type[Any], wrap: Callable[[Any], Any]) -> None:
    """Every transport this kind of client chooses is wrapped once; what a test plays instead of one is left alone."""
    chosen = client._transport_for_url
    wrapped: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def choose(self: Any, url: Any) -> Any:
        transport = chosen(self, url)
        if not isinstance(transport, kind):
            return transport
        if transport not in wrapped:
            wrapped[transport] = wrap(transport)
        return wrapped[transport]

    client._transport_for_url = choose


def put_under(library: Any, edges: Any) -> None:
    # Loaded now: later a test may have put something of its own in place of the classes they are made of.
    edge, async_edge = edges.EdgeTransport, edges.AsyncEdgeTransport
    under(library.Client, library.BaseTransport, lambda given: edge(EDGE, transport=given))
    under(library.AsyncClient, library.AsyncBaseTransport, lambda given: async_edge(EDGE, transport=given))


def install() -> None:
    import llm_edge

    put_under(httpx2, llm_edge)
    import httpx

    if httpx is not httpx2:  # one of the suites has the older name mean the newer library
        import llm_edge.httpx

        put_under(httpx, llm_edge.httpx)


install()
