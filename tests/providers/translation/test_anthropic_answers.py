"""Anthropic's requests and whole answers in the chat form, and back; both SDKs accept what they are given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion

from llm_edge.providers.translation.anthropic import TRANSLATION
from llm_edge.providers.translation.core import Exchange
from tests.providers.exchanges import RECORDED

from .test_anthropic_requests import exchange

ASKED = sorted((RECORDED / "anthropic").glob("*.request.json"))
ANSWERED = sorted((RECORDED / "anthropic").glob("*.response.json"))


def in_chat(body: dict[str, Any]) -> dict[str, Any]:
    return dict(TRANSLATION.request_to_chat({"model": "m", "max_tokens": 9, "messages": [], **body}, exchange()))


def completion(message: dict[str, Any], **choice: Any) -> dict[str, Any]:
    made = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop", **choice}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt", "choices": [made]}


def as_message(chat: dict[str, Any]) -> dict[str, Any]:
    answer = dict(TRANSLATION.answer_from_chat(chat, exchange()))
    Message.model_validate(answer)
    return answer


def as_chat(answer: dict[str, Any], into: Exchange | None = None) -> dict[str, Any]:
    chat = dict(TRANSLATION.answer_to_chat(answer, into or exchange()))
    ChatCompletion.model_validate(chat)
    return chat


def answered(*content: dict[str, Any], **more: Any) -> dict[str, Any]:
    usage = {"input_tokens": 10, "output_tokens": 5}
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": usage,
        **more,
    }


# ------------------------------------------------------------------ recorded exchanges


def test_recorded_answers_come_back_as_they_were() -> None:
    for file in ANSWERED:
        answer = json.loads(file.read_bytes())
        if answer["type"] == "message":
            back = as_message(as_chat(answer))
            assert {**back, "stop_details": None} == {**answer, "stop_details": None}, file.name


# ------------------------------------------------------------------ answers to chat


def test_an_answer_in_the_chat_form() -> None:
    into = exchange()
    into.created, into.names["w_x"] = 7, "w.x"
    chat = as_chat(
        answered(
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "text", "text": "Olé"},
            {"type": "tool_use", "id": "toolu_1", "name": "w_x", "input": {"city": "Orléans"}},
            stop_reason="tool_use",
            usage={
                "input_tokens": 10,
                "cache_read_input_tokens": 3,
                "cache_creation_input_tokens": 2,
                "output_tokens": 5,
                "output_tokens_details": {"thinking_tokens": 4},
                "service_tier": "standard",
            },
        ),
        into,
    )
    assert chat == {
        "id": "msg_1",
        "object": "chat.completion",
        "created": 7,
        "model": "claude",
        "service_tier": "default",
        "choices": [
            {
                "index": 0,
                "logprobs": None,
                "finish_reason": "tool_calls",
                "native_finish_reason": "tool_use",
                "message": {
                    "role": "assistant",
                    "content": "Olé",
                    "refusal": None,
                    "reasoning_content": "hm",
                    "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
                    "tool_calls": [
                        {
                            "id": "toolu_1",
                            "type": "function",
                            "function": {"name": "w.x", "arguments": '{"city":"Orléans"}'},
                        }
                    ],
                },
            }
        ],
        "usage": {
            "prompt_tokens": 15,
            "completion_tokens": 5,
            "total_tokens": 20,
            "prompt_tokens_details": {"cached_tokens": 3, "cache_write_tokens": 2},
            "completion_tokens_details": {"reasoning_tokens": 4},
            "anthropic": {"service_tier": "standard"},
        },
    }


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("pause_turn", "stop"),
    ],
)
def test_why_it_stopped_is_told_in_both_words_and_comes_back(native: str, finish: str) -> None:
    chat = as_chat(answered({"type": "text", "text": "a"}, stop_reason=native))
    assert chat["choices"][0]["finish_reason"] == finish
    assert chat["choices"][0]["native_finish_reason"] == native
    assert as_message(chat)["stop_reason"] == native


def test_32_a_refusal_is_told_as_one_and_loses_no_text() -> None:
    details = {"type": "refusal", "category": "bio", "explanation": "No."}
    answer = answered({"type": "text", "text": "Well"}, stop_reason="refusal", stop_details=details)
    chat = as_chat(answer)
    message = chat["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == ("Well", "No.")
    assert as_message(chat)["stop_details"] == details


def test_29_the_stop_sequence_that_was_met_is_told() -> None:
    chat = as_chat(answered({"type": "text", "text": "a"}, stop_reason="stop_sequence", stop_sequence="END"))
    assert chat["choices"][0]["stop_sequence"] == "END"
    assert as_message(chat)["stop_sequence"] == "END"


def test_web_citations_become_annotations_where_they_belong_and_come_back() -> None:
    cited = {
        "type": "web_search_result_location",
        "url": "https://a",
        "title": "A",
        "cited_text": "b",
        "encrypted_index": "e",
    }
    blocks = [
        {"type": "text", "text": "Oslo: "},
        {"type": "text", "text": "3 °C", "citations": [cited]},
        {"type": "text", "text": "."},
    ]
    chat = as_chat(answered(*blocks))
    message = chat["choices"][0]["message"]
    where = message["annotations"][0]["url_citation"]
    assert message["content"][where["start_index"] : where["end_index"]] == "3 °C"
    assert as_message(chat)["content"] == blocks


@pytest.mark.parametrize(
    "blocks",
    [
        [
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "text", "text": "a"},
        ],
        [
            {"type": "text", "text": "a"},
            {"type": "thinking", "thinking": "b", "signature": "s"},
            {"type": "tool_use", "id": "t", "name": "w", "input": {}},
        ],
        [
            {
                "type": "text",
                "text": "a",
                "citations": [
                    {
                        "type": "char_location",
                        "cited_text": "x",
                        "document_index": 0,
                        "start_char_index": 0,
                        "end_char_index": 1,
                    }
                ],
            }
        ],
    ],
)
def test_blocks_that_chat_cannot_tell_ride_along_whole(blocks: list[dict[str, Any]]) -> None:
    chat = as_chat(answered(*blocks))
    assert chat["choices"][0]["message"]["content"] == "a"
    assert as_message(chat)["content"] == blocks


# ------------------------------------------------------------------ answers from chat


def test_a_chat_answer_as_a_message() -> None:
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "w", "arguments": '{"n": 12345678901234567890123}'},
    }
    chat = completion({"content": "a", "tool_calls": [call]}, finish_reason="tool_calls")
    chat["usage"] = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    answer = as_message(chat)
    assert answer["id"] == "msg_chatcmpl-1"
    assert answer["stop_reason"] == "tool_use"
    assert answer["content"][1]["input"] == {"n": 12345678901234567890123}
    assert answer["usage"] == {
        "input_tokens": 6,
        "output_tokens": 5,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": None,
        "output_tokens_details": {"thinking_tokens": 2},
    }


def test_servers_that_say_stop_after_a_call_are_understood() -> None:
    call = {"type": "function", "function": {"name": "w", "arguments": ""}}
    answer = as_message(completion({"content": None, "tool_calls": [call]}))
    assert answer["stop_reason"] == "tool_use"
    assert answer["content"] == [{"type": "tool_use", "id": "toolu_r1_0", "name": "w", "input": {}}]


def test_a_refusal_of_openais_is_a_refusal() -> None:
    answer = as_message(completion({"content": None, "refusal": "I can't."}))
    assert answer["stop_reason"] == "refusal"
    assert answer["stop_details"]["explanation"] == "I can't."


def test_what_others_thought_and_said_about_calls_survives_an_anthropic_caller() -> None:
    extra = {"google": {"thought_signature": "c2ln+/="}}
    call = {"id": "c1", "type": "function", "function": {"name": "w", "arguments": "{}"}, "extra_content": extra}
    answer = as_message(completion({"content": None, "reasoning_content": "hm", "tool_calls": [call]}))
    assert answer["content"][0]["thinking"] == "hm"
    back = in_chat({"messages": [{"role": "assistant", "content": answer["content"]}]})["messages"][0]
    assert back["tool_calls"][0]["extra_content"] == extra
    assert back["reasoning_content"] == "hm"
    # And nothing of it goes to Anthropic, should the next turn be its.
    again = TRANSLATION.request_from_chat({"messages": [{"role": "user", "content": "x"}, back]}, exchange())
    assert [block["type"] for block in again["messages"][1]["content"]] == ["tool_use"]
