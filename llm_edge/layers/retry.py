"""Tries again what is worth trying again, until the first byte is out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import CallError, NetworkFailed, Throttled
from ..message import Handler, Request, Response
from ..policy.allowance import Allowance
from ..policy.backoff import full_jitter, wait_before_retry
from ..runtime import Clock, Guard
from .rules import Rules

if TYPE_CHECKING:
    from tenacity import RetryCallState


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How often, and how patiently."""

    attempts: int = 3
    """Calls upstream in all, the first included."""
    base: float = 0.1
    """Seconds: the ceiling of the first wait, doubled for each after it; ten times that after a 429."""
    cap: float = 8.0
    """Seconds no wait goes beyond, unless the provider asks for more."""


class GuardedAllowance:
    """One target's allowance of further calls, which threads and loops share."""

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self._guard = Guard()

    def call(self, now: float) -> None:
        # Every call passes here, so without the guard: two threads at the very same moment may count as one.
        self._allowance.call(now)

    def draw(self, now: float) -> bool:
        return self._guard.do(lambda: self._allowance.draw(now))

    def take(self, now: float) -> None:
        self._guard.post(lambda: self._allowance.take(now))


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Retries a call that failed in a way that may pass. `chance` gives numbers in [0, 1)."""

    clock: Clock
    rules: Rules[Attempts]
    chance: Callable[[], float]
    allowance: GuardedAllowance | None = None
    """How many retries the target is given in all; None for any number."""

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        if self.allowance is not None and request.notes.attempts:
            self.allowance.take(self.clock.now())  # somebody else was asked first, and failed
        elif self.allowance is not None:
            self.allowance.call(self.clock.now())
        try:
            return await handler(request)
        except CallError as error:
            rule = self.rules.of(request.route)
            if rule.attempts < 2 or not _worth_it(request, error):
                raise
            failed = [error]
        return await self._again(request, handler, rule, failed)

    async def _again(self, request: Request, handler: Handler, rule: Attempts, failed: list[CallError]) -> Response:
        # A tenacity loop costs 23–40 µs even when nothing fails, so it is met only here, after a failure.
        from tenacity import AsyncRetrying

        made = unreached = 0
        pause: float | None = None
        states: list[RetryCallState] = []

        async def attempt() -> Response:
            nonlocal made
            made += 1
            if made == 1:
                raise failed[0]  # the attempt tenacity counts as its first has been made already
            return await handler(request)

        def wait(state: RetryCallState) -> float:
            # tenacity asks for the wait first, and then whether to stop.
            nonlocal pause, unreached
            states[:] = [state]
            error = _failure(state)
            unreached += isinstance(error, NetworkFailed) and error.kind in _UNREACHED
            # Nobody is there: once more at once, and then it is the next target's turn.
            pause = self._pause(request, rule, error, state.attempt_number) if unreached < 2 else None
            return pause or 0.0

        async def sleep(seconds: float) -> None:
            began = self.clock.now()
            await self.clock.sleep(seconds)
            request.notes.waited += self.clock.now() - began

        retrying = AsyncRetrying(
            sleep=sleep,
            retry=lambda state: state.outcome is not None and isinstance(state.outcome.exception(), CallError),
            wait=wait,
            stop=lambda state: pause is None,
            retry_error_callback=lambda state: None,
        )
        try:
            response: Response | None = await retrying(attempt)
            if response is None:
                raise _failure(states[0])
            return response
        finally:
            # What failed knows where, and from there it is known again: the call, body and all, would wait for the
            # garbage collector.
            failed.clear()
            retrying.iter_state.reset()
            for state in states:
                state.outcome = None
            states.clear()

    def _pause(self, request: Request, rule: Attempts, error: CallError, made: int) -> float | None:
        """Seconds before the next attempt; None when there is none."""
        if made >= rule.attempts or not _worth_it(request, error):
            return None
        unreached = isinstance(error, NetworkFailed) and error.kind in _UNREACHED
        base = rule.base * (_THROTTLED if isinstance(error, Throttled) else 1.0)
        jitter = 0.0 if unreached else full_jitter(made, self.chance(), base=base, cap=rule.cap)
        now = self.clock.now()
        left = None if request.deadline is None else request.deadline - now
        pause = wait_before_retry(jitter, error.retry_after, left)
        if pause is None:
            return None
        if self.allowance is not None and not self.allowance.draw(now):
            request.notes.say(now, "retry", after=type(error).__name__, refused="too many retries of this target")
            return None
        request.notes.say(now, "retry", after=type(error).__name__, wait_s=round(pause, 3))
        return pause


def _failure(state: RetryCallState) -> CallError:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, CallError), "nothing else is tried again"
    return error


_THROTTLED = 10.0
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_UNREACHED = frozenset({"ConnectError", "ConnectTimeout"})
_NEVER_SENT = _UNREACHED | {"PoolTimeout"}


def _worth_it(request: Request, error: CallError) -> bool:
    if not error.retryable:
        return False
    if request.upload is not None:
        return False  # its bytes may be gone
    if request.operation != "opaque" or request.method in _SAFE_METHODS:
        return True
    # What we do not understand may have had its effect, unless it never left.
    return isinstance(error, NetworkFailed) and error.kind in _NEVER_SENT
