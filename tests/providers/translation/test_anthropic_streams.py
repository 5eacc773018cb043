"""Anthropic's streams read as chat chunks and chat chunks written as its streams, however the network cut them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import anthropic
import httpx2
import pytest
from anthropic.types import Message
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llm_edge.errors import BadAnswer, Overloaded
from llm_edge.message import Json
from llm_edge.providers.translation.anthropic import REPLAY, TRANSLATION
from llm_edge.providers.translation.core import Exchange
from tests.providers.exchanges import CASES, RECORDED

from .test_anthropic_answers import answered

STREAMS = {
    file.name: file.read_bytes() for root in (CASES, RECORDED) for file in sorted((root / "anthropic").glob("*.sse"))
}
WHOLE = [name for name, raw in STREAMS.items() if b"message_stop" in raw]


def exchange() -> Exchange:
    return Exchange(model="claude", provider="anthropic", request_id="r1")


def read(pieces: Sequence[bytes]) -> list[Json]:
    reader = TRANSLATION.reader(exchange())
    return [chunk for piece in pieces for chunk in reader.feed(piece)] + list(reader.end())


def written(chunks: Sequence[Json], into: Exchange | None = None) -> bytes:
    writer = TRANSLATION.writer(into or exchange())
    return b"".join(writer.write(chunk) for chunk in chunks) + writer.end()


def whole(raw: bytes) -> Json | None:
    assembler = REPLAY.assembler()
    assembler.feed(raw)
    return assembler.whole()


def told(answer: Json) -> bytes:
    return b"".join(REPLAY.events(answer, {"stream": True}))


def through_sdk(raw: bytes) -> Message:
    """What Anthropic's own SDK makes of the stream."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=raw)

    with anthropic.Anthropic(
        api_key="k", base_url="http://test", http_client=httpx2.Client(transport=httpx2.MockTransport(answer))
    ) as client:
        with client.messages.stream(
            model="claude", max_tokens=9, messages=[{"role": "user", "content": "hi"}]
        ) as stream:
            return stream.get_final_message()


