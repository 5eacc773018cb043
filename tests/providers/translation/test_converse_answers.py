"""Bedrock's answers and streams in the chat form, and the chat form's as Bedrock's: OpenAI's SDK and botocore judge."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, strategies as st
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llm_edge.errors import BadAnswer, InvalidRequest, Throttled
from llm_edge.message import Json
from llm_edge.providers.bedrock import ConverseWatcher
from llm_edge.providers.eventstream import Frames, event, exception
from llm_edge.providers.translation import untold
from llm_edge.providers.translation.converse import TRANSLATION
from llm_edge.providers.translation.core import Exchange

from .converse_kit import ANSWERS, CLAUDE, NOVA, STREAMS, WHOLE, exchange, model_of, readable


def model_in(name: str) -> str:
    return unquote(STREAMS[name].url.partition("/model/")[2].partition("/")[0])


def read(chunks: Iterable[bytes], into: Exchange | None = None) -> list[Json]:
    reader = TRANSLATION.reader(into or exchange())
    found = [chunk for data in chunks for chunk in reader.feed(data)]
    found += reader.end()
    for chunk in found:
        ChatCompletionChunk.model_validate(chunk)
    return found


def written(chunks: Iterable[Json], into: Exchange | None = None) -> bytes:
    writer = TRANSLATION.writer(into or exchange())
    return b"".join([*(writer.write(chunk) for chunk in chunks), writer.end()])


def added_up(chunks: Iterable[Json]) -> ChatCompletion:
    """The answer as OpenAI's SDK puts it together."""
    state = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return ChatCompletion.model_validate(state.current_completion_snapshot.model_dump())


def events_in(raw: bytes) -> list[tuple[str, Any]]:
    return [(frame.event or frame.error, json.loads(frame.payload)) for frame in Frames().feed(raw)]


def answered(*blocks: Any, stop: str = "end_turn", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": list(blocks)}
    usage = {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3}
    return {"output": {"message": message}, "stopReason": stop, "usage": usage, "metrics": {"latencyMs": 1}, **more}


def as_chat(answer: Json, model: str = CLAUDE, into: Exchange | None = None) -> dict[str, Any]:
    chat = dict(TRANSLATION.answer_to_chat(answer, into or exchange(model)))
    ChatCompletion.model_validate(chat)
    return chat


def message_of(answer: Json, model: str = CLAUDE) -> dict[str, Any]:
    return as_chat(answer, model)["choices"][0]["message"]


def back(chat: Json, model: str = CLAUDE, into: Exchange | None = None) -> dict[str, Any]:
    answer = dict(TRANSLATION.answer_from_chat(chat, into or exchange(model)))
    readable(answer)
    return answer


# ------------------------------------------------------------------ whole answers


@pytest.mark.parametrize("file", ANSWERS, ids=lambda file: file.name.split(".")[0])
def test_a_recorded_answer_comes_back_from_the_chat_form_as_it_was(file: Path) -> None:
    given, model = json.loads(file.read_bytes()), model_of(file)
    again = back(as_chat(given, model), model)
    assert again["output"] == given["output"]
    assert again["stopReason"] == given["stopReason"]
    assert all(given["usage"][name] == again["usage"][name] for name in ("inputTokens", "outputTokens", "totalTokens"))


@pytest.mark.parametrize(
    ("stop", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "stop"),
        ("malformed_tool_use", "stop"),
        ("something_new", "stop"),
    ],
)
def test_why_it_ended_is_told_in_openais_words_and_kept_in_bedrocks(stop: str, finish: str) -> None:
    choice = as_chat(answered({"text": "a"}, stop=stop))["choices"][0]
    assert (choice["finish_reason"], choice["native_finish_reason"]) == (finish, stop)


def test_a_call_is_why_it_ended_even_where_the_model_says_otherwise() -> None:
    use = {"toolUse": {"toolUseId": "t", "name": "w", "input": {}}}
    assert as_chat(answered(use))["choices"][0]["finish_reason"] == "tool_calls"


