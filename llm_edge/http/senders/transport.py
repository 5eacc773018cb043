"""
A transport the user gave becomes the hop: httpx2's or httpx's, of either colour.

Made for `MockTransport`, `ASGITransport`, recorders, a corporate transport with its own proxy.
The answer's bytes are taken as the transport gives them, undecoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ...errors import NetworkFailed
from ...message import Headers
from ...providers.base import Wire
from ..sender import Answer, Patience
from .faults import failed, of_the_network, redrawn
from .requests import Upload, has_body, readable, unwritable

if TYPE_CHECKING:
    import httpx
    import httpx2

    BlockingTransport: TypeAlias = httpx.BaseTransport | httpx2.BaseTransport
    LoopTransport: TypeAlias = httpx.AsyncBaseTransport | httpx2.AsyncBaseTransport


def _family(transport: object) -> Any:
    """The library the transport belongs to: the two know nothing of each other's classes."""
    import httpx2

    if isinstance(transport, (httpx2.BaseTransport, httpx2.AsyncBaseTransport)):
        return httpx2
    import httpx

    if isinstance(transport, (httpx.BaseTransport, httpx.AsyncBaseTransport)):
        return httpx
    raise TypeError(f"a transport of httpx2 or httpx is needed, not {type(transport).__name__}")


class Given:
    """What both colours share: making the family's request and understanding its failures."""

    method: str
    """What it calls of the transport."""

    def __init__(self, transport: object) -> None:
        self._library = _family(transport)
        if not hasattr(transport, self.method):
            other = "AsyncEdgeTransport" if self.method == "handle_request" else "EdgeTransport"
            raise TypeError(f"{type(transport).__name__} has no {self.method}: it is a transport for {other}")
        self.name = self._library.__name__
        # A library's own transport takes that library's requests; one of the app's own takes what its client sends.
        self._stranger = {"httpx": "httpx2", "httpx2": "httpx"}.get(type(transport).__module__.partition(".")[0])

    def _request(self, wire: Wire, patience: Patience, upload: object) -> Any:
        library = self._library
        seconds = patience.remaining()
        connect = seconds if patience.connect is None else patience.connect
        if seconds is not None and connect is not None:
            connect = min(connect, seconds)
        timeout = {"connect": connect, "read": seconds, "write": seconds, "pool": seconds}
        content = upload if upload is not None else (wire.content if has_body(wire) else None)
        return library.Request(
            wire.method, wire.url, headers=list(wire.headers.pairs), content=content, extensions={"timeout": timeout}
        )

    def _made(self, wire: Wire, patience: Patience, upload: Any) -> Any:
        """The request in the family's terms; raises NetworkFailed for what HTTP cannot say."""
        if wire.native is not None and wire.native[0] != self._stranger:
            return wire.native[1]
        try:
            return self._request(wire, patience, upload)
        except self._library.InvalidURL:
            fault = failed("LocalProtocolError", "the address is not a URL")
        except Exception as error:
            fault = redrawn(error, unwritable(wire))
        raise fault


class TransportSender(Given):
    """Sends through a blocking transport."""

    method = "handle_request"

    def __init__(self, transport: BlockingTransport) -> None:
        super().__init__(transport)
        self._transport: Any = transport  # of one of two families with the same methods

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        upload = None if wire.upload is None else Upload(wire.upload)
        request = self._made(wire, patience, upload and upload.blocking())
        try:
            response = self._transport.handle_request(request)
        except Exception as error:
            if not of_the_network(error) or (upload is not None and upload.error is error):
                raise
            fault = _kept(error, redrawn(error, unwritable(wire)))
        else:
            source = GivenSource(response.stream, patience)
            native = response if wire.native is not None and request is wire.native[1] else None
            return Answer(response.status_code, _headers(response), source, native=native, patient=False)
        raise fault

    async def aclose(self) -> None:
        self._transport.close()


class AsyncTransportSender(Given):
    """Sends through an awaitable transport."""

    method = "handle_async_request"

    def __init__(self, transport: LoopTransport) -> None:
        super().__init__(transport)
        self._transport: Any = transport  # of one of two families with the same methods

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        upload = None if wire.upload is None else Upload(wire.upload)
        request = self._made(wire, patience, upload and upload.awaited())
        try:
            response = await self._transport.handle_async_request(request)
        except Exception as error:
            if not of_the_network(error) or (upload is not None and upload.error is error):
                raise
            fault = _kept(error, redrawn(error, unwritable(wire)))
        else:
            native = response if wire.native is not None and request is wire.native[1] else None
            return Answer(response.status_code, _headers(response), AsyncGivenSource(response.stream), native=native)
        raise fault

    async def aclose(self) -> None:
        await self._transport.aclose()


class GivenSource:
    """The undecoded bytes of one answer of a blocking transport."""

    __slots__ = ("_chunks", "_patience", "_stream")

    def __init__(self, stream: Any, patience: Patience) -> None:
        self._stream, self._patience = stream, patience
        self._chunks = iter(stream)

    async def __anext__(self) -> bytes:
        fault = failed("ReadTimeout") if self._patience.remaining() == 0 else None
        try:
            for chunk in self._chunks if fault is None else ():
                return bytes(chunk)
        except Exception as error:
            if not of_the_network(error):
                await self.aclose()
                raise
            fault = _kept(error, redrawn(error))
        await self.aclose()
        if fault is not None:
            raise fault
        raise StopAsyncIteration

    async def aclose(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()


class AsyncGivenSource:
    """The undecoded bytes of one answer of an awaitable transport."""

    __slots__ = ("_chunks", "_stream")

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._chunks = aiter(stream)

    async def __anext__(self) -> bytes:
        fault = None
        try:
            return bytes(await anext(self._chunks))
        except StopAsyncIteration:
            pass
        except Exception as error:
            if not of_the_network(error):
                await self.aclose()
                raise
            fault = _kept(error, redrawn(error))
        await self.aclose()
        if fault is not None:
            raise fault
        raise StopAsyncIteration

    async def aclose(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.aclose()


def _kept(error: Exception, fault: NetworkFailed) -> NetworkFailed:
    # What passes untouched fails with the very exception of the app's transport; but this kind quotes headers.
    if fault.kind != "LocalProtocolError":
        fault.original = error
    return fault


def _headers(response: Any) -> Headers:
    return readable(list(response.headers.raw))
