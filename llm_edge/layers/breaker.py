"""Leaves a failing target alone for a while."""

from __future__ import annotations

from ..errors import CircuitOpen, Failed, NetworkFailed, Overloaded, ProviderFailed
from ..message import Handler, Request, Response
from ..policy.breaker import Breaker, Permit
from ..runtime import Clock, Guard, mind_forks


class GuardedBreaker:
    """A breaker that threads and loops share."""

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._guard = Guard()
        mind_forks(self)

    def after_fork(self) -> None:
        # The calls under way are the parent's.
        self._breaker.forget_calls()

    @property
    def state(self) -> str:
        return self._breaker.state

    def admit(self, now: float) -> Permit | float:
        return self._guard.do(lambda: self._breaker.admit(now))

    def release(self, permit: Permit, *, good: bool | None, now: float) -> None:
        self._guard.post(lambda: self._breaker.release(permit, good=good, now=now))


class CircuitBreaker:
    """Stops calling a target that keeps failing, and probes it now and then."""

    def __init__(self, breaker: GuardedBreaker, clock: Clock, *, target: str) -> None:
        self._breaker, self._clock, self._target = breaker, clock, target

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        permit = self._breaker.admit(self._clock.now())
        if not isinstance(permit, Permit):
            now, probe_in = self._clock.now(), round(permit, 3)
            request.notes.say(now, "breaker", target=self._target, state=self._breaker.state, probe_in_s=probe_in)
            refused = CircuitOpen(f"{self._target} has been failing and is left alone", retry_after=permit)
            refused.target = self._target
            raise refused
        try:
            response = await handler(request)
        except BaseException as error:
            self._learn(permit, error)
            raise
        response.finally_(lambda error: self._learn(permit, error, response.status))
        return response

    def _learn(self, permit: Permit, error: BaseException | None, status: int = 200) -> None:
        self._breaker.release(permit, good=_verdict(error, status), now=self._clock.now())


def _verdict(error: BaseException | None, status: int) -> bool | None:
    """What an outcome says about the target: well, ill, or nothing."""
    if error is None:
        # An answer nobody judged below (`opaque`) has only its status to go by.
        return False if status >= 500 else None if status >= 400 else True
    if isinstance(error, ProviderFailed):
        # A refusal of this request (4xx) or a throttle shows a target that works.
        return False if isinstance(error, Overloaded) else None
    if isinstance(error, NetworkFailed) and error.ours:
        return None
    if isinstance(error, Failed):
        return False
    return None