def test_what_was_cached_counts_as_prompt() -> None:
    usage = {"inputTokens": 10, "outputTokens": 7, "totalTokens": 117, "cacheReadInputTokens": 80}
    usage |= {"cacheWriteInputTokens": 20, "cacheDetails": [{"ttl": "1h", "inputTokens": 20}]}
    told = as_chat({**answered({"text": "a"}), "usage": usage})["usage"]
    assert (told["prompt_tokens"], told["total_tokens"]) == (110, 117)
    assert told["prompt_tokens_details"] == {"cached_tokens": 80, "cache_write_tokens": 20}
    assert back(as_chat({**answered({"text": "a"}), "usage": usage}))["usage"] == usage


def test_a_tool_gets_its_own_name_back() -> None:
    into = exchange()
    into.names["a_b"] = "a.b"
    use = {"toolUse": {"toolUseId": "t", "name": "a_b", "input": {"x": "é"}}}
    (call,) = as_chat(answered(use), into=into)["choices"][0]["message"]["tool_calls"]
    assert call["function"] == {"name": "a.b", "arguments": '{"x":"é"}'}


def test_thinking_goes_to_its_maker_alone() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}}
    assert message_of(answered(thought, {"text": "a"}))["thinking_blocks"][0]["signature"] == "c2ln"
    novas = message_of(answered(thought, {"text": "a"}), NOVA)
    assert novas["reasoning_content"] == "Hm."
    assert novas["thinking_blocks"][0]["signature"] == "llm_edge:amazon:c2ln"
    again = back(as_chat(answered(thought, {"text": "a"}), NOVA), NOVA)
    assert again["output"]["message"]["content"][0] == thought


def test_hidden_thinking_is_kept_and_what_is_no_text_is_left() -> None:
    hidden = {"reasoningContent": {"redactedContent": base64.b64encode(b"EmwK").decode()}}
    assert message_of(answered(hidden, {"text": "a"}))["thinking_blocks"] == [
        {"type": "redacted_thinking", "data": "EmwK"}
    ]
    for data in ("*", base64.b64encode(b"\xff\xfe").decode()):
        odd = {"reasoningContent": {"redactedContent": data}}
        assert "thinking_blocks" not in message_of(answered(odd, {"text": "a"}))


def test_web_citations_are_annotations_and_others_ride_along() -> None:
    web = {"title": "W", "location": {"web": {"url": "https://example.com", "domain": "example.com"}}}
    page = {"title": "P", "location": {"documentPage": {"documentIndex": 0, "start": 1, "end": 2}}}
    cited = {"citationsContent": {"content": [{"text": "rain"}], "citations": [web]}}
    message = message_of(answered({"text": "It is "}, cited))
    assert message["content"] == "It is rain"
    assert message["annotations"][0]["url_citation"] == {
        "url": "https://example.com",
        "title": "W",
        "start_index": 6,
        "end_index": 10,
    }
    assert "bedrock" not in message
    paged = {"citationsContent": {"content": [{"text": "rain"}], "citations": [page]}}
    assert message_of(answered(paged))["bedrock"] == {"content": [paged]}


@pytest.mark.parametrize(
    "blocks",
    [
        [{"text": "a"}, {"toolUse": {"toolUseId": "t", "name": "w", "input": {}}}, {"text": "b"}],
        [{"image": {"format": "png", "source": {"bytes": "AAAA"}}}, {"text": "a"}],
        [{"text": "a"}, {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "s"}}}, {"text": "b"}],
    ],
)
def test_blocks_that_chat_cannot_tell_ride_along_and_come_back(blocks: list[Json]) -> None:
    given = answered(*blocks, stop="tool_use")
    assert back(as_chat(given))["output"] == given["output"]
    message = message_of(given)
    results = [{"role": "tool", "tool_call_id": "t", "content": "1"}] if "tool_calls" in message else []
    history = [{"role": "user", "content": "x"}, message, *results, {"role": "user", "content": "y"}]
    request = TRANSLATION.request_from_chat({"messages": history}, exchange())
    assert request["messages"][1]["content"] == blocks
    history[1] = {**message, "content": "changed since"}
    request = TRANSLATION.request_from_chat({"messages": history}, exchange())
    assert request["messages"][1]["content"] != blocks


