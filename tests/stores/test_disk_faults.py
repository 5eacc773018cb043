"""A power cut, files that are lost or another's, a disk that takes seconds: an answer is whole, or there is none."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_edge.runtime import Awaiting, Blocking, drive
from llm_edge.stores.disk import DiskShelf, disk_tier
from llm_edge.stores.tier import SecondTier
from llm_edge.stores.tombstones import Marks
from tests.forks import in_child
from tests.stores.kit import BOUND, Asker, Ticking, an_entry, closing, key_of

PAGE = 4096
COUNT, SIZE = 12, 2000


def opened(directory: Path, **options: Any) -> Asker:
    return Asker(disk_tier(directory, **{"clock": Ticking(), "patience": BOUND, **options}), drive, Blocking())


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory as it is while somebody writes: entries in the log that are not in the database yet."""
    directory = tmp_path_factory.mktemp("live") / "kept"
    asker = opened(directory)
    asker.put(*(an_entry(number, size=SIZE) for number in range(COUNT)))
    with closing(asker.second):
        yield directory


def file(directory: Path, suffix: str = "") -> Path:
    return directory / "answers-1" / f"cache.db{suffix}"


def survives(directory: Path) -> int:
    """Every answer that is found is right, and new ones are kept; gives how many were found."""
    clock = Ticking()
    asker = opened(directory, clock=clock)
    with closing(asker.second):
        found = [asker.get(number) for number in range(COUNT)]
        for number, entry in enumerate(found):
            assert entry is None or entry == an_entry(number, size=SIZE, made=entry.made)
        asker.put(an_entry(50))
        asker.put(an_entry(50))  # the first may have found it broken
        asker.until_found(50, clock)
    return sum(entry is not None for entry in found)


# ---- fault 4


def test_a_power_cut_loses_what_was_not_written_and_nothing_else(live: Path, tmp_path: Path) -> None:
    log = file(live, "-wal").read_bytes()
    assert len(log) > 20 * PAGE, "the entries are in the log"
    chance, found = random.Random(4), list[int]()
    ends = [0, 1, 32, *(chance.randrange(len(log)) for _ in range(9)), len(log)]
    for number, end in enumerate(sorted(ends)):
        directory = tmp_path / f"cut-{number}"
        shutil.copytree(live, directory)
        file(directory, "-shm").unlink()  # it never outlives the power
        file(directory, "-wal").write_bytes(log[:end])
        found.append(survives(directory))
    assert found == sorted(found), "the more was written, the more is there"
    assert (found[0], found[-1]) == (0, COUNT)


def test_a_power_cut_while_the_log_goes_into_the_database_loses_nothing(live: Path, tmp_path: Path) -> None:
    done = tmp_path / "done"
    shutil.copytree(live, done)
    connection = sqlite3.connect(file(done))
    connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
    after = file(done).read_bytes()  # while the log is still there
    connection.close()
    before = file(live).read_bytes().ljust(len(after), b"\0")
    chance = random.Random(4)
    for number in range(8):
        directory = tmp_path / f"torn-{number}"
        shutil.copytree(live, directory)
        file(directory, "-shm").unlink()
        pages = [(before, after)[chance.randrange(2)][at : at + PAGE] for at in range(0, len(after), PAGE)]
        file(directory).write_bytes(b"".join(pages))
        assert survives(directory) == COUNT


# ---- fault 7


