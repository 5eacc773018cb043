"""
AWS Signature Version 4: a request signed so that AWS knows who sent it, and that nobody changed it.

Signed are the method, the address, the body, and of the headers only those that no HTTP engine adds or
rewrites on the way. The path is encoded once more for the signature than on the wire: every service but
S3 wants it so.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, urlsplit

from .base import Wire

ALGORITHM = "AWS4-HMAC-SHA256"
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class AccessKeys:
    """What AWS knows an account or a role by."""

    access_key_id: str
    secret_access_key: str = field(repr=False)
    session_token: str = field(default="", repr=False)


def signed(wire: Wire, keys: AccessKeys, *, region: str, service: str, now: float) -> Wire:
    """The same request with its signature, good for five minutes around `now` (seconds since 1970)."""
    moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = wire.headers.without("authorization", "x-amz-date", "x-amz-security-token")
    dated = {"x-amz-date": moment}
    if keys.session_token:
        dated["x-amz-security-token"] = keys.session_token
    headers = headers.having(dated)
    vouched = {"host": _host(wire.url), **{name: headers[name] for name in headers if _is_signed(name)}}
    names = ";".join(sorted(vouched))
    scope = f"{moment[:8]}/{region}/{service}/aws4_request"
    text = "\n".join((ALGORITHM, moment, scope, _sha256(_canonical(wire, vouched, names).encode())))
    key = _key(keys.secret_access_key, moment[:8], region, service)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    shown = f"{ALGORITHM} Credential={keys.access_key_id}/{scope}, SignedHeaders={names}, Signature={signature}"
    return replace(wire, headers=headers.having({"authorization": shown}))


def signed_names(authorization: str) -> frozenset[str]:
    """The headers a signature vouches for; none when it is another kind of credential."""
    if not authorization.startswith(ALGORITHM):
        return frozenset()
    _, _, rest = authorization.partition("SignedHeaders=")
    return frozenset(rest.partition(",")[0].strip().lower().split(";"))


def _is_signed(name: str) -> bool:
    return name == "content-type" or name.startswith("x-amz")


def _canonical(wire: Wire, vouched: Mapping[str, str], names: str) -> str:
    parts = urlsplit(wire.url)
    pairs = sorted((name, value) for name, _, value in (pair.partition("=") for pair in parts.query.split("&") if pair))
    lines = [f"{name}:{' '.join(vouched[name].split())}" for name in sorted(vouched)]
    return "\n".join(
        (
            wire.method,
            quote(_plain(parts.path), safe="/~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *lines,
            "",
            names,
            _sha256(wire.content),
        )
    )


def _plain(path: str) -> str:
    """The path as servers take it: without empty and dotted segments."""
    kept: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return f"/{'/'.join(kept)}{'/' if kept and path.endswith('/') else ''}"


def _host(url: str) -> str:
    parts = urlsplit(url)
    name = parts.netloc.rpartition("@")[2].lower()
    return name.removesuffix(f":{_PORTS.get(parts.scheme, 0)}")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@lru_cache(maxsize=64)
def _key(secret: str, day: str, region: str, service: str) -> bytes:
    """The day's key; deriving it takes four rounds, and every call of that day uses it."""
    key = b"AWS4" + secret.encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return key
