"""Chat requests as Bedrock's Converse takes them: the nasty histories, each family's moods, nothing lost in silence."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from llm_edge.errors import InvalidRequest
from llm_edge.providers.translation.converse import TRANSLATION
from llm_edge.providers.translation.core import Exchange

from ..exchanges import CASES
from .converse_kit import CLAUDE, NOVA, PNG, REQUESTS, accepted, exchange, model_of

LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
NOVA_2 = "global.amazon.nova-2-lite-v1:0"
ADAPTIVE = {"type": "adaptive", "display": "summarized"}
GUARDED = {"guardContent": {"text": {"text": "x"}}}
MISTRAL = "mistral.mistral-large-3-675b-instruct"
PDF = base64.b64encode(b"%PDF-1.7 x").decode()


def told(model: str = CLAUDE, into: Exchange | None = None, **chat: Any) -> dict[str, Any]:
    """The request for Bedrock, which botocore would send."""
    chat.setdefault("messages", [user("hi")])
    body = dict(TRANSLATION.request_from_chat(chat, into or exchange(model)))
    accepted(body, model)
    return body


def refused(model: str = CLAUDE, **chat: Any) -> str:
    chat.setdefault("messages", [user("hi")])
    with pytest.raises(InvalidRequest) as raised:
        TRANSLATION.request_from_chat(chat, exchange(model))
    return raised.value.message


def changes(model: str = CLAUDE, **chat: Any) -> str:
    into = exchange(model)
    told(model, into, **chat)
    return "\n".join(into.changes)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def calling(*ids: str, name: str = "w", arguments: Any = '{"city":"Oslo"}', **more: Any) -> dict[str, Any]:
    calls = [{"id": each, "type": "function", "function": {"name": name, "arguments": arguments}} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(identity: str, content: Any = "3 C", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content, **more}


def tool(name: str = "w", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def image(url: str = f"data:image/png;base64,{PNG}", **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def kinds(turn: dict[str, Any]) -> list[str]:
    return [next(iter(block)) for block in turn["content"]]


@pytest.mark.parametrize("file", REQUESTS, ids=lambda file: file.name.split(".")[0])
def test_a_recorded_request_comes_back_from_the_chat_form_as_it_was(file: Path) -> None:
    given, model = json.loads(file.read_bytes()), model_of(file)
    accepted(given, model)
    there, back = exchange(model), exchange(model)
    again = dict(TRANSLATION.request_from_chat(TRANSLATION.request_to_chat(given, there), back))
    given = {name: value for name, value in given.items() if value not in ([], {})}
    if file.name.startswith("converse_stream_guardrail"):  # turns alternate
        first, second = given["messages"]
        given["messages"] = [{**first, "content": first["content"] + second["content"]}]
    assert again == given
    assert there.changes == back.changes == []


def test_the_sample_exchange_is_told_as_bedrock_would() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    body = told(
        messages=[
            {"role": "system", "content": "Be brief."},
            user([text("Weather?"), image()]),
            calling("call_1"),
            result("call_1"),
        ],
        tools=[tool(parameters=schema)],
        max_completion_tokens=200,
        stop="END",
        stream=True,
        stream_options={"include_usage": True},
    )
    use = {"toolUseId": "call_1", "name": "w", "input": {"city": "Oslo"}}
    answer = {"toolUseId": "call_1", "content": [{"text": "3 C"}], "status": "success"}
    assert body == {
        "system": [{"text": "Be brief."}],
        "inferenceConfig": {"maxTokens": 200, "stopSequences": ["END"]},
        "messages": [
            user([{"text": "Weather?"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]),
            {"role": "assistant", "content": [{"toolUse": use}]},
            user([{"toolResult": answer}]),
        ],
        "toolConfig": {"tools": [{"toolSpec": {"name": "w", "inputSchema": {"json": schema}}}]},
    }


# ------------------------------------------------------------------ WIRE's nasty histories


@pytest.mark.parametrize("content", [None, "", "  "])
def test_01_a_turn_of_calls_alone_has_no_empty_text(content: Any) -> None:
    body = told(messages=[user("hi"), {**calling("a"), "content": content}, result("a")], tools=[tool()])
    assert kinds(body["messages"][1]) == ["toolUse"]


def test_02_an_empty_user_message_gets_a_placeholder_unless_there_are_other_words() -> None:
    assert told(messages=[user("")])["messages"] == [user([{"text": "."}])]
    assert told(messages=[user([text(" "), text("hi")])])["messages"] == [user([{"text": "hi"}])]
    assert "without a word" in changes(messages=[user("")])


def test_03_messages_of_one_role_in_a_row_become_one() -> None:
    body = told(messages=[user("a"), user("b"), {"role": "assistant", "content": "c"}] * 2 + [user("d")])
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant"] * 2 + ["user"]
    twice = [user("a"), {"role": "assistant", "content": "b"}, {"role": "assistant", "content": "c"}, user("d")]
    assert told(messages=twice)["messages"][1]["content"] == [{"text": "b"}, {"text": "c"}]


def test_04_results_of_parallel_calls_come_together_in_the_order_of_the_calls() -> None:
    body = told(messages=[user("hi"), calling("a", "b"), result("b"), result("a"), user("and?")], tools=[tool()])
    last = body["messages"][2]["content"]
    assert [block["toolResult"]["toolUseId"] for block in last[:2]] == ["a", "b"]
    assert last[2] == {"text": "and?"}


def test_04_a_missing_result_is_told_as_one_that_failed() -> None:
    history = [user("hi"), calling("a", "b"), result("a"), user("go on")]
    last = told(messages=history, tools=[tool()])["messages"][2]["content"]
    assert last[1]["toolResult"]["status"] == "error"
    assert "'b'" in changes(messages=history, tools=[tool()])


def test_05_a_result_for_an_unknown_call_or_a_second_one_is_refused() -> None:
    assert "messages[2].tool_call_id" in refused(messages=[user("hi"), calling("a"), result("z")], tools=[tool()])
    assert "a result already" in refused(messages=[user("hi"), calling("a"), result("a"), result("a")])


def test_06_a_history_that_begins_with_the_assistant_gets_a_user_first_where_the_family_wants_it() -> None:
    history = [{"role": "assistant", "content": "Hello"}, user("hi")]
    assert [turn["role"] for turn in told(NOVA, messages=history)["messages"]] == ["user", "assistant", "user"]
    assert [turn["role"] for turn in told(CLAUDE, messages=history)["messages"]] == ["assistant", "user"]


def test_07_a_prefill_is_trimmed_where_it_works_and_refused_where_it_does_not() -> None:
    history = [user("hi"), {"role": "assistant", "content": "Well, \n"}]
    assert told(messages=history)["messages"][1]["content"] == [{"text": "Well,"}]
    for model in ("us.anthropic.claude-opus-4-6-v1", NOVA):
        assert "end with a user message" in refused(model, messages=history)


def test_08_a_system_message_in_the_middle_stays_there() -> None:
    history = [user("a"), {"role": "system", "content": "Rhyme."}, {"role": "assistant", "content": "b"}, user("c")]
    knows = told("us.anthropic.claude-opus-5", messages=history)
    assert [turn["role"] for turn in knows["messages"]] == ["user", "system", "assistant", "user"]
    first = told(NOVA, messages=history)["messages"][0]
    assert first == user([{"text": "a"}, {"text": "<system>Rhyme.</system>"}])


def test_08_system_messages_in_a_row_are_one_turn() -> None:
    history = [user("a"), {"role": "system", "content": "x"}, {"role": "developer", "content": "y"}]
    turns = told("us.anthropic.claude-opus-5", messages=[*history, user("b")])["messages"]
    assert turns[1] == {"role": "system", "content": [{"text": "x"}, {"text": "y"}]}


def test_09_system_messages_alone_get_a_user() -> None:
    body = told(messages=[{"role": "system", "content": "Be brief."}])
    assert body["messages"] == [user([{"text": "."}])]


def test_10_calls_in_the_history_without_tools_get_their_names_described() -> None:
    history = [user("hi"), calling("a"), result("a")]
    body = told(messages=history)
    empty = {"json": {"type": "object", "properties": {}}}
    assert body["toolConfig"]["tools"] == [{"toolSpec": {"name": "w", "inputSchema": empty}}]
    assert "Bedrock cannot be told" in changes(messages=history, tools=[tool()], tool_choice="none")
    assert "toolConfig" not in told(tools=[tool()], tool_choice="none")


def test_11_ids_used_twice_are_told_apart_and_odd_ones_fitted() -> None:
    history = [user("a"), calling("functions.f:0"), result("functions.f:0")] * 2
    into = exchange()
    turns = told(into=into, messages=history, tools=[tool()])["messages"]
    ids = [block["toolUse"]["toolUseId"] for turn in turns for block in turn["content"] if "toolUse" in block]
    assert ids == ["functions.f:0", "functions.f:0_2"]
    assert into.ids["functions.f:0_2"] == "functions.f:0"
    odd = told(messages=[user("a"), calling("x y/" * 30), result("x y/" * 30)], tools=[tool()])["messages"][1]
    assert len(odd["content"][0]["toolUse"]["toolUseId"]) == 64
    assert "two calls" in refused(messages=[user("a"), calling("a", "a")])


def test_13_a_result_with_a_picture_keeps_it() -> None:
    history = [user("hi"), calling("a"), result("a", [text("look"), image()])]
    inner = told(messages=history, tools=[tool()])["messages"][2]["content"][0]["toolResult"]
    assert [next(iter(block)) for block in inner["content"]] == ["text", "image"]


@pytest.mark.parametrize(
    ("arguments", "means"), [("", {}), ("null", {}), (None, {}), ('{"a":1}', {"a": 1}), ("[1]", {"arguments": [1]})]
)
def test_14_arguments_become_an_object_whatever_they_were(arguments: Any, means: Any) -> None:
    history = [user("hi"), calling("a", arguments=arguments), result("a")]
    use = told(messages=history, tools=[tool()])["messages"][1]["content"][0]["toolUse"]
    assert use["input"] == means


def test_15_a_tool_without_parameters_or_description_is_whole_all_the_same() -> None:
    (one,) = told(tools=[tool(description=" ")])["toolConfig"]["tools"]
    assert one == {"toolSpec": {"name": "w", "inputSchema": {"json": {"type": "object", "properties": {}}}}}


def test_17_bounds_of_a_strict_schema_are_said_in_words() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}}
    (one,) = told(tools=[tool(parameters=schema, strict=True)])["toolConfig"]["tools"]
    told_schema = one["toolSpec"]["inputSchema"]["json"]
    assert "minimum: 3" in told_schema["properties"]["n"]["description"]
    assert one["toolSpec"]["strict"] is True


def test_20_a_budget_of_thinking_is_left_out_where_a_call_is_demanded() -> None:
    body = told(tools=[tool()], tool_choice="required", reasoning_effort="high", max_tokens=30000)
    assert "additionalModelRequestFields" not in body
    assert body["toolConfig"]["toolChoice"] == {"any": {}}


def test_21_only_the_vendors_own_thinking_goes_back() -> None:
    own = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
    hidden = {"type": "redacted_thinking", "data": "EmwKAhgB"}
    foreign = {"type": "thinking", "thinking": "Hm.", "signature": "llm_edge:gemini:c2ln"}
    said = {"role": "assistant", "content": "a", "reasoning_content": "Hm.", "thinking_blocks": [own, hidden, foreign]}
    body = told(messages=[user("hi"), said, user("b")])
    assert body["messages"][1]["content"] == [
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}},
        {"reasoningContent": {"redactedContent": base64.b64encode(b"EmwKAhgB").decode()}},
        {"text": "a"},
    ]
    assert kinds(told(NOVA, messages=[user("hi"), said, user("b")])["messages"][1]) == ["text"]
    assert "signed itself" in changes(NOVA, messages=[user("hi"), said, user("b")])


def test_22_a_budget_keeps_within_max_tokens() -> None:
    own = told(reasoning_effort="high", max_tokens=5000)["additionalModelRequestFields"]
    assert own["thinking"] == {"type": "enabled", "budget_tokens": 2500}


def test_28_several_answers_are_refused() -> None:
    assert "ask several times" in refused(n=2)
    assert changes(n=1) == ""


@pytest.mark.parametrize(
    ("stop", "told_as"), [("END", ["END"]), (["a", "b"], ["a", "b"]), ("", None), (["", "c"], ["c"]), ([], None)]
)
def test_29_stop_sequences_become_a_list_without_empty_ones(stop: Any, told_as: Any) -> None:
    assert told(stop=stop).get("inferenceConfig", {}).get("stopSequences") == told_as


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (image("https://example.com/a.png"), "data URL"),
        (image("data:image/tiff;base64,AAAA"), "JPEG, PNG, GIF and WebP"),
        (image("data:image/png;base64,%%%"), "does not hold base64"),
        ({"type": "file", "file": {"file_id": "file-1"}}, "stores no files"),
        ({"type": "file", "file": {"file_data": "data:application/x-tar;base64,AAAA"}}, "takes PDF, CSV"),
        ({"type": "video_url", "video_url": {"url": "data:video/ogg;base64,AAAA"}}, "takes no video"),
        ({"type": "hologram"}, "takes no content of type 'hologram'"),
    ],
)
def test_30_what_bedrock_cannot_take_is_refused_by_name(part: dict[str, Any], says: str) -> None:
    message = refused(messages=[user([part])])
    assert says in message
    assert "messages[0].content[0]" in message


def test_30_a_wrongly_declared_picture_goes_as_what_it_is() -> None:
    body = told(messages=[user([text("x"), image(f"data:image/jpg;charset=x;base64,{PNG}")])])
    assert body["messages"][0]["content"][1]["image"]["format"] == "png"


def test_38_a_tools_odd_name_is_fitted_and_found_again() -> None:
    into = exchange()
    body = told(into=into, tools=[tool("a.b"), tool("a_b"), tool("x" * 80)])
    names = [each["toolSpec"]["name"] for each in body["toolConfig"]["tools"]]
    assert names == ["a_b", "a_b_2", "x" * 64]
    assert [into.names[name] for name in names] == ["a.b", "a_b", "x" * 80]


# ------------------------------------------------------------------ content


def test_documents_get_names_of_their_own_and_a_word_beside_them() -> None:
    file = {"type": "file", "file": {"filename": "the_plan v1.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}
    content = told(messages=[user([file, file])])["messages"][0]["content"]
    assert [block["document"]["name"] for block in content[:2]] == ["the plan v1", "the plan v1 2"]
    assert content[2] == {"text": "."}


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (image("s3://bucket/a.jpg"), {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}}),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}},
            {"video": {"format": "mp4", "source": {"bytes": "AAAA"}}},
        ),
        (
            {"type": "video_url", "video_url": {"url": "s3://b/v.3gp"}},
            {"video": {"format": "three_gp", "source": {"s3Location": {"uri": "s3://b/v.3gp"}}}},
        ),
        (
            {"type": "file", "file": {"filename": "x", "file_data": f"data:image/png;base64,{PNG}"}},
            {"image": {"format": "png", "source": {"bytes": PNG}}},
        ),
        (
            {"type": "file", "file": {"filename": "n.csv", "file_url": "s3://b/n.csv"}},
            {"document": {"format": "csv", "name": "n", "source": {"s3Location": {"uri": "s3://b/n.csv"}}}},
        ),
        ({"type": "text", "text": "", "bedrock": GUARDED}, GUARDED),
    ],
)  # fmt: skip
def test_a_part_becomes_a_block(part: dict[str, Any], block: dict[str, Any]) -> None:
    assert block in told("amazon.nova-pro-v1:0", messages=[user([text("look"), part])])["messages"][0]["content"]


def test_claude_hears_nothing() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    assert "hears nothing" in refused(messages=[user([sound])])


def test_parts_and_messages_tell_what_they_lose() -> None:
    said = changes(messages=[{**user([text("a", odd=1), image(detail="high")]), "name": "kari"}])
    assert "content[0].odd" in said
    assert "image_url.detail" in said
    assert "messages[0].name" in said


def test_a_message_that_is_none_is_refused() -> None:
    assert "'robot' is not known" in refused(messages=[{"role": "robot", "content": "x"}])
    assert "only hold text" in refused(messages=[{"role": "system", "content": [image()]}, user("x")])
    assert "not a list of objects" in refused(messages=[user([3])])
    assert "custom tools" in refused(messages=[user("x"), {"role": "assistant", "tool_calls": [{"type": "custom"}]}])
    assert "function_call" in refused(messages=[user("x"), {"role": "assistant", "function_call": {"name": "f"}}])


def test_a_refusal_is_what_the_assistant_said() -> None:
    history = [user("x"), {"role": "assistant", "content": None, "refusal": "No."}, user("y")]
    assert told(messages=history)["messages"][1]["content"] == [{"text": "No."}]


# ------------------------------------------------------------------ cache points


def test_marks_become_points_behind_what_they_mark() -> None:
    mark = {"type": "ephemeral"}
    body = told(
        messages=[
            {"role": "system", "content": [text("s", cache_control={"type": "ephemeral", "ttl": "1h"})]},
            user([text("a", cache_control=mark), text("b")]),
            calling("x"),
            result("x", cache_control=mark),
            {**user("c"), "cache_control": mark},
        ],
        tools=[{**tool(), "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
    )
    point = {"cachePoint": {"type": "default"}}
    hour = {"cachePoint": {"type": "default", "ttl": "1h"}}
    assert body["system"] == [{"text": "s"}, hour]
    assert len(body["toolConfig"]["tools"]) == 1  # five points are one too many: the first goes
    assert body["messages"][0]["content"] == [{"text": "a"}, point, {"text": "b"}]
    assert body["messages"][2]["content"][1] == point
    assert body["messages"][2]["content"][3] == point


def test_an_hour_behind_five_minutes_is_five_minutes_too() -> None:
    hour = {"type": "ephemeral", "ttl": "1h"}
    content = [text("a", cache_control={"type": "ephemeral"}), text("b", cache_control=hour)]
    assert "hour" in changes(messages=[user(content)])
    point = {"cachePoint": {"type": "default"}}
    assert told(messages=[user(content)])["messages"][0]["content"] == [{"text": "a"}, point, {"text": "b"}, point]


def test_a_family_without_a_prompt_cache_loses_the_mark_and_says_so() -> None:
    marked = [user([text("a", cache_control={"type": "ephemeral"})])]
    assert "no prompt cache" in changes(LLAMA, messages=marked)
    assert told(LLAMA, messages=marked)["messages"] == [user([{"text": "a"}])]


# ------------------------------------------------------------------ families


def test_llama_gets_tool_results_apart_from_words() -> None:
    history = [user("hi"), calling("a"), result("a"), user("and?")]
    turns = told(LLAMA, messages=history, tools=[tool()])["messages"]
    assert [kinds(turn) for turn in turns[2:]] == [["toolResult"], ["text"], ["text"]]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]


def test_mistral_gets_results_that_are_objects_as_objects() -> None:
    history = [user("hi"), calling("a", "b", "c"), result("a", '{"t":3}'), result("b", "{no"), result("c", "3 C")]
    last = told(MISTRAL, messages=history, tools=[tool()])["messages"][2]["content"]
    assert [block["toolResult"]["content"] for block in last] == [
        [{"json": {"t": 3}}],
        [{"text": "{no"}],
        [{"text": "3 C"}],
    ]


def test_writer_is_not_told_how_a_call_went() -> None:
    history = [user("hi"), calling("a"), result("a", "", is_error=True)]
    last = told("writer.palmyra-x5-v1:0", messages=history, tools=[tool()])["messages"][2]["content"]
    assert last == [{"toolResult": {"toolUseId": "a", "content": [{"text": "."}]}}]


@pytest.mark.parametrize(
    ("model", "choice", "told_as"),
    [
        (CLAUDE, "required", {"any": {}}),
        (CLAUDE, "auto", {"auto": {}}),
        (CLAUDE, {"type": "function", "function": {"name": "w"}}, {"tool": {"name": "w"}}),
        (MISTRAL, "required", {"any": {}}),
        (LLAMA, "auto", {"auto": {}}),
    ],
)
def test_a_choice_of_tools_is_told(model: str, choice: Any, told_as: Any) -> None:
    assert told(model, tools=[tool()], tool_choice=choice)["toolConfig"]["toolChoice"] == told_as


@pytest.mark.parametrize(
    ("model", "choice", "says"),
    [
        (LLAMA, "required", "cannot be made to call a tool"),
        (MISTRAL, {"type": "function", "function": {"name": "w"}}, "cannot be made to call a tool"),
        (CLAUDE, "sometimes", "'sometimes' is not known"),
        (CLAUDE, {"type": "custom"}, "only a function can be named"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(model: str, choice: Any, says: str) -> None:
    assert says in refused(model, tools=[tool()], tool_choice=choice)
    assert "there are no tools" in refused(model, tool_choice="required")


def test_only_the_tools_that_are_allowed_are_told() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "b"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    config = told(tools=[tool("a"), tool("b")], tool_choice=choice)["toolConfig"]
    assert [each["toolSpec"]["name"] for each in config["tools"]] == ["b"]
    assert config["toolChoice"] == {"any": {}}


def test_claude_alone_can_be_told_to_call_one_tool_at_a_time() -> None:
    own = told(tools=[tool()], parallel_tool_calls=False)["additionalModelRequestFields"]
    assert own == {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}
    own = told(tools=[tool()], parallel_tool_calls=False, tool_choice="required")["additionalModelRequestFields"]
    assert own == {"tool_choice": {"disable_parallel_tool_use": True}}
    assert "parallel_tool_calls" in changes(NOVA, tools=[tool()], parallel_tool_calls=False)


def test_tools_of_other_kinds() -> None:
    grounding = {"type": "function", "bedrock": {"systemTool": {"name": "nova_grounding"}}}
    assert told(NOVA, tools=[grounding])["toolConfig"]["tools"] == [{"systemTool": {"name": "nova_grounding"}}]
    assert "no tools of type 'custom'" in refused(tools=[{"type": "custom", "custom": {"name": "x"}}])
    assert "tools[0].odd" in changes(tools=[{**tool(), "odd": 1}])


@pytest.mark.parametrize(
    ("model", "word", "own"),
    [
        ("us.anthropic.claude-opus-4-7", "high", {"thinking": ADAPTIVE, "output_config": {"effort": "high"}}),
        (CLAUDE, "none", {"thinking": {"type": "disabled"}}),
        (CLAUDE, "low", {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ("openai.gpt-oss-120b-1:0", "minimal", {"reasoning_effort": "low"}),
        ("deepseek.v3.2", "high", {"reasoning_effort": "high"}),
        ("global.openai.gpt-6-astra", "medium", {"reasoning": {"effort": "medium"}}),
        (NOVA_2, "xhigh", {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "high"}}),
        (NOVA_2, "none", {"reasoningConfig": {"type": "disabled"}}),
    ],
)  # fmt: skip
def test_how_much_to_think_is_told_in_the_familys_words(model: str, word: str, own: dict[str, Any]) -> None:
    assert told(model, reasoning_effort=word)["additionalModelRequestFields"] == own


@pytest.mark.parametrize("model", [NOVA, LLAMA])
def test_thinking_nobody_can_ask_for_is_lost_and_said(model: str) -> None:
    assert "reasoning_effort" in changes(model, reasoning_effort="high")
    assert changes(model, reasoning_effort="none") == ""
    assert "thinking" in changes(model, thinking={"type": "enabled", "budget_tokens": 2000})


def test_a_word_for_thinking_that_is_none_is_refused() -> None:
    assert "'lots' is not one of" in refused("openai.gpt-oss-120b-1:0", reasoning_effort="lots")


def test_claude_thinks_without_sampling() -> None:
    said = changes(reasoning_effort="low", temperature=0.5, top_p=0.5, top_k=5)
    body = told(reasoning_effort="low", temperature=0.5, top_p=0.5, top_k=5)
    assert body["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2048}}
    assert "inferenceConfig" not in body or body["inferenceConfig"] == {}
    assert all(name in said for name in ("temperature", "topP", "top_k"))


def test_thinking_stops_where_calls_came_without_it() -> None:
    history = [user("hi"), calling("a"), result("a")]
    assert "additionalModelRequestFields" not in told(messages=history, tools=[tool()], reasoning_effort="low")


# ------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("chat", "body"),
    [
        ({"temperature": 0.3, "top_p": 0.9}, {"inferenceConfig": {"temperature": 0.3, "topP": 0.9}}),
        ({"temperature": 1.7}, {"inferenceConfig": {"temperature": 1}}),
        ({"max_tokens": 10}, {"inferenceConfig": {"maxTokens": 10}}),
        ({"max_tokens": 10**7}, {"inferenceConfig": {"maxTokens": 64000}}),
        ({"top_k": 5}, {"additionalModelRequestFields": {"top_k": 5}}),
        ({"service_tier": "auto"}, {"serviceTier": {"type": "default"}}),
        ({"service_tier": "flex"}, {"serviceTier": {"type": "flex"}}),
        ({"metadata": {"team": "search"}}, {"requestMetadata": {"team": "search"}}),
        ({"performanceConfig": {"latency": "optimized"}}, {"performanceConfig": {"latency": "optimized"}}),
        ({"bedrock": {"performanceConfig": {"latency": "optimized"}}}, {"performanceConfig": {"latency": "optimized"}}),
        ({"bedrock": {"additionalModelRequestFields": {"x": 1}}}, {"additionalModelRequestFields": {"x": 1}}),
        ({"metadata": {"a": "1"}, "requestMetadata": {"b": "2"}}, {"requestMetadata": {"a": "1", "b": "2"}}),
        ({"response_format": {"type": "text"}}, {}),
        ({"logprobs": False, "frequency_penalty": 0, "logit_bias": {}, "seed": None}, {}),
    ],
)
def test_a_setting_is_told(chat: dict[str, Any], body: dict[str, Any]) -> None:
    assert {name: value for name, value in told(**chat).items() if name != "messages"} == body


def test_nova_has_its_own_place_for_top_k() -> None:
    assert told(NOVA, top_k=5)["additionalModelRequestFields"] == {"inferenceConfig": {"topK": 5}}
    assert "top_k" in changes(LLAMA, top_k=5)


@pytest.mark.parametrize(
    "chat",
    [
        {"seed": 1},
        {"user": "u"},
        {"service_tier": "turbo"},
        {"metadata": {"k": "é" * 3}},
        {"metadata": {f"k{n}": "v" for n in range(20)}},
        {"presence_penalty": 1},
        {"bedrock": {"odd": 1}},
        {"anthropic": {"container": "c"}},
        {"stop": " "},
    ],
)
def test_a_setting_bedrock_has_not_is_lost_and_said_or_refused(chat: dict[str, Any]) -> None:
    name = next(iter(chat))
    assert name in changes(**chat)
    with pytest.raises(InvalidRequest, match=name):
        TRANSLATION.request_from_chat({"messages": [user("x")], **chat}, exchange(on_unsupported="reject"))
    quiet = exchange(on_unsupported="drop")
    told(into=quiet, **chat)
    assert quiet.changes == []


@pytest.mark.parametrize(
    ("chat", "says"),
    [
        ({"logprobs": True}, "no probabilities"),
        ({"modalities": ["text", "audio"]}, "text alone"),
        ({"functions": [{"name": "f"}]}, "deprecated"),
        ({"web_search_options": {}}, "no web search"),
        ({"response_format": {"type": "grammar"}}, "'grammar' is not known"),
        ({"max_tokens": "many"}, "'many' is not a number"),
        ({"max_tokens": 0}, "0 is not a number"),
        ({"stop": 3}, "neither a string nor a list"),
    ],
)
def test_what_would_change_the_answers_meaning_is_refused(chat: dict[str, Any], says: str) -> None:
    assert says in refused(**chat)


def test_models_that_take_no_temperature_are_not_sent_one() -> None:
    model = "us.anthropic.claude-opus-4-7"
    assert "inferenceConfig" not in told(model, temperature=0.2, top_p=1)
    assert "temperature" in changes(model, temperature=0.2)
    assert "top_k" in changes(model, top_k=3)


def test_a_schema_travels_as_a_string() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 3}}}
    form = {"type": "json_schema", "json_schema": {"name": "A", "description": "d", "schema": schema, "strict": True}}
    inner = told(response_format=form)["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert (inner["name"], inner["description"]) == ("A", "d")
    assert json.loads(inner["schema"])["additionalProperties"] is False
    assert "maxLength" in changes(response_format=form)
    assert "cannot be held to a schema" in refused("us.anthropic.claude-sonnet-4-20250514-v1:0", response_format=form)


def test_plain_json_is_asked_for_in_words() -> None:
    body = told(response_format={"type": "json_object"})
    assert body["system"] == [{"text": "Answer with one JSON object and nothing else."}]


def test_the_case_on_file_is_translated_as_written() -> None:
    case = json.loads((CASES / "bedrock" / "chat_agent.translated.json").read_bytes())
    into = Exchange(model=case["model"], provider=case["provider"], request_id="r1")
    assert TRANSLATION.request_from_chat(case["given"], into) == case["expected"]
    assert into.changes == case["changes"]
