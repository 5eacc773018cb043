"""What is remembered of each model at each place, for both colours; strategies are told of it as facts."""

from __future__ import annotations

from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit

from .breakers import MOST_PLACES, Breakers
from .config import EdgeConfig
from .layers.pulse import Berths, GuardedPulse
from .layers.retry import GuardedAllowance
from .policy.allowance import Allowance
from .providers.base import Target

T = TypeVar("T")


class Places:
    """How each target is doing, and what more it may be asked."""

    def __init__(self, config: EdgeConfig, breakers: Breakers) -> None:
        self._retry, self._breakers = config.retry, breakers if config.breaker.enabled else None
        self._berths = Berths(places=config.breaker.concurrency, waiting=config.breaker.waiting)
        self._allowances: dict[tuple[str, str, str], GuardedAllowance] = {}
        self._pulses: dict[tuple[str, str, str], GuardedPulse] = {}

    def allowance(self, target: Target, origin: str) -> GuardedAllowance:
        """The further calls it is given."""
        fresh = GuardedAllowance(Allowance(share=self._retry.share, floor=self._retry.per_second))
        return _remembered(self._allowances, (target.provider, origin, target.model), fresh)

    def pulse(self, target: Target, origin: str = "") -> GuardedPulse:
        """How it is doing."""
        place = (target.provider, origin or origin_of(target.base_url), target.model)
        return self._pulses.get(place) or _remembered(self._pulses, place, GuardedPulse(self._berths))

    def ready(self, target: Target, now: float, /) -> bool:
        return self._breakers is None or not self._breakers.of(target, origin_of(target.base_url)).refuses(now)

    def in_flight(self, target: Target, /) -> int:
        return self.pulse(target).pulse.in_flight

    def latency(self, target: Target, now: float, streaming: bool, /) -> float | None:
        return self.pulse(target).pulse.latency(streaming).now(now)

    def load(self, target: Target, now: float, /) -> float:
        return self.pulse(target).pulse.load(now)


def _remembered(known: dict[tuple[str, str, str], T], place: tuple[str, str, str], fresh: T) -> T:
    if len(known) >= MOST_PLACES:
        known.clear()
    return known.setdefault(place, fresh)


@lru_cache(maxsize=1024)
def origin_of(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
