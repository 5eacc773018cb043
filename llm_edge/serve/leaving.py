"""
The header fields of an answer as they leave the house.

A caller is told what concerns it; all else is between us and the provider. What answers from the cache have in common
is written down once.
"""

from __future__ import annotations

from functools import lru_cache

from ..http.face import Front
from ..message import Pairs, Request, Response
from .wire import RawPairs, guards

_TOLD = frozenset({
    b"content-type", b"request-id", b"x-request-id", b"retry-after", b"retry-after-ms", b"x-should-retry",
    b"openai-model", b"openai-processing-ms", b"openai-version",
})  # fmt: skip
_TOLD_FAMILIES = (b"x-llm-edge-", b"x-ratelimit-", b"anthropic-ratelimit-")


def told(pairs: RawPairs, scheme: str) -> RawPairs:
    """The fields of a refusal."""
    kept = [pair for pair in pairs if (name := pair[0].lower()) in _TOLD or name.startswith(_TOLD_FAMILIES)]
    return [*kept, *guards(scheme)]


def fields(front: Front, call: Request, response: Response, scheme: str) -> RawPairs:
    """The fields of an answer, with what we have to say about it."""
    notes = call.notes
    pairs, limited = response.headers.pairs, bool(notes.limits)
    kept = _again(pairs, limited, scheme) if notes.cache == "HIT" else _kept(pairs, limited, scheme)
    return [*kept, *[(_raw(name), value.encode()) for name, value in front.told(notes)]]


def _kept(pairs: Pairs, limited: bool, scheme: str) -> RawPairs:
    found = [(raw, value.encode()) for name, value in pairs if (raw := _leaves(name, limited)) is not None]
    return [*found, *guards(scheme)]


_again = lru_cache(maxsize=1024)(_kept)
"""An entry of the cache has the same fields each time."""


@lru_cache(maxsize=512)
def _leaves(name: str, limited: bool) -> bytes | None:
    """A field's name as it leaves the house; None for one that stays: the provider's limit, too, where ours counts."""
    raw = name.lower().encode()
    if raw.startswith(b"x-llm-edge-") or (limited and raw.startswith(b"x-ratelimit-")):
        return None
    return raw if raw in _TOLD or raw.startswith(_TOLD_FAMILIES) else None


@lru_cache(maxsize=64)
def _raw(name: str) -> bytes:
    return name.encode()
