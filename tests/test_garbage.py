"""What a call took is given back when it is over: nothing of it waits for the garbage collector."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.errors import EdgeError
from llm_edge.testing import Provider, answer, hang_up, html, json_body, status, stream

from .conftest import Colour

Edges = Callable[..., EdgeClient]
SAID = [{"role": "user", "content": "Where is Paris?"}]
ENGINES = ["httptools", "httpx2"]


@pytest.fixture
def left() -> Iterator[Callable[[Callable[[], None]], list[str]]]:
    """Tells what of ours a piece of work leaves to the garbage collector."""

    def of(work: Callable[[], None]) -> list[str]:
        for _ in range(3):
            work()  # whatever is made once
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        work()
        gc.collect()
        ours = [f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.garbage]
        gc.set_debug(0)
        gc.garbage.clear()
        return [name for name in ours if name.startswith("llm_edge.") and not name.startswith("llm_edge.testing.")]

    yield of
    gc.set_debug(0)
    gc.garbage.clear()
    gc.enable()


def failing(colour: Colour, edge: EdgeClient, failed: list[str]) -> Callable[[], None]:
    """A call that fails; caught right where it is made, and not by `pytest.raises`, which remembers where that was."""

    def ask() -> None:
        try:
            edge.chat("gpt/gpt-4o", SAID)
        except EdgeError as error:
            failed.append(type(error).__name__)

    async def ask_soon() -> None:
        try:
            await edge.achat("gpt/gpt-4o", SAID)
        except EdgeError as error:
            failed.append(type(error).__name__)

    return ask if colour.name == "sync" else lambda: colour.run(ask_soon())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("policy", ["off", "all"])
def test_an_answer_leaves_nothing(
    policy: str, streamed: bool, engine: str, colour: Colour, edges: Edges, provider: Provider, left: Any
) -> None:
    provider.script(stream("It is ", "here.") if streamed else answer("Here."))
    place = {"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}}
    edge = edges(providers=place, cache={"policy": policy}, http={"engine": engine})

    def ask() -> None:
        reply = colour.chat(edge, "gpt/gpt-4o", SAID, stream=streamed)
        if streamed:
            colour.items(reply)
        assert "ere." in reply.text

    assert left(ask) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_miss_that_is_kept_leaves_nothing(
    engine: str, colour: Colour, edges: Edges, provider: Provider, left: Any
) -> None:
    provider.script(stream("It is ", "here."))
    place = {"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}}
    edge = edges(providers=place, http={"engine": engine})
    asked = iter(range(99))

    def ask() -> None:
        colour.items(colour.chat(edge, "gpt/gpt-4o", [{**SAID[0], "content": str(next(asked))}], stream=True))

    assert left(ask) == []
    assert edge.cache.stats()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("step", "sections"),
    [
        (status(400), {}),
        (status(500), {}),
        (status(500), {"retry": {"attempts": 3, "base": 0, "cap": 0}}),
        (hang_up(), {"retry": {"attempts": 2, "base": 0, "cap": 0}}),
        (html(), {}),
        (json_body({"error": {"message": "no"}}), {}),
        (hang_up(), {}),
        (answer("Here."), {"limits": {"global": {"requests_per_day": 1}}}),
    ],
    ids=["refused", "failed", "tried again", "never there", "HTML", "an error in an answer", "hung up", "limited"],
)
def test_a_failure_leaves_nothing(
    step: Any, sections: Any, engine: str, colour: Colour, edges: Edges, provider: Provider, left: Any
) -> None:
    provider.script(step)
    place = {"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}}
    off: Any = {"cache": {"policy": "off"}, "retry": {"attempts": 1}}
    edge = edges(providers=place, http={"engine": engine}, **{**off, **sections})
    failed: list[str] = []

    assert left(failing(colour, edge, failed)) == []
    assert len(failed) >= 3


def test_a_call_that_reaches_nobody_leaves_nothing(colour: Colour, edges: Edges, refused_url: str, left: Any) -> None:
    place = {"kind": "openai", "base_url": f"{refused_url}/v1", "api_key": "k"}
    # httpcore2, under the other engine, keeps an error of Python's in a circle on some versions of it.
    edge = edges(
        providers={"gpt": place}, http={"engine": "httptools"}, retry={"base": 0, "cap": 0}, breaker={"failures": 99}
    )
    failed: list[str] = []

    assert left(failing(colour, edge, failed)) == []
    assert set(failed) == {"NetworkFailed"}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("attempts", [2, 1], ids=["tried again", "another asked"])
def test_an_answer_after_a_failure_leaves_nothing(
    attempts: int, engine: str, colour: Colour, edges: Edges, provider: Provider, left: Any
) -> None:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    edge = edges(
        providers={"gpt": place, "spare": place},
        routes={"r": {"targets": ["gpt/gpt-4o", "spare/gpt-4o"]}},
        http={"engine": engine},
        cache={"policy": "off"},
        retry={"attempts": attempts, "base": 0, "cap": 0},
        breaker={"failures": 99},
    )

    def ask() -> None:
        provider.script(status(500), answer("Here."))
        assert colour.chat(edge, "r", SAID).text == "Here."

    assert left(ask) == []


@pytest.mark.parametrize("engine", ENGINES)
def test_a_failure_that_is_kept_keeps_nothing_of_what_had_come(
    engine: str, colour: Colour, edges: Edges, provider: Provider
) -> None:
    size = 2**20
    provider.script(answer("y" * 4 * size).cut(after_bytes=3 * size))
    place = {"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}}
    edge = edges(providers=place, http={"engine": engine}, retry={"attempts": 1}, breaker={"failures": 99})
    kept: list[EdgeError] = []

    def ask() -> None:
        with pytest.raises(EdgeError) as caught:
            colour.chat(edge, "gpt/gpt-4o", SAID)
        kept.append(caught.value)

    ask()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        ask()
        gc.collect()
        after, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most - before > 2 * size
    assert after - before < size


def test_under_an_sdk_a_call_leaves_nothing(colour: Colour, edges: Edges, provider: Provider, left: Any) -> None:
    provider.script(answer("Here."))
    sdk = colour.openai(edges(cache={"policy": "off"}), f"{provider.url}/v1")

    def ask() -> None:
        assert colour.finish(sdk.chat.completions.create(model="gpt-4o", messages=SAID)).choices

    assert left(ask) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("policy", ["off", "all"])
def test_a_stream_that_is_dropped_hangs_up_at_once(
    policy: str, engine: str, colour: Colour, edges: Edges, provider: Provider
) -> None:
    """Or the provider would go on, and bill, until the next collection."""
    provider.script(stream("It is ", "here.").stall(after_events=2))
    place = {"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}}
    edge = edges(providers=place, cache={"policy": policy}, http={"engine": engine})

    async def drop() -> None:
        async for _ in await edge.achat("gpt/gpt-4o", SAID, stream=True):
            break

    gc.disable()
    try:
        if colour.name == "sync":
            next(iter(edge.chat("gpt/gpt-4o", SAID, stream=True)))
        else:
            colour.run(drop())
            colour.run(asyncio.to_thread(provider.last.wait_ended))  # while the loop goes on
        assert provider.last.wait_ended().closed_early
    finally:
        gc.enable()
