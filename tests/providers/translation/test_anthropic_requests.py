"""Chat requests as Anthropic takes them: the nasty histories, the models' moods, nothing lost in silence."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from anthropic.types import MessageCreateParams
from pydantic import TypeAdapter

from llm_edge.errors import InvalidRequest
from llm_edge.providers.translation.anthropic import TRANSLATION
from llm_edge.providers.translation.core import Exchange, OnUnsupported

MODEL = "claude-haiku-4-5"
OFFICIAL: TypeAdapter[Any] = TypeAdapter(MessageCreateParams)
PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(20)).decode()


def exchange(model: str = MODEL, on_unsupported: OnUnsupported = "warn") -> Exchange:
    return Exchange(model=model, provider="anthropic", request_id="r1", on_unsupported=on_unsupported)


def told(model: str = MODEL, into: Exchange | None = None, **chat: Any) -> dict[str, Any]:
    """The request for Anthropic, which its own SDK's types accept."""
    chat.setdefault("messages", [user("hi")])
    body = dict(TRANSLATION.request_from_chat(chat, into or exchange(model)))
    OFFICIAL.validate_python(body)
    return body


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def calling(*ids: str, name: str = "w", arguments: Any = '{"city":"Oslo"}', **more: Any) -> dict[str, Any]:
    calls = [{"id": each, "type": "function", "function": {"name": name, "arguments": arguments}} for each in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls, **more}


def result(identity: str, content: Any = "3 C", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content, **more}


def tool(name: str = "w", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


def test_the_sample_exchange_is_told_as_anthropic_would() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    body = told(
        "claude-sonnet-5-5",
        messages=[
            {"role": "system", "content": "Be brief."},
            user(
                [
                    {"type": "text", "text": "Weather?"},
                    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
                ]
            ),
            calling("call_1"),
            result("call_1"),
        ],
        tools=[tool(parameters=schema)],
        max_completion_tokens=200,
        stop="END",
        stream=True,
        stream_options={"include_usage": True},
    )
    assert body == {
        "model": "claude-sonnet-5-5",
        "max_tokens": 200,
        "system": [{"type": "text", "text": "Be brief."}],
        "stop_sequences": ["END"],
        "stream": True,
        "messages": [
            user(
                [
                    {"type": "text", "text": "Weather?"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                ]
            ),
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": "call_1", "name": "w", "input": {"city": "Oslo"}}],
            },
            user([{"type": "tool_result", "tool_use_id": "call_1", "content": "3 C"}]),
        ],
        "tools": [{"name": "w", "input_schema": schema}],
    }


# ------------------------------------------------------------------ WIRE's nasty histories


@pytest.mark.parametrize("content", [None, ""])
def test_01_a_turn_of_calls_alone_has_no_empty_text(content: Any) -> None:
    body = told(messages=[user("hi"), {**calling("a"), "content": content}, result("a")], tools=[tool()])
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]


def test_02_an_empty_user_message_gets_a_placeholder_unless_there_are_other_words() -> None:
    assert told(messages=[user("")])["messages"] == [user([{"type": "text", "text": "."}])]
    with_words = told(messages=[user([{"type": "text", "text": " "}, {"type": "text", "text": "hi"}])])
    assert with_words["messages"] == [user([{"type": "text", "text": "hi"}])]


def test_03_user_messages_in_a_row_become_one() -> None:
    assert told(messages=[user("a"), user("b")])["messages"] == [
        user([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}])
    ]


def test_04_results_of_parallel_calls_come_together_in_the_order_of_the_calls() -> None:
    body = told(messages=[user("hi"), calling("a", "b"), result("b"), result("a"), user("and?")], tools=[tool()])
    last = body["messages"][2]["content"]
    assert [block.get("tool_use_id", block["type"]) for block in last] == ["a", "b", "text"]
    assert len(body["messages"]) == 3


def test_04_a_missing_result_is_told_as_one_that_failed() -> None:
    into = exchange()
    body = told(into=into, messages=[user("hi"), calling("a", "b"), result("a"), user("go on")], tools=[tool()])
    assert body["messages"][2]["content"][1]["is_error"] is True
    assert any("'b'" in change for change in into.changes)


