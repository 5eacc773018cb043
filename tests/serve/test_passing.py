"""Paths that llm_edge does not know, passed to a provider: as they come, and no longer than somebody listens."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator

import pytest

from llm_edge.runtime import Signal
from llm_edge.testing import Provider, events, json_body, raw

from .conftest import toml
from .kit import Process, everything, post, running, until

SPEECH, FILE = "/v1/audio/speech", b"GET /v1/files/f-1/content HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"


@pytest.fixture(scope="module")
def passing(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    more = '[serve]\npass_through = "openai"\nwrite_timeout = 1\n[breaker]\nenabled = false\n'
    with running(tmp_path_factory.mktemp("passing"), toml(upstream, more)) as process:
        yield process


def unchunked(body: bytes) -> bytes:
    found = []
    while body:
        size, _, body = body.partition(b"\r\n")
        found.append(body[: int(size, 16)])
        body = body[int(size, 16) + 2 :]
    return b"".join(found)


def test_events_go_out_as_they_come(passing: Process, provider: Provider) -> None:
    go_on = Signal()
    provider.script(events("one", "two").stall(after_events=1, until=go_on))
    with passing.connected() as sock:
        sock.sendall(post("/v1/images/generations", b'{"stream":true}'))
        seen = b""
        while b"data: one\n\n" not in seen:
            seen += sock.recv(4096)
        assert b"two" not in seen
        go_on.set()
        assert b"data: two\n\n" in everything(sock)


@pytest.mark.parametrize("begun", [True, False])
def test_a_caller_who_leaves_ends_it_at_the_provider(passing: Process, provider: Provider, begun: bool) -> None:
    provider.script(events("one", "two").stall(after_events=1) if begun else json_body({}).stall())
    before = len(provider.calls)
    with passing.connected() as sock:
        sock.sendall(post("/v1/images/generations", b"{}"))
        if begun:
            assert sock.recv(4096)
        until(lambda: len(provider.calls) > before)
    assert until(lambda: provider.last.closed_early)


def test_a_reader_who_does_not_read_holds_up_the_provider(passing: Process, provider: Provider) -> None:
    size, count = 20_000, 4000
    provider.script(events(*["x" * size] * count))
    before = len(provider.calls)
    with passing.connected() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(post(SPEECH, b"{}"))
        until(lambda: len(provider.calls) > before and provider.last.closed_early)  # after write_timeout
    assert provider.last.sent < size * count * 3 / 4


def test_a_large_answer_arrives_whole(passing: Process, provider: Provider) -> None:
    film = bytes(range(256)) * 4096
    provider.script(raw(film, content_type="video/mp4").headers({"content-disposition": "attachment"}))
    head, _, body = passing.raw(FILE + b"\r\n").partition(b"\r\n\r\n")
    assert b"content-disposition: attachment" in head
    assert b"content-type: video/mp4" in head
    assert b"x-llm-edge-target" not in head  # where the provider is, is nobody's business
    assert unchunked(body) == film


def test_a_small_answer_is_compressed_for_who_asks(passing: Process, provider: Provider) -> None:
    provider.script(json_body({"data": ["file"] * 1000}))
    head, _, body = passing.raw(FILE + b"Accept-Encoding: gzip\r\n\r\n").partition(b"\r\n\r\n")
    assert b"content-encoding: gzip" in head
    assert gzip.decompress(body).count(b"file") == 1000


def test_an_answer_that_breaks_off_is_cut(passing: Process, provider: Provider) -> None:
    provider.script(events("one", "two").cut(after_events=1))
    found = passing.raw(post(SPEECH, b"{}"))
    assert b"data: one" in found
    assert not found.endswith(b"0\r\n\r\n")  # or it would look whole
    assert not any("failed inside" in line for line in passing.lines)


@pytest.mark.parametrize(
    "path", ["files/a%3Fb%23c%20d%25", "files/%252e%252e/x", "fine_tuning/jobs/ft:a,b@c", "x/%C3%A4"]
)
def test_a_path_arrives_as_it_was_meant(path: str, passing: Process, provider: Provider) -> None:
    """What was escaped came out as a query, a fragment, or a way up."""
    provider.script(json_body({}))
    passing.raw(b"GET /v1/%b?a=%%20b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path.encode())
    assert provider.last.target == f"/v1/{path}?a=%20b"
