"""Which of a caller's header fields may travel to a host the caller did not address."""

from __future__ import annotations

import re
from functools import lru_cache

from ..message import Headers, Pairs

# What belongs to the caller's connection, account or library; and all that smells of a credential.
_HELD = frozenset(
    {
        "accept",
        "accept-encoding",
        "anthropic-user-profile-id",
        "anthropic-workspace-id",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "openai-organization",
        "openai-project",
        "origin",
        "range",
        "referer",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
    }
)
_FAMILIES = ("x-stainless-", "x-llm-edge-", "x-goog-", "x-amz-", "x-ms-", "x-forwarded-", "proxy-", "cf-", "sec-")
_SECRET = re.compile(r"auth|token|secret|key|cookie|credential|passw|session|signature|jwt")
_FINE = frozenset({"idempotency-key"})
IN_SCOPE = ("authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie")
"""The fields that providers' own SDKs carry a credential in: a request's scope is their fingerprint."""


def passable(headers: Headers) -> Pairs:
    """The fields that may travel on."""
    return tuple(pair for pair in headers.pairs if _may_travel(pair[0].lower()))


@lru_cache(maxsize=1024)
def secret(name: str) -> bool:
    """Whether a field of this (lower-case) name smells of a credential."""
    return name not in _FINE and _SECRET.search(name) is not None


@lru_cache(maxsize=1024)
def _may_travel(name: str) -> bool:
    if name in _FINE:
        return True
    return not (name in _HELD or name.startswith(_FAMILIES) or _SECRET.search(name))
