"""
Both colours for every test: `colour` runs a test once with no event loop at all and once on one.

A test says what it wants (`colour.chat(edge, …)`, `colour.openai(edge, url)`), and the colour says
how to wait for it.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings

from llm_edge import EdgeClient
from llm_edge.message import Handler, Request, Response
from llm_edge.runtime import Awaiting, Blocking, Clock, Runtime, drive

T = TypeVar("T")

# How long an example takes is no truth about our code: a busy machine must not fail a test.
settings.register_profile("llm_edge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("llm_edge")


def pytest_collection_finish() -> None:
    """Thousands of tests and all they import are there, and will stay: no collection looks through them again."""
    gc.collect()
    gc.freeze()


class Colour:
    """One way to wait. `name` is `sync` or `async`."""

    name: str

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine of the chain."""
        raise NotImplementedError

    def runtime(self, clock: Clock | None = None) -> Runtime:
        raise NotImplementedError

    def finish(self, result: Any) -> Any:
        """The result of an SDK call: awaited where it has to be."""
        raise NotImplementedError

    def items(self, stream: Any) -> list[Any]:
        """All that a stream gives."""
        raise NotImplementedError

    def handler(self, edge: EdgeClient) -> Handler:
        return edge.handler("sync" if self.name == "sync" else "async")

    def ask(self, handler: Handler, request: Request) -> Response:
        return self.run(handler(request))

    def chat(self, edge: EdgeClient, /, *given: Any, **named: Any) -> Any:
        """`edge.chat` or `edge.achat`."""
        return self.finish((edge.chat if self.name == "sync" else edge.achat)(*given, **named))

    def embed(self, edge: EdgeClient, /, *given: Any, **named: Any) -> Any:
        return self.finish((edge.embed if self.name == "sync" else edge.aembed)(*given, **named))

    def http_client(self, edge: EdgeClient, library: str = "httpx2", **options: Any) -> Any:
        make: Callable[..., Any] = edge.http_client if self.name == "sync" else edge.async_http_client
        return make(library, **options)

    def openai(self, edge: EdgeClient, base_url: str, *, library: str = "httpx2", **options: Any) -> Any:
        """The real SDK over the edge."""
        import openai

        kind: Callable[..., Any] = openai.OpenAI if self.name == "sync" else openai.AsyncOpenAI
        client = kind(
            **{"api_key": "sk-test", "base_url": base_url, "http_client": self.http_client(edge, library), **options}
        )
        self.opened.append(client)
        return client

    def __init__(self) -> None:
        self.opened: list[Any] = []

    def close(self, *things: Any) -> None:
        for thing in things:
            close = getattr(thing, "aclose", None) if self.name == "async" else None
            self.finish((close or thing.close)())


class Sync(Colour):
    name = "sync"

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return drive(work)

    def runtime(self, clock: Clock | None = None) -> Runtime:
        return Blocking(clock)

    def finish(self, result: Any) -> Any:
        return result

    def items(self, stream: Any) -> list[Any]:
        return list(stream)


class Async(Colour):
    name = "async"

    def __init__(self, runner: asyncio.Runner) -> None:
        super().__init__()
        self._runner = runner

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(work)

    def runtime(self, clock: Clock | None = None) -> Runtime:
        return Awaiting(clock)

    def finish(self, result: Any) -> Any:
        async def wait() -> Any:
            return await result

        return self._runner.run(wait()) if inspect.isawaitable(result) else result

    def items(self, stream: Any) -> list[Any]:
        async def collect() -> list[Any]:
            return [item async for item in stream]

        return self._runner.run(collect())


@pytest.fixture(params=["sync", "async"])
def colour(request: pytest.FixtureRequest) -> Iterator[Colour]:
    """Runs the test in both colours."""
    if request.param == "sync":
        one: Colour = Sync()
        yield one
        one.close(*one.opened)
        return
    with asyncio.Runner() as runner:
        other = Async(runner)
        yield other
        other.close(*other.opened)


@pytest.fixture
def edges(colour: Colour) -> Iterator[Callable[..., EdgeClient]]:
    """Makes EdgeClients that are closed with the test; no variable of this machine reaches them."""
    made: list[EdgeClient] = []

    def make(*given: Any, **sections: Any) -> EdgeClient:
        edge = EdgeClient(*given, **{"env": {}, **sections})
        made.append(edge)
        return edge

    yield make
    colour.close(*made)
