"""Settings of a chat request at Anthropic: mapped, fitted to the model, told when left out, else refused."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from llm_edge.errors import InvalidRequest
from llm_edge.providers.translation.anthropic import TRANSLATION
from llm_edge.providers.translation.core import Exchange

from .test_anthropic_requests import exchange, told, tool, user

PDF = base64.b64encode(b"%PDF-1.7 x").decode()


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "output"),
    [
        ("claude-opus-5", "minimal", {"type": "adaptive", "display": "summarized"}, "low"),
        ("claude-opus-5", "xhigh", {"type": "adaptive", "display": "summarized"}, "xhigh"),
        ("claude-opus-4-6", "xhigh", {"type": "adaptive", "display": "summarized"}, "max"),
        ("claude-opus-4-5", "max", {"type": "enabled", "budget_tokens": 49152}, "high"),
        ("claude-haiku-4-5", "low", {"type": "enabled", "budget_tokens": 2048}, None),
        ("claude-opus-5", "none", {"type": "disabled"}, None),
        ("claude-sonnet-5-5", "none", {"type": "between_tools"}, None),
        ("claude-opus-5-5", "none", None, None),
        ("claude-3-5-haiku", "high", None, None),
    ],
)
def test_one_word_of_effort_becomes_what_the_model_takes(model: str, effort: str, thinking: Any, output: Any) -> None:
    body = told(model, reasoning_effort=effort)
    assert body.get("thinking") == thinking
    assert body.get("output_config", {}).get("effort") == output


def test_nothing_said_of_effort_is_nothing_said() -> None:
    body = told("claude-opus-5")
    assert body.keys() == {"model", "max_tokens", "messages"}


def test_a_budget_for_an_adaptive_model_is_told_as_adaptive_and_the_other_way_round() -> None:
    assert told("claude-opus-5", thinking={"type": "enabled", "budget_tokens": 2000})["thinking"]["type"] == "adaptive"
    assert told("claude-haiku-4-5", thinking={"type": "adaptive"})["thinking"]["type"] == "enabled"


def test_sampling_is_left_out_where_it_is_refused_and_told() -> None:
    into = exchange("claude-opus-5")
    body = told(into=into, temperature=0.3, top_p=1, top_k=5)
    assert not body.keys() & {"temperature", "top_p", "top_k"}
    assert [change.split("`")[1] for change in into.changes] == ["temperature", "top_k"]


def test_sampling_is_left_out_while_the_model_thinks() -> None:
    body = told(reasoning_effort="low", temperature=0.3, top_p=0.5, top_k=5)
    assert not body.keys() & {"temperature", "top_p", "top_k"}


def test_a_missing_limit_is_the_models_own() -> None:
    assert told("claude-haiku-4-5")["max_tokens"] == 64000
    assert told("claude-opus-5")["max_tokens"] == 128000
    assert told("claude-haiku-4-5", max_tokens=100000)["max_tokens"] == 64000
    assert told("claude-haiku-4-5", max_completion_tokens=5, max_tokens=9)["max_tokens"] == 5


@pytest.mark.parametrize(
    "field",
    [
        {"seed": 1},
        {"frequency_penalty": 0.5},
        {"logit_bias": {"1": 1}},
        {"store": True},
        {"metadata": {"a": "b"}},
        {"verbosity": "low"},
        {"prediction": {"type": "content", "content": "x"}},
        {"prompt_cache_key": "k"},
        {"never_heard_of": 1},
        {"service_tier": "flex"},
        {"user": "jane@example.com"},
        {"user": "+44 20 7946 0958"},
    ],
)
def test_what_has_no_place_is_told_dropped_or_refused_as_configured(field: dict[str, Any]) -> None:
    name = next(iter(field))
    warn, drop = exchange(), exchange(on_unsupported="drop")
    assert name not in told(into=warn, **field)
    assert [change for change in warn.changes if f"`{name}`" in change]
    assert name not in told(into=drop, **field)
    assert not drop.changes
    with pytest.raises(InvalidRequest, match=name):
        told(into=exchange(on_unsupported="reject"), **field)
    assert "jane" not in str(warn.changes)


@pytest.mark.parametrize(
    "field",
    [
        {"n": 2},
        {"logprobs": True},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "x"}},
        {"tool_choice": "required"},
        {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
        {"max_tokens": "many"},
        {"reasoning_effort": "lots"},
        {"response_format": {"type": "xml"}},
        {"messages": [user([{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}])]},
        {"messages": [user([{"type": "file", "file": {"file_id": "file-abc"}}])]},
        {"messages": [user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}])]},
        {"messages": [user([{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}}])]},
        {"messages": [{"role": "robot", "content": "x"}]},
    ],
)
def test_what_would_change_the_answer_is_always_refused(field: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=next(iter(field))):
        told(into=exchange(on_unsupported="drop"), **field)


def test_a_schema_on_a_model_without_schemas_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="response_format"):
        told("claude-3-haiku", response_format={"type": "json_schema", "json_schema": {"schema": {}}})


def test_plain_json_is_asked_for_in_words() -> None:
    into = exchange()
    body = told(into=into, response_format={"type": "json_object"})
    assert "JSON" in body["system"][0]["text"]
    assert "response_format" in into.changes[0]
    assert "system" not in told(response_format={"type": "text"})


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"type": "auto"}),
        ("none", {"type": "none"}),
        ("required", {"type": "any"}),
        ({"type": "function", "function": {"name": "w"}}, {"type": "tool", "name": "w"}),
    ],
)
def test_the_choice_of_tools(choice: Any, expected: Any) -> None:
    assert told(tools=[tool()], tool_choice=choice)["tool_choice"] == expected


def test_allowed_tools_are_the_only_ones_sent() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}
    body = told(tools=[tool("a"), tool("b")], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert [each["name"] for each in body["tools"]] == ["b"]
    assert body["tool_choice"] == {"type": "any"}


def test_calls_one_by_one() -> None:
    assert told(tools=[tool()], parallel_tool_calls=False)["tool_choice"] == {
        "type": "auto",
        "disable_parallel_tool_use": True,
    }
    none = told(tools=[tool()], parallel_tool_calls=False, tool_choice="none")
    assert none["tool_choice"] == {"type": "none"}


def test_a_strict_tool_keeps_within_the_limits() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "array", "maxItems": 2, "items": {"type": "string"}}}}
    made = told(tools=[tool(parameters=schema, strict=True)])["tools"][0]
    assert made["strict"] is True
    assert made["input_schema"]["additionalProperties"] is False
    assert "maxItems" not in made["input_schema"]["properties"]["a"]
    assert told(tools=[tool(parameters=schema)])["tools"][0]["input_schema"] == schema


def test_web_search() -> None:
    where = {"type": "approximate", "approximate": {"city": "Oslo", "country": "NO"}}
    into = exchange()
    body = told(into=into, web_search_options={"user_location": where, "search_context_size": "low"})
    assert body["tools"] == [
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "user_location": {"type": "approximate", "city": "Oslo", "country": "NO"},
        }
    ]
    assert "search_context_size" in into.changes[0]


def test_files() -> None:
    body = told(
        messages=[
            user(
                [
                    {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
                    {"type": "file", "file": {"file_data": "data:text/plain;charset=utf-8,h%C3%A9"}},
                    {"type": "file", "file": {"file_id": "file_011"}},
                    {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
                ]
            )
        ]
    )
    assert body["messages"][0]["content"] == [
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": PDF},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hé"}},
        {"type": "document", "source": {"type": "file", "file_id": "file_011"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
    ]


def test_cache_marks_ride_along_but_no_more_than_four() -> None:
    mark = {"cache_control": {"type": "ephemeral"}}
    into = exchange()
    parts = [{"type": "text", "text": str(i), **mark} for i in range(4)]
    body = told(
        into=into, messages=[{"role": "system", "content": "s", **mark}, user(parts)], tools=[{**tool(), **mark}]
    )
    assert "cache_control" not in body["tools"][0]
    assert "cache_control" not in body["system"][0]
    assert all("cache_control" in block for block in body["messages"][0]["content"])
    assert any("cache_control" in change for change in into.changes)


def test_an_hours_mark_never_stands_behind_one_of_minutes() -> None:
    parts = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "b", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}},
    ]
    content = told(messages=[user(parts)])["messages"][0]["content"]
    assert [block["cache_control"].get("ttl", "5m") for block in content] == ["5m", "5m"]
    content = told(messages=[user(parts[::-1])])["messages"][0]["content"]
    assert [block["cache_control"].get("ttl", "5m") for block in content] == ["1h", "5m"]


def test_what_rides_along_cannot_take_the_requests_own_fields() -> None:
    into = exchange()
    body = told(into=into, anthropic={"model": "other", "stream": True, "inference_geo": "us"})
    assert body["model"] == "claude-haiku-4-5"
    assert "stream" not in body
    assert body["inference_geo"] == "us"
    assert len(into.changes) == 2


def test_the_request_is_not_changed_in_place() -> None:
    messages = [user([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}] * 6)]
    before = repr(messages)
    TRANSLATION.request_from_chat({"model": "m", "messages": messages}, Exchange(model="claude-opus-5"))
    assert repr(messages) == before
