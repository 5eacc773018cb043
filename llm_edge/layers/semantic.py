"""
Answers a question with the kept answer to one that means the same, where that is switched on.

It stands below the cache, which has no answer to the very same question by then. The question alone is compared: all
else of the call (model, instructions, what was said before, tenant, credential) has to be the same. What it gives is
not kept a second time, so that likenesses do not wander. Whatever goes wrong here, the call goes on as a miss.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..exact import is_list
from ..message import Body, Controls, Handler, Request, Response
from ..notes import Notes
from ..policy.cacheable import SAID_ALL
from ..policy.similar import Marks, marks, question_of
from ..stores.neighbours import Neighbours
from .asking import Asking
from .cache import Cache, Keeping
from .kept import ends
from .rules import Rules

log = logging.getLogger("llm_edge")

HIT: Final = "SEMANTIC HIT"
_PATIENCE: Final = 2.0
"""Seconds that a question's vector may take; and no more than a quarter of the time there is."""


@dataclass(frozen=True, slots=True)
class Alike:
    """Which questions count as the same."""

    model: str = ""
    """Who makes the vectors; empty: nobody, and nothing is compared."""
    threshold: float = 0.95
    """Cosine of the angle between two questions, at least."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question that was answered."""

    key: str
    marks: Marks


class Semantic:
    """The layer, in one colour. `ask` is the whole chain: vectors are cached, limited and told of like any call."""

    def __init__(
        self, cache: Cache, rules: Rules[Keeping], alike: Alike, known: Neighbours[Asked], routes: frozenset[str]
    ) -> None:
        self._cache, self._rules, self._alike, self._known, self._routes = cache, rules, alike, known, routes
        self.ask: Handler | None = None

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        controls, key = request.controls, request.notes.cache_key
        if not key or request.operation != "chat" or controls.no_cache or controls.no_store or not controls.semantic:
            return await handler(request)
        question = question_of(request.dialect, request.body.json)
        if question is not None:
            request.notes.further = "semantic"
        vector = None if question is None else await self._vector(question.text, request)
        if question is None or vector is None:
            return await handler(request)
        group = self._cache.key_of(request, Body(json=question.around))
        must = marks(question.text)
        for alike, asked in self._known.nearest(group, vector, self._alike.threshold):
            if asked.key != key and asked.marks == must and self._whole(asked.key, request):
                response = Asking(self._cache, asked.key, request, self._rules.of(request.route), handler).remembered()
                if response is not None:
                    notes = request.notes
                    notes.cache = HIT
                    notes.say(self._cache.clock.now(), "cache", similar=round(alike, 4))
                    return response
        request.notes.cache = "MISS"  # an entry may have been found that cannot be told this way
        response = await handler(request)
        if response.status == 200:
            self._known.add(group, vector, Asked(key, must))
        return response

    def _whole(self, key: str, request: Request) -> bool:
        """Whether the answer kept under this key says all it had to say; one cut short is for who asked for it."""
        held = self._cache.answers.recall(key, self._cache.clock.now())
        finished = () if held is None else ends(held.entry, self._cache.understand(request.dialect))
        return bool(finished) and SAID_ALL.issuperset(finished)

    async def _vector(self, text: str, request: Request) -> Sequence[float] | None:
        assert self.ask is not None, "given by who puts the chain together"
        model, clock, controls = self._alike.model, self._cache.clock, request.controls
        left = _PATIENCE if request.deadline is None else min(_PATIENCE, (request.deadline - clock.now()) / 4)
        if left <= 0:
            return None
        route = model if model in self._routes else ""
        asked = Request(
            operation="embeddings", dialect="openai.embeddings", body=Body(json={"model": model, "input": text}),
            model=model, timeout=left, route=route, scope=request.scope,
            controls=Controls(tenant=controls.tenant, user=controls.user, tier=controls.tier),
            notes=Notes(model=model, operation="embeddings", started=clock.now(), route=route),
        )  # fmt: skip
        try:
            response = await self.ask(asked)
            data: Any = response.body.json["data"][0]["embedding"] if response.body is not None else None
            return [float(number) for number in data] if is_list(data) else None
        except Exception:
            log.debug("a question could not be compared with others", exc_info=True, extra=request.notes.about)
            return None
