"""Where the trunk ends and forks into one branch per target."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from ..errors import CallError
from ..message import Handler, Request, Response
from ..providers.base import Target
from ..runtime import Clock

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
        notes.targets = [target.name for target in targets]
        if not request.controls.fallbacks:
            del targets[1:]
        last: CallError | None = None
        for number, target in enumerate(targets):
            if last is not None:
                if request.deadline is not None and request.deadline - self._clock.now() < 0.05:
                    break
                notes.fallbacks = number
                notes.say(self._clock.now(), "router", next=target.name, after=type(last).__name__)
            try:
                response = await self._branch(target, request)(request)
            except CallError as error:
                error.target = error.target or target.name
                if not error.elsewhere or request.upload is not None:
                    raise
                last = _worse(last, error)
                continue
            notes.target = target.name
            return response
        assert last is not None, "resolve() gives at least one target or raises"
        raise last


def _worse(last: CallError | None, error: CallError) -> CallError:
    """Of two failures the one that tells the caller more: an answer of a provider, before words of our own."""
    return error if last is None or error.response is not None or last.response is None else last