def test_what_chat_has_no_place_for_rides_along() -> None:
    trace = {"guardrail": {"actionReason": "No action."}}
    chat = as_chat(answered({"text": "a"}, trace=trace, serviceTier={"type": "reserved"}))
    assert chat["bedrock"] == {"trace": trace, "serviceTier": {"type": "reserved"}}
    assert "service_tier" not in chat
    assert back(chat)["trace"] == trace
    assert as_chat(answered({"text": "a"}, serviceTier={"type": "flex"}))["service_tier"] == "flex"


def test_an_answer_of_another_provider_is_told_as_bedrocks() -> None:
    message = {
        "role": "assistant",
        "content": [{"type": "text", "text": "Rain."}],
        "reasoning_content": "Hm.",
        "annotations": [{"type": "url_citation", "url_citation": {"url": "https://e.com", "title": "T"}}],
        "tool_calls": [{"type": "function", "function": {"name": "w", "arguments": "{}"}}],
    }
    choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": []}}
    into = exchange()
    chat = {"choices": [choice, {**choice, "index": 1}], "usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    answer = back(chat, into=into)
    untold.tell(chat, "bedrock.converse", into)
    assert answer["output"]["message"]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "llm_edge:nobody:"}}},
        {
            "citationsContent": {
                "content": [{"text": "Rain."}],
                "citations": [{"title": "T", "location": {"web": {"url": "https://e.com"}}}],
            }
        },
        {"toolUse": {"toolUseId": "tooluse_r1_0", "name": "w", "input": {}}},
    ]
    assert answer["stopReason"] == "tool_use"
    assert answer["usage"] == {"inputTokens": 3, "outputTokens": 4, "totalTokens": 7}
    assert len(into.changes) == 2


# ------------------------------------------------------------------ streams


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_a_stream_reads_the_same_however_it_is_cut(name: str) -> None:
    raw = STREAMS[name].content
    assert read(raw[at : at + 1] for at in range(len(raw))) == read([raw])


@given(data=st.data())
def test_random_cuts_do_not_matter(data: st.DataObject) -> None:
    raw = STREAMS[data.draw(st.sampled_from(sorted(STREAMS)))].content
    places = data.draw(st.lists(st.integers(0, len(raw)), max_size=12))
    edges = sorted({0, len(raw), *places})
    assert read(raw[a:b] for a, b in zip(edges, edges[1:], strict=False)) == read([raw])


@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_adds_up_and_comes_back_the_same(name: str) -> None:
    model = model_in(name)
    chunks = read([STREAMS[name].content], exchange(model))
    answer = added_up(chunks)
    assert answer.choices[0].finish_reason
    again = written(chunks, exchange(model))
    watcher = ConverseWatcher()
    watcher.feed(again)
    assert watcher.complete
    counted = any(chunk.get("usage") for chunk in chunks)
    assert [each for each in read([again], exchange(model)) if counted or "usage" not in each] == chunks


@pytest.mark.parametrize("name", WHOLE)
def test_a_stream_cut_short_never_looks_finished(name: str) -> None:
    raw = STREAMS[name].content
    stop = raw.index(b"messageStop")
    for at in range(0, stop, 7):
        assert not any(choice["finish_reason"] for chunk in read([raw[:at]]) for choice in chunk["choices"])


def test_thinking_words_and_interleaved_calls_arrive_whole() -> None:
    name = "bedrock/stream_thinking_and_calls"
    answer = added_up(read([STREAMS[name].content], exchange(model_in(name))))
    message = answer.choices[0].message
    assert message.content == "Let me see — ☃."
    assert calls_in(answer) == [
        ("tooluse_a", "weather", '{"city":"Oslo"}'),
        ("tooluse_b", "now", "{}"),
    ]
    extra = message.model_extra or {}
    assert extra["reasoning_content"] == "Two cities."
    assert extra["thinking_blocks"] == [
        {"index": 0, "type": "thinking", "thinking": "Two cities.", "signature": "c2lnbmVk"}
    ]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 110


