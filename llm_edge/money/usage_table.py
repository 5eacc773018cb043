"""
The usage log as a SQLite database, for those who want to ask it questions of their own.

One table, `usage`, one row for each call. A row is committed before the call's answer goes out; what is committed
outlives the process (write-ahead log, `synchronous = normal`: a power cut may cost the last moments, never the file).
"""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import orjson

from ..errors import ConfigError
from .spend import Question, iso
from .usage_log import MADE, opened

_COLUMNS: Final = (
    "at", "id", "operation", "tenant", "user", "key", "route", "model", "target", "status", "error", "cache",
    "attempts", "usage", "nano_usd", "saved_nano_usd", "ms",
)  # fmt: skip
_SCHEMA = f"create table if not exists usage ({', '.join(_COLUMNS)}); create index if not exists usage_at on usage (at)"
_INSERT = f"insert into usage values ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608  nothing of a caller's
_SELECT = f"select {', '.join(_COLUMNS)} from usage where at >= ? and at < ? order by rowid"  # noqa: S608  as above
_PATIENCE = 0.25
"""Seconds a call may wait for another process that writes; then its row goes with the next one."""
_MOST_LATE = 10_000

_OF_PARENTS: list[sqlite3.Connection] = []
"""In a forked child: what belongs to its parent."""


class UsageTable:
    """Writes rows. Who calls it keeps to one thread at a time; that thread may come in again while it is inside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        self._late: deque[tuple[Any, ...]] = deque(maxlen=_MOST_LATE)
        self._inside = False

    def after_fork(self) -> None:
        # SQLite's connections do not live across a fork; the parent's is kept, so that it is never closed here.
        if self._database is not None:
            _OF_PARENTS.append(self._database)
        self._database, self._inside = None, False
        self._late.clear()

    def write(self, record: Mapping[str, Any], /) -> None:
        self._late.append(tuple(_cell(record[name]) for name in _COLUMNS))
        if self._inside:
            return  # the garbage collector ended a call in the midst of another's: that one takes this along
        self._inside = True
        try:
            if self._database is None:
                self._database = self._open()
            while self._late:
                self._database.execute(_INSERT, self._late[0])
                self._late.popleft()
        except sqlite3.Error as error:
            raise OSError(str(error)) from None
        finally:
            self._inside = False

    def _open(self) -> sqlite3.Connection:
        os.close(opened(self._path, os.O_RDWR))
        database = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
        try:
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = normal")
            database.executescript(_SCHEMA)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def close(self) -> None:
        database, self._database = self._database, None
        if database is not None:
            database.close()


def _cell(value: Any) -> Any:
    """As SQLite can hold it, whatever callers call themselves."""
    if isinstance(value, Mapping):
        return orjson.dumps(value, default=str).decode()
    if isinstance(value, int):
        return max(min(value, 2**63 - 1), -(2**63))
    return value.encode(errors="replace").decode() if isinstance(value, str) else value


def rows(path: Path, question: Question) -> Iterator[dict[str, Any]]:
    """The records of the time that is asked for. Raises ConfigError when they cannot be read."""
    if not path.is_file():
        raise ConfigError(f"{path}: cannot be read: there is no such file. {MADE}")
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as database:
            for row in database.execute(_SELECT, (iso(question.since), iso(question.until))):
                found: dict[str, Any] = dict(zip(_COLUMNS, row, strict=True))
                found["usage"] = None if found["usage"] is None else orjson.loads(found["usage"])
                yield found
    except (sqlite3.Error, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}.") from None
