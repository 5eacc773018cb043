"""Tokens counted before a call: asked of each vendor in its own way, and never a number that is wrong in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.errors import BadAnswer, InvalidRequest
from llm_edge.providers.dialects import DIALECTS
from llm_edge.providers.translation.core import Exchange
from llm_edge.providers.translation.table import translation
from llm_edge.testing import Provider, answer, json_body, status
from tests.conftest import Colour

Edges = Callable[..., EdgeClient]
TEXT = "How many tokens is this?"
TOOL: Any = {"name": "w", "description": "Weather", "input_schema": {"type": "object", "properties": {}}}
ASKED: Any = {
    "model": "m",
    "system": "Be brief.",
    "messages": [{"role": "user", "content": TEXT}],
    "tools": [TOOL],
}
PLACES: dict[str, Any] = {
    "anthropic": ("claude-opus-4-8", {}, "/v1/messages/count_tokens"),
    "openai": ("gpt-5.4", {}, "/v1/responses/input_tokens"),
    "gemini": ("gemini-3.8-flash", {}, "/v1beta/models/gemini-3.8-flash:countTokens"),
    "vertex": (
        "gemini-3.8-flash",
        {"project": "p", "location": "global", "headers": {"authorization": "Bearer own"}},
        "/v1beta1/projects/p/locations/global/publishers/google/models/gemini-3.8-flash:countTokens",
    ),
    "vertex for Claude": (
        "claude-opus-4-8",
        {"kind": "vertex", "project": "p", "location": "global", "headers": {"authorization": "Bearer own"}},
        "/v1beta1/projects/p/locations/global/publishers/anthropic/models/count-tokens:rawPredict",
    ),
    "bedrock": (
        "us.anthropic.claude-opus-4-8",
        {"region": "us-east-1"},
        "/model/us.anthropic.claude-opus-4-8/count-tokens",
    ),
}
"""What a provider is asked for, its settings, and where it counts."""


def counting(edges: Edges, provider: Provider, name: str, **more: Any) -> EdgeClient:
    """Counts for `m` go to this provider."""
    model, settings, _ = PLACES.get(name, (more.pop("model", "any"), {}, ""))
    kind = name.partition(" ")[0]
    base = provider.url + ("/v1" if kind in ("openai", "deepseek") else "")
    shown = {} if "headers" in settings else {"api_key": "k"}
    return edges(
        providers={kind: {"base_url": base, **shown, **settings}},
        routes={"m": {"targets": [f"{kind}/{model}"]}},
        **{"retry": {"attempts": 1}, **more},
    )


def anthropics_sdk(colour: Colour, edge: EdgeClient) -> Any:
    import anthropic

    kind: Any = anthropic.Anthropic if colour.name == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key="sk-test", base_url="http://127.0.0.1:9", http_client=colour.http_client(edge))
    colour.opened.append(client)
    return client


def counted(colour: Colour, edge: EdgeClient) -> Any:
    """What Anthropic's SDK is told."""
    return colour.finish(anthropics_sdk(colour, edge).messages.count_tokens(**ASKED))


@pytest.mark.parametrize("name", PLACES)
def test_anthropics_sdk_has_its_tokens_counted_by_every_vendor(
    colour: Colour, edges: Edges, provider: Provider, name: str
) -> None:
    provider.script(answer("unused", usage={"prompt_tokens": 17}))
    told = counted(colour, counting(edges, provider, name))
    assert told.input_tokens == 17
    assert not getattr(told, "estimated", False)
    assert provider.last.path == PLACES[name][2]
    sent = str(provider.last.json)
    assert all(part in sent for part in (TEXT, "Be brief.", "Weather"))
    assert "max_tokens" not in sent


def test_each_vendor_is_asked_in_its_own_form(colour: Colour, edges: Edges, provider: Provider) -> None:
    bodies: dict[str, Any] = {}
    for name in PLACES:
        counted(colour, counting(edges, provider, name))
        bodies[name] = provider.last.json
    assert bodies["anthropic"]["model"] == bodies["vertex for Claude"]["model"] == "claude-opus-4-8"
    assert set(bodies["gemini"]) == {"generateContentRequest"}
    assert bodies["gemini"]["generateContentRequest"]["model"] == "models/gemini-3.8-flash"
    assert set(bodies["vertex"]) == {"contents", "systemInstruction", "tools"}
    assert set(bodies["bedrock"]["input"]["converse"]) == {"messages", "system", "toolConfig"}
    assert bodies["openai"]["input"][-1]["content"] in (TEXT, [{"type": "input_text", "text": TEXT}])


