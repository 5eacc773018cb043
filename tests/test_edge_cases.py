"""
The nasty cases that everybody meets sooner or later, by number.

Each has a test somewhere that begins with it, `test_07_…`. Most stand beside the translations; here stand those
that need the whole house, and the count of them all.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_edge import BadRequest, EdgeClient
from llm_edge.errors import Failed
from llm_edge.testing import Provider, answer, events, json_body, raw, status, stream

from .conftest import Colour

Edges = Callable[..., EdgeClient]

CASES = {
    1: "an assistant's turn of calls alone",
    2: "an empty user message",
    3: "messages of one role in a row",
    4: "results of parallel calls, one by one or missing",
    5: "a result nobody asked for",
    6: "a history that begins with the assistant",
    7: "a last message of the assistant's",
    8: "a system message in the middle",
    9: "only system messages",
    10: "calls in the history, and no tools",
    11: "ids that come twice",
    12: "calls without ids",
    13: "a result with a picture",
    14: "arguments that are empty, broken or no object",
    15: "a tool without parameters",
    16: "references, unions and constants in schemas",
    17: "bounds in schemas that cannot be checked",
    18: "a schema that is too complex",
    19: "a schema together with tools",
    20: "thinking together with a forced tool",
    21: "signatures lost or from elsewhere",
    22: "a limit that thinking eats",
    23: "interleaved deltas of calls",
    24: "characters and line ends in two pieces, compressed streams",
    25: "comments, several lines, no last line, a byte order mark, one object a line",
    26: "usage null, repeated, early or late",
    27: "no choices at the start or the end",
    28: "several answers",
    29: "stops of all kinds",
    30: "pictures by address, or without their kind",
}
TARGETS = {"gpt": "gpt-5.4", "claude": "claude-haiku-4-5", "gemini": "gemini-3.5-flash"}
KINDS = {"gpt": "openai", "claude": "anthropic", "gemini": "gemini"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
FORM: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}


@pytest.fixture
def edge(edges: Edges, provider: Provider) -> EdgeClient:
    """Three vendors, all the same scripted one; nothing is kept or tried again."""
    url = provider.url
    places = {name: {"kind": kind, "base_url": url, "api_key": "k"} for name, kind in KINDS.items()}
    places["gpt"]["base_url"] = url + "/v1"
    return edges(providers=places, retry={"attempts": 1}, cache={"policy": "off"})


def frames(*items: Any) -> bytes:
    return b"".join(b"data: " + json.dumps(item, ensure_ascii=False).encode() + b"\n\n" for item in items)


def delta(content: str | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    told = {} if content is None else {"content": content}
    choices = [{"index": 0, "delta": told, "finish_reason": finish}]
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices, **more}


def told(colour: Colour, edge: EdgeClient, model: str = "gpt/gpt-5.4", **fields: Any) -> tuple[str, list[Any]]:
    """A stream's text, and all that its chunks say of usage."""
    chunks = colour.items(colour.chat(edge, model, "hi", stream=True, **fields))
    return "".join(chunk.text for chunk in chunks), [chunk["usage"] for chunk in chunks if chunk.get("usage")]


def through_anthropics_sdk(colour: Colour, edge: EdgeClient) -> list[Any]:
    """The events Anthropic's SDK gets for a stream of `gpt`."""
    import anthropic

    kind: Any = anthropic.Anthropic if colour.name == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key="k", base_url="http://127.0.0.1:9", http_client=colour.http_client(edge))
    colour.opened.append(client)
    given: Any = {"model": "gpt/gpt-5.4", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
    return colour.items(colour.finish(client.messages.create(**given, stream=True)))


# ------------------------------------------------------------------ the count


def test_each_case_has_a_test_of_its_own() -> None:
    found: set[int] = set()
    for file in Path(__file__).parent.rglob("test_*.py"):
        names = [node.name for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, ast.FunctionDef)]
        found |= {int(name[5:7]) for name in names if name[5:7].isdigit() and name[7:8] == "_"}
    assert not CASES.keys() - found


# ------------------------------------------------------------------ those that need the whole house


