"""The edges of the real server over raw sockets: framing, crowds, leaving, stopping, dying."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from llm_edge.runtime import Signal
from llm_edge.serve.__main__ import main
from llm_edge.testing import Provider, answer, stream

from ..ports import free_port
from .conftest import toml
from .kit import CHAT, Process, everything, post, running, until
from .sockets import children, connections, listens
from .test_server import body

HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: a\r\n".encode()
LIVE = b"GET /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
MOST = 12


@pytest.fixture(scope="module")
def edge(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A sidecar that takes few connections at once, and tells its metrics elsewhere."""
    more = f"[serve]\nconnections = {MOST}\nmetrics_port = {free_port()}\n[serve.auth]\nmetrics = false\n"
    with running(tmp_path_factory.mktemp("wire"), toml(upstream, more)) as process:
        yield process


def chunked(text: str) -> bytes:
    asked = body(text)
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(asked), asked)


@pytest.mark.parametrize(
    "head",
    [
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        b"Transfer-Encoding: chunked, chunked\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n",
        b"Transfer-Encoding: \x0bchunked\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 0x10\r\n",
        b"Content-Length: 5, 6\r\n",
        b" Leading: a\r\n",
        b"X: a\rContent-Length: 5\r\n",
    ],
)
def test_framing_that_readers_could_read_differently_is_refused(head: bytes, edge: Process) -> None:
    sent = HEAD + head + b"Connection: close\r\n\r\n" + chunked("framed?")
    assert edge.raw(sent).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    "chunks",
    [b"-1\r\n", b"FFFFFFFFFFFFFFFFFF\r\n", b"2\n{}\r\n0\r\n\r\n", b"2\r\n{}XX0\r\n\r\n", b"2;a\nb\r\n{}\r\n0\r\n\r\n"],
)
def test_chunks_that_are_none_are_refused_in_the_callers_dialect(chunks: bytes, edge: Process) -> None:
    said = edge.raw(HEAD + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n",
        b"Content-Length: 4\r\nX: a\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nX: a\nContent-Length: 4\r\nConnection: keep-alive\r\n",
    ],
    ids=["length first", "chunks first", "chunks behind a line feed", "length behind a line feed"],
)
def test_what_follows_a_body_framed_twice_is_never_a_request(framing: bytes, edge: Process, provider: Provider) -> None:
    """RFC 9112, 6.3: the chunks are the body, whatever the length says, and the connection ends with the answer."""
    provider.script(answer("Paris."))
    before, text = len(provider.calls), f"twice {framing!r}?"
    came = edge.raw(HEAD + framing + b"\r\n" + chunked(text) + b"GET /v1/models HTTP/1.1\r\nHost: a\r\n\r\n")
    assert came.startswith(b"HTTP/1.1 200 ")
    assert came.count(b"HTTP/1.1 ") == 1
    assert b"connection: close" in came
    assert [call.json["messages"] for call in provider.calls[before:]] == [json.loads(body(text))["messages"]]


def test_a_body_that_breaks_off_is_a_bad_request(edge: Process) -> None:
    with edge.connected() as sock:
        sock.sendall(post(CHAT, b'{"mo', "Content-Length: 500"))
        sock.shutdown(socket.SHUT_WR)
        assert b" 400 " in everything(sock)


@pytest.mark.parametrize(
    "line",
    [b"CONNECT a:80", b"TRACE /", b"OPTIONS *", b"GET /v1/models/%00", b"GET /v1/models/%ff%fe", b"GET /%2e%2e/etc"],
)
def test_odd_requests_are_refused_in_the_one_shape(line: bytes, edge: Process) -> None:
    said = edge.raw(line + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 4")
    assert json.loads(said.partition(b"\r\n\r\n")[2])["error"]["message"]


def test_beyond_its_most_connections_others_wait_until_one_is_gone(edge: Process) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(edge.connected()) for _ in range(MOST)]
        for sock in held:
            sock.sendall(LIVE.replace(b"close", b"keep-alive"))
            assert b" 200 " in sock.recv(4096)
        waiting = stack.enter_context(edge.connected())
        waiting.sendall(LIVE)
        waiting.settimeout(0.2)
        with pytest.raises(TimeoutError):
            waiting.recv(1)
        held[0].close()
        waiting.settimeout(20)
        assert b" 200 " in everything(waiting)


def test_small_writes_go_out_at_once(edge: Process) -> None:
    """Without TCP_NODELAY an event would wait for the caller's word on the one before: 40 ms."""
    with edge.connected() as sock:
        sock.sendall(LIVE.replace(b"close", b"keep-alive"))
        assert b" 200 " in sock.recv(4096)
        here = sock.getsockname()
        (worker,) = children(edge.process.pid)
        with connections(worker) as found:
            ours = [each for each in found if _peer(each) == here]
            assert [each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for each in ours] == [1]


def _peer(sock: socket.socket) -> object:
    with contextlib.suppress(OSError):  # one that listens has none
        return sock.getpeername()
    return None


def test_a_reset_stream_of_http_2_ends_the_call_upstream(edge: Process, provider: Provider) -> None:
    provider.script(stream("Par", "is.").stall(after_events=2))
    with edge.connected() as sock:
        wire = h2.connection.H2Connection(h2.config.H2Configuration())
        wire.initiate_connection()
        head = {
            ":method": "POST",
            ":path": CHAT,
            ":scheme": "http",
            ":authority": "a",
            "content-type": "application/json",
        }
        wire.send_headers(1, list(head.items()))
        wire.send_data(1, body("reset?", stream=True), end_stream=True)
        sock.sendall(wire.data_to_send())
        seen: list[object] = []
        while not any(isinstance(each, h2.events.DataReceived) for each in seen):
            seen += wire.receive_data(sock.recv(65536))
            sock.sendall(wire.data_to_send())
        assert not provider.last.closed_early
        wire.reset_stream(1, 8)
        sock.sendall(wire.data_to_send())
        until(lambda: provider.last.closed_early)


