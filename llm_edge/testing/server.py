"""
A scripted provider on a real socket.

One daemon thread runs one event loop; every connection is a protocol object that reads requests
and performs the acts of the answer. Bytes go out exactly as scripted, so faults are exact too:
a cut is a FIN after that byte, a reset a RST. An answer that waits for nothing goes out in one
write from the reading callback itself, which keeps the server quick enough for benchmarks.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Generator
from http.client import responses
from types import TracebackType
from typing import TYPE_CHECKING

from llm_edge.runtime import Awaiting

from .acts import Act, Break, Bytes, End, Head, Hold, Wait
from .call import Call
from .http1 import BadRequest, RequestReader

if TYPE_CHECKING:
    from .provider import Stage

AT_ONCE = 65536
"""Answers up to this size go out in one write; larger ones as fast as the client reads."""

PING = b": ping\n\n"


class Server:
    """A stage on a socket, from the moment it is made until `close()`."""

    def __init__(
        self, stage: Stage, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.stage = stage
        self.closed = False
        self.accepted = 0
        """Connections accepted so far."""
        self._tls = tls
        self._open: set[_Connection] = set()
        self._listener: asyncio.Server | None = None
        self._bound = _bind(host, port)
        self.host, self.port = host, int(self._bound.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scripted-provider", daemon=True)
        self._thread.start()
        self._call(self._listen())

    @property
    def url(self) -> str:
        """`http://host:port`, without a slash at the end."""
        return f"{'https' if self._tls else 'http'}://{self.host}:{self.port}"

    @property
    def open_connections(self) -> int:
        """Connections open now."""
        return len(self._open)

    def refuse(self) -> None:
        """Stop listening and drop every connection; the port stays ours, and connecting to it is refused."""
        self._call(self._unlisten())
        self._bound = _bind(self.host, self.port)

    def accept(self) -> None:
        """Listen again after `refuse()`."""
        self._call(self._listen())

    def close(self) -> None:
        """Stop at once: connections are dropped, the port is free. Closing twice is fine."""
        if self.closed:
            return
        self.closed = True
        self._call(self._unlisten())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._bound.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _call(self, work: _Work) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._listener = await self._loop.create_server(
            lambda: _Connection(self), sock=self._bound, ssl=self._tls, backlog=1024
        )

    async def _unlisten(self) -> None:
        if self._listener is not None:
            # Accept no more; what was accepted just now becomes a connection in a turn or two. asyncio would
            # forget its socket, were the listener closed meanwhile.
            with contextlib.suppress(NotImplementedError):
                self._loop.remove_reader(self._bound)
            for _ in range(3):
                await asyncio.sleep(0)
            self._listener.close()
            self._listener = None
        for connection in list(self._open):
            connection.drop()
        while self._open:  # noqa: ASYNC110 - one turn of the loop: there an aborted transport tells its protocol
            await asyncio.sleep(0)

    def opened(self, connection: _Connection) -> int:
        self._open.add(connection)
        self.accepted += 1
        return self.accepted

    def lost(self, connection: _Connection) -> None:
        self._open.discard(connection)


if TYPE_CHECKING:
    from collections.abc import Coroutine

    _Work = Coroutine[None, None, None]


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((host, port))
    return bound


@contextlib.contextmanager
def nobody_listens(host: str = "127.0.0.1") -> Generator[str]:
    """The address of a port that is taken and on which nobody listens: connecting is refused."""
    with contextlib.closing(_bind(host, 0)) as bound:
        yield f"http://{host}:{bound.getsockname()[1]}"


class _Connection(asyncio.Protocol):
    """One client's connection: a request, its answer, the next request."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._reader = RequestReader(server.url)
        self._call: Call | None = None
        self._task: asyncio.Task[None] | None = None
        self._chunked = False
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        # Buffer nothing: what has not reached the kernel has not been sent, so an early close is seen as one.
        # (High is 1, for asyncio's TLS takes a full buffer to be one that has reached its limit, so also an empty one.)
        transport.set_write_buffer_limits(high=1, low=0)
        raw: socket.socket | None = transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._transport = transport
        self._number = self._server.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.lost(self)
        if self._task is not None:
            self._task.cancel()
        if self._call is not None:
            self._call.finish(early=True)
        self._writable.set()

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        self._pump()

    def drop(self) -> None:
        """End this connection with a reset."""
        raw: socket.socket | None = self._transport.get_extra_info("socket")
        if raw is not None:
            with contextlib.suppress(OSError):  # it may be gone already
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _pump(self) -> None:
        """Answer every request that has come whole, one after the other."""
        while self._task is None and not self._transport.is_closing():
            try:
                asked = self._reader.next()
            except BadRequest as error:
                text = str(error).encode()
                head = f"HTTP/1.1 400 Bad Request\r\ncontent-length: {len(text)}\r\nconnection: close\r\n\r\n"
                self._transport.write(head.encode() + text)
                self._transport.close()
                return
            if asked is None:
                if self._reader.expects_continue:
                    self._reader.expects_continue = False
                    self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                return
            call, acts = self._server.stage.open(asked, self._number)
            if not asked.keep_alive:
                acts = [End(close=True) if isinstance(act, End) else act for act in acts]
            self._call = call
            if _at_once(acts):
                self._say_all(call, acts)
            else:
                self._task = asyncio.get_running_loop().create_task(self._perform(call, acts))

    def _say_all(self, call: Call, acts: list[Act]) -> None:
        self._transport.write(b"".join([self._wire(call, act) for act in acts]))
        call.finish()
        if isinstance(acts[-1], End) and acts[-1].close:
            self._transport.close()

    async def _perform(self, call: Call, acts: list[Act]) -> None:
        for act in acts:
            if isinstance(act, Wait):
                await asyncio.sleep(act.seconds)
            elif isinstance(act, Hold):
                await self._hold(call, act)
            elif isinstance(act, Break):
                # What was said so far arrives first: a reset may overtake it, but only on its way to the reader.
                await self._writable.wait()
                call.finish()
                self.drop() if act.reset else self._transport.close()
            else:
                self._transport.write(self._wire(call, act))
                await self._writable.wait()
                if isinstance(act, End):
                    call.finish()
                    if act.close:
                        self._transport.close()
        self._task = None
        self._pump()

    async def _hold(self, call: Call, hold: Hold) -> None:
        if hold.ping_every is None:
            if hold.until is None:
                await asyncio.get_running_loop().create_future()  # cancelled when the client leaves
            else:
                await Awaiting().wait(hold.until, None)
            return
        while hold.until is None or not hold.until.is_set:
            self._transport.write(self._wire(call, Bytes(PING)))
            await asyncio.sleep(hold.ping_every)

    def _wire(self, call: Call, act: Act) -> bytes:
        """What an act looks like on the wire."""
        if isinstance(act, Head):
            call.status = act.status
            self._chunked = act.chunked
            lines = [
                f"HTTP/1.1 {act.status} {responses.get(act.status, 'Scripted')}",
                *(f"{name}: {value}" for name, value in act.headers),
            ]
            return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        if isinstance(act, Bytes):
            call.sent += len(act.data)
            return b"%x\r\n%b\r\n" % (len(act.data), act.data) if self._chunked and act.data else act.data
        return b"0\r\n\r\n" if self._chunked else b""


def _at_once(acts: list[Act]) -> bool:
    size = 0
    for act in acts:
        if not isinstance(act, Head | Bytes | End):
            return False
        size += len(act.data) if isinstance(act, Bytes) else 0
    return size <= AT_ONCE
