"""The transports for httpx. Their twins for httpx2 differ in the library's name alone; a test keeps it so."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import replace
from typing import NoReturn

import httpx

from ..errors import CallError, NetworkFailed, StreamBroken
from ..message import Body, Headers, Request, Response, Stream
from ..runtime import drive
from ._messages_httpx import Known, unread, whole
from .face import (
    ANSWERED,
    FIRST,
    Front,
    Origin,
    Remembered,
    kind_of,
    may_know,
    raw_pairs,
    total_timeout,
    without_secrets,
)


class Transport(httpx.BaseTransport):
    """A transport for `httpx.Client` whose calls go through llm_edge."""

    def __init__(self, front: Front) -> None:
        self._front, self._said, self._places = front, Remembered(), _Places()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if ANSWERED in request.extensions:
            answered: httpx.Response = request.extensions.pop(ANSWERED)
            return answered
        front, headers = self._front, _headers(request, self._said)
        method, timeout = request.method, total_timeout(request.extensions)
        url, path = self._places.of(request.url)
        try:
            if isinstance(request.stream, httpx.ByteStream) or front.whole(method, path, headers):
                call = front.inward(method, url, path, headers, timeout, Body(request.read()))
            else:
                call = front.opaque(method, url, headers, timeout, upload=_Upload(request))
        except CallError as error:
            return _refused(front, front.opaque(method, url, headers, timeout), error, request)
        if call.dialect == "opaque" and _may_know(request):
            call = replace(call, native=(httpx.__name__, request))
        try:
            response = drive(front.handler(call))
        except CallError as error:
            return _refused(front, call, error, request)
        return _answer(
            front, call, response, request, None if response.stream is None else _Out(response.stream, request)
        )


class AsyncTransport(httpx.AsyncBaseTransport):
    """A transport for `httpx.AsyncClient` whose calls go through llm_edge."""

    def __init__(self, front: Front) -> None:
        self._front, self._said, self._places = front, Remembered(), _Places()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if ANSWERED in request.extensions:
            answered: httpx.Response = request.extensions.pop(ANSWERED)
            return answered
        front, headers = self._front, _headers(request, self._said)
        method, timeout = request.method, total_timeout(request.extensions)
        url, path = self._places.of(request.url)
        try:
            if isinstance(request.stream, httpx.ByteStream) or front.whole(method, path, headers):
                call = front.inward(method, url, path, headers, timeout, Body(await request.aread()))
            else:
                call = front.opaque(method, url, headers, timeout, upload=_AsyncUpload(request))
        except CallError as error:
            return _refused(front, front.opaque(method, url, headers, timeout), error, request)
        if call.dialect == "opaque" and _may_know(request):
            call = replace(call, native=(httpx.__name__, request))
        try:
            response = await front.handler(call)
        except CallError as error:
            return _refused(front, call, error, request)
        return _answer(
            front, call, response, request, None if response.stream is None else _AsyncOut(response.stream, request)
        )


def _answer(
    front: Front,
    call: Request,
    response: Response,
    request: httpx.Request,
    stream: httpx.SyncByteStream | httpx.AsyncByteStream | None,
) -> httpx.Response:
    headers = front.outward(call, response)
    if 300 <= response.status < 400:
        request.extensions.setdefault(FIRST, _origin(request.url))  # the client gives it to the request that follows
    if stream is not None and response.native is not None:
        native: httpx.Response = response.native
        native.stream = stream
        return native
    if stream is not None:
        return httpx.Response(response.status, headers=raw_pairs(headers.pairs), stream=stream, request=request)
    assert response.body is not None, "an answer is a body or a stream"
    return whole(response.status, headers, response.body.raw, request)


class _Places:
    """Where requests go; that of the last one is given again for the very same URL, as our own clients use it again."""

    def __init__(self) -> None:
        self._last: tuple[httpx.URL, tuple[str, str]] | None = None

    def of(self, url: httpx.URL) -> tuple[str, str]:
        """The address without the user and password that may stand in it, and its path with the query."""
        last = self._last
        if last is not None and last[0] is url:
            return last[1]
        address = str(url.copy_with(userinfo=b"") if url.userinfo else url)
        if not url.is_absolute_url:
            address = f"://{address}"  # meant for somewhere, and so for nobody else whose model it may seem to be
        place = address, url.raw_path.decode("ascii")
        self._last = url, place
        return place


def _origin(url: httpx.URL) -> Origin:
    return url.scheme, url.host, url.port


def _headers(request: httpx.Request, said: Remembered) -> Headers:
    fields = request.headers
    headers = fields.known if isinstance(fields, Known) else None
    if headers is None:
        headers = said.of(fields.raw, sized=isinstance(request.stream, httpx.ByteStream))
    return headers if _may_know(request) else without_secrets(headers)


def _may_know(request: httpx.Request) -> bool:
    """Whether the place it goes to may know the caller's credential."""
    return FIRST not in request.extensions or may_know(request.extensions[FIRST], _origin(request.url))


def _refused(front: Front, call: Request, error: CallError, request: httpx.Request) -> httpx.Response:
    if isinstance(error, NetworkFailed) and front.raises(call, error):
        _raise(error, request)
    status, headers, body = front.refusal(call, error)
    return unread(status, headers, body, request)


def _raise(error: NetworkFailed | StreamBroken, request: httpx.Request) -> NoReturn:
    original = error.original if isinstance(error, NetworkFailed) else None
    if original is not None:
        raise original
    kind: type[httpx.RequestError] = getattr(httpx, kind_of(error, lambda name: hasattr(httpx, name)))
    raise kind(error.message, request=request) from error


class _Out(httpx.SyncByteStream):
    """A stream on its way to the app."""

    def __init__(self, stream: Stream, request: httpx.Request) -> None:
        self._stream, self._request = stream, request

    def __iter__(self) -> Iterator[bytes]:
        stream = self._stream
        try:
            while True:
                try:
                    chunk = drive(stream.__anext__())
                except StopAsyncIteration:
                    return
                yield chunk
        except GeneratorExit:
            self.close()  # httpx itself closes nothing when its reader goes; httpx2 does
            raise
        except (NetworkFailed, StreamBroken) as error:
            _raise(error, self._request)

    def close(self) -> None:
        drive(self._stream.aclose())


class _AsyncOut(httpx.AsyncByteStream):
    """A stream on its way to the app."""

    def __init__(self, stream: Stream, request: httpx.Request) -> None:
        self._stream, self._request = stream, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream = self._stream
        try:
            while True:
                try:
                    chunk = await stream.__anext__()
                except StopAsyncIteration:
                    return
                yield chunk
        except GeneratorExit:
            await self.aclose()  # as above
            raise
        except (NetworkFailed, StreamBroken) as error:
            _raise(error, self._request)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Upload:
    """A body the app sends piece by piece."""

    def __init__(self, request: httpx.Request) -> None:
        assert isinstance(request.stream, Iterable), "a sync client sends sync bodies"
        self._chunks = iter(request.stream)

    async def __anext__(self) -> bytes:
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration

    async def aclose(self) -> None: ...


class _AsyncUpload:
    """A body the app sends piece by piece."""

    def __init__(self, request: httpx.Request) -> None:
        assert isinstance(request.stream, AsyncIterable), "an async client sends async bodies"
        self._chunks = aiter(request.stream)

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    async def aclose(self) -> None: ...
