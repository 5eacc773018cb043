"""The app in this process: every path, in every dialect, well and badly asked."""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.serve import create_app
from llm_edge.testing import Provider, answer, json_body, status, stream

from ..ports import free_port
from .conftest import App
from .kit import CHAT, called, question

Make = Callable[..., App]
GENERATE = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
ASKED = {
    CHAT: question(),
    "/v1/completions": {"model": "fast", "prompt": "Hi"},
    "/v1/embeddings": {"model": "fast", "input": "Hi"},
    "/v1/responses": {"model": "fast", "input": "Hi"},
    "/v1/messages": question(max_tokens=5),
    "/v1beta/models/gemini%2Fgemini-3-flash:generateContent": GENERATE,
    "/v1/models/gemini/gemini-3-flash:generateContent": GENERATE,
    "/v1beta/models/fast:generateContent": GENERATE,
    "/v1beta/models/gemini-3-flash:embedContent": {"content": {"parts": [{"text": "Hi"}]}},
}


@pytest.mark.parametrize("path", ASKED)
def test_every_path_is_answered(path: str, sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    said = sidecar()("POST", path, ASKED[path])
    assert said.status == 200, said.body
    assert said.headers["x-llm-edge-attempts"] == "1"
    assert said.headers["content-type"].startswith("application/json")
    assert "Paris" in said.body.decode() or "mbedding" in said.body.decode()


@pytest.mark.parametrize("path", [CHAT, "/v1/messages", "/v1/responses", "/v1/completions"])
def test_every_dialect_streams(path: str, sidecar: Make, provider: Provider) -> None:
    provider.script(stream("Par", "is."))
    said = sidecar()("POST", path, {**ASKED[path], "stream": True})
    assert said.status == 200
    assert said.headers["content-type"].startswith("text/event-stream")
    assert b"Par" in said.body
    assert b"is." in said.body


def test_google_streams(sidecar: Make, provider: Provider) -> None:
    provider.script(stream("Par", "is."))
    path = "/v1beta/models/gemini-3-flash:streamGenerateContent"
    said = sidecar()("POST", path, GENERATE, query="alt=sse&key=secret")
    assert said.status == 200
    assert b"Par" in said.body
    assert "secret" not in repr(provider.last.path)
    assert sidecar()("POST", path, GENERATE, query="alt=json").status == 400


def test_the_second_call_is_answered_from_the_cache(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    app = sidecar()
    before = len(provider.calls)
    assert app("POST", CHAT, question("cached?")).headers["x-llm-edge-cache"] == "MISS"
    again = app("POST", CHAT, question("cached?"))
    assert again.headers["x-llm-edge-cache"] == "HIT"
    assert len(provider.calls) - before == 1


def test_a_callers_credential_goes_nowhere(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    headers = {"authorization": "Bearer mine", "x-api-key": "mine", "cookie": "mine", "x-llm-edge-tenant": "theirs"}
    assert sidecar()("POST", CHAT, question("whose?"), headers).status == 200
    assert provider.last.headers["authorization"] == "Bearer sk-house"
    assert "mine" not in str(dict(provider.last.headers))


def test_a_request_id_is_kept_and_one_that_could_break_a_log_is_not(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    app = sidecar()
    kept = app("POST", CHAT, question(), {"x-request-id": "abc-1"})
    assert kept.headers["x-llm-edge-request-id"] == "abc-1"
    assert app("POST", CHAT, b"{", {"x-request-id": "abc-2"}).headers["x-llm-edge-request-id"] == "abc-2"
    odd = app("POST", CHAT, b"{", {"x-request-id": "caf\xe9"})
    assert odd.headers["x-llm-edge-request-id"].isalnum()


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        (CHAT, lambda said: said["error"]["message"]),
        ("/v1/responses", lambda said: said["error"]["message"]),
        ("/v1/messages", lambda said: (said["type"], said["error"]["message"])[1]),
        ("/v1beta/models/fast:generateContent", lambda said: (said["error"]["status"], said["error"]["message"])[1]),
    ],
)
def test_a_refusal_is_told_in_the_callers_dialect(path: str, shape: Callable[[Any], str], sidecar: Make) -> None:
    said = sidecar()("POST", path, b'{"a":1,"a":2}')
    assert said.status == 400
    assert "names a key twice" in shape(said.json)
    assert said.headers["x-should-retry"] == "false"
    assert said.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"", {}, 400),
        (b"[1]", {}, 400),
        (b'{"messages":[]}', {}, 400),
        (b"{}", {"content-type": "image/png"}, 415),
        (b"{}", {"content-encoding": "compress"}, 415),
        (b"{}", {"content-length": "99999999"}, 413),
        (b"{}", {"x-big": "x" * 17_000}, 431),
        (b"{}", [("host", "a"), ("host", "b")], 400),
        (b'{"model":"fast","messages":[]}', {"x-llm-edge-cache-ttl": "soon"}, 400),
        (b'{"model":"fast","messages":[]}', {"x-llm-edge-nonsense": "1"}, 400),
        (b'{"model":"nobody/knows","messages":[]}', {}, 404),
        (b'{"model":"groq/llama","messages":[]}', {}, 404),
        (b'{"model":"ollama/llama","messages":[]}', {}, 404),
        (b'{"model":"grok-5","messages":[]}', {}, 404),
        (b'{"model":"wholly-unknown","messages":[]}', {}, 404),
        (b'{"model":"openai/a\\r\\nset-cookie: b","messages":[]}', {}, 400),
        (b'{"model":"openai/\\ud800","messages":[]}', {}, 400),
        (b'{"model":"openai/' + b"m" * 600 + b'","messages":[]}', {}, 400),
        (b'{"model":"openai/\\u007f","messages":[]}', {}, 400),
        (b"{}", {"origin": "https://evil.example"}, 403),
    ],
)
def test_what_cannot_be_taken_is_refused(body: bytes, headers: Any, code: int, sidecar: Make) -> None:
    said = sidecar()("POST", CHAT, body, headers)
    assert said.status == code, said.body
    assert set(said.json["error"]) == {"message", "type", "param", "code"}


