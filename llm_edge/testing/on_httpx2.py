"""Scripted transports for httpx2. Twin of the file for the other library: change both."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING

import httpx2

from llm_edge.runtime import Awaiting, Blocking, Clock, drive

from .call import Asked
from .playing import Broken, Kind, Playing

if TYPE_CHECKING:
    from .provider import Stage

_ERRORS: Mapping[Kind, type[httpx2.TransportError]] = {
    "refused": httpx2.ConnectError,
    "reset": httpx2.ReadError,
    "closed": httpx2.RemoteProtocolError,
    "read_timeout": httpx2.ReadTimeout,
}

_numbers = itertools.count(1)


@contextlib.contextmanager
def _raising(request: httpx2.Request) -> Iterator[None]:
    try:
        yield
    except Broken as broken:
        raise _ERRORS[broken.kind](str(broken), request=request) from None


def _asked(request: httpx2.Request, body: bytes) -> Asked:
    url = request.url
    return Asked(
        method=request.method,
        target=url.raw_path.decode("ascii"),
        headers=tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw),
        body=body,
        origin=f"{url.scheme}://{url.netloc.decode('ascii')}",
    )


def _read_timeout(request: httpx2.Request) -> float | None:
    timeouts: dict[str, float | None] = request.extensions.get("timeout", {})
    return timeouts.get("read")


class ScriptedTransport(httpx2.BaseTransport):
    """A stage as a sync transport; each counts as one connection."""

    def __init__(self, stage: Stage, clock: Clock | None = None) -> None:
        self._stage = stage
        self._runtime = Blocking(clock)
        self._number = next(_numbers)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        call, acts = self._stage.open(_asked(request, request.read()), self._number)
        playing = Playing(call, acts, self._runtime, _read_timeout(request))
        with _raising(request):
            head = drive(playing.head())
        return httpx2.Response(head.status, headers=list(head.headers), stream=_Body(playing, request))


class _Body(httpx2.SyncByteStream):
    def __init__(self, playing: Playing, request: httpx2.Request) -> None:
        self._playing = playing
        self._request = request

    def __iter__(self) -> Iterator[bytes]:
        with _raising(self._request):
            while (data := drive(self._playing.next())) is not None:
                yield data

    def close(self) -> None:
        self._playing.close()


class AsyncScriptedTransport(httpx2.AsyncBaseTransport):
    """A stage as an async transport; each counts as one connection."""

    def __init__(self, stage: Stage, clock: Clock | None = None) -> None:
        self._stage = stage
        self._runtime = Awaiting(clock)
        self._number = next(_numbers)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        call, acts = self._stage.open(_asked(request, await request.aread()), self._number)
        playing = Playing(call, acts, self._runtime, _read_timeout(request))
        # A real call lets others run; one that never does would hide what happens between calls.
        await asyncio.sleep(0)
        with _raising(request):
            head = await playing.head()
        return httpx2.Response(head.status, headers=list(head.headers), stream=_AsyncBody(playing, request))


class _AsyncBody(httpx2.AsyncByteStream):
    def __init__(self, playing: Playing, request: httpx2.Request) -> None:
        self._playing = playing
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _raising(self._request):
            while (data := await self._playing.next()) is not None:
                yield data

    async def aclose(self) -> None:
        self._playing.close()
