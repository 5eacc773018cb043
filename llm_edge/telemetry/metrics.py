"""
Metrics for Prometheus, in a registry of their own.

Everything is read from a call's notes at its end. Label sets are bounded: models come from callers, so after the first
few hundred the rest count as `other`. The numbers of a kind of call are looked up once and kept.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..message import Request, Response
from ..notes import Notes
from ..runtime import Clock, mind_forks
from .cells import Cells, Gathered, Own, Reading, Shared, Standing, bury, read
from .families import FAMILIES, Kind

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

MOST_MODELS: Final = 300
OTHER: Final = "other"
_TOKENS = {
    "input": "prompt_tokens", "output": "completion_tokens", "cached": "cached_tokens",
    "cache_write": "cache_write_tokens", "reasoning": "reasoning_tokens",
}  # fmt: skip
_CACHE = {
    "HIT": ("llm_edge_cache_hits_total", ""), "STALE": ("llm_edge_cache_hits_total", "l1"),
    "SEMANTIC HIT": ("llm_edge_cache_hits_total", "semantic"), "MISS": ("llm_edge_cache_misses_total", ""),
    "COALESCED": ("llm_edge_coalesced_total", "l1"),
}  # fmt: skip
"""What counts them, and for which tier; empty for the furthest that was asked. A call counts once."""


class Metrics:
    """Counts calls. `registry` is its own; `text()` is what Prometheus reads."""

    def __init__(self, clock: Clock, read: Callable[[], Iterable[Reading]] = tuple, *, exemplars: bool = False) -> None:
        from prometheus_client import CollectorRegistry, values

        self.registry: CollectorRegistry = CollectorRegistry()
        self.clock, self._read = clock, read
        # The library decides for one process or many when it is loaded, and says so nowhere but here.
        self._many: bool = values.ValueClass.__name__ == "MmapedValue"
        self.lock = threading.RLock()  # the garbage collector may end a call while another is being counted
        self._settling = threading.Lock()  # or of two readings the older could be told last
        self._standing: Standing | None = None
        if self._many:
            shared = Shared(self.registry)
            self._cells: Cells = shared
            self._standing = Standing(shared)
        else:
            self._cells = own = Own()
            self.registry.register(own)
        self.exemplars = exemplars and not self._many
        """Whether durations name traces to look up."""
        self.registry.register(_Gauges(read))
        self._models: set[tuple[str, str]] = set()
        self._children: dict[tuple[str, ...], Any] = {}
        self._series: dict[tuple[str, str, int], _Series] = {}
        mind_forks(self)

    def after_fork(self) -> None:
        self.lock, self._settling = threading.RLock(), threading.Lock()
        if self._standing is not None:
            self._standing.after_fork()

    def text(self) -> bytes:
        """
        All of it in Prometheus' text format.

        With `PROMETHEUS_MULTIPROC_DIR` set before the first call, the sum over all processes that share that directory;
        how cache, breakers and budgets stand is told of this process alone, unless they all `settle`.
        """
        from prometheus_client import CollectorRegistry, generate_latest

        if self._standing is None:
            return generate_latest(self.registry)
        self.settle()
        from prometheus_client.multiprocess import MultiProcessCollector

        whole = CollectorRegistry()
        gathered: Any = MultiProcessCollector(whole)  # type: ignore[no-untyped-call]  # prometheus-client leaves it so
        if isinstance(self._cells, Gathered):
            bury(Path(gathered._path))
        else:
            whole.register(_Gauges(self._read, "gauge"))
        return generate_latest(whole)

    def told(self, accept: str = "") -> tuple[bytes, str]:
        """
        The same and its media type, for who sends this `accept`.

        Examples of durations stand in OpenMetrics alone, which is told where they are kept and it is asked for.
        """
        if not self.exemplars:
            return self.text(), "text/plain; version=0.0.4; charset=utf-8"
        from prometheus_client.exposition import choose_encoder

        write, kind = choose_encoder(accept)
        return write(self.registry), kind

    def expose(self, registry: CollectorRegistry | None = None) -> None:
        """Add these metrics to another registry; without one, to the library's global registry."""
        from prometheus_client import REGISTRY

        (registry or REGISTRY).register(_All(self.registry))

    def gather(self) -> bool:
        """
        Share what is counted from now on with other processes only when `settle` is called; a call costs less then.

        Says whether anything is shared at all.
        """
        with self.lock:
            if isinstance(self._cells, Shared):
                self._cells = Gathered(self._cells)
                self._children.clear()
                self._series.clear()
            return self._many

    def settle(self) -> None:
        """Share what was counted, and how things stand."""
        if self._standing is None:
            return
        with self._settling:
            readings = list(self._read())
            with self.lock:
                self._standing.count(readings)
                if isinstance(self._cells, Gathered):
                    self._cells.settle()
                    self._standing.tell(readings)

    def count(self, name: str, *labels: str, amount: float = 1.0) -> None:
        """Add to one of the counters in `FAMILIES`."""
        with self.lock:
            self.child(name, *labels).inc(amount)

    def begin(self, request: Request, /) -> _Call:
        return _Call(self, request)

    # ------------------------------------------------------------------ for its own room

    def child(self, *key: str) -> Any:
        """The child of a metric: its name, then its labels' values. Change it under the lock."""
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = self._cells.child(key[0], key[1:])
        return found

    def series(self, target: str, operation: str, status: int) -> _Series:
        key = (target, operation, status)
        found = self._series.get(key)
        if found is None:
            if len(self._series) >= 8 * MOST_MODELS:
                self._series.clear()
            found = self._series[key] = _Series(self, self.model(target), operation, str(status))
        return found

    def model(self, target: str) -> tuple[str, str]:
        """Provider and model as labels; `other` for those that come after so many others."""
        if not target.isprintable():  # half a surrogate pair can be told to nobody
            target = ascii(target)[1:-1]
        provider, _, model = target.partition("/")
        pair = (provider, model)
        if pair not in self._models:
            if len(self._models) >= MOST_MODELS:
                return (OTHER, OTHER)
            self._models.add(pair)
        return pair


