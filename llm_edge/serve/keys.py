"""
API keys: made, found, rotated and ended; and the trail of every change.

A key is 256 random bits, shown once. What is kept is an HMAC of it, by a pepper that is kept elsewhere; keys are found
by that digest, so nothing is compared that could tell by its time how much was right. A key that somebody brings may be
short and guessable: of those argon2id is kept, which takes a guesser 20 ms a guess. Its salt is made of the pepper, so
that such a key is found by its digest too; what was once found out is remembered, by HMAC. Where keys rest is
`keyfile.py` or `keyredis.py`.
"""

from __future__ import annotations

import hmac
import json
import secrets
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol

from ..errors import EdgeError, InvalidRequest
from ..runtime import Clock, mind_forks
from .callers import CALL, PERMISSIONS, Caller
from .problems import NoKeysNow

PREFIX = "sk-edge-"
OVERLAP = 86_400.0
"""Seconds for which a rotated key still opens."""
FRESH = 0.4
"""Seconds for which the keys read are believed to be all: a key revoked elsewhere is dead within a second."""
STALE = 60.0
"""Seconds for which they are believed when the store cannot be asked."""
PATIENCE = 5.0
"""Seconds for which a change waits for another one, and whoever reads what has to be the newest."""
SHORTEST = 8
"""Characters of a key that is brought."""


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
    stretched: bool = False
    """Brought by somebody, and kept as argon2id."""

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


class Line(NamedTuple):
    """One change, as the trail has it."""

    at: float
    who: str
    what: str
    on_what: str
    facts: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """All that a store holds but the trail: keys by digest, and settings by name."""

    keys: Mapping[bytes, Key] = field(default_factory=dict[bytes, Key])
    settings: Mapping[str, str] = field(default_factory=dict[str, str])


class Rest(Protocol):
    """
    Where keys, settings and the trail rest. What cannot be asked raises NoKeysNow, as does one that others write to
    for longer than the patience.
    """

    pepper: bytes
    remote: bool
    """Whether a look takes longer than a caller should wait."""

    def version(self, patience: float, /) -> object:
        """Changes when anything does."""
        ...

    def read(self, patience: float, /) -> Kept: ...

    def change(self, keys: Mapping[bytes, Key], settings: Mapping[str, str | None], line: Line) -> None:
        """Keys and settings (None takes one away) and the line in the trail, all or nothing."""
        ...

    def trail(self, most: int) -> list[Line]:
        """The newest first."""
        ...

    def close(self) -> None: ...


