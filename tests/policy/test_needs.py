"""What a request asks of a model, read off its body in every dialect."""

from __future__ import annotations

from typing import Any

import pytest

from llm_edge.policy.needs import Needs, conversation, difficulty, modest, needs

URL = "data:image/png;base64," + "A" * 9000
TEXT = "x" * 600


def chat(*parts: Any, **fields: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts) or TEXT}], **fields}


SEEN = [
    ({"messages": [{"role": "user", "content": TEXT}]}, set[str]()),
    (chat({"type": "image_url", "image_url": {"url": URL}}), {"images"}),
    (chat({"type": "input_audio", "input_audio": {"data": URL}}), {"audio"}),
    (chat({"type": "file", "file": {"file_data": URL}}), {"documents"}),
    (chat(tools=[{"type": "function"}]), {"tools"}),
    (chat(functions=[{"name": "f"}]), {"tools"}),
    (chat(tools=[]), set[str]()),
    (chat(response_format={"type": "json_schema", "json_schema": {}}), {"schema"}),
    (chat(response_format={"type": "json_object"}), set[str]()),
    ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": URL}]}]}, {"images"}),
    ({"input": "hi", "text": {"format": {"type": "json_schema"}}}, {"schema"}),
    (chat({"type": "image", "source": {"data": URL}}), {"images"}),
    (chat({"type": "tool_result", "content": [{"type": "document", "source": {"data": URL}}]}), {"documents"}),
    (chat(output_config={"format": {"type": "json_schema"}}), {"schema"}),
    ({"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": URL}}]}]}, {"images"}),
    ({"contents": [{"parts": [{"inline_data": {"mime_type": "audio/wav", "data": URL}}]}]}, {"audio"}),
    ({"contents": [{"parts": [{"fileData": {"mimeType": "application/pdf"}}]}]}, {"documents"}),
    ({"contents": [], "generationConfig": {"responseSchema": {"type": "object"}}}, {"schema"}),
]


@pytest.mark.parametrize(("body", "seen"), SEEN, ids=lambda value: str(value)[:60])
def test_what_is_asked_is_seen_in_every_dialect(body: dict[str, Any], seen: set[str]) -> None:
    found = needs(body)
    assert {name for name in ("tools", "schema", "images", "documents", "audio") if getattr(found, name)} == seen
    assert found.characters < 1000  # a picture's bytes are no text


@pytest.mark.parametrize("body", [body for body, _ in SEEN], ids=lambda value: str(value)[:60])
def test_a_quick_look_overlooks_no_need(body: dict[str, Any]) -> None:
    found = needs(body)
    asks = any((found.tools, found.schema, found.images, found.documents, found.audio))
    assert not (modest(body) and asks)


def test_a_quick_look_is_enough_for_a_little_text() -> None:
    short, long = {"role": "user", "content": TEXT}, {"role": "user", "content": TEXT * 11}
    assert modest({"model": "m", "messages": [short, short], "temperature": 0, "max_tokens": 9})
    assert not modest({"model": "m", "messages": [short, long]})
    assert not modest({"model": "m", "messages": [short, {"role": "tool", "tool_call_id": "x", "content": "y"}]})
    assert not modest({"model": "m", "messages": [short], "anything": "new"})
    assert not modest({"model": "m", "messages": "hi"})
    assert not modest({"model": "m", "messages": ["hi"]})
    assert not modest({"model": "m", "input": TEXT})


@pytest.mark.parametrize(
    "body",
    [
        chat(),
        {"input": TEXT},
        {"system": [{"type": "text", "text": TEXT}]},
        {"contents": [{"parts": [{"text": TEXT}]}]},
    ],
)
def test_text_is_counted_and_comes_to_few_tokens_rather_than_many(body: dict[str, Any]) -> None:
    found = needs(body)
    assert 600 <= found.characters <= 620
    assert found.tokens in {100, 101, 102, 103}


@pytest.mark.parametrize("body", [{}, {"messages": 3}, {"messages": [3, None, "x"]}, {"tools": "?", "contents": {}}])
def test_what_makes_no_sense_needs_nothing_in_particular(body: dict[str, Any]) -> None:
    found = needs(body)
    assert not found.images
    assert 0.0 <= difficulty(body, found) <= 1.0
    assert conversation(body)


def test_a_deep_body_is_read_to_its_end() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = [deep]
    assert needs({"messages": deep}).characters == 1


def points(body: dict[str, Any]) -> float:
    return difficulty(body, needs(body))


def test_a_question_grows_harder_with_its_length_its_tools_and_its_words() -> None:
    assert points({"messages": [{"role": "user", "content": "The capital of France?"}]}) == 0.0
    assert points({"messages": [{"role": "user", "content": "Prove it step by step."}]}) == 0.25
    assert points(chat(tools=[{"type": "function"}])) == 0.25
    assert points({"messages": [{"role": "user", "content": "x" * 7000}]}) == 0.5
    assert points({"messages": [{"role": "user", "content": "a"}] * 7}) == 0.25
    assert points({"input": "hi", "reasoning": {"effort": "high"}}) == 0.5
    assert points(chat({"type": "image_url"}, {"type": "text", "text": "debug " * 2000}, tools=[1])) == 1.0


def test_a_conversation_is_known_by_how_it_began() -> None:
    system, first = {"role": "system", "content": "s"}, {"role": "user", "content": "a"}
    began = conversation({"messages": [system, first]})
    assert conversation({"messages": [system, first, {"role": "assistant", "content": "b"}]}) == began
    assert conversation({"messages": [system, {"role": "user", "content": "other"}]}) != began
    assert conversation({"messages": [first]}) != began
    assert conversation({"system": "s", "messages": [first]}) != conversation({"messages": [first]})
    assert conversation({"messages": [first], "prompt_cache_key": "k"}) == conversation({"prompt_cache_key": "k"})


def test_needs_begin_as_nothing() -> None:
    assert needs({}) == Needs(turns=1)
