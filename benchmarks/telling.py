"""What metrics, spans and the story cost a call. `python -m benchmarks.telling`"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from llm_edge.build import finished
from llm_edge.layers.tell import Listens, Tell
from llm_edge.message import Body, Handler, Request, Response, stack
from llm_edge.notes import Attempt, Notes
from llm_edge.runtime import ThreadClock, drive
from llm_edge.telemetry.metrics import Metrics
from llm_edge.telemetry.traces import Traces

from .promises import Promise

_CALLS, _ROUNDS = 2000, 11
_ASKED = Body(
    b'{"model":"m","messages":[{"role":"user","content":"The capital of France?"}],"temperature":0.5,"max_tokens":9}'
)
_ANSWER = Response(
    status=200,
    body=Body(
        b'{"id":"x","model":"m","choices":[{"message":{"role":"assistant","content":"Paris."},"finish_reason":"stop"}],'
        b'"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}'
    ),
)
_USED = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
_CLOCK = ThreadClock()


async def _end(request: Request, /) -> Response:
    """Leaves in the notes what the chain below leaves there: a miss, one attempt, what it used."""
    notes = request.notes
    notes.cache, notes.cache_key, notes.targets, notes.target = "MISS", "k", ["gpt/m"], "gpt/m"
    attempt = Attempt("gpt/m", _CLOCK.now())
    notes.attempts.append(attempt)
    if notes.traced is not None:
        notes.traced(attempt)
    attempt.ended, attempt.outcome, attempt.status = _CLOCK.now(), "ok", 200
    notes.usage = attempt.usage = _USED
    return _ANSWER


def _cost(target: str, usage: Mapping[str, Any] | None, now: float, answered: str) -> int:
    return 1000


def _chain(*listeners: Listens) -> Handler:
    return stack([Tell(clock=_CLOCK, cost=_cost, listeners=listeners)], _end)


def _told(chain: Handler, calls: int = _CALLS, *, explain: bool = False) -> Callable[[], float]:
    """Gives microseconds of CPU for one call."""

    def once() -> float:
        _ = _ASKED.json, _ANSWER.body and _ANSWER.body.json  # read by others before, in a real call
        began = time.process_time()
        for _ in range(calls):
            notes = Notes(model="m", operation="chat", started=_CLOCK.now())
            drive(chain(Request(body=_ASKED, model="m", notes=notes)))
            if explain:
                notes.explain()
        return (time.process_time() - began) / calls * 1e6

    return once


def _bare(provider: TracerProvider, calls: int = _CALLS) -> Callable[[], float]:
    """The same spans, made with OpenTelemetry's SDK by hand: what cannot be less."""
    tracer = provider.get_tracer("bare")
    asked = {"a": "b", "c": "d", "e": "f", "t": 0.5, "m": 9}
    answered = {f"answer.{number}": number for number in range(12)}

    def once() -> float:
        began = time.process_time()
        for _ in range(calls):
            span = tracer.start_span("chat m", None, trace.SpanKind.CLIENT, asked)
            context = trace.set_span_in_context(span)
            for name in ("edge.attempt", "edge.cache"):
                tracer.start_span(name, context, attributes={"target": "gpt/m"}).end()
            span.set_attributes(answered)
            span.end()
        return (time.process_time() - began) / calls * 1e6

    return once


def figures(calls: int, rounds: int) -> dict[str, float]:
    """Microseconds of CPU that each adds to a call; all measured in turn, so that the machine's moods hit all alike."""
    spans = TracerProvider(shutdown_on_exit=False)
    meters = MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False)
    metrics, quiet = Metrics(_CLOCK), Traces(_CLOCK, finished=finished)
    recording = Traces(_CLOCK, tracer_provider=spans, meter_provider=meters, finished=finished)
    ways: dict[str, Callable[[], float]] = {
        "nothing": _told(_chain(), calls),
        "metrics": _told(_chain(metrics), calls),
        "metrics, no-op spans, explain": _told(_chain(metrics, quiet), calls, explain=True),
        "spans": _told(_chain(Traces(_CLOCK, tracer_provider=spans, finished=finished)), calls),
        "spans and OpenTelemetry's metrics": _told(_chain(recording), calls),
        "the same spans by hand": _bare(spans, calls),
    }
    seen: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, once in ways.items():
            gc.collect()
            seen[name].append(once())
    took = {name: median(each) for name, each in seen.items()}
    least = took.pop("nothing")
    return {name: round(each - (0 if "by hand" in name else least), 1) for name, each in took.items()}


def measure(calls: int = _CALLS, rounds: int = _ROUNDS) -> list[Promise]:
    """The promises on telling; so many calls, so many times."""
    took = figures(calls, rounds)
    metrics, all_quiet, spans = took["metrics"], took["metrics, no-op spans, explain"], took["spans"]
    whole, bare = took["spans and OpenTelemetry's metrics"], took["the same spans by hand"]
    return [
        Promise("metrics, a call", "≤ 5 µs CPU", f"{metrics:.1f} µs", metrics <= 5),
        Promise("metrics, no-op spans and explain(), a call", "≤ 20 µs CPU", f"{all_quiet:.1f} µs", all_quiet <= 20),
        Promise(
            "OpenTelemetry's SDK on, spans, a call", "≤ 60 µs CPU",
            f"{spans:.1f} µs (the same spans by hand: {bare:.1f}; with its metrics: {whole:.1f})", spans <= 60,
        ),
    ]  # fmt: skip


def main(rows: Sequence[Promise]) -> None:
    for row in rows:
        print(f"{'yes' if row.kept else 'NO ':3}  {row.what}  {row.measured}  ({row.target})")


if __name__ == "__main__":
    main(measure())