def added_up(chunks: Sequence[Json]) -> ChatCompletion:
    """What OpenAI's own SDK makes of the chunks."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.current_completion_snapshot


def chunk(delta: Json | None = None, finish: str | None = None, **more: Any) -> Json:
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
    return {**base, "choices": choices, **more}


def piece(index: int | None, arguments: str, identity: str | None = None, name: str | None = None) -> Json:
    made: dict[str, Any] = {"function": {"arguments": arguments}}
    if index is not None:
        made["index"] = index
    if identity:
        made["id"] = identity
    if name:
        made["function"]["name"] = name
    return chunk({"tool_calls": [made]})


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


# ------------------------------------------------------------------ reading


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_stream_cut_anywhere_gives_the_same_chunks(name: str) -> None:
    raw = STREAMS[name]
    expected = read([raw])
    for cut in range(len(raw)):
        assert read([raw[:cut], raw[cut:]]) == expected
    chance = random.Random(name)
    for _ in range(20):
        cuts = sorted({0, len(raw), *(chance.randrange(len(raw)) for _ in range(30))})
        assert read([raw[a:b] for a, b in zip(cuts, cuts[1:], strict=False)]) == expected
    assert read([raw[i : i + 1] for i in range(len(raw))]) == expected


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_openais_sdk_adds_the_chunks_up_to_the_translated_answer(name: str) -> None:
    answer = whole(STREAMS[name])
    assert answer is not None
    expected = ChatCompletion.model_validate(TRANSLATION.answer_to_chat(answer, exchange())).choices[0]
    got = added_up(read([STREAMS[name]])).choices[0]
    assert got.finish_reason == expected.finish_reason
    assert (got.message.content or None) == (expected.message.content or None)
    assert got.message.refusal == expected.message.refusal
    assert _calls(got) == _calls(expected)
    for extra in ("reasoning_content", "thinking_blocks"):
        assert _without_index(getattr(got.message, extra, None)) == getattr(expected.message, extra, None)


def _calls(choice: Any) -> list[tuple[str, str, Any]]:
    calls = choice.message.tool_calls or []
    return [(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls]


def _without_index(value: Any) -> Any:
    return [{k: v for k, v in each.items() if k != "index"} for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_stream_cut_short_never_looks_finished(name: str) -> None:
    raw = STREAMS[name]
    end = raw.index(b"event: message_stop")
    for cut in range(0, end, 7):
        assert not [c for c in read([raw[:cut]]) if c.get("usage") or c["choices"][0]["finish_reason"]]


def test_a_call_without_arguments_has_an_empty_object() -> None:
    use = {"type": "tool_use", "id": "t", "name": "w", "input": {}}
    empty = {"type": "input_json_delta", "partial_json": ""}
    raw = (
        event("message_start", message={"id": "msg_1", "model": "m", "usage": {}})
        + event("content_block_start", index=0, content_block=use)
        + event("content_block_delta", index=0, delta=empty)
        + event("content_block_stop", index=0)
    )
    calls = [c["choices"][0]["delta"]["tool_calls"][0] for c in read([raw])[1:]]
    assert "".join(call["function"]["arguments"] for call in calls) == "{}"


def test_usage_is_the_last_said_and_keeps_what_was_said_before() -> None:
    raw = (
        event("message_start", message={"id": "m", "usage": {"input_tokens": 9, "cache_read_input_tokens": 4}})
        + event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 3})
        + event("message_delta", delta={}, usage={"output_tokens": 5, "input_tokens": None})
        + event("message_stop")
    )
    usage = read([raw])[-1]["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (13, 5, 18)


def test_pings_and_unknown_events_say_nothing_and_an_error_ends_it() -> None:
    raw = (
        event("message_start", message={"id": "m"})
        + event("ping")
        + event("brand_new")
        + event("error", error={"type": "overloaded_error", "message": "busy"})
        + event("message_stop")
    )
    assert len(read([raw])) == 1


@pytest.mark.parametrize("raw", [b"data: [1]\n\n", b"data: {oops\n\n", event("content_block_delta", index=0)])
def test_events_that_are_none_are_a_bad_answer(raw: bytes) -> None:
    with pytest.raises(BadAnswer):
        read([raw])


def test_server_tools_ride_on_the_last_delta() -> None:
    blocks = [
        {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "x"}},
        {"type": "text", "text": "Found."},
    ]
    answer = answered(*blocks, stop_reason="pause_turn")
    last = read([told(answer)])[-2]["choices"][0]
    assert last["native_finish_reason"] == "pause_turn"
    assert last["delta"]["anthropic"] == {"content": blocks}


# ------------------------------------------------------------------ writing


@pytest.mark.parametrize("name", sorted(WHOLE))
def test_a_stream_read_and_written_says_the_same(name: str) -> None:
    into = exchange()
    before, after = whole(STREAMS[name]), whole(written(read([STREAMS[name]]), into))
    assert before is not None
    assert after is not None
    if b'server_tool_use", "id' in STREAMS[name]:
        assert "delta.anthropic" in into.changes[0]
        assert _text(after) == _text(before)
    else:
        assert _said(after) == _said(before)
        assert not into.changes
    assert Message.model_validate(after).stop_reason == before["stop_reason"]
    assert after["usage"].items() >= before["usage"].items()


def _text(message: Json) -> str:
    return "".join(block.get("text", "") for block in message["content"])


def _said(message: Json) -> list[Json]:
    blocks = [{k: v for k, v in block.items() if k != "caller"} for block in message["content"]]
    return [block for block in blocks if block.get("text") != ""]


def test_23_interleaved_calls_come_one_after_the_other() -> None:
    chunks = [
        piece(0, "", "a", "w"),
        piece(1, "", "b", "w"),
        piece(0, '{"x":'),
        piece(1, '{"y":'),
        piece(0, "1}"),
        piece(1, "2}"),
        chunk({}, "tool_calls"),
    ]
    message = through_sdk(written(chunks))
    assert [(b.id, b.input) for b in message.content if b.type == "tool_use"] == [("a", {"x": 1}), ("b", {"y": 2})]
    assert message.stop_reason == "tool_use"


def test_23_calls_without_an_index_are_told_apart_by_id_and_name() -> None:
    chunks = [
        piece(None, '{"x":1}', "a", "w"),
        piece(None, "{", "b", "w"),
        piece(None, "}", "b"),
        chunk({}, "tool_calls"),
    ]
    message = through_sdk(written(chunks))
    assert [(b.id, b.input) for b in message.content if b.type == "tool_use"] == [("a", {"x": 1}), ("b", {})]


def test_words_in_the_middle_of_a_call_come_after_it() -> None:
    chunks = [piece(0, '{"x":', "a", "w"), chunk({"content": "so"}), piece(0, "1}"), chunk({}, "tool_calls")]
    message = through_sdk(written(chunks))
    assert [block.type for block in message.content] == ["tool_use", "text"]


def test_the_second_call_is_written_while_it_comes() -> None:
    writer = TRANSLATION.writer(exchange())
    for each in (piece(0, "", "a", "w"), piece(0, '{"x":1}'), piece(1, "", "b", "w")):
        out = writer.write(each)
    assert b'"name":"w"' in out
    assert b'"partial_json":"{"' in writer.write(piece(1, "{"))


def test_unsigned_thinking_and_signatures_of_calls_reach_the_caller() -> None:
    call = {
        "index": 0,
        "id": "a",
        "function": {"name": "w", "arguments": "{}"},
        "extra_content": {"google": {"thought_signature": "x"}},
    }
    chunks = [chunk({"reasoning_content": "hm"}), chunk({"tool_calls": [call]}), chunk({}, "stop")]
    message = through_sdk(written(chunks))
    assert [block.type for block in message.content] == ["thinking", "redacted_thinking", "tool_use"]
    content = [block.model_dump() for block in message.content]
    body = {"model": "m", "messages": [{"role": "assistant", "content": content}]}
    back = TRANSLATION.request_to_chat(body, exchange())["messages"][0]
    assert back["tool_calls"][0]["extra_content"] == call["extra_content"]
    assert back["reasoning_content"] == "hm"


def test_a_refusal_and_the_usage_come_at_the_end() -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    chunks = [chunk({"refusal": "I "}), chunk({"refusal": "can't"}), chunk({}, "stop"), chunk(usage=usage)]
    message = through_sdk(written(chunks))
    assert message.stop_reason == "refusal"
    assert message.stop_details is not None
    assert message.stop_details.explanation == "I can't"
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (1, 4)


def test_an_answer_without_a_chunk_is_still_a_message() -> None:
    assert through_sdk(written([])).content == []


def test_an_error_in_the_middle_is_told_and_nothing_secret_with_it() -> None:
    writer = TRANSLATION.writer(exchange())
    started = writer.write(chunk({"content": "a"}))
    with pytest.raises(anthropic.APIStatusError) as caught:
        through_sdk(started + writer.fail(Overloaded("busy")))
    assert caught.value.body["error"] == {"type": "overloaded_error", "message": "busy"}  # type: ignore[index]
    assert b"sk-secret" not in writer.fail(RuntimeError("sk-secret"))
