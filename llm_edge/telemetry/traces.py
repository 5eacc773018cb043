"""
Spans and metrics of OpenTelemetry, as its conventions for generative AI have them.

A call is one span, from its beginning to its answer's end, a stream's last byte included. Below it stand one span for
each attempt, whose context goes to the provider as `traceparent`, and one for the cache, the limits and the route where
they had something to say. Nothing of OpenTelemetry is loaded before the app has loaded and set up its SDK.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..message import Json, Request, Response
from ..notes import Attempt, Notes
from ..runtime import Clock
from .content import Content
from .names import OPERATIONS, PROVIDERS, REQUEST, USAGE

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

    from .spans import Spans

_BUCKETS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


class Traces:
    """Listens to calls for OpenTelemetry. Without an SDK it does next to nothing."""

    def __init__(
        self,
        clock: Clock,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        content: bool = False,
        finished: Callable[[str, Json], Sequence[str]] = lambda dialect, answer: (),
        whole: Callable[[str, bytes], Json | None] = lambda dialect, heard: None,
    ) -> None:
        self.clock, self.content, self.finished, self.whole = clock, content, finished, whole
        self._tracers, self._meters = tracer_provider, meter_provider
        self._unasked = tracer_provider is None and meter_provider is None
        self._tracer: tuple[Any, Spans] | None = None
        self._meter: tuple[Any, _Meters] | None = None

    def begin(self, request: Request, /) -> _Call | None:
        loaded = sys.modules
        if self._unasked and "opentelemetry.trace" not in loaded and "opentelemetry.metrics" not in loaded:
            return None  # as in most apps
        tracer, meters = self._tracing(), self._metering()
        return None if tracer is None and meters is None else _Call(self, tracer, meters, request)

    def _tracing(self) -> Spans | None:
        provider: Any = self._tracers
        if provider is None:
            api = sys.modules.get("opentelemetry.trace")
            if api is None:
                return None
            provider = api.get_tracer_provider()
            if isinstance(provider, (api.ProxyTracerProvider, api.NoOpTracerProvider)):
                return None
        if self._tracer is None or self._tracer[0] is not provider:
            from .spans import Spans

            self._tracer = provider, Spans(provider.get_tracer("llm_edge"))
        return self._tracer[1]

    def _metering(self) -> _Meters | None:
        provider: Any = self._meters
        if provider is None:
            api = sys.modules.get("opentelemetry.metrics")
            if api is None:
                return None
            provider = api.get_meter_provider()
            if isinstance(provider, api.NoOpMeterProvider) or type(provider).__name__ == "_ProxyMeterProvider":
                return None
        if self._meter is None or self._meter[0] is not provider:
            self._meter = provider, _Meters(provider)
        return self._meter[1]


class _Meters:
    """The histograms of the conventions."""

    def __init__(self, provider: MeterProvider) -> None:
        made = provider.get_meter("llm_edge").create_histogram
        self.duration = made(
            "gen_ai.client.operation.duration", unit="s", description="GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )  # fmt: skip
        self.tokens = made(
            "gen_ai.client.token.usage", unit="{token}", description="Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )  # fmt: skip
        self.first = made(
            "gen_ai.client.operation.time_to_first_chunk", unit="s", description="Time to receive the first chunk.",
            explicit_bucket_boundaries_advisory=_BUCKETS,
        )  # fmt: skip

    def record(self, request: Request, answered: str) -> None:
        notes = request.notes
        common: dict[str, Any] = {
            "gen_ai.operation.name": OPERATIONS[request.operation],
            "gen_ai.provider.name": _provider(notes),
            "gen_ai.request.model": request.model,
        }
        if answered:
            common["gen_ai.response.model"] = answered
        if notes.ended is not None:
            failed = {"error.type": notes.error} if notes.error else {}
            self.duration.record(notes.ended - notes.started, {**common, **failed})
        if notes.first_byte is not None:
            self.first.record(notes.first_byte - notes.started, common)
        if notes.usage is not None and notes.attempts:
            for kind, counted in (("input", "prompt_tokens"), ("output", "completion_tokens")):
                tokens = notes.usage.get(counted)
                if tokens is not None:
                    self.tokens.record(tokens, {**common, "gen_ai.token.type": kind})


class _Call:
    """One call as OpenTelemetry sees it."""

    __slots__ = (
        "_answer",
        "_attempts",
        "_content",
        "_context",
        "_meters",
        "_shift",
        "_span",
        "_spans",
        "_token",
        "_traces",
    )

    def __init__(self, traces: Traces, spans: Spans | None, meters: _Meters | None, request: Request) -> None:
        self._traces, self._spans, self._meters = traces, spans, meters
        self._attempts: list[tuple[Attempt, Span]] = []
        self._answer: Response | None = None
        self._content = Content(traces.whole) if traces.content else None
        self._span: Span | None = None
        self._token: Token[Context] | None = None
        if spans is None:
            return
        clock = traces.clock
        self._shift = clock.time() - clock.now()
        operation = OPERATIONS.get(request.operation, request.operation)
        self._span, self._context, shown = spans.call(
            f"{operation} {request.model}".rstrip(), request.headers, _asked(request, operation, traces.content),
            self._moment(request.notes.started),
        )  # fmt: skip
        if shown.is_valid:
            request.notes.trace_id, request.notes.sampled = f"{shown.trace_id:032x}", shown.trace_flags.sampled
        self._token = spans.attach(self._context)
        request.notes.traced = self._attempt

    def _moment(self, now: float) -> int:
        """A moment of the chain's clock in nanoseconds since 1970."""
        return int((now + self._shift) * 1e9)

    def _attempt(self, attempt: Attempt) -> Mapping[str, str]:
        """An attempt begins; what it shows the provider."""
        assert self._spans is not None, "given to the notes only then"
        span, carried = self._spans.attempt(self._context, self._moment(attempt.started))
        self._attempts.append((attempt, span))
        return carried

    def answered(self, response: Response | None, /) -> None:
        self._answer = response
        if self._content is not None:
            self._content.listen(response)
        if self._token is not None and self._spans is not None:
            self._spans.detach(self._token)

    def over(self, request: Request, error: BaseException | None, /) -> None:
        notes, answer = request.notes, self._answer
        known = request.operation in OPERATIONS
        told = _told(answer, request, self._traces.finished) if known else ("", "", ())
        if self._meters is not None and known:
            self._meters.record(request, told[1])
        span = self._span
        if span is None:
            return
        notes.traced = None
        self._children(notes)
        if span.is_recording():
            span.set_attributes(_answered(notes, *told))
            if self._content is not None and known:
                said = self._content.answer(request)
                if said is not None:
                    span.set_attribute("gen_ai.output.messages", json.dumps(said, ensure_ascii=False, default=str))
            if error is not None and notes.status != 499:
                self._failed(span, notes)
        span.end(self._moment(notes.ended or notes.started))

    def _failed(self, span: Span, notes: Notes) -> None:
        from opentelemetry.trace import StatusCode

        span.set_attribute("error.type", notes.error)
        span.set_status(StatusCode.ERROR)  # without the error's words: they may quote the request

    def _children(self, notes: Notes) -> None:
        for attempt, span in self._attempts:
            facts: dict[str, Any] = {"llm_edge.target": attempt.target, "llm_edge.outcome": attempt.outcome}
            if attempt.status is not None:
                facts["http.response.status_code"] = attempt.status
            span.set_attributes(facts)
            if attempt.outcome not in {"ok", "abandoned"}:
                self._failed(span, Notes(error=attempt.outcome))
            span.end(self._moment(attempt.ended or attempt.started))
        # That memory had no answer took no time worth a span; the call's own span says that it was a miss.
        if notes.cache not in {"BYPASS", "MISS"} or notes.further:
            until = notes.attempts[0].started if notes.attempts else notes.ended or notes.started
            self._child("edge.cache", notes.started, until, {"llm_edge.cache": notes.cache})
        if len(notes.targets) > 1:
            first = notes.attempts[0].started if notes.attempts else notes.started
            self._child("edge.route", first, first, {"llm_edge.targets": list(notes.targets)})
        for moment, layer, facts in notes.events:
            if layer in {"limit", "budget"}:
                waited = float(facts.get("waited_s", 0.0))
                self._child(f"edge.{layer}", moment, moment + waited, {f"llm_edge.{k}": v for k, v in facts.items()})

    def _child(self, name: str, start: float, end: float, facts: Mapping[str, Any]) -> None:
        assert self._spans is not None, "there is a span"
        self._spans.child(name, self._context, facts, self._moment(start)).end(self._moment(end))


