"""Which rows a call must pass: the limits as configured, laid over who asks for what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from .keys import fingerprint
from .rows import OnFailure, Row

Scope: TypeAlias = Literal["global", "tenant", "key", "user", "route", "provider", "model"]
Subjects: TypeAlias = tuple[tuple[Scope, str], ...]

TRUNK: tuple[Scope, ...] = ("global", "tenant", "key", "user", "route")
"""Scopes of a call as it comes in."""
BRANCH: tuple[Scope, ...] = ("provider", "model")
"""Scopes of one place that it may go to."""
_MOST = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What a limit allows each of its subjects. None stands for any amount."""

    requests: int | None = None
    """In `per` seconds."""
    per: float = 1.0
    burst: int = 1
    """Of a pace: requests at once after a rest."""
    strict: bool = False
    """Exactly so many in any window, in place of a pace."""
    requests_per_day: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limiting:
    """One limit: bounds of its own or a tier's, and what happens at them."""

    bounds: Bounds
    own: Bounds | None = None
    """What is set beside the tier, in its place."""
    tiered: bool = False
    """Whether a call that names a tier of its own is held to that one."""
    patience: float = 0.0
    on_failure: OnFailure = "local"


@dataclass(frozen=True, slots=True)
class Passage:
    """The rows of one call, in the order in which they are looked at; tokens stand apart, as their amount differs."""

    rows: tuple[tuple[Row, int], ...]
    tokens: tuple[Row, ...] = ()

    def asks(self, tokens: int) -> tuple[tuple[Row, int], ...]:
        return (*self.rows, *((row, tokens) for row in self.tokens))


@dataclass(slots=True)
class Plan:
    """All limits, by scope (`tenant`) and by one subject of it (`tenant:acme`), and the tiers."""

    limits: Mapping[str, Limiting]
    tiers: Mapping[str, Bounds] = field(default_factory=dict[str, Bounds])
    _known: dict[tuple[Subjects, str], Passage] = field(default_factory=dict[tuple[Subjects, str], Passage])

    def scopes(self, among: tuple[Scope, ...]) -> tuple[Scope, ...]:
        """Those that are limited at all."""
        named = {name.partition(":")[0] for name in self.limits}
        return tuple(scope for scope in among if scope in named)

    def passage(self, subjects: Subjects, tier: str = "") -> Passage:
        """What these subjects must pass. `tier` is the call's own; one that nobody knows counts as none."""
        known = self._known
        found = known.get((subjects, tier))
        if found is None:
            if len(known) >= _MOST:
                known.clear()  # subjects come from callers, and memory must not grow with them
            found = known[subjects, tier] = self._drawn(subjects, tier)
        return found

    def _drawn(self, subjects: Subjects, tier: str) -> Passage:
        rows: list[Row] = []
        for scope, subject in subjects:
            limiting = self.limits.get(f"{scope}:{subject}") if subject else None
            if limiting is None and scope == "model":
                limiting = self.limits.get(f"model:{subject.partition('/')[2]}")
            limiting = limiting or self.limits.get(scope)
            if limiting is not None:
                rows += self._rows(scope, subject, limiting, tier)
        order = {"places": 0, "log": 1, "pace": 1, "tally": 2}
        counted = sorted((row for row in rows if row.unit != "tokens"), key=lambda row: order[row.kind])
        return Passage(tuple((row, 1) for row in counted), tuple(row for row in rows if row.unit == "tokens"))

    def _rows(self, scope: Scope, subject: str, limiting: Limiting, tier: str) -> list[Row]:
        bounds = limiting.bounds
        if limiting.tiered and tier in self.tiers:
            bounds = joined(self.tiers[tier], limiting.own)
        who = f"{scope}:{fingerprint(subject)}" if subject else scope
        common = {"scope": scope, "patience": limiting.patience, "on_failure": limiting.on_failure}
        made: list[Row] = []
        if bounds.concurrency is not None:
            says = f"more than {bounds.concurrency} calls at once"
            made.append(
                _row(common, f"{who}:places", kind="places", unit="places", limit=bounds.concurrency, says=says)
            )
        if bounds.requests is not None:
            made.append(_pace(common, f"{who}:requests", bounds))
        if bounds.requests_per_day is not None:
            most = bounds.requests_per_day
            says = f"more than {most} calls in a day"
            made.append(_row(common, f"{who}:day", kind="tally", unit="requests", limit=most, period="day", says=says))
        if bounds.tokens_per_minute is not None:
            most = bounds.tokens_per_minute
            says = f"more than {most} tokens in a minute"
            tokens = _row(common, f"{who}:tokens", kind="pace", unit="tokens", limit=most, rate=most / 60, says=says)
            made.append(tokens)
        return made


def joined(tier: Bounds, own: Bounds | None) -> Bounds:
    """A tier with what is set beside it in its place."""
    if own is None:
        return tier
    paced = own if own.requests is not None else tier
    return Bounds(
        requests=paced.requests, per=paced.per, burst=paced.burst, strict=paced.strict,
        requests_per_day=_first(own.requests_per_day, tier.requests_per_day),
        tokens_per_minute=_first(own.tokens_per_minute, tier.tokens_per_minute),
        concurrency=_first(own.concurrency, tier.concurrency),
    )  # fmt: skip


def _first(one: int | None, other: int | None) -> int | None:
    return other if one is None else one


def _pace(common: Mapping[str, object], key: str, bounds: Bounds) -> Row:
    most = bounds.requests
    assert most is not None, "asked before"
    unit = {1.0: "a second", 60.0: "a minute"}.get(bounds.per, f"in {bounds.per:g} seconds")
    says = f"more than {most} calls {unit}"
    if bounds.strict:
        return _row(common, key, kind="log", unit="requests", limit=most, window=bounds.per, says=says)
    says += f", with a burst of {bounds.burst}"  # what refuses is often this: the first calls come faster than that
    return _row(common, key, kind="pace", unit="requests", limit=bounds.burst, rate=most / bounds.per, says=says)


def _row(common: Mapping[str, object], key: str, **fields: object) -> Row:
    return Row(key=key, **common, **fields)  # type: ignore[arg-type]  # named and typed in Row itself
