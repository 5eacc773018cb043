"""A connection used again: never for a request sent twice, never for an answer that belongs to another."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from llm_edge.errors import ConfigError, NetworkFailed
from llm_edge.http.sender import Answer
from llm_edge.http.senders import HttpSettings, choose
from llm_edge.message import Headers, Saved
from llm_edge.providers.base import Wire

from .conftest import WAYS
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
    opened,
    patient,
    post,
    then_silent,
)

STRAY = OK.replace(b'{"ok":true}', b'{"ok":null}')


def broken(peer: Peer) -> None:
    """Ends the connection with a reset, not a good-bye."""
    peer.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.sock.close()


def test_a_stream_read_to_its_end_gives_its_connection_back(wires: Wires) -> None:
    def script(peer: Peer) -> None:
        while peer.request() is not None:
            peer.send(CHUNKED + chunk(b"data: [DONE]\n\n"))
            peer.send(b"0\r\n\r\n")

    with Upstream(script) as upstream:
        send = wires.sender()
        for _ in range(3):
            assert wires.get(send, upstream.url, patient(silence=5.0))[2] == b"data: [DONE]\n\n"
        assert (len(upstream.peers), upstream.requests) == (1, 3)


@pytest.fixture
def told(colour: Any, engine: str) -> Iterator[Wires]:
    """The engines that know whether a byte of an answer has come."""
    with opened(Wires(engine, colour)) as one:
        yield one


TELLING = [way for way in WAYS if way[1] != "pyreqwest"]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
@pytest.mark.parametrize(("colour", "engine"), TELLING, indirect=["colour"])
def test_a_request_is_not_repeated_once_its_answer_has_begun(told: Wires, method: str) -> None:

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.request()
        peer.send(b"HTTP/1.1 200 O")

    with Upstream(script) as upstream:
        send = told.sender()
        assert told.get(send, upstream.url)[0] == 200
        with pytest.raises(NetworkFailed):
            told.get(send, upstream.url, method=method)
        assert upstream.requests == 2


@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_a_new_connection_that_is_closed_ends_the_call_whatever_its_method(wires: Wires, method: str) -> None:
    with Upstream(once(b"")) as upstream, pytest.raises(NetworkFailed):
        wires.get(wires.sender(), upstream.url, method=method)
    assert upstream.requests == 1


def upload(url: str) -> Wire:
    return Wire(url=url, headers=Headers({"content-length": "6"}), upload=Saved([b"abc", b"def"]))


def test_an_upload_that_has_begun_is_not_sent_again(wires: Wires) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        peer.request()

    with Upstream(script) as upstream:
        send = wires.sender()
        wires.run(wires.fetch(send, upload(upstream.url)))
        with pytest.raises(NetworkFailed):
            wires.run(wires.fetch(send, upload(upstream.url)))
        assert upstream.requests == 2


def test_an_answer_nobody_asked_for_is_not_taken_for_the_next(wires: Wires) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK)
        if len(upstream.peers) == 1:
            assert asked.wait(LONG)
            peer.send(STRAY)
            sent.set()
        answering(peer)

    asked, sent = threading.Event(), threading.Event()
    with Upstream(script) as upstream:
        send = wires.sender()
        assert wires.get(send, upstream.url)[2] == b'{"ok":true}'
        asked.set()
        assert sent.wait(LONG)
        assert wires.get(send, upstream.url)[2] == b'{"ok":true}'


def test_an_answer_that_hides_behind_another_is_not_taken_for_the_next() -> None:
    """The head of the first has come before, so that its end and the second come together."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(OK[:-3])
        if len(upstream.peers) == 1:
            assert begun.wait(LONG)
            peer.send(OK[-3:] + STRAY)
        else:
            peer.send(OK[-3:])
        answering(peer)

    async def talk(url: str) -> None:
        send = choose(HttpSettings(engine="httptools", trust_env=False))[1]
        answer = await send(post(url), patient())
        begun.set()
        assert await answer_of(answer) == b'{"ok":true}'
        again = await send(post(url), patient())
        assert await answer_of(again) == b'{"ok":true}'
        await send.aclose()

    begun = threading.Event()
    with Upstream(script) as upstream:
        asyncio.run(talk(upstream.url))
        assert len(upstream.peers) == 2


async def answer_of(answer: Answer) -> bytes:
    data = b""
    try:
        while True:
            data += await answer.source.__anext__()
    except StopAsyncIteration:
        return data


def test_a_body_without_a_length_that_is_broken_off_is_not_whole(wires: Wires) -> None:
    def script(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        assert begun.wait(LONG)
        broken(peer)

    async def talk(url: str) -> None:
        answer = await send(post(url), patient(silence=5.0))
        assert await answer.source.__anext__() == b"half of it"
        begun.set()
        with pytest.raises(NetworkFailed) as caught:
            await answer.source.__anext__()
        assert caught.value.kind in ("ReadError", "RemoteProtocolError")

    begun = threading.Event()
    with Upstream(script) as upstream:
        send = wires.sender()
        wires.run(talk(upstream.url))


def test_a_body_of_2_mb_is_sent_whole(wires: Wires) -> None:
    content = bytes(range(256)) * 8192
    with Upstream(answering) as upstream:
        assert wires.get(wires.sender(), upstream.url, content=content)[0] == 200
        assert upstream.peers[0].bodies == [content]
        assert f"content-length: {len(content)}".encode() in upstream.peers[0].heads[0].lower()


def test_how_a_body_is_framed_is_said_once(wires: Wires) -> None:
    """Two different lengths on one request are how one request is smuggled inside another."""
    with Upstream(answering) as upstream:
        send = wires.sender()
        assert wires.get(send, upstream.url, headers={"content-length": "13"})[0] == 200
        wire = Wire(url=upstream.url, headers=Headers({"transfer-encoding": "chunked"}), upload=Saved([b"abc"]))
        assert wires.run(wires.fetch(send, wire))[0] == 200
        heads = [head.lower() for peer in upstream.peers for head in peer.heads]
    assert [head.count(b"content-length:") for head in heads] == [1, 0]
    assert [head.count(b"transfer-encoding:") for head in heads] == [0, 1]


def test_a_socks_proxy_is_never_passed_by(wires: Wires, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1")
    with Upstream(answering) as upstream, pytest.raises((NetworkFailed, ConfigError)):
        wires.get(wires.sender(trust_env=True), upstream.url)
    assert upstream.requests == 0


def test_a_call_that_waits_for_room_when_all_is_closed_is_an_error_not_a_cancellation() -> None:
    async def talk(url: str) -> None:
        send = choose(HttpSettings(engine="httptools", trust_env=False, pool=1))[1]
        held = await send(post(url), patient())
        waiting = asyncio.ensure_future(send(post(url), patient(2 * LONG)))
        for _ in range(8):
            await asyncio.sleep(0)
        await send.aclose()
        await held.source.aclose()
        with pytest.raises(NetworkFailed):
            await asyncio.wait_for(waiting, LONG)

    with Upstream(then_silent(CHUNKED)) as upstream:
        asyncio.run(talk(upstream.url))