def lose(*suffixes: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        for suffix in suffixes:
            file(directory, suffix).unlink()

    return change


def take_anothers(suffix: str) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        other = opened(directory.parent / "another")
        other.put(*(an_entry(number, size=SIZE) for number in range(30, 40)))
        shutil.copyfile(file(directory.parent / "another", suffix), file(directory, suffix))
        with closing(other.second):
            pass

    return change


@pytest.mark.parametrize(
    "change",
    [lose("-wal"), lose("-shm"), lose("-wal", "-shm"), take_anothers("-wal"), take_anothers("-shm"), take_anothers("")],
    ids=["no log", "no index", "neither", "another's log", "another's index", "another's database"],
)
def test_files_that_are_lost_or_mixed_up_give_no_wrong_answer(
    live: Path, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    directory = tmp_path / "kept"
    shutil.copytree(live, directory)
    change(directory)
    survives(directory)


# ---- fault 11


class Slow(DiskShelf):
    """A directory on a disk that is held up: whoever writes, or reads, waits until it goes on."""

    def __init__(self, directory: Path, **options: Any) -> None:
        super().__init__(directory, **options)
        self.writes, self.reads = threading.Event(), threading.Event()
        self.writes.set()
        self.reads.set()
        self.stuck = threading.Event()
        self.looks = 0

    def marks(self, *, patient: bool = False) -> Marks:
        self.looks += 1
        return super().marks(patient=patient)

    def put(self, *given: Any) -> bool:
        if not self.writes.is_set():
            self.stuck.set()
        self.writes.wait(BOUND)
        return super().put(*given)

    def _with(self, work: Callable[[Any], Any]) -> Any:
        self.reads.wait(BOUND)
        return super()._with(work)


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[tuple[Slow, SecondTier, Ticking]]:
    clock = Ticking()
    shelf = Slow(tmp_path / "kept", clock=clock, patience=BOUND)
    tier = SecondTier(shelf, secret=b"s" * 32, clock=clock)
    asker = Asker(tier, drive, Blocking())
    asker.get(-1)
    asker.put(an_entry(1))
    yield shelf, tier, clock
    shelf.writes.set()
    shelf.reads.set()
    with closing(tier):
        pass


def test_a_disk_that_writes_slowly_holds_up_no_loop_and_drops_what_is_too_much(
    slow: tuple[Slow, SecondTier, Ticking],
) -> None:
    shelf, tier, _ = slow

    async def main() -> None:
        view = tier.view(Awaiting())
        shelf.writes.clear()
        for number in range(2, 2000):  # were one of them to wait for the disk, this would not end
            view.put(an_entry(number))
        assert await view.get(key_of(1), an_entry(1).scope), "and what is there is found meanwhile"
        await view.drain(0.0)  # who is about to end waits for it no longer than it will

    asyncio.run(main())
    assert shelf.stuck.wait(BOUND)
    assert tier.counts().dropped > 900
    shelf.writes.set()
    asker = Asker(tier, drive, Blocking())
    asker.drain()
    assert asker.get(1999), "the latest are written when it goes on"


def test_a_disk_that_reads_slowly_is_waited_for_once(slow: tuple[Slow, SecondTier, Ticking]) -> None:
    shelf, tier, clock = slow
    shelf._patience = 0.02  # pyright: ignore[reportPrivateUsage]  # what a call waits where nobody says otherwise
    shelf.reads.clear()
    asker = Asker(tier, drive, Blocking())
    assert [asker.get(1) for _ in range(50)] == [None] * 50
    counts = tier.counts()
    assert counts.errors <= 1, "none where no thread was free to begin in time"
    assert counts.errors + counts.skipped == 50
    shelf._patience = BOUND  # pyright: ignore[reportPrivateUsage]  # a busy machine may need longer
    shelf.reads.set()
    asker.until_found(1, clock)


def test_a_child_forked_while_purges_are_looked_up_looks_them_up_itself(
    slow: tuple[Slow, SecondTier, Ticking],
) -> None:
    shelf, tier, clock = slow
    looks = shelf.looks
    shelf.reads.clear()
    clock.advance(0.7)
    tier.glance()
    until(lambda: shelf.looks == looks + 1)

    def looked_up_again() -> bool:
        tier.glance()
        until(lambda: shelf.looks == looks + 2)
        return True

    assert in_child(looked_up_again)


def until(seen: Callable[[], bool]) -> None:
    while not seen():
        threading.Event().wait(0.001)
