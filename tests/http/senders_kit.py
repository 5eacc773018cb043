"""What the tests of the senders share: servers of a few lines on real sockets, and the two ways to send."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Self

import httpcore2  # noqa: F401  # likewise
import httptools  # noqa: F401  # the first call would load it, within its deadline
import pyreqwest.client  # noqa: F401  # likewise

from llm_edge.http.sender import Answer, Patience, Sender
from llm_edge.http.senders import HttpSettings, choose
from llm_edge.message import ByteSource, Headers
from llm_edge.providers.base import Wire
from llm_edge.runtime import Alarm, ThreadClock

CLOCK = ThreadClock()
OK = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 11\r\n\r\n{"ok":true}'
CHUNKED = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LONG = 60.0
"""Seconds no test ever waits for."""


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


class Peer:
    """One connection, from the server's side."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.gone = threading.Event()
        """The other side has closed."""
        self._buffer = b""

    def request(self) -> bytes | None:
        """The next request's head; None when the other side is gone."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        lowered = head.lower()
        body = b""
        if b"content-length:" in lowered:
            size = int(lowered.partition(b"content-length:")[2].split(b"\r\n")[0])
            while len(self._buffer) < size and self._more():
                pass
            body, self._buffer = self._buffer[:size], self._buffer[size:]
        elif b"transfer-encoding: chunked" in lowered:
            while not self._buffer.endswith(b"0\r\n\r\n") and self._more():
                pass
            body, self._buffer = self._buffer, b""
        self.heads.append(head)
        self.bodies.append(body)
        return head

    def _more(self) -> bool:
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        self._buffer += data
        if not data:
            self.gone.set()
        return bool(data)

    def send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def drip(self, data: bytes, every: float) -> None:
        """The same bytes again and again until nobody listens."""
        while not self.gone.wait(every):
            try:
                self.sock.sendall(data)
                self.sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    if not self.sock.recv(100):
                        self.gone.set()
                self.sock.setblocking(True)
            except OSError:
                self.gone.set()

    def wait_gone(self) -> None:
        while not self.gone.is_set():
            self._more()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


Script = Callable[[Peer], None]


def answering(peer: Peer) -> None:
    """Answers every request."""
    while peer.request() is not None:
        peer.send(OK)


def once(data: bytes) -> Script:
    """Answers one request with these bytes and hangs up."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(data)

    return script


def then_silent(data: bytes = b"") -> Script:
    """Answers one request with these bytes and says no more."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(data)
        peer.wait_gone()

    return script


class Upstream:
    """A server on loopback that plays a script on each connection."""

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._script, self._tls = script, tls
        self._listener = socket.create_server((host, 0), backlog=256)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{self.port}/v1/chat"
        self.peers: list[Peer] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        if self._tls is not None:
            try:
                sock = self._tls.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                return
        peer = Peer(sock)
        self.peers.append(peer)
        try:
            self._script(peer)
        finally:
            peer.close()

    @property
    def requests(self) -> int:
        return sum(len(peer.heads) for peer in self.peers)

    def left_alone(self) -> bool:
        """Whether who called has hung up; on a slow machine the time may be up before anybody was there."""
        return all(peer.gone.wait(LONG) for peer in self.peers)

    def left(self) -> None:
        """Until its own end of each connection is closed, too; for who has closed the others."""
        for thread in self._threads[1:]:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in list(self.peers):
            peer.close()
        for thread in self._threads:
            thread.join(5)


@dataclass
class Wires:
    """A way to send in one engine and one colour, each wait bounded as the hop bounds it."""

    engine: str
    colour: Any
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.senders: list[Sender] = []

    def sender(self, **settings: Any) -> Sender:
        chosen = choose(HttpSettings(**{"engine": self.engine, "trust_env": False, **settings}))
        sender = chosen[0 if self.colour.name == "sync" else 1]
        self.senders.append(sender)
        return sender

    def run(self, work: Any) -> Any:
        return self.colour.run(work)

    def alarm(self) -> Alarm:
        alarm: Alarm = self.colour.runtime().alarm()
        return alarm

    async def fetch(self, send: Sender, wire: Wire, patience: Patience | None = None) -> tuple[int, Headers, bytes]:
        """Send, read to the end, close: as the hop does it for a body."""
        patience = patience or patient()
        alarm = self.alarm()
        answer: Answer = await alarm.until(patience.moment, send(wire, patience))
        try:
            return answer.status, answer.headers, await rest(answer.source, alarm, patience)
        finally:
            await answer.source.aclose()

    def get(self, send: Sender, url: str, patience: Patience | None = None, **more: Any) -> tuple[int, Headers, bytes]:
        result: tuple[int, Headers, bytes] = self.run(self.fetch(send, post(url, **more), patience))
        return result

    def close(self) -> None:
        for sender in self.senders:
            self.run(sender.aclose())


async def rest(source: ByteSource, alarm: Alarm, patience: Patience) -> bytes:
    data = b""
    while True:
        try:
            data += await alarm.until(patience.moment, source.__anext__())
        except StopAsyncIteration:
            return data


def post(url: str, *, content: bytes = b'{"model":"m"}', headers: dict[str, str] | None = None, **more: Any) -> Wire:
    fields = {"content-type": "application/json", "authorization": "Bearer sk-secret-canary", **(headers or {})}
    return Wire(url=url, headers=Headers(fields), content=content, **more)


def patient(seconds: float | None = LONG, **more: Any) -> Patience:
    return Patience(CLOCK, total=None if seconds is None else CLOCK.now() + seconds, **more)


@contextlib.contextmanager
def opened(wires: Wires) -> Iterator[Wires]:
    try:
        yield wires
    finally:
        wires.close()
