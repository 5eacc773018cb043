"""
The httptools engine for threads: sockets read and written by the thread that asks.

The sockets never block by themselves; a thread waits in `poll`, with the time that is left. A timeout of the socket's
own costs system calls each time it is set and each time it is minded, and at each of them another thread takes the
interpreter over.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time

from ...providers.base import Wire
from ..sender import Answer, Patience
from .busy import Busy, Ready, ready
from .faults import failed, redrawn
from .http1 import Places, Reading, Rest, Way, written
from .opening import opened, shut
from .recall import recalled
from .requests import readable
from .settings import IDLE, HttpSettings

_LUMP = 64 * 1024


class BlockingHttp1:
    """The httptools engine for threads: its connections serve all of them."""

    name = "httptools"

    def __init__(self, settings: HttpSettings) -> None:
        self._places = Places(settings)
        self._lines = _Lines(settings.pool, self._places)
        self._rest = Rest(settings, blocking=True)

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        place = self._places.of(wire.url)
        data = written(wire, place)
        if data is None:
            return await self._rest(wire, patience)
        line = self._lines.take(place.way, patience)
        while True:
            used = line.used
            try:
                reading = line.ask(data, patience)
                status, headers = reading.status, readable(reading.raw)
                if not reading.over:
                    return Answer(status, headers, BlockingSource(line, reading, patience))
                line.leave(reading)
                return Answer(status, headers, reading, at_once=reading.taken)
            except _Unanswered as error:
                line.close()
                fault, final = error.fault, not used or error.heard
            except BaseException:
                line.close()
                raise
            try:
                if final:
                    raise fault
            finally:
                del fault  # an error that its own traceback leads to waits for the garbage collector
            # The server had hung up before the request reached it.
            line = self._lines.take(place.way, patience, fresh=True)

    async def aclose(self) -> None:
        self._lines.close()
        await self._rest.aclose()


class _Unanswered(Exception):
    """The connection broke before the head of the answer was in."""

    def __init__(self, fault: Exception, heard: bool) -> None:
        super().__init__()
        self.fault, self.heard = fault, heard


class _Line:
    """One connection."""

    __slots__ = ("_busy", "_lines", "_said", "_secure", "since", "sock", "used", "way")

    def __init__(self, lines: _Lines, way: Way, sock: socket.socket) -> None:
        sock.setblocking(False)
        self._lines, self.way, self.sock = lines, way, sock
        self._secure = isinstance(sock, ssl.SSLSocket)
        self._said = ready(sock)
        self._busy = Busy(self._said, lines.looking)
        self.used = False
        self.since = 0.0

    def alive(self) -> bool:
        """Nobody has hung up, nor said what was not asked for."""
        return not self._said(0)

    def ask(self, data: bytes, patience: Patience) -> Reading:
        """Send a request, and read up to the end of the answer's head."""
        broken: OSError | None = None
        try:
            self._send(data, patience)
        except OSError as error:
            broken = error  # a server that refuses a long request may have said why
        reading = Reading()
        try:
            while not reading.head:
                self.read(reading, patience)
            return reading
        except OSError as error:
            fault = redrawn(broken or error, kind="ReadError" if broken is None else "WriteError")
            raise _Unanswered(fault, reading.heard) from None
        except _HungUp as error:
            raise _Unanswered(error.fault, reading.heard) from None

    def _send(self, data: bytes, patience: Patience) -> None:
        left: bytes | memoryview = data
        while left:
            try:
                sent = self.sock.send(left)
                if sent == len(left):
                    return
                left = memoryview(left)[sent:]
            except (BlockingIOError, ssl.SSLWantWriteError):
                _wait(ready(self.sock, write=True), patience, "WriteTimeout")
            except ssl.SSLWantReadError:
                _wait(self._said, patience, "WriteTimeout")

    def read(self, reading: Reading, patience: Patience) -> None:
        """Wait for more of the answer."""
        recall = patience.recall
        said = self._said if reading.heard else self._busy
        if recall is None:
            data = self._some(said, patience)
        else:
            data = recalled(recall, self.sock, lambda: self._some(said, patience))
        if data:
            reading.feed(data)
        else:
            fault = reading.ended()
            if fault is not None:
                try:
                    raise _HungUp(fault)
                finally:
                    del fault  # as above

    def _some(self, said: Ready, patience: Patience) -> bytes:
        if not self._secure:  # what TLS has read already, `poll` does not know of
            _wait(said, patience, "ReadTimeout")
        while True:
            try:
                return self.sock.recv(_LUMP)
            except (BlockingIOError, ssl.SSLWantReadError):
                _wait(self._said, patience, "ReadTimeout")
            except ssl.SSLWantWriteError:
                _wait(ready(self.sock, write=True), patience, "ReadTimeout")

    def leave(self, reading: Reading) -> None:
        """The call that used it is over, or goes."""
        if reading.over and reading.keep:
            self.used = True
            self._lines.give(self)
        else:
            self.close()

    def close(self) -> None:
        self._lines.lost(self)


