"""
One SQLite database of kept answers, as diskcache makes it and as it is used here.

diskcache would pickle what is not bytes and unpickle what it reads; here it is given a `Disk` that knows bytes and
nothing else, keeps all of them inside the database, and never touches another file.
"""

from __future__ import annotations

import importlib
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Protocol, cast

from .folders import DATABASE

_BUSY = 0.02
_LOOK = "SELECT mode, value FROM Cache WHERE key = ? AND raw = 1 AND (expire_time IS NULL OR expire_time > ?)"
_CORRUPT = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_IOERR_SHORT_READ,
}  # fmt: skip


class Database(Protocol):
    """What is used of `diskcache.Cache`, which has no types of its own, and of `Shelved`."""

    def look(self, key: str) -> object: ...
    def get(self, key: str) -> object: ...
    def set(self, key: str, value: bytes, expire: float | None = None) -> bool: ...
    def add(self, key: str, value: bytes, expire: float | None = None) -> bool: ...
    def delete(self, key: str) -> bool: ...
    def iterkeys(self) -> Iterator[str]: ...
    def cull(self) -> int: ...
    def transact(self) -> AbstractContextManager[None]: ...
    def close(self) -> None: ...
    def part(self) -> None: ...


def is_broken(error: Exception) -> bool:
    """Whether the database itself is at fault, and not what surrounds it: locks, rights, room."""
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        return code is not None and (code in _CORRUPT or code & 0xFF in _CORRUPT)
    # What diskcache stumbles over when its own settings or rows make no sense.
    return isinstance(error, (TypeError, ValueError, AttributeError, LookupError, OverflowError, AssertionError))


def is_full(error: Exception) -> bool:
    """Whether there is no room left for it."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL


def _library() -> Any:
    """The library; it has no types, so what is used of it is said in `Database`."""
    return importlib.import_module("diskcache")


def load() -> None:
    """Import what is needed: now, and not while the first call waits."""
    _bytes_only()


def connect(folder: Path, size: int) -> Database:
    """Open one, made when there is none. Raises SQLite's errors, and what `is_broken` knows."""
    page = 4096
    made: Any = _kind()(
        str(folder), timeout=_BUSY, disk=_bytes_only(), statistics=0, tag_index=0, size_limit=size, cull_limit=10,
        eviction_policy="least-recently-stored", disk_min_file_size=2**62, disk_pickle_protocol=0,
        sqlite_journal_mode="wal", sqlite_synchronous=1, sqlite_auto_vacuum=1, sqlite_cache_size=-2048,
        # Mapped into memory, a file that somebody cuts short ends the process.
        sqlite_mmap_size=0,
        sqlite_max_page_count=max(size * 5 // 4 // page, 256), sqlite_trusted_schema=0,
    )  # fmt: skip
    return cast("Database", made)  # what is used of it, said in types


class _Connection(sqlite3.Connection):
    """One that can be remembered without being kept."""


def _settings(con: sqlite3.Connection) -> list[tuple[str, object]]:
    """What is set of a database, and goes for each of its connections anew."""
    try:
        return con.execute("SELECT key, value FROM Settings WHERE key LIKE 'sqlite\\_%' ESCAPE '\\'").fetchall()
    except sqlite3.OperationalError:
        return []  # it is being made


@cache
def _kind() -> type[Any]:
    raw_mode: int = _library().core.MODE_RAW

    class Shelved(_library().Cache):  # type: ignore[misc]  # diskcache has no types
        """A database that leaves no connection open when it is broken and cannot be made, and is quick to look."""

        def __init__(self, directory: str, **settings: object) -> None:
            self._all: weakref.WeakSet[_Connection] = weakref.WeakSet()
            try:
                super().__init__(directory, **settings)  # pyright: ignore[reportUnknownMemberType]  # as above
            except BaseException:
                self.close()
                raise

        @property
        def _con(self) -> sqlite3.Connection:
            """This thread's connection; as diskcache has it, but for `part`."""
            known: _Connection | None = getattr(self._local, "con", None)
            if known is not None:
                return known
            con = self._local.con = _Connection(
                f"{self.directory}/{DATABASE}", timeout=_BUSY, isolation_level=None, check_same_thread=False
            )
            self._all.add(con)
            for name, value in _settings(con):
                self.reset(name, value, update=False)
            return con

        def part(self) -> None:
            """Close the connections of all threads, none of which is in use; who comes back opens another."""
            self._local = threading.local()
            for con in list(self._all):  # held, for a thread that ends takes its own along
                con.close()

        def look(self, key: str) -> bytes | None:
            """As `get`, for what is read in a call's way: half of what that does is not needed for our rows."""
            row: Any = self._sql(_LOOK, (key, time.time())).fetchone()
            if row is None:
                return None
            mode, value = row
            return value if type(value) is bytes and mode == raw_mode else b""  # as in `BytesOnly.fetch`

    return Shelved


@cache
def _bytes_only() -> type[Any]:
    raw_mode: int = _library().core.MODE_RAW

    class BytesOnly(_library().Disk):  # type: ignore[misc]  # diskcache has no types
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
