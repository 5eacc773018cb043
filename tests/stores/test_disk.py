"""Answers kept on disk: shared by processes, refused where others can write; no fault of the disk reaches a call."""

from __future__ import annotations

import gc
import os
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_edge import ConfigError
from llm_edge.stores.database import connect
from llm_edge.stores.disk import DiskShelf, disk_tier
from llm_edge.stores.tier import SecondTier
from llm_edge.stores.tombstones import tag
from tests.conftest import Colour
from tests.forks import in_child
from tests.stores.kit import BOUND, Asker, Ticking, an_entry, closing, key_of

Open = Callable[..., Asker]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def open_at(colour: Colour) -> Iterator[Open]:
    """Opens the disk tier of a directory; all of them are closed in the end."""
    tiers: list[SecondTier] = []

    def make(directory: Path, **options: Any) -> Asker:
        tiers.append(disk_tier(directory, **{"clock": Ticking(), "patience": BOUND, **options}))
        asker = Asker(tiers[-1], colour.run, colour.runtime())
        asker.get(-1)  # opens it
        return asker

    yield make
    for tier in tiers:
        with closing(tier):
            pass


def database(directory: Path) -> Path:
    """The one in use."""
    (found,) = [path for path in directory.glob("answers-*/cache.db") if "corrupt" not in str(path)]
    return found


