"""`/v1/ws` on the real server, with a real client: calls, streams, keys, limits, and both sides leaving."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from llm_edge.runtime import Signal, ThreadClock
from llm_edge.serve.callers import HEALTH
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import KeyStore
from llm_edge.testing import Provider, answer, embeddings, status, stream
from tests.docs.examples import ROOT, examples

from .conftest import App, toml
from .kit import Process, question, running, until

SETTINGS = "[serve]\nmax_body = 20000\nwebsocket_calls = 3\nheader_timeout = 1\nheartbeat = 1\nwrite_timeout = 1\n"

MORE = '[serve.cors]\norigins = "https://app.example.com"\n[breaker]\nenabled = false\n'


@pytest.fixture(scope="module")
def server(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(tmp_path_factory.mktemp("ws"), toml(upstream, SETTINGS + MORE)) as process:
        yield process


class Locked(NamedTuple):
    """A sidecar that wants keys: one that may ask, one that may not, and one that will be revoked."""

    process: Process
    keys: KeyStore
    may: str
    may_not: str
    lost: str
    lost_id: str


@pytest.fixture(scope="module")
def locked(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    folder = tmp_path_factory.mktemp("locked")
    keys = KeyStore(KeyFile(folder / "keys.db"), ThreadClock())
    may, may_not = keys.create("test")[0], keys.create("test", permissions=[HEALTH])[0]
    lost, made = keys.create("test")
    more = f'{SETTINGS}[serve.auth]\ndatabase = "{folder / "keys.db"}"\n'
    with running(folder, toml(upstream, more)) as process:
        yield Locked(process, keys, may, may_not, lost, made.id)
    keys.close()


@contextlib.contextmanager
def opened(process: Process, *, ready: bool = True, **options: Any) -> Iterator[ClientConnection]:
    options.setdefault("proxy", None)
    with connect(process.url.replace("http", "ws") + "/v1/ws", **options) as client:
        if ready:
            assert heard(client)["type"] == "ready"
        yield client


def heard(client: ClientConnection) -> Any:
    """The next event that is no sign of life."""
    while (event := json.loads(client.recv(timeout=20)))["type"] == "ping":
        pass
    return event


def say(client: ClientConnection, **message: Any) -> None:
    client.send(json.dumps(message))


def until_done(client: ClientConnection, id_: str) -> list[Any]:
    events = [heard(client)]
    while events[-1].get("id") != id_ or events[-1]["type"] == "chunk":
        events.append(heard(client))
    return events


def spoken(events: list[Any]) -> str:
    return "".join(
        choice["delta"].get("content") or ""
        for event in events
        if event["type"] == "chunk"
        for choice in event["data"]["choices"]
    )


def test_a_chat_comes_in_chunks_and_ends_with_its_facts(server: Process, provider: Provider) -> None:
    provider.script(stream("Par", "is."))
    with opened(server) as client:
        say(client, id="1", type="chat", body=question("ws?"))
        events = until_done(client, "1")
        assert spoken(events) == "Paris."
        assert [event["type"] for event in events[-2:]] == ["chunk", "done"]
        assert events[-1]["headers"]["x-llm-edge-target"] == "openai/gpt-5.4-mini"
        say(client, id=2, type="chat", body=question("ws?"))
        again = until_done(client, "2")
        assert spoken(again) == "Paris."
        assert again[-1]["headers"]["x-llm-edge-cache"] == "HIT"


def test_a_whole_answer_comes_with_done(server: Process, provider: Provider) -> None:
    provider.script(answer("Paris."))
    with opened(server) as client:
        say(client, id="1", type="chat", body=question("whole ws?", stream=False))
        (done,) = until_done(client, "1")
        assert (done["status"], done["data"]["choices"][0]["message"]["content"]) == (200, "Paris.")


@pytest.mark.parametrize("kind", ["completions", "responses", "messages", "embeddings"])
def test_every_type_is_answered(kind: str, server: Process, provider: Provider) -> None:
    provider.script(embeddings([1.0, 2.0]) if kind == "embeddings" else stream("Par", "is."))
    asked = {
        "completions": {"prompt": "Hi"}, "responses": {"input": "Hi"}, "embeddings": {"input": "Hi"},
        "messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5},
    }[kind]  # fmt: skip
    with opened(server) as client:
        say(client, id="a", type=kind, body={"model": "fast", **asked})
        events = until_done(client, "a")
        assert events[-1]["type"] == "done", events
        assert (len(events) == 1) is (kind == "embeddings")
        if kind == "messages":
            assert events[0]["event"] == "message_start"


def test_several_calls_run_at_once_and_one_too_many_is_refused(server: Process, provider: Provider) -> None:
    go_on = Signal()
    provider.script(stream("Par", "is.").stall(after_events=2, until=go_on))
    with opened(server) as client:
        for number in range(4):
            say(client, id=str(number), type="chat", body=question(f"at once {number}?"))
        ends: dict[str, Any] = {}
        chunks: set[str] = set()
        while len(chunks) < 3 or "3" not in ends:
            event = heard(client)
            if event["type"] == "chunk":
                chunks.add(event["id"])
            else:
                ends[event["id"]] = event
        assert ends["3"]["error"]["status"] == 403
        assert "3 calls at once" in ends["3"]["error"]["message"]
        go_on.set()
        while len(ends) < 4:
            event = heard(client)
            if event["type"] != "chunk":
                ends[event["id"]] = event
        assert [ends[str(number)]["type"] for number in range(3)] == ["done"] * 3


def test_a_call_is_cancelled_and_its_provider_hears_of_it(server: Process, provider: Provider) -> None:
    provider.script(stream("Par", "is.").stall(after_events=2))
    with opened(server) as client:
        say(client, id="1", type="chat", body=question("cancelled?"))
        assert heard(client)["type"] == "chunk"
        say(client, type="cancel", id="1")
        assert until_done(client, "1")[-1] == {"id": "1", "type": "done", "cancelled": True}
        until(lambda: provider.last.closed_early)
        provider.script(answer("Paris."))
        say(client, id="1", type="chat", body=question("after it?", stream=False))
        assert until_done(client, "1")[-1]["status"] == 200


def test_a_client_who_leaves_ends_its_calls(server: Process, provider: Provider) -> None:
    provider.script(stream("Par", "is.").stall(after_events=2))
    with opened(server) as client:
        say(client, id="1", type="chat", body=question("left?"))
        assert heard(client)["type"] == "chunk"
    until(lambda: provider.last.closed_early)
    assert provider.last.closed_early


def test_a_client_who_does_not_read_holds_up_the_provider_and_is_cut(server: Process, provider: Provider) -> None:
    size, count = 20_000, 4000  # far more than what systems keep of two connections
    provider.script(stream(*["x" * size] * count))
    before = len(provider.calls)
    small = socket.socket()
    small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    small.connect(("127.0.0.1", server.port))
    with opened(server, max_queue=1, sock=small, close_timeout=0.1) as client:
        say(client, id="1", type="chat", body=question("unread?"))
        until(lambda: len(provider.calls) > before and provider.last.closed_early)
        assert provider.last.sent < size * count * 3 / 4


def test_a_providers_error_and_a_refusal_of_ours_are_told(server: Process, provider: Provider) -> None:
    provider.script(status(400, "no such thing"))
    with opened(server) as client:
        say(client, id="1", type="chat", body=question("bad?"))
        (error,) = until_done(client, "1")
        assert (error["type"], error["error"]["status"]) == ("error", 400)
        assert "no such thing" in error["error"]["message"]
        say(client, id="2", type="messages", body=question("x", model="unheard-of"))
        (error,) = until_done(client, "2")
        assert (error["error"]["type"], error["error"]["status"]) == ("not_found_error", 404)


def test_a_stream_that_breaks_off_ends_with_an_error(server: Process, provider: Provider) -> None:
    provider.script(stream("Par", "is.").cut(after_events=2))
    with opened(server) as client:
        say(client, id="1", type="chat", body=question("broken?"))
        events = until_done(client, "1")
        assert [event["type"] for event in events][-1] == "error"
        assert len(events) > 1


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "not an object"),
        ('{"id": "1", "type": "chat", "type": "chat"}', "names a key twice"),
        ('{"id": "1", "type": "nothing"}', "`type`"),
        ('{"type": "chat", "body": {}}', "`id`"),
        ('{"id": {}, "type": "chat", "body": {}}', "`id`"),
        ('{"id": "1", "type": "chat"}', "`body`"),
        ('{"id": "1", "type": "chat", "body": {}}', "`model`"),
        ('{"id": "1", "type": "chat", "body": {}, "headers": {"authorization": "x"}}', "`headers`"),
        ('{"id": "1", "type": "chat", "body": {}, "headers": {"cache-control": 1}}', "`headers`"),
        ('{"id": "1", "type": "chat", "body": {}, "headers": []}', "`headers`"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_what_makes_no_sense_is_refused_and_the_connection_goes_on(
    sent: str | bytes, words: str, server: Process
) -> None:
    with opened(server) as client:
        client.send(sent)
        event = heard(client)
        assert event["type"] == "error"
        assert words in event["error"]["message"]
        say(client, type="ping", id="still there")
        assert heard(client) == {"type": "pong", "id": "still there"}


def test_a_message_that_is_too_large_ends_the_connection(server: Process) -> None:
    with opened(server) as client:
        client.send("x" * 20_001)
        assert heard(client)["error"]["status"] == 413
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


def test_controls_of_a_call_are_said_in_its_message(server: Process, provider: Provider) -> None:
    provider.script(answer("Paris."))
    with opened(server) as client:
        for id_, headers in (("1", {}), ("2", {}), ("3", {"cache-control": "no-cache"})):
            say(client, id=id_, type="chat", body=question("controlled?"), headers=headers)
            last = until_done(client, id_)[-1]["headers"]["x-llm-edge-cache"]
            assert last == {"1": "MISS", "2": "HIT", "3": "BYPASS"}[id_] or (id_, last) == ("3", "MISS")


def test_silence_is_broken_by_a_sign_of_life(server: Process) -> None:
    with opened(server) as client:
        assert json.loads(client.recv(timeout=20)) == {"type": "ping"}


# -------------------------------------------------------------------- who is let in


@pytest.mark.parametrize("prefix", ["llm-edge-key.", "openai-insecure-api-key."])
def test_a_key_comes_as_a_subprotocol(prefix: str, locked: Locked, provider: Provider) -> None:
    provider.script(answer("Paris."))
    with opened(locked.process, subprotocols=["llm-edge", prefix + locked.may]) as client:
        assert client.subprotocol == "llm-edge"
        say(client, id="1", type="chat", body=question("keyed?", stream=False))
        assert until_done(client, "1")[-1]["status"] == 200


def test_a_key_comes_with_the_first_message_or_in_a_header(locked: Locked) -> None:
    with opened(locked.process, ready=False) as client:
        say(client, type="auth", key=locked.may)
        assert heard(client) == {"type": "ready"}
    with opened(locked.process, additional_headers={"authorization": f"Bearer {locked.may}"}):
        pass


@pytest.mark.parametrize("first", [{"type": "auth", "key": "wrong"}, {"type": "auth"}, {"type": "ping"}, None])
def test_nobody_comes_in_without_a_key(first: Any, locked: Locked) -> None:
    with opened(locked.process, ready=False) as client:
        if first is not None:
            say(client, **first)
        assert heard(client)["error"]["status"] == 401
        with pytest.raises(ConnectionClosed):
            client.recv(timeout=20)


def test_a_key_that_may_not_ask_is_refused(locked: Locked) -> None:
    shown = ["llm-edge", f"llm-edge-key.{locked.may_not}"]
    with opened(locked.process, ready=False, subprotocols=shown) as client:
        assert heard(client)["error"]["status"] == 403


def test_a_key_that_is_revoked_opens_nothing_more(locked: Locked, provider: Provider) -> None:
    provider.script(answer("Paris."))
    with opened(locked.process, subprotocols=["llm-edge", f"llm-edge-key.{locked.lost}"]) as client:
        locked.keys.revoke("test", locked.lost_id)

        def refused() -> bool:
            say(client, id="1", type="chat", body=question("revoked?"))
            return bool(until_done(client, "1")[-1]["type"] == "error")

        until(refused)


@pytest.mark.parametrize("origin", ["https://evil.example.com", "null"])
def test_a_page_of_a_foreign_origin_is_not_let_in(origin: str, server: Process) -> None:
    with pytest.raises(InvalidStatus) as refused, opened(server, origin=origin):
        pass
    assert refused.value.response.status_code == 403


def test_our_own_page_is_let_in(server: Process) -> None:
    with opened(server, origin=server.url):
        pass


def test_other_paths_have_no_websocket(server: Process) -> None:
    with pytest.raises(InvalidStatus), connect(server.url.replace("http", "ws") + "/v1/other", proxy=None):
        pass


def test_pages_of_named_origins_are_let_in(server: Process) -> None:
    with opened(server, origin="https://app.example.com"):
        pass


def test_it_can_be_switched_off(sidecar: Callable[..., App]) -> None:
    app = sidecar(serve={"websocket": False})
    said: list[Any] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "websocket", "path": "/v1/ws", "headers": [], "subprotocols": []}
    app.runner.run(app.app(scope, receive, send))
    assert said == [{"type": "websocket.close", "code": 1008}]


def _to_the_end(client: ClientConnection) -> None:
    while client.recv(timeout=20):
        pass


def test_told_to_stop_it_says_so_to_whoever_is_connected(upstream: str, tmp_path: Path) -> None:
    with running(tmp_path, toml(upstream, "[serve]\ndrain = 20\n")) as process, opened(process) as client:
        process.signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosed):
            _to_the_end(client)
        assert process.ended() == 0


def test_the_python_that_is_shown_prints_the_answer(
    server: Process, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.script(stream("Lon", "don."))
    (shown,) = [each.text for each in examples(ROOT / "docs" / "sidecar.md", "python") if "websockets" in each.text]
    names: dict[str, Any] = {}
    exec(compile(shown.replace('"Hi"', '"Shown?"'), "sidecar.md", "exec"), names)
    said = asyncio.run(names["chat"](server.url.replace("http", "ws") + "/v1/ws", "any"))
    assert said["type"] == "done"
    assert capsys.readouterr().out == "London."
