"""
Kept answers on this machine's disk, shared by its processes: SQLite, by way of diskcache.

diskcache would pickle what is not bytes and unpickle what it reads; here it is given a `Disk` that knows bytes and
nothing else, keeps all of them inside the database, and never touches another file. SQLite does not notice a flipped
bit in a value: the MAC of each entry does. What SQLite itself finds broken is set aside, and a new database begun.

Everything that touches the database runs on worker threads, each with its own connection.
"""

from __future__ import annotations

import importlib
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar, cast

from .. import exact
from ..runtime import Clock, Runtime, Signal, ThreadClock, mind_forks
from . import folders
from .entry import KEY
from .shelf import Lease, Stays
from .tier import SecondTier
from .tombstones import Marks
from .workers import NotYet, Workers

T = TypeVar("T")

PATIENCE = 0.02
"""Seconds a call waits for a read; the first waits half as long again for the database to open."""

REMEMBERED = 3600.0
"""Seconds for which it is known who was the last to claim a key; no call takes longer."""
_BUSY = 0.02
_MARKS = "purges"
_CORRUPT = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR_SHORT_READ,
}  # fmt: skip


class _Database(Protocol):
    """What is used of `diskcache.Cache`, which has no types of its own."""

    def get(self, key: str) -> object: ...
    def set(self, key: str, value: bytes, expire: float | None = None) -> bool: ...
    def add(self, key: str, value: bytes, expire: float | None = None) -> bool: ...
    def delete(self, key: str) -> bool: ...
    def iterkeys(self) -> Iterator[str]: ...
    def cull(self) -> int: ...
    def transact(self) -> AbstractContextManager[None]: ...
    def close(self) -> None: ...


_Opened: TypeAlias = tuple[_Database, Path, str]
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
        _bytes_only()  # imports diskcache now, and not while the first call waits
        try:
            self.secret = folders.secret(directory)
        except OSError:
            self.secret = secrets.token_bytes(32)  # nothing can be written there: there will be nothing to read
        self._left: list[object] = []  # in a forked child, the parent's: kept, so that nothing in it is ever closed
        self._number = 0
        self._begin()
        mind_forks(self)

    def _begin(self) -> None:
        self._opening = threading.Lock()
        self._open: _Opened | None = None
        self._mine = threading.local()
        self._begun = False

    def after_fork(self) -> None:
        self._left += [self._open, self._mine]
        self._begin()

    # ---- for the tier

    async def read(self, key: str, marks: bool, runtime: Runtime, workers: Workers, /) -> tuple[object, Marks | None]:
        def work() -> tuple[object, Marks | None]:
            return self._with(lambda database: database.get(key)), self.marks() if marks else None

        return await self._soon(work, runtime, workers)

    async def claim(self, key: str, token: str, seconds: float, runtime: Runtime, workers: Workers, /) -> bool:
        def claimed(database: _Database) -> bool:
            with database.transact():
                ours = database.add(f"claim:{key}", token.encode(), seconds)
                if ours:
                    database.set(f"last:{key}", token.encode(), seconds + REMEMBERED)
                return ours

        return await self._soon(lambda: self._with(claimed), runtime, workers)

    async def _soon(self, work: Callable[[], T], runtime: Runtime, workers: Workers) -> T:
        """The work's result. The first to come opens the database and waits a little longer; others then do not."""
        if self._open is not None:
            return await workers.run(work, runtime, self._patience)
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
            self._opened()
        finally:
            self._begun = False
            opened.set()

    def every(self) -> Iterator[tuple[str, object]]:
        for key in self._with(lambda database: list(database.iterkeys())):
            if len(key) == KEY:
                yield key, self._with(lambda database, key=key: database.get(key))  # type: ignore[misc]  # the key of now

    def release(self, key: str, token: str, /) -> None:
        def work(database: _Database) -> None:
            with database.transact():
                if database.get(f"claim:{key}") == token.encode():
                    database.delete(f"claim:{key}")

        self._with(work)

    def put(self, key: str, data: bytes, seconds: float, lease: Lease | None, stays: Stays | None, /) -> bool:
        if lease is None and stays is None:
            return self._with(lambda database: database.set(key, data, seconds))

        def may(database: _Database) -> bool:
            if stays is not None and stays(database.get(key)):
                return False
            if lease is None:
                return True
            last = database.get(f"last:{lease[0]}")
            return last == lease[1].encode() or (last is None and database.get(key) is None)

        def work(database: _Database) -> bool:
            with database.transact():
                return may(database) and database.set(key, data, seconds)

        return self._with(work)

    def remove(self, key: str, /) -> None:
        self._with(lambda database: database.delete(key))

    def marks(self) -> Marks:
        return _as_marks(self._with(lambda database: database.get(_MARKS)))

    def mark(self, marks: Marks, /) -> None:
        def work(database: _Database) -> None:
            with database.transact():
                joined = dict(_as_marks(database.get(_MARKS)))
                for tag, moment in marks.items():
                    joined[tag] = max(moment, joined.get(tag, 0.0))
                database.set(_MARKS, exact.write(joined))

        self._with(work)

    def distrust(self) -> None:
        """A read of a file is never another's."""

    def leave(self) -> None:
        mine: _Database | None = getattr(self._mine, "database", None)
        if mine is not None:
            mine.close()

    def close(self) -> None:
        """Each thread closes what it has open."""

    # ---- the database

    def _with(self, work: Callable[[_Database], T]) -> T:
        """Work on the open database; a broken one is set aside, and the error told."""
        database, folder, _ = self._opened()
        try:
            return work(database)
        except Exception as error:
            if _is_full(error):
                database.cull()
            elif _is_broken(error):
                self._set_aside(folder)
            raise

    def _opened(self) -> _Opened:
        opened = self._open
        if opened is None or not os.path.exists(opened[2]):  # noqa: PTH110  four times as fast as a Path
            opened = self._reopened(opened)
        mine: _Database | None = getattr(self._mine, "database", None)
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
        folder, number = folders.current(self._directory, self._number)
        try:
            database = _database(folder, self._bytes)
        except Exception as error:
            if not _is_broken(error):
                raise
            folders.set_aside(folder, self._clock.time())
            folder, number = folders.current(self._directory, number)
            database = _database(folder, self._bytes)
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


