"""The chat dialect: whatever compatible servers send, out comes one form of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llm_edge.errors import BadAnswer, InvalidRequest, Overloaded, ProviderFailed, StreamBroken
from llm_edge.providers.translation.chat import REPLAY, TRANSLATION

from ..exchanges import OURS, THEIRS, WHOLE_STREAMS, Exchange
from .openai_kit import chat_of_sdk, cut, delta, exchange, put_together, read, singly, sse, whole, write

STREAMS = [each for each in WHOLE_STREAMS if each.dialect.name == "openai.chat"]
ANSWERS = [
    each
    for each in OURS + THEIRS
    if not each.stream and each.status == 200 and each.dialect.name == "openai.chat" and b'"choices"' in each.content
]


def call(**fields: Any) -> dict[str, Any]:
    """A piece of a tool call; `name` and `arguments` belong to its function."""
    function = {name: fields.pop(name) for name in ("name", "arguments") if name in fields}
    return {**fields, "function": function}


def calls_of(*deltas: dict[str, Any], finish: str = "tool_calls") -> dict[int, dict[str, str]]:
    """The tool calls a reader makes of these pieces, one chunk each."""
    content = sse(*(delta(tool_calls=[each]) for each in deltas), delta(finish=finish))
    return put_together(read(TRANSLATION, [content]))["tool_calls"]


# ------------------------------------------------------------------ streams in


@pytest.mark.parametrize("each", STREAMS, ids=str)
def test_a_stream_becomes_valid_chunks_however_it_is_cut(each: Exchange) -> None:
    chunks = read(TRANSLATION, [each.content])
    assert read(TRANSLATION, singly(each.content)) == chunks
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert all(chunk["id"] and chunk["model"] for chunk in chunks)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_stream_cut_at_random_gives_the_same_chunks(data: st.DataObject) -> None:
    each = data.draw(st.sampled_from(STREAMS))
    places = data.draw(st.lists(st.integers(0, len(each.content)), max_size=20))
    assert read(TRANSLATION, cut(each.content, places)) == read(TRANSLATION, [each.content])


@pytest.mark.parametrize("each", STREAMS, ids=str)
def test_a_stream_written_again_says_the_same(each: Exchange) -> None:
    facts = exchange(chat={"stream_options": {"include_usage": True}})
    chunks = read(TRANSLATION, [each.content], facts)
    written = write(TRANSLATION, chunks, facts)
    assert put_together(read(TRANSLATION, [written])) == put_together(chunks)
    ChatCompletion.model_validate(whole(REPLAY.assembler(), [written]))


def test_interleaved_calls_keep_their_numbers() -> None:
    found = calls_of(
        call(index=0, id="a", name="f", arguments=""),
        call(index=1, id="b", name="g", arguments='{"x"'),
        call(index=0, arguments="{}"),
        call(index=1, arguments=":1}"),
    )
    assert found == {
        0: {"id": "a", "name": "f", "arguments": "{}"},
        1: {"id": "b", "name": "g", "arguments": '{"x":1}'},
    }


def test_calls_without_an_index_are_told_apart_by_their_ids() -> None:
    found = calls_of(call(id="a", name="f", arguments="{"), call(arguments="}"), call(id="b", name="f", arguments="{}"))
    assert [each["arguments"] for each in found.values()] == ["{}", "{}"]
    assert [each["id"] for each in found.values()] == ["a", "b"]


def test_calls_without_index_and_id_begin_with_a_name() -> None:
    found = calls_of(
        call(name="f", arguments='{"a":1}'), call(name="f", arguments='{"a":2}'), call(name="g", arguments="{}")
    )
    assert [each["name"] for each in found.values()] == ["f", "f", "g"]
    assert len({each["id"] for each in found.values()}) == 3


def test_a_name_told_again_with_half_arguments_is_the_same_call() -> None:
    assert calls_of(call(name="f", arguments='{"a"'), call(name="f", arguments=":1}"))[0]["arguments"] == '{"a":1}'


def test_an_id_and_a_name_on_every_piece_are_told_once() -> None:
    same = {"index": 0, "id": "a", "name": "get"}
    found = calls_of(call(**same, arguments=""), call(**same, arguments="{"), call(**same, arguments="}"))
    assert found == {0: {"id": "a", "name": "get", "arguments": "{}"}}


def test_a_name_in_pieces_is_whole_before_it_is_told() -> None:
    found = calls_of(
        call(index=0, id="a", name="get_", arguments=""), call(index=0, name="time"), call(index=0, arguments="{}")
    )
    assert found == {0: {"id": "a", "name": "get_time", "arguments": "{}"}}


def test_a_server_that_numbers_every_call_zero_is_found_out() -> None:
    found = calls_of(call(index=0, id="a", name="f", arguments="{}"), call(index=0, id="b", name="g", arguments="{}"))
    assert [each["name"] for each in found.values()] == ["f", "g"]


def test_arguments_that_are_an_object_become_text() -> None:
    assert json.loads(calls_of(call(index=0, id="a", name="f", arguments={"x": 1}))[0]["arguments"]) == {"x": 1}


def test_a_call_of_a_renamed_tool_has_the_callers_name() -> None:
    content = sse(delta(tool_calls=[call(index=0, id="a", name="a_b", arguments="{}")]), delta(finish="tool_calls"))
    found = put_together(read(TRANSLATION, [content], exchange(names={"a_b": "a.b"})))
    assert found["tool_calls"][0]["name"] == "a.b"


@pytest.mark.parametrize("thought", [delta(reasoning="Hm"), delta(reasoning_content="Hm")])
def test_reasoning_has_one_name(thought: dict[str, Any]) -> None:
    assert put_together(read(TRANSLATION, [sse(thought, delta(finish="stop"))]))["reasoning_content"] == "Hm"


def test_reasoning_under_both_names_is_told_once() -> None:
    both = delta(reasoning="Hm", reasoning_content="Hm")
    assert put_together(read(TRANSLATION, [sse(both, delta(finish="stop"))]))["reasoning_content"] == "Hm"


@pytest.mark.parametrize(
    "tail",
    [
        [{"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}],
        [{"choices": [], "usage": None}, {"choices": None, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}],
        [{"choices": [], "x_groq": {"usage": {"prompt_tokens": 1, "completion_tokens": 2}}}],
        [{"choices": [{"index": 0, "delta": {}, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}]}],
    ],
)
def test_usage_wherever_it_stands_is_told_once_and_last(tail: list[Any]) -> None:
    early = {**delta(content="Hi"), "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
    chunks = read(TRANSLATION, [sse(early, delta(finish="stop"), *tail)])
    assert [chunk["usage"]["total_tokens"] for chunk in chunks if chunk.get("usage")] == [3]
    assert chunks[-1]["choices"] == []


def test_azures_first_frame_gives_no_name_to_the_stream() -> None:
    first = {
        "choices": [],
        "created": 0,
        "id": "",
        "model": "",
        "object": "",
        "prompt_filter_results": [{"prompt_index": 0}],
    }
    chunks = read(TRANSLATION, [sse(first, delta(content="Hi"), delta(finish="stop"))])
    assert {chunk["id"] for chunk in chunks} == {"c1"}
    assert chunks[0]["prompt_filter_results"] == [{"prompt_index": 0}]


def test_a_filter_that_strikes_after_the_finish_has_the_last_word() -> None:
    late = {"id": "", "choices": [{"index": 0, "delta": None, "finish_reason": "content_filter"}]}
    found = put_together(read(TRANSLATION, [sse(delta(content="Hi"), delta(finish="stop"), late)]))
    assert found["finish"] == ["content_filter"]
    assert found["content"] == "Hi"


def test_a_refusal_after_text_discards_nothing() -> None:
    found = put_together(read(TRANSLATION, [sse(delta(content="Well"), delta(refusal="No"), delta(finish="stop"))]))
    assert (found["content"], found["refusal"]) == ("Well", "No")


@pytest.mark.parametrize(
    ("reason", "unified"), [("", "stop"), (None, "stop"), ("eos", "stop"), ("model_length", "length")]
)
def test_a_missing_or_foreign_finish_is_put_right(reason: str | None, unified: str) -> None:
    assert put_together(read(TRANSLATION, [sse(delta(content="Hi"), delta(finish=reason))]))["finish"] == [unified]


def test_stop_after_a_tool_call_means_tool_calls() -> None:
    content = sse(delta(tool_calls=[call(index=0, id="a", name="f", arguments="{}")]), delta(finish="stop"))
    assert put_together(read(TRANSLATION, [content]))["finish"] == ["tool_calls"]


def test_no_finish_is_told_for_a_stream_cut_short() -> None:
    content = sse(delta(content="Hi"), delta(content="!"), done=False)
    assert put_together(read(TRANSLATION, [content]))["finish"] == []


def test_a_stream_without_done_finishes_when_its_choices_have() -> None:
    content = sse(delta(content="Hi"), delta(finish="stop"), done=False)
    assert put_together(read(TRANSLATION, [content]))["finish"] == ["stop"]


def test_comments_and_one_object_a_line_are_understood() -> None:
    content = b": keep-alive\n\n" + b"".join(
        json.dumps(each).encode() + b"\n" for each in (delta(content="Hi"), delta(finish="stop"))
    )
    assert put_together(read(TRANSLATION, [content]))["content"] == "Hi"


def test_choices_of_n_answers_keep_their_places() -> None:
    chunks = read(TRANSLATION, [sse(delta(1, content="B"), delta(0, content="A"), delta(0, "stop"), delta(1, "stop"))])
    told = [(each["index"], each["delta"].get("content")) for chunk in chunks for each in chunk["choices"]]
    assert told == [(1, "B"), (0, "A"), (0, None), (1, None)]


def test_an_error_in_mid_stream_is_raised_after_what_came_before() -> None:
    content = sse(delta(content="Hi"), {"error": {"message": "no", "code": "server_is_overloaded"}})
    reader = TRANSLATION.reader(exchange())
    assert len(reader.feed(content)) == 1
    with pytest.raises(Overloaded, match="no"):
        reader.end()


def test_an_event_that_is_no_object_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer, match="not a JSON object"):
        TRANSLATION.reader(exchange()).feed(b"data: [1]\n\n")


# ------------------------------------------------------------------ streams out


def test_usage_is_written_only_when_asked() -> None:
    chunks = [delta(content="Hi"), delta(finish="stop"), {**delta(), "choices": [], "usage": {"prompt_tokens": 1}}]
    assert b"usage" not in write(TRANSLATION, chunks, exchange())
    asked = write(TRANSLATION, chunks, exchange(chat={"stream_options": {"include_usage": True}}))
    assert asked.count(b'"usage":{') == 1
    assert asked.endswith(b"data: [DONE]\n\n")


def test_thinking_and_citations_get_numbers_the_sdk_can_put_together() -> None:
    chunks = [
        delta(content="Hi", thinking_blocks=[{"type": "thinking", "thinking": "Hm", "signature": "s"}]),
        delta(thinking_blocks=[{"type": "redacted_thinking", "data": "d"}], annotations=[{"type": "url_citation"}]),
        delta(annotations=[{"type": "url_citation"}]),
        delta(finish="stop"),
    ]
    message = chat_of_sdk(write(TRANSLATION, chunks, exchange()))["choices"][0]["message"]
    assert [block["type"] for block in message["thinking_blocks"]] == ["thinking", "redacted_thinking"]
    assert len(message["annotations"]) == 2


def test_a_failure_in_mid_stream_is_written_as_openai_tells_it() -> None:
    told = TRANSLATION.writer(exchange()).fail(StreamBroken("cut"))
    assert json.loads(told.removeprefix(b"data: "))["error"]["message"] == "cut"
    assert b"secret" not in TRANSLATION.writer(exchange()).fail(RuntimeError("secret"))


# ------------------------------------------------------------------ answers


@pytest.mark.parametrize("each", ANSWERS, ids=str)
def test_an_answer_becomes_a_valid_one(each: Exchange) -> None:
    unified = TRANSLATION.answer_to_chat(json.loads(each.content), exchange())
    ChatCompletion.model_validate(unified)
    assert TRANSLATION.answer_from_chat(unified, exchange()) is unified


def test_an_answer_without_name_time_finish_or_message_is_filled_in() -> None:
    raw = {"choices": [{"finish_reason": "content_filter"}, {"message": {"content": [{"type": "text", "text": "B"}]}}]}
    unified = TRANSLATION.answer_to_chat({**raw, "created": None}, exchange())
    ChatCompletion.model_validate(unified)
    assert (unified["id"], unified["created"], unified["model"]) == ("chatcmpl-r1", 7, "gpt-4o")
    assert [choice["finish_reason"] for choice in unified["choices"]] == ["content_filter", "stop"]
    assert [choice["message"]["content"] for choice in unified["choices"]] == [None, "B"]


def test_tool_calls_without_id_or_with_an_object_are_put_right() -> None:
    message = {"content": None, "tool_calls": [{"id": "", "function": {"name": "f", "arguments": {"x": 1}}}]}
    unified = TRANSLATION.answer_to_chat({"choices": [{"message": message, "finish_reason": "stop"}]}, exchange())
    ChatCompletion.model_validate(unified)
    made = unified["choices"][0]["message"]["tool_calls"][0]
    assert made["id"]
    assert json.loads(made["function"]["arguments"]) == {"x": 1}
    assert unified["choices"][0]["finish_reason"] == "tool_calls"


def test_a_servers_own_word_for_the_finish_is_kept() -> None:
    unified = TRANSLATION.answer_to_chat({"choices": [{"message": {}, "finish_reason": "model_length"}]}, exchange())
    assert unified["choices"][0]["finish_reason"] == "length"
    assert unified["choices"][0]["native_finish_reason"] == "model_length"


def test_a_caller_who_asked_with_functions_is_answered_with_a_function_call() -> None:
    facts = exchange()
    request = {
        "model": "m",
        "messages": [
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "3"},
        ],
        "functions": [{"name": "f", "parameters": {}}],
        "function_call": {"name": "f"},
    }
    chat = TRANSLATION.request_to_chat(request, facts)
    assert chat["messages"][0]["tool_calls"][0]["id"] == chat["messages"][1]["tool_call_id"]
    assert chat["tool_choice"] == {"type": "function", "function": {"name": "f"}}
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", **call(name="f", arguments="{}")}]}
    answer = {"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}]}
    told = TRANSLATION.answer_from_chat(answer, facts)["choices"][0]
    assert told["finish_reason"] == "function_call"
    assert told["message"]["function_call"] == {"name": "f", "arguments": "{}"}
    stream = write(
        TRANSLATION,
        [delta(tool_calls=[{"index": 0, **call(name="f", arguments="{}")}]), delta(finish="tool_calls")],
        facts,
    )
    assert b'"function_call":{"name":"f","arguments":"{}"}' in stream
    assert b'"finish_reason":"function_call"' in stream


def test_a_request_in_todays_words_is_its_own_chat_form() -> None:
    request = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "unheard_of": 1}
    assert TRANSLATION.request_to_chat(request, exchange()) is request


def test_a_failure_of_the_provider_is_typed() -> None:
    with pytest.raises(ProviderFailed):
        read(TRANSLATION, [sse({"error": {"message": "x", "code": 500}})])


# ------------------------------------------------------------------ requests


def asked(chat: dict[str, Any], **facts: Any) -> tuple[dict[str, Any], list[str]]:
    known = exchange(**facts)
    return dict(TRANSLATION.request_from_chat({"messages": [], **chat}, known)), known.changes


def test_openai_is_sent_its_own_fields_and_no_others() -> None:
    request, changes = asked({"top_k": 3, "max_tokens": 5, "seed": 1, "anthropic": {"x": 1}})
    assert request == {"messages": [], "max_completion_tokens": 5, "seed": 1, "model": "gpt-4o"}
    assert len(changes) == 2


def test_compatible_servers_are_sent_fields_openai_has_not() -> None:
    request, changes = asked({"top_k": 3, "max_tokens": 5}, provider="vllm")
    assert request["top_k"] == 3
    assert not changes


def test_sampling_is_left_out_where_the_model_reasons() -> None:
    request, changes = asked({"temperature": 0.2, "top_p": 1}, model="gpt-6-sol")
    assert "temperature" not in request
    assert "top_p" not in request
    assert len(changes) == 1
    assert asked({"temperature": 0.2, "reasoning_effort": "none"}, model="gpt-6-sol")[0]["temperature"] == 0.2


def test_logprobs_a_reasoning_model_cannot_give_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="logprobs"):
        asked({"logprobs": True}, model="o3")


@pytest.mark.parametrize(
    ("model", "effort", "told"),
    [
        ("gpt-6-sol", "max", "xhigh"),
        ("gpt-6-sol", "minimal", "low"),
        ("o3", "xhigh", "high"),
        ("gpt-5", "minimal", "minimal"),
    ],
)
def test_an_effort_the_model_has_not_becomes_the_nearest(model: str, effort: str, told: str) -> None:
    request, changes = asked({"reasoning_effort": effort}, model=model)
    assert request["reasoning_effort"] == told
    assert bool(changes) == (told != effort)


def test_stop_words_are_a_list_without_empty_ones_and_at_most_four() -> None:
    assert asked({"stop": ["a", "", "b"]})[0]["stop"] == ["a", "b"]
    assert "stop" not in asked({"stop": ""})[0]
    with pytest.raises(InvalidRequest, match="stop"):
        asked({"stop": ["1", "2", "3", "4", "5"]})


def test_a_picture_among_tool_results_follows_in_a_users_message() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    call_it = {"role": "assistant", "tool_calls": [{"id": "a", **call(name="f")}, {"id": "b", **call(name="f")}]}
    results = [
        {"role": "tool", "tool_call_id": "a", "content": [{"type": "text", "text": "see"}, picture]},
        {"role": "tool", "tool_call_id": "b", "content": "3"},
    ]
    messages = asked({"messages": [call_it, *results]})[0]["messages"]
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool", "user"]
    assert messages[1]["content"] == "see"
    assert messages[3]["content"] == [picture]


def test_a_tools_name_openai_would_refuse_is_made_plain_and_known_again() -> None:
    facts = exchange()
    tools = [{"type": "function", "function": {"name": name}} for name in ("a.b", "a b", "a_b")]
    told = TRANSLATION.request_from_chat({"messages": [], "tools": tools}, facts)["tools"]
    names = [tool["function"]["name"] for tool in told]
    assert len(set(names)) == 3
    assert [facts.names.get(name, name) for name in names] == ["a.b", "a b", "a_b"]


def test_a_long_call_id_is_shortened_alike_in_call_and_result() -> None:
    long = "x" * 90
    call_it = {"role": "assistant", "content": None, "tool_calls": [{"id": long, **call(name="f", arguments="")}]}
    messages = asked({"messages": [call_it, {"role": "tool", "tool_call_id": long, "content": ""}]})[0]["messages"]
    assert messages[0]["tool_calls"][0]["id"] == messages[1]["tool_call_id"]
    assert len(messages[1]["tool_call_id"]) <= 40
    assert messages[0]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_result_nobody_asked_for_is_refused_before_it_is_sent() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[0\].tool_call_id"):
        asked({"messages": [{"role": "tool", "tool_call_id": "a", "content": ""}]})


def test_another_vendors_thinking_is_never_sent() -> None:
    blocks = [{"type": "thinking", "thinking": "Hm", "signature": "theirs"}]
    message = {"role": "assistant", "content": "Hi", "thinking_blocks": blocks, "reasoning_content": "Hm"}
    request, changes = asked({"messages": [message]})
    assert request["messages"] == [{"role": "assistant", "content": "Hi"}]
    assert len(changes) == 1
    assert "theirs" not in str(asked({"messages": [message]}, provider="vllm")[0])


def test_deepseek_hears_its_thinking_again_on_turns_that_called_tools() -> None:
    turn = {"role": "assistant", "content": None, "tool_calls": [{"id": "a", **call(name="f")}]}
    thought = {**turn, "reasoning_content": "Hm"}
    assert asked({"messages": [turn]}, provider="deepseek")[0]["messages"][0]["reasoning_content"] == ""
    assert asked({"messages": [thought]}, provider="deepseek")[0]["messages"][0]["reasoning_content"] == "Hm"


def test_two_system_messages_at_the_top_become_one_for_servers_that_refuse_them() -> None:
    messages = [
        {"role": "system", "content": "A"},
        {"role": "system", "content": "B"},
        {"role": "user", "content": "C"},
    ]
    assert asked({"messages": messages}, provider="ollama")[0]["messages"][0] == {"role": "system", "content": "A\n\nB"}
    assert asked({"messages": messages})[0]["messages"] == messages


def test_a_cache_mark_becomes_a_breakpoint_where_the_model_knows_them() -> None:
    part = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "user", "content": [part]}]
    request, changes = asked({"messages": messages}, model="gpt-6-sol")
    assert request["messages"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}
    assert not changes
    request, changes = asked({"messages": messages})
    assert request["messages"][0]["content"] == [{"type": "text", "text": "long"}]
    assert len(changes) == 1


def test_a_file_openai_would_have_to_fetch_is_refused() -> None:
    file = {"type": "file", "file": {"file_url": "https://x/a.pdf"}}
    with pytest.raises(InvalidRequest, match="file_url"):
        asked({"messages": [{"role": "user", "content": [file]}]})


@pytest.mark.parametrize("policy", ["warn", "drop", "reject"])
def test_what_is_left_out_is_told_dropped_or_refused_as_configured(policy: Any) -> None:
    if policy == "reject":
        with pytest.raises(InvalidRequest, match="top_k"):
            asked({"top_k": 1}, on_unsupported=policy)
    else:
        assert bool(asked({"top_k": 1}, on_unsupported=policy)[1]) == (policy == "warn")


@pytest.mark.parametrize("each", [each for each in ANSWERS if each.request], ids=str)
def test_a_recorded_request_means_the_same_afterwards(each: Exchange) -> None:
    facts = exchange(model=each.request["model"])
    chat = TRANSLATION.request_to_chat(each.request, facts)
    assert TRANSLATION.request_from_chat(chat, facts) == each.request


@pytest.mark.parametrize("provider", ["openai", "deepseek"])
def test_a_choice_among_some_tools_is_understood_by_every_server(provider: str) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": {"type": "object"}}} for name in "fgh"]
    some = [{"type": "function", "function": {"name": name}} for name in "fh"]
    choice = {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": some}}
    asked = {"messages": [{"role": "user", "content": "hi"}], "tools": tools, "tool_choice": choice}
    sent = TRANSLATION.request_from_chat(asked, exchange(provider=provider))
    names = [tool["function"]["name"] for tool in sent["tools"]]
    own = provider == "openai"
    assert (names, sent["tool_choice"]) == ((["f", "g", "h"], choice) if own else (["f", "h"], "required"))