def test_hidden_thinking_and_citations_come_with_a_stream() -> None:
    hidden = added_up(read([STREAMS["bedrock/stream_hidden_thinking"].content]))
    assert (hidden.choices[0].message.model_extra or {})["thinking_blocks"][0]["data"] == "EmwAKAhg"
    cited = added_up(read([STREAMS["bedrock/stream_cited"].content], exchange(NOVA)))
    note = (cited.choices[0].message.annotations or [])[0]
    assert (note.url_citation.start_index, note.url_citation.end_index) == (0, 8)


@pytest.mark.parametrize("name", [name for name in sorted(STREAMS) if STREAMS[name].expect.get("failure")])
def test_an_exception_ends_the_reading(name: str) -> None:
    chunks = read([STREAMS[name].content])
    assert not any(choice["finish_reason"] for chunk in chunks for choice in chunk["choices"])


def test_a_guardrails_trace_comes_with_the_counts() -> None:
    last = read([STREAMS["bedrock/stream_blocked"].content])[-1]
    assert last["bedrock"] == {"trace": {"guardrail": {"actionReason": "Guardrail blocked."}}}


def test_events_of_another_shape_are_a_bad_answer() -> None:
    for payload in (b'{"contentBlockIndex":0}', b'{"delta":{"text":"a"}}', b"[]"):
        with pytest.raises(BadAnswer):
            read([event("contentBlockDelta", payload)])
    assert read([event("somethingNew", b"{}")]) == []


def test_blocks_that_chat_cannot_tell_ride_on_the_last_chunk() -> None:
    image = {"source": {"bytes": "AAAA"}}
    raw = (
        event("contentBlockStart", json.dumps({"contentBlockIndex": 0, "start": {"image": {"format": "png"}}}).encode())
        + event("contentBlockDelta", json.dumps({"contentBlockIndex": 0, "delta": {"image": image}}).encode())
        + event("contentBlockStop", b'{"contentBlockIndex":0}')
        + event("messageStop", b'{"stopReason":"end_turn","additionalModelResponseFields":{"x":1}}')
    )
    last = read([raw])[-1]
    assert last["bedrock"] == {"additionalModelResponseFields": {"x": 1}}
    assert last["choices"][0]["delta"]["bedrock"]["content"][0]["image"]


# ------------------------------------------------------------------ writing


def calls_in(answer: ChatCompletion) -> list[tuple[str, str, str]]:
    """Each call's id, name and arguments."""
    calls: Any = answer.choices[0].message.tool_calls or ()
    return [(call.id, call.function.name, call.function.arguments) for call in calls]


def delta(**fields: Any) -> Json:
    return {"choices": [{"index": 0, "delta": fields, "finish_reason": None}]}


def ended(reason: str = "stop") -> Json:
    return {"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}


def test_words_of_other_servers_are_written_as_blocks() -> None:
    chunks = [
        delta(role="assistant", content=""),
        delta(reasoning_content="Hm"),
        delta(content="Hei"),
        delta(annotations=[{"type": "url_citation", "url_citation": {"url": "u", "title": "t"}}]),
        ended("length"),
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}, "service_tier": "flex"},
    ]
    events = events_in(written(chunks))
    assert [name for name, _ in events] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert events[1][1] == {"contentBlockIndex": 0, "delta": {"reasoningContent": {"text": "Hm"}}}
    assert "citation" in events[5][1]["delta"]
    assert events[-2][1] == {"stopReason": "max_tokens"}
    assert events[-1][1]["serviceTier"] == {"type": "flex"}


def test_calls_without_a_number_or_a_name_at_first_are_kept_apart() -> None:
    chunks = [
        delta(tool_calls=[{"id": "a", "function": {"arguments": '{"x"'}}]),
        delta(tool_calls=[{"function": {"name": "f", "arguments": ":1}"}}]),
        delta(tool_calls=[{"id": "b", "function": {"name": "g", "arguments": ""}}]),
        ended(),
    ]
    answer = added_up(read([written(chunks)]))
    assert calls_in(answer) == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
    ]
    assert answer.choices[0].finish_reason == "tool_calls"


