"""The public transports for httpx2, and so for every SDK of today: `httpx2.Client(transport=EdgeTransport())`."""

from __future__ import annotations

import httpx2

from .client import EdgeClient, given_or_new
from .http._httpx2 import AsyncTransport, Transport
from .http.senders.transport import AsyncTransportSender, TransportSender
from .runtime import drive


class EdgeTransport(Transport):
    """
    A transport for `httpx2.Client`: every call goes through `edge`, or a new `EdgeClient()` when none is given.

    A `transport` given here becomes the last hop, in place of llm_edge's own engine: a proxy's, a `MockTransport`,
    one with a client certificate. It is closed with this one.
    """

    def __init__(self, edge: EdgeClient | None = None, *, transport: httpx2.BaseTransport | None = None) -> None:
        self._own, self._edge = edge is None, given_or_new(edge)
        self._given = None if transport is None else TransportSender(transport)
        self._edge.face_opened("sync")
        super().__init__(self._edge.front("sync", self._given))
        self._open = True

    def close(self) -> None:
        """Close the given transport, the client made here, and idle connections nobody else uses."""
        if not self._open:
            return
        self._open = False
        if self._given is not None:
            drive(self._given.aclose())
        drive(self._edge.face_closed("sync"))
        if self._own:
            self._edge.close()


class AsyncEdgeTransport(AsyncTransport):
    """The same for `httpx2.AsyncClient`."""

    def __init__(self, edge: EdgeClient | None = None, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._own, self._edge = edge is None, given_or_new(edge)
        self._given = None if transport is None else AsyncTransportSender(transport)
        self._edge.face_opened("async")
        super().__init__(self._edge.front("async", self._given))
        self._open = True

    async def aclose(self) -> None:
        """Close the given transport, the client made here, and idle connections nobody else uses."""
        if not self._open:
            return
        self._open = False
        if self._given is not None:
            await self._given.aclose()
        await self._edge.face_closed("async")
        if self._own:
            await self._edge.aclose()
