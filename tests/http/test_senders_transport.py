"""A transport the user gives becomes the hop: either library, either colour."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import httpx2
import pytest

from llm_edge.errors import CertificateRefused, NetworkFailed
from llm_edge.http.sender import Sender
from llm_edge.http.senders.transport import AsyncTransportSender, TransportSender
from llm_edge.message import Headers, Saved
from llm_edge.providers.base import Wire

from .senders_kit import CHUNKED, Upstream, Wires, answering, chunk, patient, post, then_silent

LIBRARIES = {"httpx2": httpx2, "httpx": httpx}


class Given:
    """Makes senders over the transports of one library, in one colour."""

    def __init__(self, library: Any, colour: Any) -> None:
        self.library, self.colour = library, colour
        self.kit = Wires(library.__name__, colour)
        self.made: list[Sender] = []

    def mock(self, handler: Callable[[Any], Any]) -> Sender:
        return self.over(self.library.MockTransport(handler))

    def over(self, transport: Any) -> Sender:
        sync = self.colour.name == "sync"
        sender: Sender = TransportSender(transport) if sync else AsyncTransportSender(transport)
        self.made.append(sender)
        return sender

    def real(self) -> Sender:
        sync = self.colour.name == "sync"
        return self.over(self.library.HTTPTransport() if sync else self.library.AsyncHTTPTransport())

    def fetch(self, send: Sender, wire: Wire, **patience: Any) -> tuple[int, Headers, bytes]:
        result: tuple[int, Headers, bytes] = self.colour.run(self.kit.fetch(send, wire, patient(**patience)))
        return result


@pytest.fixture(params=sorted(LIBRARIES))
def given(request: pytest.FixtureRequest, colour: Any) -> Iterator[Given]:
    one = Given(LIBRARIES[request.param], colour)
    yield one
    for sender in one.made:
        colour.run(sender.aclose())


def test_the_transport_sees_the_request_and_its_answer_comes_back(given: Given) -> None:
    seen: list[Any] = []

    def handler(request: Any) -> Any:
        seen.append(request)
        return given.library.Response(201, json={"a": 1}, headers={"x-a": "1"})

    status, headers, body = given.fetch(given.mock(handler), post("http://p.example/v1?x=1", content=b"12345"))
    assert (status, headers["X-A"], body) == (201, "1", b'{"a":1}')
    assert (str(seen[0].url), seen[0].content, seen[0].method) == ("http://p.example/v1?x=1", b"12345", "POST")
    assert seen[0].headers["authorization"] == "Bearer sk-secret-canary"


def test_the_deadline_reaches_the_transport_as_its_timeout(given: Given) -> None:
    seen: list[dict[str, float]] = []

    def handler(request: Any) -> Any:
        seen.append(request.extensions["timeout"])
        return given.library.Response(200)

    given.fetch(given.mock(handler), post("http://p.example/"), seconds=20, connect=3.0)
    assert seen[0]["connect"] == 3.0
    assert all(19 < seen[0][name] <= 20 for name in ("read", "write", "pool"))


def test_compressed_bytes_are_left_as_they_are(given: Given) -> None:
    packed = gzip.compress(b"hello")

    def handler(request: Any) -> Any:
        return given.library.Response(200, content=packed, headers={"content-encoding": "gzip"})

    assert given.fetch(given.mock(handler), post("http://p.example/"))[2] == packed


@pytest.mark.parametrize(
    "kind", ["ConnectError", "ConnectTimeout", "ReadTimeout", "ReadError", "RemoteProtocolError", "PoolTimeout"]
)
def test_the_librarys_failures_keep_their_name_and_lose_their_words(given: Given, kind: str) -> None:
    def handler(request: Any) -> Any:
        raise getattr(given.library, kind)("secret-canary", request=request)

    with pytest.raises(NetworkFailed) as caught:
        given.fetch(given.mock(handler), post("http://p.example/"))
    assert caught.value.kind == kind
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_refused_certificate_is_told_apart(given: Given) -> None:
    import ssl

    def handler(request: Any) -> Any:
        try:
            raise ssl.SSLCertVerificationError(1, "certificate verify failed")
        except ssl.SSLError as error:
            raise given.library.ConnectError(str(error), request=request) from error

    with pytest.raises(CertificateRefused):
        given.fetch(given.mock(handler), post("http://p.example/"))


def test_an_upload_is_streamed_through_the_transport(given: Given) -> None:
    with Upstream(answering) as upstream:
        wire = Wire(url=upstream.url, headers=Headers({"content-length": "6"}), upload=Saved([b"abc", b"def"]))
        assert given.fetch(given.real(), wire)[0] == 200
        assert upstream.peers[0].bodies == [b"abcdef"]


def test_a_stream_closed_early_reaches_the_provider(given: Given) -> None:
    async def talk(url: str) -> bytes:
        answer = await send(post(url), patient())
        first = await answer.source.__anext__()
        await answer.source.aclose()
        return first

    with Upstream(then_silent(CHUNKED + chunk(b"data: 1\n\n"))) as upstream:
        send = given.real()
        assert given.colour.run(talk(upstream.url)) == b"data: 1\n\n"
        assert upstream.peers[0].gone.wait(60)


def test_an_address_that_is_none_is_an_error_of_ours(given: Given) -> None:
    with pytest.raises(NetworkFailed):
        given.fetch(given.mock(lambda request: given.library.Response(200)), post("http://p.example/\0"))


def test_an_app_can_be_the_hop() -> None:
    import asyncio

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-a", b"1")]})
        await send({"type": "http.response.body", "body": b"from an app"})

    async def talk(library: Any) -> bytes:
        kit = Wires(library.__name__, _Async())
        sender = AsyncTransportSender(library.ASGITransport(app))
        return (await kit.fetch(sender, post("http://p.example/")))[2]

    for library in LIBRARIES.values():
        assert asyncio.run(talk(library)) == b"from an app"


class _Async:
    name = "async"

    def runtime(self) -> Any:
        from llm_edge.runtime import Awaiting

        return Awaiting()


def test_something_else_than_a_transport_is_refused() -> None:
    with pytest.raises(TypeError, match="transport of httpx2 or httpx"):
        TransportSender(object())  # type: ignore[arg-type]  # that is the point
