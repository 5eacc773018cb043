"""
Answers on a disk on which bad things happen, as often as it takes to see what is rare.

`python -m tests.chaos.disks WHAT DIRECTORY COUNT SEED` does them and tells, as JSON, what was looked at and what broke.
It is a process of its own that never opens a database: whoever does is forked from it, and may be killed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeAlias

from llm_edge.runtime import Blocking, drive
from llm_edge.stores import database
from llm_edge.stores.disk import disk_tier
from llm_edge.stores.folders import DATABASE
from tests.stores.kit import BOUND, Asker, an_entry

from .crowd import Outcome

_ENTRIES, _SIZE = 20, 9000
Told: TypeAlias = dict[str, Any]


def disk_writers_are_killed(outcome: Outcome, scale: float) -> None:
    """A writer is killed a thousand times: what can be read is whole, nothing stays locked, nothing is set aside."""
    _found(outcome, _done("killed", outcome, int(1000 * scale)))


def disk_bits_are_flipped(outcome: Outcome, scale: float) -> None:
    """Twenty bits of a database are flipped, ten thousand times: no wrong answer, and each a miss that is counted."""
    _found(outcome, _done("flipped", outcome, int(10_000 * scale)))


def disk_is_fought_over(outcome: Outcome, scale: float) -> None:
    """Sixteen processes ask one database, which one of them keeps locking: a wait of 20 ms at most, then a miss."""
    told = _done("fought", outcome, int(2000 * scale))
    if scale >= 1:  # in a short run a machine that is busy with other things adds what it likes
        outcome.check("disk", told["median"] <= 0.02, f"half of all asks took more than {told['median']:.3f} s")
        _found(outcome, told)


DISKS: Final = (disk_writers_are_killed, disk_bits_are_flipped, disk_is_fought_over)


def live_through(scene: Callable[[Outcome, float], None], scale: float) -> Outcome:
    """One of them; `scale` makes it smaller."""
    outcome = Outcome(name=scene.__doc__ or "")
    scene(outcome, scale)
    return outcome


def _done(what: str, outcome: Outcome, times: int) -> Told:
    with tempfile.TemporaryDirectory() as directory:
        command = [sys.executable, "-m", "tests.chaos.disks", what, directory, str(times), str(times)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=120 + times)
    told: Told = json.loads(done.stdout)
    outcome.asked += told["asked"]
    outcome.ends["answered"] += told["found"]
    outcome.ends["missed"] += told["asked"] - told["found"]
    outcome.check("disk", not told["broken"], "; ".join(told["broken"][:5]))
    return told


def _found(outcome: Outcome, told: Told) -> None:
    outcome.check("disk", bool(told["found"]), "nothing was ever found: nothing was tried")


# ------------------------------------------------------------------ in the process of its own


def killed(directory: Path, times: int, chance: random.Random) -> Told:
    told: Told = {"asked": 0, "found": 0, "broken": []}
    for _ in range(times):
        read, write = os.pipe()
        writer = _forked(lambda write=write: _write(directory, write))  # type: ignore[misc]  # the one of now
        os.close(write)
        for _ in range(chance.randrange(25)):  # none: it is killed while it begins
            os.read(read, 1)
        time.sleep(chance.uniform(0.0, 0.005))
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
        os.close(read)
        _add(told, _asked_of(lambda: _look(directory)))
    if aside := [path.name for path in directory.glob("*.corrupt-*")]:
        told["broken"].append(f"set aside: {aside}")
    return told


def _write(directory: Path, written: int) -> None:
    asker = _asker(directory)
    asker.get(-1)
    for number in count():
        asker.put(an_entry(number % _ENTRIES, size=_SIZE))
        os.write(written, b"w")


def _look(directory: Path) -> Told:
    asker = _asker(directory)
    told = _read(asker, size=_SIZE)
    asker.put(an_entry(_ENTRIES + 1))
    if asker.get(_ENTRIES + 1) is None:
        told["broken"].append("it cannot be written to any more")
    if odd := asker.second.counts().odd:
        told["broken"].append(f"what was written is odd: {odd}")
    return told


def flipped(directory: Path, times: int, chance: random.Random) -> Told:
    _asked_of(lambda: _filled(directory / "whole"))
    whole = next((directory / "whole").glob(f"answers-*/{DATABASE}")).read_bytes()
    told: Told = {"asked": 0, "found": 0, "broken": []}
    seeds, several = [chance.random() for _ in range(times)], os.cpu_count() or 1
    each = [
        _begun(lambda at=at: _all_flipped(directory, f"flipped-{at}", whole, seeds[at::several]))  # type: ignore[misc]  # as above
        for at in range(several)
    ]
    for pid, read in each:
        _add(told, _ended(pid, read))
    return told


def _filled(directory: Path) -> Told:
    asker = _asker(directory)
    asker.get(-1)
    asker.put(*(an_entry(number, size=_SIZE) for number in range(_ENTRIES)))
    _closed(asker)
    return {}


def _all_flipped(directory: Path, name: str, whole: bytes, seeds: list[float]) -> Told:
    told: Told = {"asked": 0, "found": 0, "broken": []}
    for seed in seeds:
        chance, bits = random.Random(seed), bytearray(whole)
        for _ in range(20):
            at = chance.randrange(len(whole) * 8)
            bits[at // 8] ^= 1 << at % 8
        folder = directory / name
        shutil.copytree(directory / "whole", folder)
        next(folder.glob(f"answers-*/{DATABASE}")).write_bytes(bits)
        asker = _asker(folder)
        seen = _read(asker, size=_SIZE)
        counts = asker.second.counts()
        if counts.misses + counts.errors + counts.skipped < seen["asked"] - seen["found"]:
            seen["broken"].append(f"a miss was not counted: {counts}")
        _add(told, seen)
        _closed(asker)
        shutil.rmtree(folder)
    return told


def fought(directory: Path, times: int, chance: random.Random) -> Told:
    _asked_of(lambda: _filled(directory))
    holder = _forked(lambda: _hold(next(directory.glob(f"answers-*/{DATABASE}"))))
    reads = [_begun(lambda: _fight(directory, times)) for _ in range(15)]
    told: Told = {"asked": 0, "found": 0, "broken": [], "took": []}
    for pid, read in reads:
        _add(told, _ended(pid, read))
    os.kill(holder, signal.SIGKILL)
    os.waitpid(holder, 0)
    took = sorted(told.pop("took"))
    return {**told, "median": took[len(took) // 2]}


def _hold(file: Path) -> None:
    for number in count():
        connection = sqlite3.connect(file, isolation_level=None, timeout=BOUND)
        if number % 2:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(0.05)
        connection.execute("ROLLBACK")
        connection.close()


def _fight(directory: Path, times: int) -> Told:
    asker = Asker(disk_tier(directory), drive, Blocking())
    told: Told = {"asked": 0, "found": 0, "broken": [], "took": []}
    for number in range(times):
        began = time.perf_counter()
        entry = asker.get(number % _ENTRIES)
        told["took"].append(time.perf_counter() - began)
        told["asked"] += 1
        told["found"] += entry is not None
        if entry is not None and entry.payload != an_entry(number % _ENTRIES, size=_SIZE).payload:
            told["broken"].append(f"a wrong answer to {number}")
        if number % 7 == 0:
            asker.second.put(an_entry(number % _ENTRIES, size=_SIZE))
    return told


# ------------------------------------------------------------------ who asks, and how it is told


def _asker(directory: Path) -> Asker:
    return Asker(disk_tier(directory, patience=BOUND), drive, Blocking())


def _read(asker: Asker, *, size: int) -> Told:
    broken, found = list[str](), 0
    for number in range(_ENTRIES):
        entry = asker.get(number)
        found += entry is not None
        if entry is not None and entry.payload != an_entry(number, size=size).payload:
            broken.append(f"a wrong answer to {number}")
    return {"asked": _ENTRIES, "found": found, "broken": broken}


def _closed(asker: Asker) -> None:
    asker.second.close()
    asker.second.join(BOUND)


def _add(told: Told, more: Told) -> None:
    for name, value in more.items():
        told[name] = told[name] + value


def _forked(work: Callable[[], object]) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


def _begun(work: Callable[[], Told]) -> tuple[int, int]:
    read, write = os.pipe()

    def tell() -> None:
        with os.fdopen(write, "w") as pipe:
            json.dump(work(), pipe)

    pid = _forked(tell)
    os.close(write)
    return pid, read


def _ended(pid: int, read: int) -> Told:
    with os.fdopen(read) as pipe:
        said = pipe.read()
    if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0:
        return {"broken": ["a process that asked has failed"]}
    told: Told = json.loads(said)
    return told


def _asked_of(work: Callable[[], Told]) -> Told:
    return _ended(*_begun(work))


def main(what: str, directory: str, times: str, seed: str) -> None:
    database.load()  # once, and not in each of them
    tried = {"killed": killed, "flipped": flipped, "fought": fought}[what]
    print(json.dumps(tried(Path(directory), int(times), random.Random(int(seed)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
