"""Chat requests as Google takes them: the nasty histories, parts and signatures, nothing lost in silence."""

from __future__ import annotations

from typing import Any

import pytest

from llm_edge.errors import InvalidRequest

from .gemini_kit import PNG, SIGNATURE, call, calling, exchange, result, told, tool, user

SKIPPED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
OLD = "gemini-2.5-flash"


def text(words: str) -> dict[str, Any]:
    return {"text": words}


def turn(*parts: dict[str, Any], role: str = "user") -> dict[str, Any]:
    return {"role": role, "parts": list(parts)}


def image(url: str, **more: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, **more}}


def test_the_sample_exchange_is_told_as_google_would() -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    into = exchange()
    body = told(
        into,
        messages=[
            {"role": "system", "content": "Be brief."},
            user([{"type": "text", "text": "Weather?"}, image(f"data:image/png;base64,{PNG}")]),
            calling(call("call_1", signature=SIGNATURE)),
            result("call_1"),
        ],
        tools=[tool(parameters=schema)],
        max_completion_tokens=200,
        stop="END",
        stream=True,
        stream_options={"include_usage": True},
    )
    assert body == {
        "systemInstruction": {"parts": [text("Be brief.")]},
        "generationConfig": {"maxOutputTokens": 200, "stopSequences": ["END"]},
        "contents": [
            turn(text("Weather?"), {"inlineData": {"mimeType": "image/png", "data": PNG}}),
            turn(
                {
                    "functionCall": {"id": "call_1", "name": "w", "args": {"city": "Oslo"}},
                    "thoughtSignature": SIGNATURE,
                },
                role="model",
            ),
            turn({"functionResponse": {"id": "call_1", "name": "w", "response": {"output": "3 C"}}}),
        ],
        "tools": [{"functionDeclarations": [{"name": "w", "parametersJsonSchema": schema}]}],
    }
    assert not into.changes


# ------------------------------------------------------------------ WIRE's nasty histories


@pytest.mark.parametrize("content", [None, ""])
def test_01_a_turn_of_calls_alone_has_no_empty_text(content: Any) -> None:
    body = told(messages=[user("hi"), {**calling(call("a")), "content": content}, result("a")], tools=[tool()])
    assert [[*part] for part in body["contents"][1]["parts"]] == [["functionCall", "thoughtSignature"]]


def test_02_an_empty_user_message_gets_a_placeholder_unless_there_are_other_words() -> None:
    into = exchange()
    assert told(into, messages=[user("")])["contents"] == [turn(text("."))]
    assert "without a word" in into.changes[0]
    assert told(messages=[user([{"type": "text", "text": ""}, {"type": "text", "text": "hi"}])])["contents"] == [
        turn(text("hi"))
    ]


def test_03_messages_of_one_role_in_a_row_become_one() -> None:
    said = {"role": "assistant", "content": "c"}
    body = told(messages=[user("a"), user("b"), said, {**said, "content": "d"}, user("e")])
    assert body["contents"] == [
        turn(text("a"), text("b")),
        turn(text("c"), text("d"), role="model"),
        turn(text("e")),
    ]


def test_04_results_of_parallel_calls_come_together_in_the_order_of_the_calls() -> None:
    body = told(messages=[user("hi"), calling(call("a"), call("b")), result("b"), result("a"), user("and?")])
    answers, words = body["contents"][2:]
    assert [part["functionResponse"]["id"] for part in answers["parts"]] == ["a", "b"]
    assert words == turn(text("and?"))


def test_04_a_missing_result_is_told_as_an_error() -> None:
    into = exchange()
    body = told(into, messages=[user("hi"), calling(call("a"), call("b")), result("a"), user("and?")])
    assert "error" in body["contents"][2]["parts"][1]["functionResponse"]["response"]
    assert "'b'" in " ".join(into.changes)


def test_05_a_result_nobody_asked_for_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[1\]\.tool_call_id.*'x'"):
        told(messages=[user("hi"), result("x")])


def test_05_a_second_result_for_one_call_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="has a result already"):
        told(messages=[user("hi"), calling(call("a")), result("a"), result("a")])