@pytest.mark.parametrize("vendor", ["claude", "gemini"])
@pytest.mark.parametrize("words", ["Schema is too complex for compilation", "a constraint that has too many states"])
def test_18_a_schema_that_is_too_complex_is_asked_for_in_words_once(
    colour: Colour, edge: EdgeClient, provider: Provider, vendor: str, words: str
) -> None:
    provider.script(status(400, message=words), answer('{"city": "Oslo"}'))
    reply = colour.chat(edge, f"{vendor}/{TARGETS[vendor]}", "Where?", response_format=FORM)
    assert reply.text == '{"city": "Oslo"}'
    first, second = provider.asked(2)
    sent = json.dumps(second.json)
    assert json.dumps(first.json).count('"city"') == 1
    assert "must match this JSON schema" in sent
    assert not {"output_config", "responseJsonSchema"} & {*second.json, *second.json.get("generationConfig", {})}
    changes = [change for event in reply.explain()["events"] for change in event.get("changes", ())]
    assert [change for change in changes if "too complex" in change]


def test_18_it_is_asked_for_in_words_only_once(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(status(400, message="Schema is too complex"))
    with pytest.raises(BadRequest):
        colour.chat(edge, "claude/claude-haiku-4-5", "Where?", response_format=FORM)
    provider.asked(2)


def test_18_other_refusals_are_not_asked_again(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(status(400, message="messages: at least one"))
    with pytest.raises(BadRequest):
        colour.chat(edge, "claude/claude-haiku-4-5", "Where?", response_format=FORM)
    provider.asked(1)


@pytest.mark.parametrize("vendor", TARGETS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_24_characters_and_line_ends_in_two_pieces_are_whole_again(
    colour: Colour, edge: EdgeClient, provider: Provider, vendor: str, packed: bool
) -> None:
    step = stream("dø", "r 🥶\u2028\u2029")
    provider.script((step.gzip() if packed else step).drip(1, 0))
    text, usage = told(colour, edge, f"{vendor}/{TARGETS[vendor]}")
    assert text == "dør 🥶\u2028\u2029"
    assert usage[-1]["prompt_tokens"] == 9


UGLY = {
    "comments and keep-alives": b": hi\n\n:\n\n" + frames(delta("a")) + b": ping\n\n" + frames(delta("b", "stop")),
    "a byte order mark": b"\xef\xbb\xbf" + frames(delta("a"), delta("b", "stop")),
    "old Mac line ends": frames(delta("a"), delta("b", "stop")).replace(b"\n", b"\r"),
    "no space after the colon": frames(delta("a"), delta("b", "stop")).replace(b"data: ", b"data:"),
    "several lines of data": frames(delta("a"))
    + frames(delta("b", "stop")).replace(b', "choices"', b',\ndata: "choices"'),
    "no last empty line": frames(delta("a"), delta("b", "stop")).rstrip(b"\n"),
}


@pytest.mark.parametrize("form", UGLY)
def test_25_streams_of_every_form_are_understood(
    colour: Colour, edge: EdgeClient, provider: Provider, form: str
) -> None:
    provider.script(raw(UGLY[form], content_type="text/event-stream"))
    assert told(colour, edge)[0] == "ab"
    heard = through_anthropics_sdk(colour, edge)
    assert "".join(event.delta.text for event in heard if event.type == "content_block_delta") == "ab"
    assert heard[-1].type == "message_stop"


def test_25_what_is_no_stream_is_an_error_and_not_an_empty_answer(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    lines = [json.dumps(each).encode() + b"\n" for each in (delta("a"), delta("b", "stop"))]
    provider.script(raw(b"".join(lines), content_type="application/x-ndjson"))
    with pytest.raises(Failed):
        told(colour, edge)


COUNTED = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
LOWER = {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}


@pytest.mark.parametrize(
    "items",
    [
        [delta("a", usage=None), delta("b", "stop", usage=None), {**delta(), "choices": [], "usage": COUNTED}],
        [delta("a", usage=LOWER), delta("b", "stop", usage=COUNTED)],
        [delta("a", usage=COUNTED), delta("b", usage=None), delta(None, "stop")],
        [delta("ab", "stop"), {**delta(), "choices": [], "usage": LOWER}, {**delta(), "choices": [], "usage": COUNTED}],
    ],
    ids=["at the end", "growing", "early", "twice"],
)
def test_26_the_last_word_on_usage_holds_wherever_it_stands(
    colour: Colour, edge: EdgeClient, provider: Provider, items: list[Any]
) -> None:
    provider.script(events(*items, "[DONE]"))
    reply = colour.chat(edge, "gpt/gpt-5.4", "hi", stream=True)
    assert "".join(chunk.text for chunk in colour.items(reply)) == "ab"
    assert reply.usage["total_tokens"] == 7
    heard = through_anthropics_sdk(colour, edge)
    assert [event.usage.output_tokens for event in heard if event.type == "message_delta"] == [2]


def test_26_a_stream_that_does_not_say_what_it_used_is_estimated_and_says_so(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(events(delta("a"), delta("b"), delta(None, "stop"), "[DONE]"))
    reply = colour.chat(edge, "gpt/gpt-5.4", "How much is that?", stream=True)
    assert "".join(chunk.text for chunk in colour.items(reply)) == "ab"
    assert reply.usage["estimated"] is True
    assert reply.usage["completion_tokens"] >= 2
    assert reply.usage["prompt_tokens"] >= 4
    heard = through_anthropics_sdk(colour, edge)
    assert [event.usage.output_tokens >= 2 for event in heard if event.type == "message_delta"] == [True]


def frame(name: str, **fields: Any) -> bytes:
    """One of Anthropic's events."""
    return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()


SILENT: dict[str, list[Any]] = {
    "claude": [
        frame("message_start", message={"id": "m", "model": "c"}),
        frame("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        frame("content_block_delta", index=0, delta={"type": "text_delta", "text": "ab"}),
        frame("content_block_stop", index=0),
        frame("message_delta", delta={"stop_reason": "end_turn"}),
        frame("message_stop"),
    ],
    "gemini": [
        {"candidates": [{"content": {"parts": [{"text": "a"}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}]},
    ],
    "gemini, half": [
        {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": {"promptTokenCount": 50}},
        {"candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}]},
    ],
    "gpt": [delta("a"), delta("b", "stop"), "[DONE]"],
}
"""Streams that are whole and do not say what they used."""


@pytest.mark.parametrize("form", SILENT)
def test_26_whoever_does_not_say_what_a_translated_stream_used_is_estimated(
    colour: Colour, edge: EdgeClient, provider: Provider, form: str
) -> None:
    vendor = form.partition(",")[0]
    provider.script(events(*SILENT[form]))
    reply = colour.chat(edge, f"{vendor}/{TARGETS[vendor]}", "How much is that?", stream=True)
    chunks = colour.items(reply)
    assert "".join(chunk.text for chunk in chunks) == "ab"
    assert reply.usage["estimated"] is True
    assert reply.usage["completion_tokens"] >= 1
    assert reply.usage["prompt_tokens"] >= 4
    (told,) = [chunk["usage"] for chunk in chunks if chunk.get("usage")] or [reply.usage]
    assert told["estimated"] is True
    assert told["completion_tokens"] == reply.usage["completion_tokens"]
    assert told["prompt_tokens"] == (50 if "half" in form else reply.usage["prompt_tokens"])


def test_27_a_stream_may_begin_and_end_without_choices(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    filtered = {"choices": [], "created": 0, "id": "", "model": "", "object": "", "prompt_filter_results": []}
    bare = {**delta(), "choices": [{"index": 0, "delta": None, "finish_reason": None}]}
    last = {**delta(), "choices": [], "usage": COUNTED}
    provider.script(
        events(filtered, {**delta(), "choices": None}, delta("a"), bare, delta("b", "stop"), last, "[DONE]")
    )
    assert told(colour, edge)[0] == "ab"
    heard = through_anthropics_sdk(colour, edge)
    assert "".join(event.delta.text for event in heard if event.type == "content_block_delta") == "ab"
    assert heard[0].message.model == "m"


@pytest.mark.parametrize("vendor", TARGETS)
def test_31_an_error_under_status_200_is_an_error(
    colour: Colour, edge: EdgeClient, provider: Provider, vendor: str
) -> None:
    provider.script(json_body({"error": {"message": "no such thing", "code": 400, "status": "INVALID_ARGUMENT"}}))
    with pytest.raises(BadRequest, match="no such thing"):
        colour.chat(edge, f"{vendor}/{TARGETS[vendor]}", "hi")
