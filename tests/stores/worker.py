"""Processes that take and settle as fast as they may, and write down what they got: see `test_processes`."""

from __future__ import annotations

import os
import sys
import time

from llm_edge.policy.rows import Row, Taken
from llm_edge.runtime import Blocking, drive
from llm_edge.stores import lanes
from llm_edge.stores.places import place
from llm_edge.stores.shared import SharedCounters

ROWS = {
    "pace": Row(key="pace", kind="pace", unit="requests", limit=40, rate=400.0),
    "log": Row(key="log", kind="log", unit="requests", limit=20, window=0.5),
    "places": Row(key="places", kind="places", unit="places", limit=5),
    "many": Row(key="many", kind="places", unit="places", limit=40),
    "money": Row(key="money", kind="tally", unit="nano-dollars", limit=5000, period="total"),
}


def say(*words: object) -> None:
    """One line at once: several processes write to one pipe."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def work(number: int, url: str, kind: str, seconds: float, hold: float) -> None:
    """Writes `N + moment` when a take was granted, `N - moment` before it is settled, `N = spent` at the end."""
    # What a store is to do that misses its 50 ms is tried elsewhere; here a busy machine must not look like one.
    store = SharedCounters(place(url), prefix="{t}:", patience=5.0)
    view, row = store.view(Blocking()), ROWS[kind]
    amount = 100 if kind == "money" else 1
    drive(view.look(row))  # the way is open before it counts
    say(number, "pid", os.getpid())
    os.read(0, 1)
    end, spent = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        verdict = drive(view.take([(row, amount)], 1.0))
        if isinstance(verdict, Taken):
            say(number, "+", repr(time.monotonic()))
            time.sleep(hold)
            say(number, "-", repr(time.monotonic()))
            spent += 70
            view.settle(verdict.hold, {"nano-dollars": 70})
        else:
            time.sleep(0.001)
    say(number, "=", spent)
    store.close()


def main(url: str, kind: str, seconds: float, hold: float, count: int) -> None:
    """So many processes, forked before anything was opened: what they import is imported once."""
    lanes.library()
    children: list[int] = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            try:
                work(number, url, kind, seconds, hold)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
