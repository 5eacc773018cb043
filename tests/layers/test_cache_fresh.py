"""Answers near and past their end: renewed behind the caller's back, or given when nobody else answers."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import CallError, CircuitOpen, NotCached, Overloaded, Unauthorized
from llm_edge.message import Controls, Request, Response
from tests.conftest import Async

from .kit import answer, call, failed, streamed
from .test_cache import Kept, asked

if TYPE_CHECKING:
    from tests.conftest import Colour


def settled(colour: Colour) -> None:
    """Until whatever was begun in the background is over."""
    if colour.name == "async":

        async def others() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*tasks, return_exceptions=True)

        colour.run(others())
    for thread in threading.enumerate():
        if thread.name == "llm_edge work":
            thread.join(20)


def text(found: tuple[str, Any]) -> tuple[str, str]:
    status, raw = found
    return status, next(word for word in ("old", "new", "newer") if f'"{word}"'.encode() in raw)


def test_a_stale_answer_is_given_once_more_while_it_is_asked_for_again(colour: Colour) -> None:
    kept = Kept(colour, answer("old"), answer("new"), ttl=60.0, stale_while_revalidate=30.0)
    kept.ask()
    kept.clock.advance(70.0)
    assert text(kept.ask()) == ("STALE", "old")
    settled(colour)
    assert text(kept.ask()) == ("HIT", "new")
    assert len(kept.script.asked) == 2
    assert (kept.answers.stats.stale, kept.answers.stats.refreshed) == (1, 1)


def test_a_stale_answer_tells_its_age(colour: Colour) -> None:
    kept, request = Kept(colour, ttl=60.0, stale_while_revalidate=30.0), call()
    kept.ask()
    kept.clock.advance(70.0)
    kept.ask(request)
    settled(colour)
    assert (request.notes.cache, request.notes.cache_age) == ("STALE", pytest.approx(70.0))


def test_past_the_window_it_is_asked_for_anew(colour: Colour) -> None:
    kept = Kept(colour, answer("old"), answer("new"), ttl=60.0, stale_while_revalidate=30.0)
    kept.ask()
    kept.clock.advance(90.0)
    assert text(kept.ask()) == ("MISS", "new")


def test_a_streamed_answer_is_renewed_to_its_end(colour: Colour) -> None:
    kept = Kept(colour, lambda request: streamed(), ttl=60.0, stale_while_revalidate=30.0)
    kept.ask(streaming=True)
    kept.clock.advance(70.0)
    assert kept.ask(streaming=True)[0] == "STALE"
    settled(colour)
    assert kept.ask(streaming=True)[0] == "HIT"


def test_many_who_get_a_stale_answer_renew_it_once(colour: Colour) -> None:
    gate = threading.Event()
    begun: list[Request] = []

    def slow(request: Request) -> Response:
        begun.append(request)
        if colour.name == "sync":
            assert gate.wait(20)
        return answer("new")

    kept = Kept(colour, answer("old"), slow, ttl=60.0, stale_while_revalidate=30.0)
    kept.ask()
    kept.clock.advance(70.0)

    async def many() -> list[str]:
        statuses: list[str] = []
        for _ in range(5):
            request = call()
            await kept.layer(request, kept.script)
            statuses.append(request.notes.cache)
        return statuses

    assert kept.colour.run(many()) == ["STALE"] * 5
    gate.set()
    settled(colour)
    assert len(begun) == 1


def test_a_renewal_that_fails_leaves_what_is_there(colour: Colour) -> None:
    kept = Kept(colour, answer("old"), failed(), answer("new"), ttl=60.0, stale_while_revalidate=30.0)
    kept.ask()
    kept.clock.advance(70.0)
    assert text(kept.ask()) == ("STALE", "old")
    settled(colour)
    assert text(kept.ask()) == ("STALE", "old")
    settled(colour)
    assert text(kept.ask()) == ("HIT", "new")


def test_a_hot_answer_is_renewed_before_its_end(colour: Colour) -> None:
    kept = Kept(colour, answer("old"), answer("new"), ttl=60.0)
    kept.script._clock, kept.script._takes = kept.clock, 2.0  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateUsage]
    kept.ask()
    kept.clock.advance(50.0)
    kept.chance = 0.99
    assert text(kept.ask()) == ("HIT", "old")
    settled(colour)
    assert len(kept.script.asked) == 1
    kept.clock.advance(8.0)
    assert text(kept.ask()) == ("HIT", "old")
    settled(colour)
    assert text(kept.ask()) == ("HIT", "new")


def test_early_renewal_can_be_switched_off(colour: Colour) -> None:
    kept = Kept(colour, ttl=60.0, early=False)
    kept.script._clock, kept.script._takes = kept.clock, 2.0  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateUsage]
    kept.ask()
    kept.chance = 0.999
    kept.clock.advance(59.0)
    assert kept.ask()[0] == "HIT"
    settled(colour)
    assert len(kept.script.asked) == 1


def test_only_if_cached_renews_nothing(colour: Colour) -> None:
    kept = Kept(colour, ttl=60.0, stale_while_revalidate=30.0)
    kept.ask()
    kept.clock.advance(70.0)
    assert kept.ask(**asked(only_if_cached=True))[0] == "STALE"
    settled(colour)
    assert len(kept.script.asked) == 1


@pytest.mark.parametrize("own", [{"no_store": True}, {"ttl": 0.0}])
def test_a_call_whose_answer_is_not_kept_asks_for_itself(colour: Colour, own: dict[str, Any]) -> None:
    """What it would have renewed behind its back would be paid for, and given to nobody."""
    kept = Kept(colour, answer("old"), answer("new"), ttl=60.0, stale_while_revalidate=30.0)
    kept.script._clock, kept.script._takes = kept.clock, 2.0  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateUsage]
    kept.ask()
    kept.clock.advance(58.0)
    kept.chance = 0.99
    assert text(kept.ask(**asked(**own))) == ("HIT", "old")
    settled(colour)
    assert len(kept.script.asked) == 1
    kept.clock.advance(10.0)
    assert text(kept.ask(**asked(**own))) == ("MISS", "new")
    settled(colour)
    assert len(kept.script.asked) == 2


def test_a_time_to_live_is_spread_by_chance_and_one_the_call_names_is_not(colour: Colour) -> None:
    kept = Kept(colour, ttl=100.0, early=False)
    kept.chance = 0.5
    kept.ask()
    kept.ask(**asked(namespace="own", ttl=100.0))
    kept.clock.advance(95.5)
    assert kept.statuses({}, asked(namespace="own")) == ["MISS", "HIT"]


NOBODY: list[CallError] = [failed(Overloaded), CircuitOpen("open")]


@pytest.mark.parametrize("number", range(len(NOBODY)))
def test_when_nobody_answers_a_stale_answer_is_given_where_that_is_allowed(colour: Colour, number: int) -> None:
    kept, request = Kept(colour, answer("old"), NOBODY[number], ttl=60.0, stale_if_error=600.0), call()
    kept.ask()
    kept.clock.advance(600.0)
    assert text(kept.ask(request)) == ("STALE", "old")
    assert request.notes.explain()["events"][0]["instead_of"] == type(NOBODY[number]).__name__
    kept.clock.advance(61.0)
    with pytest.raises(type(NOBODY[number])):
        kept.ask()


def test_it_is_not_allowed_unless_somebody_says_so(colour: Colour) -> None:
    kept = Kept(colour, answer("old"), failed(), ttl=60.0)
    kept.ask()
    kept.clock.advance(61.0)
    with pytest.raises(Overloaded):
        kept.ask()
    assert kept.ask(**asked(stale_if_error=2.0))[0] == "STALE"
    with pytest.raises(Overloaded):
        kept.ask(**asked(stale_if_error=0.5))


def test_who_wants_nothing_that_is_kept_gets_it_only_when_it_says_so_too(colour: Colour) -> None:
    kept = Kept(colour, answer("old"), failed(), ttl=60.0, stale_if_error=600.0)
    kept.ask()
    kept.clock.advance(61.0)
    with pytest.raises(Overloaded):
        kept.ask(**asked(no_cache=True))
    assert kept.ask(**asked(no_cache=True, stale_if_error=600.0))[0] == "STALE"
    assert kept.ask()[0] == "STALE"


@pytest.mark.parametrize("narrow", [{"no_cache": True}, {"max_age": 4.0}])
def test_nor_is_one_given_that_is_fresh_to_who_wants_none_as_old(colour: Colour, narrow: dict[str, Any]) -> None:
    kept = Kept(colour, answer("old"), failed(), ttl=60.0)
    kept.ask()
    kept.clock.advance(5.0)
    with pytest.raises(Overloaded):
        kept.ask(**asked(**narrow))
    assert text(kept.ask(**asked(**narrow, stale_if_error=1.0))) == ("HIT", "old")


def test_a_refusal_is_told_and_not_covered_up(colour: Colour) -> None:
    kept = Kept(colour, answer("old"), failed(Unauthorized, status=401), ttl=60.0, stale_if_error=600.0)
    kept.ask()
    kept.clock.advance(61.0)
    with pytest.raises(Unauthorized):
        kept.ask()


def test_idle_answers_are_forgotten(colour: Colour) -> None:
    kept = Kept(colour, ttl=600.0)
    kept.answers._idle = 60.0  # pyright: ignore[reportPrivateUsage]
    kept.ask()
    for _ in range(3):
        kept.clock.advance(50.0)
        assert kept.ask()[0] == "HIT"
    kept.clock.advance(60.0)
    assert kept.ask()[0] == "MISS"


@pytest.mark.parametrize(
    ("rule", "control", "calls"),
    [
        (True, Controls(), 1), (True, Controls(coalesce=False), 5), (False, Controls(), 5),
        (False, Controls(coalesce=True), 1), (True, Controls(no_cache=True), 5), (True, Controls(no_store=True), 5),
    ],
)  # fmt: skip
def test_identical_calls_in_flight_are_shared_unless_somebody_says_no(
    rule: bool, control: Controls, calls: int
) -> None:
    with asyncio.Runner() as runner:
        kept, gate = Kept(Async(runner), coalesce=rule), asyncio.Event()

        async def slow(request: Request) -> Response:
            response = await kept.script(request)
            await gate.wait()
            return response

        async def many() -> list[str]:
            requests = [call(controls=control) for _ in range(5)]
            tasks = [asyncio.create_task(kept.layer(request, slow)) for request in requests]
            while len(kept.script.asked) < calls:
                await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(*tasks)
            return [request.notes.cache for request in requests]

        statuses = runner.run(many())
    assert len(kept.script.asked) == calls
    assert (statuses.count("MISS"), statuses.count("COALESCED")) == (calls, 5 - calls)
    assert kept.answers.stats.coalesced == 5 - calls


def test_a_failure_of_only_if_cached_is_told_as_such(colour: Colour) -> None:
    kept = Kept(colour, stale_if_error=600.0)
    with pytest.raises(NotCached):
        kept.ask(**asked(only_if_cached=True))


@pytest.mark.parametrize("narrow", [Controls(fallbacks=False), Controls(semantic=False), Controls(max_age=5)])
def test_who_would_not_take_anothers_answer_does_not_share_a_call_that_may_bring_it(narrow: Controls) -> None:
    with asyncio.Runner() as runner:
        kept, gate = Kept(Async(runner)), asyncio.Event()

        async def slow(request: Request) -> Response:
            response = await kept.script(request)
            await gate.wait()
            request.notes.fallbacks += 1
            return response

        async def both() -> list[tuple[str, int]]:
            another = {"model": "m", "messages": [{"role": "user", "content": "Another question"}]}
            requests = [call(), call(), call(controls=narrow), call(body=another, controls=narrow)]
            tasks = [asyncio.create_task(kept.layer(request, slow)) for request in requests]
            async with asyncio.timeout(20.0):
                while len(kept.script.asked) < 3:
                    await asyncio.sleep(0)
            gate.set()
            await asyncio.gather(*tasks)
            return [(request.notes.cache, request.notes.fallbacks) for request in requests]

        assert runner.run(both()) == [("MISS", 1), ("COALESCED", 1), ("MISS", 1), ("MISS", 1)]
