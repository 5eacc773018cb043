"""How long to wait before trying again: full jitter under a doubling ceiling, and what the server asked for."""

from __future__ import annotations

LONGEST_ASKED = 120.0
"""Seconds: a server that asks for more is not worth waiting for (RELIABILITY 2.3)."""


def full_jitter(attempt: int, chance: float, *, base: float = 0.1, cap: float = 8.0) -> float:
    """Seconds before the attempt after number `attempt` (1 is the first); `chance` is in [0, 1)."""
    return chance * min(cap, base * 2.0 ** min(attempt - 1, 60))


def wait_before_retry(jitter: float, asked: float | None, left: float | None) -> float | None:
    """The wait in seconds, or None when it would not fit: the server asks too much, or no time would be left."""
    wait = jitter if asked is None else max(jitter, asked)
    if asked is not None and asked > LONGEST_ASKED:
        return None
    # An attempt with less than 50 ms left is not worth starting.
    if left is not None and wait + 0.05 > left:
        return None
    return wait
