"""
aiohttp's parts, each told one thing more.

A connection (`Line`) knows whether it was used before and whether a byte of the answer has come:
only so can a request that met a connection already closed be sent once more without risk. Bytes
nobody asked for end the connection, so that they are never taken for the next answer. Closing
means at once: not after a slow reader has read on, nor after TLS has said good-bye.
"""

from __future__ import annotations

import asyncio
import select
import sys
import weakref
from functools import partial

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.tracing import Trace

from .homes import let_go
from .loops import unread


class Line(ResponseHandler):
    """One connection."""

    used = False
    """It has carried a call before this one."""
    heard = False
    """A byte of the answer has come."""
    idle = False
    """No call uses it."""
    _poll: select.poll | None = None

    def begin(self) -> None:
        """A request was written; its answer comes next."""
        self.idle, self.heard = False, False

    def rest(self) -> None:
        """The call that used it is over."""
        self.used, self.idle = True, True

    def is_connected(self) -> bool:
        # What was said while it was idle was not meant for the next call; nor is a line any good that was hung up.
        transport = self.transport
        if transport is None or transport.is_closing():
            return False
        return not (self.idle and self._news(transport))

    def _news(self, transport: asyncio.Transport) -> bool:
        if sys.platform == "win32":
            return unread(transport)
        if self._poll is None:
            sock = transport.get_extra_info("socket")
            if sock is None:
                return False
            self._poll = select.poll()  # made once: this is asked before each call
            self._poll.register(sock, select.POLLIN)
        return bool(self._poll.poll(0))

    def data_received(self, data: bytes) -> None:
        if not data:
            super().data_received(data)  # aiohttp's own call, to go on with what it has
        elif self.idle:
            self.close()
        else:
            self.heard = True
            super().data_received(data)
            self._rested()

    def _rested(self) -> None:
        if self.idle and self.should_close:
            self.close()  # more came than the answer

    def connection_lost(self, exc: BaseException | None) -> None:
        payload = self._payload
        if exc is not None and payload is not None and not payload.is_eof():
            # Without a length, aiohttp would take a broken connection for the end of the body.
            payload.set_exception(aiohttp.ClientOSError(*exc.args))
        super().connection_lost(exc)

    def close(self) -> None:
        transport = self.transport
        super().close()
        if transport is not None:
            transport.abort()


class Lines(aiohttp.TCPConnector):
    """The connections of one loop."""

    def __init__(self, *, limit: int, idle: float) -> None:
        # The system's look-up of names, as the other engines have it, whatever else is installed.
        super().__init__(  # pyright: ignore[reportUnknownMemberType]  # a parameter we do not use is typed in part
            limit=limit, keepalive_timeout=idle, resolver=aiohttp.ThreadedResolver()
        )
        self._known: weakref.WeakSet[Line] = weakref.WeakSet()
        self._factory = partial(self._line, self._loop)

    def _line(self, loop: asyncio.AbstractEventLoop) -> ResponseHandler:
        line = Line(loop)
        self._known.add(line)
        return line

    async def _create_connection(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        # The limit is for all of it; aiohttp has none for the look-up of a name, and begins anew at each address.
        async with asyncio.timeout(timeout.sock_connect):
            return await super()._create_connection(req, traces, timeout)

    def forget(self) -> None:
        """Let go of every connection without a loop: theirs is closed."""
        for line in list(self._known):
            let_go(line.transport)

    def __del__(self, _warnings: object = None) -> None:
        """Nothing: who forgets to close is served by `Homes`, not by a warning."""


class Unanswered(Exception):
    """The connection broke before the head of the answer was in."""

    def __init__(self, error: Exception, *, stale: bool) -> None:
        super().__init__()
        self.error = error
        self.stale = stale
        """It was closed before the request reached it, so the request may be sent once more."""


class Answering(aiohttp.ClientResponse):
    """An answer that says how its connection failed, and leaves no task behind."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        line = connection.protocol if isinstance(connection.protocol, Line) else None
        if line is not None:
            line.begin()
            connection.add_callback(line.rest)
        try:
            return await super().start(connection)
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            # Not left to aiohttp, which sends a GET again on any connection and a POST on none.
            fault = Unanswered(error, stale=line is not None and line.used and not line.heard)
        except BaseException:
            await self.settled()
            raise
        await self.settled()
        raise fault

    async def settled(self) -> None:
        """Stop writing what is left of the request, and give that a moment to end."""
        writer = self._writer
        if writer is not None:
            writer.cancel()
            await asyncio.sleep(0)


class _Quiet:
    """Stands before aiohttp's class: its subclasses warn when made, its sessions when not closed."""

    def __init_subclass__(cls) -> None:
        """Nothing."""

    def __del__(self, _warnings: object = None) -> None:
        """Nothing: `Homes` closes what is left open."""


class Session(_Quiet, aiohttp.ClientSession):
    """What requests are made with."""
