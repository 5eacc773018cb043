"""How long things last: total deadlines, streams closed early, streams that end at their last event."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2
import openai
import pytest
from google import genai

from llm_edge import EdgeClient
from llm_edge.runtime import Signal
from llm_edge.testing import Provider, answer, stream

ASK: Any = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}]}
LATE: Any = (openai.APIError, httpx2.TimeoutException)


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("how", ["silent", "dripping", "pinging"])
def test_the_sdks_timeout_is_for_the_whole_call(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any, library: str, streamed: bool, how: str
) -> None:
    # Nobody says when: a server that would take for ever is given up, or this test never ends.
    steps = {
        "silent": answer("x").stall(),
        "dripping": answer("x" * 10_000).drip(1, 0.02),
        "pinging": stream("a", "b").stall(after_events=0, ping_every=0.02),
    }
    client = sdks.openai(edge, provider, library=library, timeout=30.0, max_retries=2)

    def ask(model: str, timeout: float) -> Any:
        asked = {**ASK, "model": model, "stream": streamed, "timeout": timeout}
        got = colour.finish(client.chat.completions.create(**asked))
        return colour.items(got) if streamed else got

    assert ask("warm", 30.0)  # the first call of all imports what it needs, which may take long
    provider.script(steps[how])
    with pytest.raises(LATE):
        ask("gpt-x", 0.4)
    asked = [call for call in provider.calls if call.model == "gpt-x"]
    assert len(asked) < 2  # none where the machine stood still for all of that time
    for call in asked:
        call.wait_ended()
        assert call.closed_early


@pytest.mark.parametrize("sdk", ["openai", "anthropic"])
def test_a_call_that_took_too_long_is_a_gateway_timeout(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any, sdk: str
) -> None:
    provider.script(answer("x").stall())
    if sdk == "openai":
        waits = sdks.openai(edge, provider, timeout=0.2).chat.completions.create
    else:
        waits = sdks.anthropic(edge, provider, timeout=0.2).messages.create
    refused = (openai.InternalServerError, anthropic.InternalServerError)
    with pytest.raises(refused, match="allowed for this call") as caught:
        colour.finish(waits(**ASK, max_tokens=5))
    assert caught.value.status_code == 504
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_our_own_deadline_holds_where_the_sdk_has_none(
    sdks: Any, edges: Callable[..., EdgeClient], provider: Provider, colour: Any, engine: str
) -> None:
    provider.script(answer("x").stall())
    edge = edges(http={"engine": engine}, deadline={"chat": 0.2})
    with pytest.raises(genai.errors.ServerError, match="DEADLINE_EXCEEDED"):
        colour.finish(sdks.google(edge, provider).generate_content(model="gemini-x", contents="hello"))


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_a_stream_closed_early_is_closed_upstream(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any, library: str
) -> None:
    provider.script(stream("a", "b", "c").stall(after_events=2))
    client = sdks.openai(edge, provider, library=library)

    async def leave() -> str:
        async with await client.chat.completions.create(**ASK, stream=True) as got:
            async for chunk in got:
                if chunk.choices[0].delta.content:
                    return str(chunk.choices[0].delta.content)
        return ""

    if colour.name == "async":
        assert colour.run(leave()) == "a"
    else:
        with client.chat.completions.create(**ASK, stream=True) as got:
            assert next(chunk.choices[0].delta.content for chunk in got if chunk.choices[0].delta.content) == "a"
    assert provider.last.wait_ended().closed_early
    assert list(edge.breakers.values()) == ["closed"]


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_a_stream_whose_reader_is_let_go_is_closed_upstream(
    edge: EdgeClient, provider: Provider, colour: Any, library: str
) -> None:
    provider.script(stream("a", "b", "c").stall(after_events=2))
    client = colour.http_client(edge, library)
    asked = client.build_request("POST", provider.url + "/v1/chat/completions", json={**ASK, "stream": True})

    async def read_a_line() -> Any:
        response = await client.send(asked, stream=True)
        lines = response.aiter_lines()
        assert await anext(lines)
        await lines.aclose()
        await asyncio.to_thread(provider.last.wait_ended)
        return response

    if colour.name == "async":
        response = colour.run(read_a_line())
    else:
        response = client.send(asked, stream=True)
        lines = response.iter_lines()
        assert next(lines)
        lines.close()
    # The answer itself is still held: nothing but its reader was closed, as SDKs do that give a generator.
    assert provider.last.wait_ended().closed_early
    colour.finish(response.close() if colour.name == "sync" else response.aclose())


def test_a_cancelled_stream_is_closed_upstream(edge: EdgeClient, provider: Provider) -> None:
    provider.script(stream("a", "b").stall(after_events=2))

    async def leave() -> None:
        async with openai.AsyncOpenAI(
            api_key="k", base_url=provider.url + "/v1", http_client=edge.async_http_client()
        ) as client:
            begun = asyncio.Event()

            async def read() -> None:
                async for _ in await client.chat.completions.create(**ASK, stream=True):
                    begun.set()

            task = asyncio.create_task(read())
            await begun.wait()
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            await asyncio.to_thread(provider.last.wait_ended)

    asyncio.run(leave())
    assert provider.last.closed_early


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_calls_in_a_row_share_a_connection(
    sdks: Any, edges: Callable[..., EdgeClient], provider: Provider, colour: Any, engine: str, library: str
) -> None:
    edge = edges(http={"engine": engine}, cache={"policy": "off"})
    provider.script(stream("a", "b"))
    client = sdks.openai(edge, provider, library=library)
    for _ in range(3):
        assert colour.items(colour.finish(client.chat.completions.create(**ASK, stream=True)))
    assert {call.connection for call in provider.calls} == {1}
    for _ in range(3):
        colour.finish(client.chat.completions.create(**ASK))
    assert len({call.connection for call in provider.calls[3:]}) == 1


def test_a_stream_ends_at_its_last_event_even_when_the_server_lingers(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any
) -> None:
    # The server says [DONE] and never ends its answer: the app has all it needs, and this test would wait for ever.
    over = Signal()
    provider.script(stream("a", "b").stall(after_events=5, until=over))
    client = sdks.openai(edge, provider)
    chunks = colour.items(colour.finish(client.chat.completions.create(**ASK, stream=True)))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "ab"
    assert provider.last.wait_ended().closed_early
    assert not over.is_set
    again = colour.items(colour.finish(client.chat.completions.create(**ASK, stream=True)))
    assert again == chunks
    provider.asked(1)


def test_a_given_transport_that_lingers_holds_nobody_up(edges: Callable[..., EdgeClient]) -> None:
    closed = threading.Event()
    begun = b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n'

    class Lingering(httpx2.SyncByteStream):
        def __iter__(self) -> Any:
            yield begun
            yield b"data: [DONE]\n\n"
            raise AssertionError("nobody needs more than the last event")

        def close(self) -> None:
            closed.set()

    from llm_edge import EdgeTransport

    headers = {"content-type": "text/event-stream"}
    given = httpx2.MockTransport(lambda request: httpx2.Response(200, headers=headers, stream=Lingering()))
    with openai.OpenAI(
        api_key="k", base_url="http://m.test/v1",
        http_client=httpx2.Client(transport=EdgeTransport(edges(), transport=given)),
    ) as client:  # fmt: skip
        assert len(list(client.chat.completions.create(**ASK, stream=True))) == 1
    assert closed.is_set()
