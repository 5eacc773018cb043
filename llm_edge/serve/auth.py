"""The door: who shows a key or a token we know is let in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from ..config import EdgeConfig, follow
from ..config.auth import wrong_in_caller_key, wrong_in_jwt_secret
from ..message import Headers
from ..runtime import Clock
from .callers import Caller, Door, OpenDoor
from .keys import KeyStore
from .problems import Unauthenticated
from .tokens import Issuer

_HEADERS = ("x-api-key", "api-key", "x-goog-api-key")
_LONGEST = 8 * 1024


class LockedDoor:
    """Lets in who shows a key of the configuration, a key of the database, or a token of the issuer."""

    open = False

    def __init__(self, fixed: Mapping[bytes, Caller], keys: KeyStore | None, issuer: Issuer | None) -> None:
        self._fixed, self.keys, self._issuer = fixed, keys, issuer

    async def admit(self, headers: Headers, /) -> Caller:
        """Raises Unauthenticated, in words that do not say how near it was."""
        shown = _shown(headers)
        # Digests are looked up, never compared: how long it takes says nothing about a key.
        caller = self._fixed.get(hashlib.sha256(shown.encode("utf-8", "surrogatepass")).digest())
        if caller is not None:
            return caller
        if self.keys is not None and (key := self.keys.find(shown)) is not None:
            return key.caller()
        if self._issuer is not None and shown.count(".") == 2:
            return await self._issuer.caller(shown)
        raise Unauthenticated("the key is not valid here")


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


def door_of(config: EdgeConfig, env: Mapping[str, str], clock: Clock) -> Door:
    """The door as configured. Raises ConfigError for what cannot be used."""
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
    keys = None if auth.database is None else KeyStore(auth.database, clock)
    return LockedDoor(fixed, keys, issuer)
