"""
The second tier of the cache: a store that is slow, shared, and may fail in any way, behind a face that never does.

A shelf (disk, Redis) holds bytes. Here entries become bytes and are checked when they come back; reads are bounded in
time, writes are done behind the callers' backs, and a store that fails is left alone for a while (`Fuse`). One
`SecondTier` serves both colours: `view(runtime)` gives each its own `Tier`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from ..runtime import Clock, Guard, Runtime, Signal, ThreadClock, mind_forks
from .entry import YEAR, Entry, Odd, decode, encode
from .fuse import Fuse
from .shelf import Lease, Shelf, Tier, TierCounts
from .tombstones import AHEAD, Marks, Tombstones
from .workers import Behind, NotYet, Work, Workers

MARKS_EVERY, LOOKED_UP_EVERY = 1.0, 0.5
"""Seconds for which the purges read from a store are believed to be all, and after which they are looked up anew."""


class SecondTier:
    """One store of kept answers, for all threads and loops of this process."""

    def __init__(
        self, shelf: Shelf, *, secret: bytes, ttl: float = 3600.0, stale: float = 0.0,
        readers: int = 4, clock: Clock | None = None, chance: Callable[[], float] = random.random,
    ) -> None:  # fmt: skip
        self.ttl = ttl
        """How long an answer is kept here when nobody says otherwise, in seconds; the layer sets it on entries."""
        self.tombstones = Tombstones()
        self._shelf, self._secret, self._stale = shelf, secret, stale
        self._clock: Clock = clock or ThreadClock()
        self._readers = Workers("cache reader", readers, shelf.leave, prompt=True)
        self._writer = Workers("cache writer", 1, shelf.leave)
        self._behind = Behind(self._writer)
        self._reading, self._writing = (
            Fuse(chance, name="the second tier of the cache (reading)"),
            Fuse(chance, name="the second tier of the cache (writing)"),
        )
        self._counts, self._guard = TierCounts(), Guard()
        self._marks_read: float | None = None
        self._looking = False
        self.heard: Callable[[float], None] = _nobody
        """Called, with the time of day, when a purge by another process has come to be known."""
        self.closed = False
        mind_forks(self)

    def after_fork(self) -> None:
        self._looking = False  # whoever looks does so in the parent

    def view(self, runtime: Runtime) -> Tier:
        """This tier as one colour sees it."""
        return _View(self, runtime)

    @property
    def failing(self) -> bool:
        """Whether it is left alone for a while, as it did not answer."""
        return self._reading.blown or self._writing.blown

    @property
    def crowded(self) -> bool:
        """Whether an answer may be long in coming, or not be written at all: there is much to write, or no room."""
        return self._behind.crowded or self._writing.doubted

    def counts(self) -> TierCounts:
        """A copy of the counters."""
        now = self._counts
        return TierCounts(
            hits=now.hits, misses=now.misses, errors=now.errors, skipped=now.skipped, written=now.written,
            dropped=now.dropped + self._behind.dropped, late=now.late, odd=dict(now.odd),
        )  # fmt: skip

    @property
    def failures(self) -> tuple[int, int]:
        """Times the store failed: reads, and writes."""
        return self._reading.failures, self._writing.failures

    def glance(self) -> bool:
        """
        Whether the purges known here are all, for who answers from memory; False when the store is to be asked first.

        Has those by other processes looked up in time, behind the caller's back, so that nobody waits for them where
        calls come all the time. A store that failed is found to be back so, too, and is not waited for.
        """
        if self.closed:
            return True
        read, now = self._marks_read, self._clock.now()
        known = math.inf if read is None else now - read
        if known < LOOKED_UP_EVERY:
            return True
        failing = self.failing
        if failing or known < MARKS_EVERY:
            self._have_looked_up(now)
        return failing or known < MARKS_EVERY

    def _have_looked_up(self, now: float) -> None:
        if self._looking:
            return
        leave = self._reading.ask(now)
        if leave == "pass":
            self._looking = True
            self._readers.submit(self._look)
        elif leave == "probe":
            self._readers.submit(lambda: self._probe(self._reading, self.look_up))

    def look_up_here(self) -> None:
        """Purges by other processes, looked up by a thread that leaves no connection behind; blocks, and may raise."""
        try:
            self.look_up(patient=True)
        finally:
            self._shelf.leave()

    def every(self) -> Iterator[Entry]:
        """All that is kept and sound, fresh or stale; blocks. OSError or the store's own error when it fails."""
        now = self._clock.time()
        try:
            self.look_up(patient=True)
            for key, data in self._shelf.every():
                try:
                    entry = decode(data, key=key, scope=None, secret=self._secret)
                except Odd:
                    continue  # who asks for it will count and delete it
                if now <= entry.expires + self._stale and not self.tombstones.cover(entry):
                    yield entry
        finally:
            self._shelf.leave()

    def close(self) -> None:
        """Let the threads end, after what is still to be written; what comes later is ignored."""
        self.closed = True
        self._shelf.close()
        self._readers.close()
        self._writer.close()

    def join(self, seconds: float) -> None:
        """Wait, after `close`, until the threads have ended; no longer than this for each."""
        self._readers.join(seconds)
        self._writer.join(seconds)

    # ---- reading

    async def get(self, key: str, scope: str, runtime: Runtime) -> Entry | None:
        if not self._may_read():
            return None
        marks = self._marks_due()
        try:
            data, found = await self._shelf.read(key, marks, runtime, self._readers)
        except NotYet:
            self._count("skipped")
            return None
        except Exception as error:
            self._failed(self._reading, error)
            return None
        self._reading.good()
        if found is not None:
            self._merge(found)
        entry = None if data is None else self._sound(data, key, scope)
        if entry is None:
            self._count("misses")
        else:
            self._count("hits")
        return entry

    def _may_read(self) -> bool:
        if self.closed:
            return False
        leave = self._reading.ask(self._clock.now())
        if leave == "probe":
            self._readers.submit(lambda: self._probe(self._reading, self.look_up))
        if leave != "pass":
            self._count("skipped")
        return leave == "pass"

    def _sound(self, data: object, key: str, scope: str) -> Entry | None:
        try:
            entry = decode(data, key=key, scope=scope, secret=self._secret)
        except Odd as odd:
            self._odd(odd.reason)
            self._shelf.distrust()
            if odd.reason != "version":  # another version of the library may read it
                self._later(lambda: self._shelf.remove(key))
            return None
        now = self._clock.time()
        if entry.made > now + AHEAD:
            self._odd("future")
            self._later(lambda: self._shelf.remove(key))  # by then it may have been purged, and nobody could tell
            return None
        gone = now > entry.expires + self._stale or self.tombstones.cover(entry)
        return None if gone else entry

    def _marks_due(self) -> bool:
        read = self._marks_read
        return read is None or self._clock.now() - read >= MARKS_EVERY

    def _merge(self, found: Marks) -> None:
        known, first, self._marks_read = self.tombstones.marks, self._marks_read is None, self._clock.now()
        unsaid = self.tombstones.merge(found, self._clock.time())
        if not first and self.tombstones.marks is not known:  # those found first are older than our calls
            self.heard(self._clock.time())
        if unsaid:
            self._later(lambda: self._shelf.mark(unsaid))

    def _look(self) -> None:
        try:
            self.look_up()
        except Exception as error:
            self._failed(self._reading, error)
        finally:
            self._looking = False

    def look_up(self, *, patient: bool = False) -> None:
        """Read what was purged, by whomever; blocks. The store's own error when it fails."""
        self._merge(self._shelf.marks(patient=patient))

    # ---- writing

    def put(self, entry: Entry, lease: Lease | None = None) -> None:
        if not self.closed:
            self._behind.add(lambda: self._put(entry, lease), entry.size)

    def put_all(self, entries: Sequence[Entry]) -> None:
        def write() -> None:
            for entry in entries:
                self._put(entry, None)

        if not self.closed:
            self._behind.add(write, sum(entry.size for entry in entries))

    def _put(self, entry: Entry, lease: Lease | None) -> None:
        left = entry.expires + self._stale - self._clock.time()
        if left <= 0 or self.tombstones.cover(entry):
            return
        try:
            data = encode(entry, self._secret)
        except (TypeError, ValueError):
            self._count("dropped")
            return
        put: list[bool] = []
        stays = partial(self._serves_more, than=entry) if entry.kind == "stream" and entry.usage is None else None
        if self._write(lambda: put.append(self._shelf.put(entry.key, data, min(left, YEAR), lease, stays))):
            self._count("written" if put == [True] else "late")
        else:
            self._count("dropped")

    def _serves_more(self, there: object, *, than: Entry) -> bool:
        """Whether an answer came while this one was on its way that tells what was used: it serves both asks."""
        try:
            found = decode(there, key=than.key, scope=than.scope, secret=self._secret)
        except Odd:
            return False
        return found.usage is not None and found.made >= than.made - than.took and not self.tombstones.cover(found)

    def _write(self, work: Work) -> bool:
        """One write, on the writer's thread; whether it was done."""
        leave = self._writing.ask(self._clock.now())
        if leave == "skip":
            return False
        if leave == "probe":
            return self._probe(self._writing, work)
        try:
            work()
        except Exception as error:
            self._failed(self._writing, error)
            return False
        self._writing.good()
        return True

    def _later(self, work: Work) -> None:
        def write() -> None:
            self._write(work)

        self._behind.add(write, soon=True)

    async def remove(self, key: str, runtime: Runtime) -> bool:
        # After what was to be written before, or that would bring it back.
        return await self._written(lambda: self._shelf.remove(key), runtime, soon=False)

    async def purge(self, tag: str, runtime: Runtime) -> bool:
        moment = self.tombstones.purge(tag, self._clock.time())
        return await self._written(lambda: self._shelf.mark({tag: moment}), runtime, soon=True)

    async def _written(self, work: Work, runtime: Runtime, *, soon: bool) -> bool:
        """Whether the work was done within a second."""
        if self.closed:
            return False
        outcome: list[bool] = []
        done = Signal()
        self._behind.add(lambda: outcome.append(self._write(work)), done=done, soon=soon)
        await runtime.wait(done, 1.0)
        return outcome == [True]

    async def claim(self, key: str, token: str, seconds: float, runtime: Runtime) -> bool | None:
        if not self._may_read():
            return None
        try:
            return await self._shelf.claim(key, token, seconds, runtime, self._readers)
        except NotYet:
            return None
        except Exception as error:
            self._failed(self._reading, error)
            return None

    def release(self, key: str, token: str) -> None:
        if not self.closed:
            self._later(lambda: self._shelf.release(key, token))

    async def drain(self, seconds: float, runtime: Runtime) -> None:
        await self._behind.drained(runtime, seconds)

    # ---- keeping count

    def _probe(self, fuse: Fuse, work: Work) -> bool:
        try:
            work()
        except Exception:
            self._count("errors")
            fuse.probed(self._clock.now(), good=False)
            return False
        fuse.probed(self._clock.now(), good=True)
        return True

    def _failed(self, fuse: Fuse, error: Exception) -> None:
        self._count("errors")
        fuse.bad(self._clock.now(), at_once=isinstance(error, TimeoutError))

    def _count(self, name: str) -> None:
        self._guard.post(lambda: setattr(self._counts, name, getattr(self._counts, name) + 1))

    def _odd(self, reason: str) -> None:
        def count() -> None:
            self._counts.odd[reason] = self._counts.odd.get(reason, 0) + 1

        self._guard.post(count)


def _nobody(now: float) -> None: ...


class _View:
    """A `SecondTier` in one colour."""

    def __init__(self, tier: SecondTier, runtime: Runtime) -> None:
        self._tier, self._runtime = tier, runtime

    @property
    def crowded(self) -> bool:
        return self._tier.crowded

    async def get(self, key: str, scope: str, /) -> Entry | None:
        return await self._tier.get(key, scope, self._runtime)

    def put(self, entry: Entry, lease: Lease | None = None, /) -> None:
        self._tier.put(entry, lease)

    def put_all(self, entries: Sequence[Entry], /) -> None:
        self._tier.put_all(entries)

    async def remove(self, key: str, /) -> bool:
        return await self._tier.remove(key, self._runtime)

    async def purge(self, tag: str, /) -> bool:
        return await self._tier.purge(tag, self._runtime)

    async def claim(self, key: str, token: str, seconds: float, /) -> bool | None:
        return await self._tier.claim(key, token, seconds, self._runtime)

    def release(self, key: str, token: str, /) -> None:
        self._tier.release(key, token)

    async def drain(self, seconds: float, /) -> None:
        await self._tier.drain(seconds, self._runtime)
