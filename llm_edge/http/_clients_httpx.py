"""
The clients for httpx that SDKs are given. Their twins for httpx2 differ in the library's name alone; a test says so.

They are httpx's own, with a shorter way for what SDKs do all day: bytes to a whole URL, sent without hooks, cookies or
credentials of the client's, and answered in one piece. All else goes httpx's way; so does everything once somebody has
put a hand between, as tracers and recorders do that replace methods of httpx's classes or a client's transport.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from types import FunctionType
from typing import Any, Final, TypeAlias

import httpx

from ..exact import is_list, is_object
from ..message import Headers
from ._messages_httpx import FAMILIAR, Known, asked
from .face import ANSWERED, RawPairs
from .senders.requests import readable

_log = logging.getLogger(httpx.__name__)
_DEFAULT: Final[Any] = httpx.USE_CLIENT_DEFAULT
_LONG = frozenset({"mounts", "proxy", "default_encoding"})
"""Options with which a client goes httpx's way from the beginning."""
_FRAMING = frozenset({b"host", b"content-length", b"transfer-encoding"})
_Common: TypeAlias = tuple[httpx.URL, Headers]
"""What requests have in common: where they go, and their header fields but for the length."""
Listed: TypeAlias = list[tuple[bytes, bytes, bytes]]
"""Header fields as httpx keeps them: each with its name in small letters between the name and the value."""
_MANY: Final = 64
"""Addresses that are remembered."""


