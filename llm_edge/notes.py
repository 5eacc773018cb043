"""What happened to one call, written down once: `explain()`, response headers, spans and logs all read it here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


def new_id() -> str:
    """A request id: 128 random bits, unguessable, in hexadecimal."""
    return os.urandom(16).hex()


@dataclass(slots=True)
class Attempt:
    """One call upstream. Moments are of the chain's clock, in seconds."""

    target: str
    started: float
    ended: float | None = None
    outcome: str = "in flight"
    """`ok`, the class of the failure, or `abandoned`."""
    status: int | None = None
    connection: str = ""
    """Which engine carried it."""
    usage: Mapping[str, Any] | None = None
    """What it used, as the provider said, or as guessed when it was cut short (`estimated`)."""
    answered: str = ""
    """The model that says it answered."""
    free: bool = False
    """Whether it surely cost nothing: it was never sent, or the provider refused it."""
    cost: int | None = None
    """Nano-dollars; None when not known."""
    settle: Callable[[Attempt], None] | None = None
    """Told when the attempt has ended."""


@dataclass(slots=True)
class Notes:
    """One call's story, filled in by each layer as the call passes through it."""

    request_id: str = field(default_factory=new_id)
    model: str = ""
    operation: str = ""
    started: float = field(default_factory=time.monotonic)
    ended: float | None = None
    cache: str = "BYPASS"
    """HIT, MISS, COALESCED, STALE, BYPASS, SEMANTIC HIT."""
    cache_reason: str = ""
    """Why the cache was passed by, in words."""
    cache_age: float | None = None
    cache_key: str = ""
    route: str = ""
    targets: list[str] = field(default_factory=list[str])
    """Who might have been asked, in order."""
    target: str = ""
    """`provider/model` that answered."""
    attempts: list[Attempt] = field(default_factory=list[Attempt])
    fallbacks: int = 0
    upstream: float = 0.0
    """Seconds spent waiting for providers."""
    waited: float = 0.0
    """Seconds spent waiting on purpose: limits, backoff."""
    first_byte: float | None = None
    usage: Mapping[str, Any] | None = None
    cost: int | None = None
    """Nano-dollars for all attempts together; None when it is not known."""
    saved: int | None = None
    """Nano-dollars that an answer from the cache would have cost."""
    status: int = 200
    """The HTTP status it ended with; 499 when the caller left."""
    traced: Callable[[Attempt], Mapping[str, str]] | None = None
    """Told of each attempt, where somebody traces the call; gives headers for the provider."""
    over: Callable[[], None] | None = None
    """Told when an attempt has ended, once the call itself is over."""
    limits: Sequence[tuple[str, int, int, float]] = ()
    """Of the limits it passed the tightest: unit (`requests`, `tokens`), how many, how many left, seconds to none."""
    error: str = ""
    trace_id: str = ""
    """The trace that the call is part of, where spans are made of it."""
    call_key: str = ""
    """What all attempts of this call have in common, once somebody asked."""
    events: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list[tuple[float, str, dict[str, Any]]])

    def same_for_all_attempts(self) -> str:
        """A random word that a provider can know a repeated call by."""
        self.call_key = self.call_key or new_id()
        return self.call_key

    def say(self, moment: float, layer: str, **facts: Any) -> None:
        """Add a line to the story. Facts are plain JSON and never content or credentials."""
        self.events.append((moment, layer, facts))

    @property
    def about(self) -> dict[str, str]:
        """What a log record says of the call it is about: `log.warning(…, extra=notes.about)`."""
        return {"request_id": self.request_id}

    @property
    def asked(self) -> str:
        """`provider/model` that answered, or else was asked last; empty when nobody was."""
        return self.target or (self.attempts[-1].target if self.attempts else "")

    @property
    def overhead(self) -> float | None:
        """Seconds spent inside llm_edge, providers and waiting on purpose left out; None while it runs."""
        return None if self.ended is None else max(self.ended - self.started - self.upstream - self.waited, 0.0)

    def explain(self) -> Story:
        """The story as plain JSON data; printed, it reads as text."""
        started = self.started
        return Story(
            request_id=self.request_id,
            operation=self.operation,
            model=self.model,
            cache={
                "status": self.cache,
                "reason": self.cache_reason or None,
                "age": self.cache_age,
                "key": self.cache_key or None,
            },
            route=self.route or None,
            targets=list(self.targets),
            target=self.target or None,
            attempts=[
                {
                    "target": attempt.target,
                    "at_ms": _ms(attempt.started - started),
                    "ms": None if attempt.ended is None else _ms(attempt.ended - attempt.started),
                    "outcome": attempt.outcome,
                    "status": attempt.status,
                    "engine": attempt.connection or None,
                    "cost_usd": _usd(attempt.cost),
                }
                for attempt in self.attempts
            ],
            fallbacks=self.fallbacks,
            events=[{"at_ms": _ms(moment - started), "layer": layer, **facts} for moment, layer, facts in self.events],
            limits=[
                {"unit": unit, "limit": most, "left": left, "reset_s": round(reset, 3)}
                for unit, most, left, reset in self.limits
            ],
            usage=None if self.usage is None else dict(self.usage),
            cost_usd=_usd(self.cost),
            saved_usd=_usd(self.saved),
            first_byte_ms=None if self.first_byte is None else _ms(self.first_byte - started),
            duration_ms=None if self.ended is None else _ms(self.ended - started),
            overhead_ms=None if self.overhead is None else _ms(self.overhead),
            error=self.error or None,
        )


