"""
Keys in a file: one SQLite database that nobody else may read.

The pepper stands in a file beside it. The trail can only grow: SQLite itself refuses to change or delete a line of it.
A file that is put in its place, as from a backup, is read from then on: keys ended there open nothing here.

Nothing has to be written for a look (so there is no WAL, whose readers write): keys open on a full disk, too. And what
changed since the last look is all that is read: SQLite itself writes down which keys did, whoever changes them.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import sqlite3
import threading
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from ..runtime import mind_forks
from .keys import PATIENCE, Kept, Key, Line
from .problems import NoKeysNow

log = logging.getLogger("llm_edge.serve")

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
create table if not exists changed (n integer primary key autoincrement, digest blob not null unique) strict;
create trigger if not exists key_made after insert on keys
begin insert or replace into changed (digest) values (new.digest); end;
create trigger if not exists key_changed after update on keys
begin insert or replace into changed (digest) values (old.digest), (new.digest); end;
create trigger if not exists key_gone after delete on keys
begin insert or replace into changed (digest) values (old.digest); end;
create trigger if not exists trail_stays before update on trail begin select raise(abort, 'the trail only grows'); end;
create trigger if not exists trail_whole before delete on trail begin select raise(abort, 'the trail only grows'); end;
"""


_OF_PARENTS: list[sqlite3.Connection] = []
"""In a forked child: what belongs to its parent."""
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_BUSY_NOW = "the database of the keys is being written; ask again"


