"""Tries again what is worth trying again, until the first byte is out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import CallError, NetworkFailed
from ..message import Handler, Request, Response
from ..policy.backoff import full_jitter, wait_before_retry
from ..runtime import Clock
from .rules import Rules

if TYPE_CHECKING:
    from tenacity import RetryCallState


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """How often, and how patiently."""

    attempts: int = 3
    """Calls upstream in all, the first included."""
    base: float = 0.1
    """Seconds: the ceiling of the first wait, doubled for each after it."""
    cap: float = 8.0
    """Seconds no wait goes beyond, unless the provider asks for more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Retries a call that failed in a way that may pass. `chance` gives numbers in [0, 1)."""

    clock: Clock
    rules: Rules[Attempts]
    chance: Callable[[], float]

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        try:
            return await handler(request)
        except CallError as error:
            rule = self.rules.of(request.route)
            if rule.attempts < 2 or not _worth_it(request, error):
                raise
            first = error
        return await self._again(request, handler, rule, first)

    async def _again(self, request: Request, handler: Handler, rule: Attempts, first: CallError) -> Response:
        # A tenacity loop costs 23–40 µs even when nothing fails, so it is met only here, after a failure.
        from tenacity import AsyncRetrying

        made = 0
        wait: float | None = None

        async def attempt() -> Response:
            nonlocal made
            made += 1
            if made == 1:
                raise first  # the attempt tenacity counts as its first has been made already
            return await handler(request)

        def give_up(state: RetryCallState) -> bool:
            nonlocal wait
            error = state.outcome.exception() if state.outcome else None
            if not isinstance(error, CallError) or state.attempt_number >= rule.attempts or not _worth_it(request, error):
                return True
            jitter = full_jitter(state.attempt_number, self.chance(), base=rule.base, cap=rule.cap)
            left = None if request.deadline is None else request.deadline - self.clock.now()
            wait = wait_before_retry(jitter, error.retry_after, left)
            if wait is not None:
                reason = type(error).__name__
                request.notes.say(self.clock.now(), "retry", after=reason, wait_s=round(wait, 3))
            return wait is None

        async def sleep(seconds: float) -> None:
            began = self.clock.now()
            await self.clock.sleep(seconds)
            request.notes.waited += self.clock.now() - began

        retrying = AsyncRetrying(sleep=sleep, stop=give_up, wait=lambda state: wait or 0.0, reraise=True)
        return await retrying(attempt)


_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NEVER_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout"})


def _worth_it(request: Request, error: CallError) -> bool:
    if not error.retryable:
        return False
    if request.upload is not None:
        return False  # its bytes may be gone
    if request.operation != "opaque" or request.method in _SAFE_METHODS:
        return True
    # What we do not understand may have had its effect, unless it never left.
    return isinstance(error, NetworkFailed) and error.kind in _NEVER_SENT
