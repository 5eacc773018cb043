"""What happened to one call, written down once: `explain()`, response headers, spans and logs all read it here."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, cast

if TYPE_CHECKING:
    from .signals import Signal
    from .story import Story


_ids: list[str] = []
"""Ids made ahead: to ask the system for each, every call would let go of the interpreter's lock, and wait for it."""
_AHEAD: Final = 128


def new_id() -> str:
    """A request id: 128 random bits, unguessable, in hexadecimal."""
    try:
        return _ids.pop()
    except IndexError:
        _forget_in_children()
        drawn = os.urandom(16 * _AHEAD).hex()
        _ids.extend([drawn[at : at + 32] for at in range(32, len(drawn), 32)])
        return drawn[:32]


@cache
def _forget_in_children() -> None:
    """A forked child draws ids of its own."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_ids.clear)


class Row(Protocol):
    """A limit or a budget, as far as a story tells of it."""

    @property
    def scope(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def limit(self) -> int: ...
    @property
    def says(self) -> str: ...


class Room(Protocol):
    """What is left of one."""

    @property
    def left(self) -> int: ...
    @property
    def reset(self) -> float: ...


class Scored(Protocol):
    """A target as a strategy saw it. Seconds, tokens, nano-dollars."""

    @property
    def name(self) -> str: ...
    @property
    def weight(self) -> float: ...
    @property
    def ready(self) -> bool: ...
    @property
    def in_flight(self) -> int: ...
    @property
    def latency(self) -> float | None: ...
    @property
    def room(self) -> float | None: ...
    @property
    def load(self) -> float: ...
    @property
    def cost(self) -> float | None: ...


def _no_parts() -> Sequence[str]:
    return ()


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


Event: TypeAlias = tuple[float, str, dict[str, Any]]

# Every call makes these lists, and `list[str]()` would take four times as long as `list()`: cast, for type checkers.
_names = cast("Callable[[], list[str]]", list)
_attempts = cast("Callable[[], list[Attempt]]", list)
_events = cast("Callable[[], list[Event]]", list)


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
    further: str = ""
    """Where the cache looked, if not in memory alone: `l2`, or `semantic` for a similar question."""
    cache_key: str = ""
    key_parts: Callable[[], Sequence[str]] = _no_parts
    """Gives the names of what went into the key."""
    route: str = ""
    targets: list[str] = field(default_factory=_names)
    """Who might have been asked, in order."""
    considered: Sequence[Scored] = ()
    """Among whom a strategy chose."""
    target: str = ""
    """`provider/model` that answered."""
    attempts: list[Attempt] = field(default_factory=_attempts)
    fallbacks: int = 0
    upstream: float = 0.0
    """Seconds spent waiting for providers."""
    waited: float = 0.0
    """Seconds spent waiting on purpose: limits, backoff."""
    first_byte: float | None = None
    usage: Mapping[str, Any] | None = None
    """What the answer used; with `estimated` where nobody said, or it was cut short."""
    answered: str = ""
    """The model that says it answered."""
    cost: int | None = None
    """Nano-dollars for all attempts together; None when it is not known."""
    saved: int | None = None
    """Nano-dollars that an answer from the cache had cost."""
    status: int = 200
    """The HTTP status it ended with; 499 when the caller left."""
    traced: Callable[[Attempt], Mapping[str, str]] | None = None
    """Told of each attempt, where somebody traces the call; gives headers for the provider."""
    over: Callable[[], None] | None = None
    """Told when an attempt has ended, once the call itself is over."""
    later: list[Callable[[], None]] | None = None
    """From a face that sends the answer itself: what can wait until that is done is put here, and done then."""
    recall: Signal | None = None
    """Set when nobody waits for this call any more; threads, which cannot be cancelled, look at it."""
    limits: Sequence[tuple[str, int, int, float]] = ()
    """Of the limits it passed the tightest: unit (`requests`, `tokens`), how many, how many left, seconds to none."""
    consulted: tuple[tuple[Sequence[tuple[Row, int]], Sequence[Room]], ...] = ()
    """The limits it took its part of, and how each then stood, as far as that is known here."""
    error: str = ""
    trace_id: str = ""
    """The trace that the call is part of, where spans are made of it."""
    sampled: bool = False
    """Whether that trace is kept."""
    call_key: str = ""
    """What all attempts of this call have in common, once somebody asked."""
    events: list[Event] = field(default_factory=_events)

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
        told = {"request_id": self.request_id}
        return {**told, "trace_id": self.trace_id} if self.trace_id else told

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
        from .story import told  # most calls are never explained

        return told(self)
