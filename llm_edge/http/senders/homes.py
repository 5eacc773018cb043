"""What belongs to one event loop: made at the first call there, closed in order when the loop ends."""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Generic, Protocol, TypeVar

MUCH = 1024 * 1024
"""Unread bytes at which the other side is asked to wait."""


class Home(Protocol):
    """The connections of one loop."""

    async def aclose(self) -> None:
        """Close them, on their loop."""
        ...

    def forget(self) -> None:
        """Let go of them without a sound; their loop runs no more."""
        ...


HomeT = TypeVar("HomeT", bound=Home)


class Homes(Generic[HomeT]):
    """One home for each loop."""

    def __init__(self, make: Callable[[], HomeT]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._homes: dict[asyncio.AbstractEventLoop, tuple[HomeT, AsyncGenerator[None, None]]] = {}

    def known(self) -> HomeT | None:
        """The home of the running loop, where there is one already."""
        known = self._homes.get(asyncio.get_running_loop())
        return None if known is None else known[0]

    async def here(self) -> HomeT:
        """The home of the running loop."""
        return self.known() or await self._settle(asyncio.get_running_loop())

    async def _settle(self, loop: asyncio.AbstractEventLoop) -> HomeT:
        home = self._make()
        # A loop that ends in order closes the generators it knows, and with this one the home.
        keeper = self._keep(loop, home)
        self.leave()
        with self._lock:
            self._homes[loop] = (home, keeper)
        await keeper.__anext__()
        return home

    def leave(self) -> None:
        """Let go of what belonged to loops that are closed."""
        with self._lock:
            gone = [self._homes.pop(other) for other in list(self._homes) if other.is_closed()]
        for old, _ in gone:
            old.forget()

    async def _keep(self, loop: asyncio.AbstractEventLoop, home: HomeT) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with self._lock:
                if loop in self._homes and self._homes[loop][0] is home:
                    del self._homes[loop]
            await home.aclose()

    async def aclose(self) -> None:
        """Close every home; a later call settles anew."""
        here = asyncio.get_running_loop()
        with self._lock:
            homes, self._homes = self._homes, {}
        for loop, (home, keeper) in homes.items():
            if loop is here:
                await keeper.aclose()
            elif loop.is_running():
                asyncio.run_coroutine_threadsafe(_end(keeper), loop)
            else:
                home.forget()


async def _end(keeper: AsyncGenerator[None, None]) -> None:
    await keeper.aclose()


def let_go(transport: asyncio.BaseTransport | None) -> None:
    """Close a connection at once, even when its loop is closed."""
    if transport is None:
        return
    try:
        transport.abort()  # type: ignore[attr-defined]  # the transports of connections have it, their base class not
    except RuntimeError:
        # Its loop is closed and will never make the last call that frees the socket: made here in its place.
        plain = getattr(getattr(transport, "_ssl_protocol", None), "_transport", None) or transport
        last = getattr(plain, "_call_connection_lost", None)
        if last is not None:
            with contextlib.suppress(RuntimeError):  # TLS would still have told its own protocol, on the loop
                last(None)


async def within(loop: asyncio.AbstractEventLoop, waiter: asyncio.Future[None], seconds: float | None) -> None:
    """Wait for it so long; raises TimeoutError."""
    if seconds is None:
        await waiter
        return
    timer = loop.call_later(seconds, _expire, waiter)
    try:
        await waiter
    finally:
        timer.cancel()


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def unread(transport: asyncio.Transport) -> bool:
    """Whether the other side has said something, or hung up, that nobody has read."""
    return saying(transport)()


def saying(transport: asyncio.Transport) -> Callable[[], bool]:
    """Tells of an open connection whether the other side has said something, or hung up, that nobody has read."""
    # The loop may not have had its turn since the server hung up, so the socket itself is asked.
    sock: socket.socket | None = transport.get_extra_info("socket")
    if sock is None or sock.fileno() < 0:
        return lambda: True
    if sys.platform == "win32":
        return lambda: bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return lambda: bool(poll.poll(0))
