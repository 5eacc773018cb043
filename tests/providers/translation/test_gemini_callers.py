"""Requests of Google's SDK in the chat form, and any conversation there and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from llm_edge.errors import InvalidRequest
from llm_edge.providers.cargo import camel
from llm_edge.providers.translation.core import Exchange
from llm_edge.providers.translation.gemini import TRANSLATION
from tests.providers.exchanges import CASES, RECORDED

from .gemini_kit import MODEL, PNG, SIGNATURE, exchange, in_chat, told

TRANSLATED = sorted((CASES / "gemini").glob("*.translated.json"))
ASKED = [
    file
    for file in sorted((RECORDED / "gemini").glob("*.request.json"))
    if "embeddings" not in file.name and "vertex_error" not in file.name
]


def part(**fields: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [fields]}


def spelled(value: Any) -> Any:
    """Google's own spelling throughout, schemas aside; without roles and settings that say nothing."""
    if isinstance(value, dict):
        made = {name: inner if name.endswith("JsonSchema") else spelled(inner) for name, inner in camel(value).items()}
        return {name: inner for name, inner in made.items() if inner not in ("", {})}
    return [spelled(each) for each in value] if isinstance(value, list) else value


def meaning(body: Any) -> Any:
    plain = spelled(body)
    plain.get("systemInstruction", {}).pop("role", None)
    for declared in (each for tool in plain.get("tools", ()) for each in tool.get("functionDeclarations", ())):
        for field in ("parameters", "parametersJsonSchema"):
            schema = declared.pop(field, None)
            if schema and schema.get("properties"):
                declared["schema"] = json.loads(json.dumps(schema).lower())
    return plain


def test_recorded_requests_come_back_with_the_same_meaning() -> None:
    for file in ASKED:
        body = json.loads(file.read_bytes())
        into = exchange("gemini-3.5-flash")
        back = TRANSLATION.request_from_chat(TRANSLATION.request_to_chat(body, into), into)
        assert meaning(back) == meaning(body), file.name
        assert not into.changes, file.name


@pytest.mark.parametrize("file", TRANSLATED, ids=lambda file: file.name)
def test_a_case_is_translated_as_written(file: Path) -> None:
    case = json.loads(file.read_bytes())
    into = Exchange(model=case["model"], provider="gemini", request_id="r1")
    half = TRANSLATION.request_from_chat if case["to"] == "gemini" else TRANSLATION.request_to_chat
    assert half(case["given"], into) == case["expected"]
    assert into.changes == case["changes"]


# ------------------------------------------------------------------ settings


def test_settings_in_the_chat_form() -> None:
    schema = {"type": "object", "title": "City Location"}
    chat = in_chat(
        generationConfig={
            "temperature": 0.5,
            "topP": 0.9,
            "top_k": 7,
            "candidateCount": 2,
            "maxOutputTokens": 9,
            "stopSequences": ["END"],
            "seed": 1,
            "presencePenalty": 0.1,
            "responseLogprobs": True,
            "logprobs": 3,
            "responseModalities": ["TEXT"],
            "responseMimeType": "application/json",
            "responseJsonSchema": schema,
            "thinkingConfig": {"thinkingLevel": "HIGH"},
        },
        toolConfig={"functionCallingConfig": {"mode": "ANY"}},
        serviceTier="flex",
        labels={"team": "a"},
        store=True,
    )
    expected = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 7,
        "n": 2,
        "max_completion_tokens": 9,
        "stop": ["END"],
        "seed": 1,
        "presence_penalty": 0.1,
        "logprobs": True,
        "top_logprobs": 3,
        "modalities": ["text"],
        "reasoning_effort": "high",
        "tool_choice": "required",
        "service_tier": "flex",
        "metadata": {"team": "a"},
        "store": True,
        "response_format": {"type": "json_schema", "json_schema": {"name": "City_Location", "schema": schema}},
    }
    assert expected.items() <= chat.items()


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"thinkingLevel": "LOW"}, "low"),
        ({"thinking_budget": 0}, "none"),
        ({"thinkingBudget": 1024}, "low"),
        ({"thinkingBudget": 8192}, "medium"),
        ({"thinkingBudget": 24576}, "high"),
        ({"thinkingBudget": -1}, None),
    ],
)
def test_how_much_to_think_is_told_in_one_word(thinking: dict[str, Any], effort: str | None) -> None:
    assert in_chat(generationConfig={"thinkingConfig": thinking}).get("reasoning_effort") == effort


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "NONE"}, "none"),
        ({"mode": "ANY"}, "required"),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, {"type": "function", "function": {"name": "f"}}),
        (
            {"mode": "ANY", "allowed_function_names": ["f", "g"]},
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": name}} for name in "fg"],
                },
            },
        ),
    ],
)
def test_which_function_may_be_called(calling: dict[str, Any], choice: Any) -> None:
    assert in_chat(toolConfig={"functionCallingConfig": calling})["tool_choice"] == choice


