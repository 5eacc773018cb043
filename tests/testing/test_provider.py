"""Scripts, what a provider remembers, and what it says when a test expected something else."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any

import httpx2
import pytest

from llm_edge.runtime import FakeClock, Signal
from llm_edge.testing import Call, Provider, Step, answer, events, status, stream, tool_call
from llm_edge.testing.__main__ import Alike
from llm_edge.testing.call import Asked

CHAT = {"model": "m", "messages": []}
URL = "http://scripted.test/v1/chat/completions"


def said(provider: Provider, **fields: Any) -> str | int:
    """One call: the text that came, or the status when it was an error."""
    with provider.http_client() as client:
        got = client.post(URL, json=CHAT | fields)
    text: str = got.json()["choices"][0]["message"]["content"] if got.status_code == 200 else ""
    return text or got.status_code


def test_without_a_script_it_says_hello() -> None:
    assert said(Provider()) == "Hello!"


def test_steps_come_in_turn_and_the_last_one_stays() -> None:
    provider = Provider(status(500), answer("a"), answer("b"))
    assert [said(provider) for _ in range(4)] == [500, "a", "b", "b"]


def test_a_script_of_anything_but_steps_is_refused_at_once() -> None:
    wrong: Any = "Paris."
    with pytest.raises(TypeError, match=r"not of str: write answer\('Paris.'\)"):
        Provider().script(wrong)
    with pytest.raises(TypeError, match="not of dict: write answer"):
        Provider().then(answer("a"), {"choices": []})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a mistake
    with pytest.raises(TypeError, match=r"not of list: give them one by one, as in script\(\*steps\)"):
        Provider().script([answer("a"), answer("b")])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # a mistake


@pytest.mark.parametrize(
    ("parts", "tool_calls", "told"),
    [
        ([{"city": "Oslo"}], [], "made of text, not of dict: give JSON as a text, with json.dumps"),
        ([tool_call("weather", {})], [], r"not of ToolCall: write answer\(tool_calls="),
        ([["a", "b"]], [], r"not of list: give the parts one by one, as in stream\(\*parts\)"),
        ([b"a"], [], "not of bytes: for other bodies there are json_body and raw"),
        (["a"], tool_call("weather", {}), "tool_calls is a list of tool_call"),
        (["a"], ["weather"], "tool_calls is a list of tool_call"),
    ],
)
def test_an_answer_of_anything_but_text_is_refused_with_what_to_write(parts: Any, tool_calls: Any, told: str) -> None:
    for make in (answer, stream):
        with pytest.raises(TypeError, match=told):
            make(*parts, tool_calls=tool_calls)


def test_a_function_that_gives_no_step_is_told_so() -> None:
    wrong: Any = lambda call: "Paris."  # a mistake
    provider = Provider(wrong)
    with provider.http_client() as client:
        error = client.post(URL, json=CHAT).json()["error"]
    assert "a script is made of steps, not of str: write answer('Paris.')" in error["message"]


def test_a_step_can_be_given_several_times() -> None:
    provider = Provider(status(429).times(2), answer("a"))
    assert [said(provider) for _ in range(3)] == [429, 429, "a"]


def test_a_new_script_replaces_the_old_and_then_adds_to_it() -> None:
    provider = Provider(answer("old"))
    provider.script(answer("a")).then(answer("b"))
    assert [said(provider), said(provider)] == ["a", "b"]


def test_a_function_may_choose_the_step() -> None:
    def choose(call: Call) -> Step:
        return status(404) if call.model == "gone" else answer(f"I am {call.model}")

    provider = Provider(choose)
    assert [said(provider), said(provider, model="gone")] == ["I am m", 404]


def test_a_call_is_remembered_with_all_it_brought() -> None:
    provider = Provider(answer("hi"))
    with provider.http_client() as client:
        client.post(URL + "?a=1&key=k", json=CHAT | {"stream": True}, headers={"X-Mine": "1"})
    call = provider.last
    assert (call.number, call.method, call.path, call.query) == (
        1,
        "POST",
        "/v1/chat/completions",
        {"a": "1", "key": "k"},
    )
    assert (call.model, call.streamed, call.status, call.headers["x-mine"]) == ("m", True, 200, "1")
    assert (call.origin, call.json["messages"]) == ("http://scripted.test", [])


@pytest.mark.parametrize(
    "headers",
    [{"authorization": "Bearer sk-1"}, {"x-api-key": "sk-1"}, {"api-key": "sk-1"}, {"x-goog-api-key": "sk-1"}],
)
def test_the_callers_key_is_found_and_never_shown(headers: dict[str, str]) -> None:
    provider = Provider()
    with provider.http_client() as client:
        client.post(URL, json=CHAT, headers=headers)
    assert provider.last.key == "sk-1"
    assert "sk-1" not in repr(provider.last) + repr(provider.last.headers)


def test_the_model_is_found_in_paths_too() -> None:
    provider = Provider()
    with provider.http_client() as client:
        for path in ("/v1beta/models/gemini-x:generateContent", "/openai/deployments/my-gpt/chat/completions"):
            client.post("http://scripted.test" + path, json={})
    assert [call.model for call in provider.calls] == ["gemini-x", "my-gpt"]


def test_asked_gives_back_the_calls_that_match() -> None:
    provider = Provider()
    said(provider, model="a")
    said(provider, model="b", temperature=0)
    assert [call.number for call in provider.asked(model="b", temperature=0, path="/chat/completions")] == [2]
    assert len(provider.asked(2)) == 2
    assert provider.asked(where=lambda call: call.number == 1)[0].model == "a"


def test_asked_tells_what_was_asked_instead() -> None:
    provider = Provider()
    said(provider, model="a")
    with pytest.raises(AssertionError) as caught:
        provider.asked(2, model="b")
    assert str(caught.value) == (
        "expected 2 calls with model='b', saw 0. All that was asked:\n"
        "  <Call 1. POST /v1/chat/completions model=a -> 200>"
    )


def test_never_asked_and_last_say_so_plainly() -> None:
    provider = Provider()
    provider.never_asked()
    with pytest.raises(AssertionError, match="never asked"):
        provider.last  # noqa: B018 - reading it is the test
    said(provider)
    with pytest.raises(AssertionError, match="expected 0 calls"):
        provider.never_asked()


def test_it_can_forget_old_calls() -> None:
    provider = Provider(remember=2)
    for _ in range(5):
        said(provider)
    assert [call.number for call in provider.calls] == [4, 5]


def test_two_runs_give_the_same_bytes() -> None:
    bodies = []
    for _ in range(2):
        with Provider(answer("hi")).http_client() as client:
            bodies.append(client.post(URL, json=CHAT).content)
    assert bodies[0] == bodies[1]


def test_pings_reach_a_transport_too_and_cost_no_time(colour: str) -> None:
    clock, go = FakeClock(), Signal()
    provider = Provider(events("a", "b").stall(after_events=1, until=go, ping_every=9.0), clock=clock)
    seen: list[bytes] = []

    def read(piece: bytes) -> None:
        seen.append(piece)
        if seen.count(b": ping\n\n") == 3:
            go.set()

    def ask() -> None:
        with provider.http_client() as client, client.stream("POST", URL, json=CHAT, timeout=None) as got:
            for piece in got.iter_raw():
                read(piece)

    async def aask() -> None:
        async with provider.async_http_client() as client, client.stream("POST", URL, json=CHAT, timeout=None) as got:
            async for piece in got.aiter_raw():
                read(piece)

    ask() if colour == "sync" else asyncio.run(aask())
    assert seen == [b"data: a\n\n", *[b": ping\n\n"] * 3, b"data: b\n\n"]
    assert clock.slept == [9.0, 9.0]


def test_a_silent_stream_waits_for_its_signal_from_another_thread(colour: str) -> None:
    go, provider = Signal(), Provider()
    provider.script(stream("a", "b").stall(after_events=1, until=go))
    helper = threading.Thread(target=lambda: until_asked(provider) and go.set())
    helper.start()

    async def aask() -> int:
        async with provider.async_http_client() as client:
            return (await client.post(URL, json=CHAT | {"stream": True})).status_code

    if colour == "sync":
        with provider.http_client() as client:
            assert client.post(URL, json=CHAT | {"stream": True}).status_code == 200
    else:
        assert asyncio.run(aask()) == 200
    helper.join()


def until_asked(provider: Provider) -> bool:
    while not (provider.calls and provider.calls[0].sent):
        os.sched_yield()
    return True


def test_a_stall_that_nobody_ends_runs_into_the_read_timeout() -> None:
    provider = Provider(stream("a").stall(after_events=1, until=Signal()))
    with provider.http_client() as client, pytest.raises(httpx2.ReadTimeout):
        client.post(URL, json=CHAT | {"stream": True}, timeout=0.01)


def test_a_caller_without_patience_for_ever_is_held_an_hour_of_the_clock() -> None:
    clock = FakeClock()
    with Provider(answer().stall(), clock=clock).http_client() as client, pytest.raises(httpx2.ReadTimeout):
        client.post(URL, json=CHAT, timeout=None)
    assert clock.slept == [3600.0]


def test_a_closed_provider_serves_again_when_asked_to() -> None:
    provider = Provider()
    first = provider.url
    assert provider.url == first
    provider.close()
    with provider, httpx2.Client() as client:
        assert client.get(provider.url + "/v1/models").status_code == 200


def test_token_counts_can_be_left_out_everywhere() -> None:
    provider = Provider(stream("a", usage=None, reasoning="hm"), models=())
    with provider.http_client() as client:
        for path, field in (
            ("/v1/chat/completions", "usage"),
            ("/v1/completions", "usage"),
            ("/v1/responses", "usage"),
            ("/v1/messages", "usage"),
            ("/v1beta/models/m:generateContent", "usageMetadata"),
        ):
            whole = client.post("http://scripted.test" + path, json={"model": "m"})
            parts = client.post("http://scripted.test" + path, json={"model": "m", "stream": True})
            assert (whole.json().get(field), parts.status_code) == (None, 200)
            assert "_tokens" not in parts.text
        assert client.post("http://scripted.test/v1/messages/count_tokens", json={}).json() == {"input_tokens": 0}


def test_reasoning_is_told_in_the_words_of_compatible_servers() -> None:
    with Provider(answer("so", reasoning="hm")).http_client() as client:
        whole = client.post(URL, json=CHAT).json()["choices"][0]["message"]
        parts = client.post(URL, json=CHAT | {"stream": True}).text
    assert (whole["reasoning_content"], whole["content"]) == ("hm", "so")
    assert '"delta":{"reasoning_content":"hm"}' in parts


def test_an_empty_answer_is_one_in_every_dialect() -> None:
    with Provider(answer("")).http_client() as client:
        for path in ("/v1/messages", "/v1beta/models/m:streamGenerateContent?alt=sse", "/v1/responses"):
            got = client.post("http://scripted.test" + path, json={"model": "m", "stream": True})
            assert got.text.count("data: ") >= 1


def test_clients_of_the_older_library_are_ready_too(colour: str) -> None:
    provider = Provider(answer("hi"))

    async def aask() -> int:
        async with provider.async_http_client("httpx") as client:
            return (await client.post(URL, json=CHAT)).status_code

    if colour == "sync":
        with provider.http_client("httpx") as client:
            assert client.post(URL, json=CHAT).status_code == 200
    else:
        assert asyncio.run(aask()) == 200


def test_errors_speak_the_dialect_that_only_the_headers_tell() -> None:
    with Provider(status(404)).http_client() as client:
        claude = client.get("http://scripted.test/v1/files", headers={"anthropic-version": "2026-10-21"})
        gemini = client.get("http://scripted.test/v1/files", headers={"x-goog-api-key": "k"})
    assert claude.json()["error"]["type"] == "not_found_error"
    assert gemini.json()["error"]["status"] == "NOT_FOUND"


def test_a_call_and_a_step_say_what_they_are() -> None:
    call = Call(Asked(method="POST", target="/v1/embeddings", headers=(), body=b"{broken"))
    assert repr(call) == "<Call 1. POST /v1/embeddings -> no answer yet>"
    assert (call.json, call.model, call.key) == (None, None, None)
    call.status = 200
    call.finish(early=True)
    call.finish()
    assert repr(call) == "<Call 1. POST /v1/embeddings -> 200 closed early>"
    assert repr(answer("hi").delay(1)) == "<Step answer('hi')>"


def test_a_server_for_measuring_says_the_same_from_memory() -> None:
    stage = Alike(stream("a", "b"))

    def ask(body: bytes) -> object:
        return stage.open(Asked(method="POST", target="/v1/chat/completions", headers=(), body=body), 1)[1]

    first = ask(b'{"model":"m","messages":[{"content":"one"}]}')
    assert ask(b'{"model":"m","messages":[{"content":"two"}]}') is first
    assert ask(b'{"model":"m","messages":[],"stream":true}') is not first
    assert ask(b"no json") is not first
