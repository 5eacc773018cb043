"""
Where limits and budgets count: the seam between a layer that holds calls to them and the store they live in.

A call takes its part of several rows in one act, all of it or nothing, and settles once with what it really used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..policy.ledger import Ledger
from ..policy.rows import Account, Actual, Asks, Hold, Row, Standing, State, Tally, Verdict
from ..runtime import Clock, Guard, Runtime, mind_forks


class Counters(Protocol):
    """One colour's way to the counts."""

    async def take(self, asks: Asks, lease: float, /) -> Verdict:
        """What was asked of every row, or nothing. `lease`: seconds after which it runs out if nobody settles it."""
        ...

    def settle(self, hold: Hold, actual: Actual, /) -> None:
        """The call is over, and used so much. Never waits: the garbage collector may call it. A second time is void."""
        ...

    async def look(self, row: Row, /) -> Standing | None:
        """How a row stands; None when nothing was taken of it, or the store cannot be asked."""
        ...

    async def accounts(self, rows: Sequence[Row], /) -> Sequence[Account] | None:
        """What stands under these tallies; None when the store cannot be asked."""
        ...


class CounterStore(Protocol):
    """What both colours share."""

    @property
    def failing(self) -> bool:
        """Whether it is left alone for a while, as it did not answer."""
        ...

    @property
    def failures(self) -> int | None:
        """Times a store that is shared failed; None where none is."""
        ...

    def view(self, runtime: Runtime, /) -> Counters: ...
    def close(self) -> None: ...


class MemoryCounters:
    """Counts of this process alone."""

    failing = False
    failures: int | None = None

    def __init__(self) -> None:
        self._ledger = Ledger()
        self._guard = Guard()
        mind_forks(self)

    def after_fork(self) -> None:
        # The calls under way are the parent's.
        self._ledger.forget_holds()

    def view(self, runtime: Runtime, /) -> MemoryView:
        return MemoryView(self._ledger, self._guard, runtime.clock)

    def close(self) -> None: ...


class MemoryView:
    """One colour's way to them."""

    def __init__(self, ledger: Ledger, guard: Guard, clock: Clock) -> None:
        self._ledger, self._guard, self._clock = ledger, guard, clock

    async def take(self, asks: Asks, lease: float, /) -> Verdict:
        return self.take_now(asks, lease)

    def take_now(self, asks: Asks, lease: float, /) -> Verdict:
        clock, ledger = self._clock, self._ledger
        now, time = clock.now(), clock.time()
        return self._guard.do(lambda: ledger.take(asks, now, time, lease=lease))

    def settle(self, hold: Hold, actual: Actual, /) -> None:
        if hold.states:
            clock, ledger = self._clock, self._ledger
            self._guard.post(lambda: ledger.settle(hold, actual, clock.now(), clock.time()))

    async def look(self, row: Row, /) -> Standing | None:
        state = self._ledger.state(row)
        now, time = self._clock.now(), self._clock.time()
        return None if state is None else self._guard.do(lambda: state.standing(row, now, time))

    async def accounts(self, rows: Sequence[Row], /) -> Sequence[Account] | None:
        now, time = self._clock.now(), self._clock.time()
        return self._guard.do(lambda: [_account(self._ledger.state(row), row, now, time) for row in rows])


def _account(state: State | None, row: Row, now: float, time: float) -> Account:
    return state.account(row, now, time) if isinstance(state, Tally) else Account()