def test_proven_thinking_is_followed_by_a_block_of_its_own() -> None:
    thought = {"type": "thinking", "thinking": "All at once.", "signature": "c2ln"}
    hidden = {"type": "redacted_thinking", "data": "EmwK"}
    chunks = [delta(thinking_blocks=[thought, hidden]), delta(reasoning_content="More"), ended()]
    told = [item for name, item in events_in(written(chunks)) if name == "contentBlockDelta"]
    deltas = [(item["contentBlockIndex"], item["delta"]["reasoningContent"]) for item in told]
    assert deltas == [
        (0, {"text": "All at once."}),
        (0, {"signature": "c2ln"}),
        (1, {"redactedContent": base64.b64encode(b"EmwK").decode()}),
        (2, {"text": "More"}),
        (2, {"signature": "llm_edge:nobody:"}),
    ]


@pytest.mark.parametrize(
    ("error", "name", "says"),
    [
        (Throttled("slow down"), "throttlingException", "slow down"),
        (BadAnswer("odd"), "internalServerException", "odd"),
        (RuntimeError("a secret"), "internalServerException", "the answer broke off"),
    ],
)
def test_a_failure_is_an_exception_and_says_nothing_it_should_not(error: Exception, name: str, says: str) -> None:
    assert events_in(TRANSLATION.writer(exchange()).fail(error)) == [(name, {"message": says})]


def test_an_empty_stream_is_written_whole() -> None:
    assert [name for name, _ in events_in(written([]))] == ["messageStart", "messageStop", "metadata"]
    assert exception("x", b"{}") != event("x", b"{}")


# ------------------------------------------------------------------ callers


