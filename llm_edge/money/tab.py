"""
What one client's calls have cost since it was made, remembered in memory.

A call costs one append. It is added up later, by the hour and by who asked for what; of both there are only so many,
and beyond them the oldest are added up together, as `other`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, TypeAlias

from ..message import Request
from ..runtime import Guard, mind_forks
from .spend import HITS, NO_FAILURES, OTHER, WHO, Question, Spent, Sums, iso

_MANY: Final = 512
"""Calls before they are added up."""
MOST: Final = 10_000
_HOUR: Final = 3600

Key: TypeAlias = tuple[int, tuple[str, ...]]
"""An hour since 1970, and who asked for what, as in `WHO`."""
_Call: TypeAlias = tuple[float, tuple[str, ...], str, str, Mapping[str, Any] | None, int | None, int | None]


class Tab:
    """Everything that was spent, by hour."""

    def __init__(self, most: int = MOST) -> None:
        self._guard, self._most = Guard(), most
        self._calls: deque[_Call] = deque()
        self._rows: dict[Key, Spent] = {}
        mind_forks(self)

    def after_fork(self) -> None:
        # What was spent until now was spent by the parent.
        self._calls.clear()
        self._rows.clear()

    def call(self, request: Request, error: BaseException | None, time: float, /) -> None:
        """One call is over, and its bill is made. Never waits."""
        notes, controls = request.notes, request.controls
        who = (controls.tenant, request.scope, controls.user, notes.route, request.model, notes.asked)  # as in WHO
        usage = notes.usage if notes.attempts else None
        self._calls.append((time, who, notes.cache, notes.error, usage, notes.cost, notes.saved))
        if len(self._calls) >= _MANY:
            self._guard.post(self._add_up)

    def spent(self, question: Question) -> list[Spent]:
        """Sums, the dearest first; of the time that is asked for whole hours count."""
        return self._guard.do(lambda: self._spent(question))

    def _spent(self, question: Question) -> list[Spent]:
        self._add_up()
        sums = Sums()
        first, last = question.since // _HOUR, question.until / _HOUR
        for (hour, names), spent in self._rows.items():
            who: dict[str, str] = dict(zip(WHO, names, strict=True))
            if first <= hour < last and question.wants(who):
                sums.of(question.name(iso(hour * _HOUR), who)).join(spent)
        return sums.rows()

    def _add_up(self) -> None:
        rows = self._rows
        while self._calls:
            time, who, cache, error, usage, cost, saved = self._calls.popleft()
            key = (int(time // _HOUR), who)
            spent = rows.get(key)
            if spent is None:
                if len(rows) >= self._most:
                    self._make_room()
                spent = rows.setdefault(key, Spent(""))
            spent.calls += 1
            spent.hits += cache in HITS
            spent.failed += error not in NO_FAILURES
            spent.saved_nano_usd += saved or 0
            if cost is None:
                spent.unpriced += 1
            else:
                spent.nano_usd += cost
            if usage is not None:
                spent.input_tokens += usage.get("prompt_tokens") or 0
                spent.output_tokens += usage.get("completion_tokens") or 0

    def _make_room(self) -> None:
        """The oldest quarter goes into one row, at its last hour: sums stay whole, names do not."""
        oldest = list(islice(sorted(self._rows), self._most // 4 + 1))
        whole = Spent("")
        for key in oldest:
            whole.join(self._rows.pop(key))
        # There may be such a row already: then it stays one.
        self._rows.setdefault((oldest[-1][0], (OTHER,) * len(WHO)), Spent("")).join(whole)
