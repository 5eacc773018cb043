"""Embeddings are kept input by input: what is known is not asked for again, and the answer is in order."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import pytest

from llm_edge.errors import CallError, NotCached
from llm_edge.message import Body, Request, Response
from llm_edge.stores.entry import Entry

from .kit import call, failed
from .test_cache import UNDERSTOOD, Kept, asked

if TYPE_CHECKING:
    from llm_edge.stores.shelf import Tier
    from tests.conftest import Colour


def vector(given: Any, encoding: str) -> Any:
    number = float(len(json.dumps(given)))
    return base64.b64encode(struct.pack("<2f", number, 1.0)).decode() if encoding == "base64" else [number, 1.0]


def embedded(request: Request) -> Response:
    """As a provider answers: one vector for each input, ten tokens each."""
    fields = request.body.json
    given = fields["input"] if isinstance(fields["input"], list) else [fields["input"]]
    given = [given] if given and isinstance(given[0], int) else given
    data = [
        {"object": "embedding", "index": number, "embedding": vector(each, fields.get("encoding_format", "float"))}
        for number, each in enumerate(given)
    ]
    tokens = 10 * len(given)
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    request.notes.usage, request.notes.target = usage, "openai/e"
    body = {"object": "list", "data": data[::-1], "model": "e", "usage": usage}
    return Response(status=200, body=Body(json.dumps(body).encode()))


def kept(colour: Colour, *steps: Any, **rule: Any) -> Kept:
    made = Kept(colour, *(steps or [embedded]), **rule)
    made.layer.understand = lambda dialect: type(UNDERSTOOD)(UNDERSTOOD.watcher, lambda body, usage: ())
    return made


def ask(cache: Kept, given: Any, **fields: Any) -> tuple[Request, Any]:
    extra = fields.pop("body", {})
    request = call(
        operation="embeddings", dialect="openai.embeddings", body={"model": "e", "input": given, **extra}, **fields
    )
    _, raw = cache.ask(request)
    return request, json.loads(raw)


def words(number: int, start: int = 0) -> list[str]:
    return ["x" * (place + 1) for place in range(start, start + number)]


@pytest.mark.parametrize("encoding", ["float", "base64"])
def test_of_a_batch_of_100_with_90_known_10_are_asked_and_all_are_answered_in_order(
    colour: Colour, encoding: str
) -> None:
    cache, body = kept(colour), {"encoding_format": encoding}
    ask(cache, words(90), body=body)
    batch = words(100)[::-1]
    request, found = ask(cache, batch, body=body)
    assert [each["index"] for each in found["data"]] == list(range(100))
    assert [each["embedding"] for each in found["data"]] == [vector(each, encoding) for each in batch]
    assert len(cache.script.asked[1].body.json["input"]) == 10
    assert found["usage"] == request.notes.usage == {"prompt_tokens": 100, "total_tokens": 100}
    assert request.notes.cache == "MISS"
    assert {"known": 90, "asked": 10}.items() <= request.notes.explain()["events"][0].items()


def test_a_batch_that_is_all_known_is_a_hit_and_tells_what_it_used_then(colour: Colour) -> None:
    cache = kept(colour)
    _, first = ask(cache, words(5))
    request, again = ask(cache, words(5))
    assert (request.notes.cache, request.notes.target) == ("HIT", "openai/e")
    assert again["data"] == sorted(first["data"], key=lambda each: each["index"])
    assert again["usage"] == first["usage"]
    assert len(cache.script.asked) == 1


def test_one_input_and_a_list_of_one_and_a_batch_share_what_is_kept(colour: Colour) -> None:
    cache = kept(colour)
    ask(cache, "alone")
    ask(cache, ["alone", "other"])
    assert [request.notes.cache for request in (ask(cache, ["alone"])[0], ask(cache, "other")[0])] == ["HIT", "HIT"]
    assert [each.body.json["input"] for each in cache.script.asked] == ["alone", ["other"]]


def test_the_key_that_is_told_is_one_that_an_answer_is_kept_under(colour: Colour) -> None:
    cache = kept(colour)
    alone, one, twice, batch = (ask(cache, each)[0].notes for each in ("a", ["a"], ["a", "a"], ["a", "b"]))
    assert alone.cache_key == one.cache_key == twice.cache_key != ""
    assert (batch.cache_key, batch.key_parts()) == ("", alone.key_parts())


def test_the_same_input_twice_in_a_batch_is_asked_once(colour: Colour) -> None:
    cache = kept(colour)
    _, found = ask(cache, ["a", "bb", "a"])
    assert cache.script.asked[0].body.json["input"] == ["a", "bb"]
    assert [each["embedding"] for each in found["data"]] == [vector(each, "float") for each in ("a", "bb", "a")]


def test_lists_of_tokens_are_inputs_too(colour: Colour) -> None:
    cache = kept(colour)
    ask(cache, [[1, 2], [3]])
    assert ask(cache, [3])[0].notes.cache == "HIT"
    assert ask(cache, [[3], [1, 2]])[0].notes.cache == "HIT"
    assert ask(cache, [1, 2, 3])[0].notes.cache == "MISS"


def test_what_is_past_its_time_is_asked_again(colour: Colour) -> None:
    cache = kept(colour, ttl=60.0)
    ask(cache, ["a", "b"])
    cache.clock.advance(50.0)
    ask(cache, ["b", "c"])
    cache.clock.advance(20.0)
    ask(cache, ["a", "b", "c"])
    assert [each.body.json["input"] for each in cache.script.asked] == [["a", "b"], ["c"], ["a", "b"]]


def test_the_words_of_one_call_count_for_each_input(colour: Colour) -> None:
    cache = kept(colour)
    ask(cache, ["a", "b"], **asked(no_store=True))
    ask(cache, ["a", "b"])
    ask(cache, ["a", "b"], **asked(no_cache=True))
    assert len(cache.script.asked) == 3
    assert ask(cache, ["a", "b"], **asked(only_if_cached=True))[0].notes.cache == "HIT"
    with pytest.raises(NotCached, match="does not have all inputs"):
        ask(cache, ["a", "c"], **asked(only_if_cached=True))
    cache.clock.advance(5.0)
    assert ask(cache, ["a", "b"], **asked(max_age=4.0))[0].notes.cache == "MISS"
    assert ask(cache, ["a"], body={"dimensions": 2})[0].notes.cache == "MISS"
    assert ask(cache, ["a"], scope="other")[0].notes.cache == "MISS"


def too_few(request: Request) -> Response:
    response = embedded(request)
    assert response.body is not None
    fields = dict(response.body.json)
    return Response(status=200, body=Body(json=fields | {"data": fields["data"][:1]}))


def test_an_answer_that_is_not_of_each_input_is_passed_on_and_not_kept(colour: Colour) -> None:
    cache = kept(colour, too_few, embedded)
    _, found = ask(cache, ["a", "b"])
    assert len(found["data"]) == 1
    assert ask(cache, ["a", "b"])[0].notes.cache == "MISS"


@pytest.mark.parametrize("data", [[5], [{"index": 0}], [{"index": 0, "embedding": [1.0]}] * 2])
def test_what_was_answered_to_one_input_and_is_none_is_given_to_no_batch(colour: Colour, data: Any) -> None:
    def odd(request: Request) -> Response:
        return Response(status=200, body=Body(json={"object": "list", "data": data, "model": "e"}))

    cache = kept(colour, odd, embedded)
    ask(cache, "a")
    for _ in range(2):
        _, found = ask(cache, ["a", "bb"])
        told = {each["index"]: each["embedding"] for each in found["data"]}
        assert told == {0: vector("a", "float"), 1: vector("bb", "float")}
    assert [each.body.json["input"] for each in cache.script.asked] == ["a", ["a", "bb"]]


def test_a_part_that_does_not_fit_has_the_whole_asked_for(colour: Colour) -> None:
    cache = kept(colour, embedded, too_few, embedded)
    ask(cache, ["a", "b"])
    _, found = ask(cache, ["a", "b", "c", "d"])
    assert len(found["data"]) == 4
    assert [len(each.body.json["input"]) for each in cache.script.asked] == [2, 2, 4]


def test_the_same_batch_at_the_same_time_is_asked_once() -> None:
    from tests.conftest import Async

    with asyncio.Runner() as runner:
        cache, gate = kept(Async(runner)), asyncio.Event()

        async def slow(request: Request) -> Response:
            response = await cache.script(request)
            await gate.wait()
            return response

        async def many() -> list[str]:
            body = {"model": "e", "input": ["a", "b"]}
            requests = [call(operation="embeddings", dialect="openai.embeddings", body=body) for _ in range(4)]
            tasks = [asyncio.create_task(cache.layer(request, slow)) for request in requests]
            while not cache.script.asked:
                await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(*tasks)
            return sorted(request.notes.cache for request in requests)

        assert runner.run(many()) == ["COALESCED"] * 3 + ["MISS"]
    assert len(cache.script.asked) == 1


def test_who_would_not_take_a_fallbacks_vectors_shares_no_call_that_may_bring_them() -> None:
    from tests.conftest import Async

    with asyncio.Runner() as runner:
        cache, gate = kept(Async(runner)), asyncio.Event()

        async def slow(request: Request) -> Response:
            response = await cache.script(request)
            await gate.wait()
            request.notes.fallbacks += request.controls.fallbacks
            return response

        async def both() -> list[tuple[str, int]]:
            body = {"model": "e", "input": ["a", "b"]}
            fields: Any = {"operation": "embeddings", "dialect": "openai.embeddings", "body": body}
            requests = [call(**fields), call(**fields), call(**fields, **asked(fallbacks=False))]
            tasks = [asyncio.create_task(cache.layer(request, slow)) for request in requests]
            async with asyncio.timeout(20.0):
                for _ in range(20):
                    await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(*tasks)
            return [(request.notes.cache, request.notes.fallbacks) for request in requests]

        assert runner.run(both()) == [("MISS", 1), ("COALESCED", 1), ("MISS", 0)]


def by_another(request: Request) -> Response:
    """As a fallback answers: another model's vectors."""
    response = embedded(request)
    request.notes.fallbacks += 1
    assert response.body is not None
    return Response(status=200, body=Body(json={**response.body.json, "model": "other"}))


