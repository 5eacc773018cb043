"""Where the trunk ends and forks into one branch per target."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce

from ..errors import CallError, CircuitOpen, ContentBlocked, ContextTooLong, DeadlineExceeded, Failed, NoTarget
from ..message import Handler, Request, Response
from ..providers.base import Target
from ..runtime import Runtime
from .hedge import Contender, Race
from .mirror import Mirror

_TOO_LATE = 0.05
"""Seconds; with less left an attempt is not worth starting."""


@dataclass(slots=True)  # made for every call, and a frozen one costs three times as much to make
class Course:
    """Who is asked for one call, in order, and who is asked when it fails in a certain way."""

    targets: Sequence[Target]
    fallbacks: Sequence[Target] = ()
    """When all of those have failed."""
    larger: Sequence[Target] = ()
    """When the prompt was too long."""
    lenient: Sequence[Target] = ()
    """When a content policy refused it."""
    hedge: Hedging | None = None
    """When somebody else is asked as well, if at all."""
    mirrors: Sequence[Target] = ()
    """Who gets a copy."""


@dataclass(frozen=True, slots=True)
class Hedging:
    """A second ask for one call."""

    after: float
    """Seconds without an answer."""
    may: Callable[[Target], bool]
    """Whether this target may be asked as well; when it may, that is paid for."""


class Router:
    """A handler, not a layer. `course` says who is asked, `branch` leads there; `mirror` makes copies."""

    def __init__(
        self,
        course: Callable[[Request], Course],
        branch: Callable[[Target, Request], Handler],
        runtime: Runtime,
        mirror: Mirror | None = None,
    ) -> None:
        self._course, self._branch, self._mirror = course, branch, mirror
        self._runtime, self._clock = runtime, runtime.clock

    async def __call__(self, request: Request, /) -> Response:
        notes, course = request.notes, self._course(request)
        if not request.controls.fallbacks:
            course = Course(course.targets[:1])
        left = deque(course.targets)
        if course.fallbacks:
            left += course.fallbacks
        names = [target.name for target in left]
        notes.targets = list(dict.fromkeys([*notes.targets, *names])) if request.continues else names
        if course.mirrors and self._mirror is not None:
            for target in course.mirrors:
                self._mirror.send(request, target.name, self._branch(target, request))
        failures: list[CallError] = []
        while left:
            if request.deadline is not None and self._too_late(request.deadline, failures):
                break
            target = left.popleft()
            if failures:
                notes.fallbacks += 1
                notes.say(self._clock.now(), "router", next=target.name, after=type(failures[-1]).__name__)
            try:
                hedge = course.hedge if request.upload is None and not failures else None
                if hedge is None:
                    response = await self._branch(target, request)(request)
                else:
                    target, response = await self._race(request, hedge, target, left)
            except CallError as error:
                error.target, error.attempts = error.target or target.name, len(notes.attempts)
                further = self._next(request, course, left, error)
                if further is None:
                    raise
                left = further
                failures.append(error)
                continue
            notes.target = target.name
            failures.clear()  # as below
            return response
        if not failures:
            raise NoTarget(f"the strategy left nobody to ask for {request.model!r}")
        shown = reduce(_telling, failures)
        shown.attempts = len(notes.attempts)
        failures.clear()
        try:
            raise shown
        finally:
            del shown  # an error that its own traceback leads to lives until the garbage collector comes by

    async def _race(
        self, request: Request, hedge: Hedging, target: Target, left: deque[Target]
    ) -> tuple[Target, Response]:
        """Ask this target, and when it takes long the next one, too, or itself again where there is no other."""
        other = left[0] if left else target
        race = Race(self._runtime, request, after=hedge.after, may=lambda: hedge.may(other))
        outcome = await race.run(
            Contender(target.name, self._branch(target, request)), Contender(other.name, self._branch(other, request))
        )
        if outcome.asked > 1 and left:
            left.popleft()
        if outcome.response is None:
            raise reduce(_telling, outcome.failures)
        if outcome.winner and other is not target:
            request.notes.fallbacks += 1
        return (target, other)[outcome.winner], outcome.response

    def _too_late(self, deadline: float, failures: Sequence[CallError]) -> bool:
        """Whether the time is over; before the first attempt that is an error of its own."""
        left = deadline - self._clock.now()
        if failures:
            return left < _TOO_LATE
        if left > 0:
            return False
        raise DeadlineExceeded("the time allowed for this call was over before it could be sent")

    def _next(self, request: Request, course: Course, left: deque[Target], error: CallError) -> deque[Target] | None:
        """Who is still to be asked after this failure; None when nobody should be."""
        if request.upload is not None:
            return None
        if isinstance(error, (ContextTooLong, ContentBlocked)):
            others = course.larger if isinstance(error, ContextTooLong) else course.lenient
            asked = {attempt.target for attempt in request.notes.attempts} | {error.target}
            fresh = [target for target in others if target.name not in asked]
            if not fresh:
                return None
            request.notes.targets += [target.name for target in fresh]
            return deque(fresh)
        return left if error.elsewhere else None


def _telling(last: CallError, error: CallError) -> CallError:
    """Of two failures the one that tells the caller more; of two that tell the same, the later."""
    if isinstance(last, CircuitOpen) and isinstance(error, CircuitOpen):
        return min(last, error, key=lambda refused: refused.retry_after or 0.0)  # whoever is asked again first
    return error if _weight(error) >= _weight(last) else last


def _weight(error: CallError) -> int:
    """An answer of a provider, before an attempt without one, before words of our own."""
    return 2 if error.response is not None else int(isinstance(error, Failed))
