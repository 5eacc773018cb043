"""
Embeddings of several inputs, kept one by one: of a batch of which most are known, only the others are asked for.

What an answer says of tokens is what was used for it: of a batch that was asked in part, that part; of one that was
all kept, what its inputs used then. A provider tells the tokens of a whole batch, so the share of each input is worked
out from its length; the shares add up to what was told.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .. import exact
from ..errors import CallError, NotCached
from ..message import Body, Handler, Headers, Request, Response
from ..stores.entry import Entry, belongs, digest
from .asking import Asking
from .kept import kept_headers

if TYPE_CHECKING:
    from .cache import Cache, Keeping

_IN_VAIN: Final = 0.1
"""Seconds that the second tier is asked in vain for the inputs of one batch; what is new here is new there, too."""


def inputs_of(request: Request) -> Sequence[Any] | None:
    """The inputs of a call that lists them; None for one input, and for what is no such list."""
    if request.dialect != "openai.embeddings":
        return None
    given: Any = request.body.json.get("input")
    if not exact.is_list(given) or not given:
        return None
    kinds = set(map(type, given))
    return given if kinds in ({str}, {list}) else None


class Inputs:
    """One call for several inputs."""

    def __init__(self, cache: Cache, request: Request, rule: Keeping, handler: Handler, inputs: Sequence[Any]) -> None:
        self._cache, self._answers, self._request, self._rule, self._handler = (
            cache, cache.answers, request, rule, handler,
        )  # fmt: skip
        self._inputs = inputs
        self._keys = [cache.key_of(request, request.body.with_fields(input=each)) for each in inputs]
        self._ages: list[float] = []
        # What stands in the story is what an answer is kept under: of several inputs there is no such one.
        request.notes.cache_key = self._keys[0] if len(set(self._keys)) == 1 else ""

    async def answered(self) -> Response:
        """
        The answer, put together from what is kept and what had to be asked.

        Raises what asking raises, where what is kept may not be given in its place past its end.
        """
        try:
            return await self._answered()
        except CallError as error:
            stale = self._instead(error)
            if stale is None:
                raise
            return stale

    async def _answered(self) -> Response:
        request, controls = self._request, self._request.controls
        known = {} if controls.no_cache else await self._known()
        if not _alike(known.values()):
            known = {}
        wanted = {key: each for key, each in zip(self._keys, self._inputs, strict=True) if key not in known}
        notes = request.notes
        if not wanted:
            return self._from_kept(known, self._keys)
        notes.cache = "MISS"
        if controls.only_if_cached:
            raise NotCached("only-if-cached was asked, and the cache does not have all inputs")
        if not known and len(wanted) == len(self._inputs):
            return await self._ask(request, list(wanted))
        notes.say(self._cache.clock.now(), "cache", known=len(known), asked=len(wanted))
        part = replace(request, body=request.body.with_fields(input=list(wanted.values())))
        response = await self._ask(part, list(wanted))
        order = list(wanted)
        known.update((order[place], single) for place, single in (_singles(response, len(wanted)) or {}).items())
        if len(known) < len(set(self._keys)) or notes.fallbacks or not _alike(known.values()):
            notes.cache = "MISS"
            return await self._handler(request)  # what came is not what was asked for, and cannot be put together
        assert response.body is not None, "it has been taken apart"
        usage = response.body.json.get("usage")
        return Response(status=200, headers=response.headers, body=self._together(known, usage, self._keys))

    # ------------------------------------------------------------------ what is kept

    async def _known(self) -> dict[str, Mapping[str, Any]]:
        known: dict[str, Mapping[str, Any]] = {}
        clock, flights, until, in_vain = self._cache.clock, self._answers.flights, self._until(), 0.0
        over = flights.over
        for key in dict.fromkeys(self._keys):
            began = clock.now()
            if not await self._knows(key, known, further=in_vain < _IN_VAIN and began < until):
                in_vain += clock.now() - began
        if over != flights.over:  # somebody may have brought the rest meanwhile
            for key in {*self._keys} - known.keys():
                await self._knows(key, known, further=False)
        return known

    async def _knows(self, key: str, known: dict[str, Mapping[str, Any]], *, further: bool) -> bool:
        """Whether an answer is kept under a key; it is then among the known."""
        entry = await self._entry(key, further=further)
        single = None if entry is None else _single(entry)
        if entry is None or single is None:
            return False
        known[key] = single
        self._answers.stats.served(entry, stale=False)
        self._request.notes.target = entry.target
        return True

    def _until(self) -> float:
        """Until when the second tier is looked through, one input after the other; its answers come one by one."""
        now, request = self._cache.clock.now(), self._request
        if request.deadline is None or request.controls.only_if_cached:
            return math.inf
        return now + (request.deadline - now) / 4

    async def _entry(self, key: str, *, further: bool) -> Entry | None:
        """What is kept under a key; in memory alone, where the second tier is not to be looked through any further."""
        cache, most = self._cache, self._request.controls.max_age
        now = cache.clock.now()
        held = self._answers.recall(key, now)
        if held is not None and now >= held.until and not self._answers.alone:
            held = None  # the second tier may know better
        if held is None or (further and not self._answers.informed):
            if cache.tier is None or not (further or self._request.controls.only_if_cached):
                return None
            self._request.notes.further = "l2"
            entry = await cache.tier.get(key, belongs(self._request.controls.tenant, self._request.scope))
            held = held and self._answers.recall(key, now)  # what other processes purged is known now
            if held is None:
                if entry is None:
                    return None
                age = max(cache.clock.time() - entry.made, 0.0)
                held = self._answers.hold(entry, now=cache.clock.now(), age=age, seconds=self._rule.ttl)
        age = now - held.made
        if now >= held.expires or (most is not None and age > most):
            return None
        self._ages.append(age)
        return held.entry

    def _from_kept(self, known: Mapping[str, Mapping[str, Any]], keys: Sequence[str]) -> Response:
        """The answer to the inputs of these keys, where each is known."""
        notes = self._request.notes
        used = sum(map(_used, map(known.__getitem__, keys)))
        notes.cache, notes.cache_age = "HIT", max(self._ages)
        notes.usage = usage = {"prompt_tokens": used, "total_tokens": used}
        notes.answered = str(known[keys[0]].get("model") or "")
        headers = Headers([("content-type", "application/json")])
        return Response(status=200, headers=headers, body=self._together(known, usage, keys))

    def _together(self, known: Mapping[str, Mapping[str, Any]], usage: Any, keys: Sequence[str]) -> Body:
        data = [{**known[key]["data"][0], "index": number} for number, key in enumerate(keys)]
        first = known[keys[0]]
        return Body(exact.write({**first, "data": data, "usage": usage}))

    def _instead(self, error: CallError) -> Response | None:
        """All inputs as they were answered before; None when one was not, or that may not be given any more."""
        known: dict[str, Mapping[str, Any]] = {}
        self._ages, now = [], self._cache.clock.now()
        for key in dict.fromkeys(self._keys):
            held = Asking(self._cache, key, self._request, self._rule, self._handler).spare(error)
            single = None if held is None else _single(held.entry)
            if held is None or single is None:
                return None
            known[key] = single
            self._ages.append(now - held.made)
            self._answers.stats.served(held.entry, stale=held.expires <= now)
            self._request.notes.target = held.entry.target
        if not _alike(known.values()):
            return None
        response = self._from_kept(known, self._keys)
        self._request.notes.cache = "STALE"
        self._request.notes.say(now, "cache", stale=True, instead_of=type(error).__name__)
        return response

    # ------------------------------------------------------------------ what has to be asked

    async def _ask(self, request: Request, keys: Sequence[str]) -> Response:
        """Ask for the inputs of this request, whose keys these are, with all who ask for them just now."""
        cache, rule, controls = self._cache, self._rule, self._request.controls

        async def ask(request: Request, lease: object = None, over: object = None) -> Response:
            # Of a process whose lease has run out, too, what comes is kept: it is what the other one gets.
            self._answers.stats.missed()
            began = cache.clock.now()
            response = await self._handler(request)
            if response.status == 200 and not controls.no_store and controls.ttl != 0 and not request.notes.fallbacks:
                self._keep(request, response, keys, began)
            return response

        alone = controls.no_cache or controls.no_store
        if alone or not (rule.coalesce if controls.coalesce is None else controls.coalesce):
            return await ask(request)
        name = "inputs" if controls.fallbacks else "inputs, of the first alone"
        batch = Asking(cache, digest(name, *keys), self._request, rule, self._handler)

        async def look(request: Request) -> Response | None:
            known: dict[str, Mapping[str, Any]] = {}
            for key in reversed(keys):  # they are written in order, so that the last says that all are there
                if not await self._knows(key, known, further=True):
                    return None
            return self._from_kept(known, keys) if _alike(known.values()) else None

        response = await self._answers.flights.share(
            digest(name, *keys), request, cache.runtime, look=_nothing,
            ask=lambda request: batch.ask_for_all(request, look, ask),
        )  # fmt: skip
        if request.notes.cache == "COALESCED":
            self._answers.stats.shared()
        return response

    def _keep(self, request: Request, response: Response, keys: Sequence[str], began: float) -> None:
        singles = _singles(response, len(keys))
        if singles is None:
            return
        headers = kept_headers(response.headers, "")
        given: Any = request.body.json["input"]
        shares = _shares(given, request.notes.usage)
        entries: list[Entry] = []
        for number, key in enumerate(keys):
            usage = {"prompt_tokens": shares[number], "total_tokens": shares[number]}
            payload = exact.write({**singles[number], "usage": usage})
            call = Asking(self._cache, key, request, self._rule, self._handler)
            entry = call.hold("whole", payload, headers, request, usage, began, request.notes.answered)
            if entry is not None:
                entries.append(entry)
        if self._cache.tier is not None:
            self._cache.tier.put_all(entries)


async def _nothing(request: Request) -> Response | None:
    return None


def _single(entry: Entry) -> Mapping[str, Any] | None:
    """What is kept of one input; None where a provider has answered a call for one with something else."""
    single = Body(entry.payload).json
    data: Any = single.get("data")
    fine = exact.is_list(data) and len(data) == 1 and exact.is_object(data[0]) and "embedding" in data[0]
    return single if fine else None


def _alike(singles: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one model made them all: the vectors of two cannot be compared, and do not stand in one answer."""
    return len({str(single.get("model")) for single in singles}) < 2


