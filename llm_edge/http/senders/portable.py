"""
The httpx2 engine: its own connection pools, one for all threads and one for each event loop.

Built on httpcore2, the half of httpx2 that speaks to the network, because a transport of httpx2
can only be told a number of seconds per read. A request that met a connection the server had
already closed is sent once more, when no byte of an answer had come.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import httpcore2

from ...errors import ConfigError, NetworkFailed
from ...message import Headers
from ...providers.base import Wire
from ..sender import Answer, Patience
from .faults import redrawn
from .homes import Homes
from .loops import PatientLoop
from .proxies import Proxies, without_credentials
from .requests import Upload, address, has_body, readable, unwritable
from .settings import IDLE, HttpSettings, need
from .sockets import PatientSockets
from .tls import tls_context
from .waits import Waits

if TYPE_CHECKING:
    import ssl

_STALE = (httpcore2.RemoteProtocolError, httpcore2.ReadError, httpcore2.WriteError)


class _Way(NamedTuple):
    """What calls must have in common to share a pool."""

    secure: bool
    proxy: str | None


class _Place(NamedTuple):
    url: httpcore2.URL
    host: bytes
    """What the Host header says."""
    way: _Way


class _Said(NamedTuple):
    """Header fields as httpcore2 keeps them."""

    fields: list[tuple[bytes, bytes]]
    host: bool
    """Whether the host is among them."""
    framed: bool
    """Whether they say where the body ends."""


def _said(headers: Headers) -> _Said:
    fields = [(name.encode(), value.encode()) for name, value in headers.pairs]
    return _Said(fields, "host" in headers, not headers.lack(_FRAMING))


_FRAMING = frozenset({"content-length", "transfer-encoding"})


class _Portable(ABC):
    """What both colours share: everything but the pool and the waiting."""

    name = "httpx2"

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._proxies = Proxies(settings)
        self._lock = threading.Lock()
        self._tls: ssl.SSLContext | None = None
        self._place = lru_cache(maxsize=256)(self._find)

    def _find(self, url: str) -> _Place:
        where = address(url)
        port = where.port if ":" in where.authority.rpartition("]")[2] else None  # left out where it is the usual one
        core = httpcore2.URL(
            scheme=where.scheme.encode(), host=where.host.encode(), port=port, target=where.target.encode()
        )
        way = _Way(where.scheme == "https", self._proxies(where.scheme, where.host, where.port))
        return _Place(core, where.authority.encode(), way)

    def _options(self, way: _Way) -> dict[str, Any]:
        # Called with the lock held, once for each pool.
        settings, proxy = self._settings, way.proxy
        if self._tls is None and (way.secure or (proxy or "").startswith("https:")):
            self._tls = tls_context(settings)  # takes milliseconds: only for those who need it
        options: dict[str, Any] = {
            "ssl_context": self._tls,
            "max_connections": settings.pool,
            "keepalive_expiry": IDLE,
            "http2": settings.http2,
        }
        if proxy is not None:
            plain, auth = without_credentials(proxy)
            if plain.startswith("socks"):
                need("socksio", "a SOCKS proxy", "socks")  # one that the environment names
            options["proxy"] = httpcore2.Proxy(url=plain, auth=auth, ssl_context=self._tls)
        return options

    @abstractmethod
    async def _send(self, way: _Way, request: httpcore2.Request) -> Answer: ...

    @abstractmethod
    def _streamed(self, upload: Upload) -> Iterable[bytes] | AsyncIterable[bytes]: ...

    def _request(self, wire: Wire, place: _Place, upload: Upload | None, waits: Waits) -> httpcore2.Request:
        said = wire.headers.once(_said)
        headers = [*said.fields] if said.host else [(b"Host", place.host), *said.fields]
        content = wire.content if upload is None else self._streamed(upload)
        if not said.framed:
            if upload is not None:
                headers.append((b"Transfer-Encoding", b"chunked"))
            elif has_body(wire):
                headers.append((b"Content-Length", b"%d" % len(wire.content)))
        timeouts = {"connect": waits, "read": waits, "write": waits, "pool": waits.patience.remaining()}
        made = httpcore2.Request(wire.method, place.url, content=content, extensions={"timeout": timeouts})
        made.headers = headers  # here, for it would make bytes of each name and value once more
        return made

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        place = self._place(wire.url)
        upload = None if wire.upload is None else Upload(wire.upload)
        fresh_start = self._settings.http2  # one HTTP/2 connection serves many: whose byte came is not known
        while True:
            waits = Waits(patience)
            try:
                return await self._send(place.way, self._request(wire, place, upload, waits))
            except (NetworkFailed, ConfigError):
                raise
            except Exception as error:
                if upload is not None and upload.error is error:
                    raise
                started = upload is not None and upload.started
                stale = isinstance(error, _STALE) and not waits.fresh and not waits.heard and not started
                if stale and not fresh_start:
                    fresh_start = True
                    continue
                fault = redrawn(error, unwritable(wire))
            try:
                raise fault
            finally:
                del fault  # an error that its own traceback leads to waits for the garbage collector


class BlockingPortable(_Portable):
    """The httpx2 engine for threads: one pool for all of them."""

    def __init__(self, settings: HttpSettings) -> None:
        super().__init__(settings)
        self._pools: dict[_Way, httpcore2.ConnectionPool] = {}

    def _pool(self, way: _Way) -> httpcore2.ConnectionPool:
        pool = self._pools.get(way)
        if pool is None:
            with self._lock:
                pool = self._pools.get(way)
                if pool is None:
                    pool = httpcore2.ConnectionPool(
                        **self._options(way), network_backend=PatientSockets(public=self._settings.public)
                    )
                    self._pools[way] = pool
        return pool

    def _streamed(self, upload: Upload) -> Iterable[bytes]:
        return upload.blocking()

    async def _send(self, way: _Way, request: httpcore2.Request) -> Answer:
        response = self._pool(way).handle_request(request)
        return Answer(response.status, readable(response.headers), BlockingSource(response))

    async def aclose(self) -> None:
        with self._lock:
            pools, self._pools = self._pools, {}
        for pool in pools.values():
            pool.close()


class BlockingSource:
    """The bytes of one answer, read by the thread that asks."""

    __slots__ = ("_chunks", "_over", "_response")

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response
        assert isinstance(response.stream, Iterable)
        self._chunks = iter(response.stream)
        self._over = False

    async def __anext__(self) -> bytes:
        fault = None
        if not self._over:
            try:
                for chunk in self._chunks:
                    return chunk
            except Exception as error:
                fault = redrawn(error)
        await self.aclose()
        if fault is not None:
            raise fault
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if not self._over:
            self._over = True
            self._response.close()


class LoopPortable(_Portable):
    """The httpx2 engine for event loops: a pool for each, closed when its loop ends."""

    def __init__(self, settings: HttpSettings) -> None:
        super().__init__(settings)
        self._homes = Homes(lambda: _Home(public=settings.public))

    def _streamed(self, upload: Upload) -> AsyncIterable[bytes]:
        return upload.awaited()

    async def _send(self, way: _Way, request: httpcore2.Request) -> Answer:
        home = self._homes.known() or await self._homes.here()
        pool = home.pools.get(way)
        if pool is None:
            with self._lock:
                pool = httpcore2.AsyncConnectionPool(**self._options(way), network_backend=home.network)
            home.pools[way] = pool
        response = await pool.handle_async_request(request)
        return Answer(response.status, readable(response.headers), LoopSource(response))

    def leave(self) -> None:
        self._homes.leave()

    async def aclose(self) -> None:
        await self._homes.aclose()


class _Home:
    """What one loop holds."""

    def __init__(self, *, public: bool) -> None:
        self.network = PatientLoop(public=public)
        self.pools: dict[_Way, httpcore2.AsyncConnectionPool] = {}

    async def aclose(self) -> None:
        pools, self.pools = self.pools, {}
        for pool in pools.values():
            await pool.aclose()

    def forget(self) -> None:
        self.network.forget()


class LoopSource:
    """The bytes of one answer, awaited on its loop."""

    __slots__ = ("_chunks", "_over", "_response")

    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response
        assert isinstance(response.stream, AsyncIterable)
        self._chunks = aiter(response.stream)
        self._over = False

    async def __anext__(self) -> bytes:
        fault = None
        if not self._over:
            try:
                return await anext(self._chunks)
            except StopAsyncIteration:
                pass
            except Exception as error:
                fault = redrawn(error)
        await self.aclose()
        if fault is not None:
            raise fault
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if not self._over:
            self._over = True
            await self._response.aclose()
