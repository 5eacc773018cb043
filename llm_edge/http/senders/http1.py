"""
HTTP/1.1 as the httptools engine speaks it: a request as bytes, an answer as it comes in.

llhttp, the parser of Node.js, reads the answers (by way of httptools, in C); it is strict about what could be read in
two ways. What is unusual (an upload, a proxy, HTTP/2) this engine leaves to httpx2.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import httptools

from ...errors import NetworkFailed
from ...message import Headers
from ...providers.base import Wire
from ..sender import Answer, Dweller, Patience, Sender
from .faults import failed
from .proxies import Proxies
from .requests import address, has_body, unwritable
from .settings import HttpSettings
from .tls import tls_context

if TYPE_CHECKING:
    import ssl

LARGEST_HEAD = 256 * 1024
"""Bytes an answer's head may have."""

_NOT_HTTP = 'this engine reads HTTP strictly; http.engine = "httpx2" takes what old servers write'

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Way(NamedTuple):
    """What calls must have in common to share a connection."""

    secure: bool
    host: str
    port: int


class Place(NamedTuple):
    """Where a request goes."""

    way: Way
    target: str
    host: str
    """The Host header, written down."""
    direct: bool
    """No proxy stands before it."""


class Places:
    """Where addresses lead, remembered; and whom to trust there."""

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._proxies = Proxies(settings)
        self._tls: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self.of = lru_cache(maxsize=256)(self._find)

    def _find(self, url: str) -> Place:
        where = address(url)
        way = Way(where.scheme == "https", where.host, where.port)
        direct = self._proxies(where.scheme, where.host, where.port) is None and not self._settings.http2
        return Place(way, where.target, f"Host: {where.authority}\r\n", direct)

    def tls(self, way: Way) -> ssl.SSLContext | None:
        """The context for connections there; None in the clear."""
        if not way.secure:
            return None
        with self._lock:
            if self._tls is None:
                self._tls = tls_context(self._settings)  # takes milliseconds: only for those who need it
                self._tls.set_alpn_protocols(["http/1.1"])
            return self._tls


class Rest:
    """httpx2 for what is not everyday: loaded and opened when there is such a call."""

    def __init__(self, settings: HttpSettings, *, blocking: bool) -> None:
        self._settings, self._blocking = settings, blocking
        self._engine: Sender | None = None
        self._lock = threading.Lock()

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        return await (self._engine or self._open())(wire, patience)

    def _open(self) -> Sender:
        from .portable import BlockingPortable, LoopPortable

        with self._lock:
            if self._engine is None:
                self._engine = BlockingPortable(self._settings) if self._blocking else LoopPortable(self._settings)
            return self._engine

    def leave(self) -> None:
        """Let go of what belonged to loops that are closed."""
        engine = self._engine
        if engine is not None and isinstance(engine, Dweller):
            engine.leave()

    async def aclose(self) -> None:
        """Close it, if it was opened."""
        if self._engine is not None:
            await self._engine.aclose()


def written(wire: Wire, place: Place) -> bytes | None:
    """
    The request as it goes out; None for one that is not everyday, and goes over httpx2.

    Raises NetworkFailed for what HTTP does not allow.
    """
    if not place.direct or wire.upload is not None or wire.method not in _METHODS:
        return None
    fields, content = wire.headers.once(_fields), wire.content
    if fields.coded or (fields.size is not None and fields.size != str(len(content))):
        return None
    if not fields.plain and (wrong := unwritable(wire)):
        raise failed("LocalProtocolError", wrong)
    host = "" if fields.named else place.host
    size = "" if fields.size is not None or not has_body(wire) else f"Content-Length: {len(content)}\r\n"
    return f"{wire.method} {place.target} HTTP/1.1\r\n{host}{fields.lines}{size}\r\n".encode() + content


class _Fields(NamedTuple):
    """Header fields as they go out."""

    lines: str
    named: bool
    """Whether the host is among them."""
    size: str | None
    """The length of the body, as far as they say it."""
    coded: bool
    """Whether they say how the body is told in pieces."""
    plain: bool
    """Whether they hold nothing that HTTP might not allow."""


def _fields(headers: Headers) -> _Fields:
    plain = all(
        _known(name) and value.isascii() and value.isprintable() and value.strip() == value
        for name, value in headers.pairs
    )
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.pairs])
    return _Fields(lines, "host" in headers, headers.get("content-length"), "transfer-encoding" in headers, plain)


_NAME = frozenset("!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


@lru_cache(maxsize=512)
def _known(name: str) -> bool:
    return bool(name) and _NAME.issuperset(name)


_BOUNDS = frozenset({b"content-length", b"transfer-encoding"})
"""What says where an answer ends; one that has neither ends with its connection."""


class Reading:
    """One answer on its way in. What the parser calls is here; everything else only looks."""

    __slots__ = (
        "_parser",
        "_size",
        "chunks",
        "head",
        "heard",
        "held",
        "keep",
        "more",
        "over",
        "raw",
        "status",
    )

    def __init__(self) -> None:
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)
        self._size = 0
        self.status = 0
        self.raw: list[tuple[bytes, bytes]] = []
        self.chunks: list[bytes] = []
        self.held = 0
        """Bytes in `chunks`."""
        self.heard = self.head = self.over = self.more = self.keep = False

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises NetworkFailed for what is not HTTP."""
        self.heard = True
        headless, parser = not self.head, self._parser
        if parser is None:
            self.more, self.keep = True, False
            return
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            if not self.over:
                raise failed("RemoteProtocolError", _NOT_HTTP) from None
            self.more = True
        if self.more:
            self.keep = False
        if self.over:
            self._parser = None  # it knows this reading, so both would stay until garbage is looked for
        if headless:
            self._size += len(data)
            if self._size > LARGEST_HEAD and not self.head:
                raise failed("RemoteProtocolError", "the head of the answer is too long")

    def taken(self) -> bytes:
        """The bytes of the body that are here; none when there are none."""
        chunks = self.chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self.held = 0
        return data

    def ended(self) -> NetworkFailed | None:
        """The other side has hung up: what is wrong with that."""
        self._parser = None
        if self.head and _BOUNDS.isdisjoint([name.lower() for name, _ in self.raw]):
            self.over = True
        return None if self.over else failed("RemoteProtocolError")

    # ---- the source of an answer that is here in full

    async def __anext__(self) -> bytes:
        data = self.taken()
        if data:
            return data
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Nothing is left open."""

    # ---- called by the parser

    def on_message_begin(self) -> None:
        if self.over:
            self.more = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head:
            self.raw.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        if self.over:
            return
        assert self._parser is not None, "it is this one that calls"
        status = self._parser.get_status_code()
        if status >= 200:
            self.status, self.head = status, True

    def on_body(self, data: bytes) -> None:
        if not self.over:
            self.chunks.append(data)
            self.held += len(data)

    def on_message_complete(self) -> None:
        if self.head:
            assert self._parser is not None, "it is this one that calls"
            self.over, self.keep = True, self._parser.should_keep_alive()
        else:  # 100 Continue and its kin: the answer comes after it
            self.raw.clear()
