"""The server on a real socket: connections, early closes, refusals, TLS, and bytes no client library would send."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from llm_edge.runtime import Signal
from llm_edge.testing import Certificates, Provider, answer, events, nobody_listens, raw, stream

CHAT = {"model": "m", "messages": []}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(answer("hi")) as made:
        yield made


def talk(provider: Provider, *pieces: bytes) -> bytes:
    """Send raw bytes and read until the server closes or says nothing more for the asked answer."""
    host, _, port = provider.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as wire:
        for piece in pieces:
            wire.sendall(piece)
        wire.shutdown(socket.SHUT_WR)
        found = b""
        while more := wire.recv(65536):
            found += more
        return found


def test_calls_share_a_kept_connection(provider: Provider) -> None:
    with httpx2.Client() as client:
        for _ in range(3):
            client.post(provider.url + "/v1/chat/completions", json=CHAT)
    assert {call.connection for call in provider.calls} == {1}


def test_a_closing_answer_ends_its_connection(provider: Provider) -> None:
    provider.script(answer("hi").closing())
    with httpx2.Client() as client:
        for _ in range(2):
            assert client.post(provider.url + "/v1/chat/completions", json=CHAT).headers["connection"] == "close"
    assert [call.connection for call in provider.calls] == [1, 2]


def test_a_client_that_asks_for_it_gets_its_connection_closed(provider: Provider) -> None:
    got = talk(provider, b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_early_close_is_seen_while_the_stream_is_silent(provider: Provider, colour: str) -> None:
    provider.script(stream("a", "b").stall(after_events=1))

    def leave() -> None:
        with httpx2.Client() as client:
            with client.stream("POST", provider.url + "/v1/chat/completions", json=CHAT | {"stream": True}) as answer:
                next(answer.iter_raw())

    async def aleave() -> None:
        async with httpx2.AsyncClient() as client:
            sent = client.stream("POST", provider.url + "/v1/chat/completions", json=CHAT | {"stream": True})
            async with sent as answer:
                await anext(answer.aiter_raw())

    leave() if colour == "sync" else asyncio.run(aleave())
    assert provider.last.wait_ended().closed_early


def test_an_answer_read_to_its_end_was_not_closed_early(provider: Provider) -> None:
    provider.script(stream("a", "b").pace(0.001))
    with httpx2.Client() as client:
        client.post(provider.url + "/v1/chat/completions", json=CHAT | {"stream": True})
    assert not provider.last.wait_ended().closed_early


def test_a_reader_that_stops_reading_stops_the_server(provider: Provider) -> None:
    size = 64 * 1024 * 1024
    provider.script(raw(b"x" * size))
    with httpx2.Client() as client, client.stream("POST", provider.url + "/file") as got:
        next(got.iter_raw())
    assert provider.last.wait_ended().closed_early


def test_waiting_for_the_end_of_a_call_that_goes_on_says_which(provider: Provider) -> None:
    provider.script(answer("hi").stall())
    with httpx2.Client(timeout=httpx2.Timeout(10, read=0.05)) as client, pytest.raises(httpx2.ReadTimeout):
        client.post(provider.url + "/v1/chat/completions", json=CHAT)
    provider.last.wait_ended()
    call = type(provider.last)(asked_again(provider))
    with pytest.raises(AssertionError, match=r"POST /v1/chat/completions .* still going on after 0.01 s"):
        call.wait_ended(0.01)


def asked_again(provider: Provider) -> Any:
    from llm_edge.testing.call import Asked

    return Asked(method="POST", target=provider.last.path, headers=(), body=b"{}")


def test_pings_go_out_until_the_signal(provider: Provider) -> None:
    go = Signal()
    provider.script(events("a", "b").stall(after_events=1, until=go, ping_every=0.001))
    with httpx2.Client() as client, client.stream("POST", provider.url + "/v1/chat/completions", json=CHAT) as answer:
        seen = b""
        for piece in answer.iter_raw():
            seen += piece
            if b": ping" in seen:
                go.set()
    assert seen.startswith(b"data: a\n\n: ping\n\n")
    assert seen.endswith(b": ping\n\ndata: b\n\n")


def test_a_server_can_refuse_and_accept_again(provider: Provider) -> None:
    with provider.serve() as server, httpx2.Client() as client:
        assert client.get(server.url + "/v1/models").status_code == 200
        server.refuse()
        assert server.open_connections == 0
        with pytest.raises(httpx2.ConnectError):
            client.get(server.url + "/v1/models")
        server.accept()
        assert client.get(server.url + "/v1/models").status_code == 200


def test_nobody_listens_where_nobody_listens() -> None:
    with nobody_listens() as url, httpx2.Client() as client, pytest.raises(httpx2.ConnectError):
        client.get(url)


def test_closing_frees_the_port_and_ends_the_thread(provider: Provider) -> None:
    server = provider.serve()
    before = {thread.name for thread in threading.enumerate()}
    server.close()
    server.close()
    assert "scripted-provider" in before
    assert "scripted-provider" not in {thread.name for thread in threading.enumerate()}
    with httpx2.Client() as client, pytest.raises(httpx2.ConnectError):
        client.get(server.url)


def test_many_callers_at_once_are_all_answered(provider: Provider) -> None:
    url = provider.url + "/v1/chat/completions"

    async def all_at_once() -> list[int]:
        async with httpx2.AsyncClient() as client:
            answers = await asyncio.gather(*(client.post(url, json=CHAT) for _ in range(50)))
        return [answer.status_code for answer in answers]

    assert asyncio.run(all_at_once()) == [200] * 50
    assert sorted(call.number for call in provider.calls) == list(range(1, 51))


def test_tls_with_a_certificate_of_ones_own(provider: Provider, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with provider.serve(tls=certificates.server_context()) as server:
        with httpx2.Client(verify=certificates.client_context()) as client:
            assert client.get(server.url + "/v1/models").status_code == 200
        with httpx2.Client() as client, pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            client.get(server.url + "/v1/models")


def test_tls_can_ask_the_client_for_its_certificate(provider: Provider, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    with provider.serve(tls=certificates.server_context(ask_client=True)) as server:
        with httpx2.Client(verify=certificates.client_context(certificate=True)) as client:
            assert client.get(server.url + "/v1/models").status_code == 200
        with httpx2.Client(verify=certificates.client_context()) as client, pytest.raises(httpx2.TransportError):
            client.get(server.url + "/v1/models")
    assert provider.asked(1)


def test_tls_can_be_cut_too(provider: Provider, tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    provider.script(raw(b"0123456789").cut(after_bytes=4))
    with (
        provider.serve(tls=certificates.server_context()) as server,
        httpx2.Client(verify=certificates.client_context()) as client,
        pytest.raises(httpx2.RemoteProtocolError),
    ):
        client.get(server.url + "/file")


def test_keys_of_certificates_are_for_their_owner_only(tmp_path: Path) -> None:
    made = Certificates(tmp_path)
    assert {file.stat().st_mode & 0o077 for file in (made.ca_file, made.server_file, made.client_file)} == {0}
    assert b"PRIVATE" not in made.ca_file.read_bytes()
    assert isinstance(made.client_context(certificate=True), ssl.SSLContext)


def test_a_request_in_chunks_is_read_whole(provider: Provider) -> None:
    def pieces() -> Iterator[bytes]:
        yield b'{"model":'
        yield b'"m"}'

    with httpx2.Client() as client:
        client.post(provider.url + "/v1/chat/completions", content=pieces())
    assert provider.last.json == {"model": "m"}
    assert provider.last.headers["transfer-encoding"] == "chunked"


def test_a_client_that_waits_for_it_is_told_to_go_on(provider: Provider) -> None:
    head = (
        b"POST /v1/models HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\nconnection: close\r\n\r\n"
    )
    host, _, port = provider.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=60) as wire:
        wire.sendall(head)
        assert wire.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sendall(b"{}")
        assert wire.recv(100).startswith(b"HTTP/1.1 404 ")


def test_requests_sent_back_to_back_are_answered_in_turn(provider: Provider) -> None:
    provider.script(raw(b"one"), raw(b"two").delay(0.001), raw(b"three"))
    one = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    host, _, port = provider.url.removeprefix("http://").rpartition(":")
    found = b""
    with socket.create_connection((host, int(port)), timeout=60) as wire:
        wire.sendall(one * 3)
        while b"three" not in found:
            found += wire.recv(65536)
    assert found.index(b"one") < found.index(b"two") < found.index(b"three")


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01 hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/2\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_not_recorded(provider: Provider, nonsense: bytes) -> None:
    assert talk(provider, nonsense).startswith(b"HTTP/1.1 400 ")
    provider.never_asked()


def test_it_can_stand_in_for_a_proxy(provider: Provider) -> None:
    with httpx2.Client(proxy=provider.url) as client:
        client.post("http://api.example.test/v1/chat/completions?a=1", json=CHAT)
    assert (provider.last.origin, provider.last.path, provider.last.query) == (
        "http://api.example.test",
        "/v1/chat/completions",
        {"a": "1"},
    )
