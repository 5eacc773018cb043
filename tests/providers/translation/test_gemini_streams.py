"""Google's streams as chat chunks, and chat chunks as Google's streams: cut anywhere, whole or broken."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from google.genai import types

from llm_edge.errors import BadAnswer, Failed, Overloaded
from llm_edge.message import Json
from llm_edge.providers.gemini import GenerateWatcher
from llm_edge.providers.translation.gemini import REPLAY, TRANSLATION

from .gemini_kit import (
    SIGNATURE,
    STREAMS,
    WHOLE,
    added_up,
    as_chat,
    candidate,
    chunk,
    exchange,
    framed,
    read,
    whole,
    written,
)

KEPT = [name for name in WHOLE if "snake_case" not in name]
"""Those the cache may keep: a stream in another spelling than Google's is told as it came, and not kept."""


def outcome(pieces: list[bytes]) -> tuple[list[Json], str]:
    """The chunks that come before the end, and what ended it."""
    reader = TRANSLATION.reader(exchange())
    chunks: list[Json] = []
    try:
        for piece in pieces:
            chunks += reader.feed(piece)
        chunks += reader.end()
    except Failed as failure:
        return chunks, repr(failure)
    return chunks, ""


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_stream_cut_anywhere_gives_the_same_chunks(name: str) -> None:
    raw = STREAMS[name]
    expected = outcome([raw[i : i + 1] for i in range(len(raw))])
    for cut in range(len(raw)):
        chunks, _ = outcome([raw[:cut], raw[cut:]])
        assert chunks == expected[0]
    chance = random.Random(name)
    for _ in range(20):
        cuts = sorted({0, len(raw), *(chance.randrange(len(raw)) for _ in range(30))})
        assert outcome([raw[a:b] for a, b in zip(cuts, cuts[1:], strict=False)])[0] == expected[0]


def said(choice: Any) -> dict[str, Any]:
    """What a choice says, without what an SDK adds or numbers."""
    message = choice.message.model_dump()
    kept = {name: _plain(message[name]) for name in message if message[name] not in (None, [], "")}
    kept.pop("parsed", None)
    return {**kept, "finish": choice.finish_reason}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k not in ("index", "parsed_arguments", "parsed")}
    return value


@pytest.mark.parametrize("name", KEPT)
def test_openais_sdk_adds_the_chunks_up_to_the_translated_answer(name: str) -> None:
    answer = whole(STREAMS[name])
    assert answer is not None
    expected, got = as_chat(answer), added_up(read([STREAMS[name]]))
    judged = type(got).model_validate(expected)
    assert [said(choice) for choice in got.choices] == [said(choice) for choice in judged.choices]
    assert got.usage == judged.usage
    assert (got.id, got.model, got.service_tier) == (judged.id, judged.model, judged.service_tier)


@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_cut_short_finishes_only_when_the_watcher_agrees(name: str) -> None:
    raw = STREAMS[name]
    for cut in range(0, len(raw), 5):
        watcher = GenerateWatcher()
        watcher.feed(raw[:cut])
        watcher.end()
        chunks = read([raw[:cut]])
        finished = [c for c in chunks if c.get("usage") or any(each["finish_reason"] for each in c["choices"])]
        assert bool(finished) == watcher.complete


def test_an_error_comes_after_the_words_before_it() -> None:
    chunks, broken = outcome([STREAMS["stream_error.response.sse"]])
    assert chunks[0]["choices"][0]["delta"]["content"] == "Hé"
    assert not any(each["choices"][0]["finish_reason"] for each in chunks)
    assert "Overloaded" in broken


def test_an_error_that_comes_first_is_raised() -> None:
    with pytest.raises(Overloaded):
        read([b'{"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}\r\n'])


def test_one_json_list_is_read_as_the_same_frames() -> None:
    for name in WHOLE:
        frames = [
            json.loads(event.removeprefix(b"data: "))
            for event in STREAMS[name].replace(b"\r\n", b"\n").split(b"\n\n")
            if event.strip()
        ]
        listed = b"[" + b",\r\n".join(json.dumps(frame, indent=2).encode() for frame in frames) + b"\n]\n"
        assert read([listed]) == read([STREAMS[name]])
        assert read([listed[i : i + 1] for i in range(len(listed))]) == read([STREAMS[name]])