def test_06_a_history_that_starts_with_the_assistant_gets_a_user_first() -> None:
    into = exchange()
    body = told(into, messages=[{"role": "assistant", "content": "Hello."}, user("hi")])
    assert [content["role"] for content in body["contents"]] == ["user", "model", "user"]
    assert "do not begin with the user" in into.changes[0]


def test_07_a_last_assistant_message_is_sent_as_it_is() -> None:
    body = told(messages=[user("hi"), {"role": "assistant", "content": "Well, "}])
    assert body["contents"][-1] == turn(text("Well, "), role="model")


def test_08_a_system_message_in_the_middle_becomes_tagged_text_and_is_told() -> None:
    into = exchange()
    later = {"role": "system", "content": "Be kind."}
    body = told(into, messages=[user("a"), calling(call("c")), later, result("c"), user("b")])
    assert body["contents"][-1]["parts"] == [text("<system>Be kind.</system>"), text("b")]
    assert "system message in the middle" in " ".join(into.changes)


def test_09_only_system_messages_get_a_user() -> None:
    body = told(messages=[{"role": "system", "content": "Be brief."}])
    assert body["contents"] == [turn(text("."))]
    assert body["systemInstruction"] == {"parts": [text("Be brief.")]}


def test_10_calls_in_the_history_need_no_tools() -> None:
    body = told(messages=[user("hi"), calling(call("a")), result("a")])
    assert "tools" not in body


def test_11_ids_may_come_again_in_a_later_turn() -> None:
    again = call("functions.w:0", signature=SIGNATURE)
    turns = [calling(again), result("functions.w:0")]
    body = told(messages=[user("hi"), *turns, *turns])
    ids = [part["functionCall"]["id"] for content in body["contents"][1::2] for part in content["parts"]]
    assert ids == ["functions.w:0", "functions.w:0"]


def test_11_the_same_id_twice_in_one_turn_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="two calls of one turn"):
        told(messages=[user("hi"), calling(call("a"), call("a")), result("a")])


def test_12_ids_are_sent_to_gemini_3_and_later_only() -> None:
    history = [user("hi"), calling(call("a")), result("a")]
    old = told(exchange(OLD), messages=history)
    assert old["contents"][1]["parts"] == [{"functionCall": {"name": "w", "args": {"city": "Oslo"}}}]
    assert old["contents"][2]["parts"] == [{"functionResponse": {"name": "w", "response": {"output": "3 C"}}}]
    assert "id" in told(messages=history)["contents"][1]["parts"][0]["functionCall"]


def test_13_a_picture_in_a_result_stays_in_it_where_the_model_can() -> None:
    content = [{"type": "text", "text": "see"}, image(f"data:image/png;base64,{PNG}")]
    history = [user("hi"), calling(call("a")), result("a", content)]
    shown = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    response = told(messages=history)["contents"][2]["parts"][0]["functionResponse"]
    assert response["parts"] == [shown]
    assert response["response"] == {"output": "see"}
    old = told(exchange(OLD), messages=history)["contents"]
    assert "parts" not in old[2]["parts"][0]["functionResponse"]
    assert old[3] == turn(shown)


@pytest.mark.parametrize(
    ("arguments", "args", "changes"),
    [
        ("", {}, 0),
        (None, {}, 0),
        ("null", {}, 0),
        ("{broken", {"arguments": "{broken"}, 1),
        ("[1]", {"arguments": [1]}, 1),
        ('{"n": 12345678901234567890123}', {"n": 12345678901234567890123}, 0),
    ],
)
def test_14_arguments_of_all_kinds_become_an_object(arguments: Any, args: Any, changes: int) -> None:
    into = exchange()
    made = call("a", arguments=arguments, signature=SIGNATURE)
    body = told(into, messages=[user("hi"), calling(made), result("a")])
    assert body["contents"][1]["parts"][0]["functionCall"]["args"] == args
    assert len(into.changes) == changes


@pytest.mark.parametrize("content", ["plain", '{"a": 1}', "[1]", "{broken", ""])
def test_results_are_objects_at_google(content: str) -> None:
    body = told(messages=[user("hi"), calling(call("a")), result("a", content)])
    response = body["contents"][2]["parts"][0]["functionResponse"]["response"]
    assert response == ({"a": 1} if content == '{"a": 1}' else {"output": content})


