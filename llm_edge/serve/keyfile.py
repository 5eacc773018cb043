"""
Keys in a file: one SQLite database that nobody else may read.

The pepper stands in a file beside it. The trail can only grow: SQLite itself refuses to change or delete a line of it.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sqlite3
import threading
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..runtime import mind_forks
from .keys import Kept, Key, Line

_SCHEMA = """
create table if not exists keys (
    id text primary key, digest blob not null unique, name text not null, tenant text not null, tier text not null,
    permissions text not null, models text not null, created real not null, expires real, revoked real,
    stretched integer not null default 0
) strict;
create table if not exists settings (name text primary key, value text not null) strict;
create table if not exists trail (
    at real not null, who text not null, what text not null, on_what text not null, facts text not null
) strict;
create trigger if not exists trail_stays before update on trail begin select raise(abort, 'the trail only grows'); end;
create trigger if not exists trail_whole before delete on trail begin select raise(abort, 'the trail only grows'); end;
"""


_OF_PARENTS: list[sqlite3.Connection] = []
"""In a forked child: what belongs to its parent."""


class KeyFile:
    """Keys in an SQLite file. Raises ConfigError when it cannot be used."""

    remote = False

    def __init__(self, file: Path) -> None:
        self._file = file
        self.pepper = _pepper(file)
        self._lock = threading.Lock()
        self._database = self._open()
        self._closed = weakref.finalize(self, self._database.close)
        mind_forks(self)

    def after_fork(self) -> None:
        # SQLite's connections do not live across a fork; the parent's is kept, so that it is never closed here.
        _OF_PARENTS.append(self._database)
        self._closed.detach()
        self._lock = threading.Lock()
        self._database = self._open()
        self._closed = weakref.finalize(self, self._database.close)

    def _open(self) -> sqlite3.Connection:
        database: sqlite3.Connection | None = None
        try:
            database = sqlite3.connect(self._file, timeout=5, isolation_level=None, check_same_thread=False)
            self._file.chmod(0o600)
            database.execute("pragma journal_mode = wal")
            database.executescript(_SCHEMA)
            if "stretched" not in {row[1] for row in database.execute("pragma table_info(keys)")}:
                database.execute("alter table keys add column stretched integer not null default 0")
        except sqlite3.Error as error:
            if database is not None:
                database.close()
            raise ConfigError(f"serve.auth.database: {self._file} cannot be used: {error}") from None
        return database

    def close(self) -> None:
        self._closed()

    def version(self) -> object:
        with self._lock:
            return self._database.execute("pragma data_version").fetchone()[0]

    def read(self) -> Kept:
        with self._lock:
            rows = self._database.execute(f"select digest, {_COLUMNS} from keys order by created").fetchall()  # noqa: S608  our own words
            settings = self._database.execute("select name, value from settings").fetchall()
        return Kept({row[0]: _key(row[1:]) for row in rows}, dict(settings))

    def change(self, keys: Mapping[bytes, Key], settings: Mapping[str, str | None], line: Line) -> None:
        with self._lock:
            self._database.execute("begin immediate")
            try:
                for digest, key in keys.items():
                    self._database.execute(
                        "insert or replace into keys values (?,?,?,?,?,?,?,?,?,?,?)", _row(digest, key)
                    )
                for name, value in settings.items():
                    self._database.execute("delete from settings where name = ?", (name,))
                    if value is not None:
                        self._database.execute("insert into settings values (?, ?)", (name, value))
                told = (line.at, line.who, line.what, line.on_what, json.dumps(dict(line.facts)))
                self._database.execute("insert into trail values (?, ?, ?, ?, ?)", told)
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")

    def trail(self, most: int) -> list[Line]:
        with self._lock:
            rows = self._database.execute("select * from trail order by rowid desc limit ?", (most,)).fetchall()
        return [Line(at, who, what, on_what, json.loads(facts)) for at, who, what, on_what, facts in rows]


_COLUMNS = "id, name, tenant, tier, permissions, models, created, expires, revoked, stretched"


def _key(row: Sequence[Any]) -> Key:
    id_, name, tenant, tier, permissions, models, created, expires, revoked, stretched = row
    return Key(
        id=id_, name=name, tenant=tenant, tier=tier, permissions=tuple(json.loads(permissions)),
        models=tuple(json.loads(models)), created=created, expires=expires, revoked=revoked, stretched=bool(stretched),
    )  # fmt: skip


def _row(digest: bytes, key: Key) -> tuple[object, ...]:
    return (
        key.id, digest, key.name, key.tenant, key.tier, json.dumps(list(key.permissions)),
        json.dumps(list(key.models)), key.created, key.expires, key.revoked, int(key.stretched),
    )  # fmt: skip


def _pepper(file: Path) -> bytes:
    """The pepper beside the database; made when there is none."""
    beside = file.with_name(f"{file.name}.pepper")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            pass
        else:
            with os.fdopen(handle, "wb") as made:
                made.write(secrets.token_bytes(32))
        found = beside.read_bytes()
        shared = hasattr(os, "geteuid") and bool(beside.stat().st_mode & 0o077)
    except OSError as error:
        raise ConfigError(f"serve.auth.database: {file} cannot be used: {error.strerror}") from None
    if len(found) != hashlib.sha256().digest_size:
        raise ConfigError(f"serve.auth.database: {beside} is not a pepper; put back the one the keys were made with")
    if shared:
        raise ConfigError(f"serve.auth.database: others may read {beside}. Take that right away (chmod 600).")
    return found
