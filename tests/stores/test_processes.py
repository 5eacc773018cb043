"""Limits that real processes share over a real server: the bound that is documented holds, whoever is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llm_edge.policy.hand import LIFE

from .valkey import Valkey, valkey
from .worker import ROWS

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def running() -> Iterator[Valkey]:
    with valkey() as server:
        yield server


@pytest.fixture
def server(running: Valkey) -> Valkey:
    running.client().flushall()
    return running


@dataclass
class Worker:
    """What one process wrote down."""

    pid: int
    died: float = 0.0
    lines: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    def moments(self, sign: str) -> list[float]:
        return [float(value) for said, value in self.lines if said == sign]

    def stays(self) -> list[tuple[float, float]]:
        """From when to when it was inside; one that was killed inside was there until then."""
        ends = self.moments("-")
        return [(start, ends[at] if at < len(ends) else self.died) for at, start in enumerate(self.moments("+"))]


def run(server: Valkey, kind: str, count: int, *, seconds: float, hold: float = 0.0, kill: int = 0) -> list[Worker]:
    """So many processes at work, some of them killed half-way."""
    command = [sys.executable, "-m", "tests.stores.worker", server.url, kind, str(seconds), str(hold), str(count)]
    family = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert family.stdin is not None
    assert family.stdout is not None
    workers: dict[str, Worker] = {}
    while len(workers) < count:
        number, _, pid = family.stdout.readline().split()
        workers[number] = Worker(int(pid))
    family.stdin.write("g" * count)
    family.stdin.flush()
    said: list[str] = []
    reader = threading.Thread(target=lambda: said.extend(family.stdout or ()))
    reader.start()
    if kill:
        threading.Event().wait(seconds / 2)
        for worker in list(workers.values())[:kill]:
            worker.died = time.monotonic()  # a little too soon: what comes after it may be late
            with suppress(ProcessLookupError):  # it may be done already, on a machine that stood still
                os.kill(worker.pid, signal.SIGKILL)
    reader.join()
    family.communicate()
    for line in said:
        number, sign, value = line.split()
        workers[number].lines.append((sign, value))
    return list(workers.values())


def most_within(moments: list[float], window: float) -> int:
    moments, most, first = sorted(moments), 0, 0
    for last, moment in enumerate(moments):
        while moments[first] < moment - window:
            first += 1
        most = max(most, last - first + 1)
    return most


def most_at_once(stays: list[tuple[float, float]]) -> int:
    events = sorted([(start, 1) for start, _ in stays] + [(end, -1) for _, end in stays])
    inside = most = 0
    for _, step in events:
        inside += step
        most = max(most, inside)
    return most


@pytest.mark.parametrize(("count", "kill"), [(1, 0), (2, 0), (8, 3)])
def test_a_shared_pace_gives_no_more_than_its_bound_and_goes_on(server: Valkey, count: int, kill: int) -> None:
    workers, row = run(server, "pace", count, seconds=1.5, kill=kill), ROWS["pace"]
    moments = [moment for worker in workers for moment in worker.moments("+")]
    for window in (0.05, 0.2, 0.5, 1.0, 1.5):
        assert most_within(moments, window) <= row.limit + row.rate * (window + LIFE) + 1
    assert len(moments) > 2 * row.limit  # it goes on after the burst it begins with


@pytest.mark.parametrize(("count", "kill"), [(2, 0), (8, 3)])
def test_a_shared_log_is_exact(server: Valkey, count: int, kill: int) -> None:
    workers, row = run(server, "log", count, seconds=1.5, kill=kill), ROWS["log"]
    moments = [moment for worker in workers for moment in worker.moments("+")]
    # What is written down is when a process heard of it; that is a little later, by how much the machine decides.
    granted = server.client().zcard("{t}:log")
    assert granted <= row.limit
    assert row.limit <= len(moments) <= row.limit * (2 + (max(moments) - min(moments)) / row.window)


@pytest.mark.parametrize("kind", ["places", "many"])
@pytest.mark.parametrize(("count", "kill"), [(2, 0), (8, 3)])
def test_never_more_are_inside_than_there_are_places(server: Valkey, kind: str, count: int, kill: int) -> None:
    workers = run(server, kind, count, seconds=1.2, hold=0.01, kill=kill)
    stays = [stay for worker in workers for stay in worker.stays()]
    assert len(stays) > 20
    assert most_at_once(stays) <= ROWS[kind].limit


def test_the_places_of_the_killed_come_back(server: Valkey) -> None:
    run(server, "places", 8, seconds=0.6, hold=0.05, kill=3)
    end = time.monotonic() + 20
    while server.client().eval("redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', redis.call('TIME')[1] * 1e6) return "
                               "redis.call('ZCARD', KEYS[1])", 1, "{t}:places"):  # fmt: skip
        assert time.monotonic() < end
        threading.Event().wait(0.1)


@pytest.mark.parametrize(("count", "kill"), [(1, 0), (8, 3)])
def test_a_shared_budget_is_never_overdrawn_and_every_cent_is_told(server: Valkey, count: int, kill: int) -> None:
    workers = run(server, "money", count, seconds=1.2, hold=0.002, kill=kill)
    row = ROWS["money"]
    spent, reserved, unconfirmed = (int(float(each or 0)) for each in server.client().hmget("{t}:money", "s", "r", "u"))
    settled = sum(int(value) for worker in workers for sign, value in worker.lines if sign == "=")
    assert spent + reserved <= row.limit
    if not kill:
        assert (spent, reserved, unconfirmed) == (settled, 0, 0)
    dead = sum(len(worker.moments("+")) for worker in workers if worker.died)
    assert settled <= spent
    assert spent + reserved <= settled + dead * 100