def test_a_result_that_is_an_error_says_so() -> None:
    body = told(messages=[user("hi"), calling(call("a")), result("a", "broken", is_error=True)])
    assert body["contents"][2]["parts"][0]["functionResponse"]["response"] == {"error": "broken"}


# ------------------------------------------------------------------ thoughts and signatures


def test_21_a_signature_goes_back_where_it_was() -> None:
    history = [user("hi"), calling(call("a", signature=SIGNATURE), call("b")), result("a"), result("b")]
    parts = told(messages=history)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [SIGNATURE, None]


def test_21_a_lost_signature_is_told_to_google_in_its_own_word() -> None:
    into = exchange()
    history = [user("hi"), calling(call("a"), call("b")), result("a"), result("b")]
    parts = told(into, messages=history)["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == [SKIPPED, None]
    assert "without the signatures" in into.changes[0]


def test_21_older_models_are_sent_no_word_for_a_lost_signature() -> None:
    into = exchange(OLD)
    told(into, messages=[user("hi"), calling(call("a")), result("a")])
    assert not into.changes


def test_21_another_makers_thinking_is_never_sent() -> None:
    into = exchange()
    block = {"type": "thinking", "thinking": "secret thoughts", "signature": "theirs"}
    said = {"role": "assistant", "content": "so", "thinking_blocks": [block], "reasoning_content": "secret thoughts"}
    body = told(into, messages=[user("hi"), said, user("and?")])
    assert body["contents"][1] == turn(text("so"), role="model")
    assert "no thinking but what it signed itself" in into.changes[0]


def test_21_googles_own_thoughts_go_back_with_their_proof() -> None:
    block = {"type": "thinking", "thinking": "hm", "signature": f"llm_edge:google:{SIGNATURE}"}
    said = {"role": "assistant", "content": "so", "thinking_blocks": [block], "reasoning_content": "hm"}
    body = told(messages=[user("hi"), said, user("and?")])
    assert body["contents"][1]["parts"] == [
        {"text": "hm", "thought": True},
        {"text": "so", "thoughtSignature": SIGNATURE},
    ]


# ------------------------------------------------------------------ content


@pytest.mark.parametrize(
    ("url", "made"),
    [
        (f"data:image/png;base64,{PNG}", {"inlineData": {"mimeType": "image/png", "data": PNG}}),
        (f"data:image/jpeg;charset=utf-8;base64,{PNG}", {"inlineData": {"mimeType": "image/png", "data": PNG}}),
        (f"data:;base64,{PNG}", {"inlineData": {"mimeType": "image/png", "data": PNG}}),
        ("https://a/b.webp?x=1", {"fileData": {"fileUri": "https://a/b.webp?x=1", "mimeType": "image/webp"}}),
        ("https://a/b", {"fileData": {"fileUri": "https://a/b", "mimeType": "image/jpeg"}}),
        ("gs://bucket/b.png", {"fileData": {"fileUri": "gs://bucket/b.png", "mimeType": "image/png"}}),
    ],
)
def test_30_pictures_are_sent_inline_or_by_address(url: str, made: Any) -> None:
    assert told(messages=[user([image(url)])])["contents"] == [turn(made)]


@pytest.mark.parametrize("url", ["", "b.png", "file:///etc/passwd", "ftp://a/b.png"])
def test_30_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[0\]\.content\[0\]\.image_url\.url"):
        told(messages=[user([image(url)])])


def test_sound_and_documents_are_sent() -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    pdf = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    lying = {"type": "file", "file": {"file_id": "files/abc", "filename": "a.pdf"}}
    into = exchange()
    parts = told(into, messages=[user([sound, pdf, lying])])["contents"][0]["parts"]
    assert parts == [
        {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
        {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}},
        {
            "fileData": {
                "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/abc",
                "mimeType": "application/pdf",
            }
        },
    ]
    assert len(into.changes) == 1
    assert "filename" in into.changes[0]


def test_vertex_is_told_the_names_of_files() -> None:
    pdf = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}
    body = told(exchange(provider="vertex"), messages=[user([pdf])])
    assert body["contents"][0]["parts"][0]["inlineData"]["displayName"] == "a.pdf"


