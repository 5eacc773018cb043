"""
The aiohttp engine for event loops: a fraction of the cost of httpx2, and it can be cancelled.

A call that is cancelled, or closed early, ends its connection at once, so the provider stops
generating and billing. aiohttp knows neither HTTP/2 nor SOCKS: those calls go over httpx2.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import aiohttp
from yarl import URL

from ...errors import ConfigError, NetworkFailed
from ...providers.base import Wire
from ..sender import Answer, Patience
from .aio_faults import redrawn_aio
from .aio_lines import Answering, Lines, Session, Unanswered
from .faults import failed
from .homes import Homes
from .portable import IDLE, LoopPortable
from .proxies import Proxies, without_credentials
from .requests import Upload, address, readable, unwritable
from .settings import HttpSettings
from .tls import tls_context

if TYPE_CHECKING:
    import ssl

LONGEST_FIELD: Final = 16 * 1024
MOST_FIELDS: Final = 1024
_AT_ONCE: Final = 256 * 1024  # bytes of a body written in one go; longer ones in pieces, so that others get their turn
_OWN: Final = ("accept", "accept-encoding", "content-type", "user-agent")  # what aiohttp adds unless told otherwise


class _Place(NamedTuple):
    url: URL
    secure: bool
    socks: bool
    proxy: URL | None
    credential: str | None
    """What Proxy-Authorization says."""


class LoopAio:
    """The aiohttp engine: a session for each loop, closed when its loop ends."""

    name = "aiohttp"

    def __init__(self, settings: HttpSettings) -> None:
        self._settings = settings
        self._proxies = Proxies(settings)
        self._tls: ssl.SSLContext | None = None
        self._place = lru_cache(maxsize=256)(self._find)
        self._homes = Homes(self._settle)
        self._portable = LoopPortable(settings)

    def _find(self, url: str) -> _Place:
        where = address(url)
        secure = where.scheme == "https"
        proxy = self._proxies(where.scheme, where.host, where.port)
        target = URL(where.url, encoded=True)
        if proxy is None:
            return _Place(target, secure, False, None, None)
        plain, auth = without_credentials(proxy)
        credential = None if auth is None else "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        return _Place(target, secure or plain.startswith("https:"), plain.startswith("socks"), URL(plain), credential)

    def _settle(self) -> _Home:
        return _Home(self._settings)

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = tls_context(self._settings)  # takes milliseconds: only for those who need it
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        place = self._place(wire.url)
        if place.socks:
            return await self._portable(wire, patience)
        wrong = unwritable(wire)
        if wrong:
            raise failed("LocalProtocolError", wrong)
        session = (await self._homes.here()).session
        upload = None if wire.upload is None else Upload(wire.upload)
        asked = self._asked(wire, place, upload, patience.connect)
        again = False
        while True:
            try:
                response = await session.request(wire.method, place.url, data=_data(wire, upload), **asked)
            except Unanswered as broken:
                if broken.stale and not again and not (upload is not None and upload.started):
                    again = True
                    continue
                fault = redrawn_aio(broken.error)
            except (NetworkFailed, ConfigError):
                raise
            except asyncio.CancelledError:
                task = asyncio.current_task()
                if not session.closed or (task is not None and task.cancelling()):
                    raise
                fault = failed(
                    "NetworkError", "the client was closed"
                )  # aiohttp cancels those who wait for a connection
            except Exception as error:
                fault = redrawn_aio(error)
            else:
                assert isinstance(response, Answering), "the session makes no others"
                return Answer(response.status, readable(list(response.raw_headers)), LoopSource(response))
            if upload is not None and isinstance(upload.error, Exception):
                raise upload.error
            raise fault

    def _asked(self, wire: Wire, place: _Place, upload: Upload | None, connect: float | None) -> dict[str, Any]:
        headers = wire.headers
        if "transfer-encoding" in headers:
            headers = headers.without("transfer-encoding")  # aiohttp writes its own
        asked: dict[str, Any] = {"headers": headers.pairs, "allow_redirects": False, "timeout": _timeout(connect)}
        missing = [name for name in _OWN if name not in headers]
        if missing:
            asked["skip_auto_headers"] = missing
        if "content-length" not in headers and upload is None and len(wire.content) > _AT_ONCE:
            asked["headers"] = [*headers.pairs, ("Content-Length", str(len(wire.content)))]
        if place.secure:
            asked["ssl"] = self._trust()
        if place.proxy is not None:
            asked["proxy"] = place.proxy
            if place.credential is not None and place.url.scheme == "https":
                asked["proxy_headers"] = {"Proxy-Authorization": place.credential}
            elif place.credential is not None:
                asked["headers"] = [*asked["headers"], ("Proxy-Authorization", place.credential)]
        return asked

    async def aclose(self) -> None:
        await self._homes.aclose()
        await self._portable.aclose()


class _Home:
    """What one loop holds."""

    def __init__(self, settings: HttpSettings) -> None:
        self._lines = Lines(limit=settings.pool, idle=IDLE)
        self.session = Session(
            connector=self._lines,
            response_class=Answering,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            max_line_size=LONGEST_FIELD,
            max_field_size=LONGEST_FIELD,
            max_headers=MOST_FIELDS,
        )

    async def aclose(self) -> None:
        await self.session.close()

    def forget(self) -> None:
        self._lines.forget()


@lru_cache(maxsize=16)
def _timeout(connect: float | None) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=connect)


def _data(wire: Wire, upload: Upload | None) -> Any:
    if upload is not None:
        return aiohttp.AsyncIterablePayload(upload.awaited())
    if len(wire.content) > _AT_ONCE:
        return aiohttp.AsyncIterablePayload(_pieces(wire.content))
    return wire.content or None


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    view = memoryview(content)
    for start in range(0, len(view), _AT_ONCE):
        yield bytes(view[start : start + _AT_ONCE])


class LoopSource:
    """The bytes of one answer, awaited on its loop."""

    __slots__ = ("_over", "_response")

    def __init__(self, response: Answering) -> None:
        self._response = response
        self._over = False

    async def __anext__(self) -> bytes:
        fault = None
        if not self._over:
            try:
                data = await self._response.content.readany()
            except Exception as error:
                fault = redrawn_aio(error)
            else:
                if data:
                    return data
        await self.aclose()
        if fault is not None:
            raise fault
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if not self._over:
            self._over = True
            if not self._response.closed:  # as it is once its last byte has come
                self._response.close()
                await self._response.settled()
