"""
The house, put together. `trunk()` reads like the diagram:

    tell → deadline → your layers → (guard) → cache → (semantic) → limit → Router
                                                                             |  one branch per target
                                       (pictures) → pulse → breaker → retry → Hop (encode, send, decode)

It is called once for each colour, over the same state: that is what lets threads and event
loops share one cache, one limit and one set of breakers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, TypeVar

from .answers import alike, keeping, kept_answers, put_together, understanding
from .breakers import MOST_PLACES, Breakers
from .budgets import Purse
from .choosing import Chooser, GuardedSpare, routes
from .config import BreakerConfig, EdgeConfig, Resolved
from .errors import ConfigError
from .http.hop import Hop
from .http.sender import Sender
from .http.senders import HttpSettings
from .layers.breaker import CircuitBreaker
from .layers.cache import Cache
from .layers.continuation import Continuation
from .layers.deadline import Allowed, Deadline
from .layers.heed import Heed
from .layers.keys import Keyed, Keys
from .layers.mirror import Copies, Mirror
from .layers.pulse import Beat
from .layers.retry import Attempts, Retry
from .layers.router import Router
from .layers.rules import Rules
from .layers.semantic import Asked, Semantic
from .layers.tell import Closes, Listens, Tell
from .layers.translate import Translate, only_responses
from .limits import Limits, shared_place
from .message import UNCHARGED, Handler, Json, Layer, Request, stack
from .money.book import Book
from .money.tab import Tab
from .money.tokens import counting
from .places import Places, origin_of, place_of
from .policy.estimate import Lessons
from .policy.hedging import Hedge
from .policy.price import own_price
from .providers.addressed import Addressed
from .providers.base import Adapter, Reframing, Target
from .providers.dialects import by_name
from .providers.pictures import takes_data_alone
from .runtime import Clock, Runtime, ThreadClock
from .stores.neighbours import Neighbours
from .targets import Targets
from .telemetry.cells import Reading
from .telemetry.lines import Lines
from .telemetry.logs import keep_quiet
from .telemetry.metrics import breaker_readings

if TYPE_CHECKING:
    from .telemetry.redaction import Redactor

T = TypeVar("T")


class House:
    """What both colours share: settings, and the state of cache, limits and breakers."""

    def __init__(
        self,
        config: EdgeConfig,
        secrets: Resolved,
        *,
        chance: Callable[[], float] | None = None,
        clock: Clock | None = None,
        credentials: Mapping[str, object] | None = None,
    ) -> None:
        self.config = config
        self.targets = Targets(config, secrets, credentials)
        self.allowed = _per_route(config, _allowed)
        self.keeping = _per_route(config, keeping)
        self.attempts = _per_route(config, _attempts)
        self.continuations = _per_route(config, _continuations)
        self.answers = kept_answers(config, secrets, clock)
        self.alike = alike(config)
        self.questions: Neighbours[Asked] = Neighbours(config.cache.semantic.entries)
        self._lessons = lessons = Lessons(counting(config.token_files))
        self.limits = Limits(config, secrets, lessons)
        self.book = book_of(config, self.targets.priced_as)
        self.tab = Tab()
        self.purse = Purse(config, self.limits.counters, self.book.cost, clock or ThreadClock(), lessons)
        self._secrets = secrets.known
        keep_quiet()
        lines = Lines(content=config.telemetry.log_content, redactor=self.redactor, whole=put_together)
        self.listeners: list[Listens] = [lines] if config.telemetry.log_content else []
        self.closes: list[Closes] = [self.tab.call, *([] if config.telemetry.log_content else [lines.closed])]
        # A generator of our own would give forked children the same numbers; the module's is seeded anew for each.
        self.chance = chance or random.random
        self.breakers = Breakers(_per_route(config, _breaker), self.chance, clock)
        if (shared := shared_place(config.store, secrets)) is not None:
            self.breakers.share(*shared)
        self.routes = routes(config, self.targets)
        self.places = Places(config, self.breakers, self.targets)
        self.hedges = _per_route(config, _hedge)
        self.measured = any(each.weighs for each in self.routes.values()) or any(each.enabled for each in self.hedges)
        """Whether anybody chooses among targets by how fast they are and how much they do."""
        self.spare = GuardedSpare(config.hedge.share)
        self.copies = Copies()

    def likely(self, request: Request, target: str) -> Mapping[str, Any] | None:
        """What an attempt has probably used that was cut off; None for what we do not understand, or costs nothing."""
        if request.operation in UNCHARGED:
            return None
        try:
            return self._lessons.usage(request.body.json, target, embeddings=request.operation == "embeddings")
        except ValueError:
            return None

    def redactor(self) -> Redactor:
        """Takes secrets, those of this configuration by their value, and personal data out of texts."""
        from .telemetry.redaction import Redactor  # its patterns are made when somebody reads

        return Redactor(self._secrets)


def trunk(house: House, runtime: Runtime, send: Sender, *, layers: Sequence[Layer] = ()) -> Handler:
    """The whole chain in one colour."""
    clock = runtime.clock
    cache = Cache(
        house.answers, runtime, house.keeping, understanding, place=house.targets.place, cost=house.book.cost,
        chance=house.chance, books=_books(house, clock),
    )  # fmt: skip
    semantic = Semantic(cache, house.keeping, house.alike, house.questions, frozenset(house.config.routes))
    chain = stack(
        [
            _books(house, clock),
            Deadline(clock=clock, allowed=house.allowed),
            *layers,
            *_guard(house.config, clock),
            cache,
            *([semantic] if house.alike.model else []),
        ],
        traffic(house, runtime, lambda target: _end(house, runtime, send, target)),
    )
    semantic.ask = chain  # the vectors of questions are had like any call
    return chain


def traffic(house: House, runtime: Runtime, end: Callable[[Target], Handler]) -> Handler:
    """What is between the cache and the providers; `end` leads to one of them."""
    clock = runtime.clock
    chooser = Chooser(
        targets=house.targets, routes=house.routes, facts=house.places, clock=clock, chance=house.chance,
        price=house.book.cost, hedges=house.hedges, spare=house.spare,
    )  # fmt: skip
    mirror = Mirror(house.copies, runtime, _books(house, clock))
    router = Router(chooser.course, Branches(house, runtime, end).of, runtime, mirror)
    going_on = Continuation(clock=clock, rules=house.continuations, dialect=by_name)
    wanted = any(house.continuations)
    return stack([*house.limits.trunk(runtime), *([going_on] if wanted else [])], router)


def _books(house: House, clock: Clock) -> Tell:
    """What closes the books of each call."""
    return Tell(clock=clock, cost=house.book.cost, listeners=house.listeners, likely=house.likely, closes=house.closes)


@dataclass(slots=True)
class Branches:
    """pulse → breaker → retry → what is at the end, one for each target."""

    house: House
    runtime: Runtime
    end: Callable[[Target], Handler]
    _known: dict[tuple[Target, str, str], Handler] = field(default_factory=dict[tuple[Target, str, str], Handler])
    _ringed: dict[Target, Keys] = field(default_factory=dict[Target, Keys])
    _settled: dict[tuple[Target, str], Handler] = field(default_factory=dict[tuple[Target, str], Handler])
    """Branches of configured targets, by route: nothing else of a call leads to another."""

    def of(self, target: Target, request: Request) -> Handler:
        if target.addressed:
            return self._one(target, request)
        branch = self._settled.get((target, request.route))
        if branch is None:
            if len(self._settled) >= MOST_PLACES:
                self._settled.clear()
            branch = self._settled[target, request.route] = self._keys(target) or self._one(target, request)
        return branch

    def _one(self, target: Target, request: Request) -> Handler:
        origin = place_of(target, request)
        own = self.house.breakers.own_of(request.route)
        branch = self._known.get((target, origin, own))
        if branch is None:
            if len(self._known) >= MOST_PLACES:
                self._known.clear()
            branch = self._known[target, origin, own] = self._grown(target, origin, own)
        return branch

    def _grown(self, target: Target, origin: str, route: str) -> Handler:
        house, runtime, clock = self.house, self.runtime, self.runtime.clock
        layers: list[Layer] = [
            *_pictures(house, runtime, target),
            Beat(house.places.pulse(target, origin), runtime, target=target.name, measured=house.measured),
        ]
        if house.breakers.enabled(route):
            layers.append(CircuitBreaker(house.breakers.of(target, origin, route), clock, target=target.name))
        allowance = house.places.allowance(target, origin)
        layers.append(Retry(clock=clock, rules=house.attempts, chance=house.chance, allowance=allowance))
        # Whoever waits for room at a provider waits before it takes its part of a limit, or those let go together would
        # arrive together, and more in a moment than the limit says.
        layers += self._heed(target, origin)
        layers += [*house.limits.branch(runtime, target), *house.purse.branch(runtime, target)]
        return stack(layers, self.end(target))

    def _heed(self, target: Target, origin: str) -> list[Layer]:
        """What the provider says about its limits counts, unless the configuration says that it does not."""
        house, known = self.house, self.house.places.credentials
        given = house.config.providers.get(target.provider)
        if given is not None and not given.heed_limits:
            return []
        if target.addressed:
            return [
                Heed(
                    credential=lambda request: known.of(target, origin, request.scope), target=target,
                    runtime=self.runtime,
                )
            ]  # fmt: skip
        credential, keys = known.of(target, origin), self._keys(target)

        def others(now: float) -> bool:
            return keys is not None and any(
                keys.usable(number, now) for number, each in enumerate(keys.keyed) if each.target.key != target.key
            )

        return [Heed(credential=lambda request: credential, target=target, runtime=self.runtime, others=others)]

    def _keys(self, target: Target) -> Keys | None:
        """The target's branches, one for each of its provider's keys; None when there is but one."""
        ring = self.house.targets.rings.get(target.provider)
        if ring is None or target.addressed:
            return None
        place = replace(target, key="")
        keys = self._ringed.get(place)
        if keys is None:
            if len(self._ringed) >= MOST_PLACES:
                self._ringed.clear()
            origin, known = origin_of(target.base_url), self.house.places.credentials
            keyed = [
                Keyed(each, partial(known.of(each, origin).closed_for, target.model))
                for each in self.house.places.keyed(target)
            ]
            keys = self._ringed[place] = Keys(keyed=keyed, ring=ring, branch=self._one, clock=self.runtime.clock)
        return keys


def _pictures(house: House, runtime: Runtime, target: Target) -> list[Layer]:
    """For a place that fetches none by itself."""
    http = house.config.http
    if http.pictures == "off" or target.addressed or not takes_data_alone(target):
        return []
    from .http.fetching import Fetching
    from .layers.pictures import Pictures

    ca_file = None if http.ca_file is None else str(http.ca_file)
    plain = HttpSettings(connect=http.connect, ca_file=ca_file, tls_minimum=http.tls_minimum)
    return [Pictures(clock=runtime.clock, fetch=Fetching(plain, runtime, http.pictures))]


def _end(house: House, runtime: Runtime, send: Sender, target: Target) -> Handler:
    """Translate → Hop."""
    adapter: Adapter = Addressed() if target.addressed else house.targets.adapter(target)
    unsupported, http = house.config.on_unsupported_param, house.config.http
    hop = Hop(
        adapter=adapter, target=target, dialect=by_name, send=send, runtime=runtime, allowed=house.allowed,
        connect=http.connect, largest=http.max_body, credential=house.targets.credential(target),
        reframing=adapter if isinstance(adapter, Reframing) else None,
    )  # fmt: skip
    translate = Translate(
        adapter=adapter, target=target, clock=runtime.clock, on_unsupported=unsupported,
        responses=only_responses(adapter, target),
    )  # fmt: skip
    return stack([translate], hop)


def readings(house: House) -> Iterator[Reading]:
    """How cache, breakers and budgets stand, for the metrics."""
    yield "llm_edge_cache_entries", ("l1",), len(house.answers.memory)
    yield "llm_edge_cache_bytes", ("l1",), house.answers.memory.weight
    yield "llm_edge_cache_evictions_total", ("l1",), house.answers.memory.evicted
    if (second := house.answers.second) is not None:
        for operation, times in zip(("read", "write"), second.failures, strict=True):
            yield "llm_edge_store_errors_total", ("cache", operation), times
    if (failures := house.limits.counters.failures) is not None:
        yield "llm_edge_store_errors_total", ("limits", "count"), failures
    yield from breaker_readings(house.breakers.states())
    yield from house.purse.readings()


def stores(house: House) -> Mapping[str, str]:
    """Where answers and counts rest, and whether that place answers."""
    cache, answers, config = house.config.cache, house.answers, house.config
    second = "redis" if cache.redis.url else "disk"
    tier = "" if answers.second is None else f" + {second}{' failing' if answers.second.failing else ''}"
    failing = " failing" if house.limits.counters.failing else ""
    return {"cache": "off" if cache.policy == "off" else f"memory{tier}", "counts": f"{config.store.kind}{failing}"}


def finished(dialect: str, answer: Json) -> Sequence[str]:
    """Why an answer ended, in the words of its dialect."""
    known = by_name(dialect)
    return known.finished(answer) if known is not None else ()


def book_of(config: EdgeConfig, place: Callable[[str], str]) -> Book:
    """The prices as configured. Raises ConfigError where they are to come from a package that is not there."""
    if config.prices.source == "installed" and find_spec("genai_prices") is None:
        where = config.place(("prices", "source"))
        raise ConfigError(f"prices.source ({where}): needs one more package: pip install 'llm_edge[prices]'")
    own = {name: own_price(given.dollars, given.by_tier) for name, given in config.prices.models.items()}
    return Book(own, source=config.prices.source, place=place)


def _per_route(config: EdgeConfig, read: Callable[[EdgeConfig], T]) -> Rules[T]:
    return Rules(read(config), {name: read(config.for_route(name)) for name in config.routes})


def _allowed(config: EdgeConfig) -> Allowed:
    times = config.deadline
    return Allowed(
        chat=times.total or times.chat, stream=times.total or times.stream, embeddings=times.total or times.embeddings,
        first_token=times.first_token, idle=times.idle, attempt=times.attempt, untouched=times.untouched,
    )  # fmt: skip


def _breaker(config: EdgeConfig) -> BreakerConfig:
    return config.breaker


def _attempts(config: EdgeConfig) -> Attempts:
    return Attempts(attempts=config.retry.attempts, base=config.retry.base, cap=config.retry.cap)


def _continuations(config: EdgeConfig) -> int:
    return max(config.retry.attempts - 1, 1) if config.retry.continuation else 0


def _guard(config: EdgeConfig, clock: Clock) -> list[Layer]:
    if all(config.for_route(name).guard.pii == "off" for name in ("", *config.routes)):
        return []
    from .layers.guard import Guard, Guarding  # its patterns are made where somebody looks for something

    def guarding(each: EdgeConfig) -> Guarding:
        return Guarding(pii=each.guard.pii, kinds=each.guard.kinds, restore=each.guard.restore)

    return [Guard(rules=_per_route(config, guarding), clock=clock, dialect=by_name)]


def _hedge(config: EdgeConfig) -> Hedge:
    return Hedge(enabled=config.hedge.enabled, usual=config.hedge.usual, least=config.hedge.least)
