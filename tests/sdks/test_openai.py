"""The openai SDK over us: answered once by the provider, then from memory, and nothing in the app notices."""

from __future__ import annotations

from typing import Any

import openai
import pydantic
import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer, embeddings, stream, tool_call

ASK: Any = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}]}
TOOL: Any = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture
def client(sdks: Any, edge: EdgeClient, provider: Provider) -> Any:
    return sdks.openai(edge, provider)


def test_an_answer_is_kept_and_equal_the_second_time(client: Any, provider: Provider, colour: Any) -> None:
    provider.script(answer("hi", tool_calls=[tool_call("weather", {"city": "Oslo"})]))
    first, second = (colour.finish(client.chat.completions.create(**ASK, tools=[TOOL])) for _ in range(2))
    assert first == second
    assert first.choices[0].message.tool_calls[0].function.arguments == '{"city":"Oslo"}'
    assert first._request_id == second._request_id == "req_1"
    provider.asked(1)


def test_a_stream_is_kept_and_equal_the_second_time(client: Any, provider: Provider, colour: Any) -> None:
    provider.script(stream("a", "b", "c"))
    asked = {**ASK, "stream": True, "stream_options": {"include_usage": True}}
    first, second = (colour.items(colour.finish(client.chat.completions.create(**asked))) for _ in range(2))
    assert first == second
    assert "".join(chunk.choices[0].delta.content or "" for chunk in first if chunk.choices) == "abc"
    assert first[-1].usage.total_tokens == 12
    provider.asked(1)


def test_a_raw_response_shows_the_headers_and_the_answer(client: Any, provider: Provider, colour: Any) -> None:
    provider.script(answer("hi"))
    got = [colour.finish(client.chat.completions.with_raw_response.create(**ASK)) for _ in range(2)]
    assert [each.headers["x-llm-edge-cache"] for each in got] == ["MISS", "HIT"]
    assert [each.parse().choices[0].message.content for each in got] == ["hi", "hi"]
    assert got[0].status_code == 200
    assert got[0].text == got[1].text


def test_a_streaming_response_gives_lines_and_bytes(client: Any, provider: Provider, colour: Any) -> None:
    provider.script(stream("a", "b"))
    asked = client.chat.completions.with_streaming_response

    async def lines() -> list[str]:
        async with asked.create(**ASK, stream=True) as got:
            return [line async for line in got.iter_lines()]

    def read() -> list[str]:
        if colour.name == "async":
            return colour.run(lines())
        with asked.create(**ASK, stream=True) as got:
            return list(got.iter_lines())

    first, second = read(), read()
    assert first == second
    assert first[-2:] == ["data: [DONE]", ""]
    provider.asked(1)


def test_the_stream_helper_collects_the_answer(client: Any, provider: Provider, colour: Any) -> None:
    provider.script(stream("a", "b", tool_calls=[tool_call("weather", {"city": "Oslo"})]))

    async def collect() -> Any:
        async with client.chat.completions.stream(**ASK, tools=[TOOL]) as got:
            kinds = [event.type async for event in got]
            return kinds, await got.get_final_completion()

    def read() -> Any:
        if colour.name == "async":
            return colour.run(collect())
        with client.chat.completions.stream(**ASK, tools=[TOOL]) as got:
            kinds = [event.type for event in got]
            return kinds, got.get_final_completion()

    (kinds, final), (again, kept) = read(), read()
    assert (kinds, final) == (again, kept)
    assert "tool_calls.function.arguments.done" in kinds
    assert final.choices[0].message.content == "ab"
    provider.asked(1)


class Weather(pydantic.BaseModel):
    city: str
    degrees: int


def test_parse_gives_a_model(client: Any, provider: Provider, colour: Any) -> None:
    provider.script(answer('{"city": "Oslo", "degrees": -3}'))
    got = [colour.finish(client.chat.completions.parse(**ASK, response_format=Weather)) for _ in range(2)]
    assert [each.choices[0].message.parsed for each in got] == [Weather(city="Oslo", degrees=-3)] * 2
    provider.asked(1)


@pytest.mark.parametrize("streamed", [False, True])
def test_responses_pass_and_are_kept_when_the_provider_keeps_nothing(
    client: Any, provider: Provider, colour: Any, streamed: bool
) -> None:
    provider.script(stream("a", "b", tool_calls=[tool_call("f", {"x": 1})]))
    asked: Any = {"model": "gpt-x", "input": "hello", "store": False, "stream": streamed}
    got = [colour.finish(client.responses.create(**asked)) for _ in range(2)]
    if streamed:
        got = [colour.items(each)[-1].response for each in (got[0],)] + [colour.items(got[1])[-1].response]
    assert [each.output_text for each in got] == ["ab", "ab"]
    assert got[0].usage.total_tokens == 12


def test_embeddings_are_kept(client: Any, provider: Provider, colour: Any) -> None:
    provider.script(embeddings([0.5, 0.25]))
    got = [colour.finish(client.embeddings.create(model="e", input=["a", "b"])) for _ in range(2)]
    assert got[0] == got[1]
    assert got[0].data[1].embedding == [0.5, 0.25]
    provider.asked(1)


def test_legacy_completions_pass(client: Any, provider: Provider, colour: Any) -> None:
    provider.script(stream("a", "b"))
    whole = colour.finish(client.completions.create(model="m", prompt="x"))
    parts = colour.items(colour.finish(client.completions.create(model="m", prompt="x", stream=True)))
    assert whole.choices[0].text == "".join(part.choices[0].text for part in parts) == "ab"


def test_models_are_listed_by_the_provider(client: Any, provider: Provider, colour: Any) -> None:
    provider.models = ("a", "b")
    assert [model.id for model in colour.items(client.models.list())] == ["a", "b"]
    assert colour.finish(client.models.retrieve("b")).id == "b"
    with pytest.raises(openai.NotFoundError):
        colour.finish(client.models.retrieve("c"))


def test_the_older_http_library_serves_as_well(sdks: Any, edge: EdgeClient, provider: Provider, colour: Any) -> None:
    provider.script(stream("a", "b"))
    client = sdks.openai(edge, provider, library="httpx")
    newer = sdks.openai(edge, provider)
    first = colour.finish(client.chat.completions.create(**ASK))
    second = colour.finish(newer.chat.completions.create(**ASK))
    other = {**ASK, "model": "another", "stream": True}
    streamed = colour.items(colour.finish(client.chat.completions.create(**other)))
    replayed = colour.items(colour.finish(newer.chat.completions.create(**other)))
    assert first == second
    assert streamed == replayed
    provider.asked(2)


def test_both_colours_share_what_is_kept(sdks: Any, edge: EdgeClient, provider: Provider, colour: Any) -> None:
    client = sdks.openai(edge, provider)
    first = colour.finish(client.chat.completions.create(**ASK))
    with openai.OpenAI(api_key="sk-test", base_url=provider.url + "/v1", http_client=edge.http_client()) as other:
        assert other.chat.completions.create(**ASK) == first
    provider.asked(1)
