"""Which budgets a call is under, as rows to count in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, NamedTuple, cast

from .keys import fingerprint
from .periods import Period
from .plan import Scope, Subjects
from .rows import Row

EVERY: Final[tuple[Scope, ...]] = ("global", "tenant", "key", "user", "route", "provider", "model")
MOST: Final = 2**53 - 1
"""Nano-dollars; what a store's numbers hold exactly. About nine million dollars."""
_KNOWN = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What may be spent, by period, in nano-dollars."""

    limits: Mapping[Period, int]
    hard: bool = True
    warn: float = 0.8
    """The share that is worth a warning."""


class Line(NamedTuple):
    """One budget of one subject in one period."""

    row: Row
    budget: Budget
    limit: int
    name: str
    """As the configuration calls it: `tenant`, `tenant:acme`."""
    subject: str


@dataclass(slots=True)
class Budgets:
    """All budgets: by scope (`tenant`), and by one subject of it (`tenant:acme`), which has that one alone."""

    budgets: Mapping[str, Budget]
    _known: dict[Subjects, Sequence[Line]] = field(default_factory=dict[Subjects, "Sequence[Line]"])

    def scopes(self) -> tuple[Scope, ...]:
        """Those there are budgets for."""
        named = {name.partition(":")[0] for name in self.budgets}
        return tuple(scope for scope in EVERY if scope in named)

    def lines(self, subjects: Subjects) -> Sequence[Line]:
        """What these subjects must pass."""
        known = self._known
        found = known.get(subjects)
        if found is None:
            if len(known) >= _KNOWN:
                known.clear()  # subjects come from callers, and memory must not grow with them
            found = known[subjects] = self._drawn(subjects)
        return found

    def known(self) -> Sequence[Line]:
        """Those whose subject is named, and those of whoever has called; no more than a thousand."""
        named = [name.partition(":")[::2] for name in self.budgets if name == "global" or ":" in name]
        drawn = [
            self._drawn(((cast("Scope", scope), subject),))
            for scope, subject in named
            if scope != "model" or "/" in subject  # without its provider it stands for several
        ]
        lines = [line for each in (*drawn, *list(self._known.values())) for line in each]
        return list({line.row.key: line for line in lines}.values())[:1000]

    def _drawn(self, subjects: Subjects) -> Sequence[Line]:
        lines: list[Line] = []
        for scope, subject in subjects:
            names = [f"{scope}:{subject}"] if subject else []
            if scope == "model":
                names.append(f"model:{subject.partition('/')[2]}")
            name = next((each for each in (*names, scope) if each in self.budgets), None)
            if name is not None:
                lines += [self._line(scope, subject, name, period) for period in self.budgets[name].limits]
        return lines

    def _line(self, scope: Scope, subject: str, name: str, period: Period) -> Line:
        budget = self.budgets[name]
        return Line(_row(scope, subject, budget, period), budget, budget.limits[period], name, subject)


def _row(scope: Scope, subject: str, budget: Budget, period: Period) -> Row:
    limit = budget.limits[period]
    who = f"{scope}:{fingerprint(subject)}" if subject else scope
    dollars = Decimal(limit).scaleb(-9).normalize()
    span = "in total" if period == "total" else f"in a {period}"
    return Row(
        key=f"budget:{who}:{period}", kind="tally", unit="nano-dollars", limit=limit if budget.hard else MOST,
        period=period, scope=scope, says=f"more than ${dollars:f} {span}",
        on_failure="closed" if budget.hard else "open",
    )  # fmt: skip
