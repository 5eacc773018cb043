"""A provider's script that keeps count: who was asked what and when, and what was under way at the same time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

from llm_edge.testing import answer
from llm_edge.testing.call import Call
from llm_edge.testing.steps import Step

from .oracle import said

Script: TypeAlias = Callable[[Call], Step | None]
"""What happens for a call; None when it is answered well."""
PROMPT, COMPLETION = 5, 5
"""Tokens of each good answer."""


def asked(call: Call) -> str:
    """The question."""
    text: str = call.json["messages"][-1]["content"]
    return text


class Witness:
    """Answers rightly, after `takes()` seconds, unless `instead` has something else happen."""

    def __init__(self, takes: Callable[[], float] = lambda: 0.0, instead: Script = lambda call: None) -> None:
        self._takes, self._instead = takes, instead
        self._lock = threading.Lock()
        self.by_question: Counter[str] = Counter()
        self.moments: list[float] = []
        """When somebody asked."""
        self.spans: list[tuple[float, float]] = []
        """From when to when calls surely were under way: until then no byte of their answer was sent."""
        self.well: list[Call] = []
        """Those that were to be answered well."""
        self.state: Callable[[], str] = lambda: "closed"
        """How the breaker of this provider stands."""
        self.probes: list[tuple[float, float]] = []
        """The spans of those that came while it was half open."""

    @property
    def asked(self) -> int:
        return len(self.moments)

    def __call__(self, call: Call) -> Step:
        question = asked(call)
        other, takes, state = self._instead(call), self._takes(), self.state()
        now = time.monotonic()
        with self._lock:
            self.by_question[question] += 1
            self.moments.append(now)
            if other is None:
                self.well.append(call)
                self.spans.append((now, now + takes))
            if state == "half-open":
                self.probes.append((now, now + (takes if other is None else 0.0)))
        if other is not None:
            return other
        usage = {"prompt_tokens": PROMPT, "completion_tokens": COMPLETION}
        return answer(said(question), usage=usage).delay(takes)

    def most_under_way(self) -> int:
        return most_at_once(self.spans)

    def most_within(self, seconds: float) -> int:
        """Calls in the fullest window of that length."""
        moments, first, most = sorted(self.moments), 0, 0
        for last, moment in enumerate(moments):
            while moments[first] <= moment - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def tokens(self) -> int:
        """Those of all good answers that went out whole."""
        return sum(not call.closed_early for call in self.well) * (PROMPT + COMPLETION)


def most_at_once(spans: list[tuple[float, float]]) -> int:
    ends = sorted([(begin, 1) for begin, _ in spans] + [(end, -1) for _, end in spans])
    most = now = 0
    for _, step in ends:
        now += step
        most = max(most, now)
    return most
