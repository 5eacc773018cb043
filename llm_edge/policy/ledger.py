"""All rows of one process, and the rule that a call takes its part of each of them or of none."""

from __future__ import annotations

from collections.abc import Sequence

from .rows import STATES, Actual, Asks, Full, Hold, Row, Standing, State, Taken, Verdict

MOST = 20_000
"""Rows remembered at once: their subjects come from callers, and memory must not grow with them."""


class Ledger:
    """Takes and settles. Who calls it keeps to one thread at a time."""

    def __init__(self, most: int = MOST) -> None:
        self._states: dict[str, tuple[Row, State]] = {}
        self._most = most

    def take(self, asks: Asks, now: float, time: float, *, lease: float) -> Verdict:
        """What was asked of every row, or nothing; the hold runs out by itself after `lease` seconds."""
        known = self._states
        states: list[State] = []
        longest, worst = 0.0, None
        for row, amount in asks:
            entry = known.get(row.key)
            state = self._new(row, now, time) if entry is None else entry[1]
            wait = state.wait(row, amount, now, time)
            if wait > longest:
                longest, worst = wait, row
            states.append(state)
        if worst is not None:
            return Full(worst, longest)
        hold, standings = Hold(asks, states, now + lease), list[Standing]()
        for (row, amount), state in zip(asks, states, strict=True):
            state.take(row, amount, now, time, hold)
            standings.append(state.standing(row, now, time))
        return Taken(hold, _tightest(standings), standings)

    def settle(self, hold: Hold, actual: Actual, now: float, time: float) -> None:
        """The call is over, and used so much. A second time nothing happens."""
        states, hold.states = hold.states, ()
        if states:
            for state, (row, amount) in zip(states, hold.asks, strict=True):
                state.settle(row, amount, actual.get(row.unit), now, time, hold)

    def state(self, row: Row) -> State | None:
        """How a row stands; None when nothing was ever taken of it."""
        entry = self._states.get(row.key)
        return None if entry is None else entry[1]

    def forget_holds(self) -> None:
        """Those who hold something belong to another process."""
        for _, state in self._states.values():
            state.forget_holds()

    def __len__(self) -> int:
        return len(self._states)

    def _new(self, row: Row, now: float, time: float) -> State:
        if len(self._states) >= self._most:
            self._make_room(now, time)
        state: State = STATES[row.kind]()
        self._states[row.key] = (row, state)
        return state

    def _make_room(self, now: float, time: float) -> None:
        """Drop those that have nothing to remember; or else the oldest, who then begin anew."""
        idle = [key for key, (row, state) in self._states.items() if state.idle(row, now, time)]
        for key in idle or list(self._states)[: self._most // 4]:
            del self._states[key]


_TOLD = ("requests", "tokens")


def _tightest(standings: Sequence[Standing]) -> Sequence[Standing]:
    """For requests and for tokens how the tightest row stands."""
    tightest: dict[str, Standing] = {}
    for standing in standings:
        if standing.unit not in _TOLD:
            continue
        if standing.unit not in tightest or standing.left < tightest[standing.unit].left:
            tightest[standing.unit] = standing
    return tuple(tightest.values())