class KeyFile:
    """
    Keys in an SQLite file. Raises ConfigError when it cannot be used; NoKeysNow when it no longer can.

    With `there` it is known to be there, and taken up when it can be: it is not made where it is missing.
    """

    remote = False

    def __init__(self, file: Path, *, there: bool = False) -> None:
        self._file, self._trouble = file, ""
        self.pepper = b""
        self._begin()
        if not there:
            self._take_up(PATIENCE)
        mind_forks(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._place: tuple[int, int] | None = None
        self._database: sqlite3.Connection | None = None
        self._closed: weakref.finalize[..., KeyFile] | None = None
        self._kept, self._read_to = Kept(), -1

    def _take_up(self, patience: float) -> None:
        """Open what has this name now."""
        self.close()
        self._place, self._read_to = None, -1
        self.pepper = _pepper(self._file)
        self._database = self._open(patience)
        self._closed = weakref.finalize(self, self._database.close)
        self._place = _place(self._file)

    def after_fork(self) -> None:
        # SQLite's connections do not live across a fork; the parent's is kept, so that it is never closed here.
        if self._database is not None and self._closed is not None:
            _OF_PARENTS.append(self._database)
            self._closed.detach()
        self._begin()

    def _open(self, patience: float) -> sqlite3.Connection:
        database: sqlite3.Connection | None = None
        try:
            database = sqlite3.connect(self._file, timeout=0, isolation_level=None, check_same_thread=False)
            if self._file.stat().st_mode & 0o777 != 0o600:
                self._file.chmod(0o600)
            with suppress(sqlite3.OperationalError):  # an older version of us has it open
                database.execute("pragma journal_mode = delete")
            database.execute(f"pragma busy_timeout = {patience * 1e3:.0f}")
            database.executescript(_SCHEMA)
            if "stretched" not in {row[1] for row in database.execute("pragma table_info(keys)")}:
                database.execute("alter table keys add column stretched integer not null default 0")
        except (sqlite3.Error, OSError) as error:
            if database is not None:
                database.close()
            raise ConfigError(f"serve.auth.database: {self._file} cannot be used: {error}") from None
        return database

    def close(self) -> None:
        if self._closed is not None:
            self._closed()

    def version(self, patience: float) -> object:
        with self._using(patience) as database:
            return self._place, database.execute("pragma data_version").fetchone()[0]

    def read(self, patience: float) -> Kept:
        with self._using(patience) as database:
            database.execute("begin")  # all of one moment
            try:
                (last,) = database.execute("select coalesce(max(n), 0) from changed").fetchone()
                if self._read_to < 0:
                    keys = {row[0]: _key(row[1:]) for row in database.execute(_ALL)}
                else:
                    keys = {**self._kept.keys}
                    for digest, *row in database.execute(_SINCE, (self._read_to,)):
                        keys.pop(digest, None)
                        if row[0] is not None:
                            keys[digest] = _key(row)
                settings = dict(database.execute("select name, value from settings").fetchall())
            finally:
                if database.in_transaction:
                    database.execute("rollback")
            self._kept, self._read_to = Kept(keys, settings), last
            return self._kept

    def change(self, keys: Mapping[bytes, Key], settings: Mapping[str, str | None], line: Line) -> None:
        with self._using(PATIENCE) as database:
            database.execute("begin immediate")
            try:
                for digest, key in keys.items():
                    database.execute(_CHANGE, (*_row(digest, key), key.id))
                for name, value in settings.items():
                    database.execute("delete from settings where name = ?", (name,))
                    if value is not None:
                        database.execute("insert into settings values (?, ?)", (name, value))
                told = (line.at, line.who, line.what, line.on_what, json.dumps(dict(line.facts)))
                database.execute("insert into trail values (?, ?, ?, ?, ?)", told)
                database.execute("commit")
            except BaseException:
                if database.in_transaction:  # some failures end it
                    database.execute("rollback")
                raise
            with suppress(sqlite3.Error):  # it is written all the same
                database.execute("pragma wal_checkpoint(truncate)")  # into the file itself, where an older version is

    def trail(self, most: int) -> list[Line]:
        with self._using(PATIENCE) as database:
            rows = database.execute("select * from trail order by rowid desc limit ?", (most,)).fetchall()
        return [Line(at, who, what, on_what, json.loads(facts)) for at, who, what, on_what, facts in rows]

    @contextmanager
    def _using(self, patience: float) -> Generator[sqlite3.Connection]:
        """The database that has this name now. Raises NoKeysNow when it cannot be used, or others do for so long."""
        if not self._lock.acquire(timeout=patience):
            raise NoKeysNow(_BUSY_NOW)
        try:
            if _place(self._file) != self._place or self._database is None:
                self._take_up(patience)
            assert self._database is not None
            self._database.execute(f"pragma busy_timeout = {patience * 1e3:.0f}")
            yield self._database
            self._trouble = ""
        except (sqlite3.Error, OSError, ConfigError) as error:
            if getattr(error, "sqlite_errorcode", None) in _BUSY:
                raise NoKeysNow(_BUSY_NOW) from None
            if self._trouble != (trouble := str(error)):
                self._trouble = trouble  # told once: it is looked at more than twice a second
                log.error("serve.auth.database: %s cannot be used: %s", self._file, trouble)
            raise NoKeysNow("the database of the keys cannot be used now; ask whoever runs the gateway") from None
        finally:
            self._lock.release()


def _place(file: Path) -> tuple[int, int]:
    """Which file it is, whatever it is called."""
    found = file.stat()
    return found.st_dev, found.st_ino


_COLUMNS = "id, name, tenant, tier, permissions, models, created, expires, revoked, stretched"
_CHANGE = """
insert or replace into keys select ?,?,?,?,?,?,?,?,?,?,?
where not exists (select 1 from keys where id = ? and revoked is not null)
"""
"""Who was ended stays ended, though the change began before that."""
_ALL = f"select digest, {_COLUMNS} from keys"  # noqa: S608  our own words
_SINCE = f"select changed.digest, {_COLUMNS} from changed left join keys using (digest) where n > ?"  # noqa: S608


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
    """The pepper beside the database; made when there is neither."""
    beside = file.with_name(f"{file.name}.pepper")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not beside.exists() and not (file.exists() and file.stat().st_size):
            _make(beside)
        found = beside.read_bytes()
        shared = hasattr(os, "geteuid") and bool(beside.stat().st_mode & 0o077)
    except FileNotFoundError:
        found, shared = b"", False
    except OSError as error:
        raise ConfigError(f"serve.auth.database: {file} cannot be used: {error.strerror}") from None
    if len(found) != hashlib.sha256().digest_size:
        raise ConfigError(f"serve.auth.database: {beside} is not a pepper; put back the one the keys were made with")
    if shared:
        raise ConfigError(f"serve.auth.database: others may read {beside}. Take that right away (chmod 600).")
    return found


def _make(pepper: Path) -> None:
    try:
        handle = os.open(pepper, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return  # another process has just made it
    try:
        with os.fdopen(handle, "wb") as made:
            made.write(secrets.token_bytes(32))
            made.flush()
            os.fsync(handle)
    except OSError:
        pepper.unlink()  # half a pepper would be in the way for ever
        raise
