"""
Connections on an asyncio loop for httpcore: plain transports, one timer per wait that really waits.

About half the cost of the general backend, and every connection is known, so that those of a
loop that was closed without warning can still be let go without a sound.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import weakref
from collections import deque
from collections.abc import Iterable
from typing import Any, cast

import httpcore2

from .homes import MUCH, let_go, unread, within
from .names import all_public, racing
from .waits import Together, Waits, left, left_to_connect


class PatientLoop(httpcore2.AsyncNetworkBackend):
    """Opens connections on the running loop and remembers them."""

    def __init__(self, *, public: bool = False) -> None:
        self._public = public
        self._lines: weakref.WeakSet[_Line] = weakref.WeakSet()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        loop = asyncio.get_running_loop()
        seconds = left_to_connect(timeout)
        if isinstance(timeout, Waits):
            timeout.fresh = True
        until = None if seconds is None else loop.time() + seconds
        try:
            async with asyncio.timeout_at(until):
                line = await self._connected(loop, host, port)
        except TimeoutError:
            raise httpcore2.ConnectTimeout from None
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(error) from error
        self._lines.add(line)
        return LoopStream(line, until)

    async def _connected(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> _Line:
        if self._public:
            # To an address that was looked at: asked again, the name might lead elsewhere.
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            host = all_public([str(address[0]) for *_, address in found])[0]
        _, line = await loop.create_connection(_Line, host, port, **racing(loop, host))
        return line

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def forget(self) -> None:
        """Let go of every connection without a loop: theirs is closed."""
        for line in list(self._lines):
            line.forget()


class _Line(asyncio.Protocol):
    """The bytes of one connection, and whoever waits for them."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.chunks: deque[bytes] = deque()
        self.size = 0
        self.ended = False
        self.error: Exception | None = None
        self.reader: asyncio.Future[None] | None = None
        self.writer: asyncio.Future[None] | None = None
        self.full = False
        self.paused = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # a stream protocol is given nothing else

    def data_received(self, data: bytes) -> None:
        self.chunks.append(data)
        self.size += len(data)
        if self.size > MUCH and not self.paused and self.transport is not None:
            self.paused = True
            self.transport.pause_reading()
        _wake(self.reader)

    def eof_received(self) -> bool:
        self.ended = True
        _wake(self.reader)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self.error = exc
        self.full = False
        _wake(self.reader)
        _wake(self.writer)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        _wake(self.writer)

    def take(self, max_bytes: int) -> bytes:
        chunk = self.chunks.popleft()
        if len(chunk) > max_bytes:
            self.chunks.appendleft(chunk[max_bytes:])
            chunk = chunk[:max_bytes]
        self.size -= len(chunk)
        if self.paused and self.size <= MUCH // 2 and self.transport is not None:
            self.paused = False
            self.transport.resume_reading()
        return chunk

    def forget(self) -> None:
        let_go(self.transport)


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


class LoopStream(httpcore2.AsyncNetworkStream):
    """One connection as httpcore reads and writes it."""

    def __init__(self, line: _Line, until: float | None) -> None:
        self._line = line
        self._until = until
        self._together = Together()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        line = self._line
        unsaid = self._together.turn()
        if unsaid and line.transport is not None:
            line.transport.write(unsaid)
        if not line.chunks and not line.ended:
            seconds = left(timeout)
            if seconds is not None and seconds <= 0:
                raise httpcore2.ReadTimeout
            line.reader = line.loop.create_future()
            try:
                await within(line.loop, line.reader, seconds)
            except TimeoutError:
                raise httpcore2.ReadTimeout from None
            finally:
                line.reader = None
        if line.chunks:
            if isinstance(timeout, Waits):
                timeout.heard = True
            return line.take(max_bytes)
        if line.error is not None:
            raise httpcore2.ReadError(line.error) from line.error
        return b""

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        line = self._line
        transport = line.transport
        if transport is None or line.error is not None or transport.is_closing():
            raise httpcore2.WriteError
        data = self._together.add(buffer)
        if data:
            transport.write(data)
        if line.full:
            line.writer = line.loop.create_future()
            try:
                await within(line.loop, line.writer, left(timeout))
            except TimeoutError:
                raise httpcore2.WriteTimeout from None
            finally:
                line.writer = None
            if line.ended and line.error is not None:
                raise httpcore2.WriteError(line.error) from line.error

    async def aclose(self) -> None:
        # Not close(): that would first wait for a slow reader, or for TLS to say good-bye.
        if self._line.transport is not None:
            self._line.transport.abort()

    async def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.AsyncNetworkStream:
        line = self._line
        assert line.transport is not None
        plain = line.transport
        try:
            async with asyncio.timeout_at(self._until):
                line.transport = await line.loop.start_tls(plain, line, ssl_context, server_hostname=server_hostname)
        except TimeoutError:
            plain.abort()
            raise httpcore2.ConnectTimeout from None
        except OSError as error:
            plain.abort()
            raise httpcore2.ConnectError(error) from error
        except BaseException:
            plain.abort()
            raise
        if line.transport is None:
            raise httpcore2.ConnectError
        spoken = line.transport.get_extra_info("ssl_object")
        self._together.off = spoken is not None and spoken.selected_alpn_protocol() == "h2"
        return self

    def get_extra_info(self, info: str) -> Any:
        line = self._line
        transport = line.transport
        if transport is None:
            return None
        if info == "is_readable":
            return line.ended or bool(line.chunks) or transport.is_closing() or unread(transport)
        names = {"client_addr": "sockname", "server_addr": "peername"}
        return transport.get_extra_info(names.get(info, info))
