"""Real SDKs over an edge, in the colour of the test, against scripted providers on real sockets."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider

ASK: dict[str, Any] = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}]}
CLAUDE: dict[str, Any] = {"model": "claude-x", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}


@pytest.fixture
def providers() -> Iterator[Callable[..., Provider]]:
    """Makes scripted providers whose servers end with the test."""
    made: list[Provider] = []

    def make(*steps: Any, **options: Any) -> Provider:
        made.append(Provider(*steps, **options))
        return made[-1]

    yield make
    for provider in made:
        provider.close()


@pytest.fixture
def provider(providers: Callable[..., Provider]) -> Provider:
    return providers()


@pytest.fixture(params=["httptools", "pyreqwest", "httpx2"])
def engine(request: pytest.FixtureRequest) -> str:
    """Runs the test on all HTTP engines."""
    return str(request.param)


@pytest.fixture
def edge(edges: Callable[..., EdgeClient], engine: str) -> EdgeClient:
    """An edge as it comes, on one engine; retries wait for nothing."""
    return edges(http={"engine": engine}, retry={"base": 0.0})


class Sdks:
    """Clients of the real SDKs over an edge."""

    def __init__(self, colour: Any) -> None:
        self.colour = colour
        self.sync = colour.name == "sync"

    def opened(self, client: Any) -> Any:
        self.colour.opened.append(client)
        return client

    def openai(self, edge: EdgeClient, provider: Provider, **options: Any) -> Any:
        return self.colour.openai(edge, provider.url + "/v1", **options)

    def anthropic(self, edge: EdgeClient, provider: Provider, **options: Any) -> Any:
        import anthropic

        kind: Any = anthropic.Anthropic if self.sync else anthropic.AsyncAnthropic
        given = {"api_key": "sk-test", "base_url": provider.url, "http_client": self.colour.http_client(edge)}
        return self.opened(kind(**given, **options))

    def google(self, edge: EdgeClient, provider: Provider, *, library: str = "httpx2") -> Any:
        """`client.models`, of the colour."""
        from google import genai

        name = "httpx_client" if self.sync else "httpx_async_client"
        http: Any = self.colour.http_client(edge, library)
        options: Any = {"base_url": provider.url, name: http}
        client = genai.Client(api_key="k-test", http_options=genai.types.HttpOptions(**options))
        self.opened(http)
        return client.models if self.sync else client.aio.models

    def mistral(self, edge: EdgeClient, provider: Provider) -> Any:
        from mistralai.client import Mistral

        http: Any = self.colour.http_client(edge)
        self.opened(http)
        named: Any = {"client" if self.sync else "async_client": http}
        return Mistral(api_key="k-test", server_url=provider.url, **named)

    def langchain(self, edge: EdgeClient, provider: Provider, **options: Any) -> Any:
        from langchain_openai import ChatOpenAI

        http: Any = self.colour.http_client(edge)
        self.opened(http)
        named: Any = {"http_client" if self.sync else "http_async_client": http}
        return ChatOpenAI(model="gpt-x", base_url=provider.url + "/v1", api_key="sk-test", **named, **options)  # type: ignore[arg-type]  # a plain key is taken


@pytest.fixture
def sdks(colour: Any) -> Sdks:
    return Sdks(colour)
