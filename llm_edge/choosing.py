"""Who is asked for one call: the targets of its route that can answer it, in the order of the route's strategy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Protocol, TypeAlias

from .config import EdgeConfig, RouteConfig
from .exact import canonical
from .layers.router import Course, Hedging
from .layers.rules import Rules
from .message import Request
from .policy import needs as asking
from .policy.estimate import guess
from .policy.hedging import Hedge, Spare
from .policy.needs import Needs
from .policy.routing import Candidate, Question, arranged
from .providers import capabilities
from .providers.base import Target
from .runtime import Clock, Guard
from .targets import Targets

_HEDGED = frozenset({"chat", "completions", "embeddings"})
_TOO_LATE = 0.05
"""Seconds; with less left nobody is asked any more."""
_OUTPUT = 500
"""Tokens an answer is taken to have where the call sets no bound."""
log = logging.getLogger("llm_edge")

Price: TypeAlias = Callable[[str, Mapping[str, Any] | None, float], int | None]
"""Target, usage, seconds since 1970: nano-dollars, or None when unknown."""
OwnStrategy: TypeAlias = Callable[[Request, Sequence[Target]], Iterable[Target]]


class Facts(Protocol):
    """What is known about a target at this moment; asked, never reached through."""

    def ready(self, target: Target, now: float, route: str = "", /) -> bool: ...
    def in_flight(self, target: Target, /) -> int: ...
    def latency(self, target: Target, now: float, streaming: bool, /) -> float | None: ...
    def load(self, target: Target, now: float, /) -> float: ...
    def room(self, target: Target, now: float, /) -> float | None: ...

    def usually(self, target: Target, request: Request, share: float, /) -> float | None:
        """Seconds within which that share of its answers comes; None while nobody knows."""
        ...

    def once_more(self, target: Target, request: Request, now: float, /) -> bool:
        """Whether it may be sent one call beyond the first ones; then that counts."""
        ...


class GuardedSpare:
    """How many second asks there may be, which threads and loops share."""

    def __init__(self, share: float) -> None:
        self._spare = Spare(share)
        self._guard = Guard()

    def call(self) -> None:
        self._guard.post(self._spare.call)

    def draw(self) -> bool:
        return self._guard.do(self._spare.draw)


@dataclass(frozen=True, slots=True)
class Route:
    """One route's own: what is configured, and how many calls it has had."""

    strategy: str | OwnStrategy
    weights: Sequence[float]
    fallbacks: Sequence[Target]
    larger: Sequence[Target]
    lenient: Sequence[Target]
    turns: count[int] = field(default_factory=count)  # counting is atomic, so that threads share it

    @property
    def weighs(self) -> bool:
        """Its strategy looks at how targets are doing."""
        return isinstance(self.strategy, str) and self.strategy != "failover"

    @property
    def plain(self) -> bool:
        """The targets are asked as they are configured, whatever the call is like."""
        return self.strategy == "failover" and not self.fallbacks and not self.larger and not self.lenient


def routes(config: EdgeConfig, targets: Targets) -> dict[str, Route]:
    """The routes of a configuration; raises ConfigError when one names a provider nobody knows."""
    return {name: _route(route, targets) for name, route in config.routes.items()}


