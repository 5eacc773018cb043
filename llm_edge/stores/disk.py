"""
Kept answers on this machine's disk, shared by its processes: SQLite, by way of diskcache.

SQLite does not notice a flipped bit in a value: the MAC of each entry does. What SQLite itself finds broken is set
aside, and a new database begun.

Everything that touches the database runs on worker threads, each with its own connection.

SQLite knows which locks its process holds, and a forked child would inherit that knowledge without the locks: others
would then put the files away while it uses them. So all connections are closed before a fork, when nobody uses one.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias, TypeVar

from .. import exact
from ..runtime import Clock, Runtime, Signal, ThreadClock, part_before_forks
from . import folders
from .database import Database, connect, is_broken, is_full, load
from .entry import KEY
from .gate import Gate
from .shelf import Lease, Stays
from .tier import SecondTier
from .tombstones import Marks
from .workers import NotYet, Workers

T = TypeVar("T")

PATIENCE = 0.02
"""Seconds a call waits for a read; the first waits half as long again for the database to open."""

REMEMBERED = 3600.0
"""Seconds for which it is known who was the last to claim a key; no call takes longer."""
_MARKS = "purges"


_Opened: TypeAlias = tuple[Database, Path, str]
"""The database, its folder, and its file."""


class DiskShelf:
    """
    A directory of kept answers.

    Raises ConfigError, on construction, when the directory cannot be made or is not fit: a symbolic link, another
    user's, or open to others for writing.
    """

    def __init__(
        self, directory: Path, *, bytes: int = 2**30, patience: float = PATIENCE, clock: Clock | None = None,  # noqa: A002  the configuration's word
    ) -> None:  # fmt: skip
        self._directory, self._bytes, self._patience = directory, bytes, patience
        self._clock: Clock = clock or ThreadClock()
        folders.settle(directory)
        load()  # diskcache: now, and not while the first call waits
        try:
            self.secret = folders.secret(directory)
        except OSError:
            self.secret = secrets.token_bytes(32)  # nothing can be written there: there will be nothing to read
        self._left: list[object] = []  # in a forked child, the parent's: kept, so that nothing in it is ever closed
        self._parted = True
        """Whether nothing of SQLite's was inherited from a parent."""
        self._number = 0
        self._begin()
        part_before_forks(self)

    def _begin(self) -> None:
        self._opening = threading.Lock()
        self._open: _Opened | None = None
        self._mine = threading.local()
        self._begun = False
        self._gate = Gate()
        """Whoever uses the database is inside."""

    def before_fork(self, until: float) -> None:
        idle = self._gate.shut(max(until - time.monotonic(), 0.0))
        if idle and self._open is not None:
            self._open[0].part()
        self._idle = idle

    def after_fork_here(self) -> None:
        self._gate.open()

    def after_fork(self) -> None:
        self._parted = self._parted and self._idle
        self._left += [self._open, self._mine]
        self._begin()

    # ---- for the tier

    async def read(self, key: str, marks: bool, runtime: Runtime, workers: Workers, /) -> tuple[object, Marks | None]:
        def work() -> tuple[object, Marks | None]:
            return self._with(lambda database: database.look(key)), self.marks() if marks else None

        return await self._soon(work, runtime, workers)

    async def claim(self, key: str, token: str, seconds: float, runtime: Runtime, workers: Workers, /) -> bool:
        def claimed(database: Database) -> bool:
            with database.transact():
                ours = database.add(f"claim:{key}", token.encode(), seconds)
                if ours:
                    database.set(f"last:{key}", token.encode(), seconds + REMEMBERED)
                return ours

        return await self._soon(lambda: self._with(claimed), runtime, workers)

    async def _soon(self, work: Callable[[], T], runtime: Runtime, workers: Workers) -> T:
        """The work's result. The first to come opens the database and waits a little longer; others then do not."""
        if self._open is not None:
            return await workers.run(work, runtime, self._patience, glance=True)
        if self._begun:
            raise NotYet
        self._begun = True

        opened = Signal()
        workers.submit(lambda: self._open_up(opened))
        if not await runtime.wait(opened, 1.5 * self._patience):
            raise NotYet
        return await workers.run(work, runtime, self._patience)

    def _open_up(self, opened: Signal) -> None:
        try:
            with self._gate:
                self._opened()
        finally:
            self._begun = False
            opened.set()

    def every(self) -> Iterator[tuple[str, object]]:
        for key in self._with(lambda database: list(database.iterkeys())):
            if len(key) == KEY:
                yield key, self._with(lambda database, key=key: database.get(key))  # type: ignore[misc]  # the key of now

    def release(self, key: str, token: str, /) -> None:
        def work(database: Database) -> None:
            with database.transact():
                if database.get(f"claim:{key}") == token.encode():
                    database.delete(f"claim:{key}")

        self._with(work)

    def put(self, key: str, data: bytes, seconds: float, lease: Lease | None, stays: Stays | None, /) -> bool:
        if lease is None and stays is None:
            return self._with(lambda database: database.set(key, data, seconds))

        def may(database: Database) -> bool:
            if stays is not None and stays(database.get(key)):
                return False
            if lease is None:
                return True
            last = database.get(f"last:{lease[0]}")
            return last == lease[1].encode() or (last is None and database.get(key) is None)

        def work(database: Database) -> bool:
            with database.transact():
                return may(database) and database.set(key, data, seconds)

        return self._with(work)

    def remove(self, key: str, /) -> None:
        self._with(lambda database: database.delete(key))

    def marks(self, *, patient: bool = False) -> Marks:
        return _as_marks(self._with(lambda database: database.get(_MARKS)))

    def mark(self, marks: Marks, /) -> None:
        def work(database: Database) -> None:
            with database.transact():
                joined = dict(_as_marks(database.get(_MARKS)))
                for tag, moment in marks.items():
                    joined[tag] = max(moment, joined.get(tag, 0.0))
                database.set(_MARKS, exact.write(joined))

        self._with(work)

    def distrust(self) -> None:
        """A read of a file is never another's."""

    def leave(self) -> None:
        mine: Database | None = getattr(self._mine, "database", None)
        if mine is not None:
            with self._gate:
                mine.close()

    def close(self) -> None:
        """Each thread closes what it has open."""

    # ---- the database

    def _with(self, work: Callable[[Database], T]) -> T:
        """Work on the open database; a broken one is set aside, and the error told."""
        with self._gate:
            database, folder, _ = self._opened()
            try:
                return work(database)
            except Exception as error:
                if is_full(error):
                    database.cull()
                elif is_broken(error):
                    self._set_aside(folder)
                raise

    def _opened(self) -> _Opened:
        opened = self._open
        if opened is None or not os.path.exists(opened[2]):  # noqa: PTH110  four times as fast as a Path
            opened = self._reopened(opened)
        mine: Database | None = getattr(self._mine, "database", None)
        if mine is not opened[0]:
            if mine is not None:
                mine.close()
            self._mine.database = opened[0]
        return opened

    def _reopened(self, gone: _Opened | None) -> _Opened:
        with self._opening:
            if self._open is not None and self._open is not gone:
                return self._open
            self._open = None
            if gone is not None:
                # Somebody deleted it under our feet, perhaps with all that is around it.
                folders.settle(self._directory)
                folders.keep_secret(self._directory, self.secret)
            self._open = opened = self._open_one()
            return opened

    def _open_one(self) -> _Opened:
        if not self._parted:
            raise OSError("the process was forked while its disk hung")
        folder, number = folders.current(self._directory, self._number)
        try:
            database = connect(folder, self._bytes)
        except Exception as error:
            if not is_broken(error):
                raise
            folders.set_aside(folder, self._clock.time())
            folder, number = folders.current(self._directory, number)
            database = connect(folder, self._bytes)
        self._number = number - 1
        return database, folder, str(folder / folders.DATABASE)

    def _set_aside(self, folder: Path) -> None:
        with self._opening:
            if self._open is not None and self._open[1] == folder:
                self._open = None
                self._number += 1
                folders.set_aside(folder, self._clock.time())


def disk_tier(
    directory: Path, *, bytes: int = 2**30, ttl: float = 3600.0, stale: float = 0.0,  # noqa: A002  as above
    secret: str = "", patience: float = PATIENCE, clock: Clock | None = None,
) -> SecondTier:  # fmt: skip
    """The second tier in a directory. Raises ConfigError when the directory is not fit.

    Without a `secret` the directory's own signs the entries, made when it is first used.
    """
    shelf = DiskShelf(directory, bytes=bytes, patience=patience, clock=clock)
    return SecondTier(shelf, secret=secret.encode() or shelf.secret, ttl=ttl, stale=stale, clock=clock)


def _as_marks(data: object) -> Marks:
    """The purges as written; what makes no sense is left out."""
    try:
        found: object = exact.read(data) if isinstance(data, bytes) else {}
    except ValueError:
        return {}
    if not exact.is_object(found):
        return {}
    return {tag: moment for tag, moment in found.items() if type(moment) in (int, float)}
