"""The other SDKs over us: anthropic, google-genai, mistralai, langchain-openai, pydantic-ai."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer, stream, tool_call

CLAUDE: Any = {"model": "claude-x", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}
ASK: Any = {"model": "mistral-x", "messages": [{"role": "user", "content": "hello"}]}
TOOL: Any = {"name": "f", "description": "f", "input_schema": {"type": "object", "properties": {}}}


def test_anthropic_is_answered_from_memory_the_second_time(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any
) -> None:
    provider.script(answer("hi", tool_calls=[tool_call("f", {"x": 1}, call_id="toolu_1")]))
    client = sdks.anthropic(edge, provider)
    first, second = (colour.finish(client.messages.create(**CLAUDE, tools=[TOOL])) for _ in range(2))
    assert first == second
    assert [block.type for block in first.content] == ["text", "tool_use"]
    assert (first.content[1].input, first.usage.output_tokens, first._request_id) == ({"x": 1}, 3, "req_1")
    assert provider.asked(1)[0].key == "sk-test"


def test_anthropic_streams_and_replays(sdks: Any, edge: EdgeClient, provider: Provider, colour: Any) -> None:
    provider.script(stream("a", "b", tool_calls=[tool_call("f", {"x": 1})]))
    client = sdks.anthropic(edge, provider)

    async def collect() -> Any:
        async with client.messages.stream(**CLAUDE, tools=[TOOL]) as got:
            return [text async for text in got.text_stream], await got.get_final_message()

    def read() -> Any:
        if colour.name == "async":
            return colour.run(collect())
        with client.messages.stream(**CLAUDE, tools=[TOOL]) as got:
            return list(got.text_stream), got.get_final_message()

    (texts, final), (again, kept) = read(), read()
    assert (texts, final) == (again, kept)
    assert (texts, final.stop_reason, final.content[1].input) == (["a", "b"], "tool_use", {"x": 1})
    provider.asked(1)


def test_anthropic_shows_raw_headers_counts_and_lists(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any
) -> None:
    provider.models = ("claude-a",)
    client = sdks.anthropic(edge, provider)
    raw = [colour.finish(client.messages.with_raw_response.create(**CLAUDE)) for _ in range(2)]
    assert [each.headers["x-llm-edge-cache"] for each in raw] == ["MISS", "HIT"]
    counted = {name: CLAUDE[name] for name in ("model", "messages")}
    assert colour.finish(client.messages.count_tokens(**counted)).input_tokens == 9
    assert [model.id for model in colour.items(client.models.list())] == ["claude-a"]


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_google_is_answered_from_memory_the_second_time(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any, library: str
) -> None:
    provider.script(answer("hi", tool_calls=[tool_call("f", {"x": 1})]))
    models = sdks.google(edge, provider, library=library)
    first, second = (colour.finish(models.generate_content(model="gemini-x", contents="hello")) for _ in range(2))
    assert (
        (first.text, first.function_calls[0].args) == (second.text, second.function_calls[0].args) == ("hi", {"x": 1})
    )
    assert first.usage_metadata == second.usage_metadata
    provider.asked(1, headers={"x-goog-api-key": "k-test"})


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_google_streams_and_replays(sdks: Any, edge: EdgeClient, provider: Provider, colour: Any, library: str) -> None:
    provider.script(stream("a", "b"))
    models = sdks.google(edge, provider, library=library)

    def read() -> list[Any]:
        return colour.items(colour.finish(models.generate_content_stream(model="gemini-x", contents="hello")))

    first, second = read(), read()
    assert [chunk.text for chunk in first] == [chunk.text for chunk in second] == ["a", "b"]
    assert first[-1].candidates[0].finish_reason == second[-1].candidates[0].finish_reason == "STOP"
    provider.asked(1)


def test_google_embeds(sdks: Any, edge: EdgeClient, provider: Provider, colour: Any) -> None:
    models = sdks.google(edge, provider)
    got = [colour.finish(models.embed_content(model="gemini-embedding-001", contents=["a", "b"])) for _ in range(2)]
    assert got[0].embeddings == got[1].embeddings
    assert len(got[0].embeddings) == 2
    provider.asked(1)


def test_mistral_is_answered_from_memory_and_streams(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any
) -> None:
    provider.script(stream("a", "b"))
    client = sdks.mistral(edge, provider)
    whole, streamed = client.chat.complete, client.chat.stream
    if colour.name == "async":
        whole, streamed = client.chat.complete_async, client.chat.stream_async
    first, second = (colour.finish(whole(**ASK)) for _ in range(2))
    assert first == second
    assert first.choices[0].message.content == "ab"
    parts, again = (colour.items(colour.finish(streamed(**ASK))) for _ in range(2))
    assert parts == again
    assert "".join(part.data.choices[0].delta.content or "" for part in parts) == "ab"
    provider.asked(2)


def test_langchain_is_answered_from_memory_and_streams(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any
) -> None:
    provider.script(stream("a", "b"))
    model = sdks.langchain(edge, provider)
    invoke, streamed = (model.invoke, model.stream) if colour.name == "sync" else (model.ainvoke, model.astream)
    first, second = (colour.finish(invoke("hello")) for _ in range(2))
    assert first.content == second.content == "ab"
    assert first.usage_metadata == second.usage_metadata
    parts, again = (colour.items(streamed("hello again")) for _ in range(2))
    assert [part.content for part in parts] == [part.content for part in again]
    assert "".join(part.content for part in parts) == "ab"
    provider.asked(2)


def test_langchain_calls_tools_and_parses(sdks: Any, edge: EdgeClient, provider: Provider, colour: Any) -> None:
    provider.script(answer(tool_calls=[tool_call("weather", {"city": "Oslo"})]), answer('{"city": "Bergen"}'))
    tool = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}
    model = sdks.langchain(edge, provider)
    shape: Any = {"title": "place", "type": "object", "properties": {"city": {"type": "string"}}}
    bound, shaped = model.bind_tools([tool]), model.with_structured_output(shape, method="json_schema")
    ask = "invoke" if colour.name == "sync" else "ainvoke"
    got = colour.finish(getattr(bound, ask)("hello"))
    assert got.tool_calls[0]["args"] == {"city": "Oslo"}
    assert colour.finish(getattr(shaped, ask)("where")) == {"city": "Bergen"}


def test_pydantic_ai_runs_a_tool_and_streams(edge: EdgeClient, provider: Provider) -> None:
    # It has no sync clients: its sync methods run an event loop.
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    provider.script(answer(tool_calls=[tool_call("weather", {"city": "Oslo"})]), answer("cold"), stream("a", "b"))

    async def ask() -> tuple[list[str], list[list[str]]]:
        async with edge.async_http_client() as http:
            spoken = OpenAIProvider(base_url=provider.url + "/v1", api_key="sk-test", http_client=http)
            agent = Agent(OpenAIChatModel("gpt-x", provider=spoken))
            agent.tool_plain(weather)
            told = [(await agent.run("hello")).output for _ in range(2)]
            parts: list[list[str]] = []
            for _ in range(2):
                async with agent.run_stream("stream") as got:
                    parts.append([text async for text in got.stream_text(delta=True, debounce_by=None)])
            return told, parts

    def weather(city: str) -> str:
        return f"{city}: -3"

    told, parts = asyncio.run(ask())
    assert told == ["cold", "cold"]
    assert parts == [["a", "b"]] * 2
    provider.asked(3)
