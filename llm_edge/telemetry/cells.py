"""
Numbers that are cheap to count, and the same numbers for Prometheus when it asks.

prometheus-client takes a lock for each of the dozen numbers of a call; here one lock is taken for all of them, by
whoever counts. Where many processes share a directory, its own values are used, which live in mapped files; each
costs a microsecond, so a server that can do so regularly writes there what it has counted since the last time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from .families import FAMILIES, Family

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import Metric


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
            elif family.kind == "counter" and family.counted:
                self._made[name] = Counter(name.removesuffix("_total"), family.says, family.labels, registry=registry)
            elif family.counted:
                self._made[name] = Gauge(
                    name, family.says, family.labels, registry=registry, multiprocess_mode="livesum"
                )

    def child(self, name: str, labels: tuple[str, ...], /) -> Any:
        return self._made[name].labels(*labels)


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