class _Series:
    """The children that one kind of call needs."""

    __slots__ = ("_metrics", "_pair", "duration", "example", "requests", "tokens")

    def __init__(self, metrics: Metrics, pair: tuple[str, str], operation: str, status: str) -> None:
        self._metrics, self._pair = metrics, pair
        self.requests = metrics.child("llm_edge_requests_total", *pair, operation, status).inc
        spread = metrics.child("llm_edge_request_duration_seconds", *pair, operation)
        self.duration, self.example = spread.observe, spread.example if metrics.exemplars else None
        self.tokens = [
            (counted, metrics.child("llm_edge_tokens_total", *pair, kind).inc) for kind, counted in _TOKENS.items()
        ]

    def of(self, name: str) -> Any:
        """A child by provider and model alone."""
        return self._metrics.child(name, *self._pair)


class _Call:
    """One call as the metrics see it."""

    __slots__ = ("_active", "_delay", "_last", "_metrics", "_notes", "_stream")

    def __init__(self, metrics: Metrics, request: Request) -> None:
        self._metrics = metrics
        self._notes = request.notes
        self._stream: Any = None
        self._delay: Any = None
        self._last = 0.0
        self._active = metrics.child("llm_edge_active_requests", request.operation)
        with metrics.lock:
            self._active.inc()

    def answered(self, response: Response | None, /) -> None:
        if response is None or response.stream is None:
            return
        self._stream = self._metrics.child("llm_edge_active_streams", self._notes.operation or "opaque")
        with self._metrics.lock:
            self._stream.inc()
        if self._notes.attempts:  # a replay comes as fast as it is read
            pair = self._metrics.model(self._notes.target)
            self._delay = self._metrics.child("llm_edge_stream_chunk_delay_seconds", *pair)
        response.stream.listen(self)

    def heard(self, chunk: bytes, /) -> None:
        if self._delay is None:
            return
        now = self._metrics.clock.now()
        if self._last:
            with self._metrics.lock:
                self._delay.observe(now - self._last)
        self._last = now

    def ended(self, error: BaseException | None, /) -> None:
        with self._metrics.lock:
            self._stream.dec()

    def over(self, request: Request, error: BaseException | None, /) -> None:
        with self._metrics.lock:
            self._count(request)

    def _count(self, request: Request) -> None:
        self._active.dec()
        metrics, notes = self._metrics, request.notes
        target = notes.asked
        series = metrics.series(target, request.operation, notes.status)
        series.requests()
        if notes.ended is not None:
            series.duration(notes.ended - notes.started)
            if series.example is not None and notes.sampled:
                series.example(notes.ended - notes.started, notes.trace_id, metrics.clock.time())
        overhead = notes.overhead
        if overhead is not None:
            metrics.child("llm_edge_overhead_seconds", request.operation, notes.cache).observe(overhead)
        cached = _CACHE.get(notes.cache)
        if cached is not None:
            name, tier = cached
            metrics.child(name, tier or notes.further or "l1").inc()
        if notes.attempts:
            _spent(series, notes)
            if notes.first_byte is not None:
                _streamed(series, notes)
        if notes.saved:
            series.of("llm_edge_saved_usd_total").inc(notes.saved / 1e9)
        if len(notes.attempts) > 1:
            for before, attempt in pairwise(notes.attempts):
                if attempt.target == before.target:
                    metrics.child("llm_edge_retries_total", *metrics.model(attempt.target), before.outcome).inc()
        if notes.events:
            _happened(metrics, notes, target)


