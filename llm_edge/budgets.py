"""Budgets as configured, put together: what may be spent, where it counts, and the layer that holds calls to it."""

from __future__ import annotations

from .config import BudgetConfig, EdgeConfig
from .layers import subjects
from .layers.budget import Spending, Watch
from .layers.rules import Rules
from .layers.tell import Cost
from .message import Layer, Request
from .policy.budget import Budget, Budgets, Lessons
from .policy.plan import BRANCH, TRUNK, Scope, Subjects
from .providers.base import Target
from .runtime import Runtime
from .stores.counters import CounterStore


class Purse:
    """What both colours share: the budgets, the counts, and what guesses have learned."""

    def __init__(self, config: EdgeConfig, counters: CounterStore, cost: Cost) -> None:
        self._budgets = Budgets({name: _budget(given) for name, given in config.budgets.items()})
        scopes = self._budgets.scopes()
        self._trunk: list[Scope] = [scope for scope in TRUNK if scope in scopes]
        self._branch: list[Scope] = [scope for scope in BRANCH if scope in scopes]
        self._counters, self._cost, self._lessons = counters, cost, Lessons()
        self._watch = Watch()
        routes = {name: route.on_budget == "downgrade" for name, route in config.routes.items()}
        self._downgrade = Rules(False, routes)

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


def _budget(given: BudgetConfig) -> Budget:
    return Budget(limits=given.nano_dollars, hard=given.hard, warn=given.warn_at)
