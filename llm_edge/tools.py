"""`edge.cache`: what the cache has done, and how it is emptied and filled by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

from .errors import ConfigError
from .layers.answers import Answers
from .runtime import Awaiting, Blocking, Clock, Runtime, ThreadClock, drive
from .stores import copies
from .stores.entry import Entry, digest
from .stores.tombstones import tag


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheReport:
    """What one client's cache has done since it was made."""

    hits: int
    misses: int
    """Calls that went on to a provider."""
    coalesced: int
    """Calls answered by another's."""
    stale: int
    """Answers given past their end."""
    bypassed: int
    """Calls that are none for the cache."""
    refreshed: int
    """Answers asked for again in the background."""
    entries: int
    """Answers in memory."""
    bytes: int
    """What they weigh there."""
    saved_seconds: float
    """What providers had taken for the answers that were given again."""
    saved_usd: float
    """What those answers had cost, where that is known."""
    second: Mapping[str, Any] | None
    """Counters of the second tier; None where there is none."""


class Done(Protocol):
    """What is told of one request of a job."""

    @property
    def error(self) -> object: ...


class CacheTools:
    """Looks into the cache of one client. Nothing here is needed for it to work."""

    def __init__(
        self,
        answers: Answers,
        clock: Clock | None,
        ask: Callable[..., Iterator[Done]],
        aask: Callable[..., AsyncIterator[Done]],
    ) -> None:
        self._answers, self._clock, self._ask, self._aask = answers, clock or ThreadClock(), ask, aask

    def stats(self) -> CacheReport:
        """The counters, as they are now."""
        answers, stats = self._answers, self._answers.stats
        second = None
        if answers.second is not None:
            counts = answers.second.counts()
            second = {name: getattr(counts, name) for name in counts.__slots__}
        return CacheReport(
            hits=stats.hits, misses=stats.misses, coalesced=stats.coalesced, stale=stats.stale,
            bypassed=stats.bypassed, refreshed=stats.refreshed, entries=len(answers.memory),
            bytes=answers.memory.weight, saved_seconds=stats.saved_seconds,
            saved_usd=stats.saved_nanodollars / 1e9, second=second,
        )  # fmt: skip

    def clear(
        self, *, tenant: str | None = None, namespace: str | None = None, model: str | None = None,
        key: str | None = None,
    ) -> bool:  # fmt: skip
        """
        Forget what has all of these, or everything; answers that are on their way are not kept either.

        `key` is what `explain()["cache"]["key"]` tells; one that is on its way under it is kept, and what other
        processes hold of it in memory. A batch of embeddings has none: its inputs are kept one by one.

        False when it is forgotten here and the second tier cannot be told yet; it is told when it answers again, but
        of a single `key`, which is then to be cleared once more.
        """
        return drive(self._clear(Blocking(self._clock), tenant, namespace, model, key))

    async def aclear(
        self, *, tenant: str | None = None, namespace: str | None = None, model: str | None = None,
        key: str | None = None,
    ) -> bool:  # fmt: skip
        """`clear` for event loops."""
        return await self._clear(Awaiting(self._clock), tenant, namespace, model, key)

    def warm(
        self, requests: Iterable[Mapping[str, Any]], *, concurrency: int = 16, progress: bool = False
    ) -> tuple[int, int]:
        """Ask these, as `edge.map` does, so that the answers are kept: how many were answered, and how many failed."""
        told = [result.error is None for result in self._ask(requests, concurrency=concurrency, progress=progress)]
        return told.count(True), told.count(False)

    async def awarm(
        self, requests: Iterable[Mapping[str, Any]], *, concurrency: int = 16, progress: bool = False
    ) -> tuple[int, int]:
        """`warm` for event loops."""
        jobs = self._aask(requests, concurrency=concurrency, progress=progress)
        told = [result.error is None async for result in jobs]
        return told.count(True), told.count(False)

    def export(self, file: str | PathLike[str]) -> int:
        """
        Write what the second tier keeps to a file, signed with `cache.secret`, and give how many answers those are.

        Raises ConfigError where there is no second tier, or the file cannot be written.
        """
        return copies.write(Path(file), self.entries(), self._answers.secret)

    @property
    def shared(self) -> bool:
        """Whether there is a second tier."""
        return self._answers.second is not None

    def entries(self) -> Iterator[Entry]:
        """What the second tier keeps, purged answers left out. Raises ConfigError where there is none, or it fails."""
        second = self._answers.second
        if second is None:
            raise ConfigError("cache: has no second tier, and memory cannot be listed. Set cache.disk.directory.")
        with _told():
            yield from second.every()

    def load(self, file: str | PathLike[str]) -> int:
        """
        Take in what `export` wrote, and give how many answers are still of use; they are believed as they stand.

        Raises ConfigError for a file that cannot be read and a second tier that does not take all of it in,
        InvalidRequest for a line signed with another secret.
        """
        runtime, count, lost = Blocking(self._clock), 0, self._dropped()
        tier, wall = self._answers.tier(runtime), runtime.clock.time()
        if self._answers.second is not None:
            with _told():
                self._answers.second.look_up_here()
        for entry in copies.read(Path(file), self._answers.secret):
            if entry.expires <= wall or self._answers.tombstones.cover(entry):
                continue
            count += 1
            if tier is None:
                age = max(wall - entry.made, 0.0)
                self._answers.hold(entry, now=runtime.clock.now(), age=age, seconds=entry.ttl)
            else:
                tier.put(entry)
                if count % 100 == 0:
                    drive(tier.drain(10.0))  # what waits to be written is bounded
        if tier is not None:
            drive(tier.drain(10.0))
            lost = self._dropped() - lost
            if lost:
                raise ConfigError(f"cache: its second tier did not take in {lost} of {count} answers. Is it full?")
        return count

    def _dropped(self) -> int:
        second = self._answers.second
        return 0 if second is None else second.counts().dropped

    async def _clear(
        self, runtime: Runtime, tenant: str | None, namespace: str | None, model: str | None, key: str | None
    ) -> bool:
        answers, tier = self._answers, self._answers.tier(runtime)
        answers.flights.part()
        answers.sights.forget()
        if key is not None:
            answers.memory.remove(key)
            return tier is None or await tier.remove(key)
        named = tag(tenant=None if tenant is None else digest(tenant), namespace=namespace, model=model)
        now = runtime.clock.time()
        if named == tag() or not answers.tombstones.reaches_all(now):
            answers.memory.clear()
        if tier is not None:
            return await tier.purge(named)
        answers.tombstones.purge(named, now)
        return True


@contextmanager
def _told() -> Generator[None]:
    """Whatever a store raises, as a ConfigError."""
    try:
        yield
    except Exception as error:
        raise ConfigError(f"cache: its second tier cannot be read ({type(error).__name__}).") from None
