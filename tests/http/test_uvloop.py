"""Event loops that are not asyncio's own."""

from __future__ import annotations

import asyncio
import importlib

import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer, stream


@pytest.mark.parametrize("engine", ["auto", "httpx2", "httptools"])
@pytest.mark.parametrize("library", ["uvloop", "asyncio"])
def test_calls_go_through_on_every_loop(engine: str, library: str) -> None:
    async def ask(url: str) -> str:
        settings = {"api_key": "k", "base_url": url}
        async with EdgeClient(env={}, providers={"openai": settings}, http={"engine": engine}) as edge:
            first = await edge.achat("openai/gpt-5.4", "Hi")
            chunks = [chunk.text async for chunk in await edge.achat("openai/gpt-5.4", "Ho", stream=True)]
            return (first.text or "") + "".join(chunks)

    loops = importlib.import_module(library)
    with (
        Provider(answer("A"), stream("B", "C")).serve() as server,
        asyncio.Runner(loop_factory=loops.new_event_loop) as runner,
    ):
        assert runner.run(ask(f"http://localhost:{server.port}/v1")) == "ABC"
