"""
The pyreqwest engine: Rust's reqwest, at half the cost, for any thread and any loop.

It has two limits, found by measuring. A blocking call can be told once, at the start, how long
it may take: enough for a body that is read whole, not for a stream, where each event moves the
moment; so streams in the sync colour go through the httpx2 engine. And a call that is cancelled
before its answer begins is let go but not ended: it goes on until the answer begins or its
deadline comes. In the sync colour nobody cancels (but Ctrl-C is heard only once such a call is
over); for event loops this engine is taken only where the settings name it.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import lru_cache
from typing import NamedTuple, TypeAlias, TypeVar

from pyreqwest.client import Client, ClientBuilder, SyncClient, SyncClientBuilder
from pyreqwest.proxy import ProxyBuilder
from pyreqwest.request import RequestBuilder, StreamRequest, SyncRequestBuilder, SyncStreamRequest
from pyreqwest.response import BaseResponse, Response, SyncResponse

from ...errors import ConfigError, NetworkFailed
from ...message import Headers
from ...providers.base import Wire
from ..sender import Answer, Patience
from .faults import failed
from .portable import BlockingPortable
from .proxies import Proxies, without_credentials
from .requests import Upload, address, has_body, unwritable
from .rust_faults import redrawn_rust, unanswered
from .settings import HttpSettings
from .tls import read_pem, unusable

IDLE = timedelta(seconds=55)  # load balancers commonly hang up on an unused connection after 60
_KNOWN = 1024  # origins remembered as having answered

T = TypeVar("T")
MakerT = TypeVar("MakerT", ClientBuilder, SyncClientBuilder)
BuilderT = TypeVar("BuilderT", RequestBuilder, SyncRequestBuilder)


_Key: TypeAlias = tuple[str | None, float | None]  # a proxy and a connect limit


class _Place(NamedTuple):
    url: str
    origin: str
    proxy: str | None


class _Fast(ABC):
    """What both colours share: everything but the waiting."""

    name = "pyreqwest"

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._proxies = Proxies(settings)
        self._lock = threading.Lock()
        self._answered: set[str] = set()
        self._place = lru_cache(maxsize=256)(self._find)

    def _find(self, url: str) -> _Place:
        where = address(url)
        return _Place(where.url, where.authority, self._proxies(where.scheme, where.host, where.port))

    @abstractmethod
    async def _begin(self, place: _Place, wire: Wire, patience: Patience, upload: Upload | None) -> Answer: ...

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        place = self._place(wire.url)
        upload = None if wire.upload is None else Upload(wire.upload)
        again = False
        while True:
            try:
                answer = await self._begin(place, wire, patience, upload)
            except (NetworkFailed, ConfigError):
                raise
            except Exception as error:
                if upload is not None and upload.error is not None:
                    raise upload.error from None
                started = upload is not None and upload.started
                # Which connection it met is not told; where others were answered, it may well be a used one.
                if not again and not started and place.origin in self._answered and unanswered(error):
                    again = True
                    continue
                fault = redrawn_rust(error, unwritable(wire))
            else:
                if place.origin not in self._answered and len(self._answered) < _KNOWN:
                    self._answered.add(place.origin)
                return answer
            raise fault


class LoopFast(_Fast):
    """The pyreqwest engine for event loops: one client for all of them."""

    def __init__(self, settings: HttpSettings) -> None:
        super().__init__(settings)
        self._clients: dict[_Key, Client] = {}

    def _client(self, key: _Key) -> Client:
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = configured(ClientBuilder(), self._settings, *key).build()
            return client

    async def _begin(self, place: _Place, wire: Wire, patience: Patience, upload: Upload | None) -> Answer:
        builder = self._client((place.proxy, patience.connect)).request(wire.method, place.url)
        if upload is not None:
            builder.body_stream(upload.awaited())
        request = composed(builder, wire, patience).build_streamed()
        response, cancelled = await _minding(request.__aenter__())
        if cancelled is not None:
            await request.__aexit__(None, None, None)
            raise cancelled
        headers = headers_of(response)
        return Answer(response.status, headers, LoopSource(request, response, length_of(headers)))

    async def aclose(self) -> None:
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.close()


async def _minding(work: Awaitable[T]) -> tuple[T, BaseException | None]:
    """
    What the work came to, and the cancellation it forgot.

    A task that is cancelled while pyreqwest has its result ready gets the result and nothing of
    the cancelling (seen with pyreqwest 0.15): it would wait for the next chunk as if nobody had left.
    """
    import asyncio

    task = asyncio.current_task()
    assert task is not None, "asyncio always runs coroutines in a task"
    before = task.cancelling()
    try:
        result = await work
    except Exception:
        if task.cancelling() > before:
            raise asyncio.CancelledError from None
        raise
    return result, asyncio.CancelledError() if task.cancelling() > before else None


class LoopSource:
    """The bytes of one answer, awaited."""

    __slots__ = ("_left", "_over", "_reader", "_request")

    def __init__(self, request: StreamRequest, response: Response, length: int | None) -> None:
        self._request = request
        self._reader = response.body_reader
        self._left = length
        self._over = False

    async def __anext__(self) -> bytes:
        fault = None
        if not self._over and self._left != 0:
            try:
                chunk, cancelled = await _minding(self._reader.read_chunk())
            except Exception as error:
                fault = redrawn_rust(error)
            else:
                if cancelled is not None:
                    raise cancelled
                if chunk is not None:
                    data = chunk.to_bytes()
                    if self._left is not None:
                        self._left -= len(data)
                    return data
        await self.aclose()
        if fault is not None:
            raise fault
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if not self._over:
            self._over = True
            await self._request.__aexit__(None, None, None)


class BlockingFast(_Fast):
    """The pyreqwest engine for threads, with the httpx2 engine for what has to be waited for step by step."""

    def __init__(self, settings: HttpSettings) -> None:
        super().__init__(settings)
        self._clients: dict[_Key, SyncClient] = {}
        self._steps = BlockingPortable(settings)

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        if patience.moment != patience.total or patience.silence is not None:
            return await self._steps(wire, patience)
        return await super().__call__(wire, patience)

    def _client(self, key: _Key) -> SyncClient:
        with self._lock:
            client = self._clients.get(key)
            if client is None:
                client = self._clients[key] = configured(SyncClientBuilder(), self._settings, *key).build()
            return client

    async def _begin(self, place: _Place, wire: Wire, patience: Patience, upload: Upload | None) -> Answer:
        builder = self._client((place.proxy, patience.connect)).request(wire.method, place.url)
        if upload is not None:
            builder.body_stream(upload.blocking())
        request = composed(builder, wire, patience).build_streamed()
        response = request.__enter__()
        headers = headers_of(response)
        source = BlockingSource(request, response, length_of(headers), patience)
        return Answer(response.status, headers, source, patient=False)

    async def aclose(self) -> None:
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()
        await self._steps.aclose()


class BlockingSource:
    """The bytes of one answer, read by the thread that asks."""

    __slots__ = ("_left", "_over", "_patience", "_reader", "_request")

    def __init__(
        self, request: SyncStreamRequest, response: SyncResponse, length: int | None, patience: Patience
    ) -> None:
        self._request = request
        self._reader = response.body_reader
        self._patience = patience
        self._left = length
        self._over = False

    async def __anext__(self) -> bytes:
        fault = None
        if not self._over and self._left != 0:
            if self._patience.remaining() == 0:
                fault = failed("ReadTimeout")
            else:
                try:
                    chunk = self._reader.read_chunk()
                except Exception as error:
                    fault = redrawn_rust(error)
                else:
                    if chunk is not None:
                        data = chunk.to_bytes()
                        if self._left is not None:
                            self._left -= len(data)
                        return data
        await self.aclose()
        if fault is not None:
            raise fault
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if not self._over:
            self._over = True
            self._request.__exit__(None, None, None)


def configured(builder: MakerT, settings: HttpSettings, proxy: str | None, connect: float | None) -> MakerT:
    """A client that decodes nothing, follows nothing, remembers nothing and trusts what the settings say."""
    builder.gzip(False).brotli(False).zstd(False).deflate(False)
    builder.follow_redirects(False).referer(False).http1_lower_case_headers().http2(settings.http2)
    builder.max_connections(settings.pool).pool_idle_timeout(IDLE).no_proxy()
    builder.min_tls_version("TLSv1.3" if settings.tls_minimum == "1.3" else "TLSv1.2")
    if connect is not None:
        builder.connect_timeout(timedelta(seconds=connect))
    if proxy is not None:
        plain, auth = without_credentials(proxy)
        through = ProxyBuilder.all(plain)
        builder.proxy(through if auth is None else through.basic_auth(*auth))
    if settings.ca_file is not None:
        pem = read_pem("ca_file", settings.ca_file)
        if b"-----BEGIN CERTIFICATE-----" not in pem:  # would be taken for a list of none
            raise ConfigError(unusable("ca_file", settings.ca_file, "PEM certificates"))
        _take("ca_file", settings.ca_file, builder.add_root_certificate_pem, pem)
    if settings.cert_file is not None:
        key = b"" if settings.key_file is None else read_pem("key_file", settings.key_file)
        pem = read_pem("cert_file", settings.cert_file)
        _take("cert_file", settings.cert_file, builder.identity_pem, pem + b"\n" + key)
    return builder


def _take(name: str, path: str, take: Callable[[bytes], object], pem: bytes) -> None:
    try:
        take(pem)
    except ValueError:
        raise ConfigError(unusable(name, path, "PEM certificates, and the open key where there is one")) from None


def composed(builder: BuilderT, wire: Wire, patience: Patience) -> BuilderT:
    """The request as pyreqwest takes it."""
    builder.headers(wire.headers.pairs)
    if not patience.whole:
        builder.streamed_read_buffer_limit(0)  # the answer is handed on as soon as there is a byte of it
    if patience.total is not None:
        builder.timeout(timedelta(seconds=max(patience.total - patience.clock.now(), 0.0)))
    if wire.upload is None and has_body(wire):
        if wire.content:
            builder.body_bytes(wire.content)
        elif "content-length" not in wire.headers:
            builder.header("content-length", "0")  # left out otherwise, and some servers answer 411
    return builder


def headers_of(response: BaseResponse) -> Headers:
    """The fields of an answer; those that are no ASCII text are left out, as pyreqwest cannot show them."""
    try:
        return Headers(list(response.headers.items()))
    except ValueError:
        return Headers([(name, value) for name in dict.fromkeys(response.headers) for value in _values(response, name)])


def _values(response: BaseResponse, name: str) -> list[str]:
    try:
        return response.get_header_all(name)
    except ValueError:
        return []


def length_of(headers: Headers) -> int | None:
    """How many bytes are to come, where that is said."""
    said = headers.get("content-length")
    return int(said) if said is not None and said.isdigit() else None