def _spent(series: _Series, notes: Notes) -> None:
    usage = notes.usage
    if usage is not None:
        for counted, inc in series.tokens:
            tokens = usage.get(counted)
            if tokens:
                inc(tokens)
    if notes.cost is None:
        series.of("llm_edge_unpriced_total").inc()
    elif notes.cost:
        series.of("llm_edge_cost_usd_total").inc(notes.cost / 1e9)


def _streamed(series: _Series, notes: Notes) -> None:
    assert notes.first_byte is not None, "asked before"
    series.of("llm_edge_time_to_first_token_seconds").observe(notes.first_byte - notes.started)
    tokens = (notes.usage or {}).get("completion_tokens") or 0
    if tokens > 1 and notes.ended is not None:
        each = (notes.ended - notes.first_byte) / (tokens - 1)
        series.of("llm_edge_time_per_output_token_seconds").observe(max(each, 0.0))


def _happened(metrics: Metrics, notes: Notes, target: str) -> None:
    """What the layers said on the way."""
    for _, layer, facts in notes.events:
        reason = str(facts.get("after", ""))
        pair = metrics.model(str(facts.get("next") or facts.get("asks") or facts.get("target") or target))
        if layer == "router" and "next" in facts:
            metrics.child("llm_edge_fallbacks_total", *pair, reason).inc()
        elif layer == "hedge" and "asks" in facts:
            metrics.child("llm_edge_hedges_total", *pair, reason or "slow").inc()
        elif layer in {"limit", "budget"} and "refused" in facts:
            name = "llm_edge_rate_limited_total" if layer == "limit" else "llm_edge_budget_rejected_total"
            metrics.child(name, str(facts.get("scope", "")).partition(":")[0]).inc()
        elif layer == "guard":
            for kind, found in dict(facts.get("found", {})).items():
                metrics.child("llm_edge_guard_findings_total", str(kind), str(facts.get("action", ""))).inc(found)


class _Gauges:
    """How things stand at this moment, asked when somebody reads."""

    def __init__(self, read: Callable[[], Iterable[Reading]], *kinds: Kind) -> None:
        self._read, self._kinds = read, kinds or ("gauge", "counter")

    def collect(self) -> Iterator[Metric]:
        by_name: dict[str, list[Reading]] = {}
        for reading in self._read():
            by_name.setdefault(reading[0], []).append(reading)
        for name, family in FAMILIES.items():
            if not family.counted and family.kind in self._kinds:
                yield read(family, [(labels, value) for _, labels, value in by_name.get(name, ())])


class _All:
    """One registry's metrics, for another."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterable[Metric]:
        return self._registry.collect()

    def describe(self) -> Sequence[Metric]:
        return []


def breaker_readings(states: Mapping[str, str]) -> Iterator[Reading]:
    """What breakers tell of models and providers, from the states of each `provider/model`."""
    level = {"off": 0.0, "closed": 0.0, "half-open": 1.0, "open": 2.0, "forced-open": 2.0}
    by_provider: dict[str, list[float]] = {}
    for target, state in states.items():
        provider, _, model = target.partition("/")
        yield "llm_edge_circuit_breaker_state", (provider, model), level[state]
        by_provider.setdefault(provider, []).append(level[state])
    for provider, levels in by_provider.items():
        yield "llm_edge_provider_health", (provider,), 1.0 - sum(levels) / (2 * len(levels))
        yield "llm_edge_provider_available", (provider,), 0.0 if min(levels) >= 2.0 else 1.0
