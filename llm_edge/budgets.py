"""Budgets as configured, put together: what may be spent, where it counts, how it stands, and the layer for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .config import BudgetConfig, EdgeConfig
from .errors import ConfigError, EdgeError
from .layers import subjects
from .layers.budget import Spending, Watch
from .layers.rules import Rules
from .layers.tell import Cost
from .message import Layer, Request
from .policy.budget import EVERY, Budget, Budgets, Line
from .policy.estimate import Lessons
from .policy.periods import Period, ends_in
from .policy.plan import BRANCH, TRUNK, Scope, Subjects
from .policy.rows import Account
from .providers.base import Target
from .runtime import Clock, Runtime
from .stores.counters import CounterStore

_TRIES, _BETWEEN = 10, 0.1
"""How often a store is asked how budgets stand, and the seconds between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetStanding:
    """How one budget stands for one subject. Money is in whole nano-dollars."""

    budget: str
    """As the configuration calls it: `global`, `tenant`, `tenant:acme`."""
    subject: str
    """For whom: a tenant, a route, the fingerprint of a key; empty for `global`, and for those who said nothing."""
    period: Period
    hard: bool
    limit_nano_usd: int
    spent_nano_usd: int
    reserved_nano_usd: int
    """For calls under way."""
    unconfirmed_nano_usd: int
    """Of what is spent, the part that was reserved by calls nobody heard of again: those of a killed process."""
    resets_in: float | None
    """Seconds until the period ends; None for `total`."""

    @property
    def share(self) -> float:
        """How much of it is used, from 0 to 1 and beyond."""
        used = self.spent_nano_usd + self.reserved_nano_usd
        return used / self.limit_nano_usd if self.limit_nano_usd else 1.0


class Purse:
    """What both colours share: the budgets, the counts, and what guesses have learned."""

    def __init__(self, config: EdgeConfig, counters: CounterStore, cost: Cost, clock: Clock, lessons: Lessons) -> None:
        self.hold_to(config)
        self._counters, self._cost, self._lessons = counters, cost, lessons
        self._watch, self._clock = Watch(), clock
        routes = {name: route.on_budget == "downgrade" for name, route in config.routes.items()}
        self._downgrade = Rules(False, routes)

    def hold_to(self, config: EdgeConfig) -> None:
        """Other budgets from now on, for chains that are put together after this; what was spent stays spent."""
        self._budgets = Budgets({name: _budget(given) for name, given in config.budgets.items()})
        scopes = self._budgets.scopes()
        self._trunk: list[Scope] = [scope for scope in TRUNK if scope in scopes]
        self._branch: list[Scope] = [scope for scope in BRANCH if scope in scopes]

    def branch(self, runtime: Runtime, target: Target) -> list[Layer]:
        """The budgets on what one place is asked."""
        if not self._trunk and not self._branch:
            return []
        of_call, of_target = subjects.of_call(self._trunk), subjects.of_target(self._branch, target)

        def both(request: Request) -> Subjects:
            return (*of_call(request), *of_target(request))

        return [
            Spending(
                target=target, budgets=self._budgets, subjects=both, counters=self._counters.view(runtime),
                runtime=runtime, cost=self._cost, lessons=self._lessons, downgrade=self._downgrade, watch=self._watch,
            )
        ]  # fmt: skip

    def readings(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """How budgets stand, for the metrics: as calls last saw them."""
        for name, share in self._watch.shares(self._clock.time()).items():
            yield "llm_edge_budget_used_ratio", name, share

    async def standings(self, runtime: Runtime, asked: Sequence[str]) -> list[BudgetStanding]:
        """
        How the budgets stand: those with a name of their own, and those of whoever has called; or of the `asked`.

        Raises ConfigError for a subject without a budget, EdgeError when the store cannot be asked.
        """
        lines = [line for each in asked for line in self._asked(each)] if asked else self._budgets.known()
        view, rows = self._counters.view(runtime), [line.row for line in lines]
        accounts, tries = await view.accounts(rows), 1
        while accounts is None:  # calls must not wait for a store; who asks for its word may
            if tries == _TRIES:
                raise EdgeError("the store of the budgets cannot be asked now")
            await runtime.clock.sleep(_BETWEEN)
            accounts, tries = await view.accounts(rows), tries + 1
        now = self._clock.time()
        return [_standing(line, account, now) for line, account in zip(lines, accounts, strict=True)]

    def _asked(self, name: str) -> Sequence[Line]:
        scope, _, subject = name.partition(":")
        found = self._budgets.lines(((scope, subject),)) if scope in EVERY else ()
        if not found:
            known = ", ".join(self._budgets.budgets) or "none"
            raise ConfigError(f"{name!r} has no budget. There are: {known}. Ask as `global` or `tenant:acme`.")
        return found


def _standing(line: Line, account: Account, now: float) -> BudgetStanding:
    period = line.row.period
    return BudgetStanding(
        budget=line.name, subject=line.subject, period=period, hard=line.budget.hard, limit_nano_usd=line.limit,
        spent_nano_usd=account.spent, reserved_nano_usd=account.reserved, unconfirmed_nano_usd=account.unconfirmed,
        resets_in=None if period == "total" else ends_in(period, now),
    )  # fmt: skip


def _budget(given: BudgetConfig) -> Budget:
    return Budget(limits=given.nano_dollars, hard=given.hard, warn=given.warn_at)