def test_05_a_result_for_an_unknown_call_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[2\]\.tool_call_id"):
        told(messages=[user("hi"), calling("a"), result("z")], tools=[tool()])


def test_06_a_history_that_begins_with_the_assistant_gets_a_user_first() -> None:
    body = told(messages=[{"role": "assistant", "content": "Hello"}, user("hi")])
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]


def test_07_a_prefill_is_trimmed_where_it_works_and_refused_where_it_does_not() -> None:
    messages = [user("hi"), {"role": "assistant", "content": "Well, \n"}]
    assert told("claude-opus-4-5", messages=messages)["messages"][1]["content"][0]["text"] == "Well,"
    with pytest.raises(InvalidRequest, match="end with a user message"):
        told("claude-opus-4-6", messages=messages)


def test_08_a_system_message_in_the_middle_stays_there() -> None:
    messages = [user("a"), {"role": "system", "content": "Rhyme."}, {"role": "assistant", "content": "b"}, user("c")]
    knows = told("claude-opus-5", messages=messages)
    assert [turn["role"] for turn in knows["messages"]] == ["user", "system", "assistant", "user"]
    assert "system" not in knows
    knows_not = told("claude-sonnet-5", messages=messages)
    assert knows_not["messages"][0]["content"][1]["text"] == "<system>Rhyme.</system>"


def test_08_a_system_message_never_stands_between_a_call_and_its_result() -> None:
    messages = [user("a"), calling("x"), {"role": "system", "content": "Rhyme."}, result("x"), user("go")]
    body = told("claude-opus-5", messages=messages, tools=[tool()])
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user", "system", "user"]
    assert body["messages"][2]["content"][0]["type"] == "tool_result"


def test_09_system_messages_alone_get_a_user() -> None:
    body = told(messages=[{"role": "developer", "content": "Be brief."}])
    assert body["system"] == [{"type": "text", "text": "Be brief."}]
    assert body["messages"] == [user([{"type": "text", "text": "."}])]


def test_10_a_history_of_calls_without_tools_gets_them_described_and_none_called() -> None:
    body = told(messages=[user("hi"), calling("a"), result("a"), user("so?")])
    assert body["tools"] == [{"name": "w", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}


def test_11_ids_used_again_are_made_different() -> None:
    into = exchange()
    turn = [calling("functions.f:0"), result("functions.f:0")]
    body = told(into=into, messages=[user("hi"), *turn, user("again"), *turn], tools=[tool()])
    uses = [b["id"] for t in body["messages"] for b in t["content"] if b["type"] == "tool_use"]
    answers = [b["tool_use_id"] for t in body["messages"] for b in t["content"] if b["type"] == "tool_result"]
    assert uses == answers == ["functions_f_0", "functions_f_0_2"]
    assert set(into.ids.values()) == {"functions.f:0"}


def test_13_a_picture_in_a_result_stays_in_the_result() -> None:
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    body = told(messages=[user("hi"), calling("a"), result("a", [picture])], tools=[tool()])
    assert body["messages"][2]["content"][0]["content"][0]["type"] == "image"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [("", {}), (None, {}), ("null", {}), ("{bad", {"arguments": "{bad"}), ("[1]", {"arguments": [1]})],
)
def test_14_arguments_of_any_kind_become_an_object(arguments: Any, expected: Any) -> None:
    body = told(messages=[user("hi"), calling("a", arguments=arguments), result("a")], tools=[tool()])
    assert body["messages"][1]["content"][0]["input"] == expected


def test_15_a_tool_without_parameters_has_an_empty_object() -> None:
    assert told(tools=[tool()])["tools"][0]["input_schema"] == {"type": "object", "properties": {}}


def test_17_what_a_schema_may_not_say_is_said_in_words() -> None:
    into = exchange()
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "description": "how many"},
            "k": {"oneOf": [{"type": "string", "minLength": 2}]},
        },
    }
    body = told(into=into, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})
    fitted = body["output_config"]["format"]["schema"]
    assert fitted == {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "description": "how many\n\n{minimum: 1}"},
            "k": {"anyOf": [{"type": "string", "description": "{minLength: 2}"}]},
        },
        "additionalProperties": False,
    }
    assert any("minimum" in change for change in into.changes)


