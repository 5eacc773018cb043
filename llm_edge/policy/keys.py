"""
What makes two calls the same call.

The key is SHA-256, whole, over one canonical form of everything that can change the answer.
Fields we have never heard of count. `1`, `1.0` and `true` differ, since their JSON does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import orjson

SCHEMA: Final = "1"
"""Changes whenever the key or what is kept under it changes meaning."""

LEFT_OUT: Final[Mapping[str, str]] = {
    "metadata": "labels for the provider's dashboard; the model does not see them",
    "user": "names the end user for abuse detection; the model does not see it",
    "safety_identifier": "the successor of `user`",
    "prompt_cache_key": "steers the provider's own prompt cache: price and speed, not the answer",
    "prompt_cache_retention": "the same",
}
"""Fields of a request that do not change its answer, each with the reason."""

_SEPARATOR = b"\x00"


def fingerprint(*parts: str) -> str:
    """A short public name for something secret or long; the same parts, the same name."""
    return hashlib.sha256(_SEPARATOR.join(part.encode("utf-8", "surrogatepass") for part in parts)).hexdigest()[:16]


def answer_key(body: Mapping[str, Any], *context: str) -> str:
    """The key of one call: its body, and the words for everything around it. ValueError for what is not JSON."""
    if not LEFT_OUT.keys().isdisjoint(body):
        body = {name: value for name, value in body.items() if name not in LEFT_OUT}
    try:
        canonical = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise ValueError(f"this body has no canonical form: {error}") from None
    digest = hashlib.sha256(SCHEMA.encode())
    for part in context:
        encoded = part.encode("utf-8", "surrogatepass")
        # Lengths keep ("ab", "c") and ("a", "bc") apart.
        digest.update(b"%d:" % len(encoded) + encoded)
    digest.update(canonical)
    return digest.hexdigest()
