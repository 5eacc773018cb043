"""
API keys at rest, and the trail of every change: one SQLite file that nobody else may read.

A key is 256 random bits, shown once. What stands here is an HMAC of it, by a pepper that stands in a file beside the
database; keys are found by that digest, so nothing is compared that could tell by its time how much was right. The
trail can only grow: SQLite itself refuses to change or delete a line of it.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import ConfigError, InvalidRequest
from ..runtime import Clock, mind_forks
from .callers import CALL, PERMISSIONS, Caller

PREFIX = "sk-edge-"
OVERLAP = 86_400.0
"""Seconds for which a rotated key still opens."""
FRESH = 0.5
"""Seconds for which the keys read are believed to be all: a key revoked elsewhere is dead within a second."""

_SCHEMA = """
create table if not exists keys (
    id text primary key, digest blob not null unique, name text not null, tenant text not null, tier text not null,
    permissions text not null, models text not null, created real not null, expires real, revoked real
) strict;
create table if not exists trail (
    at real not null, who text not null, what text not null, on_what text not null, facts text not null
) strict;
create trigger if not exists trail_stays before update on trail begin select raise(abort, 'the trail only grows'); end;
create trigger if not exists trail_whole before delete on trail begin select raise(abort, 'the trail only grows'); end;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is known of one key; not the key."""

    id: str
    name: str
    tenant: str
    tier: str = ""
    permissions: Sequence[str] = (CALL,)
    models: Sequence[str] = ()
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None

    def state(self, now: float) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and now >= self.expires else "active"

    def caller(self) -> Caller:
        """Who shows it."""
        return Caller(
            name=self.id, scope=self.id, tenant=self.tenant, tier=self.tier, permissions=frozenset(self.permissions),
            models=self.models,
        )  # fmt: skip

    def shown(self, now: float) -> dict[str, Any]:
        """As JSON, for people."""
        return {
            "id": self.id, "name": self.name, "tenant": self.tenant, "tier": self.tier or None,
            "permissions": list(self.permissions), "models": list(self.models), "created": self.created,
            "expires": self.expires, "state": self.state(now),
        }  # fmt: skip


_OF_PARENTS: list[sqlite3.Connection] = []
"""In a forked child: what belongs to its parent."""


class KeyStore:
    """Makes, finds and ends keys. Raises ConfigError when the file cannot be used."""

    def __init__(self, file: Path, clock: Clock) -> None:
        self._file, self._clock = file, clock
        self._pepper = _pepper(file)
        self._lock = threading.Lock()
        self._found: Mapping[bytes, Key] = {}
        self._looked = float("-inf")
        self._version = -1
        self._database = self._open()
        mind_forks(self)

    def after_fork(self) -> None:
        # SQLite's connections do not live across a fork; the parent's is kept, so that it is never closed here.
        _OF_PARENTS.append(self._database)
        self._lock = threading.Lock()
        self._database = self._open()
        self._looked, self._version = float("-inf"), -1

    def _open(self) -> sqlite3.Connection:
        database: sqlite3.Connection | None = None
        try:
            database = sqlite3.connect(self._file, timeout=5, isolation_level=None, check_same_thread=False)
            self._file.chmod(0o600)
            database.execute("pragma journal_mode = wal")
            database.executescript(_SCHEMA)
        except sqlite3.Error as error:
            if database is not None:
                database.close()
            raise ConfigError(f"serve.auth.database: {self._file} cannot be used: {error}") from None
        return database

    def close(self) -> None:
        self._database.close()

    # ------------------------------------------------------------------ at the door

    def find(self, key: str) -> Key | None:
        """The key behind this text, if it opens now."""
        found = self._all().get(self._digest(key))
        return found if found is not None and found.state(self._clock.time()) == "active" else None

    def _digest(self, key: str) -> bytes:
        return hmac.digest(self._pepper, key.encode("utf-8", "surrogatepass"), "sha256")

    def _all(self) -> Mapping[bytes, Key]:
        now = self._clock.now()
        if now - self._looked < FRESH:
            return self._found
        with self._lock:
            version = int(self._database.execute("pragma data_version").fetchone()[0])
            if version != self._version or self._looked == float("-inf"):
                rows = self._database.execute(f"select digest, {_COLUMNS} from keys").fetchall()  # noqa: S608  our own words
                self._found, self._version = {row[0]: _key(row[1:]) for row in rows}, version
            self._looked = now
        return self._found

    # ------------------------------------------------------------------ changes

    def create(
        self,
        who: str,
        *,
        name: str = "",
        tenant: str = "",
        tier: str = "",
        permissions: Sequence[str] = (CALL,),
        models: Sequence[str] = (),
        days: float | None = None,
    ) -> tuple[str, Key]:
        """A new key: the key itself, which is never to be seen again, and what is known of it."""
        if unknown := set(permissions) - PERMISSIONS:
            known = ", ".join(sorted(PERMISSIONS))
            raise InvalidRequest(f"`permissions` has {min(unknown)!r}, which is none; there are {known}")
        for field, text in (("name", name), ("tenant", tenant), ("tier", tier), *(("models", each) for each in models)):
            if len(text) > 200 or not text.isprintable():
                raise InvalidRequest(f"`{field}` must be printable text of at most 200 characters")
        if days is not None and not 0 < days < 36_500:
            raise InvalidRequest("`days` must be more than 0 and less than 36500")
        now, id_ = self._clock.time(), f"key_{secrets.token_hex(8)}"
        made = Key(
            id=id_, name=name, tenant=tenant or id_, tier=tier, permissions=tuple(permissions), models=tuple(models),
            created=now, expires=None if days is None else now + days * 86_400,
        )  # fmt: skip
        text = PREFIX + secrets.token_urlsafe(32)
        with self._changing(who, "keys.create", id_, {"tenant": made.tenant, "permissions": list(permissions)}):
            self._insert(text, made)
        return text, made

    def rotate(self, who: str, id_: str, overlap: float = OVERLAP) -> tuple[str, Key]:
        """A new key in an old one's place; the old one opens for `overlap` seconds more."""
        if not 0 <= overlap <= 90 * 86_400:
            raise InvalidRequest("`overlap` must be a number of seconds from 0 to 90 days")
        old = self._active(id_)
        now, fresh = self._clock.time(), f"key_{secrets.token_hex(8)}"
        made = Key(
            id=fresh, name=old.name, tenant=old.tenant, tier=old.tier, permissions=old.permissions, models=old.models,
            created=now, expires=old.expires,
        )  # fmt: skip
        ends = now + overlap if old.expires is None else min(old.expires, now + overlap)
        text = PREFIX + secrets.token_urlsafe(32)
        with self._changing(who, "keys.rotate", id_, {"new": fresh, "overlap": overlap}):
            self._database.execute("update keys set expires = ? where id = ?", (ends, id_))
            self._insert(text, made)
        return text, made

    def revoke(self, who: str, id_: str) -> None:
        """The key opens no more."""
        self._active(id_)
        with self._changing(who, "keys.revoke", id_, {}):
            self._database.execute("update keys set revoked = ? where id = ?", (self._clock.time(), id_))

    def every(self) -> list[Key]:
        """All keys there ever were, oldest first."""
        with self._lock:
            rows = self._database.execute(f"select {_COLUMNS} from keys order by created").fetchall()  # noqa: S608
        return [_key(row) for row in rows]

    def note(self, who: str, what: str, on_what: str, facts: Mapping[str, Any]) -> None:
        """A change that is not of a key, for the trail."""
        with self._changing(who, what, on_what, facts):
            pass

    def trail(self, most: int = 100) -> list[dict[str, Any]]:
        """The newest changes first."""
        with self._lock:
            rows = self._database.execute("select * from trail order by rowid desc limit ?", (most,)).fetchall()
        return [
            {"at": at, "who": who, "what": what, "on": on_what, "facts": json.loads(facts)}
            for at, who, what, on_what, facts in rows
        ]

    def _active(self, id_: str) -> Key:
        found = next((key for key in self.every() if key.id == id_), None)
        if found is None or found.state(self._clock.time()) != "active":
            raise InvalidRequest("there is no active key with that id")
        return found

    def _insert(self, text: str, key: Key) -> None:
        self._database.execute(
            "insert into keys values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key.id, self._digest(text), key.name, key.tenant, key.tier, json.dumps(list(key.permissions)),
                json.dumps(list(key.models)), key.created, key.expires, key.revoked,
            ),
        )  # fmt: skip

    @contextmanager
    def _changing(self, who: str, what: str, on_what: str, facts: Mapping[str, Any]) -> Generator[None]:
        """One change and its line in the trail, both or neither."""
        with self._lock:
            self._database.execute("begin immediate")
            try:
                yield
                line = (self._clock.time(), who, what, on_what, json.dumps(dict(facts)))
                self._database.execute("insert into trail values (?, ?, ?, ?, ?)", line)
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")
            self._looked = float("-inf")


_COLUMNS = "id, name, tenant, tier, permissions, models, created, expires, revoked"


def _key(row: Sequence[Any]) -> Key:
    id_, name, tenant, tier, permissions, models, created, expires, revoked = row
    return Key(
        id=id_, name=name, tenant=tenant, tier=tier, permissions=tuple(json.loads(permissions)),
        models=tuple(json.loads(models)), created=created, expires=expires, revoked=revoked,
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
