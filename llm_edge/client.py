"""EdgeClient: the gateway as an object in the app's own process."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, Unpack, overload

from .accounting import Accounting
from .answers import put_together
from .breakers import Breakers
from .build import House, finished, readings, stores, trunk
from .config import EdgeConfig, Resolved, resolve
from .direct import Asking, Edge, Input, Messages, answered, replied
from .errors import ConfigError, InvalidRequest
from .http.face import Front
from .http.sender import Sender
from .http.senders import HttpSettings, choose
from .message import Handler, Layer
from .providers.base import Wire
from .providers.table import key_env, setting_env
from .reply import AsyncReplyStream, Embeddings, Reply, ReplyStream
from .runtime import Awaiting, Blocking, Clock, Runtime, ThreadClock, drive, mind_forks

if TYPE_CHECKING:
    import httpx
    import httpx2
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider as Exporting
    from opentelemetry.trace import TracerProvider

    from .bulk.items import Result
    from .config import Sections
    from .layers.tell import Listens
    from .money.usage_log import UsageLog
    from .telemetry.metrics import Metrics
    from .telemetry.redaction import Redactor
    from .tools import CacheTools


@dataclass(frozen=True, slots=True)
class _Chain:
    """One colour of the house: its chain, and what it waits with."""

    runtime: Runtime
    send: Sender
    handler: Handler


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
        config = config or EdgeConfig.unset()
        self.config = config.changed(**sections) if sections else config
        secrets = resolve(self.config, os.environ if env is None else env, key_env(), setting_env())
        self._house = House(self.config, secrets, chance=chance, clock=clock, credentials=credentials)
        self._http = _http_settings(self.config, secrets)
        self._layers, self._clock = tuple(layers), clock
        self._asking = Asking(self.config.routes, clock or ThreadClock())
        self._chains: dict[str, _Chain] = {}
        self._faces = {"sync": 0, "async": 0}
        self._direct = {"sync": False, "async": False}
        self._lock = threading.Lock()
        self._closed = False
        self._exporting: Exporting | None = None
        if self.config.telemetry.traces:
            from .telemetry.traces import Traces

            if self.config.telemetry.otlp_endpoint is not None and tracer_provider is None:
                from .telemetry.otlp import exporting

                tracer_provider = self._exporting = exporting(self.config.telemetry.otlp_endpoint)
            self._house.listeners.append(Traces(
                clock or ThreadClock(), tracer_provider=tracer_provider, meter_provider=meter_provider,
                content=self.config.telemetry.capture_content, finished=finished, whole=put_together,
            ))  # fmt: skip
        self._usage: UsageLog | None = None
        if self.config.telemetry.usage_log is not None:
            from .money.usage_log import UsageLog

            self._usage = UsageLog(self.config.telemetry.usage_log, clock or ThreadClock())
            self._house.listeners.append(self._usage)
        self._metrics: Metrics | None = None
        if self.config.telemetry.metrics:
            self._metrics = self.metrics
        mind_forks(self)

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None) -> Self:
        """A client configured by environment variables (`LLM_EDGE__CACHE__TTL=60`). Raises ConfigError."""
        given = os.environ if env is None else env
        return cls(EdgeConfig.from_env(given), env=given)

    @classmethod
    def from_file(cls, file: str | os.PathLike[str], env: Mapping[str, str] | None = None) -> Self:
        """A client configured by a TOML file, environment variables over it. Raises ConfigError."""
        given = os.environ if env is None else env
        return cls(EdgeConfig.from_file(file, given), env=given)

    def __repr__(self) -> str:
        return f"<EdgeClient {', '.join(self.config.routes) or 'without routes'}>"

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
        options.setdefault("timeout", None)
        if library == "httpx":
            import httpx

            from .httpx import EdgeTransport as OldTransport

            options.setdefault("follow_redirects", True)
            return httpx.Client(transport=OldTransport(self), **options)
        _one_of_two(library)
        import httpx2

        from .transports import EdgeTransport

        options.setdefault("follow_redirects", True)
        return httpx2.Client(transport=EdgeTransport(self), **options)

    @overload
    def async_http_client(self, library: Literal["httpx2"] = "httpx2", **options: Any) -> httpx2.AsyncClient: ...
    @overload
    def async_http_client(self, library: Literal["httpx"], **options: Any) -> httpx.AsyncClient: ...
    def async_http_client(self, library: str = "httpx2", **options: Any) -> httpx2.AsyncClient | httpx.AsyncClient:
        """The same for async: `AsyncOpenAI(http_client=edge.async_http_client())`."""
        options.setdefault("timeout", None)
        options.setdefault("follow_redirects", True)
        if library == "httpx":
            import httpx

            from .httpx import AsyncEdgeTransport as OldTransport

            return httpx.AsyncClient(transport=OldTransport(self), **options)
        _one_of_two(library)
        import httpx2

        from .transports import AsyncEdgeTransport

        return httpx2.AsyncClient(transport=AsyncEdgeTransport(self), **options)

    # ------------------------------------------------------------------ direct calls

    @overload
    def chat(
        self, model: str, messages: Messages, *, stream: Literal[False] = False, edge: Edge | None = None, **fields: Any
    ) -> Reply: ...
    @overload
    def chat(
        self, model: str, messages: Messages, *, stream: Literal[True], edge: Edge | None = None, **fields: Any
    ) -> ReplyStream: ...
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
        chain, clock = self._used("sync"), self._asking.clock
        request = self._asking.chat(model, messages, edge, fields, stream=stream)
        response = drive(answered(request, chain.handler, clock))
        return ReplyStream(request, response, clock) if response.stream else replied(Reply, request, response)

    @overload
    async def achat(
        self, model: str, messages: Messages, *, stream: Literal[False] = False, edge: Edge | None = None, **fields: Any
    ) -> Reply: ...
    @overload
    async def achat(
        self, model: str, messages: Messages, *, stream: Literal[True], edge: Edge | None = None, **fields: Any
    ) -> AsyncReplyStream: ...
    async def achat(
        self, model: str, messages: Messages, *, stream: bool = False, edge: Edge | None = None, **fields: Any
    ) -> Reply | AsyncReplyStream:
        """`chat` for event loops; a stream is `async for chunk in await edge.achat(..., stream=True)`."""
        chain, clock = self._used("async"), self._asking.clock
        request = self._asking.chat(model, messages, edge, fields, stream=stream)
        response = await answered(request, chain.handler, clock)
        return AsyncReplyStream(request, response, clock) if response.stream else replied(Reply, request, response)

    def embed(self, model: str, input: Input, *, edge: Edge | None = None, **fields: Any) -> Embeddings:  # noqa: A002  the API's word
        """Embeddings of one text or a list of them. Raises as `chat` does."""
        chain = self._used("sync")
        request = self._asking.embeddings(model, input, edge, fields)
        return replied(Embeddings, request, drive(answered(request, chain.handler, self._asking.clock)))

    async def aembed(self, model: str, input: Input, *, edge: Edge | None = None, **fields: Any) -> Embeddings:  # noqa: A002
        """`embed` for event loops."""
        chain = self._used("async")
        request = self._asking.embeddings(model, input, edge, fields)
        return replied(Embeddings, request, await answered(request, chain.handler, self._asking.clock))

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

    def handler(self, colour: Literal["sync", "async"]) -> Handler:
        """The chain itself, for faces of your own: `async (Request) -> Response`."""
        return self._used(colour).handler

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
        return stores(self._house)

    @property
    def metrics(self) -> Metrics:
        """Counts of calls for Prometheus, in a registry of their own; from its first use on, or by `[telemetry]`."""
        with self._lock:
            if self._metrics is None:
                from .telemetry.metrics import Metrics

                house = self._house
                self._metrics = Metrics(self._clock or ThreadClock(), lambda: readings(house))
                house.listeners.append(self._metrics)
            return self._metrics

    def listen(self, listener: Listens) -> None:
        """Have each call from now on told to `listener`, as metrics and traces hear of it."""
        self._house.listeners.append(listener)

    def front(self, colour: Literal["sync", "async"], send: Sender | None = None) -> Front:
        """What a transport needs; `send` takes the place of the HTTP engine."""
        chain = self._chain(colour) if send is None else self._chained(colour, send)
        config = self.config
        quiet = config.cache.policy == "off" and config.retry.attempts == 1 and not config.breaker.enabled
        quiet = quiet and not config.hedge.enabled and config.guard.pii == "off"
        busy = self._house.limits or self._layers or config.providers or config.routes
        return Front(
            handler=chain.handler, clock=chain.runtime.clock, routes=frozenset(config.routes),
            retries=config.retry.attempts > 1, transparent=quiet and not busy,
        )  # fmt: skip

    def hold_to(self, config: EdgeConfig) -> None:
        """
        Hold calls to the limits and budgets of this configuration from now on; all else stays as it is.

        What was counted and spent so far goes on counting. Transports made before keep what they were made with.
        """
        with self._lock:
            self.config = config
            self._house.limits.hold_to(config)
            self._house.purse.hold_to(config)
            for colour, send in [(name, chain.send) for name, chain in self._chains.items()]:
                self._chains[colour] = self._chained("sync" if colour == "sync" else "async", send)

    def _used(self, colour: Literal["sync", "async"]) -> _Chain:
        """The chain for calls that come through no transport; its connections stay until the client is closed."""
        if self._closed:
            raise InvalidRequest("this EdgeClient is closed; make a new one")
        self._direct[colour] = True
        return self._chain(colour)

    def _chain(self, colour: Literal["sync", "async"]) -> _Chain:
        chain = self._chains.get(colour)
        if chain is None:
            with self._lock:
                chain = self._chains.get(colour)
                if chain is None:
                    send = choose(self._http)[0 if colour == "sync" else 1]
                    chain = self._chains[colour] = self._chained(colour, send)
        return chain

    def _chained(self, colour: Literal["sync", "async"], send: Sender) -> _Chain:
        runtime: Runtime = Blocking(self._clock) if colour == "sync" else Awaiting(self._clock)
        return _Chain(runtime, send, trunk(self._house, runtime, send, layers=self._layers))

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    # ------------------------------------------------------------------ the end

    def face_opened(self, colour: Literal["sync", "async"]) -> None:
        """A transport over this client came to be."""
        with self._lock:
            self._faces[colour] += 1

    async def face_closed(self, colour: Literal["sync", "async"]) -> None:
        """A transport over this client was closed: with the last go the connections, unless direct calls use them."""
        with self._lock:
            self._faces[colour] -= 1
            unused = self._faces[colour] == 0 and not self._direct[colour]
            # Taken away first: a transport opened meanwhile gets connections of its own.
            chain = self._chains.pop(colour, None) if unused else None
        if chain is not None:
            await chain.send.aclose()

    def close(self) -> None:
        """Close the sync side's connections, and write down what is still to be kept; twice is harmless."""
        self._closed = True
        self._house.breakers.close()
        self._house.limits.counters.close()
        chain = self._chains.get("sync")
        if chain is not None:
            drive(chain.send.aclose())
        drive(self._house.answers.close(Blocking()))
        if self._usage is not None:
            self._usage.close()
        if self._exporting is not None:
            self._exporting.shutdown()

    async def aclose(self) -> None:
        """Close all connections, those of this event loop included."""
        await self._house.answers.close(Awaiting())
        self.close()
        chain = self._chains.get("async")
        if chain is not None:
            await chain.send.aclose()

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


def _http_settings(config: EdgeConfig, secrets: Resolved) -> HttpSettings:
    http = config.http
    return HttpSettings(
        engine=http.engine, connect=http.connect, pool=http.pool, http2=http.http2, max_body=http.max_body,
        proxy=None if secrets.proxy is None else secrets.proxy.get_secret_value(), trust_env=http.trust_env,
        ca_file=_text(http.ca_file), cert_file=_text(http.cert_file), key_file=_text(http.key_file),
        tls_minimum=http.tls_minimum,
    )  # fmt: skip


def _text(path: os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _one_of_two(library: str) -> None:
    if library != "httpx2":
        raise ConfigError(f'library={library!r} is not known: use "httpx2", or "httpx" for SDKs that still use it')