class _HungUp(Exception):
    def __init__(self, fault: Exception) -> None:
        super().__init__()
        self.fault = fault


def _left(patience: Patience, kind: str) -> float | None:
    seconds = patience.remaining()
    if seconds is not None and seconds <= 0:
        raise failed(kind)
    return seconds


def _wait(some: Ready, patience: Patience, kind: str) -> None:
    seconds = patience.remaining()
    if seconds == 0 or not some(seconds):
        raise failed(kind)


class _Lines:
    """The connections: those at rest, and how many there are in all."""

    def __init__(self, most: int, places: Places) -> None:
        self._most, self._places = most, places
        self.looking = threading.Lock()
        self._lock = threading.Lock()  # taken by itself where nobody has to wait: a condition takes it the long way
        self._change = threading.Condition(self._lock)
        self._resting: dict[Way, list[_Line]] = {}
        self._count = self._waiting = 0
        self._closed = False

    def take(self, way: Way, patience: Patience, *, fresh: bool = False) -> _Line:
        """A connection that nobody else uses; a new one when none rests, once there is room for it."""
        while True:
            line, spare = self._claim(way, patience, fresh)
            if spare is not None:
                shut(spare.sock)  # the new one takes its place
            if line is None:
                break
            if line.since > time.monotonic() - IDLE and line.alive():
                return line
            line.close()
        try:
            return _Line(self, way, opened(way, self._places.tls(way), patience))
        except BaseException:
            self._drop()
            raise

    def _claim(self, way: Way, patience: Patience, fresh: bool) -> tuple[_Line | None, _Line | None]:
        """A line at rest; or none, and with it room for a new one, if need be in place of another at rest."""
        with self._lock:
            while True:
                resting = self._resting.get(way)
                if resting and not fresh:
                    return resting.pop(), None
                if self._count < self._most:
                    self._count += 1
                    return None, None
                for lines in self._resting.values():
                    if lines:
                        return None, lines.pop(0)
                self._waiting += 1
                try:
                    free = self._change.wait(_left(patience, "PoolTimeout"))
                finally:
                    self._waiting -= 1
                if not free:
                    raise failed("PoolTimeout")

    def give(self, line: _Line) -> None:
        """It rests until somebody takes it."""
        line.since = time.monotonic()
        with self._lock:
            if not self._closed:
                self._resting.setdefault(line.way, []).append(line)
                if self._waiting:
                    self._change.notify()
                return
        line.close()

    def lost(self, line: _Line) -> None:
        """It is of no use any more."""
        shut(line.sock)
        self._drop()

    def _drop(self) -> None:
        with self._lock:
            self._count -= 1
            if self._waiting:
                self._change.notify()

    def close(self) -> None:
        """Close those at rest now, those in use as soon as they would rest."""
        with self._lock:
            self._closed = True
            lines = [line for resting in self._resting.values() for line in resting]
            self._resting.clear()
        for line in lines:
            line.close()


class BlockingSource:
    """The bytes of one answer, read by the thread that asks."""

    __slots__ = ("_line", "_patience", "_reading")

    def __init__(self, line: _Line, reading: Reading, patience: Patience) -> None:
        self._line: _Line | None = line
        self._reading, self._patience = reading, patience

    async def __anext__(self) -> bytes:
        reading, line = self._reading, self._line
        if line is not None and not reading.chunks:
            fault: Exception | None = None
            try:
                while not reading.chunks and not reading.over:
                    line.read(reading, self._patience)
            except OSError as error:
                fault = redrawn(error, kind="ReadError")
            except _HungUp as error:
                fault = error.fault
            except BaseException:
                self._let_go()
                raise
            if reading.over or fault is not None:
                self._let_go()
            if fault is not None:
                raise fault
        data = reading.taken()
        if data:
            return data
        raise StopAsyncIteration

    def _let_go(self) -> None:
        line, self._line = self._line, None
        if line is not None:
            line.leave(self._reading)

    async def aclose(self) -> None:
        self._let_go()

    def __del__(self) -> None:
        if self._line is not None:
            self._let_go()
