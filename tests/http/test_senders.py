"""All engines in both colours do the same: answers, streams, uploads, keep-alive, and what is not HTTP."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from llm_edge.errors import NetworkFailed
from llm_edge.http.senders import HttpSettings, choose
from llm_edge.message import Headers, Saved
from llm_edge.providers.base import Wire
from llm_edge.runtime import drive

from .senders_kit import (
    CHUNKED,
    LONG,
    OK,
    Peer,
    Upstream,
    Wires,
    answering,
    chunk,
    once,
    patient,
    post,
    then_silent,
)


def test_an_answer_comes_back_whole(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        status, headers, body = wires.get(wires.sender(), upstream.url)
    assert (status, headers["Content-Type"], body) == (200, "application/json", b'{"ok":true}')


def test_the_request_arrives_as_it_was_written(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        wires.get(wires.sender(), f"{upstream.url}/a%20b?q=1&x=%2F", content=b"12345", headers={"x-one": "ä"})
        head, body = upstream.peers[0].heads[0], upstream.peers[0].bodies[0]
    lines = head.split(b"\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in lines[1:])
    assert lines[0] == b"POST /v1/chat/a%20b?q=1&x=%2F HTTP/1.1"
    assert fields[b"host"] == f"127.0.0.1:{upstream.port}".encode()
    assert (fields[b"content-length"], body) == (b"5", b"12345")
    assert fields[b"authorization"] == b"bearer sk-secret-canary"
    assert fields[b"x-one"] == "ä".encode()
    assert not {b"accept-encoding", b"cookie", b"referer"} & set(fields)


def test_a_request_without_a_body_says_so_by_its_method(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        send = wires.sender()
        wires.get(send, upstream.url, content=b"", method="GET", headers={})
        wires.get(send, upstream.url, content=b"", headers={})
        heads = [head.lower() for peer in upstream.peers for head in peer.heads]
    assert b"content-length" not in heads[0]
    assert b"content-length: 0" in heads[1]


def test_the_next_request_uses_the_same_connection(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        send = wires.sender()
        for _ in range(3):
            wires.get(send, upstream.url)
        assert (len(upstream.peers), upstream.requests) == (1, 3)


def test_a_stream_is_heard_as_it_is_spoken(wires: Wires) -> None:
    heard = threading.Semaphore(0)

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(CHUNKED)
        for number in range(3):
            peer.send(chunk(b"data: %d\n\n" % number))
            assert heard.acquire(timeout=LONG)
        peer.send(b"0\r\n\r\n")

    async def talk() -> list[bytes]:
        answer = await send(post(upstream.url), patient(silence=5.0))
        seen: list[bytes] = []
        while True:
            try:
                seen.append(await answer.source.__anext__())
            except StopAsyncIteration:
                return seen
            heard.release()

    with Upstream(script) as upstream:
        send = wires.sender()
        assert wires.run(talk()) == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n"]


def test_the_head_is_there_before_the_body(wires: Wires) -> None:
    async def talk() -> int:
        answer = await send(post(upstream.url), patient(silence=5.0))
        await answer.source.aclose()
        return answer.status

    with Upstream(then_silent(CHUNKED)) as upstream:
        send = wires.sender()
        assert wires.run(talk()) == 200


@pytest.mark.parametrize("silence", [None, 5.0])
def test_closing_early_hangs_up_on_the_provider(wires: Wires, silence: float | None) -> None:
    async def talk() -> bytes:
        answer = await send(post(upstream.url), patient(silence=silence))
        first = await answer.source.__anext__()
        await answer.source.aclose()
        await answer.source.aclose()
        with pytest.raises(StopAsyncIteration):
            await answer.source.__anext__()
        return first

    with Upstream(then_silent(CHUNKED + chunk(b"data: 1\n\n"))) as upstream:
        send = wires.sender()
        assert wires.run(talk()) == b"data: 1\n\n"
        assert upstream.peers[0].gone.wait(60)


def test_an_upload_is_streamed(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        send = wires.sender()
        counted = Wire(url=upstream.url, headers=Headers({"content-length": "6"}), upload=Saved([b"abc", b"def"]))
        assert wires.run(wires.fetch(send, counted))[0] == 200
        chunked = Wire(url=upstream.url, headers=Headers(), upload=Saved([b"abc", b"def"]))
        assert wires.run(wires.fetch(send, chunked, patient(silence=5.0)))[0] == 200
        bodies = [body for peer in upstream.peers for body in peer.bodies]
    assert bodies == [b"abcdef", b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"]


class Broken:
    """An upload whose own source fails."""

    async def __anext__(self) -> bytes:
        raise LookupError("the file is gone")

    async def aclose(self) -> None: ...


@pytest.mark.parametrize("silence", [None, 5.0])
def test_an_upload_that_fails_by_itself_says_why(wires: Wires, silence: float | None) -> None:
    with Upstream(answering) as upstream:
        wire = Wire(url=upstream.url, headers=Headers({"content-length": "6"}), upload=Broken())
        with pytest.raises(LookupError, match="the file is gone"):
            wires.run(wires.fetch(wires.sender(), wire, patient(silence=silence)))


def test_a_redirect_is_not_followed(wires: Wires) -> None:
    with Upstream(answering) as other:
        moved = f"HTTP/1.1 307 Moved\r\nlocation: {other.url}\r\ncontent-length: 0\r\n\r\n".encode()
        with Upstream(once(moved)) as upstream:
            status, headers, _ = wires.get(wires.sender(), upstream.url)
        assert (status, headers["location"], other.requests) == (307, other.url, 0)


def test_compressed_bytes_are_left_as_they_are(wires: Wires) -> None:
    raw = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\n\r\nxxxxx"
    with Upstream(once(raw)) as upstream:
        _, headers, body = wires.get(wires.sender(), upstream.url)
    assert (headers["content-encoding"], body) == ("gzip", b"xxxxx")


def test_cookies_are_not_kept(wires: Wires) -> None:
    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(OK.replace(b"content-type", b"set-cookie: a=b\r\ncontent-type"))

    with Upstream(script) as upstream:
        send = wires.sender()
        wires.get(send, upstream.url)
        wires.get(send, upstream.url)
        assert all(b"cookie" not in head.lower() for head in upstream.peers[0].heads)


def test_repeated_and_odd_headers_survive(wires: Wires) -> None:
    raw = b"HTTP/1.1 200 OK\r\nx-a: 1\r\nx-a: 2\r\nx-odd: \xe9\r\nx-wide:  b c \t \r\ncontent-length: 0\r\n\r\n"
    with Upstream(once(raw)) as upstream:
        status, headers, _ = wires.get(wires.sender(), upstream.url)
    assert (status, headers["x-a"], headers["x-wide"]) == (200, "1, 2", "b c")


def test_interim_answers_are_passed_over(wires: Wires) -> None:
    with Upstream(once(b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n" + OK)) as upstream:
        assert wires.get(wires.sender(), upstream.url)[0] == 200


def test_an_answer_of_20_mb_arrives(wires: Wires) -> None:
    size = 20 * 2**20
    with Upstream(once(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"x" * size)) as upstream:
        assert len(wires.get(wires.sender(), upstream.url)[2]) == size


NOT_HTTP = {
    "nothing": b"",
    "garbage": b"garbage\r\n\r\n",
    "http/0.9": b"hello",
    "a cut head": b"HTTP/1.1 200 OK\r\ncontent-le",
    "a cut body": b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
    "a cut chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab",
    "a missing last chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
    "a chunk without a size": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "a header of 1 MB": b"HTTP/1.1 200 OK\r\na: " + b"x" * 2**20 + b"\r\n\r\n",
    "a status that is no number": b"HTTP/1.1 2OO OK\r\n\r\n",
}


@pytest.mark.parametrize("silence", [None, 5.0])
@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_not_http_is_an_error(wires: Wires, name: str, silence: float | None) -> None:
    with Upstream(once(NOT_HTTP[name])) as upstream, pytest.raises(NetworkFailed) as caught:
        wires.get(wires.sender(), upstream.url, patient(silence=silence))
    assert caught.value.kind in ("RemoteProtocolError", "ReadError")
    assert caught.value.__cause__ is None
    assert upstream.requests == 1


OLD = {
    "a field on two lines": b"HTTP/1.1 200 OK\r\nx-a: b\r\n c\r\ncontent-length: 2\r\n\r\nok",
    "bare line feeds": b"HTTP/1.1 200 OK\nx-a: b\ncontent-length: 2\n\nok",
    "a length told twice": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nok",
}


@pytest.mark.parametrize("name", OLD)
def test_what_old_servers_write_is_read_or_refused_with_the_engine_that_reads_it(wires: Wires, name: str) -> None:
    with Upstream(once(OLD[name])) as upstream:
        try:
            assert wires.get(wires.sender(), upstream.url, patient(silence=5.0))[2] == b"ok"
        except NetworkFailed as error:
            assert wires.engine != "httpx2"
            assert wires.engine == "pyreqwest" or 'http.engine = "httpx2" takes' in str(error)


def test_a_thousand_headers_end_soon_one_way_or_the_other(wires: Wires) -> None:
    many = b"".join(b"x-%d: y\r\n" % number for number in range(1000))
    with Upstream(once(b"HTTP/1.1 200 OK\r\n" + many + b"content-length: 0\r\n\r\n")) as upstream:
        try:
            assert wires.get(wires.sender(), upstream.url)[0] == 200
        except NetworkFailed as error:
            assert error.kind == "RemoteProtocolError"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1:1/", "ConnectError"),
        ("http://nowhere.invalid/", "ConnectError"),
        ("ftp://127.0.0.1/", "UnsupportedProtocol"),
        ("no address", "UnsupportedProtocol"),
        (":///v1/no/host", "UnsupportedProtocol"),
        ("://host:1/v1", "UnsupportedProtocol"),
        ("http://", "LocalProtocolError"),
        ("http://127.0.0.1:99999/", "LocalProtocolError"),
    ],
)
def test_where_nobody_is_nothing_is_sent(wires: Wires, url: str, kind: str) -> None:
    with pytest.raises(NetworkFailed) as caught:
        wires.get(wires.sender(), url)
    assert caught.value.kind == kind


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-secret-canary\n"},
        {"x-api-key": "sk-secret-canary\r\nx-evil: 1"},
        {"x-secret-canary\r\nx-evil": "1"},
        {"x-nul": "sk-secret-canary\0"},
    ],
)
def test_a_header_cannot_smuggle_another(wires: Wires, headers: dict[str, str]) -> None:
    with Upstream(answering) as upstream, pytest.raises(NetworkFailed) as caught:
        wires.get(wires.sender(), upstream.url, headers=headers)
    assert caught.value.kind == "LocalProtocolError"
    assert "header" in str(caught.value)
    assert "canary" not in str(caught.value)
    assert upstream.requests == 0


@pytest.mark.parametrize("method", ["GET /x HTTP/1.1\r\nx: y\r\n\r\nGET", "A B", ""])
def test_a_method_cannot_smuggle_a_request(wires: Wires, method: str) -> None:
    with Upstream(answering) as upstream, pytest.raises(NetworkFailed) as caught:
        wires.get(wires.sender(), upstream.url, method=method)
    assert (caught.value.kind, upstream.requests) == ("LocalProtocolError", 0)


@pytest.mark.parametrize("path", ["/a\r\nx-evil: 1", "/a b", "/ä", "/\0", "/a\tb"])
def test_an_address_cannot_smuggle_a_header(wires: Wires, path: str) -> None:
    with Upstream(answering) as upstream:
        try:
            wires.get(wires.sender(), upstream.url + path)
        except NetworkFailed as error:
            assert error.kind == "LocalProtocolError"
        heads = [head for peer in upstream.peers for head in peer.heads]
    assert all(b"x-evil" not in head.split(b"\r\n", 1)[1] and head.isascii() for head in heads)


def test_a_name_in_the_address_is_not_sent(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        wires.get(
            wires.sender(), upstream.url.replace("127", "user:pass@127", 1), headers={"authorization": "Bearer mine"}
        )
        head = upstream.peers[0].heads[0].lower()
    assert b"bearer mine" in head
    assert b"basic" not in head


def test_a_connection_closed_under_us_is_replaced_once(wires: Wires) -> None:
    """The server hangs up the moment the second request arrives on a used connection."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.request()
        peer.close()

    with Upstream(script) as upstream:
        send = wires.sender()
        assert wires.get(send, upstream.url)[0] == 200
        assert wires.get(send, upstream.url)[0] == 200
        assert (len(upstream.peers), upstream.requests) == (2, 3)


