"""
Tokens (JWT) of one issuer, checked as strictly as they can be.

One family of algorithms, decided by the configuration and never by the token. `exp`, `iss`, `aud` and `sub` must be
there; what the header says of where a key may be found is not looked at; a claim that stands twice is no claim. The
issuer's keys are fetched in a thread, at most every thirty seconds. When a minute old they are asked for anew, beside
the calls, so that a key the issuer takes back opens no more; they are believed for an hour when it cannot be asked.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

from ..config import ServeJwtConfig
from ..errors import ConfigError, InvalidRequest
from ..exact import is_list, is_object
from ..runtime import Clock
from .callers import CALL, PERMISSIONS, Caller
from .intake import json_object
from .problems import Unauthenticated

log = logging.getLogger("llm_edge.serve")

LARGEST = 8 * 1024
REFRESH, FRESH, STALE = 30.0, 60.0, 3600.0
"""Seconds between two looks at the issuer's keys; after which they are asked for anew; and for which old ones are
believed when it cannot be asked."""
_PAGE, _PATIENCE = 256 * 1024, 5.0

_FAMILIES: Mapping[str, Sequence[str]] = {
    "RSA": ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    "EC": ("ES256", "ES384", "ES512"),
    "OKP": ("EdDSA",),
}
Fetch = Callable[[str], Mapping[str, Any]]


def fetched(url: str, seconds: float = 2 * _PATIENCE) -> Mapping[str, Any]:
    """A JSON object from an issuer, which has so many seconds. Raises OSError or ValueError; follows no redirect."""
    if not url.startswith(("https://", "http://127.0.0.1:", "http://localhost:")):
        raise ValueError("an issuer's keys come over https only")
    opener = urllib.request.build_opener(_NoRedirect)
    ends, raw = time.monotonic() + seconds, b""
    with opener.open(url, timeout=_PATIENCE) as answer:
        while piece := answer.read1(_PAGE):  # a server that drips would never be late for one piece
            raw += piece
            if len(raw) > _PAGE:
                raise ValueError("an issuer's page is too large")
            if time.monotonic() >= ends:
                raise TimeoutError("an issuer's page is too slow")
    found = json.loads(raw)
    if not is_object(found):
        raise ValueError("an issuer's page is no JSON object")
    return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def http_error_302(self, req: Any, fp: Any, code: Any, msg: Any, headers: Any) -> None:  # types are urllib's own
        return None  # then it is an error like any other

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


@dataclass(slots=True)
class Issuer:
    """Checks tokens. Raises ConfigError at once when its key cannot be used."""

    config: ServeJwtConfig
    clock: Clock
    secret: str | None = None
    fetch: Fetch = fetched
    _keys: Mapping[str, jwt.PyJWK] = field(default_factory=dict[str, jwt.PyJWK])
    _asked: float = float("-inf")
    _told: float = float("-inf")
    _asking: asyncio.Lock | None = None
    _asks: asyncio.Task[None] | None = None
    _pem: Any = None  # the key as its own library has it
    _algorithms: Sequence[str] = ("HS256",)

    def __post_init__(self) -> None:
        if self.config.public_key_file is not None:
            self._pem, self._algorithms = _public_key(self.config.public_key_file)

    async def caller(self, token: str) -> Caller:
        """Whom a token speaks for. Raises Unauthenticated, always with the same words."""
        try:
            return _caller(await self._claims(token))
        except (jwt.PyJWTError, InvalidRequest, ValueError, TypeError, RecursionError, _NoKey) as error:
            log.info("a token was refused: %s", type(error).__name__)
            raise Unauthenticated("the token is not valid here") from None

    async def _claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > LARGEST:
            raise ValueError("too long")
        parts = token.split(".")
        if len(parts) != 3:
            raise ValueError("not three parts")
        head, said = json_object(_part(parts[0])), json_object(_part(parts[1]))  # no key twice, nothing deep
        if "crit" in head or str(head.get("typ", "JWT")).lower() not in {"jwt", "at+jwt"}:
            raise ValueError("a header we do not follow")
        key, algorithms = await self._key(head)
        _strings(said, "iss", "sub")
        claims: Mapping[str, Any] = jwt.decode(
            token, key, algorithms=list(algorithms), issuer=self.config.issuer, audience=self.config.audience,
            leeway=self.config.leeway,
            options={"require": ["exp", "iss", "aud", "sub"], "enforce_minimum_key_length": True},
        )  # fmt: skip
        return claims

    async def _key(self, head: Mapping[str, Any]) -> tuple[Any, Sequence[str]]:
        if self.secret is not None:
            return self.secret, self._algorithms
        if self._pem is not None:
            return self._pem, self._algorithms
        kid = head.get("kid")
        if not isinstance(kid, str):
            raise ValueError("no kid")
        if kid not in self._keys or self.clock.now() - self._told > STALE:
            await self._refresh()
        elif self.clock.now() - self._told >= FRESH and (self._asks is None or self._asks.done()):
            self._asks = asyncio.get_running_loop().create_task(self._refresh())
        if kid not in self._keys or self.clock.now() - self._told > STALE:
            raise _NoKey
        key = self._keys[kid]
        return key.key, _FAMILIES[str(key.key_type)]

    async def _refresh(self) -> None:
        self._asking = self._asking or asyncio.Lock()
        async with self._asking:
            if self.clock.now() - self._asked < REFRESH:
                return
            self._asked = self.clock.now()
            try:
                self._keys = await asyncio.to_thread(self._fetched)
                self._told = self.clock.now()
            except (OSError, ValueError, jwt.PyJWTError) as error:
                log.warning("the issuer's keys could not be read: %s", type(error).__name__)

    def _fetched(self) -> Mapping[str, jwt.PyJWK]:
        url = self.config.jwks_url
        if url is None:
            assert self.config.issuer is not None, "there is no issuer without one"
            page = self.fetch(f"{self.config.issuer.rstrip('/')}/.well-known/openid-configuration")
            if page.get("issuer") != self.config.issuer:
                raise ValueError("the discovery is of another issuer")
            url = str(page.get("jwks_uri"))
        listed = self.fetch(url).get("keys")
        if not is_list(listed):
            raise ValueError("the page holds no keys")
        return {kid: key for each in listed[:100] if is_object(each) for kid, key in _usable(each)}


def _usable(told: Mapping[str, Any]) -> list[tuple[str, jwt.PyJWK]]:
    """One of an issuer's keys by its name; nothing where it is of a kind that is not taken here."""
    kind, kid = told.get("kty"), told.get("kid")
    if told.get("use", "sig") != "sig" or not isinstance(kind, str) or kind not in _FAMILIES or not kid:
        return []
    if "d" in told:
        log.warning("one of the issuer's keys is not used: its private half stands there, for everybody to sign with")
        return []
    try:
        return [(str(kid), jwt.PyJWK.from_dict(dict(told)))]
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        log.info("one of the issuer's keys cannot be used: %s", type(error).__name__)
        return []


