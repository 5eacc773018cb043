"""Who spent what: calls added up by what one asks for, from whatever remembers them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, Final, Literal, TypeAlias, get_args

from ..errors import ConfigError

By: TypeAlias = Literal["tenant", "key", "user", "route", "model", "provider", "target", "hour", "day", "month"]
When: TypeAlias = datetime | date | str | float
"""A moment: a date or a datetime (of UTC, unless it says otherwise), the same in ISO 8601, seconds since 1970, or a
span that lies back from now: `30m`, `24h`, `7d`."""
MOST: Final = 10_000
"""Different names counted apart; what comes after them counts as `other`."""
OTHER: Final = "other"
WHO: Final = ("tenant", "key", "user", "route", "model", "target")
"""What is known of a call, and can be asked for."""
HITS: Final = frozenset({"HIT", "SEMANTIC HIT", "STALE", "COALESCED"})

NO_FAILURES: Final = frozenset({None, "", "Abandoned"})
"""How a call may end, but for an answer, and nothing has failed: its caller may have left."""

_SPAN = re.compile(r"(\d{1,6})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LETTERS = {"hour": 13, "day": 10, "month": 7}
"""How much of a moment names the span it lies in."""


@dataclass(slots=True)
class Spent:
    """What was spent under one name. Costs are whole nano-dollars; `unpriced` calls are not in them."""

    name: str
    calls: int = 0
    hits: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0
    saved_nano_usd: int = 0
    unpriced: int = 0

    @property
    def usd(self) -> float:
        """US dollars."""
        return self.nano_usd / 1e9

    @property
    def saved_usd(self) -> float:
        """US dollars that answers from the cache would have cost."""
        return self.saved_nano_usd / 1e9

    def add(self, record: Mapping[str, Any]) -> None:
        """One more call."""
        cost = record.get("nano_usd")
        self.calls += 1
        self.hits += record.get("cache") in HITS
        self.failed += record.get("error") not in NO_FAILURES
        self.saved_nano_usd += record.get("saved_nano_usd") or 0
        if cost is None:
            self.unpriced += 1
        else:
            self.nano_usd += cost
        if record.get("attempts"):
            usage: Mapping[str, Any] = record.get("usage") or {}
            self.input_tokens += usage.get("prompt_tokens") or 0
            self.output_tokens += usage.get("completion_tokens") or 0

    def join(self, other: Spent) -> None:
        """What stands under another name, too."""
        self.calls += other.calls
        self.hits += other.hits
        self.failed += other.failed
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.nano_usd += other.nano_usd
        self.saved_nano_usd += other.saved_nano_usd
        self.unpriced += other.unpriced


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked for: whose sums, of which time, of whom alone. Raises ConfigError for what nobody can answer."""

    by: By = "tenant"
    since: float = 0.0
    until: float = float("inf")
    only: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if self.by not in get_args(By):
            raise ConfigError(f"by: {self.by!r} is none. Use one of {', '.join(get_args(By))}.")
        for name in self.only:
            if name not in WHO:
                raise ConfigError(f"only: {name!r} is none. Use one of {', '.join(WHO)}.")

    def wants(self, who: Mapping[str, Any]) -> bool:
        """Whether this is one of those asked for."""
        return all(str(who.get(name) or "") == value for name, value in self.only.items())

    def name(self, at: str, who: Mapping[str, Any]) -> str:
        """Under which name a call of the moment `at` (ISO 8601, of UTC) is added up."""
        letters = _LETTERS.get(self.by)
        if letters is not None:
            return at[:letters]
        if self.by == "provider":
            return str(who.get("target") or "").partition("/")[0]
        return str(who.get(self.by) or "")


def asked(by: By, since: When | None, until: When | None, only: Mapping[str, str], *, now: float) -> Question:
    """A question as a caller puts it. Raises ConfigError when it makes no sense."""
    return Question(
        by=by, since=0.0 if since is None else moment(since, "since", now),
        until=float("inf") if until is None else moment(until, "until", now),
        only=only,
    )  # fmt: skip


def moment(value: When, name: str, now: float) -> float:
    """Seconds since 1970. Raises ConfigError for what is no moment."""
    if isinstance(value, (int, float)):
        return float(value)
    if isinstance(value, str):
        span = _SPAN.fullmatch(value.strip())
        if span is not None:
            return now - int(span[1]) * _SECONDS[span[2]]
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ConfigError(f"{name}: {value!r} is no moment. Use 2026-11-21, 2026-11-21T10:00 or 24h.") from None
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value if value.tzinfo is not None else value.replace(tzinfo=UTC)).timestamp()


class Sums:
    """Sums by name, bounded."""

    def __init__(self) -> None:
        self._found: dict[str, Spent] = {}

    def of(self, name: str) -> Spent:
        """The one of this name."""
        found = self._found.get(name)
        if found is None:
            if len(self._found) >= MOST:
                name = OTHER
            found = self._found.setdefault(name, Spent(name))
        return found

    def rows(self) -> list[Spent]:
        """The dearest first."""
        return sorted(self._found.values(), key=lambda spent: (-spent.nano_usd, -spent.calls, spent.name))


def summed(records: Iterable[Mapping[str, Any]], question: Question) -> list[Spent]:
    """Records of calls added up, the dearest first. They are of the time asked for already, or near it."""
    sums, since, until = Sums(), iso(question.since), iso(question.until)
    for each in records:
        at = str(each.get("at", ""))
        if since <= at < until and question.wants(each):
            sums.of(question.name(at, each)).add(each)
    return sums.rows()


def iso(time: float) -> str:
    """A moment as records write it, so that they compare as text."""
    if time == float("inf"):
        return "~"
    try:
        return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        raise ConfigError("since, until: that moment is beyond the calendar.") from None


def table(rows: Iterable[Spent], by: str) -> Iterator[str]:
    """Lines for people."""
    yield f"{by:<32} {'calls':>8} {'hits':>8} {'failed':>7} {'input':>12} {'output':>12} {'usd':>14} {'unpriced':>9}"
    whole = Spent("(all)")
    count = 0
    for row in rows:
        yield _row(row)
        whole.join(row)
        count += 1
    if count > 1:
        yield _row(whole)


def _row(row: Spent) -> str:
    name = "".join(each if each.isprintable() else "?" for each in row.name or "(none)")[:32]
    return (
        f"{name:<32} {row.calls:>8} {row.hits:>8} {row.failed:>7} {row.input_tokens:>12} {row.output_tokens:>12}"
        f" {row.usd:>14.6f} {row.unpriced:>9}"
    )
