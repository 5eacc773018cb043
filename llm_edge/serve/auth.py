"""The door: who shows a key or a token we know is let in."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Mapping

from ..config import EdgeConfig, follow
from ..config.auth import wrong_in_caller_key, wrong_in_jwt_secret
from ..config.values import wrong_in_redis
from ..errors import ConfigError, EdgeError, RateLimited
from ..message import Headers
from ..runtime import Clock
from ..stores.places import place
from .callers import Caller, Door, OpenDoor
from .keyfile import KeyFile
from .keyredis import KeyRedis
from .keys import Key, KeyStore
from .problems import NoKeysNow, Unauthenticated
from .tokens import Issuer

_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
_LONGEST = 8 * 1024
_GUESSES = 16
"""Unknown keys that may wait to be looked at, where keys that people brought are known."""


class LockedDoor:
    """Lets in who shows a key of the configuration, a key of the database, or a token of the issuer."""

    open = False

    def __init__(self, fixed: Mapping[bytes, Caller], keys: KeyStore | None, issuer: Issuer | None) -> None:
        self._fixed, self.keys, self._issuer = fixed, keys, issuer
        self._callers: dict[str, tuple[Key, Caller]] = {}
        self._guesses = 0
        self._turn: asyncio.Lock | None = None

    async def admit(self, headers: Headers, /) -> Caller:
        """Raises Unauthenticated, in words that do not say how near it was."""
        shown = _shown(headers)
        # Digests are looked up, never compared: how long it takes says nothing about a key.
        caller = self._fixed.get(hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest())
        if caller is not None:
            return caller
        token = self._issuer is not None and shown.count(".") == 2
        try:
            if self.keys is not None and (key := self.keys.find(shown)) is not None:
                return self._caller(key)
        except NoKeysNow:
            if not token:
                raise
        if self._issuer is not None and token:
            return await self._issuer.caller(shown)
        if self.keys is not None and self.keys.has_stretched and (key := await self._brought(self.keys, shown)):
            return self._caller(key)
        raise Unauthenticated("the key is not valid here")

    def _caller(self, key: Key) -> Caller:
        """Who shows a key; the same object for as long as nothing of the key changes."""
        known = self._callers.get(key.id)
        if known is None or known[0] is not key:
            known = self._callers[key.id] = (key, key.caller())
        return known[1]

    async def _brought(self, keys: KeyStore, shown: str) -> Key | None:
        """A key that somebody brought. One at a time is worked out: guessers wait for each other."""
        known, key = keys.remembered(shown)
        if known:
            return key
        if self._guesses >= _GUESSES:
            raise RateLimited("too many unknown keys are shown at once", retry_after=1.0)
        self._guesses += 1
        try:
            self._turn = self._turn or asyncio.Lock()
            async with self._turn:
                known, key = keys.remembered(shown)
                if not known:
                    await asyncio.to_thread(keys.stretch, shown)
            return keys.remembered(shown)[1]
        finally:
            self._guesses -= 1


def _shown(headers: Headers) -> str:
    """The one credential that a request shows."""
    found = {value for name in _HEADERS if (value := headers.get(name))}
    bearer = headers.get("authorization", "")
    if bearer:
        kind, _, value = bearer.partition(" ")
        if kind.lower() != "bearer":
            raise Unauthenticated("show a key as `authorization: Bearer …` or `x-api-key: …`")
        found.add(value.strip())
    if not found or found == {""}:
        raise Unauthenticated("no key was shown: send `authorization: Bearer …` or `x-api-key: …`")
    if len(found) > 1:
        raise Unauthenticated("two different keys were shown; show one")
    (one,) = found
    if len(one) > _LONGEST:
        raise Unauthenticated("the key is not valid here")
    return one


def door_of(config: EdgeConfig, env: Mapping[str, str], clock: Clock, *, patient: bool = False) -> Door:
    """
    The door as configured. Raises ConfigError for what cannot be used.

    A `patient` one begins without its store of keys, too, and takes it up when it can be used.
    """
    auth = config.serve.auth
    if not auth.on:
        return OpenDoor()
    path = ("serve", "auth", "keys")
    texts = follow(config, env, [((*path, at), key, wrong_in_caller_key) for at, key in enumerate(auth.keys)])
    fixed: dict[bytes, Caller] = {}
    for secret in texts:
        text = secret.get_secret_value()
        digest = bytes.fromhex(text[7:]) if text.startswith("sha256:") else hashlib.sha256(text.encode()).digest()
        name = f"fixed-{digest.hex()[:8]}"
        fixed[digest] = Caller(name=name, scope=name, tenant=name)
    issuer = None
    if auth.jwt.issuer:
        where = ("serve", "auth", "jwt", "secret")
        given = [] if auth.jwt.secret is None else [(where, auth.jwt.secret, wrong_in_jwt_secret)]
        found = follow(config, env, given)
        issuer = Issuer(auth.jwt, clock, found[0].get_secret_value() if found else None)
    return LockedDoor(fixed, store_of(config, env, clock, patient=patient), issuer)


def store_of(config: EdgeConfig, env: Mapping[str, str], clock: Clock, *, patient: bool = False) -> KeyStore | None:
    """Where keys are kept; None for nowhere. Raises ConfigError when that place cannot be used."""
    auth = config.serve.auth
    if auth.database is not None:
        try:
            return KeyStore(KeyFile(auth.database, there=patient), clock, patient=patient)
        except NoKeysNow:
            raise ConfigError(
                f"serve.auth.database ({config.place(('serve', 'auth', 'database'))}): {auth.database} is damaged."
                " Put back a copy, together with its pepper."
            ) from None
    if auth.redis is None or auth.pepper is None:
        return None
    path = ("serve", "auth")
    url, pepper = follow(
        config, env,
        [((*path, "redis"), auth.redis, wrong_in_redis), ((*path, "pepper"), auth.pepper, wrong_in_jwt_secret)],
    )  # fmt: skip
    where = place(url.get_secret_value(), ca_file=auth.redis_ca_file)
    rest = KeyRedis(where, prefix=auth.redis_prefix, pepper=pepper.get_secret_value().encode())
    try:
        return KeyStore(rest, clock, patient=patient)
    except EdgeError as error:
        rest.close()
        raise ConfigError(
            f"serve.auth.redis ({config.place((*path, 'redis'))}): {error}. Start it, or mend the address."
        ) from None
