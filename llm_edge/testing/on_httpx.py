"""Scripted transports for httpx. Twin of the file for the other library: change both."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Generator, Iterator, Mapping
from typing import TYPE_CHECKING

import httpx

from llm_edge.runtime import Awaiting, Blocking, Clock, drive

from .acts import Act
from .call import Asked, Call
from .playing import Broken, Kind, Playing

if TYPE_CHECKING:
    from .cassette import Cassette
    from .provider import Stage

_ERRORS: Mapping[Kind, type[httpx.TransportError]] = {
    "refused": httpx.ConnectError,
    "reset": httpx.ReadError,
    "closed": httpx.RemoteProtocolError,
    "read_timeout": httpx.ReadTimeout,
}

_numbers = itertools.count(1)


@contextlib.contextmanager
def _raising(request: httpx.Request) -> Generator[None]:
    try:
        yield
    except Broken as broken:
        raise _ERRORS[broken.kind](str(broken), request=request) from None


def _asked(request: httpx.Request, body: bytes) -> Asked:
    url = request.url
    return Asked(
        method=request.method,
        target=url.raw_path.decode("ascii"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw),
        body=body,
        origin=f"{url.scheme}://{url.netloc.decode('ascii')}",
    )


def _read_timeout(request: httpx.Request) -> float | None:
    timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
    return timeouts.get("read")


class ScriptedTransport(httpx.BaseTransport):
    """A stage as a sync transport; each counts as one connection."""

    def __init__(self, stage: Stage, clock: Clock | None = None) -> None:
        self._stage = stage
        self._runtime = Blocking(clock)
        self._number = next(_numbers)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        call, acts = self._stage.open(_asked(request, request.read()), self._number)
        playing = Playing(call, acts, self._runtime, _read_timeout(request))
        with _raising(request):
            head = drive(playing.head())
        return httpx.Response(head.status, headers=list(head.headers), stream=_Body(playing, request))


class _Body(httpx.SyncByteStream):
    def __init__(self, playing: Playing, request: httpx.Request) -> None:
        self._playing = playing
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        with _raising(self._request):
            while (data := drive(self._playing.next())) is not None:
                yield data

    def close(self) -> None:
        self._playing.close()


class AsyncScriptedTransport(httpx.AsyncBaseTransport):
    """A stage as an async transport; each counts as one connection."""

    def __init__(self, stage: Stage, clock: Clock | None = None) -> None:
        self._stage = stage
        self._runtime = Awaiting(clock)
        self._number = next(_numbers)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call, acts = self._stage.open(_asked(request, await request.aread()), self._number)
        playing = Playing(call, acts, self._runtime, _read_timeout(request))
        # A real call lets others run; one that never does would hide what happens between calls.
        await asyncio.sleep(0)
        with _raising(request):
            head = await playing.head()
        return httpx.Response(head.status, headers=list(head.headers), stream=_AsyncBody(playing, request))


class _AsyncBody(httpx.AsyncByteStream):
    def __init__(self, playing: Playing, request: httpx.Request) -> None:
        self._playing = playing
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _raising(self._request):
            while (data := await self._playing.next()) is not None:
                yield data

    async def aclose(self) -> None:
        self._playing.close()


class CassetteTransport(httpx.BaseTransport):
    """Replays a cassette; what it may record goes through the inner transport."""

    def __init__(self, cassette: Cassette, inner: httpx.BaseTransport | None = None) -> None:
        self._cassette = cassette
        self._inner = inner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        asked = _asked(request, request.read())
        found = self._cassette.find(asked)
        if found is None:
            found = self._recorded(request, asked)
        playing = Playing(*found, Blocking(), None)
        head = drive(playing.head())
        return httpx.Response(head.status, headers=list(head.headers), stream=_Body(playing, request))

    def _recorded(self, request: httpx.Request, asked: Asked) -> tuple[Call, list[Act]]:
        self._inner = self._inner or httpx.HTTPTransport()
        request.headers["accept-encoding"] = "identity"
        response = self._inner.handle_request(request)
        body = b"".join(_raw(response))
        response.close()
        return self._cassette.keep(asked, response.status_code, response.headers.multi_items(), body)

    def close(self) -> None:
        if self._inner is not None:
            self._inner.close()


class AsyncCassetteTransport(httpx.AsyncBaseTransport):
    """Replays a cassette; what it may record goes through the inner transport."""

    def __init__(self, cassette: Cassette, inner: httpx.AsyncBaseTransport | None = None) -> None:
        self._cassette = cassette
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = _asked(request, await request.aread())
        found = self._cassette.find(asked)
        if found is None:
            found = await self._recorded(request, asked)
        playing = Playing(*found, Awaiting(), None)
        head = await playing.head()
        return httpx.Response(head.status, headers=list(head.headers), stream=_AsyncBody(playing, request))

    async def _recorded(self, request: httpx.Request, asked: Asked) -> tuple[Call, list[Act]]:
        self._inner = self._inner or httpx.AsyncHTTPTransport()
        request.headers["accept-encoding"] = "identity"
        response = await self._inner.handle_async_request(request)
        body = b"".join([piece async for piece in _araw(response)])
        await response.aclose()
        return self._cassette.keep(asked, response.status_code, response.headers.multi_items(), body)

    async def aclose(self) -> None:
        if self._inner is not None:
            await self._inner.aclose()


def _raw(response: httpx.Response) -> Iterator[bytes]:
    if not isinstance(response.stream, httpx.SyncByteStream):
        raise TypeError("the transport under a sync cassette gave an async response")
    yield from response.stream


async def _araw(response: httpx.Response) -> AsyncIterator[bytes]:
    if not isinstance(response.stream, httpx.AsyncByteStream):
        raise TypeError("the transport under an async cassette gave a sync response")
    async for piece in response.stream:
        yield piece