class Client(httpx.Client):
    """A client whose calls go through this transport of ours."""

    def __init__(self, transport: httpx.BaseTransport, **options: Any) -> None:
        super().__init__(transport=transport, **options)
        self._face, self._short = transport, FAMILIAR and _LONG.isdisjoint(options)
        self._building = _Building()

    def build_request(self, method: str, url: httpx.URL | str, **given: Any) -> httpx.Request:
        """As httpx builds it."""
        short = self._building.request(self, method, url, given) if self._short and _untouched() else None
        return short or super().build_request(method, url, **given)

    def send(
        self, request: httpx.Request, *, stream: bool = False, auth: Any = _DEFAULT, follow_redirects: Any = _DEFAULT
    ) -> httpx.Response:
        """As httpx sends it."""
        ordinary = not stream and auth is _DEFAULT and self._short and _untouched()
        if not ordinary or self._transport is not self._face or not _plain(self, request):
            return super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        began = time.perf_counter()
        try:
            response = self._face.handle_request(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        if 300 <= response.status_code < 400 and response.has_redirect_location:
            request.extensions[ANSWERED] = response
            return super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        try:
            response.read()
        except BaseException:
            response.close()
            raise
        return _finished(self, request, response, began)


class AsyncClient(httpx.AsyncClient):
    """The same for event loops."""

    def __init__(self, transport: httpx.AsyncBaseTransport, **options: Any) -> None:
        super().__init__(transport=transport, **options)
        self._face, self._short = transport, FAMILIAR and _LONG.isdisjoint(options)
        self._building = _Building()

    def build_request(self, method: str, url: httpx.URL | str, **given: Any) -> httpx.Request:
        """As httpx builds it."""
        short = self._building.request(self, method, url, given) if self._short and _untouched_async() else None
        return short or super().build_request(method, url, **given)

    async def send(
        self, request: httpx.Request, *, stream: bool = False, auth: Any = _DEFAULT, follow_redirects: Any = _DEFAULT
    ) -> httpx.Response:
        """As httpx sends it."""
        ordinary = not stream and auth is _DEFAULT and self._short and _untouched_async()
        if not ordinary or self._transport is not self._face or not _plain(self, request):
            return await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        began = time.perf_counter()
        try:
            response = await self._face.handle_async_request(request)
        except httpx.RequestError as error:
            error.request = request
            raise
        if 300 <= response.status_code < 400 and response.has_redirect_location:
            request.extensions[ANSWERED] = response
            return await super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
        try:
            await response.aread()
        except BaseException:
            await response.aclose()
            raise
        return _finished(self, request, response, began)


class _Building:
    """Builds the requests httpx would build of bytes to a whole URL; what one has in common with the last is kept."""

    def __init__(self) -> None:
        self._addresses: dict[str, httpx.URL] = {}
        self._last: tuple[object, _Common] = None, (httpx.URL(), Headers())

    def request(
        self, client: httpx.Client | httpx.AsyncClient, method: str, url: httpx.URL | str, given: Mapping[str, Any]
    ) -> httpx.Request | None:
        """None where there is more to it."""
        further = {**given}
        content, timeout = further.pop("content", None), further.pop("timeout", _DEFAULT)
        if not isinstance(content, bytes) or not content or client.params or client.cookies:
            return None
        given = further.pop("headers", None)
        # As pairs: the order of a dict's fields counts.
        pairs = given if is_list(given) else [*given.items()] if is_object(given) else []
        inherited = vars(client.headers)["_list"]
        said, common = self._last  # read once: other threads say other things
        if (url, pairs, further, inherited) != said:
            found = self._common(url, pairs, further, inherited)
            if found is None:
                return None
            common = found
        timeout = client.timeout if timeout is _DEFAULT else timeout
        if not isinstance(timeout, httpx.Timeout):
            timeout = httpx.Timeout(timeout)
        address, headers = common
        return asked(method, address, Known(headers, len(content)), content, timeout)

    def _common(
        self, url: object, pairs: Sequence[Any], further: Mapping[str, Any], inherited: Listed
    ) -> _Common | None:
        """The address, and all header fields but the length; None where it is not for us to put them together."""
        told = [tuple(pair) for pair in pairs]  # tuples in a list of our own: the caller may change his
        own = _own(told)
        if not own or any(value is not None for value in further.values()) or not isinstance(url, str):
            return None
        address = self._addresses.get(url) or self._address(url)
        names = {name.lower() for name, _ in own}
        if address is None or not _FRAMING.isdisjoint(names):
            return None
        every = [(b"Host", address.netloc), *[(name, value) for name, low, value in inherited if low not in names]]
        every += own
        if not b"".join(map(b"".join, every)).isascii():
            return None
        common = address, readable(every)
        self._last = (url, told, further, list(inherited)), common
        return common

    def _address(self, url: str) -> httpx.URL | None:
        parsed = httpx.URL(url)
        if not parsed.is_absolute_url:
            return None
        if len(self._addresses) >= _MANY:
            self._addresses.clear()
        if "?" not in url:  # a key may stand there
            self._addresses[url] = parsed
        return parsed


def _own(pairs: Iterable[tuple[Any, Any]]) -> RawPairs:
    """The header fields a caller gives; none where they are not ASCII text."""
    try:
        return [(name.encode("ascii"), value.encode("ascii")) for name, value in pairs]
    except (AttributeError, ValueError):
        return []


def _plain(client: httpx.Client | httpx.AsyncClient, request: httpx.Request) -> bool:
    """Whether nothing is to be done to this call but to send it."""
    return (
        isinstance(request.stream, httpx.ByteStream)
        and "timeout" in request.extensions
        and client.auth is None
        and not request.url.userinfo
        and not any(client.event_hooks.values())
        and not client.is_closed
    )


def _finished(
    client: httpx.Client | httpx.AsyncClient, request: httpx.Request, response: httpx.Response, began: float
) -> httpx.Response:
    response.request = request
    response.elapsed = timedelta(seconds=time.perf_counter() - began)
    if "set-cookie" in response.headers:
        client.cookies.extract_cookies(response)
    if _log.isEnabledFor(logging.INFO):
        said = (request.method, request.url, response.http_version, response.status_code, response.reason_phrase)
        _log.info('HTTP Request: %s %s "%s %d %s"', *said)
    return response


def _nobody_between(kind: type[httpx.Client | httpx.AsyncClient]) -> Callable[[], bool]:
    """Tells whether the methods by which this class sends are still the library's own."""
    ways = attrgetter("build_request", *[name for name in dir(kind) if "send" in name or "transport" in name])
    at_first: tuple[object, ...] = ways(kind)
    inside = f"{httpx.__name__}."
    if any(type(way) is not FunctionType or not way.__globals__["__name__"].startswith(inside) for way in at_first):
        return lambda: False
    return lambda: ways(kind) == at_first


_untouched, _untouched_async = _nobody_between(httpx.Client), _nobody_between(httpx.AsyncClient)
