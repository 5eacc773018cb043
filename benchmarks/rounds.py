"""Interleaved rounds: every contender does the same number of calls, one after the other, again and again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .contenders import CONTENDERS, Contender
from .peers import PEERS
from .provider import running

CALLS = {1: 100, 32: 192, 256: 512}
"""Calls in a round, by how many are under way at once; of streams, which take longer, a quarter."""
ROUNDS = {1: 21, 32: 9, 256: 5}
"""Rounds, by the same: short ones are many, for a moment's trouble of the machine spoils a whole one."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One way of calling."""

    colour: str
    concurrent: int
    stream: bool = False
    cached: bool = False

    @property
    def words(self) -> str:
        return f"{'stream' if self.stream else 'body'}, {'hit' if self.cached else 'miss'}"


@dataclass(slots=True)
class Series:
    """Microseconds per call, a value for each round."""

    wall: list[float] = field(default_factory=list[float])
    cpu: list[float] = field(default_factory=list[float])


Results = dict[Cell, dict[str, Series]]


def cells(quick: bool) -> list[Cell]:
    """All there is to measure; each colour's together, so that only its workers need to run."""
    at_once = (1, 32) if quick else (1, 32, 256)
    return [
        Cell(colour, concurrent, stream, cached)
        for colour in ("sync", "async")
        for cached in (False, True)
        for stream in (False, True)
        for concurrent in at_once
    ]


def measure(names: Sequence[str], *, quick: bool, peers_folder: str | None) -> Results:
    """The time and CPU of every call, contender by contender."""
    every: Mapping[str, Contender] = {**CONTENDERS, **PEERS}
    results: Results = {}
    for colour in ("sync", "async"):
        with ExitStack() as stack:
            url = stack.enter_context(running())
            workers = {}
            for name in names:
                worker = stack.enter_context(_working(name, colour, url, peers_folder if name in PEERS else None))
                if worker is not None:
                    workers[name] = worker
            for cell in (cell for cell in cells(quick) if cell.colour == colour):
                racing = [name for name in workers if every[name].caches or not cell.cached]
                print(f"  {colour}, {cell.concurrent} at once, {cell.words}", file=sys.stderr, flush=True)
                rounds = 3 if quick else ROUNDS[cell.concurrent]
                results[cell] = _race({name: workers[name] for name in racing}, cell, rounds)
    return results


def _race(workers: Mapping[str, Worker], cell: Cell, rounds: int) -> dict[str, Series]:
    calls = CALLS[cell.concurrent] // (4 if cell.stream else 1)
    found = {name: Series() for name in workers}
    names = list(workers)
    for number in range(rounds + 1):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            took = workers[name].round(cell, calls)
            if number:  # the first one warms up
                found[name].wall.append(took["wall"] / calls * 1e6)
                found[name].cpu.append(took["cpu"] / calls * 1e6)
    return found


class Worker:
    """A contender's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def round(self, cell: Cell, calls: int) -> dict[str, float]:
        asked = {"calls": calls, "concurrent": cell.concurrent, "stream": cell.stream, "cached": cell.cached}
        return self._tell(json.dumps(asked))

    def _tell(self, line: str) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@contextmanager
def _working(name: str, colour: str, url: str, folder: str | None) -> Iterator[Worker | None]:
    """A contender ready to go; None when it cannot: not installed, or it knows no such colour."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))}
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.worker", name, colour, url],
        env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = next((line for line in process.stdout if line.startswith('{"ready"')), "")
            if not line:
                print(f"  {name} ({colour}) is left out: it does not start here", file=sys.stderr)
            yield Worker(process) if line else None
        finally:
            process.stdin.close()


def typical(values: Sequence[float]) -> float:
    return median(values)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios round by round: what slows the machine for a while slows both."""
    return median(mine / other for mine, other in zip(ours, theirs, strict=True))


def added(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the differences round by round."""
    return median(mine - other for mine, other in zip(ours, theirs, strict=True))