def test_a_file_that_lies_with_openai_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="lies with OpenAI"):
        told(messages=[user([{"type": "file", "file": {"file_id": "file-123"}}])])


def test_the_detail_of_a_picture_is_told_to_models_that_know_it() -> None:
    url = f"data:image/png;base64,{PNG}"
    part = told(messages=[user([image(url, detail="high")])])["contents"][0]["parts"][0]
    assert part["mediaResolution"] == {"level": "MEDIA_RESOLUTION_HIGH"}
    into = exchange(OLD)
    told(into, messages=[user([image(url, detail="high")])])
    assert "detail" in into.changes[0]


def test_a_part_of_no_known_kind_is_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"messages\[0\]\.content\[0\].*'hologram'"):
        told(messages=[user([{"type": "hologram"}])])


def test_what_a_message_has_beside_is_told_once() -> None:
    into = exchange()
    marked = {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}
    told(into, messages=[user([marked, marked]) | {"name": "Ada"}, user("b") | {"name": "Ada", "brand_new": 1}])
    assert [change.split("`")[1] for change in into.changes] == [
        "messages[].content[].cache_control",
        "messages[].name",
        "messages[1].brand_new",
    ]


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ({"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}}, "function_call"),
        ({"role": "assistant", "audio": {"id": "a"}}, "audio"),
        ({"role": "robot", "content": "x"}, "role"),
        (calling({"id": "a", "type": "custom", "custom": {"name": "c", "input": "x"}}), r"tool_calls\[0\]"),
    ],
)
def test_what_google_has_no_word_for_is_refused_by_name(message: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidRequest, match=rf"messages\[1\]\.{named}"):
        told(messages=[user("hi"), message])


# ------------------------------------------------------------------ tools


def test_38_names_google_does_not_take_are_changed_and_come_back() -> None:
    into = exchange()
    names = ["søk", "a b", "0x", "fine.name:x-y", "w" * 200, "a_b"]
    body = told(into, tools=[tool(name) for name in names])
    made = [each["name"] for each in body["tools"][0]["functionDeclarations"]]
    assert made[:4] == ["s_k", "a_b", "_0x", "fine.name:x-y"]
    assert len(set(made)) == len(made)
    assert [into.names.get(name, name) for name in made] == names


def test_15_a_tool_without_parameters_has_none() -> None:
    body = told(tools=[tool("a"), tool("b", parameters={}), tool("c", parameters={"type": "object", "properties": {}})])
    assert body["tools"] == [{"functionDeclarations": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}]


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("required", {"mode": "ANY"}),
        ("none", {"mode": "NONE"}),
        ({"type": "function", "function": {"name": "w"}}, {"mode": "ANY", "allowedFunctionNames": ["w"]}),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("w")]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["w"]},
        ),
    ],
)
def test_which_tool_may_be_called(choice: Any, config: Any) -> None:
    assert told(tools=[tool()], tool_choice=choice)["toolConfig"] == {"functionCallingConfig": config}


def test_a_choice_without_tools_is_refused_where_it_demands_one() -> None:
    with pytest.raises(InvalidRequest, match="tool_choice"):
        told(tool_choice="required")
    assert "toolConfig" not in told(tool_choice="auto")


def test_strict_tools_are_checked_by_models_that_can() -> None:
    strict = tool(strict=True, parameters={"type": "object", "properties": {"a": {"type": "string"}}})
    assert told(tools=[strict])["toolConfig"]["functionCallingConfig"] == {"mode": "VALIDATED"}
    assert "toolConfig" not in told(exchange(OLD), tools=[strict])


def test_old_models_are_told_only_of_the_tools_that_are_allowed() -> None:
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool("a")]}}
    body = told(exchange(OLD), tools=[tool("a"), tool("b")], tool_choice=allowed)
    assert body["tools"] == [{"functionDeclarations": [{"name": "a"}]}]


def test_tools_of_other_kinds_are_refused() -> None:
    with pytest.raises(InvalidRequest, match=r"tools\[0\].*custom"):
        told(tools=[{"type": "custom", "custom": {"name": "c"}}])
    with pytest.raises(InvalidRequest, match="deprecated"):
        told(functions=[{"name": "f"}])
