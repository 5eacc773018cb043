"""Scripts, what a provider remembers, and what it says when a test expected something else."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest

from llm_edge.testing import Call, Provider, Step, answer, status

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


def test_a_closed_provider_serves_again_when_asked_to() -> None:
    provider = Provider()
    first = provider.url
    assert provider.url == first
    provider.close()
    with provider, httpx2.Client() as client:
        assert client.get(provider.url + "/v1/models").status_code == 200
