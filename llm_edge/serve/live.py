"""
What the dashboard shows: the calls under way, the last ones with their stories, and counts of the last hours.

A listener of `tell`. It keeps numbers and stories, never a request or an answer. The counts stand in slices of a few
seconds, which become slices of minutes when they are old; all of it can be written down as plain data and added to
that of other workers (`sums.py`).
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from collections.abc import Mapping
from typing import Any, Final

from ..layers.tell import HITS
from ..message import Request, Response
from ..notes import Notes
from ..policy.sketch import Sketch
from ..runtime import Clock

FINE, COARSE = 5, 120
"""Seconds of a slice: the last quarter of an hour, and the last six."""
SLICES: Final = 180
STORIES: Final = 200
_STORIES_A_SECOND = 20
"""A story costs as much as a call's way through the cache: under load some calls are only counted."""
_MOST_TARGETS = 50

COUNTS = ("calls", "failed", "hits", "asked", "input", "output", "cost", "saved", "unpriced")
SPREADS = ("took", "first", "added")


class Slice:
    """What was counted in a few seconds."""

    __slots__ = ("asked", "calls", "cost", "failed", "hits", "input", "output", "saved", "spreads", "targets",
                 "unpriced")  # fmt: skip

    def __init__(self) -> None:
        self.calls = self.failed = self.hits = self.asked = self.input = self.output = self.unpriced = 0
        self.cost = self.saved = 0
        """Nano-dollars."""
        self.spreads = {name: Sketch() for name in SPREADS}
        """Seconds: of calls, until a stream's first event, inside llm_edge."""
        self.targets: dict[str, tuple[list[int], Sketch]] = {}
        """Attempts, failures and nano-dollars of each target, and how long its attempts took."""

    def count(self, notes: Notes) -> None:
        self.calls += 1
        if notes.status >= 400 and notes.status != 499:
            self.failed += 1
        spreads = self.spreads
        if notes.ended is not None:
            spreads["took"].add(notes.ended - notes.started)
            spreads["added"].add(notes.overhead or 0.0)
        if notes.cache in HITS:
            self.hits += 1
        elif notes.attempts:
            self._attempted(notes)
        if notes.saved:
            self.saved += notes.saved

    def _attempted(self, notes: Notes) -> None:
        self.asked += 1
        if notes.first_byte is not None:
            self.spreads["first"].add(notes.first_byte - notes.started)
        usage = notes.usage
        if usage is not None:
            self.input += usage.get("prompt_tokens") or 0
            self.output += usage.get("completion_tokens") or 0
        if notes.cost is None:
            self.unpriced += 1
        else:
            self.cost += notes.cost
        for attempt in notes.attempts:
            counts, spread = self.target(attempt.target)
            counts[0] += 1
            counts[1] += attempt.outcome not in {"ok", "abandoned"}
            counts[2] += attempt.cost or 0
            if attempt.ended is not None:
                spread.add(attempt.ended - attempt.started)

    def target(self, name: str) -> tuple[list[int], Sketch]:
        """What is counted of one target; of those that are too many together."""
        if name not in self.targets and len(self.targets) >= _MOST_TARGETS:
            name = "other"
        return self.targets.setdefault(name, ([0, 0, 0], Sketch()))

    def join(self, other: Mapping[str, Any]) -> None:
        """Add what another slice has told of itself."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + other[name])
        for name, spread in self.spreads.items():
            spread.join(other["spreads"][name])
        for name, (counts, spread) in other["targets"].items():
            mine, known = self.target(name)
            mine[:] = [one + more for one, more in zip(mine, counts, strict=True)]
            known.join(spread)

    def told(self) -> dict[str, Any]:
        """All of it as plain data."""
        spreads = {name: dict(spread.counts) for name, spread in self.spreads.items()}
        targets = {name: (list(counts), dict(spread.counts)) for name, (counts, spread) in self.targets.items()}
        return {**{name: getattr(self, name) for name in COUNTS}, "spreads": spreads, "targets": targets}


class _Ring:
    """The last slices of one size, by the moment they began."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.slices: dict[int, Slice] = {}

    def at(self, time: float) -> Slice:
        number = int(time // self.seconds)
        found = self.slices.get(number)
        if found is None:
            found = self.slices.setdefault(number, Slice())
            for old in [each for each in list(self.slices) if each <= number - SLICES]:
                self.slices.pop(old, None)
        return found


class Live:
    """Listens to all calls."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.began = clock, clock.time()
        self.lock = threading.RLock()  # the garbage collector may end a call while another is being counted
        self._under_way: dict[int, Request] = {}
        self._rings = {FINE: _Ring(FINE), COARSE: _Ring(COARSE)}
        self._now: tuple[int, Slice] = (-1, Slice())
        self._stories: deque[dict[str, Any]] = deque(maxlen=STORIES)
        self._told_in = self._told = self._number = 0

    # ------------------------------------------------------------------ as a listener: one object hears all calls

    def begin(self, request: Request, /) -> Live:
        self._under_way[id(request)] = request
        return self

    def answered(self, response: Response | None, /) -> None: ...

    def over(self, request: Request, error: BaseException | None, /) -> None:
        time = self.clock.time()
        with self.lock:
            self._under_way.pop(id(request), None)
            number = int(time // FINE)
            if number != self._now[0]:
                self._turn(time, number)
            self._now[1].count(request.notes)
            self._keep(request, time)

    def _turn(self, time: float, number: int) -> None:
        """A new slice; the last one is added to its minutes."""
        if self._now[0] >= 0:
            self._rings[COARSE].at(self._now[0] * FINE).join(self._now[1].told())
        self._now = (number, self._rings[FINE].at(time))

    def _keep(self, request: Request, time: float) -> None:
        if int(time) != self._told_in:
            self._told_in, self._told = int(time), 0
        if self._told >= _STORIES_A_SECOND:
            return
        self._told += 1
        self._number += 1
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self._tell(request, time, self._number)
        else:
            loop.call_soon(self._tell, request, time, self._number)  # the answer goes out first

    def _tell(self, request: Request, time: float, number: int) -> None:
        notes = request.notes
        self._stories.append({
            "n": f"{os.getpid()}-{number}", "at": time, "tenant": request.controls.tenant or "",
            "status": notes.status, "stream": request.streaming, "story": notes.explain(),
        })  # fmt: skip

    # ------------------------------------------------------------------ what is told

    def told(self, seconds: int) -> dict[str, Any]:
        """All that is known, its counts in slices of so many seconds, as plain data."""
        with self.lock:
            slices = {number: each.told() for number, each in self._rings[seconds].slices.items()}
            if seconds == COARSE and self._now[0] >= 0:  # what is not yet added to its minutes
                number = int(self._now[0] * FINE // COARSE)
                whole = Slice()
                for part in (slices.get(number), self._now[1].told()):
                    if part is not None:
                        whole.join(part)
                slices[number] = whole.told()
            stories = list(self._stories)
        now = self.clock.now()
        under_way = [_under_way(request, now) for request in list(self._under_way.values())]
        return {
            "pid": os.getpid(), "began": self.began, "slices": slices, "stories": stories, "under_way": under_way,
        }  # fmt: skip


def _under_way(request: Request, now: float) -> dict[str, Any]:
    notes = request.notes
    last = notes.attempts[-1] if notes.attempts else None
    return {
        "id": notes.request_id, "model": notes.route or notes.model, "operation": notes.operation,
        "stream": request.streaming, "tenant": request.controls.tenant or "", "seconds": max(now - notes.started, 0.0),
        "attempts": len(notes.attempts), "target": last.target if last is not None and last.ended is None else "",
        "streaming": notes.first_byte is not None,
    }  # fmt: skip