def renamed(request: Request) -> Response:
    """As one of several targets answers that share a route."""
    response = embedded(request)
    assert response.body is not None
    return Response(status=200, body=Body(json={**response.body.json, "model": "other"}))


@pytest.mark.parametrize("second", [by_another, renamed])
def test_vectors_of_two_models_do_not_stand_in_one_answer(
    colour: Colour, second: Callable[[Request], Response]
) -> None:
    cache = kept(colour, embedded, second)
    ask(cache, ["a"])
    _, found = ask(cache, ["a", "b"])
    assert (found["model"], len(found["data"])) == ("other", 2)
    assert [each.body.json["input"] for each in cache.script.asked] == [["a"], ["b"], ["a", "b"]]


def test_a_batch_of_which_two_models_made_a_part_each_is_asked_for_anew(colour: Colour) -> None:
    cache = kept(colour, embedded, renamed)
    ask(cache, ["a"])
    ask(cache, ["b"])
    request, found = ask(cache, ["a", "b"])
    assert (request.notes.cache, found["model"]) == ("MISS", "other")
    assert ask(cache, ["a", "b"])[0].notes.cache == "HIT"


def test_when_nobody_answers_a_batch_is_given_past_its_end_where_that_is_allowed(colour: Colour) -> None:
    cache = kept(colour, embedded, embedded, failed(), ttl=60.0, stale_if_error=600.0)
    ask(cache, ["a"])
    cache.clock.advance(50.0)
    _, first = ask(cache, ["a", "b"])
    cache.clock.advance(50.0)
    request, again = ask(cache, ["b", "a"])
    assert (request.notes.cache, request.notes.cache_age, request.notes.target) == ("STALE", 100.0, "openai/e")
    assert [each["embedding"] for each in again["data"]] == [each["embedding"] for each in first["data"]][::-1]
    for batch, words in ((["a", "c"], {}), (["a", "b"], asked(no_cache=True))):
        with pytest.raises(CallError):
            ask(cache, batch, **words)
    cache.clock.advance(600.0)
    with pytest.raises(CallError):
        ask(cache, ["a", "b"])


