"""Requests of Anthropic's SDK in the chat form, and any conversation there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from llm_edge.errors import InvalidRequest
from llm_edge.providers.translation.anthropic import TRANSLATION
from llm_edge.providers.translation.core import Exchange
from tests.providers.exchanges import CASES, RECORDED

from .test_anthropic_answers import in_chat
from .test_anthropic_requests import exchange

TRANSLATED = sorted((CASES / "anthropic").glob("*.translated.json"))
ASKED = sorted((RECORDED / "anthropic").glob("*.request.json"))


def test_recorded_requests_come_back_with_the_same_meaning() -> None:
    for file in ASKED:
        body = json.loads(file.read_bytes())
        if "max_tokens" in body:
            into = Exchange(provider="anthropic", request_id="r1")
            back = TRANSLATION.request_from_chat(TRANSLATION.request_to_chat(body, into), into)
            assert meaning(back) == meaning(body), file.name
            assert len(into.changes) == (body["messages"][0]["role"] == "assistant"), file.name


def meaning(body: Any) -> Any:
    """The request without what says nothing: strings for single texts, `is_error: false`, a first user's full stop."""
    plain = dict(body)
    if isinstance(plain.get("system"), str):
        plain["system"] = [{"type": "text", "text": plain["system"]}]
    turns = []
    for turn in plain["messages"]:
        content = turn["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        blocks = [{k: v for k, v in block.items() if not (k == "is_error" and not v)} for block in blocks]
        turns.append({**turn, "content": blocks})
    if turns[0]["content"] == [{"type": "text", "text": "."}]:
        turns = turns[1:]
    return {**plain, "messages": turns}


# ------------------------------------------------------------------ requests to chat


def test_a_tool_that_only_anthropic_has_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"tools\[0\].*bash_20250124"):
        in_chat({"tools": [{"type": "bash_20250124", "name": "bash"}]})


def test_web_search_becomes_an_option_and_comes_back() -> None:
    search = {
        "type": "web_search_20250305",
        "name": "web_search",
        "max_uses": 2,
        "user_location": {"type": "approximate", "city": "Oslo"},
    }
    chat = in_chat({"tools": [search]})
    assert chat["web_search_options"] == {"user_location": {"type": "approximate", "approximate": {"city": "Oslo"}}}
    assert TRANSLATION.request_from_chat(chat, exchange())["tools"] == [search]


def test_settings_in_the_chat_form() -> None:
    chat = in_chat(
        {
            "stream": True,
            "stop_sequences": ["END"],
            "metadata": {"user_id": "u"},
            "tool_choice": {"type": "any", "disable_parallel_tool_use": True},
            "service_tier": "standard_only",
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}},
        }
    )
    expected = {
        "max_completion_tokens": 9,
        "stream": True,
        "stream_options": {"include_usage": True},
        "stop": ["END"],
        "user": "u",
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "service_tier": "default",
        "reasoning_effort": "low",
    }
    assert expected.items() <= chat.items()
    assert chat["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_a_field_nobody_knows_is_told() -> None:
    into = exchange()
    TRANSLATION.request_to_chat({"model": "m", "messages": [], "brand_new": 1}, into)
    assert "brand_new" in into.changes[0]


@pytest.mark.parametrize("file", TRANSLATED, ids=lambda file: file.name)
def test_a_case_is_translated_as_written(file: Path) -> None:
    case = json.loads(file.read_bytes())
    into = Exchange(model=case["model"], provider="anthropic", request_id="r1")
    half = TRANSLATION.request_from_chat if case["to"] == "anthropic" else TRANSLATION.request_to_chat
    assert half(case["given"], into) == case["expected"]
    assert into.changes == case["changes"]


# ------------------------------------------------------------------ round trips of anything

TEXT = st.text(min_size=1).filter(lambda text: bool(text.strip()))
NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,40}", fullmatch=True)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))
MARK = st.sampled_from([{}, {}, {"cache_control": {"type": "ephemeral"}}])


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    waiting: list[str] = []
    for number in range(draw(st.integers(1, 3))):
        results: list[dict[str, Any]] = []
        for each in waiting:
            inside = draw(TEXT | st.lists(TEXT.map(lambda t: {"type": "text", "text": t}), min_size=2, max_size=2))
            results.append({"type": "tool_result", "tool_use_id": each, "content": inside})
        said = [{"type": "text", "text": draw(TEXT)} for _ in range(draw(st.integers(0 if results else 1, 2)))]
        turns.append({"role": "user", "content": [*results, *said]})
        waiting = [f"t{number}_{index}" for index in range(draw(st.integers(0, 2)))]
        thought = [{"type": "thinking", "thinking": draw(st.text()), "signature": draw(NAMES)}] * draw(st.booleans())
        uses = [
            {"type": "tool_use", "id": each, "name": draw(NAMES), "input": draw(st.dictionaries(st.text(), VALUES))}
            for each in waiting
        ]
        turns.append({"role": "assistant", "content": [*thought, {"type": "text", "text": draw(TEXT)}, *uses]})
    answers = [{"type": "tool_result", "tool_use_id": each, "content": draw(TEXT)} for each in waiting]
    return [*turns, {"role": "user", "content": answers or [{"type": "text", "text": draw(TEXT), **draw(MARK)}]}]


@settings(max_examples=60, deadline=None)
@given(conversations())
def test_any_conversation_comes_back_as_it_was(turns: list[dict[str, Any]]) -> None:
    into = exchange()
    tools = [{"name": "any", "input_schema": {"type": "object"}}]
    body = {"model": "claude-haiku-4-5", "max_tokens": 9, "messages": turns, "tools": tools}
    back = TRANSLATION.request_from_chat(TRANSLATION.request_to_chat(body, into), into)
    assert back == body
    assert not into.changes


@pytest.mark.parametrize("kind", ["image", "document"])
@pytest.mark.parametrize("in_result", [False, True])
def test_a_file_that_lies_with_anthropic_is_refused_before_somebody_answers_without_it(
    kind: str, in_result: bool
) -> None:
    block: Any = {"type": kind, "source": {"type": "file", "file_id": "file_1"}}
    if in_result:
        block = {"type": "tool_result", "tool_use_id": "t", "content": [block]}
    with pytest.raises(InvalidRequest, match=r"`messages\[0\].content\[0\].*file_id`: the file lies with Anthropic"):
        in_chat({"messages": [{"role": "user", "content": [block]}]})
