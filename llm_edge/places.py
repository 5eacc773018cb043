"""What is remembered of each model at each place, for both colours; strategies are told of it as facts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar
from urllib.parse import urlsplit

from .breakers import MOST_PLACES, Breakers
from .config import EdgeConfig
from .layers.heed import Credentials
from .layers.pulse import Berths, GuardedPulse
from .layers.retry import GuardedAllowance
from .message import Request
from .policy.allowance import Allowance
from .providers.base import Target
from .targets import Targets

T = TypeVar("T")


class Places:
    """How each target is doing, and what more it may be asked."""

    def __init__(self, config: EdgeConfig, breakers: Breakers, targets: Targets) -> None:
        self._targets = targets
        self.credentials = Credentials()
        self._retry, self._breakers = config.retry, breakers
        self._berths = Berths(places=config.breaker.concurrency, waiting=config.breaker.waiting)
        self._allowances: dict[tuple[str, str, str], GuardedAllowance] = {}
        self._pulses: dict[tuple[str, str, str], GuardedPulse] = {}

    def allowance(self, target: Target, origin: str) -> GuardedAllowance:
        """The further calls it is given."""
        place = (target.provider, origin, target.model)
        known = self._allowances.get(place)
        if known is None:
            fresh = GuardedAllowance(Allowance(share=self._retry.share, floor=self._retry.per_second))
            known = _remembered(self._allowances, place, fresh)
        return known

    def pulse(self, target: Target, origin: str = "") -> GuardedPulse:
        """How it is doing."""
        place = (target.provider, origin or origin_of(target.base_url), target.model)
        return self._pulses.get(place) or _remembered(self._pulses, place, GuardedPulse(self._berths))

    def usually(self, target: Target, request: Request, share: float, /) -> float | None:
        pulse = self.pulse(target, place_of(target, request)).pulse
        return pulse.latency(request.streaming).usually_within(share)

    def once_more(self, target: Target, request: Request, now: float, /) -> bool:
        return self.allowance(target, place_of(target, request)).draw(now)

    def ready(self, target: Target, now: float, route: str = "", /) -> bool:
        if self.room(target, now) == 0.0:
            return False
        breakers = self._breakers
        return not breakers.enabled(route) or not breakers.of(target, origin_of(target.base_url), route).refuses(now)

    def in_flight(self, target: Target, /) -> int:
        return self.pulse(target).pulse.in_flight

    def latency(self, target: Target, now: float, streaming: bool, /) -> float | None:
        return self.pulse(target).pulse.latency(streaming).now(now)

    def load(self, target: Target, now: float, /) -> float:
        return self.pulse(target).pulse.load(now)

    def room(self, target: Target, now: float, /) -> float | None:
        """Of the key that has most."""
        origin = origin_of(target.base_url)
        rooms = [self.credentials.of(each, origin).room(target.model, now) for each in self.keyed(target)]
        return None if None in rooms else max(room for room in rooms if room is not None)

    def keyed(self, target: Target) -> Sequence[Target]:
        """The target with each of its provider's keys."""
        ring = self._targets.rings.get(target.provider)
        return (target,) if ring is None else [replace(target, key=key) for key in ring.keys]


def _remembered(known: dict[tuple[str, str, str], T], place: tuple[str, str, str], fresh: T) -> T:
    if len(known) >= MOST_PLACES:
        known.clear()
    return known.setdefault(place, fresh)


def place_of(target: Target, request: Request) -> str:
    """The origin a call of this target goes to."""
    # An addressed target is the same place for every call to that host: which path is the request's own affair.
    return origin_of(request.url if target.addressed else target.base_url)


@lru_cache(maxsize=1024)
def origin_of(url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
