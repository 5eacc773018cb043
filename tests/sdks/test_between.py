"""Every SDK to every vendor: the real SDK above, a scripted provider of another dialect below, nothing lost between."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer, events, status, stream, tool_call

from .callers import CALLERS, PNG, QUESTION, SCHEMA, Caller, GoogleCaller

TARGETS = {"openai": "gpt-5.4", "anthropic": "claude-haiku-4-5", "gemini": "gemini-3.5-flash"}
PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-3.5-flash:generateContent",
}
PAIRS = [(caller, target) for caller in CALLERS for target in TARGETS if CALLERS[caller].own != target]
MIDDLE = {
    "openai": events(
        {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": "A"}}]},
        {"error": {"message": "too busy", "type": "server_error", "code": "server_is_overloaded"}},
    ),
    "anthropic": events(
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"m","usage":{"input_tokens":1}}}\n\n',
        b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"too busy"}}\n\n',
    ),
    "gemini": events(
        {"candidates": [{"content": {"parts": [{"text": "A"}]}}]},
        b'{\r\n  "error": {"code": 503, "message": "too busy", "status": "UNAVAILABLE"}\r\n}\r\n',
    ),
}
"""Streams that tell of an error after they began well."""


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{pair[0]} to {pair[1]}")
def pair(request: pytest.FixtureRequest) -> tuple[str, str]:
    """An SDK and a vendor that is not its own."""
    found: tuple[str, str] = request.param
    return found


@pytest.fixture
def target(pair: tuple[str, str]) -> str:
    return pair[1]


@pytest.fixture
def caller(pair: tuple[str, str], sdks: Any, edges: Callable[..., EdgeClient], provider: Provider) -> Caller:
    """The SDK over an edge that sends `m` to the vendor."""
    kind = pair[1]
    url = provider.url + ("/v1" if kind == "openai" else "")
    edge = edges(
        providers={kind: {"kind": kind, "base_url": url, "api_key": "k"}},
        routes={"m": {"targets": [f"{kind}/{TARGETS[kind]}"]}},
        retry={"attempts": 1},
    )
    return CALLERS[pair[0]](sdks, edge, provider)


def sent(provider: Provider) -> str:
    """The last request as text."""
    return json.dumps(provider.last.json, ensure_ascii=False)


def test_a_question_is_answered(caller: Caller, provider: Provider, target: str) -> None:
    provider.script(answer("A dør."))
    heard = caller.ask("m", system="Be brief.")
    assert (heard.text, heard.finish, heard.tokens) == ("A dør.", caller.finishes["stop"], (9, 3))
    assert provider.last.path == PATHS[target]
    assert provider.last.key == "k"
    assert QUESTION in sent(provider)
    assert "Be brief." in sent(provider)


def test_a_stream_comes_in_its_pieces_and_tells_what_it_cost(caller: Caller, provider: Provider) -> None:
    provider.script(stream("A ", "dø", "r."))
    heard = caller.stream("m")
    assert heard.pieces == ["A ", "dø", "r."]
    assert (heard.finish, heard.tokens) == (caller.finishes["stop"], (9, 3))
    assert provider.last.streamed


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_tools_are_called(caller: Caller, provider: Provider, streamed: bool) -> None:
    said = [tool_call("weather", {"city": "Tromsø"}, call_id="c1"), tool_call("weather", {}, call_id="c2")]
    provider.script(stream("Let me look.", tool_calls=said))
    heard = (caller.stream if streamed else caller.ask)("m", tool="weather")
    assert heard.calls == [("weather", {"city": "Tromsø"}), ("weather", {})]
    assert (heard.text, heard.finish) == ("Let me look.", caller.finishes["tool_calls"])
    assert '"additionalProperties": false' in sent(provider)


def test_the_result_of_a_call_goes_back(caller: Caller, provider: Provider) -> None:
    provider.script(answer(tool_calls=[tool_call("weather", {"city": "Oslo"}, call_id="c1")]), answer("3 °C"))
    first = caller.ask("m", tool="weather")
    heard = caller.ask("m", tool="weather", after=first, result="cold")
    assert heard.text == "3 °C"
    assert "cold" in sent(provider)
    assert "Oslo" in sent(provider)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_thinking_is_told_as_such(caller: Caller, provider: Provider, streamed: bool) -> None:
    provider.script(stream("A ", "door.", reasoning="A door, surely."))
    heard = (caller.stream if streamed else caller.ask)("m", think=True)
    assert (heard.thoughts, heard.text) == ("A door, surely.", "A door.")
    asked = [word for word in ("reasoning_effort", "budget_tokens", "thinkingLevel") if word in sent(provider)]
    assert len(asked) == 1


def test_a_picture_arrives(caller: Caller, provider: Provider) -> None:
    caller.ask("m", image=True)
    assert base64.b64encode(PNG).decode().rstrip("=") in sent(provider).replace("-", "+").replace("_", "/")
    assert "image/png" in sent(provider)


def test_an_answer_is_held_to_a_schema(caller: Caller, provider: Provider, target: str) -> None:
    provider.script(answer('{"city": "Oslo"}'))
    assert caller.ask("m", schema=True).text == '{"city": "Oslo"}'
    body: Any = provider.last.json
    where: Any = {
        "openai": lambda: body["response_format"]["json_schema"]["schema"],
        "anthropic": lambda: body["output_config"]["format"]["schema"],
        "gemini": lambda: body["generationConfig"]["responseJsonSchema"],
    }[target]()
    assert where == SCHEMA


@pytest.mark.parametrize("finish", ["length", "content_filter"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_why_it_ended_is_told(caller: Caller, provider: Provider, finish: str, streamed: bool) -> None:
    provider.script(stream("A ", "do", finish=finish))
    heard = (caller.stream if streamed else caller.ask)("m")
    assert (heard.text, heard.finish) == ("A do", caller.finishes[finish])


@pytest.mark.parametrize("code", [400, 401, 404, 429, 500, 503])
def test_an_error_is_told_in_the_callers_words(caller: Caller, provider: Provider, code: int) -> None:
    provider.script(status(code, message="it did not work"))
    with pytest.raises(caller.errors, match="it did not work") as told:
        caller.ask("m")
    assert (getattr(told.value, "status_code", None) or getattr(told.value, "code", None)) == code
    provider.asked(1)


def test_a_stream_that_is_cut_does_not_end_well(caller: Caller, provider: Provider) -> None:
    provider.script(stream("A ", "door.", ".").cut(after_events=2))
    with pytest.raises(caller.broken):
        caller.stream("m")


def test_an_error_in_the_middle_of_a_stream_is_told_as_one(caller: Caller, provider: Provider, target: str) -> None:
    provider.script(MIDDLE[target])
    with pytest.raises(caller.told, match="too busy"):
        caller.stream("m")


def test_what_was_answered_once_is_answered_from_memory(caller: Caller, provider: Provider) -> None:
    provider.script(stream("A ", "door."))
    first, again = caller.stream("m"), caller.stream("m")
    assert (first.pieces, first.tokens) == (again.pieces, again.tokens)
    provider.asked(1)


@pytest.mark.parametrize("vendor", ["anthropic", "gemini"])
def test_openais_responses_api_reaches_the_others(sdks: Any, edges: Any, provider: Provider, vendor: str) -> None:
    edge = edges(
        providers={vendor: {"base_url": provider.url, "api_key": "k"}},
        routes={"m": {"targets": [f"{vendor}/{TARGETS[vendor]}"]}},
    )
    client = sdks.openai(edge, provider)
    provider.script(stream("A ", "door.", tool_calls=[tool_call("weather", {"city": "Oslo"})]))
    weather: Any = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}
    given: Any = {"model": "m", "input": QUESTION, "instructions": "Be brief.", "tools": [weather]}
    whole = sdks.colour.finish(client.responses.create(**given))
    assert whole.output_text == "A door."
    assert [item.arguments for item in whole.output if item.type == "function_call"] == ['{"city":"Oslo"}']
    got = sdks.colour.items(sdks.colour.finish(client.responses.create(**given, stream=True)))
    assert "".join(event.delta for event in got if event.type == "response.output_text.delta") == "A door."
    assert got[-1].type == "response.completed"
    assert got[-1].response.usage.input_tokens == 9


def test_googles_sdk_embeds_with_openai(sdks: Any, edges: Any, provider: Provider) -> None:
    edge = edges(
        providers={"openai": {"base_url": provider.url + "/v1", "api_key": "k"}},
        routes={"e": {"targets": ["openai/text-embedding-3-small"]}},
    )
    models = GoogleCaller(sdks, edge, provider).models
    got = sdks.colour.finish(models.embed_content(model="e", contents=["a", "b"]))
    assert [len(each.values) for each in got.embeddings] == [8, 8]
    assert provider.last.json["model"] == "text-embedding-3-small"
    assert provider.last.json["input"] == ["a", "b"]


@pytest.mark.parametrize("packed", [False, True], ids=["lists", "packed"])
def test_openais_sdk_embeds_with_google(sdks: Any, edges: Any, provider: Provider, packed: bool) -> None:
    edge = edges(
        providers={"gemini": {"base_url": provider.url, "api_key": "k"}},
        routes={"e": {"targets": ["gemini/gemini-embedding-001"]}},
    )
    client = sdks.openai(edge, provider)
    form: Any = {} if packed else {"encoding_format": "float"}
    got = sdks.colour.finish(client.embeddings.create(model="e", input=["a", "b"], dimensions=8, **form))
    assert [len(each.embedding) for each in got.data] == [8, 8]
    assert got.usage.prompt_tokens > 0
    assert provider.last.path.endswith("/models/gemini-embedding-001:batchEmbedContents")
    assert provider.last.key == "k"
    direct = sdks.colour.embed(edge, "gemini/gemini-embedding-001", "a")
    assert list(direct.vectors[0]) == got.data[0].embedding
