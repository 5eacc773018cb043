"""
Answers what was answered before; keeps what ended well; asks once for all who ask the same at the same time.

A call is looked for in memory, then joins whoever is asking the same just now, or else looks in the second tier and
goes on to a provider. An answer near or past its end may be given once more while it is renewed behind the caller's
back, or when nobody else answers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

from ..errors import CallError, NotCached
from ..message import Handler, Headers, Json, Pairs, Request, Response, Watcher
from ..notes import Notes
from ..policy import freshness
from ..policy.cacheable import Policy, fit, why_not
from ..policy.keys import address, answer_key
from ..runtime import Runtime
from ..stores.entry import Entry, Kind, digest
from .answers import Answers
from .kept import Held, Keeper, Understanding, form_of, kept_headers, told
from .rules import Rules
from .tell import Cost

log = logging.getLogger("llm_edge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is kept, and for how long."""

    policy: Policy = "all"
    ttl: float = 300.0
    """Seconds in memory; everywhere, where there is no second tier."""
    second_ttl: float | None = None
    """Seconds in the second tier, where there is one."""
    stale_while_revalidate: float = 0.0
    """Seconds after its end that an answer is still given while it is asked for again."""
    stale_if_error: float = 0.0
    """Seconds after its end that an answer is still given when nobody else answers."""
    early: bool = True
    """Whether an answer is now and then asked for again a little before its end."""
    pace: float = 0.0
    """Seconds between the events of a stream that is told again."""
    coalesce: bool = True
    """Whether calls share what others are asking for just now."""


_LARGEST = 4 * 2**20
_OPERATIONS = frozenset({"chat", "completions", "embeddings"})


class Cache:
    """The first layer that can answer, in one colour. One entry for each call that could be answered differently."""

    def __init__(
        self,
        answers: Answers,
        runtime: Runtime,
        rules: Rules[Keeping],
        understand: Callable[[str], Understanding],
        *,
        place: Callable[[Request], str] = lambda request: "",
        cost: Cost = lambda target, usage, moment, model: None,
        chance: Callable[[], float] = lambda: 0.5,
    ) -> None:
        self.answers, self.runtime, self.clock = answers, runtime, runtime.clock
        self._rules, self.understand, self._place, self.cost, self.chance = rules, understand, place, cost, chance
        self.tier = answers.tier(runtime)

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        notes, rule, controls = request.notes, self._rules.of(request.route), request.controls
        reason, key = self._recognised(request, rule)
        if reason:
            self.answers.stats.passed()
            notes.cache, notes.cache_reason = "BYPASS", reason
            if controls.only_if_cached:
                raise NotCached(f"only-if-cached was asked, and the cache does not take this call: {reason}")
            return await handler(request)
        notes.cache_key = key
        call = _Call(self, key, request, rule, handler)
        if not controls.no_cache:
            response = call.remembered()
            if response is not None:
                return response
        notes.cache = "MISS"
        if controls.only_if_cached:
            response = None if controls.no_cache else await call.fetched(request)
            if response is None:
                raise NotCached("only-if-cached was asked, and the cache has no answer")
            return response
        return await call.asked()

    def _recognised(self, request: Request, rule: Keeping) -> tuple[str, str]:
        """Why the cache passes this call by, or else its key."""
        if request.operation not in _OPERATIONS:
            return "calls of this kind are not kept", ""
        controls = request.controls
        try:
            reason = why_not(request.dialect, request.body.json, rule.policy, operation=request.operation)
            return reason, "" if reason else answer_key(
                request.body, request.dialect, request.route, address(request.url, request.dialect),
                self._place(request), controls.tenant, request.scope, controls.namespace, *_affecting(request.headers),
            )  # fmt: skip
        except ValueError:
            return "the body is not a JSON object", ""