def test_functions_in_either_dialect_of_schemas() -> None:
    tools = [
        {
            "functionDeclarations": [
                {"name": "a", "description": "A", "parametersJsonSchema": {"type": "object"}},
                {
                    "name": "b",
                    "parameters": {"type": "OBJECT", "properties": {"x": {"type": "STRING", "nullable": True}}},
                },
            ]
        },
        {"googleSearch": {}},
        {"urlContext": {}},
    ]
    chat = in_chat(tools=tools)
    assert [tool["function"] for tool in chat["tools"]] == [
        {"name": "a", "description": "A", "parameters": {"type": "object"}},
        {"name": "b", "parameters": {"type": "object", "properties": {"x": {"type": ["string", "null"]}}}},
    ]
    assert chat["web_search_options"] == {}
    assert chat["gemini"]["tools"] == [{"urlContext": {}}]


def test_streams_always_tell_what_they_cost() -> None:
    chat = TRANSLATION.request_to_chat({"contents": [part(text="hi")]}, exchange(streaming=True))
    assert chat["stream_options"] == {"include_usage": True}


def test_what_only_google_has_rides_along_and_comes_back() -> None:
    safety = [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]
    chat = in_chat(safetySettings=safety, cachedContent="cachedContents/1", generationConfig={"speechConfig": {}})
    assert chat["gemini"]["safetySettings"] == safety
    back = told(**chat)
    assert (back["safetySettings"], back["cachedContent"]) == (safety, "cachedContents/1")


# ------------------------------------------------------------------ messages


def test_contents_come_in_all_shapes() -> None:
    for contents in (
        {"parts": {"text": "hi"}},
        [{"parts": [{"text": "hi"}]}],
        {"role": "user", "parts": [{"text": "hi"}]},
    ):
        assert in_chat(contents=contents)["messages"] == [{"role": "user", "content": "hi"}]
    assert in_chat(system_instruction="Be brief.")["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("contents", [None, [], "x", {}])
def test_no_contents_are_refused(contents: Any) -> None:
    with pytest.raises(InvalidRequest, match="`contents`"):
        in_chat(contents=contents)


def test_a_role_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"contents\[0\]\.role.*'robot'"):
        in_chat(contents=[{"role": "robot", "parts": [{"text": "x"}]}])


def test_12_calls_without_ids_find_their_results_by_name_and_order() -> None:
    calls = [{"functionCall": {"name": name, "args": {"n": n}}} for n, name in enumerate("fgf")]
    results = [
        {"functionResponse": {"name": name, "response": {"output": name + str(n)}}} for n, name in enumerate("gff")
    ]
    chat = in_chat(contents=[part(text="x"), {"role": "model", "parts": calls}, {"role": "user", "parts": results}])
    ids = {made["id"]: made["function"]["arguments"] for made in chat["messages"][1]["tool_calls"]}
    answered = [(ids[each["tool_call_id"]], each["content"]) for each in chat["messages"][2:]]
    assert answered == [('{"n":1}', "g0"), ('{"n":0}', "f1"), ('{"n":2}', "f2")]


def test_12_made_up_ids_stay_the_same_while_a_history_grows() -> None:
    turns = [part(text="x"), {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}]
    short = in_chat(contents=turns)["messages"]
    more = in_chat(contents=[*turns, part(functionResponse={"name": "f", "response": {}}), *turns])["messages"]
    assert more[: len(short)] == short
    assert len({made["id"] for message in more for made in message.get("tool_calls", ())}) == 2


