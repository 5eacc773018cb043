"""A provider with several keys: they take turns, and one that is refused is set aside while the others go on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..errors import CallError, QuotaExhausted, RateLimited, Throttled, Unauthorized
from ..message import Handler, Request, Response
from ..policy.keyring import EMPTY_FOR, REFUSED_FOR, Keyring
from ..providers.base import Target
from ..runtime import Clock, Guard

log = logging.getLogger("llm_edge.keys")


class GuardedKeyring:
    """The keys of one provider, which threads and loops share."""

    def __init__(self, keys: Sequence[str]) -> None:
        self.keys = tuple(keys)
        self._ring, self._guard = Keyring(len(keys)), Guard()

    def order(self, model: str, now: float, wait: Callable[[int], float]) -> Sequence[int]:
        return self._guard.do(lambda: self._ring.order(model, now, wait))

    def free(self, key: int, model: str, now: float) -> bool:
        return self._ring.back_in(key, model, now) <= 0

    def set_aside(self, key: int, now: float, seconds: float, model: str = "") -> None:
        self._guard.do(lambda: self._ring.set_aside(key, now, seconds, model=model))

    def welcome(self, key: int, model: str) -> None:
        self._guard.do(lambda: self._ring.welcome(key, model))


@dataclass(frozen=True, slots=True)
class Keyed:
    """A target with one of its provider's keys."""

    target: Target
    closed_for: Callable[[float], float]
    """Seconds for which the provider wants to be left alone by this key; the argument is now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """A handler: the branch of one target, with one key after the other."""

    keyed: Sequence[Keyed]
    ring: GuardedKeyring
    branch: Callable[[Target, Request], Handler]
    clock: Clock

    async def __call__(self, request: Request, /) -> Response:
        ring, keyed, now = self.ring, self.keyed, self.clock.now()
        model = keyed[0].target.model
        order = ring.order(model, now, lambda key: keyed[key].closed_for(now))
        for key, after in zip(order, [*order[1:], None], strict=True):
            try:
                response = await self.branch(keyed[key].target, request)(request)
            except CallError as error:
                self._learn(request, key, error)
                if after is None or not self._may_be_next(request, key, after, error):
                    raise
                continue
            ring.welcome(key, model)
            return response
        raise AssertionError("a keyring has keys, and the failure of the last one is raised")

    def _learn(self, request: Request, key: int, error: CallError) -> None:
        now, target = self.clock.now(), self.keyed[key].target
        if isinstance(error, Unauthorized):
            # Forbidden is often one model only; unauthorized is the key.
            self.ring.set_aside(key, now, REFUSED_FOR, target.model if error.status == 403 else "")
        elif isinstance(error, QuotaExhausted):
            self.ring.set_aside(key, now, EMPTY_FOR)
        else:
            return
        after = type(error).__name__
        request.notes.say(now, "keys", provider=target.provider, set_aside=key + 1, after=after)
        log.warning("key %d of %s is set aside after %s", key + 1, target.provider, after, extra=request.notes.about)

    def _may_be_next(self, request: Request, key: int, after: int, error: CallError) -> bool:
        """Whether the call is made again with another key."""
        now = self.clock.now()
        if request.upload is not None or (request.deadline is not None and request.deadline - now < _TOO_LATE):
            return False
        if isinstance(error, (Unauthorized, QuotaExhausted)):
            return self.ring.free(after, self.keyed[after].target.model, now)
        busy = isinstance(error, Throttled) or (isinstance(error, RateLimited) and self.keyed[key].closed_for(now) > 0)
        return busy and self.usable(after, now)

    def usable(self, key: int, now: float) -> bool:
        """Whether a call with this key could go at once."""
        return self.ring.free(key, self.keyed[key].target.model, now) and self.keyed[key].closed_for(now) <= 0


_TOO_LATE = 0.05
