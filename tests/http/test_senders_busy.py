"""Who was answered at once last time looks for the next answer without sleeping, for a moment, and alone."""

from __future__ import annotations

import select
import socket
import threading
from typing import Protocol

import pytest
from hypothesis import given, strategies as st

from llm_edge.http.senders.busy import QUICK, Busy, ready

STEP = QUICK / 16
"""Seconds that each look takes here."""
LONG = 60.0


class Wait(Protocol):
    def __call__(self, after: float, seconds: float | None = LONG) -> bool: ...


class Line:
    """A connection whose answer comes so many seconds after it is waited for; time passes as it is looked at."""

    def __init__(self) -> None:
        self.time, self.due = 0.0, 0.0
        self.slept: list[float | None] = []
        self.looks = 0

    def ready(self, seconds: float | None) -> bool:
        if seconds == 0:
            self.looks += 1
            self.time += STEP
        else:
            self.slept.append(seconds)
            until = self.due if seconds is None else min(self.due, self.time + seconds)
            self.time = max(self.time, until)
        return self.time >= self.due

    def busy(self, turn: threading.Lock | None = None) -> Wait:
        wait = Busy(self.ready, turn or threading.Lock(), lambda: self.time)

        def answered(after: float, seconds: float | None = LONG) -> bool:
            self.slept, self.looks, self.due = [], 0, self.time + after
            return wait(seconds)

        return answered


def test_the_first_answer_is_slept_for() -> None:
    line = Line()
    assert line.busy()(QUICK / 2)
    assert (line.looks, line.slept) == (0, [LONG])


def test_after_a_quick_answer_the_next_is_looked_for_without_sleeping() -> None:
    line = Line()
    wait = line.busy()
    for _ in range(3):
        assert wait(QUICK / 2)
    assert line.looks > 1
    assert not line.slept


def test_an_answer_that_lets_itself_be_waited_for_is_slept_for_after_a_moment_and_so_is_the_one_after_it() -> None:
    line = Line()
    wait = line.busy()
    wait(QUICK / 2)
    began = line.time
    assert wait(1.0)
    assert line.slept == [LONG]
    assert line.looks * STEP <= QUICK + STEP
    assert line.time - began == 1.0
    assert wait(QUICK / 2)
    assert (line.looks, line.slept) == (0, [LONG])


def test_where_nothing_comes_the_wait_ends_with_its_time() -> None:
    line = Line()
    wait = line.busy()
    wait(QUICK / 2)
    assert not wait(LONG, 1.0)
    assert line.slept == [1.0]


def test_one_thread_looks_and_the_others_sleep() -> None:
    line, turn = Line(), threading.Lock()
    wait = line.busy(turn)
    wait(QUICK / 2)
    with turn:
        assert wait(QUICK / 2)
        assert (line.looks, line.slept) == (0, [LONG])
    assert wait(QUICK / 2)
    assert not line.slept
    assert not turn.locked()


@given(st.lists(st.floats(0, 4 * QUICK), max_size=30), st.floats(2 * QUICK, 8 * QUICK))
def test_each_answer_that_comes_in_time_is_had_and_looking_costs_no_more_than_a_moment(
    afters: list[float], seconds: float
) -> None:
    line = Line()
    wait = line.busy()
    for after in afters:
        began = line.time
        came = wait(after, seconds)
        assert came == (line.time >= line.due)
        assert came or after > seconds
        assert line.looks * STEP <= QUICK + STEP
        assert line.time - began <= min(after, seconds + QUICK) + 2 * STEP


@pytest.mark.parametrize("system", ["with poll", "without"])
def test_a_socket_is_waited_for_until_something_can_be_read_or_written(
    system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if system == "without":
        monkeypatch.delattr(select, "poll", raising=False)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reads, writes = ready(ours), ready(ours, write=True)
        assert (reads(0), reads(1e-6), writes(0)) == (False, False, True)
        theirs.send(b"x")
        assert reads(0)
        assert reads(None)
        assert reads(1e8)  # more than poll can be told