def test_05_a_result_nobody_asked_for_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"contents\[0\]\.parts\[0\]\.functionResponse.*'f'"):
        in_chat(contents=[part(functionResponse={"name": "f", "response": {}})])


def test_results_are_told_in_words() -> None:
    call = {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}
    for response, made in (
        ({"output": "3 C"}, {"content": "3 C"}),
        ({"error": "no"}, {"content": "no", "is_error": True}),
        ({"a": 1, "b": None}, {"content": '{"a":1,"b":null}'}),
        ({"output": "{}"}, {"content": '{"output":"{}"}'}),
        ({}, {"content": ""}),
    ):
        answered = part(functionResponse={"name": "f", "response": response})
        message = in_chat(contents=[part(text="x"), call, answered])["messages"][-1]
        assert {name: message[name] for name in message.keys() - {"role", "tool_call_id"}} == made


def test_media_of_all_kinds() -> None:
    contents = [
        {
            "parts": [
                {"inlineData": {"mimeType": "image/png", "data": PNG}},
                {"inline_data": {"mime_type": "audio/wav", "data": "UklGRg=="}},
                {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0=", "displayName": "a.pdf"}},
                {"fileData": {"fileUri": "https://a/b.png", "mimeType": "image/png"}},
                {"fileData": {"fileUri": "https://a/b.mp4", "mimeType": "video/mp4"}},
            ]
        }
    ]
    assert in_chat(contents=contents)["messages"][0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}},
        {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}},
        {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
        {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}},
    ]


def test_parts_chat_has_nothing_like_are_told_in_words_and_come_back_whole() -> None:
    parts = [
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
    ]
    chat = in_chat(contents=[{"role": "user", "parts": [{"text": "run"}, *parts]}])
    assert [each["text"] for each in chat["messages"][0]["content"]] == ["run", "```python\n1\n```", "1"]
    assert told(messages=chat["messages"])["contents"][0]["parts"] == [{"text": "run"}, *parts]


def test_pieces_of_a_stream_put_into_a_history_become_one_message() -> None:
    pieces = [{"role": "model", "parts": [{"text": text}]} for text in ("a", "b", "c")]
    messages = in_chat(contents=[part(text="x"), *pieces])["messages"]
    assert messages[1:] == [{"role": "assistant", "content": "abc"}]


# ------------------------------------------------------------------ round trips of anything

TEXT = st.text(min_size=1)
NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,40}", fullmatch=True)
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=3)


@st.composite
def conversations(draw: st.DrawFn) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 3))):
        turns.append({"role": "user", "parts": [{"text": draw(TEXT)} for _ in range(draw(st.integers(1, 2)))]})
        thought = [{"text": draw(TEXT), "thought": True}] * draw(st.booleans())
        words = {"text": draw(TEXT), **({"thoughtSignature": SIGNATURE} if thought else {})}
        calls: list[dict[str, Any]] = [
            {"functionCall": {"id": f"c{number}_{index}", "name": draw(NAMES), "args": draw(OBJECTS)}}
            for index in range(draw(st.integers(0, 3)))
        ]
        if calls:
            calls[0] = {**calls[0], "thoughtSignature": SIGNATURE}
        turns.append({"role": "model", "parts": [*thought, words, *calls]})
        answers = [
            {
                "functionResponse": {
                    "id": made["functionCall"]["id"],
                    "name": made["functionCall"]["name"],
                    "response": draw(OBJECTS.filter(lambda each: bool(each.keys() - {"output", "error"}))),
                }
            }
            for made in calls
        ]
        if answers:
            turns.append({"role": "user", "parts": answers})
    return [*turns, {"role": "user", "parts": [{"text": draw(TEXT)}]}]


@settings(max_examples=60)
@given(conversations())
def test_any_conversation_comes_back_as_it_was(turns: list[dict[str, Any]]) -> None:
    into = exchange(MODEL)
    body = {"contents": turns}
    assert TRANSLATION.request_from_chat(TRANSLATION.request_to_chat(body, into), into) == body
    assert not into.changes
