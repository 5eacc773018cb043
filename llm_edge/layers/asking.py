"""One call under its key: what is known of it, how it is asked, and what of its answer is kept."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from ..errors import CallError, DeadlineExceeded, StreamBroken
from ..message import Handler, Json, OnEnd, Pairs, Request, Response, Watcher, stack
from ..notes import Notes
from ..policy import freshness
from ..policy.cacheable import fit
from ..stores.entry import YEAR, Entry, Kind, belongs, digest
from ..stores.shelf import Lease
from .flight import Ask, Look
from .kept import Held, Keeper, form_of, kept_headers, told, turned

if TYPE_CHECKING:
    from .cache import Cache, Keeping

log = logging.getLogger("llm_edge")

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 0.25
"""Seconds between two looks at whether another process has the answer."""
LARGEST: Final = 4 * 2**20
"""Bytes of an answer that is kept."""


_digest = lru_cache(maxsize=1024)(digest)
"""The same few tenants ask all the time."""


class Asking:
    """One call under a key: what is known of it, and how it is asked."""

    __slots__ = ("_answers", "_cache", "_doubted", "_handler", "_key", "_over", "_request", "_rule")

    def __init__(self, cache: Cache, key: str, request: Request, rule: Keeping, handler: Handler) -> None:
        self._cache, self._answers = cache, cache.answers
        self._key, self._request, self._rule, self._handler = key, request, rule, handler
        self._over = self._answers.flights.over
        """How many calls under way had ended when memory was asked first."""
        self._doubted = False
        """Whether memory has an answer that another process may have purged meanwhile."""

    # ------------------------------------------------------------------ what is there

    def remembered(self, *, informed: bool = False) -> Response | None:
        """
        The answer memory has; one past its end only where it may still be given while it is renewed.

        `informed`: other processes' purges have just been looked up, or cannot be.
        """
        cache, request, rule = self._cache, self._request, self._rule
        now = cache.clock.now()
        held = self._answers.recall(self._key, now)
        if held is None:
            return None
        if not informed and not self._answers.informed:
            self._doubted = True
            return None
        left = held.expires - now
        if now >= held.until and left > 0 and not self._answers.alone:
            return None  # the second tier may know better
        most = request.controls.max_age
        if most is not None and now - held.made > most:
            return None
        chance = cache.chance() if rule.early else 0.0
        stands = freshness.verdict(left, held.entry.took, chance, stale=rule.stale_while_revalidate)
        due = stands != "fresh" and not request.controls.only_if_cached
        if stands == "old" or (stands == "stale" and due and not self._renews()):
            return None
        response = self._given(held, now, stale=stands == "stale")
        if response is not None and due and self._renews():
            self._renew(held.entry)
        return response

    def _renews(self) -> bool:
        """Whether this call's own answer would be kept under this key, which may be that of a similar question."""
        controls = self._request.controls
        return not controls.no_store and controls.ttl != 0 and self._key == self._request.notes.cache_key

    def _given(self, held: Held, now: float, *, stale: bool) -> Response | None:
        """The entry as this call asks for it, and in its notes where it came from."""
        request, entry = self._request, held.entry
        cache = self._cache
        response = told(entry, request, cache.understand(request.dialect), cache.clock, self._rule.pace)
        if response is not None:
            notes = request.notes
            notes.cache, notes.cache_age = "STALE" if stale else "HIT", now - held.made
            notes.target, notes.usage = entry.target, None if entry.usage is None else dict(entry.usage)
            notes.saved = entry.cost
            self._answers.stats.served(entry, stale=stale)
        return response

    async def fetched(self, request: Request) -> Response | None:
        """The answer the second tier has, or memory by now; it goes into memory, too."""
        tier = self._cache.tier
        if self._over != self._answers.flights.over or request is not self._request:
            response = self.remembered()  # somebody may have brought it meanwhile
            if response is not None:
                return response
        if tier is None:
            return None
        request.notes.further = "l2"
        entry = await tier.get(self._key, self._scope())
        if self._doubted:  # now the purges are known
            self._doubted = False
            response = self.remembered(informed=True)
            if response is not None:
                return response
        if entry is None:
            return None
        now, age, held = self._found(entry)
        most = request.controls.max_age
        if age >= entry.ttl or (most is not None and age > most):
            return None
        return self._given(held, now, stale=False)

    def _found(self, entry: Entry) -> tuple[float, float, Held]:
        """It was in the second tier, and goes into memory: now, its age, and as memory holds it."""
        clock = self._cache.clock
        now, age = clock.now(), max(clock.time() - entry.made, 0.0)
        return now, age, self._answers.hold(entry, now=now, age=age, seconds=self._rule.ttl)

    def _scope(self) -> str:
        return belongs(self._request.controls.tenant, self._request.scope)

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
            # Known here, most calls are spared a step.
            ask: Ask = self._ask if self._cache.tier is None or rule.lease <= 0 else self.ask_for_all
            response = await self._answers.flights.share(
                self._flight(form_of(request)), request, self._cache.runtime,
                look=self.fetched, ask=ask, other=self._other_form, turn=self._turned,
            )  # fmt: skip
            if request.notes.cache == "COALESCED":
                self._answers.stats.shared()
            return response
        except CallError as error:
            stale = self._instead(error)
            if stale is None:
                raise
            return stale

    def _flight(self, form: str) -> str:
        """The name of this question while it is on its way: who would not take another's answer does not share it."""
        words = self._request.controls
        if words.fallbacks and words.semantic and words.max_age is None:
            return f"{self._key} {form}" if form else self._key
        return f"{self._key} {form} {words.max_age} {words.fallbacks} {words.semantic}"

    def _other_form(self) -> str:
        """Under which name the same question is on its way that is asked in the other form; empty where none can be."""
        request = self._request
        if request.operation == "embeddings":
            return ""
        twin = "" if request.streaming else self._cache.understand(request.dialect).complete
        return self._flight(twin)

    async def _turned(self, response: Response, request: Request) -> Response | None:
        """The answer of whoever asks for it in the other form, in this one; None when this call has to ask, too."""
        notes, stream = request.notes, response.stream
        try:
            own = await turned(response, request, self._cache.understand(request.dialect))
        except StreamBroken:
            if request.deadline is not None and self._cache.clock.now() >= request.deadline:
                raise DeadlineExceeded("the call that this one shares was not answered in time") from None
            own = None
        if own is None:  # as if it had never been a guest
            notes.cache, notes.cost, notes.target, notes.targets, notes.usage = "MISS", None, "", [], None
            notes.fallbacks = 0
        elif stream is not None:
            notes.usage = stream.watcher.usage
        return own

    def _instead(self, error: CallError) -> Response | None:
        """What is given in place of a failure, where that is allowed."""
        held = self.spare(error)
        if held is None:
            return None
        now = self._cache.clock.now()
        self._request.notes.say(now, "cache", stale=True, instead_of=type(error).__name__)
        return self._given(held, now, stale=held.expires <= now)

    def spare(self, error: CallError) -> Held | None:
        """What memory has to be given in place of this failure, where that is allowed."""
        if not freshness.excused(error):
            return None
        now = self._cache.clock.now()
        held = self._answers.recall(self._key, now)
        if held is None:
            return None
        controls, past = self._request.controls, now - held.expires
        window = controls.stale_if_error or 0.0
        if not controls.no_cache:  # who wants none of what is kept has to say so, to be given it all the same
            window = max(window, self._rule.stale_if_error)
        if controls.no_cache or (controls.max_age is not None and now - held.made > controls.max_age):
            past = max(past, 0.0)  # to this call it is not fresh
        return held if past < window else None

    async def ask_for_all(
        self, request: Request, look: Look | None = None, ask: Callable[..., Awaitable[Response]] | None = None
    ) -> Response:
        """Ask while other processes wait for the answer; or wait for theirs, as long as it makes sense."""
        tier, clock, lease = self._cache.tier, self._cache.clock, self._rule.lease
        look, ask = look or self.fetched, ask or self._ask
        if tier is None or lease <= 0 or tier.crowded:
            return await ask(request)
        name, token = f"{self._key} {form_of(request)}", secrets.token_hex(8)
        until, pause = self._patience(request, lease), _FIRST_PAUSE
        while await tier.claim(name, token, lease) is False:  # None: the store cannot say
            if clock.now() >= until:
                return await ask(request)
            await clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            found = await look(request)
            if found is not None:
                return found
        try:
            found = await look(request) if pause > _FIRST_PAUSE else None
            response = found or await ask(request, (name, token), over=lambda: tier.release(name, token))
        except BaseException:
            tier.release(name, token)
            raise
        if response.stream is None or found is not None:
            tier.release(name, token)
        return response

    def _patience(self, request: Request, lease: float) -> float:
        """Until when another process is waited for: half of the time there is, and no longer than a lease."""
        now = self._cache.clock.now()
        return now + (lease if request.deadline is None else min(lease, max(request.deadline - now, 0.0) / 2))

    async def _ask(
        self, request: Request, lease: Lease | None = None, over: Callable[[], None] | None = None
    ) -> Response:
        """Ask further down, and keep what comes; `over` is told when a stream has been kept, or has ended otherwise."""
        self._answers.stats.missed()
        began = self._cache.clock.now()
        response = await self._handler(request)
        if over is not None and response.stream is not None:
            # Before the keeper: who listens first hears the end last.
            response.stream.listen(OnEnd(lambda error: over()))
        controls = request.controls
        notes = request.notes
        # Another target's answer is not the answer to this key, and neither is another question's.
        others = notes.fallbacks or notes.cache == "SEMANTIC HIT"
        if response.status == 200 and not controls.no_store and controls.ttl != 0 and not others:
            self._keep(request, response, began, lease)
        return response

    def _keep(self, request: Request, response: Response, began: float, lease: Lease | None) -> None:
        headers = kept_headers(response.headers, form_of(request))
        if response.stream is not None:

            def keep(payload: bytes, watcher: Watcher) -> None:
                # Asked again: where the stream broke off, another may have told the rest.
                if watcher.finished and fit(watcher.finished) and not request.notes.fallbacks:
                    model = str(getattr(watcher, "model", ""))
                    self.put("stream", payload, headers, request, watcher.usage, began, lease, model)

            response.stream.listen(Keeper(response.stream.watcher, keep, LARGEST))
            return
        body, notes = response.body, request.notes
        if body is None or len(body.raw) > LARGEST:
            return
        usage = notes.usage
        finished = self._cache.understand(request.dialect).finished(body, usage)
        if finished is not None and fit(finished):
            self.put("whole", body.raw, headers, request, usage, began, lease, notes.answered)

    def put(
        self, kind: Kind, payload: bytes, headers: Pairs, request: Request, usage: Json | None, began: float,
        lease: Lease | None = None, answered: str = "",
    ) -> None:  # fmt: skip
        """Keep an answer; `answered` is the model that says it gave it."""
        entry, tier = self.hold(kind, payload, headers, request, usage, began, answered), self._cache.tier
        if entry is not None and tier is not None:
            tier.put(entry, lease)

    def hold(
        self, kind: Kind, payload: bytes, headers: Pairs, request: Request, usage: Json | None, began: float,
        answered: str,
    ) -> Entry | None:  # fmt: skip
        """Keep an answer in memory, and give what is to be kept further down; None where there is a better one."""
        cache, rule, controls = self._cache, self._rule, request.controls
        tier, clock = cache.tier, cache.clock
        ttl = controls.ttl
        if ttl is None:
            ttl = freshness.spread(rule.ttl if tier is None else rule.second_ttl or rule.ttl, cache.chance())
        now, target = clock.now(), request.notes.target
        if kind == "stream" and usage is None:
            held = self._answers.recall(self._key, now)
            if held is not None and held.made >= began and held.entry.usage is not None:
                return None  # it came while this one was on its way, and serves both kinds of ask
        entry = Entry(
            key=self._key, scope=self._scope(), tenant=_digest(controls.tenant), namespace=controls.namespace,
            model=request.model, dialect=request.dialect, kind=kind, headers=headers, payload=payload,
            made=clock.time(), ttl=min(ttl, YEAR), usage=None if usage is None else dict(usage),
            cost=cache.cost(target, usage, clock.time(), answered),
            took=now - began, target=target,
        )  # fmt: skip
        self._answers.hold(entry, now=now, age=0.0, seconds=rule.ttl)
        return entry

    # ------------------------------------------------------------------ renewed behind the caller's back

    def _renew(self, known: Entry) -> None:
        key, answers, clock = self._key, self._answers, self._cache.clock
        if not answers.begins(key):
            return
        asked, now = self._request, clock.now()
        deadline = None if asked.deadline is None else now + max(asked.deadline - now, 1.0)
        notes = Notes(model=asked.model, operation=asked.operation, started=now, route=asked.route, cache="MISS")
        anew = replace(asked.controls, no_cache=True)  # nor from what was said to a similar question
        request = replace(asked, notes=notes, deadline=deadline, controls=anew)

        async def newer(request: Request) -> Response | None:
            return await self._newer(known, request)

        async def ask(request: Request) -> Response:
            answers.stats.again()
            return await self.ask_for_all(request, newer)

        books = self._cache.books

        async def work() -> None:
            try:
                response = await newer(request) or await (ask if books is None else stack([books], ask))(request)
                if response.stream is not None:
                    async for _ in response.stream:
                        pass
            except Exception:
                # Whoever asks after its end will see the failure.
                log.debug("an answer could not be renewed", exc_info=True, extra=asked.notes.about)

        try:
            self._cache.runtime.home().start(work, lambda: answers.over(key))
        except RuntimeError:
            answers.over(key)  # no thread to be had, or the loop is being closed

    async def _newer(self, known: Entry, request: Request) -> Response | None:
        """What another process has been told since then; it goes into memory."""
        cache, tier = self._cache, self._cache.tier
        entry = None if tier is None else await tier.get(self._key, self._scope())
        if entry is None or entry.made <= known.made:
            return None
        response = told(entry, request, cache.understand(request.dialect), cache.clock, 0.0)
        if response is not None:
            self._found(entry)
        return response
