"""The Responses dialect as a provider's and as a caller's: nothing a chat can hold is lost on the way."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from llm_edge.errors import InvalidRequest, Overloaded, ProviderFailed, StreamBroken
from llm_edge.providers.translation.chat import TRANSLATION as CHAT
from llm_edge.providers.translation.responses import REPLAY, TRANSLATION

from ..exchanges import OURS, THEIRS, WHOLE_STREAMS, Exchange
from .openai_kit import cut, delta, exchange, plain, put_together, read, response_of_sdk, singly, sse, whole, write

STREAMS = [each for each in WHOLE_STREAMS if each.dialect.name == "openai.responses"]
ANSWERS = [
    each
    for each in OURS + THEIRS
    if not each.stream and each.dialect.name == "openai.responses" and b'"output"' in each.content and not each.expect
]
EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
REASONING = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "Hm"}],
    "encrypted_content": "E",
}
CITED = {"type": "url_citation", "url": "u", "title": "t", "start_index": 0, "end_index": 2}


def output_text(text: str, *annotations: Any) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": list(annotations)}


def message(*parts: Any, **more: Any) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": list(parts),
        **more,
    }


def function_call(name: str = "f", arguments: str = "{}", call_id: str = "call_1") -> dict[str, Any]:
    return {"id": f"fc_{call_id}", "type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def response(*output: Any, **more: Any) -> dict[str, Any]:
    usage = {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 1},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 4},
        "total_tokens": 12,
    }
    fields = {
        "id": "resp_1",
        "object": "response",
        "created_at": 9,
        "model": "m",
        "status": "completed",
        "usage": usage,
    }
    return {**fields, "output": list(output), "parallel_tool_calls": True, "tool_choice": "auto", "tools": [], **more}


def to_chat(*output: Any, **more: Any) -> dict[str, Any]:
    unified = dict(TRANSLATION.answer_to_chat(response(*output, **more), exchange()))
    ChatCompletion.model_validate(unified)
    return unified


# ------------------------------------------------------------------ answers in


@pytest.mark.parametrize("each", ANSWERS, ids=str)
def test_a_recorded_answer_becomes_a_valid_chat_answer_and_a_valid_response_again(each: Exchange) -> None:
    raw = json.loads(each.content)
    unified = TRANSLATION.answer_to_chat(raw, exchange())
    ChatCompletion.model_validate(unified)
    again = TRANSLATION.answer_from_chat(unified, exchange())
    Response.model_validate(again)
    assert words_of(again) == words_of(raw)
    assert again["usage"]["total_tokens"] == raw["usage"]["total_tokens"]


def words_of(answer: Any) -> list[Any]:
    """What an answer says, whatever its items are called."""
    said: list[Any] = []
    for item in answer["output"]:
        if item["type"] == "message":
            said += [part.get("text") or part.get("refusal") for part in item["content"]]
        if item["type"] == "function_call":
            said.append((item["call_id"], item["name"], item["arguments"]))
    return said


def test_the_call_id_is_the_tool_calls_id() -> None:
    choice = to_chat(function_call())["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["tool_calls"][0]["id"] == "call_1"


def test_usage_keeps_its_details() -> None:
    usage = to_chat(message(output_text("Hi")))["usage"]
    assert usage["prompt_tokens"] == 5
    assert usage["prompt_tokens_details"] == {"cached_tokens": 2, "cache_write_tokens": 1}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 4}


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), ("steered", "stop")]
)
def test_an_incomplete_response_says_why(reason: str, finish: str) -> None:
    choice = to_chat(message(output_text("Hi")), status="incomplete", incomplete_details={"reason": reason})["choices"][
        0
    ]
    assert choice["finish_reason"] == finish
    assert choice.get("native_finish_reason") == ("steered" if reason == "steered" else None)


def test_a_failed_response_is_the_providers_failure() -> None:
    with pytest.raises(ProviderFailed, match="too bad"):
        to_chat(status="failed", error={"code": "server_error", "message": "too bad"})


def test_a_refusal_and_citations_and_unknown_items_are_kept() -> None:
    other = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    file = {"type": "file_citation", "file_id": "f", "filename": "n", "index": 1}
    parts = [output_text("Hi "), output_text("you", CITED, file), {"type": "refusal", "refusal": "No"}]
    said = to_chat(other, message(*parts))["choices"][0]["message"]
    assert (said["content"], said["refusal"]) == ("Hi you", "No")
    assert said["annotations"][0]["url_citation"]["start_index"] == 3
    assert said["file_annotations"] == [file]
    assert said["responses"] == {"output": [other]}


def test_thinking_goes_round_with_its_proof() -> None:
    said = to_chat(REASONING, function_call())["choices"][0]["message"]
    assert said["reasoning_content"] == "Hm"
    history = [{"role": "user", "content": "x"}, said, {"role": "tool", "tool_call_id": "call_1", "content": "3"}]
    told = TRANSLATION.request_from_chat({"messages": history}, exchange(model="gpt-6-sol"))["input"]
    assert told[1] == REASONING
    assert [item.get("type") for item in told] == [None, "reasoning", "function_call", "function_call_output"]


def test_thinking_with_nothing_after_it_is_not_sent() -> None:
    said = to_chat(REASONING)["choices"][0]["message"]
    assert TRANSLATION.request_from_chat({"messages": [said]}, exchange())["input"] == []


def test_thinking_openai_has_kept_for_itself_is_not_named_to_it() -> None:
    said = to_chat({"id": "rs_1", "type": "reasoning", "summary": []}, message(output_text("Hi")))["choices"][0][
        "message"
    ]
    told = TRANSLATION.request_from_chat({"messages": [said]}, exchange())["input"]
    assert [item["type"] for item in told] == ["message"]


def test_another_vendors_thinking_is_told_and_left_out() -> None:
    facts = exchange()
    block = {"type": "thinking", "thinking": "Hm", "signature": "theirs"}
    chat = {"messages": [{"role": "assistant", "content": "Hi", "thinking_blocks": [block]}]}
    assert "theirs" not in json.dumps(TRANSLATION.request_from_chat(chat, facts))
    assert len(facts.changes) == 1


def test_claudes_proof_comes_back_through_a_caller_of_responses() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm", "signature": "S"}, {"type": "redacted_thinking", "data": "D"}]
    said = {"role": "assistant", "content": "Hi", "thinking_blocks": blocks, "reasoning_content": "Hm"}
    answer = {"id": "msg_9", "choices": [{"index": 0, "message": said, "finish_reason": "stop"}]}
    told = TRANSLATION.answer_from_chat(answer, exchange())
    Response.model_validate(told)
    again = TRANSLATION.request_to_chat({"input": told["output"]}, exchange())["messages"]
    assert again[0]["thinking_blocks"] == blocks


def test_logprobs_go_both_ways() -> None:
    token = {"token": "Hi", "bytes": [72, 105], "logprob": -0.1, "top_logprobs": []}
    unified = to_chat(message({**output_text("Hi"), "logprobs": [token]}))
    assert unified["choices"][0]["logprobs"]["content"] == [token]
    told = TRANSLATION.answer_from_chat(unified, exchange())
    assert told["output"][0]["content"][0]["logprobs"] == [token]
    without = {**token, "bytes": None}
    unified["choices"][0]["logprobs"]["content"] = [without]
    assert TRANSLATION.answer_from_chat(unified, exchange())["output"][0]["content"][0]["logprobs"] == [token]


# ------------------------------------------------------------------ streams in


@pytest.mark.parametrize("each", STREAMS, ids=str)
def test_a_stream_becomes_valid_chunks_however_it_is_cut(each: Exchange) -> None:
    chunks = read(TRANSLATION, [each.content])
    assert read(TRANSLATION, singly(each.content)) == chunks
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    assert len(put_together(chunks)["finish"]) == 1


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_stream_cut_at_random_gives_the_same_chunks(data: st.DataObject) -> None:
    each = data.draw(st.sampled_from(STREAMS))
    places = data.draw(st.lists(st.integers(0, len(each.content)), max_size=20))
    assert read(TRANSLATION, cut(each.content, places)) == read(TRANSLATION, [each.content])


RICH = response(
    REASONING,
    message(output_text("Let me see.", CITED), phase="commentary"),
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
    function_call("f", '{"x":1}'),
    service_tier="default",
)


def test_a_stream_says_what_the_whole_response_says() -> None:
    chunks = read(TRANSLATION, REPLAY.events(RICH, {}))
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    facts = exchange()
    content = write(CHAT, chunks, facts)
    from llm_edge.providers.translation.chat import REPLAY as OF_CHAT

    streamed = plain(whole(OF_CHAT.assembler(), [content]))
    said = plain(TRANSLATION.answer_to_chat(RICH, exchange()))
    for entry in (
        *streamed["choices"][0]["message"]["thinking_blocks"],
        *streamed["choices"][0]["message"]["annotations"],
    ):
        del entry["index"]
    del said["usage"]
    assert streamed == said


def test_items_told_only_when_done_are_told() -> None:
    items = [REASONING, message(output_text("Hi")), function_call()]
    events = [{"type": "response.output_item.done", "output_index": at, "item": item} for at, item in enumerate(items)]
    content = sse(*events, {"type": "response.completed", "response": response()}, done=False)
    found = put_together(read(TRANSLATION, [content]))
    assert (found["content"], found["reasoning_content"]) == ("Hi", "Hm")
    assert found["tool_calls"][0]["arguments"] == "{}"
    assert found["finish"] == ["tool_calls"]


def test_an_error_event_is_raised_typed() -> None:
    content = b'event: error\ndata: {"type":"error","code":"server_is_overloaded","message":"busy"}\n\n'
    with pytest.raises(Overloaded, match="busy"):
        TRANSLATION.reader(exchange()).feed(content)


def test_a_failed_stream_is_raised_after_what_came_before() -> None:
    text = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}
    end = {
        "type": "response.failed",
        "response": {"status": "failed", "error": {"code": "server_error", "message": "x"}},
    }
    reader = TRANSLATION.reader(exchange())
    assert len(reader.feed(sse(text, end, done=False))) == 1
    with pytest.raises(ProviderFailed):
        reader.feed(b"")


def test_a_stream_cut_short_tells_no_finish() -> None:
    half = b"".join(REPLAY.events(RICH, {})[:-1])
    assert put_together(read(TRANSLATION, [half]))["finish"] == []


# ------------------------------------------------------------------ streams out


def events_of(content: bytes) -> list[dict[str, Any]]:
    return [json.loads(block.partition(b"data: ")[2]) for block in content.split(b"\n\n") if block]


def test_a_written_stream_is_valid_numbered_and_put_together_by_the_sdk() -> None:
    chunks = read(TRANSLATION, REPLAY.events(RICH, {}))
    content = write(TRANSLATION, chunks, exchange())
    events = events_of(content)
    for event in events:
        EVENTS.validate_python(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    final = response_of_sdk(content)
    assert [item["type"] for item in final["output"]] == ["reasoning", "message", "function_call", "web_search_call"]
    assert final["output"][1]["content"][0]["annotations"][0]["url"] == "u"
    assert final["usage"]["total_tokens"] == 12


def test_interleaved_tool_calls_are_written_side_by_side() -> None:
    chunks = [
        delta(role="assistant", content=None),
        delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]),
        delta(tool_calls=[{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": '{"x":1}'}}]),
        delta(tool_calls=[{"index": 1, "function": {"arguments": "}"}}]),
        delta(finish="tool_calls"),
    ]
    final = response_of_sdk(write(TRANSLATION, chunks, exchange()))
    assert [(item["call_id"], item["arguments"]) for item in final["output"]] == [("a", '{"x":1}'), ("b", "{}")]


def test_a_call_without_arguments_is_written_with_an_empty_object() -> None:
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    final = response_of_sdk(write(TRANSLATION, [delta(tool_calls=[call]), delta(finish="tool_calls")], exchange()))
    assert final["output"][0]["arguments"] == "{}"


def test_a_custom_tools_input_is_streamed_both_ways() -> None:
    custom = {"id": "ctc_1", "type": "custom_tool_call", "call_id": "call_2", "name": "g", "input": "run"}
    chunks = read(TRANSLATION, REPLAY.events(response(custom), {}))
    content = write(TRANSLATION, chunks, exchange())
    for event in events_of(content):
        EVENTS.validate_python(event)
    final = response_of_sdk(content)["output"][0]
    assert (final["type"], final["call_id"], final["name"], final["input"]) == (
        "custom_tool_call",
        "call_2",
        "g",
        "run",
    )


def test_text_and_refusal_are_parts_of_one_message() -> None:
    chunks = [delta(content="Well"), delta(refusal="No"), delta(finish="stop")]
    final = response_of_sdk(write(TRANSLATION, chunks, exchange()))
    assert [part["type"] for part in final["output"][0]["content"]] == ["output_text", "refusal"]


def test_an_answer_cut_by_its_limit_is_written_as_incomplete() -> None:
    content = write(TRANSLATION, [delta(content="Hi"), delta(finish="length")], exchange())
    last = events_of(content)[-1]
    assert last["type"] == "response.incomplete"
    assert last["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


def test_a_failure_in_mid_stream_is_written_flat() -> None:
    writer = TRANSLATION.writer(exchange())
    writer.write(delta(content="Hi"))
    told = events_of(writer.fail(StreamBroken("cut")))[0]
    EVENTS.validate_python(told)
    assert (told["type"], told["message"]) == ("error", "cut")


# ------------------------------------------------------------------ requests

WHOLE_REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "instructions": "Be brief.",
    "input": [
        {"role": "developer", "content": "Dev."},
        {"role": "user", "content": [
            {"type": "input_text", "text": "Weather?"},
            {"type": "input_image", "image_url": "data:image/png;base64,AA==", "detail": "low"},
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="},
        ]},
        {**REASONING},
        {"type": "message", "role": "assistant", "phase": "commentary", "content": [output_text("I look.")]},
        {"type": "function_call", "call_id": "a", "name": "w", "arguments": '{"city":"Oslo"}'},
        {"type": "custom_tool_call", "call_id": "b", "name": "sh", "input": "ls"},
        {"type": "function_call_output", "call_id": "a", "output": "3 C"},
        {"type": "custom_tool_call_output", "call_id": "b", "output": [
            {"type": "input_text", "text": "see"},
            {"type": "input_image", "image_url": "https://x/y.png", "detail": "auto"},
        ]},
    ],
    "tools": [
        {"type": "function", "name": "w", "description": "d", "parameters": {"type": "object"}, "strict": True},
        {"type": "custom", "name": "sh", "format": {"type": "grammar", "definition": "x", "syntax": "lark"}},
        {"type": "web_search", "search_context_size": "low", "user_location": {"type": "approximate", "city": "Oslo"}},
    ],
    "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "w"}]},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
    "max_output_tokens": 99,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_logprobs": 2,
    "include": ["message.output_text.logprobs"],
    "parallel_tool_calls": False,
    "metadata": {"a": "b"},
    "service_tier": "flex",
    "safety_identifier": "s",
    "prompt_cache_key": "k",
    "user": "u",
    "store": True,
    "stream": True,
}  # fmt: skip


def test_a_full_request_goes_to_chat_and_back_unharmed() -> None:
    facts = exchange()
    chat = TRANSLATION.request_to_chat(WHOLE_REQUEST, facts)
    assert not facts.changes
    assert TRANSLATION.request_from_chat(chat, facts) == WHOLE_REQUEST
    assert not facts.changes


def test_a_full_request_in_the_chat_form_is_a_chat_request() -> None:
    chat = TRANSLATION.request_to_chat(WHOLE_REQUEST, exchange())
    assert [message["role"] for message in chat["messages"]] == [
        "system",
        "developer",
        "user",
        "assistant",
        "tool",
        "tool",
    ]
    assert chat["stream_options"] == {"include_usage": True}
    assert chat["response_format"]["json_schema"]["name"] == "n"
    assert chat["tool_choice"]["allowed_tools"]["tools"] == [{"type": "function", "function": {"name": "w"}}]


@pytest.mark.parametrize("each", [each for each in ANSWERS if each.request], ids=str)
def test_a_recorded_request_means_the_same_afterwards(each: Exchange) -> None:
    facts = exchange(model=each.request["model"])
    again = dict(TRANSLATION.request_from_chat(TRANSLATION.request_to_chat(each.request, facts), facts))
    for name in ("model", "input", "temperature", "max_output_tokens"):
        if name in each.request:
            assert again.pop(name) == each.request[name]
    effort = (each.request.get("reasoning") or {}).get("effort")
    assert again.get("reasoning", {}).get("effort") == effort
    assert len(again.get("tools", ())) == len(each.request.get("tools", ()))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("previous_response_id", "resp_1"),
        ("conversation", "conv_1"),
        ("background", True),
        ("prompt", {"id": "p"}),
        ("tools", [{"type": "file_search", "vector_store_ids": []}]),
        ("input", [{"type": "item_reference", "id": "x"}]),
        ("input", [{"role": "user", "content": [{"type": "input_image", "file_id": "f", "detail": "auto"}]}]),
    ],
)
def test_what_lives_at_openai_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"`{field}"):
        TRANSLATION.request_to_chat({"model": "m", "input": "x", field: value}, exchange())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("truncation", "auto"),
        ("max_tool_calls", 3),
        ("include", ["web_search_call.results"]),
        ("reasoning", {"mode": "pro"}),
        ("unheard_of", 1),
        ("input", [{"type": "web_search_call", "id": "w"}]),
    ],
)
def test_what_chat_has_no_place_for_is_told(field: str, value: Any) -> None:
    facts = exchange()
    TRANSLATION.request_to_chat({"model": "m", "input": "x", field: value}, facts)
    assert len(facts.changes) == 1
    assert field in facts.changes[0]


@pytest.mark.parametrize("field", ["stop", "seed", "logit_bias", "frequency_penalty", "prediction", "unheard_of"])
def test_what_responses_has_no_place_for_is_told(field: str) -> None:
    facts = exchange()
    request = TRANSLATION.request_from_chat({"messages": [], field: 1}, facts)
    assert field not in request
    assert len(facts.changes) == 1


@pytest.mark.parametrize(
    "chat",
    [
        {"n": 2},
        {"modalities": ["text", "audio"]},
        {"messages": [{"role": "tool", "tool_call_id": "a", "content": ""}]},
        {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}]},
    ],
)
def test_what_would_change_the_answer_is_refused(chat: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        TRANSLATION.request_from_chat({"messages": [], **chat}, exchange())


def test_strictness_is_said_for_responses_would_be_strict_by_itself() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    told = TRANSLATION.request_from_chat({"messages": [], "tools": tools}, exchange())["tools"][0]
    assert told["strict"] is False
    assert told["parameters"] == {"type": "object", "properties": {}}


def test_nothing_is_stored_and_thinking_comes_back_sealed() -> None:
    request = TRANSLATION.request_from_chat({"messages": [], "reasoning_effort": "max"}, exchange(model="gpt-6-astra"))
    assert request["store"] is False
    assert request["include"] == ["reasoning.encrypted_content"]
    assert request["reasoning"] == {"effort": "max", "summary": "auto"}


def test_calls_made_together_stay_in_one_message() -> None:
    items = [
        *(function_call(call_id="a"), {**REASONING}, function_call(call_id="b")),
        {"type": "function_call_output", "call_id": "a", "output": "1"},
        {"type": "function_call_output", "call_id": "b", "output": "2"},
    ]
    messages = TRANSLATION.request_to_chat({"input": items}, exchange())["messages"]
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool"]
    assert len(messages[0]["tool_calls"]) == 2


def test_two_texts_in_a_row_stay_two_messages() -> None:
    items = [message(output_text("A"), phase="commentary"), message(output_text("B"), phase="final_answer")]
    messages = TRANSLATION.request_to_chat({"input": items}, exchange())["messages"]
    assert [(each["content"], each["phase"]) for each in messages] == [("A", "commentary"), ("B", "final_answer")]
