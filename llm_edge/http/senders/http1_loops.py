"""The httptools engine for event loops: the parser is fed where bytes arrive; a cancelled call ends its connection."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable
from typing import cast

from ...errors import NetworkFailed
from ...providers.base import Wire
from ..sender import Answer, Patience
from .faults import failed, redrawn
from .homes import MUCH, Homes, let_go, saying, within
from .http1 import Places, Reading, Rest, Way, written
from .names import racing
from .requests import readable
from .settings import IDLE, HttpSettings


class LoopHttp1:
    """The httptools engine for event loops: connections of its own for each loop."""

    name = "httptools"

    def __init__(self, settings: HttpSettings) -> None:
        self._places = Places(settings)
        self._homes = Homes(lambda: _Lines(settings.pool, self._places))
        self._rest = Rest(settings, blocking=False)

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        place = self._places.of(wire.url)
        data = written(wire, place)
        if data is None:
            return await self._rest(wire, patience)
        lines = self._homes.known() or await self._homes.here()
        line = lines.rested(place.way) or await lines.take(place.way, patience)
        while True:
            used, reading = line.used, Reading()
            try:
                await line.ask(data, reading)
                status, headers = reading.status, readable(reading.raw)
                if not reading.over:
                    return Answer(status, headers, LoopSource(line, reading))
                line.leave(reading)
                return Answer(status, headers, reading, at_once=reading.taken)
            except NetworkFailed:
                line.close()
                if not used or reading.heard:
                    raise
            except BaseException:
                line.close()
                raise
            # The server had hung up before the request reached it.
            line = await lines.take(place.way, patience, fresh=True)

    def leave(self) -> None:
        self._homes.leave()
        self._rest.leave()

    async def aclose(self) -> None:
        await self._homes.aclose()
        await self._rest.aclose()


class _Line(asyncio.Protocol):
    """One connection."""

    def __init__(self, lines: _Lines, way: Way) -> None:
        self._lines, self.way = lines, way
        self._loop = asyncio.get_running_loop()
        self._reading: Reading | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._fault: NetworkFailed | None = None
        self._said: Callable[[], bool] = lambda: True
        self._ended = self._paused = False
        self.now = self._loop.time
        self.used = False
        self.since = 0.0

    # ---- called by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = connected = cast("asyncio.Transport", transport)  # a stream protocol is given nothing else
        self._said = saying(connected)

    def data_received(self, data: bytes) -> None:
        reading = self._reading
        if reading is None:
            self._ended = True  # nobody asked for it, so it is never taken for the next answer
            self.abort()
            return
        try:
            reading.feed(data)
        except NetworkFailed as error:
            self._fault, self._ended = error, True
        if reading.held > MUCH and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._end(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)

    def _end(self, error: Exception | None) -> None:
        if not self._ended and self._reading is not None and not self._reading.over:
            broken = None if error is None else redrawn(error, kind="ReadError")
            self._fault = broken or self._reading.ended()
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # ---- called by the call

    def alive(self) -> bool:
        """Nobody has hung up, nor said what was not asked for."""
        transport = self._transport
        return not (self._ended or transport is None or transport.is_closing() or self._said())

    async def ask(self, data: bytes, reading: Reading) -> None:
        """Send a request, and read up to the end of the answer's head."""
        transport = self._transport
        if self._ended or transport is None or transport.is_closing():
            raise failed("WriteError")
        self._reading, self._fault = reading, None
        transport.write(data)
        while not reading.head:
            await self.more()

    async def more(self) -> None:
        """Wait for more of the answer."""
        self._fails()
        if self._ended:
            raise failed("RemoteProtocolError")
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        self._fails()

    def _fails(self) -> None:
        try:
            if self._fault is not None:
                raise self._fault
        finally:
            self._fault = None  # an error that its own traceback leads to waits for the garbage collector

    def leave(self, reading: Reading) -> None:
        """The call that used it is over, or goes."""
        if not reading.over or not reading.keep:
            self.close()
            return
        self._reading = None
        self.used = True
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        self._lines.give(self)

    def close(self) -> None:
        self._reading = None
        self.abort()
        self._lines.lost()

    def abort(self) -> None:
        # Not close(): that would first wait for a slow reader, or for TLS to say good-bye.
        let_go(self._transport)


