"""Leaves a failing target alone for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Literal, Protocol

from ..errors import CallError, CircuitOpen, Failed, NetworkFailed, Overloaded, ProviderFailed, StreamBroken
from ..message import Handler, Request, Response
from ..policy.breaker import Breaker, Permit
from ..runtime import Clock, Guard, mind_forks

log = logging.getLogger("llm_edge.breakers")


class Tells(Protocol):
    """Who is told of a breaker, so that other processes hear of it. It never waits."""

    def begin(self) -> None:
        """It is used in this process."""
        ...

    def turned(self, state: str, generation: int, seconds: float, /) -> None:
        """It has changed its state by itself; seconds: until the first probe."""
        ...


class GuardedBreaker:
    """A breaker that threads and loops share. `chance` gives numbers in [0, 1)."""

    def __init__(
        self, breaker: Breaker, chance: Callable[[], float] = lambda: 0.5, *, tells: Tells | None = None
    ) -> None:
        self._breaker, self._chance = breaker, chance
        self._guard = Guard()
        self._tells = self._unused = tells
        self._told = breaker.generation
        self.logged: str = breaker.state
        """How it stood when that was last logged."""
        mind_forks(self)

    def after_fork(self) -> None:
        # The calls under way are the parent's.
        self._breaker.forget_calls()
        self._told, self._unused = self._breaker.generation, self._tells

    @property
    def state(self) -> str:
        return self._breaker.state

    def refuses(self, now: float) -> bool:
        """Whether a call that came now would be refused; a glance, for those who choose among targets."""
        return self._breaker.open_now(now)

    def admit(self, now: float, *, due: float | None = None, watched: bool = False) -> Permit | float:
        if self._unused is not None:
            self._unused.begin()
            self._unused = None
        if not watched and (permit := self._breaker.free_permit()) is not None:
            return permit  # on a good day nothing changes by it, so nobody need be kept out meanwhile
        return self._guard.do(lambda: self._admitted(now, due, watched))

    def _admitted(self, now: float, due: float | None, watched: bool) -> Permit | float:
        found = self._breaker.admit(now, chance=self._chance(), due=due, watched=watched)
        if self._breaker.generation != self._told:
            self._turned(now)
        return found

    def _turned(self, now: float) -> None:
        breaker = self._breaker
        self._told = breaker.generation
        if self._tells is not None:
            self._tells.turned(breaker.state, breaker.generation, max(breaker.until - now, 0.0))

    def hear(self, now: float, seconds: float) -> None:
        """Another process has opened its own, for so much longer."""

        def hear() -> None:
            self._breaker.hint(now, now + seconds)
            self._told = self._breaker.generation

        self._guard.do(hear)

    def began(self, permit: Permit, now: float) -> None:
        self._guard.post(lambda: self._breaker.began(permit, now))

    def went_well(self, permit: Permit, now: float) -> bool:
        """As most calls do: nothing turns by it, and nobody need be kept out meanwhile. False: tell `release`."""
        return self.logged == "closed" and self._breaker.went_well(permit, now)

    def release(self, permit: Permit, *, good: bool | None, now: float, asked: float | None = None) -> None:
        chance = 0.5 if good else self._chance()
        self._guard.post(lambda: self._released(permit, good, now, asked, chance))

    def _released(self, permit: Permit, good: bool | None, now: float, asked: float | None, chance: float) -> None:
        self._breaker.release(permit, good=good, now=now, asked=asked, chance=chance)
        if self._breaker.generation != self._told:
            self._turned(now)

    def force(self, state: Literal["open", "closed", "off"]) -> None:
        def force() -> None:
            self._breaker.force(state)
            self._told = self._breaker.generation

        self._guard.do(force)


class CircuitBreaker:
    """Stops calling a target that keeps failing or hangs, and probes it now and then."""

    def __init__(self, breaker: GuardedBreaker, clock: Clock, *, target: str) -> None:
        self._breaker, self._clock, self._target = breaker, clock, target

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        breaker, now = self._breaker, self._clock.now()
        permit = breaker.admit(now, due=request.deadline, watched=request.streaming)
        if not isinstance(permit, Permit):
            raise self._refusal(request, now, permit)
        try:
            response = await handler(request)
        except BaseException as error:
            self._learn(request, permit, error)
            raise
        if response.stream is not None:
            breaker.began(permit, self._clock.now())
            self._follow(request, permit, response)
        elif response.status >= 400 or not breaker.went_well(permit, self._clock.now()):
            self._learn(request, permit, None, response.status)
        return response

    def _refusal(self, request: Request, now: float, wait: float) -> CircuitOpen:
        state, probe_in = self._breaker.state, round(wait, 3)
        request.notes.say(now, "breaker", target=self._target, state=state, probe_in_s=probe_in)
        forced = state == "forced-open"
        why = "has been taken out of service" if forced else "has been failing and is left alone"
        refused = CircuitOpen(f"{self._target} {why}", retry_after=wait)
        refused.target = self._target
        return refused

    def _follow(self, request: Request, permit: Permit, response: Response) -> None:
        status = response.status  # what listens to a stream holds no response: one that is dropped is then gone at once
        response.finally_(lambda error: self._learn(request, permit, error, status))

    def _learn(self, request: Request, permit: Permit, error: BaseException | None, status: int = 200) -> None:
        asked, breaker = error.retry_after if isinstance(error, CallError) else None, self._breaker
        breaker.release(permit, good=_verdict(error, status), now=self._clock.now(), asked=asked)
        if breaker.state != breaker.logged:
            self._tell(request)

    def _tell(self, request: Request) -> None:
        """Logs that the breaker opened or closed; that it probes is no news."""
        state, told = self._breaker.state, self._breaker.logged
        if state != "half-open":
            self._breaker.logged = state
            if state in {"open", "closed"} and told in {"open", "closed"}:
                level = logging.WARNING if state == "open" else logging.INFO
                log.log(level, "the breaker of %s is %s", self._target, state, extra=request.notes.about)


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
    if isinstance(error, StreamBroken) and error.late:
        return None
    if isinstance(error, Failed):
        return False
    return None