class KeyStore:
    """Makes, finds and ends keys; keeps what was set while it runs, and who did what."""

    remembers = 4096
    """Texts shown at the door whose digest is not worked out again."""

    def __init__(self, rest: Rest, clock: Clock, *, patient: bool = False) -> None:
        """Raises NoKeysNow when the store cannot be asked; with `patient` callers are told so until it can."""
        self._rest, self._clock = rest, clock
        self._begin()
        try:
            self._refresh()
        except NoKeysNow:
            if not patient:
                raise
        mind_forks(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._kept: Kept = Kept()
        self._has_stretched = False
        self._looked = self._heard = float("-inf")
        self._version: object = None
        self._stretched: dict[bytes, bytes] = {}
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    after_fork = _begin

    def close(self) -> None:
        self._closed.set()
        if self._thread is not None:
            self._thread.join(5)
        self._rest.close()

    # ------------------------------------------------------------------ at the door

    def find(self, key: str) -> Key | None:
        """The key behind this text, if it opens now. Raises NoKeysNow when nobody can tell."""
        return self._open(self._all().keys.get(self._digest(key)))

    @property
    def has_stretched(self) -> bool:
        """Whether a key that `find` does not find may be one that was brought."""
        self._all()
        return self._has_stretched

    def remembered(self, key: str) -> tuple[bool, Key | None]:
        """The same for a key that was brought: whether it is known at once, and what it opens."""
        digest = self._stretched.get(self._digest(key))
        return digest is not None, None if digest is None else self._open(self._all().keys.get(digest))

    def stretch(self, key: str) -> bytes:
        """argon2id of a key, remembered; to be called in a thread, for it takes a while."""
        from argon2.low_level import Type, hash_secret_raw

        raw, salt = key.encode("utf-8", "surrogatepass"), hmac.digest(self._rest.pepper, b"argon2", "sha256")[:16]
        # OWASP's second choice: 19 MiB, two passes, one lane.
        found = hash_secret_raw(raw, salt, time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, type=Type.ID)
        while len(self._stretched) >= self.remembers:
            self._stretched.pop(next(iter(self._stretched)), None)
        self._stretched[self._digest(key)] = found
        return found

    def settings(self) -> Mapping[str, str]:
        """What was set while it runs, by name; the very same mapping as long as nothing changes."""
        return self._all().settings

    def _open(self, found: Key | None) -> Key | None:
        return found if found is not None and found.state(self._clock.time()) == "active" else None

    def _digest(self, key: str) -> bytes:
        return hmac.digest(self._rest.pepper, key.encode("utf-8", "surrogatepass"), "sha256")

    def _all(self) -> Kept:
        if self._rest.remote:
            if self._thread is None:
                self._look_after()
                if self._heard == float("-inf"):
                    self._refresh()  # in a forked child
        elif self._clock.now() - self._looked >= FRESH:
            try:
                self._refresh(patience=0)  # no call waits for a change that is being written
            except NoKeysNow:
                pass  # what is known is believed for a while
        if self._clock.now() - self._heard > STALE:
            raise NoKeysNow("the store of the keys cannot be asked now")
        return self._kept

    def _refresh(self, patience: float = PATIENCE) -> None:
        self._looked = self._clock.now()
        if not self._lock.acquire(timeout=patience):
            raise NoKeysNow("the keys are being read just now; ask again")
        try:
            version = self._rest.version(patience)
            if version != self._version or self._heard == float("-inf"):
                self._take(self._rest.read(patience))
                self._version = version
            self._heard = self._clock.now()
        finally:
            self._lock.release()

    def _take(self, kept: Kept) -> None:
        if kept.settings == self._kept.settings:
            kept = replace(kept, settings=self._kept.settings)
        self._has_stretched = any(key.stretched for key in kept.keys.values())
        self._kept = kept

    def _look_after(self) -> None:
        """From now on a thread asks the store, and no caller waits for it."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="llm_edge keys", daemon=True)
                self._thread.start()

    def _look(self) -> None:
        while True:
            try:
                self._refresh()
            except EdgeError:
                pass  # what is known is believed for a while
            if self._closed.wait(FRESH):
                return

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
        brought: str | None = None,
    ) -> tuple[str, Key]:
        """A new key, or one that is `brought`: the key itself, never to be seen again, and what is known of it."""
        if unknown := set(permissions) - PERMISSIONS:
            known = ", ".join(sorted(PERMISSIONS))
            raise InvalidRequest(f"`permissions` has {min(unknown)!r}, which is none; there are {known}")
        for field_, text in (
            ("name", name),
            ("tenant", tenant),
            ("tier", tier),
            *(("models", each) for each in models),
        ):
            if len(text) > 200 or not text.isprintable():
                raise InvalidRequest(f"`{field_}` must be printable text of at most 200 characters")
        if days is not None and not 0 < days < 36_500:
            raise InvalidRequest("`days` must be more than 0 and less than 36500")
        if brought is not None:
            _check_brought(brought)
        now, id_ = self._clock.time(), f"key_{secrets.token_hex(8)}"
        made = Key(
            id=id_, name=name, tenant=tenant or id_, tier=tier, permissions=tuple(permissions), models=tuple(models),
            created=now, expires=None if days is None else now + days * 86_400, stretched=brought is not None,
        )  # fmt: skip
        text, there = brought or PREFIX + secrets.token_urlsafe(32), self._read().keys
        digest = self.stretch(text) if brought else self._digest(text)
        if digest in there:
            raise InvalidRequest("that key is there already")
        facts = {"tenant": made.tenant, "permissions": list(permissions), **({"brought": True} if brought else {})}
        self._change(who, "keys.create", id_, facts, {digest: made})
        return text, made

    def rotate(self, who: str, id_: str, overlap: float = OVERLAP) -> tuple[str, Key]:
        """A new key in an old one's place; the old one opens for `overlap` seconds more."""
        if not 0 <= overlap <= 90 * 86_400:
            raise InvalidRequest("`overlap` must be a number of seconds from 0 to 90 days")
        digest, old = self._active(id_)
        now, fresh = self._clock.time(), f"key_{secrets.token_hex(8)}"
        ends = now + overlap if old.expires is None else min(old.expires, now + overlap)
        made, text = replace(old, id=fresh, created=now, stretched=False), PREFIX + secrets.token_urlsafe(32)
        changed = {digest: replace(old, expires=ends), self._digest(text): made}
        self._change(who, "keys.rotate", id_, {"new": fresh, "overlap": overlap}, changed)
        return text, made

    def revoke(self, who: str, id_: str) -> None:
        """The key opens no more."""
        digest, old = self._active(id_)
        self._change(who, "keys.revoke", id_, {}, {digest: replace(old, revoked=self._clock.time())})

    def of_tenant(self, who: str, tenant: str, *, tier: str | None = None, revoked: bool = False) -> int:
        """All active keys of a tenant: given a tier, or ended. Says how many there were."""
        now = self._clock.time()
        mine = {
            digest: key for digest, key in self._read().keys.items()
            if key.tenant == tenant and key.state(now) == "active"
        }  # fmt: skip
        if not mine:
            raise InvalidRequest("there is no active key of that tenant")
        if tier is not None and (len(tier) > 200 or not tier.isprintable()):
            raise InvalidRequest("`tier` must be printable text of at most 200 characters")
        changed = {
            digest: replace(key, revoked=now if revoked else key.revoked, tier=key.tier if tier is None else tier)
            for digest, key in mine.items()
        }
        what, facts = ("tenants.revoke", {}) if revoked else ("tenants.change", {"tier": tier})
        self._change(who, what, tenant, {"keys": len(mine), **facts}, changed)
        return len(mine)

    def set(self, who: str, name: str, value: Mapping[str, Any] | None) -> None:
        """A setting changed while it runs; None takes the change back."""
        what = "settings.reset" if value is None else "settings.change"
        written = None if value is None else json.dumps(dict(value))
        self._change(who, what, name, value or {}, {}, {name: written})

    def every(self) -> list[Key]:
        """All keys there ever were, oldest first."""
        return sorted(self._read().keys.values(), key=lambda key: key.created)

    def note(self, who: str, what: str, on_what: str, facts: Mapping[str, Any]) -> None:
        """A change that is not of a key, for the trail."""
        self._change(who, what, on_what, facts, {})

    def trail(self, most: int = 100) -> list[dict[str, Any]]:
        """The newest changes first."""
        return [
            {"at": line.at, "who": line.who, "what": line.what, "on": line.on_what, "facts": line.facts}
            for line in self._rest.trail(most)
        ]

    def _read(self) -> Kept:
        self._refresh()
        return self._kept

    def _active(self, id_: str) -> tuple[bytes, Key]:
        for digest, key in self._read().keys.items():
            if key.id == id_ and key.state(self._clock.time()) == "active":
                return digest, key
        raise InvalidRequest("there is no active key with that id")

    def _change(
        self, who: str, what: str, on_what: str, facts: Mapping[str, Any], keys: Mapping[bytes, Key],
        settings: Mapping[str, str | None] | None = None,
    ) -> None:  # fmt: skip
        self._rest.change(keys, settings or {}, Line(self._clock.time(), who, what, on_what, facts))
        self._version = None  # one's own changes leave the version as it was
        self._refresh()


def _check_brought(text: str) -> None:
    if not SHORTEST <= len(text) <= 200 or not text.isascii() or not text.isprintable() or " " in text:
        raise InvalidRequest(f"a key that is brought must be {SHORTEST} to 200 visible ASCII characters")
