"""What providers say about their limits in the header fields of an answer."""

from __future__ import annotations

from datetime import UTC, datetime

from ..message import Headers
from ..policy.durations import seconds
from ..policy.throttle import Reading, What

_OPENAI: tuple[What, ...] = ("requests", "tokens")
_ANTHROPIC: tuple[What, ...] = ("requests", "tokens", "input-tokens", "output-tokens")
TELLING = frozenset({
    "x-ratelimit-remaining-requests", "x-ratelimit-remaining-tokens", "anthropic-ratelimit-requests-remaining",
    "anthropic-ratelimit-tokens-remaining",
})  # fmt: skip
"""An answer without these says nothing of limits."""
_MOST = 1e12


def readings(headers: Headers, time: float) -> list[Reading]:
    """The buckets an answer tells of; `time` is now, in seconds since 1970. What makes no sense says nothing."""
    found: list[Reading] = []
    if headers.lack(TELLING):
        return found
    if "x-ratelimit-remaining-requests" in headers or "x-ratelimit-remaining-tokens" in headers:
        for what in _OPENAI:
            limit, left = (_number(headers.get(f"x-ratelimit-{word}-{what}")) for word in ("limit", "remaining"))
            _add(found, what, limit, left, seconds(headers.get(f"x-ratelimit-reset-{what}", "")))
    elif "anthropic-ratelimit-requests-remaining" in headers or "anthropic-ratelimit-tokens-remaining" in headers:
        for what in _ANTHROPIC:
            limit, left = (
                _number(headers.get(f"anthropic-ratelimit-{what}-{word}")) for word in ("limit", "remaining")
            )
            _add(found, what, limit, left, _until(headers.get(f"anthropic-ratelimit-{what}-reset", ""), time))
    return found


def _add(found: list[Reading], what: What, limit: float | None, left: float | None, reset: float | None) -> None:
    # Azure writes -1 and 0 for limits it does not know.
    if limit is not None and left is not None and 0 < limit <= _MOST and 0 <= left <= limit:
        found.append(Reading(what, limit, left, None if reset is None else min(reset, 86_400.0)))


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.isdecimal() and len(text) < 16 and text.isascii() else None


def _until(text: str, time: float) -> float | None:
    """Seconds until a moment, as RFC 3339 writes it."""
    if not 20 <= len(text) <= 40:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - time
