"""
Holds spending to budgets: each attempt reserves what it will probably cost, and settles with what it did.

It stands before each target, below retry: there the price is known, an answer from the cache never comes by, and a
route may go on to a cheaper target when a dear one does not fit any more. A hard budget can be overdrawn by what the
calls under way cost beyond their guesses, and by no more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import BudgetExceeded
from ..message import UNCHARGED, Handler, Request, Response
from ..notes import Attempt
from ..policy.budget import Budgets, Line
from ..policy.estimate import Guess, Lessons, served
from ..policy.periods import Period, number
from ..policy.plan import Subjects
from ..policy.rows import Hold, Row, Taken
from ..providers.base import Target
from ..runtime import Runtime
from ..stores.counters import Counters
from .rules import Rules
from .tell import Cost, spoken

log = logging.getLogger("llm_edge")

GRACE = 5.0
"""Seconds after its deadline at which a reservation becomes spent, had its process died."""
WITHOUT_DEADLINE = 3600.0
LOOK_EVERY = 1.0
"""Seconds between two looks at how a budget stands."""
_MOST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Spending:
    """Refuses what would go beyond a hard budget; warns when one runs low. Raises BudgetExceeded."""

    target: Target
    budgets: Budgets
    subjects: Callable[[Request], Subjects]
    counters: Counters
    runtime: Runtime
    cost: Cost
    lessons: Lessons
    downgrade: Rules[bool]
    """Whether a call that is refused here may be made at another target."""
    watch: Watch

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        lines = self.budgets.lines(self.subjects(request))
        if not lines or request.operation in UNCHARGED:
            return await handler(request)
        name = self.target.name
        guessed = self.lessons.guess(request.body.json, name, embeddings=request.operation == "embeddings")
        price = self._price(request, self.lessons.better(name, guessed).usage)
        if price is None:
            self._unpriced(request, lines)
            return await handler(request)
        hold = await self._reserved(request, lines, price)
        begun = len(request.notes.attempts)
        settle = _Settling(self, request, hold, guessed)
        try:
            response = await handler(request)
        except BaseException:
            settle.after(self._mine(request, begun))
            raise
        attempt = self._mine(request, begun)
        if attempt is None or attempt.ended is not None:
            settle.after(attempt)
        else:
            attempt.settle = settle.after
        return response

    def _price(self, request: Request, usage: Mapping[str, Any]) -> int | None:
        """Of the way of serving that is asked for, where that has one."""
        name, now, asked = self.target.name, self.runtime.clock.time(), served(request.body.json, usage)
        price = self.cost(name, asked, now, "")
        return price if price is not None or asked is usage else self.cost(name, usage, now, "")

    def _mine(self, request: Request, begun: int) -> Attempt | None:
        """The attempt that this call led to; None when it led to none."""
        name = self.target.name
        return next((each for each in request.notes.attempts[begun:] if each.target == name), None)

    async def _reserved(self, request: Request, lines: Sequence[Line], price: int) -> Hold:
        clock = self.runtime.clock
        lease = WITHOUT_DEADLINE if request.deadline is None else request.deadline - clock.now() + GRACE
        verdict = await self.counters.take([(line.row, price) for line in lines], lease)
        if not isinstance(verdict, Taken):
            raise self._refused(request, verdict.row, f"has no room for this call: {verdict.row.says}", verdict.wait)
        request.notes.consulted += ((verdict.hold.asks, verdict.each),)
        for line in lines:
            if self.watch.due(line.row.key, clock.now()):
                await self._look(request, line)
        return verdict.hold

    async def _look(self, request: Request, line: Line) -> None:
        """A warning when a budget runs low, or a soft one is used up; once in each period."""
        accounts = await self.counters.accounts([line.row])
        if accounts is None:
            return
        share = (accounts[0].spent + accounts[0].reserved) / line.limit if line.limit else 1.0
        over = number(line.row.period, self.runtime.clock.time())
        self.watch.saw(line, over, share)
        if share < line.budget.warn:
            return
        request.notes.say(
            self.runtime.clock.now(), "budget", scope=line.row.scope, used=round(share, 3), of_usd=line.limit / 1e9
        )
        if self.watch.first(f"{line.row.key}:{over}:{share >= 1.0}"):
            log.warning(
                "the %s budget of $%s is used to %d %%", line.row.scope, spoken(line.limit), round(share * 100),
                extra=request.notes.about,
            )  # fmt: skip

    def _unpriced(self, request: Request, lines: Sequence[Line]) -> None:
        hard = next((line for line in lines if line.budget.hard), None)
        if hard is not None:
            why = (
                f"is hard, and the price of {self.target.name} is not known;"
                f' set it as prices.models."{self.target.name}"'
            )
            raise self._refused(request, hard.row, why, None)

    def _refused(self, request: Request, row: Row, why: str, wait: float | None) -> BudgetExceeded:
        request.notes.say(self.runtime.clock.now(), "budget", scope=row.scope, target=self.target.name, refused=why)
        known = wait is not None and wait != float("inf")
        refused = BudgetExceeded(f"the {row.scope} budget {why}", retry_after=wait if known else None)
        refused.elsewhere = self.downgrade.of(request.route)
        refused.target = self.target.name
        return refused


class Watch:
    """Sees to it that budgets are looked at now and then, and warned of once."""

    def __init__(self) -> None:
        self._looked: dict[str, float] = {}
        self._warned: set[str] = set()
        self._shares: dict[str, tuple[Line, int, float]] = {}

    def saw(self, line: Line, over: int, share: float) -> None:
        """So much of a budget is used in the period `over`."""
        if len(self._shares) >= _MOST:
            self._shares.clear()
        self._shares[line.row.key] = (line, over, share)

    def shares(self, time: float) -> Mapping[tuple[str, Period], float]:
        """By a budget's name and period the highest share that was seen of it; 0 where a new period has begun."""
        highest: dict[tuple[str, Period], float] = {}
        for line, over, share in list(self._shares.values()):
            name = (line.name, line.row.period)
            highest[name] = max(highest.get(name, 0.0), share if over == number(line.row.period, time) else 0.0)
        return highest

    def due(self, key: str, now: float) -> bool:
        """Whether it is time to look at a budget: a store asks for a round trip each time."""
        if now - self._looked.get(key, -LOOK_EVERY) < LOOK_EVERY:
            return False
        if len(self._looked) >= _MOST:
            self._looked.clear()
        self._looked[key] = now
        return True

    def first(self, what: str) -> bool:
        """Whether this warning is the first of its kind."""
        if what in self._warned:
            return False
        if len(self._warned) >= _MOST:
            self._warned.clear()
        self._warned.add(what)
        return True


class _Settling:
    """What is left to do once it is known what an attempt cost."""

    __slots__ = ("_guessed", "_hold", "_layer", "_request")

    def __init__(self, layer: Spending, request: Request, hold: Hold, guessed: Guess) -> None:
        self._layer, self._request, self._hold, self._guessed = layer, request, hold, guessed

    def after(self, attempt: Attempt | None) -> None:
        layer = self._layer
        if attempt is None:
            layer.counters.settle(self._hold, {"nano-dollars": 0})
            return
        usage = attempt.usage
        spent = layer.cost(attempt.target, usage, layer.runtime.clock.time(), attempt.answered)
        if spent is None:
            # Refused or never sent, it cost nothing; broken off, it counts as it was guessed.
            layer.counters.settle(self._hold, {"nano-dollars": 0} if attempt.free and usage is None else {})
            return
        layer.counters.settle(self._hold, {"nano-dollars": spent})
        layer.lessons.learn(layer.target.name, self._guessed, usage)