def test_20_a_demanded_call_switches_a_thinking_budget_off_and_is_refused_by_those_who_refuse() -> None:
    body = told(tools=[tool()], tool_choice="required", reasoning_effort="high")
    assert body["tool_choice"] == {"type": "any"}
    assert "thinking" not in body
    adaptive = told("claude-opus-5", tools=[tool()], tool_choice="required", reasoning_effort="high")
    assert adaptive["thinking"]["type"] == "adaptive"
    with pytest.raises(InvalidRequest, match="tool_choice"):
        told("claude-opus-5-5", tools=[tool()], tool_choice="required")


def test_21_only_thinking_that_anthropic_signed_goes_back() -> None:
    into = exchange()
    own = {"type": "thinking", "thinking": "hm", "signature": "sig", "index": 0}
    foreign = {"type": "thinking", "thinking": "hm", "signature": "llm_edge:google:sig"}
    first = {"role": "assistant", "content": "a", "thinking_blocks": [own]}
    second = {"role": "assistant", "content": "b", "thinking_blocks": [foreign], "reasoning_content": "hm"}
    body = told(into=into, messages=[user("1"), first, user("2"), second, user("3")])
    assert body["messages"][1]["content"][0] == {"type": "thinking", "thinking": "hm", "signature": "sig"}
    assert [block["type"] for block in body["messages"][3]["content"]] == ["text"]
    assert any("messages[3].reasoning_content" in change for change in into.changes)


def test_21_a_budget_is_taken_back_when_the_calls_came_without_thinking() -> None:
    body = told(messages=[user("1"), calling("a"), result("a")], tools=[tool()], reasoning_effort="low")
    assert "thinking" not in body


def test_22_a_budget_fits_into_the_answer_or_there_is_none() -> None:
    assert told(reasoning_effort="high", max_tokens=4000)["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert "thinking" not in told(reasoning_effort="high", max_tokens=1024)


def test_28_several_answers_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="`n`"):
        told(n=2)
    assert "n" not in told(n=1)


@pytest.mark.parametrize(
    ("stop", "expected"),
    [("END", ["END"]), (["a", " ", ""], ["a"]), ("", None), ([str(i) for i in range(6)], [str(i) for i in range(6)])],
)
def test_29_stop_sequences_become_a_list_without_empty_ones(stop: Any, expected: Any) -> None:
    assert told(stop=stop).get("stop_sequences") == expected


@pytest.mark.parametrize(
    "url",
    [f"data:;base64,{PNG}", f"data:image/png;charset=utf-8;base64,{PNG}", f"data:image/jpg;base64,{PNG}"],
)
def test_30_a_picture_is_what_its_first_bytes_say(url: str) -> None:
    body = told(messages=[user([{"type": "image_url", "image_url": {"url": url}}])])
    assert body["messages"][0]["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": PNG}


def test_33_a_paused_turn_goes_back_as_it_came_unless_the_caller_changed_it() -> None:
    blocks = [
        {"type": "text", "text": "Let me look."},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}},
    ]
    message = {"role": "assistant", "content": "Let me look.", "anthropic": {"content": blocks}}
    assert told(messages=[user("hi"), message])["messages"][1]["content"] == blocks
    changed = {**message, "content": "Something else."}
    assert told(messages=[user("hi"), changed])["messages"][1]["content"] == [
        {"type": "text", "text": "Something else."}
    ]


def test_37_a_temperature_over_one_is_one() -> None:
    assert told(temperature=1.7)["temperature"] == 1
    assert told(temperature=0.2, top_p=0.5, top_k=3)["top_k"] == 3


def test_38_tool_names_fit_and_are_remembered() -> None:
    into = exchange()
    names = ["a.b", "a/b", "a_b", "x" * 200]
    body = told(
        into=into, tools=[tool(name) for name in names], tool_choice={"type": "function", "function": {"name": "a/b"}}
    )
    sent = [each["name"] for each in body["tools"]]
    assert len(set(sent)) == 4
    assert [into.names[each] for each in sent] == names
    assert into.names[body["tool_choice"]["name"]] == "a/b"
