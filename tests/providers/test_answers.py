"""What an answer says, in whichever dialect: text, tool calls, usage, why it ended."""

from __future__ import annotations

from typing import Any

import pytest

from llm_edge.message import Body, Json
from llm_edge.providers.dialects import DIALECTS

from .exchanges import THEIRS

GOOD = [each for each in THEIRS if not each.stream and each.status == 200 and "error" not in each.name]


@pytest.mark.parametrize("dialect", ["openai.chat", "anthropic.messages", "gemini.generate", "openai.responses"])
def test_recorded_answers_say_something_and_what_it_cost(dialect: str) -> None:
    for exchange in (each for each in GOOD if each.dialect.name == dialect):
        answer = Body(exchange.content).json
        known = exchange.dialect
        blocked = (
            "blocked" in exchange.name
            or "filtered" in exchange.name
            or "refusal" in exchange.name
            or "safety" in exchange.name
        )
        assert blocked or known.text(answer) or known.tool_calls(answer), exchange.name
        assert "prompt_blocked" in exchange.name or (known.usage(answer) or {})["total_tokens"] > 0, exchange.name
        assert all(known.finished(answer)), exchange.name


CALL: Json = {"id": "call_1", "type": "function", "function": {"name": "w", "arguments": '{"city":"Ōsaka"}'}}
SAYING: dict[str, tuple[Json, str, list[Json]]] = {
    "chat": (
        {"choices": [{"message": {"content": "Hi", "tool_calls": [CALL]}}, {"message": {"content": "Ho"}}]},
        "Hi",
        [CALL],
    ),
    "parts": (
        {
            "choices": [
                {
                    "message": {
                        "content": [{"type": "text", "text": "H"}, {"type": "image"}, {"type": "text", "text": "i"}]
                    }
                }
            ]
        },
        "Hi",
        [],
    ),
    "chat nothing": ({"choices": [{"finish_reason": "content_filter"}]}, "", []),
}


@pytest.mark.parametrize("case", SAYING)
def test_a_chat_answer_gives_its_first_choice(case: str) -> None:
    answer, text, calls = SAYING[case]
    assert DIALECTS["openai.chat"].text(answer) == text
    assert DIALECTS["openai.chat"].tool_calls(answer) == calls


def test_other_dialects_give_text_and_tool_calls_in_the_chat_shape() -> None:
    messages: Json = {
        "content": [
            {"type": "thinking", "thinking": "hm"},
            {"type": "text", "text": "H"},
            {"type": "text", "text": "i"},
            {"type": "tool_use", "id": "call_1", "name": "w", "input": {"city": "Ōsaka"}},
        ]
    }
    responses: Json = {
        "output": [
            {"type": "reasoning", "summary": [{"text": "hm"}]},
            {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]},
            {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "w", "arguments": '{"city":"Ōsaka"}'},
        ]
    }
    generate: Json = {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "hm", "thought": True},
                        {"text": "Hi"},
                        {"functionCall": {"id": "call_1", "name": "w", "args": {"city": "Ōsaka"}}},
                    ]
                }
            }
        ]
    }
    for name, answer in (
        ("anthropic.messages", messages),
        ("openai.responses", responses),
        ("gemini.generate", generate),
    ):
        assert DIALECTS[name].text(answer) == "Hi"
        assert DIALECTS[name].tool_calls(answer) == [CALL]


def test_a_call_without_an_id_gets_one_by_its_place() -> None:
    answer: Json = {
        "candidates": [
            {"content": {"parts": [{"functionCall": {"name": "a"}}, {"text": "x"}, {"functionCall": {"name": "b"}}]}}
        ]
    }
    calls = DIALECTS["gemini.generate"].tool_calls(answer)
    assert [call["id"] for call in calls] == ["call_0", "call_1"]
    assert [call["function"]["arguments"] for call in calls] == ["{}", "{}"]


