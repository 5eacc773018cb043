"""The real server in a process of its own, over sockets: the SDKs, curl, and those who mean no good."""

from __future__ import annotations

import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import anthropic
import google.genai
import openai
import pytest

from llm_edge import EdgeClient
from llm_edge.runtime import Signal, ThreadClock
from llm_edge.serve.__main__ import main
from llm_edge.serve.banner import banner
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import KeyStore
from llm_edge.serve.waking import Waking
from llm_edge.testing import Provider, answer, status, stream

from .conftest import toml
from .kit import CHAT, Process, everything, post, question, running, until
from .sockets import children

CHUNK = re.compile(rb"\r\n\r\n")


def asked(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def body(text: str = "Hi", **fields: object) -> bytes:
    return json.dumps(question(text, **fields)).encode()


def test_the_openai_sdk_is_answered(server: Process, provider: Provider) -> None:
    provider.script(answer("Paris."))
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any") as client:
        reply = client.chat.completions.create(model="fast", messages=asked("sdk?"))  # type: ignore[arg-type]
        assert reply.choices[0].message.content == "Paris."
        assert "fast" in [model.id for model in client.models.list()]
        assert client.responses.create(model="fast", input="responses?").output_text == "Paris."


def test_the_openai_sdk_reads_a_stream(server: Process, provider: Provider) -> None:
    provider.script(stream("Par", "is."))
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any") as client:
        chunks = client.chat.completions.create(model="fast", messages=asked("s?"), stream=True)  # type: ignore[call-overload]
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Paris."


def test_the_openai_sdk_sees_a_refusal_once(server: Process, provider: Provider) -> None:
    provider.script(status(400, "no such thing"))
    before = len(provider.calls)
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="any") as client:
        with pytest.raises(openai.BadRequestError, match="no such thing"):
            client.chat.completions.create(model="fast", messages=asked("bad?"))  # type: ignore[arg-type]
    assert len(provider.calls) - before == 1


def test_the_anthropic_sdk_is_answered(server: Process, provider: Provider) -> None:
    provider.script(answer("Paris."), stream("Par", "is."))
    with anthropic.Anthropic(base_url=server.url, api_key="any") as client:
        given = {"model": "fast", "max_tokens": 5, "messages": asked("claude?")}
        assert client.messages.create(**given).content[0].text == "Paris."  # type: ignore[arg-type,union-attr]
        with client.messages.stream(**{**given, "messages": asked("streamed?")}) as told:  # type: ignore[arg-type]
            assert "".join(told.text_stream) == "Paris."
        with pytest.raises(anthropic.NotFoundError) as caught:
            client.messages.create(**{**given, "model": "unheard-of"})  # type: ignore[arg-type]
        assert caught.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]


def test_googles_sdk_is_answered(server: Process, provider: Provider) -> None:
    provider.script(answer("Paris."))
    options = google.genai.types.HttpOptions(base_url=server.url)
    with google.genai.Client(api_key="any", vertexai=False, http_options=options) as client:
        assert client.models.generate_content(model="fast", contents="google?").text == "Paris."


def test_curl_is_answered(server: Process, provider: Provider) -> None:
    provider.script(answer("Paris."))
    curl = shutil.which("curl")
    assert curl is not None, "curl is part of every test machine"
    for option in ("--http1.1", "--http2-prior-knowledge"):
        done = subprocess.run(
            [curl, "-sS", option, "-d", body(option).decode(), server.url + CHAT],
            capture_output=True, text=True, timeout=30, check=True,
        )  # fmt: skip
        assert json.loads(done.stdout)["choices"][0]["message"]["content"] == "Paris."


def test_each_event_goes_out_by_itself(server: Process, provider: Provider) -> None:
    go_on = Signal()
    provider.script(stream("Par", "is.").stall(after_events=2, until=go_on))
    with server.connected() as sock:
        sock.sendall(post(CHAT, body("flushed?", stream=True)))
        seen = b""
        while b'"Par"' not in seen:
            seen += sock.recv(4096)
        assert b"is." not in seen  # it is not written yet: what came before was not held back
        go_on.set()
        assert b"is." in everything(sock)


@pytest.mark.parametrize("streamed", [True, False])
def test_a_caller_who_leaves_ends_the_call_upstream(streamed: bool, server: Process, provider: Provider) -> None:
    step = stream("Par", "is.").stall(after_events=2) if streamed else answer("Paris.").stall()
    provider.script(step)
    with server.connected() as sock:
        sock.sendall(post(CHAT, body(f"leaving {streamed}?", stream=streamed)))
        if streamed:
            assert sock.recv(4096)
        else:
            until(lambda: bool(provider.calls) and provider.last.field("stream") is False)
    until(lambda: provider.last.closed_early)
    assert provider.last.closed_early