def _asked(request: Request, operation: str, content: bool) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "gen_ai.operation.name": operation,
        "llm_edge.request_id": request.notes.request_id,
    }
    if request.operation not in OPERATIONS:
        return facts
    facts["gen_ai.request.model"] = request.model
    if request.streaming:
        facts["gen_ai.request.stream"] = True
    body = request.body.json
    for field, value in body.items():  # they are few
        if field in REQUEST and (type(value) is int or type(value) is float):
            facts[REQUEST[field]] = value
    if content:
        asked = body.get("messages") or body.get("input") or body.get("contents") or body.get("prompt")
        facts["gen_ai.input.messages"] = json.dumps(asked, ensure_ascii=False, default=str)
    return facts


def _answered(notes: Notes, identity: str, model: str, finished: Sequence[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "gen_ai.provider.name": _provider(notes),
        "llm_edge.cache": notes.cache,
        "llm_edge.attempts": len(notes.attempts),
    }
    if notes.target:
        facts["llm_edge.target"] = notes.target
    if notes.route:
        facts["llm_edge.route"] = notes.route
    if notes.cost is not None:
        facts["llm_edge.cost_usd"] = notes.cost / 1e9
    if identity:
        facts["gen_ai.response.id"] = identity
    if model:
        facts["gen_ai.response.model"] = model
    if finished:
        facts["gen_ai.response.finish_reasons"] = list(finished)
    if notes.first_byte is not None:
        facts["gen_ai.response.time_to_first_chunk"] = notes.first_byte - notes.started
    if notes.usage is not None:
        for counted, name in USAGE.items():
            tokens = notes.usage.get(counted)
            if tokens is not None:
                facts[name] = tokens
    return facts


def _told(
    answer: Response | None, request: Request, finished: Callable[[str, Json], Sequence[str]]
) -> tuple[str, str, Sequence[str]]:
    """The answer's id, the model that says it answered, and why it ended."""
    if answer is None:
        return "", "", ()
    if answer.stream is not None:
        watcher: Any = answer.stream.watcher
        return "", str(getattr(watcher, "model", "")), tuple(watcher.finished)
    if answer.body is None:
        return "", "", ()
    body = answer.body.json
    model = body.get("model") or body.get("modelVersion") or ""
    return str(body.get("id") or body.get("responseId") or ""), str(model), tuple(finished(request.dialect, body))


def _provider(notes: Notes) -> str:
    target = notes.target or (notes.attempts[-1].target if notes.attempts else "")
    name = target.partition("/")[0]
    return PROVIDERS.get(name, name)