def asked(into: Exchange | None = None, **body: Any) -> dict[str, Any]:
    body.setdefault("messages", [{"role": "user", "content": [{"text": "hi"}]}])
    return dict(TRANSLATION.request_to_chat(body, into or exchange()))


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def test_everything_a_caller_of_converse_says_is_heard() -> None:
    result = {"toolUseId": "t", "content": [{"json": {"a": 1}}], "status": "error"}
    chat = asked(
        exchange(streaming=True),
        system=[{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}],
        messages=[
            {"role": "user", "content": [{"text": "a"}, {"cachePoint": {"type": "default"}}, {"text": "b"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t", "name": "w", "input": {"x": 1}}}]},
            {"role": "user", "content": [{"toolResult": result}, {"cachePoint": {"type": "default"}}]},
            {"role": "system", "content": [{"text": "Rhyme."}]},
            {"role": "assistant", "content": [{"text": "c"}, {"cachePoint": {"type": "default"}}]},
        ],
        inferenceConfig={"maxTokens": 5, "temperature": 0, "topP": 0.5, "stopSequences": ["x"]},
        toolConfig={
            "tools": [
                {"toolSpec": {"name": "w", "description": "d", "inputSchema": {"json": {"type": "object"}}}},
                {"cachePoint": {"type": "default"}},
            ],
            "toolChoice": {"tool": {"name": "w"}},
        },
        additionalModelRequestFields={
            "top_k": 5,
            "thinking": {"type": "enabled", "budget_tokens": 2000},
            "tool_choice": {"disable_parallel_tool_use": True},
            "odd": 1,
        },
        outputConfig={"effort": "low"},
        serviceTier={"type": "flex"},
        requestMetadata={"team": "x"},
        guardrailConfig={"guardrailIdentifier": "g"},
    )
    mark = {"type": "ephemeral"}
    assert chat["messages"] == [
        {"role": "system", "content": [text("Be brief.", cache_control={**mark, "ttl": "1h"})]},
        {"role": "user", "content": [text("a", cache_control=mark), text("b")]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "t", "type": "function", "function": {"name": "w", "arguments": '{"x":1}'}}],
        },
        {"role": "tool", "tool_call_id": "t", "content": '{"a":1}', "is_error": True, "cache_control": mark},
        {"role": "system", "content": "Rhyme."},
        {"role": "assistant", "content": "c", "cache_control": mark},
    ]
    tool = {"type": "function", "function": {"name": "w", "description": "d", "parameters": {"type": "object"}}}
    assert {name: value for name, value in chat.items() if name != "messages"} == {
        "model": CLAUDE,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 5,
        "temperature": 0,
        "top_p": 0.5,
        "stop": ["x"],
        "tools": [{**tool, "cache_control": mark}],
        "tool_choice": {"type": "function", "function": {"name": "w"}},
        "top_k": 5,
        "reasoning_effort": "low",
        "anthropic": {"thinking": {"type": "enabled", "budget_tokens": 2000}},
        "parallel_tool_calls": False,
        "bedrock": {"additionalModelRequestFields": {"odd": 1}, "guardrailConfig": {"guardrailIdentifier": "g"}},
        "service_tier": "flex",
        "metadata": {"team": "x"},
    }


@pytest.mark.parametrize(
    ("block", "part"),
    [
        (
            {"image": {"format": "png", "source": {"bytes": "AAAA"}}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        ),
        (
            {"document": {"format": "pdf", "name": "n", "source": {"bytes": "AAAA"}}},
            {"type": "file", "file": {"filename": "n", "file_data": "data:application/pdf;base64,AAAA"}},
        ),
        (
            {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        ),
        (
            {"video": {"format": "mp4", "source": {"s3Location": {"uri": "s3://b/v"}}}},
            {"type": "video_url", "video_url": {"url": "s3://b/v"}},
        ),
        (
            {"video": {"format": "mov", "source": {"bytes": "AAAA"}}},
            {"type": "video_url", "video_url": {"url": "data:video/quicktime;base64,AAAA"}},
        ),
        (
            {"document": {"format": "pdf", "name": "n", "context": "C", "source": {"bytes": "AAAA"}}},
            {
                "type": "file",
                "file": {"filename": "n", "file_data": "data:application/pdf;base64,AAAA"},
                "anthropic": {"context": "C"},
            },
        ),
        ({"searchResult": {"title": "T", "content": [{"text": "x"}]}}, None),
    ],
)
def test_a_block_becomes_a_part_and_one_without_its_like_rides_along(block: Json, part: Json | None) -> None:
    (message,) = asked(messages=[{"role": "user", "content": [block, {"text": "x"}]}])["messages"]
    assert message["content"][0] == (part or {"type": "text", "text": f"[{next(iter(block))}]", "bedrock": block})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"reasoning": {"effort": "high"}}, {"reasoning_effort": "high"}),
        ({"reasoning_effort": "low"}, {"reasoning_effort": "low"}),
        (
            {"thinking": {"type": "disabled"}},
            {"reasoning_effort": "none", "anthropic": {"thinking": {"type": "disabled"}}},
        ),
        (
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "max"}},
            {"reasoning_effort": "max", "anthropic": {"thinking": {"type": "adaptive"}, "effort": "max"}},
        ),
    ],
)
def test_how_much_to_think_is_heard_in_every_familys_words(fields: Json, told: Json) -> None:
    chat = asked(additionalModelRequestFields=fields)
    assert {name: chat[name] for name in chat if name not in ("model", "messages")} == told


def test_what_is_none_of_converses_is_told_or_refused() -> None:
    into = exchange()
    asked(into, odd=1, inferenceConfig={"topQ": 1})
    assert [change.partition(" ")[0] for change in into.changes] == ["`odd`", "`inferenceConfig.topQ`"]
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"messages": [{"role": "robot", "content": []}]}, "'robot'"),
        ({"toolConfig": {"tools": [{"systemTool": {"name": "s"}}]}}, "toolSpec"),
        ({"outputConfig": {"textFormat": {"type": "json_schema"}}}, "JSON schema"),
    ]
    for body, says in wrong:
        with pytest.raises(InvalidRequest, match=says):
            asked(**body)
    assert asked(toolConfig={"tools": [], "toolChoice": {"any": {}}})["tool_choice"] == "required"