def test_a_fresh_connection_that_is_closed_is_not_tried_again(wires: Wires) -> None:
    with Upstream(once(b"")) as upstream, pytest.raises(NetworkFailed):
        wires.get(wires.sender(), upstream.url)
    assert upstream.requests == 1


def test_a_sender_closed_opens_again(wires: Wires) -> None:
    with Upstream(answering) as upstream:
        send = wires.sender()
        wires.get(send, upstream.url)
        wires.run(send.aclose())
        wires.run(send.aclose())
        assert upstream.peers[0].gone.wait(60)
        assert wires.get(send, upstream.url)[0] == 200


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"engine": "httpx2"}, ["httpx2", "httpx2"]),
        ({"engine": "pyreqwest"}, ["pyreqwest", "pyreqwest"]),
        ({"engine": "httptools"}, ["httptools", "httptools"]),
        ({"engine": "auto"}, ["httptools", "httptools"]),
        ({"engine": "auto", "http2": True}, ["httpx2", "httpx2"]),
        ({"engine": "httptools", "proxy": "http://127.0.0.1:1"}, ["httpx2", "httpx2"]),
    ],
)
def test_the_engine_is_named_before_it_is_opened(settings: dict[str, Any], names: list[str]) -> None:
    """What an engine cannot do goes over httpx2."""
    senders = choose(HttpSettings(**settings))
    assert [sender.name for sender in senders] == names
    drive(senders[0].aclose())
    asyncio.run(_close(senders[1]))


async def _close(sender: Any) -> None:
    await sender.aclose()
