"""EdgeClient: the gateway as an object in the app's own process."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Self, Unpack, overload

from . import under_sdks
from .accounting import Accounting
from .direct import Asking, Edge, Input, Messages, answered, replied
from .errors import InvalidRequest
from .given import Given, own_layers
from .message import Handler, Layer
from .reply import AsyncReplyStream, Embeddings, Reply, ReplyStream
from .runtime import Awaiting, Blocking, Clock, drive, mind_forks

if TYPE_CHECKING:
    import httpx
    import httpx2
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from .breakers import Breakers
    from .build import House
    from .bulk.items import Result
    from .chains import Chain, Colour
    from .config import EdgeConfig, Sections
    from .http.face import Front
    from .http.sender import Sender
    from .inside import Inside
    from .layers.tell import Listens
    from .providers.base import Wire
    from .telemetry.metrics import Metrics
    from .telemetry.redaction import Redactor
    from .tools import CacheTools


class EdgeClient(Accounting):
    """
    An LLM gateway in this process: cache, limits, failover, breaker and retry in one chain.

    `EdgeClient()` has defaults for everything and reads provider keys from the variables the SDKs
    use (`OPENAI_API_KEY`, …). Settings go in as an `EdgeConfig` or as its sections by keyword:
    `EdgeClient(cache={"ttl": 60}, retry={"attempts": 1})`. One client serves any number of threads
    and event loops, which then share its cache, limits and breakers.

    `layers` are functions `async (request, handler) -> response`, passed by every call between the
    deadline and the cache. `credentials` are the app's own, by provider: a function that gives a token, or a credential
    of azure-identity, google-auth or botocore, as in `{"azure": DefaultAzureCredential()}`.
    `tracer_provider` and `meter_provider` are OpenTelemetry's, in place of the global ones. `clock` and `chance`
    are for tests.

    Raises ConfigError when a setting cannot be used.
    """

    def __init__(
        self,
        config: EdgeConfig | None = None,
        /,
        *,
        layers: Sequence[Layer] = (),
        clock: Clock | None = None,
        chance: Callable[[], float] | None = None,
        env: Mapping[str, str] | None = None,
        credentials: Mapping[str, object] | None = None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        **sections: Unpack[Sections],
    ) -> None:
        self._clock, self._busy = clock, bool(layers)
        self._lock = threading.Lock()
        self._closed = False
        self._made: Inside | None = None
        given = Given(
            config=config, sections=sections, env=dict(os.environ if env is None else env), layers=own_layers(layers),
            clock=clock, chance=chance, credentials=credentials, tracer_provider=tracer_provider,
            meter_provider=meter_provider,
        )  # fmt: skip
        self._given: Given | None = given
        mind_forks(self)
        if given.settles:
            _ = self._inside  # what cannot be used is refused here, not at the first call

    @property
    def _inside(self) -> Inside:
        """
        All there is, put together when it is first needed.

        What reads and checks settings is most of what this library weighs; a client that was given none can wait.
        """
        return self._made or self._put_together()

    def _put_together(self) -> Inside:
        from .inside import Inside

        with self._lock:
            if self._made is None:
                assert self._given is not None, "kept until now"
                self._made, self._given = Inside(self._given), None
            return self._made

    @property
    def _house(self) -> House:
        return self._inside.house

    @property
    def config(self) -> EdgeConfig:
        """What it was configured with, defaults and all."""
        return self._inside.config

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """A client configured by environment variables (`LLM_EDGE__CACHE__TTL=60`). Raises ConfigError."""
        from .config import EdgeConfig

        given = os.environ if env is None else env
        return cls(EdgeConfig.from_env(given), env=given)

    @classmethod
    def from_file(cls, file: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Self:
        """A client configured by a TOML file, environment variables over it. Raises ConfigError."""
        from .config import EdgeConfig

        given = os.environ if env is None else env
        return cls(EdgeConfig.from_file(file, given), env=given)

    def __repr__(self) -> str:
        routes = () if self._made is None else self._made.config.routes
        return f"<EdgeClient {', '.join(routes) or 'without routes'}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "an EdgeClient holds connections and locks: it cannot be pickled or copied. Make one in each place"
        )

    # ------------------------------------------------------------------ under an SDK

    @overload
    def http_client(self, library: Literal["httpx2"] = "httpx2", **options: Any) -> httpx2.Client: ...
    @overload
    def http_client(self, library: Literal["httpx"], **options: Any) -> httpx.Client: ...
    def http_client(self, library: str = "httpx2", **options: Any) -> httpx2.Client | httpx.Client:
        """
        A ready client for an SDK: `OpenAI(http_client=edge.http_client())`.

        `library="httpx"` is for SDKs that still use it. Further options go to the client as they are.
        Its timeout is left to the call: the SDK's own where it has one, else `[deadline]`.
        """
        return under_sdks.http_client(self, library, options)

    @overload
    def async_http_client(self, library: Literal["httpx2"] = "httpx2", **options: Any) -> httpx2.AsyncClient: ...
    @overload
    def async_http_client(self, library: Literal["httpx"], **options: Any) -> httpx.AsyncClient: ...
    def async_http_client(self, library: str = "httpx2", **options: Any) -> httpx2.AsyncClient | httpx.AsyncClient:
        """The same for async: `AsyncOpenAI(http_client=edge.async_http_client())`."""
        return under_sdks.async_http_client(self, library, options)

    # ------------------------------------------------------------------ direct calls

    @overload
    def chat(
        self, model: str, messages: Messages, *, stream: Literal[False] = False, edge: Edge | None = None, **fields: Any
    ) -> Reply: ...
    @overload
    def chat(
        self, model: str, messages: Messages, *, stream: Literal[True], edge: Edge | None = None, **fields: Any
    ) -> ReplyStream: ...
    @overload
    def chat(
        self, model: str, messages: Messages, *, stream: bool, edge: Edge | None = None, **fields: Any
    ) -> Reply | ReplyStream: ...
    def chat(
        self, model: str, messages: Messages, *, stream: bool = False, edge: Edge | None = None, **fields: Any
    ) -> Reply | ReplyStream:
        """
        Ask a model. `model` is a route, `provider/model` or a name known by its prefix (`gpt-…`).

        `messages` is a question, or the list of messages of the OpenAI chat API; further keywords are
        fields of that API and travel as they are. `timeout` is seconds for the whole call. `edge` holds
        what concerns llm_edge alone: `{"ttl": 60, "namespace": "a", "no_cache": True, "deadline": 10}`.

        Raises `InvalidRequest` before anything is sent, and else what stands in `llm_edge.errors`.
        """
        chain, asking = self._used("sync")
        request = asking.chat(model, messages, edge, fields, stream=stream)
        response = drive(answered(request, chain.handler, asking.clock))
        return ReplyStream(request, response, asking.clock) if response.stream else replied(Reply, request, response)

    @overload
    async def achat(
        self, model: str, messages: Messages, *, stream: Literal[False] = False, edge: Edge | None = None, **fields: Any
    ) -> Reply: ...
    @overload
    async def achat(
        self, model: str, messages: Messages, *, stream: Literal[True], edge: Edge | None = None, **fields: Any
    ) -> AsyncReplyStream: ...
    @overload
    async def achat(
        self, model: str, messages: Messages, *, stream: bool, edge: Edge | None = None, **fields: Any
    ) -> Reply | AsyncReplyStream: ...
    async def achat(
        self, model: str, messages: Messages, *, stream: bool = False, edge: Edge | None = None, **fields: Any
    ) -> Reply | AsyncReplyStream:
        """`chat` for event loops; a stream is `async for chunk in await edge.achat(..., stream=True)`."""
        chain, asking = self._used("async")
        request = asking.chat(model, messages, edge, fields, stream=stream)
        response = await answered(request, chain.handler, asking.clock)
        if response.stream:
            return AsyncReplyStream(request, response, asking.clock)
        return replied(Reply, request, response)

    def embed(self, model: str, input: Input, *, edge: Edge | None = None, **fields: Any) -> Embeddings:  # noqa: A002  the API's word
        """Embeddings of one text or a list of them. Raises as `chat` does."""
        chain, asking = self._used("sync")
        request = asking.embeddings(model, input, edge, fields)
        return replied(Embeddings, request, drive(answered(request, chain.handler, asking.clock)))

    async def aembed(self, model: str, input: Input, *, edge: Edge | None = None, **fields: Any) -> Embeddings:  # noqa: A002
        """`embed` for event loops."""
        chain, asking = self._used("async")
        request = asking.embeddings(model, input, edge, fields)
        return replied(Embeddings, request, await answered(request, chain.handler, asking.clock))

    # ------------------------------------------------------------------ many calls

    def map(
        self,
        requests: Iterable[Mapping[str, Any]],
        *,
        concurrency: int = 16,
        rpm: float | None = None,
        ordered: bool = True,
        resume: str | os.PathLike[str] | None = None,
        progress: bool = False,
    ) -> Iterator[Result]:
        """
        Ask many requests, `concurrency` at once and at most `rpm` begun per minute; gives a `Result` for each.

        A request is the fields of a chat (`{"model": …, "messages": […]}`) or of embeddings (`input`), or a line of
        OpenAI's batch format. They are drawn as there is room, so they may be a generator. Results come in order, or
        with `ordered=False` as they are there; a failure is a result with its `error`. `resume` names a JSONL file:
        every answer is written there before it is given out, and the next run does not ask for it again.
        `progress` shows a bar.

        Raises InvalidRequest for a request that makes no sense, ConfigError for a file that cannot be used.
        """
        from .bulk.job import Job

        return Job(
            edge=self, concurrency=concurrency, rpm=rpm, ordered=ordered, resume=resume, progress=progress
        ).blocking(requests)

    def amap(
        self,
        requests: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]],
        *,
        concurrency: int = 16,
        rpm: float | None = None,
        ordered: bool = True,
        resume: str | os.PathLike[str] | None = None,
        progress: bool = False,
    ) -> AsyncGenerator[Result]:
        """`map` for event loops: `async for result in edge.amap(requests)`."""
        from .bulk.job import Job

        return Job(edge=self, concurrency=concurrency, rpm=rpm, ordered=ordered, resume=resume, progress=progress).run(
            requests
        )

    # ------------------------------------------------------------------ the house behind it

    def handler(self, colour: Colour) -> Handler:
        """The chain itself, for faces of your own: `async (Request) -> Response`."""
        return self._used(colour)[0].handler

    def door(self, provider: str) -> Wire:
        """A provider's address and our credential there, as the request for its models. Raises ConfigError."""
        return self._house.targets.models(provider)

    @property
    def keyed(self) -> Sequence[str]:
        """The providers that can be asked: those configured, and those whose key stands in the environment."""
        return self._house.targets.keyed()

    @property
    def cache(self) -> CacheTools:
        """The cache, looked into: `edge.cache.stats()`, `.clear(tenant="ada")`, `.warm(requests)`."""
        from .tools import CacheTools

        return CacheTools(self._house.answers, self._clock, self.map, self.amap)

    @property
    def breakers(self) -> Breakers:
        """`provider/model` and how its breaker stands; `edge.breakers.force("openai/gpt-5.4", "open")` sets one."""
        return self._house.breakers

    @property
    def redactor(self) -> Redactor:
        """Takes this client's secrets, and personal data, out of texts: `show(redactor=edge.redactor)`."""
        return self._house.redactor()

    @property
    def stores(self) -> Mapping[str, str]:
        """Where answers and counts rest: `{"cache": "memory + redis", "counts": "redis failing"}`."""
        from .build import stores

        return stores(self._house)

    @property
    def metrics(self) -> Metrics:
        """Counts of calls for Prometheus, in a registry of their own; from its first use on, or by `[telemetry]`."""
        return self._inside.hearing.metrics

    def listen(self, listener: Listens) -> None:
        """Have each call from now on told to `listener`, as metrics and traces hear of it."""
        self._house.listeners.append(listener)

    def front(self, colour: Colour, send: Sender | None = None) -> Front:
        """What a transport needs; `send` takes the place of the HTTP engine."""
        from .http.face import Front

        chain = self._inside.chains.of(colour) if send is None else self._inside.chains.over(colour, send)
        config = self.config
        quiet = config.cache.policy == "off" and config.retry.attempts == 1 and not config.breaker.enabled
        quiet = quiet and not config.hedge.enabled and config.guard.pii == "off"
        busy = self._house.limits or self._busy or config.providers or config.routes
        return Front(
            handler=chain.handler, clock=chain.runtime.clock, routes=frozenset(config.routes),
            retries=config.retry.attempts > 1, transparent=quiet and not busy,
        )  # fmt: skip

    def hold_to(self, config: EdgeConfig) -> None:
        """
        Hold calls to the limits and budgets of this configuration from now on; all else stays as it is.

        What was counted and spent so far goes on counting. Transports made before keep what they were made with.
        """
        inside = self._inside
        with self._lock:
            inside.config = config
            inside.house.limits.hold_to(config)
            inside.house.purse.hold_to(config)
            inside.chains.renew()

    def _used(self, colour: Colour) -> tuple[Chain, Asking]:
        """The chain for calls that come through no transport, and what makes requests for it."""
        if self._closed:
            raise InvalidRequest("this EdgeClient is closed; make a new one")
        inside = self._inside
        return inside.chains.kept(colour), inside.asking

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ the end

    def face_opened(self, colour: Colour) -> None:
        """A transport over this client came to be."""
        self._inside.chains.face_opened(colour)

    async def face_closed(self, colour: Colour) -> None:
        """A transport over this client was closed: with the last go the connections, unless direct calls use them."""
        await self._inside.chains.face_closed(colour)

    def close(self) -> None:
        """Close the sync side's connections, and write down what is still to be kept; twice is harmless."""
        self._closed = True
        inside = self._made
        if inside is None:
            return
        inside.house.breakers.close()
        inside.house.limits.counters.close()
        inside.chains.close()
        drive(inside.house.answers.close(Blocking()))
        inside.hearing.close()

    async def aclose(self) -> None:
        """Close all connections, those of this event loop included."""
        inside = self._made
        if inside is not None:
            await inside.house.answers.close(Awaiting())
        self.close()
        if inside is not None:
            await inside.chains.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def given_or_new(edge: EdgeClient | None) -> EdgeClient:
    """Whose transport one is to be. Raises TypeError for what was meant as `transport=`."""
    if edge is not None and not isinstance(edge, EdgeClient):  # pyright: ignore[reportUnnecessaryIsInstance]  # not all check types
        raise TypeError(f"an EdgeClient comes first, not {type(edge).__name__}; a transport goes in as transport=…")
    return edge or EdgeClient()