class _Lines:
    """The connections of one loop: those at rest, and how many there are in all."""

    def __init__(self, most: int, places: Places) -> None:
        self._most, self._places = most, places
        self._resting: dict[Way, list[_Line]] = {}
        self._known: weakref.WeakSet[_Line] = weakref.WeakSet()
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._count = 0
        self._closed = False

    def rested(self, way: Way) -> _Line | None:
        """A connection that rests and can be used; those that cannot are closed."""
        resting = self._resting.get(way)
        while resting:
            line = resting.pop()
            if line.alive() and line.since > line.now() - IDLE:
                return line
            line.close()
        return None

    async def take(self, way: Way, patience: Patience, *, fresh: bool = False) -> _Line:
        """A connection that nobody else uses; a new one when none rests, once there is room for it."""
        loop = asyncio.get_running_loop()
        while True:
            line = None if fresh else self.rested(way)
            if line is not None:
                return line
            if self._count < self._most:
                break
            spare = next((lines.pop(0) for lines in self._resting.values() if lines), None)
            if spare is not None:
                spare.close()
                break
            await self._turn(loop, patience)
        self._count += 1
        try:
            return await self._connect(loop, way, patience)
        except BaseException:
            self.lost()
            raise

    async def _turn(self, loop: asyncio.AbstractEventLoop, patience: Patience) -> None:
        waiter: asyncio.Future[None] = loop.create_future()
        self._waiters.append(waiter)
        try:
            await within(loop, waiter, patience.remaining())
        except TimeoutError:
            raise failed("PoolTimeout") from None
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                self._next()  # the turn was ours, and we leave
            raise
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _next(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    async def _connect(self, loop: asyncio.AbstractEventLoop, way: Way, patience: Patience) -> _Line:
        context = self._places.tls(way)
        try:
            async with asyncio.timeout(patience.connect):
                _, line = await loop.create_connection(
                    lambda: _Line(self, way), way.host, way.port,
                    ssl=context, server_hostname=way.host if context else None,
                    **racing(loop, way.host),
                )  # fmt: skip
        except TimeoutError:
            raise failed("ConnectTimeout") from None
        except (OSError, ValueError, RuntimeError) as error:  # the last: no thread can be had to ask for a name
            raise redrawn(error, kind="ConnectError") from None
        self._known.add(line)
        return line

    def give(self, line: _Line) -> None:
        """It rests until somebody takes it."""
        if self._closed:
            line.close()
            return
        line.since = line.now()
        self._resting.setdefault(line.way, []).append(line)
        if self._waiters:
            self._next()

    def lost(self) -> None:
        """One of them is gone."""
        self._count -= 1
        self._next()

    async def aclose(self) -> None:
        """Close them all."""
        self._closed = True
        for line in list(self._known):
            line.abort()
        self._resting.clear()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(failed("NetworkError", "the client was closed"))

    def forget(self) -> None:
        """Let go of them without a sound; their loop runs no more."""
        for line in list(self._known):
            line.abort()


class LoopSource:
    """The bytes of one answer, awaited on its loop."""

    __slots__ = ("_line", "_reading")

    def __init__(self, line: _Line, reading: Reading) -> None:
        self._line: _Line | None = line
        self._reading = reading

    async def __anext__(self) -> bytes:
        reading, line = self._reading, self._line
        if line is not None and not reading.chunks:
            try:
                while not reading.chunks and not reading.over:
                    await line.more()
            except BaseException:
                self._let_go()
                raise
        if reading.over:
            self._let_go()
        data = reading.taken()
        if data:
            return data
        raise StopAsyncIteration

    def _let_go(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.leave(self._reading)

    async def aclose(self) -> None:
        closes = self._line is not None
        self._let_go()
        if closes:
            await asyncio.sleep(0)  # the connection goes at the loop's next turn

    def __del__(self) -> None:
        if self._line is not None:
            self._let_go()
