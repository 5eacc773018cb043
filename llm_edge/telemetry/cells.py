"""
Numbers that are cheap to count, and the same numbers for Prometheus when it asks.

prometheus-client takes a lock for each of the dozen numbers of a call; here one lock is taken for all of them, by
whoever counts. Where many processes share a directory, its own values are used, which live in mapped files; each
costs a microsecond, so a server that can do so regularly writes there what it has counted since the last time.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from .families import FAMILIES, Family

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric

Reading: TypeAlias = tuple[str, tuple[str, ...], float]
"""A metric's name, its labels' values, and how it stands."""

_TOGETHER: Final = {
    "llm_edge_provider_health": "livemin", "llm_edge_provider_available": "livemax",
    "llm_edge_circuit_breaker_state": "livemax", "llm_edge_budget_used_ratio": "livemax",
}  # fmt: skip
"""What several processes say of one gauge, where it is not their sum."""
_AT_REST: Final = frozenset({"llm_edge_provider_health", "llm_edge_provider_available"})
"""Gauges that are 1 where there is nothing to tell of."""


class Number:
    """A counter, or a gauge. Change it under the lock only."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount

    def dec(self, amount: float = 1.0) -> None:
        self.value -= amount


class Distribution:
    """A histogram. Change it under the lock only."""

    __slots__ = ("_bounds", "counts", "examples", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.examples: dict[int, tuple[str, float, float]] = {}
        """By bucket the last that was part of a trace: the trace's id, how much, and when (seconds since 1970)."""

    def example(self, amount: float, trace: str, time: float) -> None:
        """An amount, observed besides, that somebody may look up."""
        self.examples[bisect_left(self._bounds, amount)] = (trace, amount, time)

    def observe(self, amount: float) -> None:
        self.counts[bisect_left(self._bounds, amount)] += 1
        self.sum += amount

    def take(self) -> tuple[list[int], float]:
        """What was observed since the last time."""
        counts, total = self.counts, self.sum
        self.counts, self.sum = [0] * len(counts), 0.0
        return counts, total

    def buckets(self) -> list[Any]:
        """As Prometheus counts: how many were at most so much; and an example, where there is one."""
        from prometheus_client.samples import Exemplar

        total, made = 0, list[Any]()
        for number, (bound, count) in enumerate(zip((*map(str, self._bounds), "+Inf"), self.counts, strict=True)):
            total += count
            example = self.examples.get(number)
            told = () if example is None else (Exemplar({"trace_id": example[0]}, example[1], example[2]),)
            made.append((bound, float(total), *told))
        return made


class Cells(Protocol):
    """Where the numbers are."""

    def child(self, name: str, labels: tuple[str, ...], /) -> Any: ...


class Own:
    """In this process. It is a collector for a registry."""

    def __init__(self) -> None:
        self._known: dict[str, dict[tuple[str, ...], Any]] = {
            name: {} for name, family in FAMILIES.items() if family.counted
        }

    def child(self, name: str, labels: tuple[str, ...], /) -> Any:
        family = FAMILIES[name]
        fresh = Distribution(family.buckets) if family.kind == "histogram" else Number()
        return self._known[name].setdefault(labels, fresh)

    def collect(self) -> Iterator[Metric]:
        for name, children in self._known.items():
            yield _written(FAMILIES[name], list(children.items()))


def read(family: Family, readings: list[tuple[tuple[str, ...], float]]) -> Metric:
    """A metric that is not counted here, but asked for when somebody reads: its labels and how each stands."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    made = kind(family.name.removesuffix("_total"), family.says, labels=family.labels)
    for labels, value in readings:
        made.add_metric(labels, value)
    return made


def _written(family: Family, children: list[tuple[tuple[str, ...], Any]]) -> Metric:
    from prometheus_client.core import HistogramMetricFamily

    if family.kind == "histogram":
        spread = HistogramMetricFamily(family.name, family.says, labels=family.labels)
        for labels, child in children:
            spread.add_metric(labels, child.buckets(), child.sum)
        return spread
    return read(family, [(labels, child.value) for labels, child in children])


class Shared:
    """In files that many processes map, by prometheus-client's own means."""

    def __init__(self, registry: CollectorRegistry) -> None:
        from prometheus_client import Counter, Gauge, Histogram

        self._made: dict[str, Any] = {}
        for name, family in FAMILIES.items():
            if family.kind == "histogram":
                self._made[name] = Histogram(
                    name, family.says, family.labels, registry=registry, buckets=family.buckets
                )
                continue
            told = registry if family.counted else None  # in this process alone the others are asked for
            if family.kind == "counter":
                self._made[name] = Counter(name.removesuffix("_total"), family.says, family.labels, registry=told)
            else:
                mode: Any = _TOGETHER.get(name, "livesum")
                self._made[name] = Gauge(name, family.says, family.labels, registry=told, multiprocess_mode=mode)

    def child(self, name: str, labels: tuple[str, ...], /) -> Any:
        return self._made[name].labels(*labels)


class Standing:
    """How the parts of this process stand, written into the same files. Call it under the lock."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._counted: dict[tuple[str, tuple[str, ...]], float] = {}
        self._gauges: dict[tuple[str, tuple[str, ...]], float] = {}

    def after_fork(self) -> None:
        self._gauges.clear()  # a child has files of its own; what was counted until now was the parent's

    def count(self, readings: Iterable[Reading]) -> None:
        """Counters that their parts keep: what has come to them."""
        for name, labels, value in readings:
            if FAMILIES[name].kind == "counter":
                grown = value - self._counted.get((name, labels), 0.0)
                self._counted[name, labels] = value
                if grown > 0:
                    self._shared.child(name, labels).inc(grown)

    def tell(self, readings: Iterable[Reading]) -> None:
        """Gauges; those that nothing is said of any more are at rest."""
        now = {(name, labels): value for name, labels, value in readings if FAMILIES[name].kind == "gauge"}
        gone = {key: float(key[0] in _AT_REST) for key in self._gauges.keys() - now.keys()}
        for key, value in (now | gone).items():
            if self._gauges.get(key) != value:
                self._shared.child(*key).set(value)
        self._gauges = now


def bury(folder: Path) -> None:
    """Forget the gauges of processes of this machine that have ended, however they did."""
    if os.name != "posix":
        return
    for file in folder.glob("gauge_live*.db"):
        pid = file.stem.rpartition("_")[2]
        try:
            if pid.isdecimal():
                os.kill(int(pid), 0)
        except ProcessLookupError:
            file.unlink(missing_ok=True)
        except OSError:
            pass  # it lives, and is somebody else's


class Gathered:
    """The same files, written to when `settle` is called: until then it is counted here. Call it under the lock."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared
        self._owed: list[tuple[Any, Number | Distribution]] = []

    def child(self, name: str, labels: tuple[str, ...], /) -> Any:
        family = FAMILIES[name]
        fresh = Distribution(family.buckets) if family.kind == "histogram" else Number()
        self._owed.append((self._shared.child(name, labels), fresh))
        return fresh

    def settle(self) -> None:
        for there, here in self._owed:
            if isinstance(here, Distribution):
                if any(here.counts):
                    _add(there, *here.take())
            elif here.value:
                there.inc(here.value)
                here.value = 0.0


def _add(histogram: Any, counts: list[int], total: float) -> None:
    # The library counts one observation at a time; the parts that it counts in are the same since its first release.
    for bucket, count in zip(histogram._buckets, counts, strict=True):
        if count:
            bucket.inc(count)
    histogram._sum.inc(total)
