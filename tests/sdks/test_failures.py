"""Refusals and failures reach each SDK as its own errors, after as many calls as we meant and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import orjson
import pytest
from google import genai

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer, events, hang_up, html, json_body, nobody_listens, status, stream

ASK: Any = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}]}
CLAUDE: Any = {**ASK, "model": "claude-x", "max_tokens": 9}
SDKS = ("openai", "anthropic", "google")
ERRORS: Any = (openai.APIError, anthropic.APIError, genai.errors.APIError)


class Asked:
    """One question in the words of each SDK."""

    def __init__(self, sdk: str, sdks: Any, colour: Any) -> None:
        self.sdk, self.sdks, self.colour = sdk, sdks, colour

    def __call__(self, edge: EdgeClient, provider: Provider) -> Any:
        finish = self.colour.finish
        if self.sdk == "openai":
            return finish(self.sdks.openai(edge, provider).chat.completions.create(**ASK))
        if self.sdk == "anthropic":
            return finish(self.sdks.anthropic(edge, provider).messages.create(**CLAUDE))
        return finish(self.sdks.google(edge, provider).generate_content(model="gemini-x", contents="hello"))

    def streamed(self, edge: EdgeClient, provider: Provider) -> list[Any]:
        finish, items = self.colour.finish, self.colour.items
        if self.sdk == "openai":
            return items(finish(self.sdks.openai(edge, provider).chat.completions.create(**ASK, stream=True)))
        if self.sdk == "anthropic":
            return items(finish(self.sdks.anthropic(edge, provider).messages.create(**CLAUDE, stream=True)))
        models = self.sdks.google(edge, provider)
        return items(finish(models.generate_content_stream(model="gemini-x", contents="hello")))


@pytest.fixture(params=SDKS)
def ask(request: pytest.FixtureRequest, sdks: Any, colour: Any) -> Asked:
    return Asked(request.param, sdks, colour)


def told(error: Any) -> Any:
    """The error's body as the SDK shows it, and its status."""
    return getattr(error, "status_code", None) or error.code, getattr(error, "body", None) or error.details


@pytest.mark.parametrize("code", [400, 401, 403, 404, 422])
def test_a_refusal_of_the_provider_arrives_in_its_own_words_after_one_call(
    ask: Asked, edge: EdgeClient, provider: Provider, code: int
) -> None:
    provider.script(status(code, "told you", headers={"x-mark": "its own"}))
    with pytest.raises(ERRORS, match="told you") as caught:
        ask(edge, provider)
    assert told(caught.value)[0] == code
    assert caught.value.response.headers["x-mark"] == "its own"
    provider.asked(1)


def test_a_header_that_http_has_no_words_for_is_the_callers_own_mistake(
    sdks: Any, colour: Any, edges: Callable[..., EdgeClient], provider: Provider, engine: str
) -> None:
    sdk = sdks.openai(edges(http={"engine": engine}), provider)
    with pytest.raises(openai.BadRequestError, match="the header x-mine has characters HTTP does not allow") as caught:
        colour.finish(sdk.chat.completions.create(**ASK, extra_headers={"x-mine": "one\ntwo"}))
    assert caught.value.code == "invalid_request_error"
    provider.asked(0)


@pytest.mark.parametrize("code", [429, 500, 503, 529])
def test_what_may_pass_is_tried_three_times_and_never_nine(
    ask: Asked, edge: EdgeClient, provider: Provider, code: int
) -> None:
    provider.script(status(code, "busy"))
    with pytest.raises(ERRORS, match="busy") as caught:
        ask(edge, provider)
    assert told(caught.value)[0] == code
    assert caught.value.response.headers["x-should-retry"] == "false"
    provider.asked(3)


def test_the_error_body_is_the_providers_to_the_byte(edge: EdgeClient, provider: Provider, colour: Any) -> None:
    provider.script(json_body({"error": {"message": "é", "code": "odd", "unheard_of": [1, {"of": None}]}}, status=400))
    http = colour.http_client(edge)
    colour.opened.append(http)
    got = colour.finish(http.post(provider.url + "/v1/chat/completions", json=ASK))
    assert got.content == '{"error":{"message":"é","code":"odd","unheard_of":[1,{"of":null}]}}'.encode()


@pytest.mark.parametrize("fault", ["hang up", "reset", "html", "broken json", "error under 200", "empty"])
def test_what_is_no_answer_is_an_error_after_three_calls(
    ask: Asked, edge: EdgeClient, provider: Provider, fault: str
) -> None:
    steps = {
        "hang up": hang_up(),
        "reset": hang_up(reset=True),
        "html": html(),
        "broken json": answer("hello").malformed(),
        "error under 200": json_body({"error": {"message": "broke", "type": "server_error", "code": 500}}),
        "empty": json_body({}),
    }
    provider.script(steps[fault])
    with pytest.raises(ERRORS) as caught:
        ask(edge, provider)
    assert told(caught.value)[0] >= 500
    assert caught.value.response.headers["x-should-retry"] == "false"
    provider.asked(3)


