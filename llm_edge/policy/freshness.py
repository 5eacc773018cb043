"""How long a kept answer is good: fresh, due to be asked again a little early, stale but usable, or too old."""

from __future__ import annotations

import math
from typing import Final, Literal, TypeAlias

from ..errors import BadAnswer, CallError, CertificateRefused, CircuitOpen, NetworkFailed, Overloaded

Verdict: TypeAlias = Literal["fresh", "early", "stale", "old"]

SPREAD: Final = 0.1
"""The part of its time by which an answer may be kept shorter than the rest."""
_HARSH: Final = 1.0
"""XFetch's beta: above 1 hot answers are asked again earlier."""


def spread(ttl: float, chance: float) -> float:
    """A time to live a little shorter than the given one: what was kept together does not expire together."""
    return ttl * (1.0 - SPREAD * chance)


def verdict(left: float, took: float, chance: float, *, stale: float = 0.0) -> Verdict:
    """
    What an answer is that has `left` seconds to live (fewer than 0 once they are over).

    Near its end it is now and then due early, the sooner the longer the provider `took`: of many
    askers one asks again before it expires, and the others go on being answered (XFetch).
    `stale` is for how many seconds after its end it may still be given while it is asked again.
    """
    if left > 0:
        if took > 0 and left < 40.0 * took and -took * _HARSH * math.log(1.0 - chance) >= left:
            return "early"
        return "fresh"
    return "stale" if stale and -left < stale else "old"


def excused(error: CallError) -> bool:
    """Whether a stale answer is better than this failure: nobody answered. A refusal is an answer."""
    if isinstance(error, CertificateRefused):
        return False
    return isinstance(error, (NetworkFailed, BadAnswer, Overloaded, CircuitOpen))
