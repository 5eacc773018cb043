"""Metrics read back, as people want to see them: what two readings of a `/metrics` page say of the time between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from .families import FAMILIES

_STATES: Final = {0: "closed", 1: "half-open", 2: "open"}
_UNKNOWN: Final = "?"
_HITS: Final = ("llm_edge_cache_hits_total", "llm_edge_coalesced_total")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One reading: by a sample's name, each of its label sets with its value."""

    at: float
    """Seconds of any steady clock."""
    samples: Mapping[str, Mapping[tuple[tuple[str, str], ...], float]] = field(default_factory=dict[str, Any])

    def sum(self, name: str, which: Callable[[Mapping[str, str]], bool] = lambda _: True) -> float:
        """Of all label sets that fit."""
        return sum(value for labels, value in self.samples.get(name, {}).items() if which(dict(labels)))

    def since(self, before: Snapshot | None) -> Snapshot:
        """What was counted between: a counter that is smaller now began anew, with its process."""
        if before is None:
            return self
        grown: dict[str, Mapping[tuple[tuple[str, str], ...], float]] = {}
        for name, values in self.samples.items():
            old = before.samples.get(name, {})
            grown[name] = {
                labels: value - old.get(labels, 0.0) if value >= old.get(labels, 0.0) else value
                for labels, value in values.items()
            }
        return Snapshot(self.at - before.at, grown)


def parsed(text: str, at: float) -> Snapshot:
    """A page in Prometheus' text format; what is not of ours is left out. Raises ValueError for what is none."""
    from prometheus_client.parser import text_string_to_metric_families

    samples: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    try:
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.name.startswith("llm_edge_"):
                    key = tuple(sorted(sample.labels.items()))
                    samples.setdefault(sample.name, {})[key] = sample.value
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f"that is no page of metrics: {error}") from None
    return Snapshot(at, samples)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLine:
    """One model: how it does now, and since its process began."""

    name: str
    calls: float
    rate: float | None
    failed: float | None
    """The share that ended with a 5xx; None where there were no calls."""
    p95: float | None
    """Seconds."""
    tokens: float
    usd: float
    usd_an_hour: float | None
    breaker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """All of it. What is None needs a second reading, or a call."""

    seconds: float | None
    calls: float
    rate: float | None
    failed: float | None
    p95: float | None
    overhead: tuple[float | None, float | None]
    """Seconds, p50 and p95."""
    under_way: float
    streams: float
    hit_rate: float | None
    hits: float
    entries: float
    bytes: float
    usd: float
    usd_an_hour: float | None
    saved: float
    unpriced: float
    retries: float
    fallbacks: float
    refused: float
    store_errors: float
    models: tuple[ModelLine, ...]
    budgets: tuple[tuple[str, float], ...]
    """Each with the share that is used."""


def overview(now: Snapshot, before: Snapshot | None = None) -> Overview:
    """What two readings say; or one of them, of all the time since its process began."""
    then = now.since(before)
    seconds = now.at - before.at if before is not None else None
    hits = _sum(then, *_HITS)
    looks = hits + then.sum("llm_edge_cache_misses_total")
    spread = _Spread(then, "llm_edge_overhead_seconds")
    return Overview(
        seconds=seconds, calls=now.sum("llm_edge_requests_total"),
        rate=_each(then.sum("llm_edge_requests_total"), seconds), failed=_failed(then, {}),
        p95=_Spread(then, "llm_edge_request_duration_seconds").within(0.95),
        overhead=(spread.within(0.5), spread.within(0.95)),
        under_way=now.sum("llm_edge_active_requests"), streams=now.sum("llm_edge_active_streams"),
        hit_rate=hits / looks if looks else None, hits=_sum(now, *_HITS),
        entries=now.sum("llm_edge_cache_entries"), bytes=now.sum("llm_edge_cache_bytes"),
        usd=now.sum("llm_edge_cost_usd_total"),
        usd_an_hour=_hourly(_each(then.sum("llm_edge_cost_usd_total"), seconds)),
        saved=now.sum("llm_edge_saved_usd_total"), unpriced=now.sum("llm_edge_unpriced_total"),
        retries=now.sum("llm_edge_retries_total"), fallbacks=now.sum("llm_edge_fallbacks_total"),
        refused=_sum(now, "llm_edge_rate_limited_total", "llm_edge_budget_rejected_total"),
        store_errors=now.sum("llm_edge_store_errors_total"),
        models=tuple(_models(now, then, seconds)), budgets=tuple(_budgets(now)),
    )  # fmt: skip


