"""
Who is measured. A contender is a function `(url) -> context manager` giving `ask(prompt, stream)`, which makes one
call and returns the text it got, so that a contender that answers wrongly is noticed.

Each runs in a process of its own (`worker.py`), so imports stay inside the functions: nobody pays for another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from .provider import MODEL

Ask: TypeAlias = Callable[[str, bool], str]
AsyncAsk: TypeAlias = Callable[[str, bool], Awaitable[str]]
Engine: TypeAlias = Literal["auto", "httpx2"]
"""`auto` takes the fastest engine the extra `fast` brings for the colour."""

KEY = "no-key"


def body(prompt: str, stream: bool) -> dict[str, Any]:
    """The chat request everybody sends."""
    asked: dict[str, Any] = {"model": MODEL, "messages": [{"role": "user", "content": prompt}]}
    return {**asked, "stream": True, "stream_options": {"include_usage": True}} if stream else asked


def extra(stream: bool) -> dict[str, Any]:
    """What of it stands beside model and messages, for those who take keywords."""
    return {"stream": True, "stream_options": {"include_usage": True}} if stream else {}


# ---------------------------------------------------------------- HTTP libraries alone


@contextmanager
def httpx2_alone(url: str) -> Iterator[Ask]:
    import httpx2

    # Its own limit of 20 idle connections would have it connect anew at 32 concurrent and more.
    limits = httpx2.Limits(max_connections=512, max_keepalive_connections=512)
    with httpx2.Client(base_url=url, limits=limits, headers={"authorization": f"Bearer {KEY}"}) as client:

        def ask(prompt: str, stream: bool) -> str:
            if not stream:
                answer = client.post("/v1/chat/completions", json=body(prompt, False)).json()
                return answer["choices"][0]["message"]["content"]
            with client.stream("POST", "/v1/chat/completions", json=body(prompt, True)) as response:
                return b"".join(response.iter_raw()).decode()

        yield ask


@asynccontextmanager
async def httpx2_alone_async(url: str) -> AsyncIterator[AsyncAsk]:
    import httpx2

    limits = httpx2.Limits(max_connections=512, max_keepalive_connections=512)
    async with httpx2.AsyncClient(base_url=url, limits=limits, headers={"authorization": f"Bearer {KEY}"}) as client:

        async def ask(prompt: str, stream: bool) -> str:
            if not stream:
                answer = (await client.post("/v1/chat/completions", json=body(prompt, False))).json()
                return answer["choices"][0]["message"]["content"]
            async with client.stream("POST", "/v1/chat/completions", json=body(prompt, True)) as response:
                return b"".join([chunk async for chunk in response.aiter_raw()]).decode()

        yield ask


@contextmanager
def pyreqwest_alone(url: str) -> Iterator[Ask]:
    from pyreqwest.client import SyncClientBuilder

    with SyncClientBuilder().no_proxy().build() as client:
        url += "/v1/chat/completions"

        def ask(prompt: str, stream: bool) -> str:
            request = client.post(url).header("authorization", f"Bearer {KEY}").body_json(body(prompt, stream))
            if not stream:
                return request.build().send().json()["choices"][0]["message"]["content"]
            with request.streamed_read_buffer_limit(0).build_streamed() as response:
                reader, chunks = response.body_reader, []
                while (chunk := reader.read_chunk()) is not None:
                    chunks.append(chunk.to_bytes())
                return b"".join(chunks).decode()

        yield ask


@asynccontextmanager
async def pyreqwest_alone_async(url: str) -> AsyncIterator[AsyncAsk]:
    from pyreqwest.client import ClientBuilder

    async with ClientBuilder().no_proxy().build() as client:
        url += "/v1/chat/completions"

        async def ask(prompt: str, stream: bool) -> str:
            request = client.post(url).header("authorization", f"Bearer {KEY}").body_json(body(prompt, stream))
            if not stream:
                answer = await (await request.build().send()).json()
                return answer["choices"][0]["message"]["content"]
            async with request.streamed_read_buffer_limit(0).build_streamed() as response:
                reader, chunks = response.body_reader, []
                while (chunk := await reader.read_chunk()) is not None:
                    chunks.append(chunk.to_bytes())
                return b"".join(chunks).decode()

        yield ask


# ---------------------------------------------------------------- the openai SDK, without us and over us


@contextmanager
def openai_alone(url: str, http_client: Any = None) -> Iterator[Ask]:
    from openai import OpenAI

    with OpenAI(base_url=f"{url}/v1", api_key=KEY, http_client=http_client) as sdk:

        def ask(prompt: str, stream: bool) -> str:
            answer = sdk.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": prompt}], **extra(stream)
            )
            if stream:
                return "".join(choice.delta.content or "" for chunk in answer for choice in chunk.choices)
            return answer.choices[0].message.content

        yield ask


@asynccontextmanager
async def openai_alone_async(url: str, http_client: Any = None) -> AsyncIterator[AsyncAsk]:
    from openai import AsyncOpenAI

    async with AsyncOpenAI(base_url=f"{url}/v1", api_key=KEY, http_client=http_client) as sdk:

        async def ask(prompt: str, stream: bool) -> str:
            answer = await sdk.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": prompt}], **extra(stream)
            )
            if stream:
                return "".join([choice.delta.content or "" async for chunk in answer for choice in chunk.choices])
            return answer.choices[0].message.content

        yield ask


@contextmanager
def openai_over_pyreqwest(url: str) -> Iterator[Ask]:
    """A transport that does nothing but send: under the SDK, no gateway can cost less than this."""
    import httpx2
    from pyreqwest.client import SyncClientBuilder

    class Bare(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            asked = client.request(request.method, str(request.url)).headers(_unframed(request.headers.raw))
            answer = asked.body_bytes(request.read()).build().send()
            headers, content = list(answer.headers.items()), answer.bytes().to_bytes()
            return httpx2.Response(answer.status, headers=headers, content=content, request=request)

    with SyncClientBuilder().no_proxy().build() as client, openai_alone(url, httpx2.Client(transport=Bare())) as ask:
        yield ask


@asynccontextmanager
async def openai_over_pyreqwest_async(url: str) -> AsyncIterator[AsyncAsk]:
    """The same for event loops."""
    import httpx2
    from pyreqwest.client import ClientBuilder

    class Bare(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            asked = client.request(request.method, str(request.url)).headers(_unframed(request.headers.raw))
            answer = await asked.body_bytes(await request.aread()).build().send()
            headers, content = list(answer.headers.items()), (await answer.bytes()).to_bytes()
            return httpx2.Response(answer.status, headers=headers, content=content, request=request)

    async with ClientBuilder().no_proxy().build() as client:
        async with openai_alone_async(url, httpx2.AsyncClient(transport=Bare())) as ask:
            yield ask


def _unframed(raw: list[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    return [(name.decode(), value.decode()) for name, value in raw if name.lower() not in (b"content-length", b"host")]


def _edge(url: str, engine: Engine) -> Any:
    """A client with its defaults: cache, retry, breaker and deadline are on."""
    from llm_edge import EdgeClient

    places = {"bench": {"kind": "openai", "base_url": f"{url}/v1", "api_key": KEY}}
    return EdgeClient(http={"engine": engine}, providers=places, env={})


@contextmanager
def openai_over_edge(url: str, engine: Engine = "auto") -> Iterator[Ask]:
    with _edge(url, engine) as edge, openai_alone(url, edge.http_client()) as ask:
        yield ask


@asynccontextmanager
async def openai_over_edge_async(url: str, engine: Engine = "auto") -> AsyncIterator[AsyncAsk]:
    async with _edge(url, engine) as edge, openai_alone_async(url, edge.async_http_client()) as ask:
        yield ask


def openai_over_edge_httpx2(url: str) -> AbstractContextManager[Ask]:
    return openai_over_edge(url, "httpx2")


def openai_over_edge_httpx2_async(url: str) -> AbstractAsyncContextManager[AsyncAsk]:
    return openai_over_edge_async(url, "httpx2")


# ---------------------------------------------------------------- direct calls


@contextmanager
def edge(url: str, engine: Engine = "auto") -> Iterator[Ask]:
    with _edge(url, engine) as client:
        model = f"bench/{MODEL}"

        def ask(prompt: str, stream: bool) -> str:
            answer = client.chat(model, [{"role": "user", "content": prompt}], **extra(stream))
            if stream:
                for _ in answer:
                    pass
            return answer.text

        yield ask


@asynccontextmanager
async def edge_async(url: str, engine: Engine = "auto") -> AsyncIterator[AsyncAsk]:
    async with _edge(url, engine) as client:
        model = f"bench/{MODEL}"

        async def ask(prompt: str, stream: bool) -> str:
            answer = await client.achat(model, [{"role": "user", "content": prompt}], **extra(stream))
            if stream:
                async for _ in answer:
                    pass
            return answer.text

        yield ask


def edge_httpx2(url: str) -> AbstractContextManager[Ask]:
    return edge(url, "httpx2")


def edge_httpx2_async(url: str) -> AbstractAsyncContextManager[AsyncAsk]:
    return edge_async(url, "httpx2")


@dataclass(frozen=True, slots=True)
class Contender:
    """One row of the table: how it asks in each colour, and whether it has a cache of its own."""

    label: str
    sync: Callable[[str], AbstractContextManager[Ask]] | None
    asynchronous: Callable[[str], AbstractAsyncContextManager[AsyncAsk]]
    caches: bool = False


CONTENDERS = {
    "httpx2": Contender("httpx2 alone", httpx2_alone, httpx2_alone_async),
    "pyreqwest": Contender("pyreqwest alone", pyreqwest_alone, pyreqwest_alone_async),
    "openai": Contender("openai SDK alone", openai_alone, openai_alone_async),
    "openai+pyreqwest": Contender(
        "openai SDK over pyreqwest, no gateway", openai_over_pyreqwest, openai_over_pyreqwest_async
    ),
    "openai+edge": Contender("openai SDK over llm_edge", openai_over_edge, openai_over_edge_async, caches=True),
    "openai+edge-httpx2": Contender(
        "openai SDK over llm_edge, httpx2 engine", openai_over_edge_httpx2, openai_over_edge_httpx2_async, caches=True
    ),
    "edge": Contender("llm_edge, direct call", edge, edge_async, caches=True),
    "edge-httpx2": Contender("llm_edge, direct call, httpx2 engine", edge_httpx2, edge_httpx2_async, caches=True),
}
