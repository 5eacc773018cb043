"""The breakers of all targets: one for each place and model, looked at and set by hand as `edge.breakers`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Literal, get_args

from .config import BreakerConfig
from .errors import InvalidRequest
from .layers.breaker import GuardedBreaker
from .policy.breaker import Breaker, Rule
from .providers import capabilities
from .providers.base import Target
from .runtime import Guard

Force = Literal["open", "closed", "off"]

MOST_PLACES = 4096
"""Targets remembered at once; model names come from callers, and memory must not grow with them."""
_THINKING = 3.0
"""How much longer a model that thinks may take until its first event."""


class Breakers(Mapping[str, str]):
    """
    `provider/model` and how its breaker stands: `closed`, `open`, `half-open`, `forced-open` or `off`.

    `force` sets one by hand, also before its target was first asked; `reset` has it learn anew.
    """

    def __init__(self, config: BreakerConfig, chance: Callable[[], float] = lambda: 0.5) -> None:
        self._config, self._chance = config, chance
        self._known: dict[tuple[str, str, str], GuardedBreaker] = {}
        self._forced: dict[str, Force] = {}
        self._guard = Guard()

    def of(self, target: Target, origin: str) -> GuardedBreaker:
        """The breaker of a model at one place; made when it is first asked for."""
        place = (target.provider, origin, target.model)
        breaker = self._known.get(place)
        if breaker is None:
            breaker = self._guard.do(lambda: self._added(place, target))
        return breaker

    def _added(self, place: tuple[str, str, str], target: Target) -> GuardedBreaker:
        if len(self._known) >= MOST_PLACES:
            self._forget_some()
        return self._known.setdefault(place, self._made(target))

    def _made(self, target: Target) -> GuardedBreaker:
        config = self._config
        slow_after: float | None = config.slow_after or None
        if slow_after and capabilities.of(target.provider, target.model).thinks:
            slow_after *= _THINKING
        machine = Breaker(Rule(
            failures=config.failures, failed_share=config.failed_share, slow_share=config.slow_share,
            slow_after=slow_after, outcomes=config.outcomes, window=config.window, open_for=config.open_for,
            growing=config.growing, probes=config.probes,
        ))  # fmt: skip
        made, forced = GuardedBreaker(machine, self._chance), self._forced.get(target.name)
        if forced is not None:
            made.force(forced)
        return made

    def _forget_some(self) -> None:
        """Room for new ones: the oldest that have nothing to remember, or else the oldest."""
        idle = [place for place, breaker in self._known.items() if breaker.state == "closed"]
        for place in (idle or list(self._known))[: MOST_PLACES // 4]:
            del self._known[place]

    def force(self, name: str, state: Force) -> None:
        """
        Set the breaker of `provider/model`: `open` takes the target out of service until told otherwise, `off` lets
        every call pass, `closed` ends either and learns anew. Raises InvalidRequest for another word, or when
        `breaker.enabled` is false.
        """
        if not self._config.enabled:
            raise InvalidRequest("breakers are switched off; set breaker.enabled to true")
        if state not in get_args(Force):
            raise InvalidRequest('`state` must be "open", "closed" or "off"')
        if "/" not in name:
            raise InvalidRequest('`name` must be "provider/model", as in `list(edge.breakers)`')
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

    def __iter__(self) -> Iterator[str]:
        return iter(self.states())

    def __len__(self) -> int:
        return len(self.states())

    def __repr__(self) -> str:
        return f"Breakers({self.states()})"


_SEVERITY = {"off": 0, "closed": 1, "half-open": 2, "open": 3, "forced-open": 4}


def _name(place: tuple[str, str, str]) -> str:
    provider, _, model = place
    return f"{provider}/{model}" if model else provider