def _route(route: RouteConfig, targets: Targets) -> Route:
    return Route(
        route.strategy,
        tuple(each.weight for each in route.targets),
        targets.named(route.fallbacks),
        targets.named(route.context_window_fallbacks),
        targets.named(route.content_policy_fallbacks),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Chooser:
    """Makes the course of each call. Shared state is in `facts` and in the routes' turns."""

    targets: Targets
    routes: dict[str, Route]
    facts: Facts
    clock: Clock
    chance: Callable[[], float]
    price: Price

    hedges: Rules[Hedge]
    spare: GuardedSpare

    def course(self, request: Request) -> Course:
        """Raises what `Targets.of` raises."""
        course, rule = self._course(request), self.hedges.of(request.route)
        if not rule.enabled or request.operation not in _HEDGED or not course.targets:
            return course
        return replace(course, hedge=self._hedge(request, rule, course.targets[0]))

    def _hedge(self, request: Request, rule: Hedge, first: Target) -> Hedging | None:
        """A second ask, should the first take longer than usual."""
        self.spare.call()
        now, facts = self.clock.now(), self.facts
        wait = rule.wait(facts.usually(first, request, rule.usual))
        if wait is None or (request.deadline is not None and request.deadline - now < wait + _TOO_LATE):
            return None

        def may(other: Target) -> bool:
            # Asked when the time has come: both shares that second asks keep to are drawn then.
            moment = self.clock.now()
            return (
                facts.ready(other, moment, request.route)
                and self.spare.draw()
                and facts.once_more(other, request, moment)
            )

        return Hedging(wait, may)

    def _course(self, request: Request) -> Course:
        found = self.targets.of(request)
        if request.continues:
            found = [target for target in found if _goes_on(target)]
        route = self.routes.get(request.route)
        if route is None or request.continues or (len(found) == 1 and route.plain):
            return Course(found)
        needs = _needs(request, closely=route.strategy == "semantic")
        anybody = _undemanding(needs)
        if anybody and route.plain:
            return Course(found)
        lacking = _NOTHING if anybody else [_lacks(target, needs) for target in found]
        larger = route.larger
        able = list(enumerate(found))
        if any(lacking):
            passed_by = {target.name: lack for target, lack in zip(found, lacking, strict=True) if lack}
            request.notes.say(self.clock.now(), "router", passed_by=passed_by)
            if larger and all(lack == _CONTEXT for lack in lacking):
                return Course(larger)
            able = [each for each, lack in zip(able, lacking, strict=True) if not lack] or able
        ordered = self._ordered(request, route, able, needs)
        if route.strategy == "shadow":
            return self._shadowed(route, able)
        if not route.fallbacks and not larger and not route.lenient:
            return Course(ordered)
        return Course(ordered, [each for each in route.fallbacks if each not in ordered], larger, route.lenient)

    def _shadowed(self, route: Route, able: Sequence[tuple[int, Target]]) -> Course:
        """The first answers; each of the others gets a copy as often as its weight says."""
        (_, first), *others = able
        mirrors = [target for number, target in others if self.chance() < route.weights[number]]
        return Course([first], route.fallbacks, mirrors=mirrors)

    def _ordered(
        self, request: Request, route: Route, able: Sequence[tuple[int, Target]], needs: Needs
    ) -> Sequence[Target]:
        strategy = route.strategy
        if strategy == "failover" or len(able) < 2:
            return [target for _, target in able]
        if not isinstance(strategy, str):
            return _by(strategy, request, [target for _, target in able])
        now, streaming, facts, of = self.clock.now(), request.streaming, self.facts, request.route
        costs = self._costs(request, able) if strategy == "cost" else {}
        candidates = [
            Candidate(
                number=number, name=target.name, weight=route.weights[number], ready=facts.ready(target, now, of),
                in_flight=facts.in_flight(target), latency=facts.latency(target, now, streaming),
                load=facts.load(target, now), room=facts.room(target, now), cost=costs.get(number),
            )
            for number, target in able
        ]  # fmt: skip
        by_number, request.notes.considered = dict(able), candidates
        ordered = arranged(strategy, self._question(request, route, needs), candidates)
        request.notes.say(now, "router", strategy=strategy, order=[each.name for each in ordered])
        return [by_number[each.number] for each in ordered]

    def _costs(self, request: Request, able: Sequence[tuple[int, Target]]) -> dict[int, float | None]:
        """What this call would cost at each of them, in nano-dollars."""
        try:
            tokens = guess(request.body.json, output=_OUTPUT, embeddings=request.operation == "embeddings")
        except ValueError:
            return {}
        usage = {"prompt_tokens": tokens.prompt, "completion_tokens": tokens.output, "total_tokens": tokens.total}
        now = self.clock.time()
        return {number: self.price(target.name, usage, now) for number, target in able}

    def _question(self, request: Request, route: Route, needs: Needs) -> Question:
        def conversation() -> bytes:
            # Two callers who ask the same are two conversations.
            return canonical([request.scope, request.controls.tenant]) + asking.conversation(request.body.json)

        return Question(
            chance=self.chance, turn=next(route.turns), conversation=conversation,
            difficulty=lambda: asking.difficulty(request.body.json, needs),
        )  # fmt: skip


def _by(strategy: OwnStrategy, request: Request, targets: Sequence[Target]) -> Sequence[Target]:
    """By the app's own function. A mistake in it must not cost the caller an answer."""
    try:
        chosen = [target for target in strategy(request, targets) if target in targets]
    except Exception:
        log.exception(
            "a routing strategy failed; the targets are asked as they are configured", extra=request.notes.about
        )
        return targets
    return list(dict.fromkeys(chosen))


def _goes_on(target: Target) -> bool:
    """Whether this model takes the beginning of its answer as the last message; only what is known counts."""
    able = capabilities.of(target.vendor, target.model)
    return able.known and able.prefill


def _needs(request: Request, *, closely: bool) -> Needs:
    try:
        body = request.body.json
        return _LITTLE if not closely and asking.modest(body) else asking.needs(body)
    except ValueError:
        return Needs()  # not JSON: nobody here knows what it asks for


_CONTEXT = "the prompt is longer than its context window"
_NOTHING: Sequence[str] = ()
_LITTLE = Needs()
SMALL = 1000
"""Tokens no model is too small for."""


def _undemanding(needs: Needs) -> bool:
    """Whether any model can take this call: a little text, and nothing else."""
    return needs.tokens < SMALL and not (needs.tools or needs.schema or needs.images or needs.documents or needs.audio)


def _lacks(target: Target, needs: Needs) -> str:
    """Why this target cannot answer; empty when it can, or when nobody knows."""
    able = capabilities.of(target.vendor, target.model)
    if not able.known:
        return ""
    if able.context is not None and needs.tokens > able.context:
        return _CONTEXT
    for asked, takes, what in (
        (needs.tools, able.tools, "tools"), (needs.schema, able.json_schema, "a JSON schema"),
        (needs.images, able.images, "images"), (needs.documents, able.documents, "documents"),
        (needs.audio, able.audio, "sound"),
    ):  # fmt: skip
        if asked and not takes:
            return f"it does not take {what}"
    return ""