def _usd(nano: int | None) -> float | None:
    return None if nano is None else nano / 1e9


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 3)


def _dollars(usd: float | None) -> str:
    return "not known" if usd is None else "nothing" if usd == 0 else f"${usd:.9f}".rstrip("0")


def _saved(usd: float | None) -> str:
    return f", saved {_dollars(usd)}" if usd else ""


class Story(dict[str, Any]):
    """What `explain()` gives: a plain dict, safe to dump as JSON, that prints as a few readable lines."""

    def __str__(self) -> str:
        lines = [f"{self['operation'] or 'call'} {self['model']}".rstrip() + f"  ({self['request_id']})"]
        cache = self["cache"]
        line = f"  cache     {cache['status']}"
        if cache["age"] is not None:
            line += f", {cache['age']:.1f} s old"
        if cache["reason"]:
            line += f": {cache['reason']}"
        lines.append(line)
        if self["targets"]:
            route = f"route {self['route']}: " if self["route"] else ""
            lines.append(f"  targets   {route}{', then '.join(self['targets'])}")
        said = [(event["at_ms"], "event", event) for event in self["events"]]
        tried = [(attempt["at_ms"], "attempt", attempt) for attempt in self["attempts"]]
        for at, what, item in sorted(said + tried, key=lambda row: row[0]):
            if what == "attempt":
                took = "" if item["ms"] is None else f" after {item['ms']:.1f} ms"
                status = f" ({item['status']})" if item["status"] else ""
                lines.append(f"  {at:7.1f} ms  asked {item['target']}: {item['outcome']}{status}{took}")
            else:
                facts = ", ".join(f"{k}={v}" for k, v in item.items() if k not in {"at_ms", "layer"})
                lines.append(f"  {at:7.1f} ms  {item['layer']}: {facts}")
        if self["usage"]:
            tokens = ", ".join(f"{k}={v}" for k, v in self["usage"].items() if isinstance(v, int))
            lines.append(f"  usage     {tokens}")
        lines += [f"  limit     {each['left']} of {each['limit']} {each['unit']} left" for each in self["limits"]]
        if self["duration_ms"] is not None:
            lines.append(f"  cost      {_dollars(self['cost_usd'])}{_saved(self['saved_usd'])}")
        if self["error"]:
            lines.append(f"  error     {self['error']}")
        if self["duration_ms"] is not None:
            lines.append(f"  took      {self['duration_ms']:.3f} ms, of which llm_edge {self['overhead_ms']:.3f} ms")
        return "\n".join(lines)
