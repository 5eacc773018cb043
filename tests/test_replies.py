"""What direct calls give back, and what they say of arguments that make no sense."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import BadAnswer, EdgeClient, InvalidRequest, Overloaded
from llm_edge.testing import Provider, answer, embeddings, events, raw, stream, tool_call

from .conftest import Colour

Edges = Callable[..., EdgeClient]


@pytest.fixture
def edge(edges: Edges, provider: Provider) -> EdgeClient:
    return edges(providers={"a": {"base_url": f"{provider.url}/v1"}}, retry={"attempts": 1})


def piece(**delta: Any) -> dict[str, Any]:
    return {"model": "m", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


END = {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("broken", ['{"choices":[{"delta":{"content":"x"', '{"choices":[{"delta":{"content":NaN}}]}'])
def test_an_event_that_is_no_json_is_a_typed_error_after_what_came_before(
    colour: Colour, edge: EdgeClient, provider: Provider, broken: str
) -> None:
    provider.script(events(piece(content="one"), broken, piece(content="two"), END, "[DONE]"))
    opened = colour.chat(edge, "a/m", "hi", stream=True)
    with pytest.raises(BadAnswer, match="not a JSON object"):
        colour.items(opened)
    assert (opened.text, opened.explain()["error"]) == ("one", "BadAnswer")


def test_an_event_that_only_looks_whole_is_a_typed_error_too(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    """It has all that an event in the middle of an answer has, by which one is known without being parsed."""
    odd = '{"model":"m","choices":[{"index":0,"delta":{"content":"x",,},"finish_reason":null}]}'
    usual = '{"model":"m","choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}'
    provider.script(events(usual, usual, odd, END, "[DONE]"))
    with pytest.raises(BadAnswer, match="not a JSON object"):
        colour.items(colour.chat(edge, "a/m", "hi", stream=True))


def test_an_error_inside_a_stream_is_raised_at_once_though_the_provider_says_no_more(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(events(piece(content="one"), {"error": {"message": "busy", "code": 503}}).stall(after_events=2))
    with pytest.raises(Overloaded, match="busy"):
        colour.items(colour.chat(edge, "a/m", "hi", stream=True))


def test_half_characters_in_two_events_are_read(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(events(r'{"choices":[{"delta":{"content":"\ud83d"}}]}', piece(content="!"), END, "[DONE]"))
    opened = colour.chat(edge, "a/m", "hi", stream=True)
    assert [chunk.text for chunk in colour.items(opened)][:2] == ["\ud83d", "!"]


def test_long_numbers_in_a_stream_are_kept(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(events({**piece(content="!"), "seed": 10**30 + 1}, END, "[DONE]"))
    assert colour.items(colour.chat(edge, "a/m", "hi", stream=True))[0]["seed"] == 10**30 + 1


def test_texts_that_come_in_parts_are_read_as_in_a_whole_answer(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    parts = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Paris."}]
    provider.script(events(piece(content=parts), END, "[DONE]"))
    opened = colour.chat(edge, "a/m", "hi", stream=True)
    assert "".join(chunk.text for chunk in colour.items(opened)) == opened.text == "Paris."


def test_a_stream_that_was_read_knows_the_tool_calls_as_a_whole_answer_does(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(answer("Wait.", tool_calls=[tool_call("weather", {"city": "Oslo"}), tool_call("time", {})]))
    opened = colour.chat(edge, "a/m", "hi", stream=True)
    assert opened.tool_calls == []
    colour.items(opened)
    whole = colour.chat(edge, "a/m", "hi", edge={"no_cache": True})
    assert len(whole.tool_calls) == 2
    assert [{**call, "id": ""} for call in opened.tool_calls] == [{**call, "id": ""} for call in whole.tool_calls]
    assert all(call["id"] for call in opened.tool_calls)


@pytest.mark.parametrize("carry", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_a_stream_says_that_it_cannot_be_carried_away(
    colour: Colour, edge: EdgeClient, provider: Provider, carry: Callable[[object], object]
) -> None:
    provider.script(stream("one", "two"))
    opened = colour.chat(edge, "a/m", "hi", stream=True)
    with pytest.raises(TypeError, match="Keep its chunks"):
        carry(opened)
    assert "".join(chunk.text for chunk in colour.items(opened)) == "onetwo"


def test_vectors_are_floats_where_base64_was_asked_for(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(embeddings([0.5, -0.25]))
    reply = colour.embed(edge, "a/m", "hi", encoding_format="base64")
    assert isinstance(reply["data"][0]["embedding"], str), "the provider's JSON stays as it came"
    assert reply.vectors == [[0.5, -0.25]]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"messages": [{"role": "user", "content": [{"x": b"png"}]}]},
            r"`messages\[0\]\.content\[0\]\.x` cannot",
        ),
        ({"response_format": dict}, "`response_format` cannot be written as JSON: Object of type type"),
        ({"temperature": float("nan")}, "`temperature` cannot be written as JSON: NaN"),
        ({"metadata": {("a", "b"): 1}}, "`metadata` cannot be written as JSON: keys must be str"),
    ],
    ids=["bytes", "type", "nan", "key"],
)
def test_what_json_has_no_words_for_is_named(
    colour: Colour, edge: EdgeClient, provider: Provider, fields: dict[str, Any], words: str
) -> None:
    asked = {"messages": "hi", **fields}
    with pytest.raises(InvalidRequest, match=words):
        colour.chat(edge, "a/m", asked.pop("messages"), **asked)
    provider.never_asked()


def test_what_is_nested_without_end_is_refused(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(InvalidRequest, match=r"`tools.* cannot be written as JSON"):
        colour.chat(edge, "a/m", "hi", tools=endless)
    provider.never_asked()


@pytest.mark.parametrize("name", ["api_key", "base_url", "extra_body", "extra_headers", "extra_query", "max_retries"])
def test_an_option_of_sdks_is_refused_with_its_place_and_not_sent(
    colour: Colour, edge: EdgeClient, provider: Provider, name: str
) -> None:
    for ask in (colour.chat, colour.embed):
        with pytest.raises(InvalidRequest, match=f"`{name}` is an option of SDKs") as caught:
            ask(edge, "a/m", "hi", **{name: "sk-canary-7f3a"})
        assert "canary" not in str(caught.value)
    provider.never_asked()


def test_an_answer_in_raw_bytes_with_a_long_number_keeps_it(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    body = b'{"model":"m","choices":[{"message":{"content":"hi"}}],"seed":1000000000000000000000000000001}'
    provider.script(raw(body, content_type="application/json"))
    assert colour.chat(edge, "a/m", "hi")["seed"] == 10**30 + 1