class _Call:
    """One call under a key: what is known of it, and how it is asked."""

    __slots__ = ("_answers", "_cache", "_handler", "_key", "_request", "_rule")

    def __init__(self, cache: Cache, key: str, request: Request, rule: Keeping, handler: Handler) -> None:
        self._cache, self._answers = cache, cache.answers
        self._key, self._request, self._rule, self._handler = key, request, rule, handler

    # ------------------------------------------------------------------ what is there

    def remembered(self) -> Response | None:
        """The answer memory has; one past its end only where it may still be given while it is renewed."""
        cache, request, rule = self._cache, self._request, self._rule
        now = cache.clock.now()
        held = self._answers.recall(self._key, now)
        if held is None:
            return None
        left = held.expires - now
        if now >= held.until and left > 0:
            return None  # the second tier may know better
        most = request.controls.max_age
        if most is not None and now - held.made > most:
            return None
        chance = cache.chance() if rule.early else 0.0
        stands = freshness.verdict(left, held.entry.took, chance, stale=rule.stale_while_revalidate)
        if stands == "old":
            return None
        response = self._given(held, now, stale=stands == "stale")
        if response is not None and stands != "fresh" and not request.controls.only_if_cached:
            self._renew()
        return response

    def _given(self, held: Held, now: float, *, stale: bool) -> Response | None:
        """The entry as this call asks for it, and in its notes where it came from."""
        request, entry = self._request, held.entry
        cache = self._cache
        response = told(entry, request, cache.understand(request.dialect), cache.clock, self._rule.pace)
        if response is not None:
            notes = request.notes
            notes.cache, notes.cache_age = "STALE" if stale else "HIT", now - held.made
            notes.target, notes.usage = entry.target, None if entry.usage is None else dict(entry.usage)
            self._answers.stats.served(entry, stale=stale)
        return response

    async def fetched(self, request: Request) -> Response | None:
        """The answer the second tier has, or memory by now; it goes into memory, too."""
        response = self.remembered()
        tier = self._cache.tier
        if response is not None or tier is None:
            return response
        entry = await tier.get(self._key, self._scope())
        if entry is None:
            return None
        clock = self._cache.clock
        now, age = clock.now(), max(clock.time() - entry.made, 0.0)
        held = self._answers.hold(entry, now=now, age=age, seconds=self._rule.ttl)
        most = request.controls.max_age
        if age >= entry.ttl or (most is not None and age > most):
            return None
        return self._given(held, now, stale=False)

    def _scope(self) -> str:
        return digest(self._request.controls.tenant, self._request.scope)

    # ------------------------------------------------------------------ what has to be asked

    async def asked(self) -> Response:
        """The answer of a provider, or of whoever asks for the same just now; a stale one when there is no other."""
        request, controls, rule = self._request, self._request.controls, self._rule
        try:
            if controls.no_cache:
                return await self._ask(request)
            alone = controls.no_store or not (rule.coalesce if controls.coalesce is None else controls.coalesce)
            if alone:
                return await self.fetched(request) or await self._ask(request)
            shared = f"{self._key} {form_of(request)} {controls.max_age}"
            response = await self._answers.flights.share(
                shared, request, self._cache.runtime, look=self.fetched, ask=self._ask
            )
            if request.notes.cache == "COALESCED":
                self._answers.stats.shared()
            return response
        except CallError as error:
            stale = self._instead(error)
            if stale is None:
                raise
            return stale

    def _instead(self, error: CallError) -> Response | None:
        """What is given in place of a failure, where that is allowed."""
        if not freshness.excused(error):
            return None
        now = self._cache.clock.now()
        held = self._answers.recall(self._key, now)
        if held is None:
            return None
        window = max(self._rule.stale_if_error, self._request.controls.stale_if_error or 0.0)
        left = held.expires - now
        if -left >= window:
            return None
        self._request.notes.say(now, "cache", stale=True, instead_of=type(error).__name__)
        return self._given(held, now, stale=left <= 0)

    async def _ask(self, request: Request) -> Response:
        """Ask further down, and keep what comes."""
        self._answers.stats.missed()
        began = self._cache.clock.now()
        response = await self._handler(request)
        controls = request.controls
        if response.status == 200 and not controls.no_store and controls.ttl != 0 and not request.notes.fallbacks:
            # Another target's answer is not the answer to this key.
            self._keep(request, response, began)
        return response

    def _keep(self, request: Request, response: Response, began: float) -> None:
        headers = kept_headers(response.headers, form_of(request))
        if response.stream is not None:

            def keep(payload: bytes, watcher: Watcher) -> None:
                if watcher.finished and fit(watcher.finished):
                    self._put("stream", payload, headers, request, watcher.usage, began)

            response.stream.listen(Keeper(response.stream.watcher, keep, _LARGEST))
            return
        body = response.body
        if body is None or len(body.raw) > _LARGEST:
            return
        usage = request.notes.usage
        finished = self._cache.understand(request.dialect).finished(body, usage)
        if finished is not None and fit(finished):
            self._put("whole", body.raw, headers, request, usage, began)

    def _put(
        self, kind: Kind, payload: bytes, headers: Pairs, request: Request, usage: Json | None, began: float
    ) -> None:
        cache, rule, controls = self._cache, self._rule, request.controls
        tier, clock = cache.tier, cache.clock
        ttl = controls.ttl
        if ttl is None:
            ttl = freshness.spread(rule.ttl if tier is None else rule.second_ttl or rule.ttl, cache.chance())
        now, target = clock.now(), request.notes.target
        entry = Entry(
            key=self._key, scope=self._scope(), tenant=digest(controls.tenant), namespace=controls.namespace,
            model=request.model, dialect=request.dialect, kind=kind, headers=headers, payload=payload,
            made=clock.time(), ttl=ttl, usage=None if usage is None else dict(usage),
            cost=cache.cost(target, usage, clock.time(), ""),
            took=now - began, target=target,
        )  # fmt: skip
        self._answers.hold(entry, now=now, age=0.0, seconds=rule.ttl)
        if tier is not None:
            tier.put(entry)

    # ------------------------------------------------------------------ renewed behind the caller's back

    def _renew(self) -> None:
        key, answers, clock = self._key, self._answers, self._cache.clock
        if not answers.begins(key):
            return
        asked, now = self._request, clock.now()
        deadline = None if asked.deadline is None else now + max(asked.deadline - now, 1.0)
        notes = Notes(model=asked.model, operation=asked.operation, started=now, route=asked.route)
        request = replace(asked, notes=notes, deadline=deadline)

        async def work() -> None:
            try:
                response = await self._ask(request)
                if response.stream is not None:
                    async for _ in response.stream:
                        pass
            except Exception:
                # Whoever asks after its end will see the failure.
                log.debug("an answer could not be renewed", exc_info=True)

        try:
            self._cache.runtime.home().start(work, lambda: answers.over(key))
        except RuntimeError:
            answers.over(key)  # no thread to be had, or the loop is being closed
        else:
            answers.stats.again()


def _affecting(headers: Headers) -> tuple[str, ...]:
    """Request headers that change the answer, as words for the key."""
    if headers.lack(_AFFECTING):
        return ()
    return tuple([f"{name}={headers[name]}" for name in sorted(_AFFECTING) if name in headers])


_AFFECTING = frozenset({
    "anthropic-version", "anthropic-beta", "anthropic-workspace-id",
    "openai-organization", "openai-project", "openai-beta", "accept-language",
})  # fmt: skip