def test_a_reader_who_does_not_read_holds_up_the_provider(upstream: str, provider: Provider, tmp_path: Path) -> None:
    size, count = 20_000, 4000  # far more than what systems keep of a connection: Linux up to 33 MB, and 4 on the way
    provider.script(stream(*["x" * size] * count))
    before = len(provider.calls)
    with running(tmp_path, toml(upstream, "[serve]\nwrite_timeout = 1\n")) as process, process.connected() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(post(CHAT, body("slow?", stream=True)))
        until(lambda: len(provider.calls) > before and provider.last.closed_early)  # after write_timeout
        assert provider.last.sent < size * count * 3 / 4


MALFORMED = {
    "two lengths": (post(CHAT, b"{}", "Content-Length: 2", "Content-Length: 3"), 400),
    "an encoding of transfer that is none": (post(CHAT, b"{}", "Transfer-Encoding: xchunked"), 400),
    "chunks of HTTP/1.0": (
        post(CHAT, b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked").replace(b"HTTP/1.1", b"HTTP/1.0"),
        400,
    ),
    "a chunk without a length": (post(CHAT, b"zz\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), 400),
    "a length below nothing": (post(CHAT, b"{}", "Content-Length: -1"), 400),
    "a field on two lines": (post(CHAT, b"{}", "X-Folded: a\r\n b"), 400),
    "two hosts": (post(CHAT, b"{}", "Host: elsewhere"), 400),
    "no host": (b"POST /v1/chat/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}", 400),
    "a version that is none": (b"POST /v1/chat/completions HTTP/9.9\r\nHost: a\r\n\r\n", 400),
    "TLS to a plain port": (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
    "too many fields": (post(CHAT, b"{}", *[f"X-{at}: a" for at in range(200)]), 431),
    "a long field": (post(CHAT, b"{}", "X-Large: " + "a" * 20_000), 431),
    "a very long field": (post(CHAT, b"{}", "X-Huge: " + "a" * 200_000), 431),
    "a large body": (post(CHAT, b"x" * 100_001), 413),
    "a large length": (post(CHAT, b"", "Content-Length: 999999999999"), 413),
    "a body that swells": (post(CHAT, gzip.compress(b"0" * 10_000_000, mtime=0), "Content-Encoding: gzip"), 413),
    "a zero byte in a field": (post(CHAT, b"{}", "X-Nul: a\0b"), 400),
}


@pytest.mark.parametrize(("sent", "code"), MALFORMED.values(), ids=MALFORMED)
def test_what_is_malformed_on_the_wire_is_refused(sent: bytes, code: int, server: Process) -> None:
    assert server.raw(sent).split(b" ")[1] == str(code).encode()


def test_a_body_in_chunks_is_held_to_the_same_size(server: Process) -> None:
    with server.connected() as sock:
        sock.sendall(post(CHAT, b"", "Transfer-Encoding: chunked"))
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        try:
            for _ in range(40):
                sock.sendall(chunk)
        except OSError:
            pass  # it is refused before all is sent
        assert everything(sock)[9:12] in {b"413", b""}


def test_headers_that_never_end_are_cut_off(server: Process) -> None:
    with server.connected() as sock:
        sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nX-Slow: ")
        assert b" 200 " not in everything(sock)  # and the connection is over


def test_a_body_that_never_comes_is_cut_off(server: Process) -> None:
    with server.connected() as sock:
        sock.sendall(post(CHAT, b'{"model"', "Content-Length: 500"))
        assert b" 408 " in everything(sock)


def test_told_to_stop_it_finishes_what_it_has_begun(upstream: str, provider: Provider, tmp_path: Path) -> None:
    go_on = Signal()
    provider.script(stream("Par", "is.").stall(after_events=2, until=go_on))
    with running(tmp_path, toml(upstream)) as process, process.connected() as sock:
        sock.sendall(post(CHAT, body("stopping?", stream=True)))
        assert sock.recv(4096)
        process.signal(signal.SIGTERM)
        until(lambda: _refused(process))
        go_on.set()
        assert b"[DONE]" in everything(sock)
        assert process.ended() == 0
        assert not [line for line in process.lines if "refused to gracefully stop" in line]


def _refused(process: Process) -> bool:
    try:
        process.connected().close()
    except OSError:
        return True
    return False


def test_a_reload_takes_a_good_configuration_and_refuses_a_bad_one(
    upstream: str, provider: Provider, tmp_path: Path
) -> None:
    provider.script(answer("Paris."))
    with running(tmp_path, toml(upstream), "--reload-config") as process:
        process.file.write_text("[cache]\nttl = -1\n")  # it is looked at, without a signal
        process.printed("the old one goes on")
        assert b'"fast"' in process.raw(b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        process.file.write_text(toml(upstream, '[routes.other]\ntargets = "openai/x"\n'))
        process.signal(signal.SIGHUP)
        # Both workers answer for a moment.
        assert until(lambda: b'"other"' in _models(process))


def _models(process: Process) -> bytes:
    try:
        return process.raw(b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    except OSError:
        return b""


def test_a_worker_that_dies_is_replaced(upstream: str, provider: Provider, tmp_path: Path) -> None:
    provider.script(answer("Paris."))
    with running(tmp_path, toml(upstream)) as process:
        (worker,) = children(process.process.pid)
        os.kill(worker, signal.SIGKILL)
        assert until(lambda: b"Paris." in _answered(process))


def _answered(process: Process, *headers: str) -> bytes:
    try:
        return process.raw(post(CHAT, body("again?"), *headers))
    except OSError:
        return b""


def test_a_worker_that_takes_anothers_place_needs_no_more_than_that_one(
    upstream: str, provider: Provider, tmp_path: Path
) -> None:
    """The whole sidecar ended else: where the file of settings is not good by now, or the keys cannot be read."""
    provider.script(answer("Paris."))
    with closing(KeyStore(KeyFile(tmp_path / "keys.db"), ThreadClock())) as store:
        key = f"x-api-key: {store.create('me')[0]}"
    more = f'[serve.auth]\nkeys = ["sk-fixed-0123456789"]\ndatabase = "{tmp_path / "keys.db"}"\n'
    with running(tmp_path, toml(upstream, more)) as process:
        assert b"Paris." in _answered(process, key)
        (first,) = children(process.process.pid)
        process.file.write_text("[cache]\nttl = -1\n")
        away = (tmp_path / "keys.db").rename(tmp_path / "away.db")
        os.kill(first, signal.SIGKILL)
        until(lambda: b"keys_unavailable" in _answered(process, key), process)
        assert b"Paris." in _answered(process, "x-api-key: sk-fixed-0123456789")
        assert process.process.poll() is None
        away.rename(tmp_path / "keys.db")
        until(lambda: b"Paris." in _answered(process, key), process)


def test_workers_count_together(upstream: str, provider: Provider, tmp_path: Path) -> None:
    provider.script(answer("Paris."))
    with running(tmp_path, toml(upstream), "--workers", "2") as process:
        assert until(lambda: _workers(process) == 2)
        for at in range(6):
            assert b"Paris." in process.raw(post(CHAT, body(f"worker {at}?")))
        assert until(lambda: _counted(process) == 6)  # each worker shares its counts twice a second


def _counted(process: Process) -> float:
    told = process.raw(b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").decode()
    return sum(float(line.split()[-1]) for line in told.splitlines() if line.startswith("llm_edge_requests_total{"))


def _workers(process: Process) -> int:
    number = process.process.pid
    return len(Path(f"/proc/{number}/task/{number}/children").read_text().split())


def test_it_says_where_it_is_and_no_secret(upstream: str, tmp_path: Path) -> None:
    with running(tmp_path, toml(upstream)) as process:
        assert str(process.port) in process.printed("llm_edge serves on")
        assert str(process.file) in process.printed("settings")
        process.printed("curl http")
        assert not [line for line in process.lines if "sk-" in line]


def test_a_file_of_settings_that_is_not_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with EdgeClient(env={}, budgets={"tenant": {"usd_per_day": 5}}) as edge:
        assert "settings   none\n" in banner(edge, None)
        assert "budgets    tenant\n" in banner(edge, None)
        Path("edge.toml").touch()
        assert "settings   none; edge.toml is read with --config edge.toml\n" in banner(edge, None)


def test_with_one_key_in_the_environment_it_needs_no_configuration(tmp_path: Path) -> None:
    names = {"OPENAI_API_KEY": "sk-house", "MAX_REQUEST_SIZE": "1KiB", "SERVER_TIMEOUT_SECONDS": "3"}
    with running(tmp_path, "", env=names) as process:
        assert process.printed("providers").split()[-1] == "openai"
        assert b" 413 " in process.raw(post(CHAT, b"x" * 1025))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('[serve]\nhost = "nowhere"\n', "serve.host"),
        ('[serve.tls]\ncert_file = "no"\nkey_file = "no"\n', "serve.tls.cert_file"),
        ("[serve]\nworkers = 1000000\n", "serve.workers ("),
        ("[serve]\ndrain = 30_000_000\n", "serve.drain ("),
        ("[serve]\nworkers = 2\n[limits.global]\nrequests_per_second = 5\n", 'add the lines kind = "redis"'),
        ("[serve]\nworkers = 2\n[budgets.global]\nusd_per_day = 5\n", "count [budgets] for itself"),
    ],
)
def test_what_cannot_be_served_is_told_at_the_start(
    settings: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(settings)
    before = dict(os.environ)
    assert main(["--config", str(file)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("llm-edge: ")
    assert words in said
    assert dict(os.environ) == before


def test_a_port_where_somebody_listens_is_refused_even_if_it_could_be_shared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two sidecars on one port would each get some of the calls."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["--port", str(other.getsockname()[1])]) == 2
    said = capsys.readouterr().err
    assert said.startswith("llm-edge: serve.port (keyword serve): cannot be listened on, Address already in use. Stop")


def test_a_port_is_shared_with_nobody_who_would_not_share_it(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert main(["--port", str(other.getsockname()[1]), "--share-port"]) == 2
    assert "cannot be listened on, Address already in use" in capsys.readouterr().err


def test_a_sidecar_takes_over_from_another_on_the_same_port(upstream: str, tmp_path: Path) -> None:
    later = toml(upstream, '[routes.later]\ntargets = ["openai/gpt-5.4-mini"]\n')
    (tmp_path / "later").mkdir()
    asked = b"GET /v1/models HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    with running(tmp_path, toml(upstream)) as old:
        with running(tmp_path / "later", later, "--share-port", port=old.port) as new:
            until(lambda: b'"later"' in new.raw(asked), new)
            old.signal(signal.SIGTERM)
            assert old.ended() == 0
            assert b'"later"' in new.raw(asked)


BEGUN = """
import asyncio, gc
from llm_edge.serve.run import Plan

async def main():
    worker = Plan().app()
    worker.start()
    kept = gc.get_freeze_count()
    await worker.stop()
    return kept, gc.get_threshold()[0]

print(*asyncio.run(main()))
"""


def test_what_a_worker_begins_with_is_not_walked_again_by_the_garbage_collector_and_what_is_young_more_rarely() -> None:
    env = {**os.environ, "OPENAI_API_KEY": "k"}
    done = subprocess.run([sys.executable, "-c", BEGUN], env=env, capture_output=True, text=True, check=True)
    kept, young = map(int, done.stdout.split())
    assert kept > 10_000
    assert young >= 2_000


UNHEARD = """
import signal, threading
from llm_edge.serve.waking import Waking

heard = Waking(lambda: False)
signal.signal(signal.SIGHUP, lambda *_: heard.set())
# Another thread's: the wait of the main one is not interrupted, as if the signal had come just before it began.
threading.Timer(0.2, lambda: signal.pthread_kill(threading.get_ident(), signal.SIGHUP)).start()
print(heard.wait())
"""


def test_a_signal_that_comes_just_before_the_parent_waits_is_heard() -> None:
    done = subprocess.run([sys.executable, "-c", UNHEARD], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "True", done.stderr


AMID = """
import os, signal, sys
from llm_edge.serve.waking import Waking

waking, busy = Waking(lambda: False), []

def hear(*_):
    busy.append(True)
    waking.set()
    busy.pop()

def at_each_line(*_):
    if not busy:
        os.kill(os.getpid(), signal.SIGTERM)
    return at_each_line

def amid(act):
    sys.settrace(at_each_line)
    try:
        return act()
    finally:
        sys.settrace(None)

signal.signal(signal.SIGTERM, hear)
amid(waking.set)
amid(waking.clear)
print(amid(waking.wait))
"""


def test_a_signal_that_comes_amid_another_holds_nobody_up() -> None:
    done = subprocess.run([sys.executable, "-c", AMID], capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.strip() == "True", done.stderr


def test_a_stop_that_comes_as_a_reload_begins_is_heard() -> None:
    """The server below forgets then that it was woken, but not what for."""
    reload, stop = [True], list[bool]()
    waking = Waking(lambda: reload or stop)
    assert waking.wait()
    reload.clear()
    stop.append(True)
    waking.set()
    waking.clear()  # as granian does where it begins a reload
    assert waking.wait()
