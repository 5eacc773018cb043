"""
The breakers of all targets: one for each place and model, looked at and set by hand as `edge.breakers`.

A route with rules of its own has breakers of its own. Over a shared store processes tell one another (`stores.hints`).
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from typing import Literal, TypeAlias, cast, get_args

from .config import BreakerConfig
from .errors import InvalidRequest
from .layers.breaker import GuardedBreaker
from .layers.rules import Rules
from .policy.breaker import Breaker, Rule
from .policy.keys import fingerprint
from .providers import capabilities
from .providers.base import Target
from .runtime import Clock, Guard, ThreadClock
from .stores.hints import Heard, Hints
from .stores.places import Place

Spot: TypeAlias = tuple[str, str, str, str]
"""Provider, origin, model, and the route where that has rules of its own."""
Force = Literal["open", "closed", "off"]

MOST_PLACES = 4096
"""Targets remembered at once; model names come from callers, and memory must not grow with them."""
_THINKING = 3.0
"""How much longer a model that thinks may take until its first event."""


class Breakers(Mapping[str, str]):
    """
    `provider/model` and how its breaker stands: `closed`, `open`, `half-open`, `forced-open` or `off`.

    `force` sets one by hand, also before its target was first asked; `reset` has it learn anew. Where limits are shared
    over a `[store]`, that counts in all its processes within a second.
    """

    def __init__(
        self, rules: BreakerConfig | Rules[BreakerConfig], chance: Callable[[], float] = lambda: 0.5,
        clock: Clock | None = None,
    ) -> None:  # fmt: skip
        self._rules = Rules(rules) if isinstance(rules, BreakerConfig) else rules
        common = self._rules.default
        self._own = frozenset(name for name, rule in self._rules.routes.items() if rule != common)
        self._chance, self._clock = chance, clock or ThreadClock()
        self._known: dict[Spot, GuardedBreaker] = {}
        self._forced: dict[str, Force] = {}
        self._hinted: dict[str, float] = {}
        """Until when, by the fingerprint of the spot: for those that are not made yet."""
        self._hints: Hints | None = None
        self._guard = Guard()

    def share(self, place: Place, prefix: str) -> None:
        """Tell the processes that share this store, and hear of theirs."""
        self._hints = Hints(place, prefix=prefix, listener=self._heard)

    def close(self) -> None:
        """Tell nobody any more; twice is harmless."""
        if self._hints is not None:
            self._hints.close()

    def own_of(self, route: str) -> str:
        """The route, where it has breakers of its own."""
        return route if route in self._own else ""

    def enabled(self, route: str = "") -> bool:
        return self._rules.of(route).enabled

    def of(self, target: Target, origin: str, route: str = "") -> GuardedBreaker:
        """The breaker of a model at one place; made when it is first asked for."""
        spot = (target.provider, origin, target.model, self.own_of(route))
        breaker = self._known.get(spot)
        if breaker is None:
            breaker = self._guard.do(lambda: self._added(spot, target))
        return breaker

    def _added(self, spot: Spot, target: Target) -> GuardedBreaker:
        if len(self._known) >= MOST_PLACES:
            self._forget_some()
        return self._known.setdefault(spot, self._made(spot, target))

    def _made(self, spot: Spot, target: Target) -> GuardedBreaker:
        config = self._rules.of(spot[3])
        slow_after: float | None = config.slow_after or None
        if slow_after and capabilities.of(target.vendor, target.model).thinks:
            slow_after *= _THINKING
        machine = Breaker(Rule(
            failures=config.failures, failed_share=config.failed_share, slow_share=config.slow_share,
            slow_after=slow_after, outcomes=config.outcomes, window=config.window, open_for=config.open_for,
            growing=config.growing, probes=config.probes,
        ))  # fmt: skip
        tells = None if self._hints is None else Told(self._hints, _digest(spot))
        made, forced = GuardedBreaker(machine, self._chance, tells=tells), self._forced.get(target.name)
        if tells is not None and (until := self._hinted.pop(tells.digest, None)) is not None:
            now = self._clock.now()
            made.hear(now, until - now)
        if forced is not None:
            made.force(forced)
        return made

    def _heard(self, heard: Heard) -> None:
        """What other processes tell."""
        now = self._clock.now()
        by_digest = {_digest(spot): breaker for spot, breaker in list(self._known.items())}
        for digest, seconds in heard.hints:
            if (breaker := by_digest.get(digest)) is not None:
                breaker.hear(now, seconds)
            elif len(self._hinted) < MOST_PLACES:
                self._hinted[digest] = now + seconds
            else:
                self._hinted.clear()
        for name, state in heard.forced.items():
            if state in get_args(Force):
                self._force(name, cast("Force", state))  # one of its words

    def _forget_some(self) -> None:
        """Room for new ones: the oldest that have nothing to remember, or else the oldest."""
        idle = [spot for spot, breaker in self._known.items() if breaker.state == "closed"]
        for spot in (idle or list(self._known))[: MOST_PLACES // 4]:
            del self._known[spot]

    def force(self, name: str, state: Force) -> None:
        """
        Set the breaker of `provider/model`: `open` takes the target out of service until told otherwise, `off` lets
        every call pass, `closed` ends either and learns anew. Raises InvalidRequest for another word, or when
        `breaker.enabled` is false.
        """
        if not (self.enabled() or any(self.enabled(route) for route in self._own)):
            raise InvalidRequest("breakers are switched off; set breaker.enabled to true")
        if state not in get_args(Force):
            raise InvalidRequest('`state` must be "open", "closed" or "off"')
        if "/" not in name:
            raise InvalidRequest('`name` must be "provider/model", as in `list(edge.breakers)`')
        self._force(name, state)
        if self._hints is not None:
            self._hints.begin()
            self._hints.forced(name, state)

    def _force(self, name: str, state: Force) -> None:
        for breaker in self._guard.do(lambda: self._written(name, state)):
            breaker.force(state)

    def _written(self, name: str, state: Force) -> list[GuardedBreaker]:
        if state == "closed":
            self._forced.pop(name, None)
        else:
            self._forced[name] = state
        return [breaker for place, breaker in self._known.items() if _name(place) == name]

    def reset(self, name: str | None = None) -> None:
        """Close one breaker, or all of them, and have them learn anew."""
        for each in [name] if name is not None else [*self._forced, *self]:
            self.force(each, "closed")

    def states(self) -> dict[str, str]:
        """All of them now; of one model at several addresses the worst."""
        forced = list(self._forced.items())
        found = {name: "forced-open" if state == "open" else str(state) for name, state in forced}
        for place, breaker in list(self._known.items()):
            name, state = _name(place), breaker.state
            if _SEVERITY[state] >= _SEVERITY[found.get(name, "off")]:
                found[name] = state
        return found

    def __getitem__(self, name: str) -> str:
        return self.states()[name]

    def items(self) -> ItemsView[str, str]:
        """All of them as they stand now, looked at once: each by its name would be a look at all for each."""
        return self.states().items()

    def values(self) -> ValuesView[str]:
        return self.states().values()

    def __iter__(self) -> Iterator[str]:
        return iter(self.states())

    def __len__(self) -> int:
        return len(self.states())

    def __repr__(self) -> str:
        return f"Breakers({self.states()})"


_SEVERITY = {"off": 0, "closed": 1, "half-open": 2, "open": 3, "forced-open": 4}


def _name(spot: Spot) -> str:
    provider, _, model, _ = spot
    return f"{provider}/{model}" if model else provider


class Told:
    """Has others told of one breaker."""

    def __init__(self, hints: Hints, digest: str) -> None:
        self._hints, self.digest = hints, digest

    def begin(self) -> None:
        self._hints.begin()

    def turned(self, state: str, generation: int, seconds: float, /) -> None:
        if state == "open":
            self._hints.opened(self.digest, generation, seconds)
        elif state == "closed":
            self._hints.closed(self.digest)


def _digest(spot: Spot) -> str:
    return fingerprint("\n".join(spot))
