"""
Counts in a Redis or Valkey, shared by processes and machines.

Most calls are served from what the process has in hand (`policy.hand`); the others ask the store, in one act for all
their rows, and wait 50 ms at most. A store that fails is left alone for a while (`Fuse`): then each row says what
counts, a share of the limit held in this process, nothing, or that all are refused.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from itertools import count

from ..policy.hand import SLACK, Hand, SharedHold, Want, share
from ..policy.ledger import Ledger
from ..policy.rows import NEVER, Account, Actual, Asks, Full, Hold, Row, Standing, Taken, Verdict
from ..runtime import Clock, Crowd, Guard, Runtime, ThreadClock, mind_forks
from .fuse import Fuse
from .lanes import Client, library
from .leases import LEASE, Leases
from .places import Place
from .pool import PATIENCE, Pool
from .telling import Telling
from .wire import Batch, asked_for, cancelled, ran, settled, taken
from .workers import NotYet

_REFUSED_FOR = 1.0
"""Seconds after which a call is told to ask again while the store cannot be asked."""


class SharedCounters:
    """What both colours share: lanes to the store, what is in hand, and what the store has not been told yet."""

    def __init__(
        self, place: Place, *, prefix: str, patience: float = PATIENCE, clock: Clock | None = None, lease: float = LEASE
    ) -> None:
        self.pool = Pool(place, patience)
        self.prefix, self.patience, self._lease = prefix, patience, lease
        self.clock = clock or ThreadClock()
        self.fuse = Fuse(random.random, name="the store of limits and budgets")
        self.guard = Guard()
        self.telling = Telling(
            self.pool, self.fuse, self.clock, prefix=prefix, owed=self._owed, rests=self._rests, renew=self._renew
        )
        self._begin()
        mind_forks(self)

    def _begin(self) -> None:
        self.name = os.urandom(8).hex()
        self._ids = count(1)
        self.hand, self.within, self.leases = Hand(), Ledger(), Leases(self._lease)
        self.alive = 1
        """How many processes share the store, as far as it was heard."""
        self.trips = self._under_way = 0
        """How often a call waited for the store."""
        self.ahead = Crowd()
        """Happens when what the last call fetched for those after it, too, is here."""
        self._leaving = False

    def after_fork(self) -> None:
        # What is in hand, and the calls under way, are the parent's.
        self._begin()
        self.telling.forget()

    def new_id(self) -> str:
        return f"{self.name}:{next(self._ids):x}"

    @property
    def failing(self) -> bool:
        return self.fuse.blown

    def view(self, runtime: Runtime, /) -> SharedView:
        return SharedView(self, runtime)

    @property
    def failures(self) -> int:
        """Times the store failed."""
        return self.fuse.failures

    def close(self) -> None:
        """Give everything back. What the store does not hear of at once runs out there by itself."""
        self._leaving = True
        self.telling.close()
        self.pool.close()

    def sets_out(self, wants: Sequence[Want]) -> tuple[Sequence[Want], Crowd | None]:
        """What a call fetches, and what it tells of when it is back: alone under way, it fetches ahead for others."""
        self.trips += 1
        self._under_way += 1
        if self._under_way == 1:
            self.ahead = Crowd()
            return wants, self.ahead
        return [want._replace(more=0) for want in wants if want.need], None

    def came_back(self) -> None:
        self._under_way -= 1

    def _renew(self) -> None:
        if self.leases.empty or self.fuse.blown:
            return
        for renewal in self.guard.do(lambda: self.leases.due(self.prefix, self.clock.now())):
            try:
                self.pool.ask(partial(ran, batch=renewal.batch))
            except Exception as error:
                self.fuse.bad(self.clock.now(), at_once=isinstance(error, TimeoutError))
                return
            self.guard.do(partial(self.leases.renewed, renewal))

    def _rests(self) -> bool:
        return self.hand.empty and self.leases.empty

    def _owed(self) -> Sequence[Batch]:
        owed = self.guard.do(lambda: self.hand.sweep(self.clock.now(), everything=self._leaving))
        return [settled(self.prefix, self.new_id(), owed[at : at + 100]) for at in range(0, len(owed), 100)]


class SharedView:
    """One colour's way to them."""

    def __init__(self, store: SharedCounters, runtime: Runtime) -> None:
        self._store, self._runtime = store, runtime

    async def take(self, asks: Asks, lease: float, /) -> Verdict:
        store = self._store
        for row, amount in asks:
            if amount > row.limit:
                return Full(row, NEVER)
        now, hold = store.clock.now(), SharedHold(asks)
        first = min(lease, store.leases.lease)
        wants = store.guard.do(lambda: store.hand.draw(asks, first, now, hold))
        if isinstance(wants, Full):
            return wants
        if wants:
            leave = store.fuse.ask(now)
            if leave != "pass":
                if leave == "probe":
                    store.telling.probe()
                store.guard.do(lambda: store.hand.put_back(asks, wants, hold, now))
                return self._without_store(asks, lease, now)
            verdict = await self._fetch(asks, wants, first, hold)
        else:
            verdict = Taken(hold, store.hand.standings(asks, now))
        if lease > first and isinstance(verdict, Taken) and verdict.hold is hold:
            store.guard.do(lambda: store.leases.keep(hold, now, now + lease))
            store.telling.soon(urgent=False)
        return verdict

    async def _fetch(self, asks: Asks, wants: Sequence[Want], lease: float, hold: SharedHold) -> Verdict:
        wants, ahead = self._store.guard.do(lambda: self._store.sets_out(wants))
        try:
            return await self._fetched(asks, wants, lease, hold, first=ahead is not None)
        finally:
            if ahead is not None:
                ahead.set()

    async def _fetched(
        self, asks: Asks, wants: Sequence[Want], lease: float, hold: SharedHold, *, first: bool
    ) -> Verdict:
        store, hold.id = self._store, self._store.new_id()
        again = hold.shared and any(want.row.kind == "places" for want in wants)
        long = lease + SLACK if again else lease  # so that the next call may have them
        batch = taken(store.prefix, store.name, hold.id, wants, long)
        until = store.clock.now() + long
        along = store.telling.take_along() if any(row.unit == "nano-dollars" for row, _ in asks) else []
        busy = store.telling.busy
        said: Sequence[int] | None = None
        try:
            said = await self._said([*along, batch])
            if said and not said[0] and wants[said[1] - 1].row.kind == "places" and (busy or store.telling.busy):
                # A place may just be on its way back there; a refusal leaves nothing behind, so it is asked once more.
                said = None
                await self._all_told()
                said = await self._said([batch])
        finally:
            now = store.clock.now()
            store.guard.do(store.came_back)
            if said is None:
                store.telling.cancel(cancelled(batch))
                if along:
                    store.telling.later(along)
            if said is None or not said[0]:
                store.guard.do(lambda: store.hand.put_back(asks, wants, hold, now))
                store.telling.soon(urgent=False)
        if said is None:
            return self._without_store(asks, lease, now)
        store.fuse.good()
        store.alive = max(said[3], 1)
        if not said[0]:
            row, need, _ = wants[said[1] - 1]
            full = Full(row, NEVER if said[2] < 0 else said[2] / 1e6)
            if not first and not store.ahead.is_set:  # what it lacks may be on its way here
                await self._runtime.wait(store.ahead, store.patience)
                now = store.clock.now()
            if store.guard.do(lambda: store.hand.has_meanwhile(asks, lease, now, hold)):
                return Taken(hold, store.hand.standings(asks, now))
            store.guard.do(lambda: store.hand.refused(row, need, full.wait, now))
            return full
        given = said[4:]
        store.guard.do(lambda: store.hand.receive(wants, given, until, now, hold))
        store.telling.soon(urgent=False)
        return Taken(hold, store.hand.standings(asks, now))

    async def _said(self, batches: Sequence[Batch]) -> Sequence[int] | None:
        """What the store says to the last of them; None when it did not answer."""
        store = self._store
        try:
            return await store.pool.soon(lambda client: _all(client, batches), self._runtime, store.telling.workers)
        except NotYet:
            pass  # all workers are busy: nobody is to blame
        except (OSError, library().RedisError) as error:
            store.fuse.bad(store.clock.now(), at_once=isinstance(error, TimeoutError))
        return None

    async def _all_told(self) -> None:
        """Until the store has heard what it was owed; or for as long as a call waits for it."""
        store = self._store
        try:
            await store.telling.workers.run(store.telling.all_now, self._runtime, store.patience)
        except (NotYet, TimeoutError):
            pass

    def _without_store(self, asks: Asks, lease: float, now: float) -> Verdict:
        """What counts while the store cannot be asked, as each row says."""
        store = self._store
        for row, _ in asks:
            if row.on_failure == "closed":
                return Full(replace(row, says="the store of its counts cannot be asked", patience=0.0), _REFUSED_FOR)
        shares = [(share(row, store.alive), amount) for row, amount in asks if row.on_failure == "local"]
        wall = store.clock.time()
        verdict = store.guard.do(lambda: store.within.take(shares, now, wall, lease=lease))
        if isinstance(verdict, Full):
            return verdict
        return Taken(SharedHold(asks, within=verdict.hold), verdict.standings)

    def settle(self, hold: Hold, actual: Actual, /) -> None:
        assert isinstance(hold, SharedHold), "it was taken here"
        if hold.open:
            store = self._store
            store.guard.post(lambda: _settle(store, hold, actual))

    async def look(self, row: Row, /) -> Standing | None:
        store, now = self._store, self._store.clock.now()
        wants = [Want(row, 0, 0)]
        batch = taken(store.prefix, store.name, store.new_id(), wants, 0.001)
        if store.fuse.ask(now) != "pass":
            return None
        try:
            said = await store.pool.soon(lambda client: ran(client, batch), self._runtime, store.telling.workers)
        except (NotYet, OSError, library().RedisError):
            return None
        return Standing(row.unit, row.limit, said[5], said[6] / 1e6) if said[0] else Standing(row.unit, row.limit, 0, 0)

    async def accounts(self, rows: Sequence[Row], /) -> Sequence[Account] | None:
        store, found = self._store, list[Account]()
        for at in range(0, len(rows), 100):
            if store.fuse.ask(store.clock.now()) != "pass":
                return None
            batch = asked_for(store.prefix, rows[at : at + 100])
            try:
                said = await store.pool.soon(partial(ran, batch=batch), self._runtime, store.telling.workers)
            except (NotYet, OSError, library().RedisError):
                return None
            found += [Account(*said[each : each + 3]) for each in range(0, len(said), 3)]
        return found


def _all(client: Client, batches: Sequence[Batch]) -> Sequence[int]:
    """What the last of them says."""
    return [ran(client, batch) for batch in batches][-1]


def _settle(store: SharedCounters, hold: SharedHold, actual: Actual) -> None:
    if not hold.open:
        return
    hold.open, now = False, store.clock.now()
    store.leases.drop(hold)
    if hold.within is not None:
        store.within.settle(hold.within, actual, now, store.clock.time())
        return
    store.telling.soon(urgent=store.hand.settle(hold, actual, now))