def _models(now: Snapshot, then: Snapshot, seconds: float | None) -> Iterable[ModelLine]:
    """Those with the most calls now first, then those with the most ever."""
    pairs = {
        (given["provider"], given["model"])
        for name in ("llm_edge_requests_total", "llm_edge_circuit_breaker_state")
        for labels in now.samples.get(name, {})
        if (given := dict(labels)).get("provider")
    }
    lines: list[ModelLine] = []
    for provider, model in pairs:
        which = {"provider": provider, "model": model}
        states = [
            int(value)
            for labels, value in now.samples.get("llm_edge_circuit_breaker_state", {}).items()
            if _fits(which)(dict(labels))
        ]
        spent = then.sum("llm_edge_cost_usd_total", _fits(which))
        lines.append(ModelLine(
            name=f"{provider}/{model}", calls=now.sum("llm_edge_requests_total", _fits(which)),
            rate=_each(then.sum("llm_edge_requests_total", _fits(which)), seconds), failed=_failed(then, which),
            p95=_Spread(then, "llm_edge_request_duration_seconds", which).within(0.95),
            tokens=now.sum("llm_edge_tokens_total", _tokens(which)),
            usd=now.sum("llm_edge_cost_usd_total", _fits(which)), usd_an_hour=_hourly(_each(spent, seconds)),
            breaker=_STATES.get(max(states), _UNKNOWN) if states else "",
        ))  # fmt: skip
    return sorted(lines, key=lambda line: (-(line.rate or 0), -line.calls, line.name))


def _budgets(now: Snapshot) -> Iterable[tuple[str, float]]:
    shares = [
        (f"{(given := dict(labels)).get('budget', '')} / {given.get('period', '')}", value)
        for labels, value in now.samples.get("llm_edge_budget_used_ratio", {}).items()
    ]
    return sorted(shares, key=lambda share: (-share[1], share[0]))


def _fits(which: Mapping[str, str]) -> Callable[[Mapping[str, str]], bool]:
    return lambda labels: all(labels.get(name) == value for name, value in which.items())


def _tokens(which: Mapping[str, str]) -> Callable[[Mapping[str, str]], bool]:
    """Of a model: the other types are parts of these two."""
    return lambda labels: labels.get("type") in {"input", "output"} and _fits(which)(labels)


def _sum(snapshot: Snapshot, *names: str) -> float:
    return sum(snapshot.sum(name) for name in names)


def _failed(then: Snapshot, which: Mapping[str, str]) -> float | None:
    calls = then.sum("llm_edge_requests_total", _fits(which))
    bad = then.sum(
        "llm_edge_requests_total", lambda labels: labels.get("status", "").startswith("5") and _fits(which)(labels)
    )
    return bad / calls if calls else None


def _each(amount: float, seconds: float | None) -> float | None:
    return amount / seconds if seconds else None


def _hourly(rate: float | None) -> float | None:
    return None if rate is None else rate * 3600


class _Spread:
    """A histogram."""

    def __init__(self, then: Snapshot, name: str, which: Mapping[str, str] | None = None) -> None:
        bounds: dict[float, float] = {}
        for labels, value in then.samples.get(f"{name}_bucket", {}).items():
            given = dict(labels)
            if _fits(which or {})(given):
                bound = float(given.get("le", "inf"))
                bounds[bound] = bounds.get(bound, 0.0) + value
        self._bounds = sorted(bounds.items())
        self._most = FAMILIES[name].buckets[-1]

    def within(self, share: float) -> float | None:
        """The time within which so many were, as Prometheus reckons it; None when there were none."""
        if not self._bounds or self._bounds[-1][1] <= 0:
            return None
        wanted, below, start = self._bounds[-1][1] * share, 0.0, 0.0
        for bound, count in self._bounds:
            if count >= wanted:
                inside = count - below
                return min(start + (bound - start) * ((wanted - below) / inside if inside else 1.0), self._most)
            below, start = count, bound
        return self._most