def test_a_call_we_do_not_know_is_not_tried_nine_times_either(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any
) -> None:
    provider.script(hang_up())
    with pytest.raises(openai.APIError):
        colour.finish(sdks.openai(edge, provider).models.retrieve("m"))
    provider.asked(3)
    with pytest.raises(anthropic.InternalServerError, match="provider"):
        colour.finish(sdks.anthropic(edge, provider).models.retrieve("m"))
    provider.asked(6)


def test_nobody_listening_is_told_in_the_dialect(ask: Asked, edge: EdgeClient, provider: Provider) -> None:
    with nobody_listens() as url:
        aimed: Any = type("Nobody", (), {"url": url})
        with pytest.raises(ERRORS, match="could not connect") as caught:
            ask(edge, aimed)
    assert told(caught.value)[0] == 502


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("reset", [False, True])
def test_a_stream_cut_short_is_an_error(
    ask: Asked, edge: EdgeClient, provider: Provider, half: bool, reset: bool
) -> None:
    provider.script(stream("a", "b", "c").cut(after_events=2, half_event=half, reset=reset))
    with pytest.raises((*ERRORS, httpx2.TransportError)):
        ask.streamed(edge, provider)
    provider.asked(1)
    assert "closed" in edge.breakers.values()


def test_a_stream_cut_before_its_first_event_is_tried_again(ask: Asked, edge: EdgeClient, provider: Provider) -> None:
    provider.script(stream("a").cut(after_bytes=3), stream("a", "b"))
    assert ask.streamed(edge, provider)
    provider.asked(2)


@pytest.mark.parametrize(
    "step", [html(), answer("a").malformed(), json_body({"error": {"message": "no", "code": 500}})]
)
def test_no_stream_where_one_was_asked_is_an_error(ask: Asked, edge: EdgeClient, provider: Provider, step: Any) -> None:
    provider.script(step)
    with pytest.raises(ERRORS) as caught:
        ask.streamed(edge, provider)
    assert told(caught.value)[0] >= 500
    provider.asked(3)


def test_one_whole_answer_where_a_stream_was_asked_is_an_error(
    ask: Asked, edge: EdgeClient, provider: Provider
) -> None:
    whole = {
        "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}],
        "type": "message",
        "content": [{"type": "text", "text": "x"}],
        "candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
    }
    provider.script(json_body(whole))
    with pytest.raises(ERRORS):
        ask.streamed(edge, provider)


def test_an_error_in_mid_stream_reaches_the_sdk_as_it_came(
    sdks: Any, edges: Callable[..., EdgeClient], provider: Provider, colour: Any, engine: str
) -> None:
    edge = edges(http={"engine": engine}, breaker={"failures": 1})
    first = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": None}]}
    error = {"error": {"message": "fell over", "type": "server_error", "code": "odd"}}
    provider.script(events(first, error).pace(0.05))  # in one packet they would be a failure to try again
    client = sdks.openai(edge, provider)
    with pytest.raises(openai.APIError, match="fell over") as caught:
        colour.items(colour.finish(client.chat.completions.create(**ASK, stream=True)))
    assert caught.value.code == "odd"
    assert list(edge.breakers.values()) == ["open"]
    provider.asked(1)


def test_an_anthropic_error_event_reaches_the_sdk_as_it_came(
    sdks: Any, edges: Callable[..., EdgeClient], provider: Provider, colour: Any, engine: str
) -> None:
    edge = edges(http={"engine": engine}, breaker={"failures": 1})
    message = {"id": "m", "type": "message", "role": "assistant", "model": "c", "content": [], "usage": {}}
    start = b"event: message_start\ndata: %b\n\n" % orjson.dumps({"type": "message_start", "message": message})
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"full"}}\n\n'
    provider.script(events(start, error))
    client = sdks.anthropic(edge, provider)
    with pytest.raises(anthropic.APIStatusError, match="overloaded_error"):
        colour.items(colour.finish(client.messages.create(**CLAUDE, stream=True)))
    assert list(edge.breakers.values()) == ["open"]


def test_our_own_refusals_speak_the_callers_dialect(
    ask: Asked, edges: Callable[..., EdgeClient], provider: Provider, engine: str
) -> None:
    edge = edges(
        http={"engine": engine}, limits={"global": {"requests_per_minute": 1, "burst": 1}}, cache={"policy": "off"}
    )
    ask(edge, provider)
    with pytest.raises(ERRORS, match="limit has no room") as caught:
        ask(edge, provider)
    status_code, body = told(caught.value)
    assert status_code == 429
    assert int(caught.value.response.headers["retry-after"]) >= 1
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert {"openai": "rate_limit_exceeded", "anthropic": "rate_limit_error", "google": "RESOURCE_EXHAUSTED"}[
        ask.sdk
    ] in str(body)
    provider.asked(1)