def filled(open_at: Open, directory: Path, count: int = 20, size: int = 2000) -> None:
    """Entries written by a tier that is closed again, so that all of it is in one file."""
    asker = open_at(directory)
    asker.put(*(an_entry(number, size=size) for number in range(count)))
    with closing(asker.second):
        pass
    with sqlite3.connect(database(directory)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


# ---- what it is for


def test_what_is_put_is_found_by_another_that_comes_later(open_at: Open, tmp_path: Path) -> None:
    entry = an_entry(1, usage={"total_tokens": 3}, cost=12, took=0.5)
    one = open_at(tmp_path / "kept")
    one.put(entry)
    assert one.get(1) == entry
    assert open_at(tmp_path / "kept").get(1) == entry
    assert one.second.counts().written == 1


def test_an_entry_is_for_its_scope_alone(open_at: Open, tmp_path: Path) -> None:
    asker = open_at(tmp_path)
    asker.put(an_entry(1))
    assert asker.get(1, scope="another") is None
    assert asker.second.counts().odd == {"scope": 1}


def test_an_entry_ends_with_its_time_unless_stale_ones_are_wanted(open_at: Open, tmp_path: Path) -> None:
    clock = Ticking()
    fresh, stale = (open_at(tmp_path, clock=clock, stale=seconds) for seconds in (0.0, 50.0))
    stale.put(an_entry(1, made=clock.time(), ttl=100.0))
    clock.advance(99)
    assert fresh.get(1)
    clock.advance(2)
    assert fresh.get(1) is None
    assert stale.get(1)
    clock.advance(50)
    assert stale.get(1) is None


def test_an_entry_from_the_future_is_not_believed(open_at: Open, tmp_path: Path) -> None:
    clock = Ticking()
    asker = open_at(tmp_path, clock=clock)
    asker.put(an_entry(1, made=clock.time() + 3600))
    assert asker.get(1) is None
    assert asker.second.counts().odd == {"future": 1}
    asker.drain()
    clock.advance(3600)
    assert asker.get(1) is None
    assert asker.second.counts().odd == {"future": 1}, "and is deleted"


def test_what_is_removed_is_gone(open_at: Open, tmp_path: Path) -> None:
    asker, other = open_at(tmp_path), open_at(tmp_path)
    asker.put(an_entry(1), an_entry(2))
    asker.remove(1)
    assert (other.get(1), other.get(2) is not None) == (None, True)


def test_a_purge_is_seen_by_others_within_a_second(open_at: Open, tmp_path: Path) -> None:
    clock = Ticking()
    one, other = open_at(tmp_path, clock=clock), open_at(tmp_path, clock=clock)
    one.put(*(an_entry(number, made=clock.time(), model=f"m{number}") for number in range(3)))
    assert other.get(1)
    assert one.purge(tag(model="m1"))
    assert one.get(1) is None
    clock.advance(1)
    assert [other.get(number) is not None for number in range(3)] == [True, False, True]
    one.put(an_entry(1, made=clock.time(), model="m1"))
    assert other.get(1), "made after the purge"


def test_a_purge_is_remembered_by_those_who_come_later(open_at: Open, tmp_path: Path) -> None:
    clock = Ticking()
    one = open_at(tmp_path, clock=clock)
    one.put(an_entry(1, made=clock.time()), an_entry(2, made=clock.time(), namespace="other"))
    assert one.purge(tag(tenant=an_entry().tenant, namespace="docs"))
    later = open_at(tmp_path, clock=clock)
    assert (later.get(1), later.get(2) is not None) == (None, True)
    assert one.purge(tag())
    assert one.get(2) is None


def test_one_at_a_time_may_claim_a_key(open_at: Open, tmp_path: Path) -> None:
    one, other = open_at(tmp_path), open_at(tmp_path)
    assert (one.claim("a"), other.claim("b"), one.claim("a")) == (True, False, False)
    other.tier.release("k", "b")  # not its own
    other.drain()
    assert other.claim("b") is False
    one.tier.release("k", "a")
    one.drain()
    assert other.claim("b") is True


def test_a_claim_is_given_back_however_slowly_answers_are_written(open_at: Open, tmp_path: Path) -> None:
    asker, other = open_at(tmp_path), open_at(tmp_path)
    asker.get(1)
    begun, gate = threading.Event(), threading.Event()
    asker.second._behind.add(lambda: (begun.set(), gate.wait(BOUND)))
    assert begun.wait(BOUND)
    assert (asker.claim("mine"), other.claim("theirs")) == (True, False)
    asker.tier.release("k", "mine")
    for number in range(1100):
        asker.tier.put(an_entry(number))
    assert (asker.tier.crowded, other.tier.crowded) == (True, False)
    gate.set()
    asker.drain()
    assert other.claim("theirs")


def test_what_is_removed_is_gone_however_much_was_still_to_be_written(open_at: Open, tmp_path: Path) -> None:
    asker = open_at(tmp_path)
    begun, gate, behind = threading.Event(), threading.Event(), asker.second._behind
    behind.add(lambda: (begun.set(), gate.wait(BOUND)))
    assert begun.wait(BOUND)
    for number in range(100):
        asker.tier.put(an_entry(number))
    removing = threading.Thread(target=asker.remove, args=(50,))
    removing.start()
    while len(behind._waiting) + len(behind._soon) < 101 and removing.is_alive():
        threading.Event().wait(0.001)
    gate.set()
    removing.join(BOUND)
    asker.drain()
    assert (asker.get(49) is None, asker.get(50)) == (False, None)


def test_who_writes_late_does_not_replace_the_answer_of_whoever_took_over(open_at: Open, tmp_path: Path) -> None:
    one, other = open_at(tmp_path / "kept"), open_at(tmp_path / "kept")
    claimed = f"{key_of(1)} "
    for asker, token in ((one, "one"), (other, "other")):
        assert asker._run(asker.tier.claim(claimed, token, 60.0))  # pyright: ignore[reportPrivateUsage]
        if asker is one:
            shelf: Any = one.second._shelf  # pyright: ignore[reportPrivateUsage]
            shelf.remove(f"claim:{claimed}")  # its lease has run out
            shelf.leave()
    one.tier.put(an_entry(1, payload=b"late"), (claimed, "one"))
    one.drain()
    assert one.get(1) is None
    other.tier.put(an_entry(1, payload=b"fresh"), (claimed, "other"))
    other.drain()
    one.tier.put(an_entry(1, payload=b"late"), (claimed, "one"))
    one.drain()
    found = one.get(1)
    assert found is not None
    assert found.payload == b"fresh"
    assert (one.second.counts().late, other.second.counts().written) == (2, 1)


def test_it_does_not_outgrow_its_size(open_at: Open, tmp_path: Path) -> None:
    asker = open_at(tmp_path, bytes=2**20)
    for start in range(0, 400, 50):
        asker.put(*(an_entry(number, size=20_000) for number in range(start, start + 50)))
    kept = [number for number in range(400) if asker.get(number)]
    assert 20 < len(kept) < 60
    assert kept[-1] == 399
    assert database(tmp_path).stat().st_size < 2**20 * 1.3


# ---- whose it is


def test_nobody_else_can_read_what_is_kept(open_at: Open, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        open_at(tmp_path / "new" / "kept").put(an_entry(1))
    finally:
        os.umask(before)
    paths = [tmp_path / "new" / "kept", *(tmp_path / "new" / "kept").rglob("*")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert modes.pop("kept") == modes.pop("answers-1") == 0o700
    assert set(modes.values()) == {0o600}
    assert {"secret", "cache.db"} <= modes.keys()


def refusal(directory: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        disk_tier(directory)
    return str(caught.value)


def test_a_directory_that_others_can_write_is_refused(tmp_path: Path) -> None:
    for mode in (0o722, 0o770, 0o702):
        (tmp_path / "open").mkdir(exist_ok=True)
        (tmp_path / "open").chmod(mode)
        assert refusal(tmp_path / "open").startswith("cache.disk.directory: can be written by others.")


def test_a_link_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "file").write_text("")
    assert refusal(tmp_path / "link").startswith("cache.disk.directory: is a symbolic link.")
    assert refusal(tmp_path / "file").startswith("cache.disk.directory: ")
    assert refusal(tmp_path / "file" / "below").startswith("cache.disk.directory: cannot be made: ")


def test_another_users_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    somebody = os.geteuid() + 1
    monkeypatch.setattr(os, "geteuid", lambda: somebody)
    assert refusal(tmp_path).startswith("cache.disk.directory: belongs to another user.")


def test_entries_of_somebody_without_the_secret_are_not_believed(open_at: Open, tmp_path: Path) -> None:
    writer = open_at(tmp_path, secret="a secret of their own")
    writer.put(an_entry(1))
    asker = open_at(tmp_path)
    assert asker.get(1) is None
    assert asker.second.counts().odd == {"mac": 1}
    asker.drain()
    assert writer.get(1) is None, "and it is deleted"


# ---- what goes wrong


def test_no_flipped_bit_gives_a_wrong_answer(open_at: Open, tmp_path: Path) -> None:
    filled(open_at, tmp_path / "whole")
    whole = database(tmp_path / "whole").read_bytes()
    chance = random.Random(3)
    found = missed = 0
    for seed in range(60):
        directory = tmp_path / f"flipped-{seed}"
        shutil.copytree(tmp_path / "whole", directory)
        flipped = bytearray(whole)
        for _ in range(20):
            at = chance.randrange(len(whole) * 8)
            flipped[at // 8] ^= 1 << at % 8
        database(directory).write_bytes(flipped)
        asker = open_at(directory)
        for number in range(20):
            entry = asker.get(number)
            assert entry is None or entry == an_entry(number, size=2000, made=entry.made)
            found, missed = found + bool(entry), missed + (not entry)
        with closing(asker.second):
            pass
    assert found > 100
    assert missed > 100


def test_a_database_cut_short_anywhere_is_set_aside_or_misses(open_at: Open, tmp_path: Path) -> None:
    filled(open_at, tmp_path / "whole", count=12)
    size = database(tmp_path / "whole").stat().st_size
    for length in range(0, size, 4096):
        directory = tmp_path / f"cut-{length}"
        shutil.copytree(tmp_path / "whole", directory)
        os.truncate(database(directory), length)
        clock = Ticking()
        asker = open_at(directory, clock=clock)
        for number in range(12):
            entry = asker.get(number)
            assert entry is None or entry == an_entry(number, size=2000, made=entry.made)
        asker.put(an_entry(50))
        asker.put(an_entry(50))  # the first may have found it broken
        asker.until_found(50, clock)
        with closing(asker.second):
            pass


@pytest.mark.parametrize(
    "garbage", [b"", b"not a database at all, but long enough to be looked at" * 200, b"SQLite format 3\0"]
)
def test_what_is_no_database_is_set_aside(open_at: Open, tmp_path: Path, garbage: bytes) -> None:
    filled(open_at, tmp_path)
    for name in ("cache.db", "cache.db-wal", "cache.db-shm"):
        (database(tmp_path).parent / name).write_bytes(garbage)
    clock = Ticking()
    asker = open_at(tmp_path, clock=clock)
    asker.put(an_entry(50))
    asker.until_found(50, clock)
    assert asker.get(1) is None


def test_of_broken_databases_only_the_latest_are_kept(open_at: Open, tmp_path: Path) -> None:
    for number in range(5):
        asker = open_at(tmp_path)
        asker.put(an_entry(number))
        with closing(asker.second):
            pass
        database(tmp_path).write_bytes(b"nonsense" * 1000)
    open_at(tmp_path)
    assert sorted(path.name.partition(".")[0] for path in tmp_path.glob("answers-*")) == [
        "answers-4", "answers-5", "answers-6",
    ]  # fmt: skip


def test_a_directory_deleted_under_our_feet_is_made_again(open_at: Open, tmp_path: Path) -> None:
    asker = open_at(tmp_path / "kept")
    asker.put(an_entry(1))
    shutil.rmtree(tmp_path / "kept")
    assert asker.get(1) is None
    asker.put(an_entry(2))
    assert asker.get(2)
    assert open_at(tmp_path / "kept").get(2), "signed with the same secret"


def test_a_folder_deleted_under_our_feet_is_made_again(open_at: Open, tmp_path: Path) -> None:
    asker = open_at(tmp_path)
    shutil.rmtree(database(tmp_path).parent)
    asker.put(an_entry(2))
    assert asker.get(2)


def test_a_table_that_is_gone_is_a_miss_and_then_a_new_database(open_at: Open, tmp_path: Path) -> None:
    clock = Ticking()
    asker = open_at(tmp_path, clock=clock)
    asker.put(an_entry(1))
    with sqlite3.connect(database(tmp_path)) as connection:
        connection.execute("DROP TABLE Cache")
    connection.close()
    assert asker.get(1) is None
    asker.put(an_entry(2))
    asker.until_found(2, clock)


@pytest.mark.parametrize(
    "change",
    [
        "value = 'text'",
        "value = 5",
        "value = NULL",
        "value = x'00'",
        "mode = 4",
        "mode = 'x'",
        "filename = '/etc/passwd', mode = 2",
    ],
)
def test_a_row_changed_by_hand_is_a_miss_and_deleted(open_at: Open, tmp_path: Path, change: str) -> None:
    asker = open_at(tmp_path)
    asker.put(an_entry(1), an_entry(2))
    with sqlite3.connect(database(tmp_path)) as connection:
        connection.execute(f"UPDATE Cache SET {change} WHERE key = ?", [key_of(1)])
    connection.close()
    assert asker.get(1) is None
    assert asker.second.counts().odd == {"size": 1}
    asker.drain()
    with sqlite3.connect(database(tmp_path)) as connection:
        assert connection.execute("SELECT count(*) FROM Cache WHERE key = ?", [key_of(1)]).fetchone() == (0,)
    connection.close()
    assert asker.get(2)


def test_a_pickle_in_the_store_is_not_unpickled(open_at: Open, tmp_path: Path) -> None:
    asker = open_at(tmp_path)
    asker.put(an_entry(1))
    harm = tmp_path / "harm"
    attack = b"cposix\nsystem\n(Vtouch %s\ntR." % str(harm).encode()
    with sqlite3.connect(database(tmp_path)) as connection:
        connection.execute("UPDATE Cache SET value = ?, mode = 4", [attack])
        connection.execute("UPDATE Cache SET key = ?, raw = 0 WHERE key = 'purges'", [attack])
    connection.close()
    assert asker.get(1) is None
    assert not harm.exists()


def test_while_somebody_else_writes_answers_are_still_read(open_at: Open, tmp_path: Path) -> None:
    clock = Ticking()
    asker = open_at(tmp_path, clock=clock)
    asker.put(an_entry(1))
    connection = sqlite3.connect(database(tmp_path), isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    asker.put(an_entry(2))
    assert (asker.get(1) is not None, asker.get(2)) == (True, None)
    assert asker.second.counts().dropped == 1
    connection.execute("ROLLBACK")
    connection.close()
    asker.put(an_entry(3))
    asker.until_found(3, clock)


def test_a_database_that_is_locked_for_good_costs_a_moment_and_then_nothing(open_at: Open, tmp_path: Path) -> None:
    filled(open_at, tmp_path)
    connection = sqlite3.connect(database(tmp_path), isolation_level=None)
    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
    connection.execute("BEGIN EXCLUSIVE")
    clock = Ticking()
    asker = open_at(tmp_path, clock=clock, patience=0.02)
    assert [asker.get(number) for number in range(20)] == [None] * 20
    assert asker.second.counts().skipped >= 20
    connection.execute("ROLLBACK")
    connection.close()
    asker.until_found(1, clock)


def test_a_full_disk_is_a_cache_that_keeps_nothing_new(tmp_path: Path) -> None:
    script = """
import resource, signal, sys
from pathlib import Path
from llm_edge.runtime import Blocking, drive
from llm_edge.stores.database import connect
from llm_edge.stores.disk import disk_tier
from tests.stores.kit import Asker, Ticking, an_entry

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
clock = Ticking()
asker = Asker(disk_tier(Path(sys.argv[1]), clock=clock, patience=20), drive, Blocking())
asker.get(-1)
asker.put(an_entry(1))
assert asker.get(1)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
asker.put(*(an_entry(number, size=50_000) for number in range(2, 30)))
counts = asker.second.counts()
assert counts.dropped > 10, counts
assert asker.get(1), asker.second.counts()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
clock.advance(60)
asker.put(an_entry(40))
asker.put(an_entry(40))
assert asker.get(40), asker.second.counts()
asker.second.close()
asker.second.join(20)
print("well")
"""
    assert run(script, str(tmp_path)) == "well\n"


def test_a_directory_that_cannot_be_written_is_a_cache_that_keeps_nothing(tmp_path: Path) -> None:
    script = """
import diskcache, os, sys  # another user may not be allowed to read the library
from pathlib import Path
from llm_edge.runtime import Blocking, drive
from llm_edge.stores.database import connect
from llm_edge.stores.disk import disk_tier
from tests.stores.kit import Asker, Ticking, an_entry

if os.geteuid() == 0:
    os.chown(sys.argv[1], 65534, 65534)
    os.seteuid(65534)
os.chmod(sys.argv[1], 0o500)
asker = Asker(disk_tier(Path(sys.argv[1]), clock=Ticking(), patience=20), drive, Blocking())
for _ in range(20):
    asker.put(an_entry(1))
    assert asker.get(1) is None
counts = asker.second.counts()
assert counts.errors and counts.skipped and counts.dropped, counts
asker.second.close()
asker.second.join(20)
os.seteuid(os.getuid())
print("well")
"""
    # Not under TMPDIR, which may be closed to that other user.
    directory = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        assert run(script, str(directory)) == "well\n"
    finally:
        directory.chmod(0o700)
        shutil.rmtree(directory)


def test_the_secret_is_made_once_however_many_begin(tmp_path: Path) -> None:
    secrets: set[bytes] = set()
    tiers: list[SecondTier] = []

    def begin() -> None:
        tier = disk_tier(tmp_path / "kept")
        tiers.append(tier)
        secrets.add((tmp_path / "kept" / "secret").read_bytes())

    threads = [threading.Thread(target=begin) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(BOUND)
    assert len(tiers) == 8
    assert len(secrets) == 1
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["secret"]


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 33])
def test_a_secret_that_is_none_is_made_again(open_at: Open, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    asker = open_at(tmp_path)
    asker.put(an_entry(1))
    assert asker.get(1)
    assert len((tmp_path / "secret").read_bytes()) == 32


def test_a_secret_that_others_can_read_is_made_again(open_at: Open, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"x" * 32)
    (tmp_path / "secret").chmod(0o644)
    open_at(tmp_path)
    assert (tmp_path / "secret").read_bytes() != b"x" * 32


# ---- several processes

WRITER = """
import itertools, sys
from pathlib import Path
from llm_edge.runtime import Blocking, drive
from llm_edge.stores.database import connect
from llm_edge.stores.disk import disk_tier
from tests.stores.kit import Asker, an_entry

asker = Asker(disk_tier(Path(sys.argv[1]), patience=20), drive, Blocking())
asker.get(-1)
for number in itertools.count():
    asker.put(an_entry(number % 50, size=9000))
    assert (found := asker.get(number % 50)) is None or found.payload.startswith(b"%d:" % (number % 50))
    print(number, flush=True)
"""


def process(script: str, *given: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", script, *given],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def run(script: str, *given: str) -> str:
    with process(script, *given) as started:
        assert started.stdout is not None
        return started.stdout.read()


def test_writers_killed_at_any_moment_leave_whole_entries(open_at: Open, tmp_path: Path) -> None:
    chance = random.Random(5)
    for _ in range(3):
        with process(WRITER, str(tmp_path)) as one, process(WRITER, str(tmp_path)) as other:
            assert one.stdout is not None
            for _ in range(chance.randrange(5, 40)):
                assert one.stdout.readline()
            one.send_signal(signal.SIGKILL)
            other.send_signal(signal.SIGKILL)
    clock = Ticking()
    asker = open_at(tmp_path, clock=clock)
    found = [asker.get(number) for number in range(50)]
    assert sum(entry is not None for entry in found) > 3
    assert all(entry is None or entry.payload.startswith(b"%d:" % number) for number, entry in enumerate(found))
    assert asker.second.counts().odd == {}
    asker.put(an_entry(60))
    asker.until_found(60, clock)


def test_processes_share_what_they_keep(open_at: Open, tmp_path: Path) -> None:
    asker = open_at(tmp_path)
    with process(WRITER, str(tmp_path)) as other:
        assert other.stdout is not None
        for _ in range(60):
            assert other.stdout.readline()
        asker.put(an_entry(70))
        found = sum(asker.get(number) is not None for number in (*range(50), 70))
        other.kill()
    assert found > 45


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on_by_itself(open_at: Open, tmp_path: Path) -> None:
    from llm_edge.runtime import Blocking, drive

    asker = open_at(tmp_path)
    asker.put(an_entry(1))
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(20)
            child = Asker(asker.second, drive, Blocking())
            child.get(1)
            child.put(an_entry(2))
            os._exit(0 if child.get(1) and child.get(2) else 3)
        finally:
            os._exit(4)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert asker.get(1)
    assert asker.get(2)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_goes_on_when_its_parent_has_closed(open_at: Open, tmp_path: Path) -> None:
    from llm_edge.runtime import Blocking, drive

    asker = open_at(tmp_path)
    asker.put(an_entry(1))
    (opened, open_in_child), (closed, close_here) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            signal.alarm(20)
            child = Asker(asker.second, drive, Blocking())
            child.get(1)
            os.write(open_in_child, b".")
            os.read(closed, 1)
            child.put(an_entry(2))
            os._exit(0 if child.get(1) and child.get(2) else 3)
        finally:
            os._exit(4)
    os.read(opened, 1)
    with closing(asker.second):
        pass
    os.write(close_here, b".")
    _, status = os.waitpid(pid, 0)
    for end in (opened, open_in_child, closed, close_here):
        os.close(end)
    assert os.waitstatus_to_exitcode(status) == 0
    later = open_at(tmp_path)
    assert later.get(1)
    assert later.get(2)
    assert not list(tmp_path.glob("*corrupt*"))


def test_a_connection_that_is_collected_while_all_are_closed_is_no_error(tmp_path: Path) -> None:
    """A thread has ended; what it had open waits for the garbage collector, which may come at any moment."""
    database: Any = connect(tmp_path, 2**20)

    def collected(frame: Any, event: str, given: object) -> None:
        if event == "call" and frame.f_code.co_name == "pop":
            gc.collect()

    sys.setprofile(collected)
    try:
        database.part()
    finally:
        sys.setprofile(None)
    database.close()


def test_a_child_forked_while_the_disk_hangs_leaves_it_alone(tmp_path: Path) -> None:
    shelf = DiskShelf(tmp_path)
    begun, over = threading.Event(), threading.Event()

    def hangs(there: object) -> bool:
        begun.set()
        return over.wait()

    def writes() -> None:
        shelf.put(key_of(1), b"answer", 60.0, None, hangs)
        shelf.leave()

    def left_alone() -> bool:
        with pytest.raises(OSError, match="fork"):
            shelf.marks()
        return True

    writer = threading.Thread(target=writes)
    writer.start()
    begun.wait()
    try:
        assert in_child(left_alone)
    finally:
        over.set()
        writer.join()