class Far:
    """A second tier whose every answer takes a while; it knows the inputs whose keys it was given."""

    def __init__(self, cache: Kept, seconds: float) -> None:
        self._clock, self._seconds, self.kept, self.asked = cache.clock, seconds, dict[str, Entry](), 0

    async def get(self, key: str, scope: str, /) -> Entry | None:
        self.asked += 1
        self._clock.advance(self._seconds)
        return self.kept.get(key)

    def put(self, entry: Entry, lease: object = None, /) -> None:
        self.kept[entry.key] = entry

    def put_all(self, entries: Sequence[Entry], /) -> None:
        self.kept.update({entry.key: entry for entry in entries})


def far(colour: Colour, seconds: float) -> tuple[Kept, Far]:
    cache = kept(colour)
    tier = Far(cache, seconds)
    cache.layer.tier = cast("Tier", tier)  # what else a tier can do has no part in this
    return cache, tier


def test_a_long_batch_that_is_new_is_not_looked_for_one_by_one_far_away(colour: Colour) -> None:
    cache, tier = far(colour, 0.005)
    request, found = ask(cache, words(1000))
    assert (request.notes.cache, len(found["data"])) == ("MISS", 1000)
    assert tier.asked < 25


def test_what_is_far_away_is_fetched_for_a_quarter_of_the_time_there_is(colour: Colour) -> None:
    cache, _tier = far(colour, 0.005)
    ask(cache, words(1000))
    cache.answers.memory.clear()
    request, found = ask(cache, words(1000), deadline=cache.clock.now() + 4.0)
    assert (request.notes.cache, len(found["data"])) == ("MISS", 1000)
    assert 750 < len(cache.script.asked[1].body.json["input"]) < 850
    cache.answers.memory.clear()
    assert ask(cache, words(1000))[0].notes.cache == "HIT"


def test_who_asks_for_nothing_but_what_is_kept_has_all_of_it_looked_for(colour: Colour) -> None:
    cache, _tier = far(colour, 0.005)
    ask(cache, words(1000))
    cache.answers.memory.clear()
    only = asked(only_if_cached=True)
    assert ask(cache, words(1000), deadline=cache.clock.now() + 4.0, **only)[0].notes.cache == "HIT"
    with pytest.raises(NotCached):
        ask(cache, ["new", *words(100)], **only)


def test_what_another_brings_while_the_second_tier_is_looked_through_is_not_asked_again(colour: Colour) -> None:
    cache, tier = far(colour, 0.005)
    body = {"model": "e", "input": ["a", "b"]}
    fields: Any = {"operation": "embeddings", "dialect": "openai.embeddings", "body": body}
    others, get = [call(**fields)], tier.get

    async def slow(key: str, scope: str, /) -> Entry | None:
        if others:
            await cache.layer(others.pop(), cache.script)
        return await get("nothing yet", scope)

    tier.get = slow  # type: ignore[method-assign]  # it answers, but later
    assert ask(cache, ["a", "b"])[0].notes.cache == "HIT"
    assert len(cache.script.asked) == 1