def test_metrics_may_have_a_port_of_their_own(edge: Process, provider: Provider) -> None:
    provider.script(answer("Paris."))
    assert b" 200 " in edge.raw(post(CHAT, body("counted?")))
    settings = edge.file.read_text()
    port = settings.partition("metrics_port = ")[2].split()[0]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as told:
        assert "llm_edge_requests_total{" in told.read().decode()
        assert told.headers["x-content-type-options"] == "nosniff"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=20)
    assert caught.value.code == 400
    assert "error" in json.loads(caught.value.read())
    assert b" 404 " in edge.raw(LIVE.replace(b"/health/live", b"/metrics"))


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n", 405),
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /metrics HTTP/9.9\r\n\r\n", 400),
        (b"GET /metrics HTTP/1.1\r\n" + b"X: a\r\n" * 200 + b"\r\n", 431),
    ],
    ids=["another method", "HEAD", "no HTTP", "a version that is none", "too many fields"],
)
def test_what_is_malformed_on_the_port_of_metrics_is_refused_as_elsewhere(
    sent: bytes, code: int, edge: Process
) -> None:
    """It was a page of the library's, which tells its version, and some were 5xx."""
    port = int(edge.file.read_text().partition("metrics_port = ")[2].split()[0])
    with socket.create_connection(("127.0.0.1", port), timeout=60) as sock:
        sock.sendall(sent)
        head, _, said = everything(sock).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 %d " % code)
    assert b"Python" not in head
    assert (said == b"") if sent.startswith(b"HEAD") else (json.loads(said)["error"]["message"])


def test_metrics_on_a_port_of_their_own_need_the_same_key(upstream: str, tmp_path: Path) -> None:
    port, key = free_port(), "a-key-of-sixteen-and-more"
    more = f'[serve]\nmetrics_port = {port}\n[serve.auth]\nkeys = ["{key}"]\n'
    with running(tmp_path, toml(upstream, more)):
        for headers, code in (({}, 401), ({"x-api-key": key}, 403)):
            asked = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers)
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(asked, timeout=20)
            assert caught.value.code == code
            caught.value.close()


def test_told_to_stop_under_load_it_finishes_every_stream(upstream: str, provider: Provider, tmp_path: Path) -> None:
    go_on, count = Signal(), 50
    provider.script(stream("Par", "is.").stall(after_events=2, until=go_on))
    held = f'[cache.disk]\ndirectory = "{tmp_path / "kept"}"\n[cache]\nsecret = "{"s" * 32}"\n'
    with running(tmp_path, toml(upstream, held)) as process, contextlib.ExitStack() as stack:
        streams = [stack.enter_context(process.connected()) for _ in range(count)]
        for number, sock in enumerate(streams):
            sock.sendall(post(CHAT, body(f"stopping {number}?", stream=True)))
        for sock in streams:
            assert b" 200 " in sock.recv(4096)
        process.signal(signal.SIGTERM)
        until(lambda: _refused(process))
        go_on.set()
        assert all(b"[DONE]" in everything(sock) for sock in streams)
        assert process.ended() == 0
    (kept,) = (tmp_path / "kept").rglob("cache.db")
    with contextlib.closing(sqlite3.connect(kept)) as database:  # what was told at the end was written, too
        # Beside the answers there may be claims of calls, which end by themselves.
        answers = [key for (key,) in database.execute("select key from Cache") if ":" not in str(key)]
        assert len(answers) == count


def _refused(process: Process) -> bool:
    try:
        process.connected().close()
    except OSError:
        return True
    return False


def test_others_go_on_when_a_worker_is_killed(upstream: str, provider: Provider, tmp_path: Path) -> None:
    go_on = Signal()
    provider.script(stream("Par", "is.").stall(after_events=2, until=go_on))
    with running(tmp_path, toml(upstream), "--workers", "2") as process, contextlib.ExitStack() as stack:
        until(lambda: [listens(each) for each in children(process.process.pid)] == [True, True])
        before = children(process.process.pid)
        streams = [stack.enter_context(process.connected()) for _ in range(16)]
        for number, sock in enumerate(streams):
            sock.sendall(post(CHAT, body(f"killed {number}?", stream=True)))
        for sock in streams:
            assert b" 200 " in sock.recv(4096)
        here = {sock.getsockname(): sock for sock in streams}
        with connections(before[1]) as found:
            others = [here[peer] for each in found if (peer := _peer(each)) in here]
        assert others
        os.kill(before[0], signal.SIGKILL)
        go_on.set()
        assert all(b"[DONE]" in everything(sock) for sock in others)
        until(lambda: before[0] not in (now := children(process.process.pid)) and len(now) == 2)
        assert before[1] in children(process.process.pid)
        assert until(lambda: b" 200 " in process.raw(LIVE))


def test_a_port_for_metrics_where_somebody_listens_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found out by the worker, it would serve without that port, and without a word at its end."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("METRICS_PORT", str(other.getsockname()[1]))
        assert main(["--port", str(free_port())]) == 2
    assert "serve.metrics_port (variable METRICS_PORT): cannot be listened on" in capsys.readouterr().err