def _is_broken(error: Exception) -> bool:
    """Whether the database itself is at fault, and not what surrounds it: locks, rights, room."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and (code in _CORRUPT or code & 0xFF in _CORRUPT)
    # What diskcache stumbles over when its own settings or rows make no sense.
    return isinstance(error, (TypeError, ValueError, AttributeError, LookupError, OverflowError, AssertionError))


def _is_full(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def _as_marks(data: object) -> Marks:
    """The purges as written; what makes no sense is left out."""
    try:
        found: object = exact.read(data) if isinstance(data, bytes) else {}
    except ValueError:
        return {}
    if not exact.is_object(found):
        return {}
    return {tag: moment for tag, moment in found.items() if type(moment) in (int, float)}


def _diskcache() -> Any:
    """The library; it has no types, so what is used of it is said in `_Database`."""
    return importlib.import_module("diskcache")


def _database(folder: Path, size: int) -> _Database:
    page = 4096
    made: Any = _closing()(
        str(folder), timeout=_BUSY, disk=_bytes_only(), statistics=0, tag_index=0, size_limit=size, cull_limit=10,
        eviction_policy="least-recently-stored", disk_min_file_size=2**62, disk_pickle_protocol=0,
        sqlite_journal_mode="wal", sqlite_synchronous=1, sqlite_auto_vacuum=1, sqlite_cache_size=-2048,
        # Mapped into memory, a file that somebody cuts short ends the process.
        sqlite_mmap_size=0,
        sqlite_max_page_count=max(size * 5 // 4 // page, 256), sqlite_trusted_schema=0,
    )  # fmt: skip
    return cast("_Database", made)  # what is used of it, said in types


@cache
def _closing() -> type[Any]:
    class Closing(_diskcache().Cache):  # type: ignore[misc]  # diskcache has no types
        """Leaves no connection open when a broken database keeps it from being made."""

        def __init__(self, directory: str, **settings: object) -> None:
            try:
                super().__init__(directory, **settings)  # pyright: ignore[reportUnknownMemberType]  # as above
            except BaseException:
                self.close()
                raise

    return Closing


@cache
def _bytes_only() -> type[Any]:
    raw_mode: int = _diskcache().core.MODE_RAW

    class BytesOnly(_diskcache().Disk):  # type: ignore[misc]  # diskcache has no types
        """Text keys, bytes as values, all inside the database; nothing is ever pickled, and no other file touched."""

        def put(self, key: object) -> tuple[str, bool]:
            if type(key) is not str:
                raise TypeError("keys are text here")
            return key, True

        def get(self, key: object, raw: object) -> object:
            return key

        def store(self, value: object, read: bool, key: object = None) -> tuple[int, int, None, sqlite3.Binary]:
            if read or type(value) is not bytes:
                raise TypeError("values are bytes here")
            return 0, raw_mode, None, sqlite3.Binary(value)

        def fetch(self, mode: object, filename: object, value: object, read: bool) -> bytes:
            # A row that somebody or something changed names a file, or holds no bytes: as good as empty.
            return value if type(value) is bytes and mode == raw_mode else b""

        def remove(self, file_path: object) -> None:
            """There are no files; a row that names one is lying."""

    return BytesOnly
