"""Where the trunk ends and forks into one branch per target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import TypeAlias

from ..errors import CallError, CircuitOpen, Failed, NoTarget
from ..message import Handler, Request, Response
from ..providers.base import Target
from ..runtime import Clock

_TOO_LATE = 0.05
"""Seconds; with less left an attempt is not worth starting."""

Strategy: TypeAlias = Callable[[Request, Sequence[Target]], Iterable[Target]]


def failover(request: Request, targets: Sequence[Target]) -> Iterable[Target]:
    """In the order they are configured; the next one when one fails."""
    return targets


class Router:
    """A handler, not a layer. `resolve` says who may answer, the strategy in which order."""

    def __init__(
        self,
        resolve: Callable[[Request], Sequence[Target]],
        branch: Callable[[Target, Request], Handler],
        clock: Clock,
        *,
        strategy: Strategy = failover,
    ) -> None:
        self._resolve, self._branch, self._clock, self._strategy = resolve, branch, clock, strategy

    async def __call__(self, request: Request, /) -> Response:
        notes = request.notes
        targets = list(self._strategy(request, self._resolve(request)))
        if not request.controls.fallbacks:
            del targets[1:]
        notes.targets = [target.name for target in targets]
        failures: list[CallError] = []
        for number, target in enumerate(targets):
            if failures:
                if request.deadline is not None and request.deadline - self._clock.now() < _TOO_LATE:
                    break
                notes.fallbacks = number
                notes.say(self._clock.now(), "router", next=target.name, after=type(failures[-1]).__name__)
            try:
                response = await self._branch(target, request)(request)
            except CallError as error:
                error.target, error.attempts = error.target or target.name, len(notes.attempts)
                if not error.elsewhere or request.upload is not None:
                    raise
                failures.append(error)
                continue
            notes.target = target.name
            return response
        if not failures:
            raise NoTarget(f"the strategy left nobody to ask for {request.model!r}")
        shown = reduce(_telling, failures)
        shown.attempts = len(notes.attempts)
        raise shown


def _telling(last: CallError, error: CallError) -> CallError:
    """Of two failures the one that tells the caller more; of two that tell the same, the later."""
    if isinstance(last, CircuitOpen) and isinstance(error, CircuitOpen):
        return min(last, error, key=lambda refused: refused.retry_after or 0.0)  # whoever is asked again first
    return error if _weight(error) >= _weight(last) else last


def _weight(error: CallError) -> int:
    """An answer of a provider, before an attempt without one, before words of our own."""
    return 2 if error.response is not None else int(isinstance(error, Failed))