@pytest.mark.parametrize("raw", [b"data: [1]\n\n", b"data: {oops\n\n"])
def test_events_that_are_none_are_a_bad_answer(raw: bytes) -> None:
    with pytest.raises(BadAnswer):
        read([raw])


def test_a_blocked_prompt_is_a_filtered_choice() -> None:
    first, last = read([STREAMS["stream_blocked.response.sse"]])
    choice = first["choices"][0]
    assert choice["finish_reason"] == "content_filter"
    assert choice["native_finish_reason"] == "PROHIBITED_CONTENT"
    assert choice["delta"]["refusal"]
    assert last["usage"]["prompt_tokens"] == 5


def test_two_candidates_are_two_choices() -> None:
    got = added_up(read([STREAMS["stream_two_candidates.response.sse"]]))
    assert [(choice.index, choice.message.content, choice.finish_reason) for choice in got.choices] == [
        (0, "Hi!", "stop"),
        (1, "Good  day", "length"),
    ]


def test_12_calls_without_ids_get_some_and_stay_apart() -> None:
    message = added_up(read([STREAMS["stream_parallel_calls.response.sse"]])).choices[0].message
    calls: list[Any] = [each.to_dict() for each in message.tool_calls or ()]
    assert [(each["id"], each["function"]["name"], each["function"]["arguments"]) for each in calls] == [
        ("call_r1_0_0", "weather", '{"city":"Ōslo"}'),
        ("call_r1_0_1", "weather", '{"city":"Bergen"}'),
        ("call_r1_0_2", "time", "{}"),
    ]


def test_places_in_bytes_become_places_in_characters() -> None:
    message = added_up(read([STREAMS["stream_grounded.response.sse"]])).choices[0].message
    assert message.content is not None
    assert message.annotations is not None
    places = [each.url_citation for each in message.annotations]
    assert [(message.content[at.start_index : at.end_index], at.title) for at in places] == [
        ("Ōslo: −3 °C.", "a.example"),
        ("Kaldt 🥶!", "a.example"),
        ("Kaldt 🥶!", "b.example"),
    ]


def test_26_the_last_word_on_each_count_holds_and_what_vanishes_stays() -> None:
    usage = read([STREAMS["stream_cached.response.sse"]])[-1]["usage"]
    assert usage["prompt_tokens_details"] == {"cached_tokens": 8}
    assert usage["completion_tokens"] == 5


def test_32_words_before_a_filter_are_kept() -> None:
    chunks = read([STREAMS["stream_filtered.response.sse"]])
    choice = added_up(chunks).choices[0]
    assert chunks[-2]["choices"][0]["native_finish_reason"] == "SAFETY"
    assert (choice.message.content, choice.message.refusal) == ("Well, ", "It is not safe.")
    assert choice.finish_reason == "content_filter"


# ------------------------------------------------------------------ writing


@pytest.mark.parametrize("name", KEPT)
def test_a_stream_read_and_written_says_the_same(name: str) -> None:
    into = exchange()
    before, after = whole(STREAMS[name]), whole(written(read([STREAMS[name]]), into))
    assert before is not None
    assert after is not None
    judged = [as_chat(each) for each in (before, after)]
    for each in judged:
        for choice in each["choices"]:
            calls = choice["message"].get("tool_calls", ())
            choice["message"]["tool_calls"] = [{**call, "id": ""} for call in calls]
    assert judged[0]["choices"] == judged[1]["choices"]
    assert judged[0].get("usage") == judged[1].get("usage")
    assert not into.changes


def parts_of(raw: bytes) -> list[types.Part]:
    answer = types.GenerateContentResponse.model_validate(whole(raw))
    assert answer.candidates is not None
    content = answer.candidates[0].content
    return [] if content is None else content.parts or []


def piece(index: int, arguments: str, identity: str | None = None, name: str | None = None) -> Json:
    made: dict[str, Any] = {"index": index, "function": {"arguments": arguments}}
    if identity:
        made["id"] = identity
    if name:
        made["function"]["name"] = name
    return chunk({"tool_calls": [made]})