def test_a_compressed_question_is_understood(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    body = gzip.compress(json.dumps(question("small?")).encode())
    assert sidecar()("POST", CHAT, body, {"content-encoding": "gzip"}).status == 200


def test_a_providers_error_is_passed_on(sidecar: Make, provider: Provider) -> None:
    provider.script(status(429, headers={"retry-after": "7", "set-cookie": "a=b", "x-inside": "yes"}))
    said = sidecar()("POST", CHAT, question("too often?"))
    assert said.status == 429
    assert said.headers["retry-after"] == "7"
    assert "set-cookie" not in said.headers
    assert "x-inside" not in said.headers


def test_a_provider_that_refuses_our_key_is_not_the_callers_fault(sidecar: Make, provider: Provider) -> None:
    provider.script(status(401))
    said = sidecar()("POST", CHAT, question("whose fault?"))
    assert said.status == 502
    assert said.json["error"]["code"] == "provider_credential_refused"


def test_a_stream_that_breaks_between_events_ends_with_an_error_event(sidecar: Make, provider: Provider) -> None:
    provider.script(stream("Par", "is.").cut(after_events=2))
    said = sidecar()("POST", CHAT, question("cut?", stream=True))
    assert said.status == 200
    last = json.loads(said.body.strip().rsplit(b"data: ", 1)[1])
    assert last["error"]["code"] == "stream_broken"


def test_a_stream_that_breaks_inside_an_event_is_cut(sidecar: Make, provider: Provider) -> None:
    provider.script(stream("Par", "is.").cut(after_events=2, half_event=True))
    with pytest.raises(Exception, match="broke off"):
        sidecar()("POST", CHAT, question("cut in two?", stream=True))


def test_models_are_listed_in_both_shapes(sidecar: Make, provider: Provider) -> None:
    app = sidecar()
    names = [row["id"] for row in app("GET", "/v1/models").json["data"]]
    assert names[:2] == ["fast", "openai/gpt-5.4-mini"]
    asked = len(provider.calls)
    other = app("GET", "/v1/models", headers={"anthropic-version": "2023-06-01"}).json
    assert [row["id"] for row in other["data"]] == names
    assert other["first_id"] == "fast"
    assert len(provider.calls) == asked  # remembered
    assert app("GET", "/v1/models/openai/gpt-5.4-mini").json["owned_by"] == "openai"
    assert app("GET", "/v1/models/fast", headers={"anthropic-version": "2023-06-01"}).json == other["data"][0]
    assert app("GET", "/v1/models/none").status == 404


def test_a_provider_that_lists_nothing_does_not_spoil_the_list(sidecar: Make, provider: Provider) -> None:
    provider.script(status(500))
    assert [row["id"] for row in sidecar()("GET", "/v1/models").json["data"]] == ["fast", "openai/gpt-5.4-mini"]


def test_other_paths_are_refused_unless_passed_through(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    assert sidecar()("POST", "/v1/images/generations", {"prompt": "x"}).status == 404
    app = sidecar(serve={"pass_through": "openai"})
    said = app("POST", "/v1/images/generations", {"prompt": "x"}, {"authorization": "Bearer mine"}, query="a=1")
    assert said.status == provider.last.status
    assert provider.last.path == "/v1/images/generations"
    assert provider.last.query == {"a": "1"}
    assert provider.last.headers["authorization"] == "Bearer sk-house"
    assert app("POST", "/v1/a/../../secrets", {}).status == 400


@pytest.mark.parametrize(
    ("path", "asked", "key"),
    [
        ("/v1/messages/count_tokens", question(), "sk-house"),
        ("/v1/messages/count_tokens", {**question(), "model": "anthropic/claude-opus-4-8"}, "sk-ant-house"),
        ("/v1/responses/input_tokens", {"model": "anthropic/claude-opus-4-8", "input": "Hi"}, "sk-ant-house"),
        ("/v1beta/models/fast:countTokens", {"contents": [{"parts": [{"text": "Hi"}]}]}, "sk-house"),
    ],
    ids=["Anthropic's by OpenAI", "Anthropic's", "OpenAI's by Anthropic", "Google's by OpenAI"],
)
def test_tokens_are_counted_by_whoever_would_answer(
    sidecar: Make, provider: Provider, path: str, asked: Any, key: str
) -> None:
    provider.script(json_body({"input_tokens": 7}))
    said = sidecar()("POST", path, asked, {"content-type": "application/json"})
    assert said.status == 200
    assert 7 in said.json.values()
    assert provider.last.key == key


def test_health_tells_of_each_part(sidecar: Make, provider: Provider) -> None:
    provider.script(status(500))
    app = sidecar(breaker={"failures": 1})
    assert app("GET", "/health/live").json == {"status": "ok"}
    assert app("GET", "/health/ready").status == 200
    assert app("GET", "/health").json["status"] == "ok"
    app("POST", CHAT, question("down?"))
    told = app("GET", "/health").json
    assert told["status"] == "degraded"
    assert told["breakers"] == {"openai/gpt-5.4-mini": "open"}
    assert told["stores"] == {"cache": "memory", "counts": "memory"}
    assert "sk-" not in json.dumps(told)
    app.runner.run(app.app.stop())
    assert app("GET", "/health/ready").status == 503


def test_health_looks_at_a_crowd_of_targets_once(sidecar: Make, provider: Provider) -> None:
    """Whoever asks for it needs no key: it must not cost a look at each target for each target."""
    app, seen = sidecar(), list[str]()
    for number in range(60):
        app.edge.breakers.force(f"openai/{number}", "off")

    def hears(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_qualname == "Breakers.states":
            seen.append(event)

    sys.setprofile(hears)
    try:
        told = app("GET", "/health").json
    finally:
        sys.setprofile(None)
    assert len(told["breakers"]) == 60
    assert len(seen) <= 2


def test_health_tells_of_a_store_that_does_not_answer(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    nowhere = f"redis://127.0.0.1:{free_port()}/0"
    app = sidecar(
        store={"kind": "redis", "url": nowhere}, limits={"global": {"requests_per_minute": 600}},
        cache={"redis": {"url": nowhere}, "secret": "s" * 32},
    )  # fmt: skip
    for at in range(8):
        assert app("POST", CHAT, question(f"store gone {at}?")).status == 200
    told = app("GET", "/health").json
    assert told["status"] == "degraded"
    assert told["stores"] == {"cache": "memory + redis failing", "counts": "redis failing"}


@pytest.mark.parametrize(("method", "path", "allowed"), [
    ("GET", CHAT, "POST"), ("PUT", "/v1/messages", "POST"), ("DELETE", "/health", "GET, HEAD"),
    ("PATCH", "/admin/keys", "GET, HEAD, POST"), ("GET", "/v1beta/models/fast:generateContent", "POST"),
])  # fmt: skip
def test_a_wrong_method_is_told_the_right_ones(method: str, path: str, allowed: str, sidecar: Make) -> None:
    said = sidecar()(method, path)
    assert (said.status, said.headers["allow"]) == (405, allowed)
    assert f"this path takes {allowed}" in said.json["error"]["message"]


def test_a_name_in_a_path_holds_no_line_break_either(sidecar: Make) -> None:
    said = sidecar()("POST", "/v1beta/models/openai/a\r\nb:generateContent", GENERATE)
    assert said.status == 400
    assert "characters" in said.json["error"]["message"]


@pytest.mark.parametrize(("method", "path", "code"), [
    ("GET", CHAT, 405),
    ("DELETE", "/v1/models", 404), ("DELETE", "/health", 405), ("GET", "/nothing", 404), ("GET", "/", 404),
])  # fmt: skip
def test_paths_and_methods_that_are_not_there(method: str, path: str, code: int, sidecar: Make) -> None:
    said = sidecar()(method, path)
    assert said.status == code
    assert set(said.json["error"]) == {"message", "type", "param", "code"}


def test_under_tls_browsers_are_told_to_stay_there(sidecar: Make) -> None:
    assert "strict-transport-security" in sidecar()("GET", "/health/live", scheme="https").headers
    assert "strict-transport-security" not in sidecar()("GET", "/health/live").headers


def test_it_can_be_mounted_under_a_path(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    app = sidecar()
    assert app("POST", f"/llm{CHAT}", question("where?"), root="/llm").status == 200
    assert app("GET", "/llm/health", root="/llm").status == 200


def test_it_lives_and_ends_with_its_server(upstream: str) -> None:
    import asyncio

    async def life() -> list[str]:
        edge = EdgeClient(env={}, providers={"openai": {"api_key": "k", "base_url": f"{upstream}/v1"}})
        coming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
        said: list[str] = []

        async def receive() -> dict[str, str]:
            return coming.pop(0)

        async def send(message: Any) -> None:
            said.append(message["type"])

        app = create_app(edge, own=True)
        await app({"type": "lifespan"}, receive, send)
        assert (await called(app, "GET", "/health/ready")).status == 503
        coming.append({"type": "websocket.connect"})
        await app({"type": "websocket", "path": "/elsewhere"}, receive, send)
        return said

    assert asyncio.run(life()) == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]


def test_a_large_answer_goes_out_bit_by_bit_and_no_further_than_it_is_read(sidecar: Make, provider: Provider) -> None:
    """It was all kept for as long as the caller liked; over HTTP/2 two hundred times for each connection."""
    provider.script(answer("x" * 1_000_000))
    app = sidecar(serve={"write_timeout": 0.05})
    whole = app("POST", CHAT, question("large?"))
    assert len(whole.json["choices"][0]["message"]["content"]) == 1_000_000
    assert whole.headers["content-length"] == str(len(whole.body))
    cut = app("POST", CHAT, question("large?"), reads=1)
    assert 0 < len(cut.body) < len(whole.body) / 2
    assert app.app.calls.active == 0