def _used(single: Mapping[str, Any]) -> int:
    usage: Any = single.get("usage")
    tokens = usage.get("prompt_tokens") if exact.is_object(usage) else None
    return tokens if type(tokens) is int else 0


def _singles(response: Response, number: int) -> dict[int, Mapping[str, Any]] | None:
    """The answer as one for each input, by their place; None when it is not of so many inputs."""
    assert response.body is not None, "embeddings are not streamed"
    answer = response.body.json
    data: Any = answer.get("data")
    if not exact.is_list(data):
        return None
    found: dict[int, Mapping[str, Any]] = {}
    for place, each in enumerate(data):
        if not exact.is_object(each) or "embedding" not in each:
            return None
        index = each.get("index", place)
        found[index if type(index) is int else place] = {**answer, "data": [{**each, "index": 0}]}
    return found if found.keys() == set(range(number)) else None


def _shares(inputs: Sequence[Any], usage: Mapping[str, Any] | None) -> list[int]:
    """The tokens of each input, by its length; together as many as were told."""
    total = (usage or {}).get("prompt_tokens") or 0
    whole = sum(map(len, inputs))
    shares: list[int] = []
    gone = so_far = 0
    for each in inputs:
        so_far += len(each)
        upto = total * so_far // whole if whole else 0
        shares.append(upto - gone)
        gone = upto
    return shares