def test_23_interleaved_calls_come_whole() -> None:
    chunks = [
        piece(0, "", "a", "w"),
        piece(1, "", "b", "w"),
        piece(0, '{"x":'),
        piece(1, '{"y":'),
        piece(0, "1}"),
        piece(1, "2}"),
        chunk({}, "tool_calls"),
    ]
    calls = [part.function_call for part in parts_of(written(chunks))]
    assert [(call.id, call.args) for call in calls if call] == [("a", {"x": 1}), ("b", {"y": 2})]


def test_another_makers_thinking_is_told_as_thoughts_with_its_proof() -> None:
    block = {"type": "thinking", "thinking": "hm", "signature": "sig"}
    chunks = [
        chunk({"reasoning_content": "hm"}),
        chunk({"thinking_blocks": [block]}),
        chunk({"content": "so"}),
        chunk({}, "stop"),
    ]
    raw = written(chunks)
    answer = whole(raw)
    assert answer is not None
    message = as_chat(answer)["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"
    assert message["thinking_blocks"] == [block]
    assert message["content"] == "so"


def test_a_refusal_and_the_usage_come_at_the_end() -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4},
    }
    chunks = [chunk({"refusal": "I "}), chunk({"refusal": "can't"}), chunk({}, "stop"), chunk(usage=usage)]
    answer = types.GenerateContentResponse.model_validate(whole(written(chunks)))
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.SAFETY
    assert answer.candidates[0].finish_message == "I can't"
    assert answer.usage_metadata is not None
    assert (answer.usage_metadata.prompt_token_count, answer.usage_metadata.cached_content_token_count) == (5, 4)


def test_words_go_out_at_once_and_calls_when_they_are_whole() -> None:
    writer = TRANSLATION.writer(exchange())
    assert b'"text":"a"' in writer.write(chunk({"role": "assistant", "content": "a"}))
    assert writer.write(piece(0, "{}", "x", "w")) == b""
    assert writer.write(chunk({}, "tool_calls")) == b""
    assert b'"functionCall"' in writer.end()


def test_two_choices_are_two_candidates() -> None:
    chunks = [
        chunk({"content": "a"}),
        chunk({"content": "b"}, index=1),
        chunk({}, "stop"),
        chunk({}, "length", index=1),
    ]
    answer = types.GenerateContentResponse.model_validate(whole(written(chunks)))
    assert [(each.index, each.finish_reason) for each in answer.candidates or ()] == [
        (0, types.FinishReason.STOP),
        (1, types.FinishReason.MAX_TOKENS),
    ]


def test_an_answer_without_a_chunk_is_still_a_stream() -> None:
    assert b'"responseId":"chatcmpl-r1"' in written([])


def test_an_error_in_the_middle_is_told_and_nothing_secret_with_it() -> None:
    writer = TRANSLATION.writer(exchange())
    started = writer.write(chunk({"content": "a"}))
    watcher = GenerateWatcher()
    watcher.feed(started + writer.fail(Overloaded("busy")))
    assert isinstance(watcher.failure, Overloaded)
    assert b"sk-secret" not in writer.fail(RuntimeError("sk-secret"))


# ------------------------------------------------------------------ kept and told again


@pytest.mark.parametrize("name", KEPT)
def test_a_kept_stream_is_told_again_as_it_was(name: str) -> None:
    answer = whole(STREAMS[name])
    assert answer is not None
    again = b"".join(REPLAY.events(answer, {}))
    assert whole(again) == answer
    watcher = GenerateWatcher()
    watcher.feed(again)
    assert watcher.end() is None


@pytest.mark.parametrize("name", sorted(STREAMS.keys() - set(WHOLE)))
def test_a_stream_that_broke_is_no_answer(name: str) -> None:
    assert whole(STREAMS[name]) is None


def test_pieces_of_arguments_are_no_whole_answer() -> None:
    part = {
        "functionCall": {"name": "w", "partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}], "willContinue": True}
    }
    assert whole(framed({"candidates": [candidate(part)]})) is None


def test_signatures_are_kept_with_their_parts() -> None:
    answer = whole(STREAMS["stream_thoughts.response.sse"])
    assert answer is not None
    parts = answer["candidates"][0]["content"]["parts"]
    assert parts[-1]["thoughtSignature"]
    assert SIGNATURE not in json.dumps(parts)
