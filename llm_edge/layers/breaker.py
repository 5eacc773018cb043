"""Leaves a failing target alone for a while."""

from __future__ import annotations

import threading

from ..errors import CircuitOpen, Failed, Overloaded, ProviderFailed
from ..message import Handler, Request, Response
from ..policy.breaker import Breaker, Permit
from ..runtime import Clock, mind_forks


class GuardedBreaker:
    """A breaker that threads and loops share. The lock is held for arithmetic only."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._lock = threading.Lock()
        mind_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        # The probe under way belongs to the parent; its outcome will never be told here.
        self._breaker.probing = False

    @property
    def state(self) -> str:
        return self._breaker.state

    def admit(self, now: float) -> Permit | float:
        with self._lock:
            return self._breaker.admit(now)

    def release(self, permit: Permit, *, good: bool | None, now: float) -> None:
        with self._lock:
            self._breaker.release(permit, good=good, now=now)


class CircuitBreaker:
    """Stops calling a target that keeps failing, and probes it now and then."""

    def __init__(self, breaker: GuardedBreaker, clock: Clock, *, target: str) -> None:
        self._breaker, self._clock, self._target = breaker, clock, target

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        permit = self._breaker.admit(self._clock.now())
        if not isinstance(permit, Permit):
            request.notes.say(self._clock.now(), "breaker", target=self._target, state="open", probe_in=round(permit, 3))
            refused = CircuitOpen(f"{self._target} has been failing and is left alone", retry_after=permit)
            refused.target = self._target
            raise refused
        try:
            response = await handler(request)
        except BaseException as error:
            self._learn(permit, error)
            raise
        response.finally_(lambda error: self._learn(permit, error))
        return response

    def _learn(self, permit: Permit, error: BaseException | None) -> None:
        self._breaker.release(permit, good=_verdict(error), now=self._clock.now())


def _verdict(error: BaseException | None) -> bool | None:
    """What an outcome says about the target: well, ill, or nothing."""
    if error is None:
        return True
    if isinstance(error, ProviderFailed):
        # A refusal of this request (4xx) or a throttle shows a target that works.
        return False if isinstance(error, Overloaded) else None
    if isinstance(error, Failed):
        return False
    return None