def test_a_custom_tool_call_keeps_its_kind() -> None:
    answer: Json = {"output": [{"type": "custom_tool_call", "call_id": "c", "name": "sql", "input": "select 1"}]}
    assert DIALECTS["openai.responses"].tool_calls(answer) == [
        {"id": "c", "type": "custom", "custom": {"name": "sql", "input": "select 1"}}
    ]


def test_a_completion_gives_its_text() -> None:
    assert DIALECTS["openai.completions"].text({"choices": [{"text": "Hi", "finish_reason": "stop"}]}) == "Hi"


@pytest.mark.parametrize(
    ("dialect", "usage", "counts"),
    [
        (
            "openai.chat",
            {"prompt_tokens": 3, "completion_tokens": 4},
            {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        ),
        (
            "openai.chat",
            {"prompt_tokens": 3.0, "total_tokens": 3, "completion_tokens": None},
            {"prompt_tokens": 3, "total_tokens": 3},
        ),
        ("openai.chat", {"prompt_tokens": -3, "completion_tokens": True, "total_tokens": "9"}, None),
        ("openai.chat", None, None),
        (
            "anthropic.messages",
            {"input_tokens": 1, "cache_read_input_tokens": 20, "cache_creation_input_tokens": None, "output_tokens": 3},
            {"prompt_tokens": 21, "completion_tokens": 3, "total_tokens": 24, "cached_tokens": 20},
        ),
        (
            "openai.responses",
            {
                "input_tokens": 5,
                "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
                "output_tokens": 2,
            },
            {
                "prompt_tokens": 5,
                "completion_tokens": 2,
                "total_tokens": 7,
                "cached_tokens": 4,
                "cache_write_tokens": 1,
            },
        ),
        (
            "gemini.generate",  # thoughts beside the candidates
            {
                "promptTokenCount": 10,
                "toolUsePromptTokenCount": 5,
                "candidatesTokenCount": 3,
                "thoughtsTokenCount": 2,
                "totalTokenCount": 20,
            },
            {"prompt_tokens": 15, "completion_tokens": 5, "total_tokens": 20, "reasoning_tokens": 2},
        ),
        (
            "gemini.generate",  # thoughts among the candidates: the sum shows it
            {"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 2, "totalTokenCount": 15},
            {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "reasoning_tokens": 2},
        ),
    ],
)
def test_usage_is_told_in_one_language(dialect: str, usage: Any, counts: dict[str, int] | None) -> None:
    known = DIALECTS[dialect]
    assert known.usage({"usageMetadata" if dialect.startswith("gemini") else "usage": usage}) == counts


@pytest.mark.parametrize(
    ("dialect", "answer", "reasons"),
    [
        ("openai.chat", {"choices": [{"finish_reason": "stop"}, {"finish_reason": None}]}, ["stop", ""]),
        ("anthropic.messages", {"stop_reason": "end_turn"}, ["end_turn"]),
        (
            "openai.responses",
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            ["content_filter"],
        ),
        ("openai.responses", {"status": "completed"}, ["completed"]),
        (
            "gemini.generate",
            {"candidates": [{"finishReason": "STOP"}, {"finishReason": 2}, {"finishReason": 99}]},
            ["STOP", "MAX_TOKENS", "FINISH_REASON_99"],
        ),
        ("gemini.generate", {"promptFeedback": {"blockReason": "SAFETY"}}, ["SAFETY"]),
    ],
)
def test_why_an_answer_ended_is_told_for_every_choice(dialect: str, answer: Json, reasons: list[str]) -> None:
    assert list(DIALECTS[dialect].finished(answer)) == reasons


def test_an_embedding_has_no_text_and_calls_nothing() -> None:
    for name in ("openai.embeddings", "gemini.embed"):
        assert DIALECTS[name].text({"data": [1]}) == ""
        assert DIALECTS[name].tool_calls({"data": [1]}) == []
