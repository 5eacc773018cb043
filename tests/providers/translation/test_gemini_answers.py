"""Google's whole answers as chat completions, and back; both SDKs accept what they are given."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from llm_edge.message import Json

from .gemini_kit import (
    ANSWERS,
    PNG,
    SIGNATURE,
    as_chat,
    as_google,
    call,
    candidate,
    completion,
    exchange,
    in_chat,
    user,
)

GOOD = sorted(name for name, answer in ANSWERS.items() if answer.get("candidates"))


def answered(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"candidates": [candidate(*parts, **more)], "modelVersion": "gemini-x", "responseId": "resp-1"}


def choice_of(chat: Json) -> dict[str, Any]:
    return dict(chat["choices"][0])


def first(answer: Json) -> dict[str, Any]:
    return dict(answer["candidates"][0])


# ------------------------------------------------------------------ answers on file


@pytest.mark.parametrize("name", sorted(ANSWERS))
def test_an_answer_comes_back_with_the_same_meaning(name: str) -> None:
    chat = as_chat(ANSWERS[name])
    assert as_chat(as_google(chat)) == chat


def test_an_answer_in_the_chat_form() -> None:
    into = exchange()
    into.names["w_x"] = "w.x"
    parts = [
        {"text": "hm", "thought": True},
        {"text": "Olé", "thoughtSignature": SIGNATURE},
        {"functionCall": {"name": "w_x", "args": {"city": "Orléans"}}},
    ]
    usage = {
        "promptTokenCount": 10,
        "cachedContentTokenCount": 4,
        "candidatesTokenCount": 5,
        "thoughtsTokenCount": 3,
        "totalTokenCount": 18,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}, {"modality": "IMAGE", "tokenCount": 3}],
        "serviceTier": "flex",
    }
    chat = as_chat({**answered(*parts), "usageMetadata": usage}, into)
    assert chat == {
        "id": "resp-1",
        "object": "chat.completion",
        "created": 7,
        "model": "gemini-x",
        "service_tier": "flex",
        "choices": [
            {
                "index": 0,
                "logprobs": None,
                "finish_reason": "tool_calls",
                "message": {
                    "role": "assistant",
                    "refusal": None,
                    "content": "Olé",
                    "reasoning_content": "hm",
                    "thinking_blocks": [
                        {"type": "thinking", "thinking": "hm", "signature": f"llm_edge:google:{SIGNATURE}"}
                    ],
                    "tool_calls": [
                        {
                            "id": "call_r1_0_0",
                            "type": "function",
                            "function": {"name": "w.x", "arguments": '{"city":"Orléans"}'},
                        }
                    ],
                },
            }
        ],
        "usage": {
            "prompt_tokens": 10,
            "completion_tokens": 8,
            "total_tokens": 18,
            "prompt_tokens_details": {"text_tokens": 7, "image_tokens": 3, "cached_tokens": 4},
            "completion_tokens_details": {"reasoning_tokens": 3},
        },
    }


@pytest.mark.parametrize(
    ("native", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
        ("SOMETHING_NEW", "stop"),
    ],
)
def test_why_it_stopped_is_told_in_both_words_and_comes_back(native: str, finish: str) -> None:
    chat = as_chat(answered({"text": "a"}, finishReason=native))
    assert choice_of(chat)["finish_reason"] == finish
    plain = native in ("STOP", "MAX_TOKENS")
    assert choice_of(chat).get("native_finish_reason") == (None if plain else native)
    assert first(as_google(chat))["finishReason"] == ("STOP" if native == "SOMETHING_NEW" else native)


def test_a_blocked_prompt_is_a_filtered_choice() -> None:
    feedback = {"blockReason": "SAFETY", "blockReasonMessage": "Not this."}
    answer = {"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5}}
    chat = as_chat(answer)
    choice = choice_of(chat)
    assert (choice["finish_reason"], choice["native_finish_reason"]) == ("content_filter", "SAFETY")
    assert (choice["message"]["content"], choice["message"]["refusal"]) == (None, "Not this.")
    back = as_google(chat)
    assert back["promptFeedback"] == feedback
    assert "candidates" not in back


def test_22_an_answer_eaten_by_thinking_is_none_and_was_too_long() -> None:
    choice = choice_of(as_chat(ANSWERS["max_tokens_empty.response.json"]))
    assert (choice["message"]["content"], choice["finish_reason"]) == (None, "length")


def test_32_a_refusal_loses_no_text() -> None:
    chat = as_chat(answered({"text": "Well"}, finishReason="SAFETY", finishMessage="It is not safe."))
    message = choice_of(chat)["message"]
    assert (message["content"], message["refusal"]) == ("Well", "It is not safe.")
    assert first(as_google(chat))["finishMessage"] == "It is not safe."


def test_35_likely_words_are_told_with_their_bytes_and_come_back() -> None:
    likely = {
        "chosenCandidates": [{"token": "é", "tokenId": 7, "logProbability": -0.1}],
        "topCandidates": [{"candidates": [{"token": "é", "tokenId": 7, "logProbability": -0.1}]}],
    }
    chat = as_chat(answered({"text": "é"}, logprobsResult=likely))
    assert choice_of(chat)["logprobs"]["content"][0]["bytes"] == [195, 169]
    assert first(as_google(chat))["logprobsResult"] == likely


def test_grounding_becomes_annotations_and_comes_back_as_it_was() -> None:
    answer = ANSWERS["grounded.response.json"]
    chat = as_chat(answer)
    notes = [each["url_citation"] for each in choice_of(chat)["message"]["annotations"]]
    content = choice_of(chat)["message"]["content"]
    assert [content[at["start_index"] : at["end_index"]] for at in notes] == ["Ōslo: −3 °C.", "Kaldt 🥶!", "Kaldt 🥶!"]
    assert first(as_google(chat))["groundingMetadata"] == answer["candidates"][0]["groundingMetadata"]


def test_what_others_cite_is_grounding_in_bytes() -> None:
    where = {"url": "https://a", "title": "A", "start_index": 2, "end_index": 4}
    chat = completion({"content": "Ō éß", "annotations": [{"type": "url_citation", "url_citation": where}]})
    grounding = first(as_google(chat))["groundingMetadata"]
    assert grounding["groundingSupports"][0]["segment"] == {"startIndex": 3, "endIndex": 7, "text": "éß"}
    assert choice_of(as_chat(as_google(chat)))["message"]["annotations"][0]["url_citation"] == where


def test_parts_that_chat_cannot_tell_ride_along_whole() -> None:
    answer = ANSWERS["code_executed.response.json"]
    chat = as_chat(answer)
    assert choice_of(chat)["message"]["content"] == "Running. It is 4."
    assert first(as_google(chat))["content"] == answer["candidates"][0]["content"]


def test_pictures_and_sound_are_told_and_come_back() -> None:
    picture = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    sound = {"inlineData": {"mimeType": "audio/l16;rate=24000", "data": "AAAA"}}
    chat = as_chat(answered({"text": "Look"}, picture, sound))
    message = choice_of(chat)["message"]
    assert message["images"][0]["image_url"]["url"] == f"data:image/png;base64,{PNG}"
    assert message["audio"]["data"] == "AAAA"
    assert first(as_google(chat))["content"]["parts"] == [{"text": "Look"}, picture, sound]


def test_two_candidates_are_two_choices_and_come_back() -> None:
    chat = as_chat(ANSWERS["two_candidates.response.json"])
    assert [(each["index"], each["message"]["content"]) for each in chat["choices"]] == [(0, "Hi!"), (1, "Good  day")]
    assert [each["finishReason"] for each in as_google(chat)["candidates"]] == ["STOP", "MAX_TOKENS"]


def test_the_time_google_tells_is_kept() -> None:
    assert as_chat({**answered({"text": "a"}), "createTime": "2026-11-21T00:00:01Z"})["created"] == 1795219201


@pytest.mark.parametrize(
    ("usage", "completion_tokens"),
    [
        ({"promptTokenCount": 2, "candidatesTokenCount": 3, "thoughtsTokenCount": 4, "totalTokenCount": 9}, 7),
        # Some models count their thoughts among the candidates: the sum tells.
        ({"promptTokenCount": 2, "candidatesTokenCount": 7, "thoughtsTokenCount": 4, "totalTokenCount": 9}, 7),
    ],
)
def test_thoughts_are_counted_once(usage: Json, completion_tokens: int) -> None:
    counted = as_chat({**answered({"text": "a"}), "usageMetadata": usage})["usage"]
    assert counted["completion_tokens"] == completion_tokens
    assert counted["total_tokens"] == 9


# ------------------------------------------------------------------ answers from chat


def test_a_chat_answer_as_a_google_answer() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    calls = [call("call_1", arguments='{"n": 12345678901234567890123}')]
    answer = as_google(completion({"content": "a", "tool_calls": calls}, "tool_calls", usage=usage))
    assert answer == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "a"},
                        {
                            "functionCall": {"id": "call_1", "name": "w", "args": {"n": 12345678901234567890123}},
                            "thoughtSignature": base64.b64encode(b"llm_edge:nobody:").decode(),
                        },
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 10,
            "candidatesTokenCount": 3,
            "totalTokenCount": 15,
            "thoughtsTokenCount": 2,
            "cachedContentTokenCount": 4,
        },
        "modelVersion": "gpt",
        "responseId": "c1",
    }


def test_a_refusal_of_openais_is_told_with_its_words() -> None:
    answer = first(as_google(completion({"content": None, "refusal": "I can't."})))
    assert (answer["finishReason"], answer["finishMessage"]) == ("SAFETY", "I can't.")


def test_21_another_makers_thinking_reaches_a_google_caller_and_comes_back_unharmed() -> None:
    blocks = [
        {"type": "thinking", "thinking": "hm", "signature": "sig+/="},
        {"type": "redacted_thinking", "data": "sealed"},
    ]
    answer = as_google(completion({"content": "so", "reasoning_content": "hm", "thinking_blocks": blocks}))
    content = first(answer)["content"]
    assert [part.get("thought", False) for part in content["parts"]] == [True, True, False]
    again = in_chat(contents=[user("x") | {"parts": [{"text": "x"}]}, content])["messages"][1]
    assert again["thinking_blocks"] == blocks
    assert (again["reasoning_content"], again["content"]) == ("hm", "so")


def test_14_arguments_that_are_no_object_come_in_a_field_and_that_is_told() -> None:
    into = exchange()
    answer = as_google(completion({"content": None, "tool_calls": [call("a", arguments="[1]")]}), into)
    assert first(answer)["content"]["parts"][0]["functionCall"]["args"] == {"arguments": "[1]"}
    assert "tool_calls[0].function.arguments" in into.changes[0]


@pytest.mark.parametrize("arguments", ["", "null", None])
def test_14_no_arguments_are_an_empty_object(arguments: Any) -> None:
    answer = as_google(completion({"content": None, "tool_calls": [call("a", arguments=arguments)]}))
    assert first(answer)["content"]["parts"][0]["functionCall"]["args"] == {}