def test_a_number_nobody_counted_says_that_it_is_estimated(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = counting(edges, provider, "deepseek", model="deepseek-chat")
    told = counted(colour, edge)
    assert told.estimated is True
    assert 5 <= told.input_tokens <= 50
    provider.never_asked()


@pytest.mark.parametrize("code", [400, 404])
def test_a_model_that_cannot_be_counted_is_estimated(
    colour: Colour, edges: Edges, provider: Provider, code: int
) -> None:
    provider.script(status(code, message="this model does not support counting tokens"))
    told = counted(colour, counting(edges, provider, "bedrock"))
    assert told.estimated is True
    provider.asked(1)


def test_a_refusal_in_ones_own_dialect_stays_one(colour: Colour, edges: Edges, provider: Provider) -> None:
    import anthropic

    provider.script(status(400, message="messages: at least one"))
    with pytest.raises(anthropic.BadRequestError, match="at least one"):
        counted(colour, counting(edges, provider, "anthropic"))


def test_a_key_that_is_refused_is_no_reason_to_estimate(colour: Colour, edges: Edges, provider: Provider) -> None:
    import anthropic

    provider.script(status(401, message="no such key"))
    with pytest.raises(anthropic.AuthenticationError, match="no such key"):
        counted(colour, counting(edges, provider, "gemini"))


def test_counting_takes_nothing_of_budgets_and_limits_on_tokens(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    edge = counting(
        edges,
        provider,
        "openai",
        budgets={"global": {"usd_per_day": 0.000001}},
        limits={"global": {"tokens_per_minute": 1}},
    )
    raw = anthropics_sdk(colour, edge).messages.with_raw_response
    told = [colour.finish(raw.count_tokens(**ASKED)) for _ in range(3)]
    assert [each.headers["x-llm-edge-cost"] for each in told] == ["0"] * 3
    assert {each.headers["x-llm-edge-cache"] for each in told} == {"BYPASS"}


COUNTS = ("anthropic.count", "openai.count", "gemini.count", "bedrock.count")


@pytest.mark.parametrize("caller", COUNTS)
@pytest.mark.parametrize("vendor", COUNTS)
def test_a_question_of_one_vendors_is_counted_by_another(caller: str, vendor: str) -> None:
    mine, theirs = translation(caller), translation(vendor)
    assert mine is not None
    assert theirs is not None
    into = Exchange(model="m", provider="p", request_id="r")
    anthropics = translation("anthropic.count")
    assert anthropics is not None
    asked = mine.request_from_chat(anthropics.request_to_chat(ASKED, into), into)
    told = theirs.request_from_chat(mine.request_to_chat(asked, into), into)
    assert TEXT in str(told)
    number = theirs.answer_to_chat({"input_tokens": 3, "totalTokens": 3, "inputTokens": 3}, into)
    assert 3 in mine.answer_from_chat(number, into).values()
    assert mine.answer_from_chat({**number, "estimated": True}, into)["estimated"] is True


def test_what_amazon_counts_in_a_models_own_words_is_counted_nowhere_else() -> None:
    half = translation("bedrock.count")
    assert half is not None
    with pytest.raises(InvalidRequest, match=r"input\.invokeModel"):
        half.request_to_chat({"input": {"invokeModel": {"body": "e30="}}}, Exchange())


def test_a_caller_of_googles_may_send_a_whole_request() -> None:
    half = translation("gemini.count")
    assert half is not None
    contents = [{"role": "user", "parts": [{"text": TEXT}]}]
    for body in ({"contents": contents}, {"generateContentRequest": {"contents": contents}}):
        assert half.request_to_chat(body, Exchange())["messages"][0]["content"] == TEXT


@pytest.mark.parametrize("dialect", COUNTS)
def test_an_answer_without_a_number_is_none(dialect: str) -> None:
    known = DIALECTS[dialect]
    assert known.fault({"input_tokens": 1, "totalTokens": 1, "inputTokens": 1}) is None
    fault = known.fault({"input_tokens": "1", "totalTokens": "1", "inputTokens": "1"})
    assert isinstance(fault, BadAnswer)
    assert known.fault({"error": {"message": "no", "code": 400, "status": "INVALID_ARGUMENT"}}) is not None
    assert known.usage({"input_tokens": 1}) is None


def test_googles_sdk_has_its_tokens_counted_by_anthropic(sdks: Any, edges: Edges, provider: Provider) -> None:
    edge = counting(edges, provider, "anthropic")
    models = sdks.google(edge, provider)
    assert sdks.colour.finish(models.count_tokens(model="m", contents=TEXT)).total_tokens == 9
    assert provider.last.json["messages"][0]["content"] == [{"type": "text", "text": TEXT}]


def test_openais_sdk_has_its_tokens_counted_by_google(sdks: Any, edges: Edges, provider: Provider) -> None:
    client = sdks.openai(counting(edges, provider, "gemini"), provider)
    told = sdks.colour.finish(client.responses.input_tokens.count(model="m", input=TEXT))
    assert (told.input_tokens, told.object) == (9, "response.input_tokens")


@pytest.mark.parametrize("whole", [False, True], ids=["bare", "whole"])
def test_googles_own_request_is_led_to_the_model_of_the_route(
    sdks: Any, edges: Edges, provider: Provider, whole: bool
) -> None:
    provider.script(json_body({"totalTokens": 4}))
    edge = counting(edges, provider, "gemini")
    contents = [{"role": "user", "parts": [{"text": TEXT}]}]
    inner = {"model": "models/other", "contents": contents}
    body: Any = {"generateContentRequest": inner} if whole else {"contents": contents}
    http = sdks.opened(sdks.colour.http_client(edge))
    told = sdks.colour.finish(http.post("http://127.0.0.1:9/v1beta/models/m:countTokens", json=body))
    assert told.json() == {"totalTokens": 4}
    assert provider.last.path.endswith("/models/gemini-3.8-flash:countTokens")
    sent = provider.last.json
    assert sent == ({"generateContentRequest": {**inner, "model": "models/gemini-3.8-flash"}} if whole else body)
