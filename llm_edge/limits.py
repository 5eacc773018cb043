"""Limits as configured, put together: the plan, where they count, and the layers that hold calls to them."""

from __future__ import annotations

import math

from .config import TIERS, EdgeConfig, LimitConfig, Resolved, StoreConfig, TierConfig
from .layers import subjects
from .layers.limit import Limit, Queue
from .message import Layer
from .policy.estimate import Lessons
from .policy.plan import BRANCH, TRUNK, Bounds, Limiting, Plan, joined
from .providers.base import Target
from .runtime import Runtime
from .stores.counters import CounterStore, MemoryCounters
from .stores.places import Place, place

POLL = 0.05
"""Seconds between two looks for a place that another process may have given back."""


class Limits:
    """What both colours share: the plan, the counts and the line of those who wait."""

    def __init__(self, config: EdgeConfig, secrets: Resolved, lessons: Lessons | None = None) -> None:
        self.hold_to(config)
        self._queue, self._lessons = Queue(), lessons or Lessons()
        self.counters: CounterStore = _store(config.store, secrets)
        self._poll = None if config.store.kind == "memory" else POLL

    def hold_to(self, config: EdgeConfig) -> None:
        """Other limits from now on, for chains that are put together after this; what was counted stays counted."""
        tiers = {name: _bounds(tier) for name, tier in {**TIERS, **config.tiers}.items()}
        on = {name: limit for name, limit in config.limits.items() if limit.enabled}
        self._plan = Plan({name: _limiting(limit, tiers) for name, limit in on.items()}, tiers)
        self._trunk, self._branch = self._plan.scopes(TRUNK), self._plan.scopes(BRANCH)

    def __bool__(self) -> bool:
        """Whether anything is limited."""
        return bool(self._trunk or self._branch)

    def trunk(self, runtime: Runtime) -> list[Layer]:
        """The limits on calls as they come in."""
        if not self._trunk:
            return []
        return [
            Limit(
                plan=self._plan, subjects=subjects.of_call(self._trunk), counters=self.counters.view(runtime),
                queue=self._queue, runtime=runtime, poll=self._poll, lessons=self._lessons,
            )
        ]  # fmt: skip

    def branch(self, runtime: Runtime, target: Target) -> list[Layer]:
        """The limits on what one place is asked."""
        if not self._branch:
            return []
        return [
            Limit(
                plan=self._plan, subjects=subjects.of_target(self._branch, target),
                counters=self.counters.view(runtime), queue=self._queue, runtime=runtime, elsewhere=True,
                poll=self._poll, lessons=self._lessons, target=target.name,
            )
        ]  # fmt: skip


def _store(config: StoreConfig, secrets: Resolved) -> CounterStore:
    shared = shared_place(config, secrets)
    if shared is None:
        return MemoryCounters()
    from .stores.shared import SharedCounters  # not before it is needed: redis-py is large

    where, prefix = shared
    return SharedCounters(where, prefix=prefix, patience=config.timeout)


def shared_place(config: StoreConfig, secrets: Resolved) -> tuple[Place, str] | None:
    """Where processes share what they count, and what its names begin with; None where each is by itself."""
    if config.kind == "memory":
        return None
    assert secrets.store_url is not None, "the configuration sees to it"
    return place(secrets.store_url.get_secret_value(), ca_file=config.ca_file), f"{{{config.prefix}}}:"


def _bounds(given: TierConfig) -> Bounds:
    rate = given.requests_per_minute or given.requests_per_second
    return Bounds(
        requests=None if rate is None else math.ceil(rate), per=60.0 if given.requests_per_minute else _per(rate),
        burst=given.burst_size, strict=given.window == "strict", requests_per_day=given.requests_per_day,
        tokens_per_minute=given.tokens_per_minute, concurrency=given.concurrency,
    )  # fmt: skip


def _per(rate: float | None) -> float:
    """Seconds in which a whole number of calls may come: one each five seconds is 1 in 5."""
    return 1.0 if not rate else math.ceil(rate) / rate


def _limiting(limit: LimitConfig, tiers: dict[str, Bounds]) -> Limiting:
    own = _bounds(limit)
    return Limiting(
        bounds=joined(tiers[limit.tier], own) if limit.tier else own, own=own if limit.tier else None,
        tiered=limit.tier is not None, patience=limit.patience, on_failure=limit.on_store_failure,
    )  # fmt: skip