class _NoKey(Exception):
    """The issuer has no key of that name."""


def _part(text: str) -> bytes:
    """One of a token's parts. ValueError when it is no base64."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _strings(claims: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if not isinstance(claims.get(name), str) or not claims[name]:
            raise ValueError(f"{name} is no text")
        if not claims[name].isprintable():
            raise ValueError(f"{name} holds what no name does")  # it would stand in logs and metrics


def _caller(claims: Mapping[str, Any]) -> Caller:
    for name in ("tenant", "tier"):
        if name in claims:
            _strings(claims, name)
    asked = claims.get("permissions", [CALL])
    models = claims.get("models", [])
    if not is_list(asked) or not is_list(models) or not all(isinstance(each, str) for each in [*asked, *models]):
        raise ValueError("permissions and models are lists of texts")
    subject: str = claims["sub"]
    return Caller(
        name=subject[:200], scope=f"jwt:{subject}", tier=claims.get("tier", ""),
        tenant=claims.get("tenant", f"jwt:{subject}"),  # a prefix, or a subject could name another's tenant
        permissions=PERMISSIONS & frozenset(asked), models=tuple(models),
    )  # fmt: skip


def _public_key(file: Path) -> tuple[Any, Sequence[str]]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(file.read_bytes())
    except (OSError, ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"serve.auth.jwt.public_key_file: {file} is no public key as PEM.") from None
    if isinstance(key, RSAPublicKey) and key.key_size >= 2048:
        return key, _FAMILIES["RSA"]
    if isinstance(key, EllipticCurvePublicKey):
        return key, _FAMILIES["EC"]
    if isinstance(key, Ed25519PublicKey):
        return key, _FAMILIES["OKP"]
    raise ConfigError(f"serve.auth.jwt.public_key_file: {file} is neither RSA of 2048 bits, EC nor Ed25519.")
