"""Who is under way at a target, who waits for that, and how fast it answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import RateLimited
from llm_edge.layers.pulse import Beat, Berths, GuardedPulse
from llm_edge.message import Handler, Request, Response
from llm_edge.runtime import Awaiting, Blocking, FakeClock, Signal, drive
from tests.forks import in_child

from .kit import Script, answer, call, failed, read_all, run_cancelled, streamed
from .test_limit import slow

if TYPE_CHECKING:
    from tests.conftest import Colour


class Target:
    def __init__(self, colour: Colour | None = None, **berths: int) -> None:
        self.clock = FakeClock()
        self.pulse = GuardedPulse(Berths(**berths))
        runtime = colour.runtime(self.clock) if colour else Blocking(self.clock)
        self.layer = Beat(self.pulse, runtime, target="p/m")

    @property
    def under_way(self) -> int:
        return self.pulse.pulse.in_flight

    async def ask(self, handler: Handler | None = None, **fields: Any) -> Response:
        return await self.layer(call(**fields), handler or Script(answer()))


def test_a_call_is_under_way_until_its_answer_is_over(colour: Colour) -> None:
    target = Target(colour)
    seen: list[int] = []

    async def look(request: Request, /) -> Response:
        seen.append(target.under_way)
        return streamed()

    response = colour.run(target.ask(look))
    assert (seen, target.under_way) == ([1], 1)
    colour.run(read_all(response))
    assert target.under_way == 0


def test_whatever_happens_its_place_comes_back(colour: Colour) -> None:
    target = Target(colour)
    for step in (failed(), KeyboardInterrupt(), ValueError("a mistake")):
        with pytest.raises(type(step)):
            colour.run(target.ask(Script(step)))
    assert target.under_way == 0


def test_cancelled_at_any_wait_its_place_comes_back() -> None:
    step = 0
    while True:
        target = Target()
        if not run_cancelled(target.layer(call(), slow), step):
            break
        assert target.under_way == 0, step
        step += 1
    assert step == 2


def test_the_time_to_an_answer_is_remembered_and_failures_are_not(colour: Colour) -> None:
    target = Target(colour)
    colour.run(target.ask(Script(answer(), clock=target.clock, takes=2.0)))
    with pytest.raises(Exception, match="no"):
        colour.run(target.ask(Script(failed(), clock=target.clock, takes=9.0)))
    colour.run(read_all(colour.run(target.ask(Script(streamed(), clock=target.clock, takes=0.5)))))
    pulse = target.pulse.pulse
    assert pulse.latency(False).usually_within(1.0) is None
    assert (pulse.latency(False).now(2.0), pulse.latency(True).now(11.5)) == (2.0, 0.5)


def test_the_tokens_of_an_answer_count_as_its_work(colour: Colour) -> None:
    target = Target(colour)
    colour.run(target.ask())
    assert target.pulse.pulse.load(0.0) == 3.0


def test_where_nobody_chooses_by_it_nothing_is_measured(colour: Colour) -> None:
    target = Target(colour)
    target.layer = Beat(target.pulse, colour.runtime(target.clock), target="p/m", measured=False)
    colour.run(target.ask(Script(answer(), clock=target.clock, takes=2.0)))
    response = colour.run(target.ask(Script(streamed(), clock=target.clock, takes=2.0)))
    assert target.under_way == 1
    colour.run(read_all(response))
    pulse = target.pulse.pulse
    assert (target.under_way, pulse.load(4.0)) == (0, 0.0)
    assert (pulse.latency(False).now(4.0), pulse.latency(True).now(4.0)) == (None, None)


def test_too_many_at_once_wait_and_too_many_waiting_are_refused() -> None:
    async def together() -> None:
        target, gone = Target(places=1, waiting=1), asyncio.Event()
        target.layer = Beat(target.pulse, Awaiting(), target="p/m")

        async def hang(request: Request, /) -> Response:
            await gone.wait()
            return answer()

        first = asyncio.create_task(target.ask(hang))
        second = asyncio.create_task(target.ask())
        while not target.pulse._queue:  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0)
        with pytest.raises(RateLimited, match="p/m has too many calls under way") as caught:
            await target.ask()
        assert (caught.value.elsewhere, caught.value.target, caught.value.status) == (True, "p/m", 429)
        assert not second.done()
        gone.set()
        await asyncio.gather(first, second)
        assert target.under_way == 0

    asyncio.run(together())


def test_nobody_waits_longer_than_the_call_may_take() -> None:
    target = Target(places=1, waiting=5)
    busy = target.pulse.enter()
    target.layer = Beat(target.pulse, Blocking(), target="p/m")
    with pytest.raises(RateLimited):
        drive(target.ask(deadline=0.0))
    assert busy is True
    target.pulse.leave()
    assert target.under_way == 0
    assert target.pulse.enter() is True


def test_who_leaves_the_line_passes_on_a_place_it_was_given() -> None:
    pulse = GuardedPulse(Berths(places=1, waiting=5))
    pulse.enter()
    first, second = pulse.enter(), pulse.enter()
    assert not isinstance(first, bool)
    assert not isinstance(second, bool)
    pulse.leave()
    assert (first.is_set, second.is_set) == (True, False)
    pulse.give_up(first)  # too late: it had the place already
    assert second.is_set
    pulse.give_up(second)
    assert pulse.pulse.in_flight == 0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_no_calls_under_way() -> None:
    pulse = GuardedPulse(Berths(places=1, waiting=0))
    assert pulse.enter() is True
    assert in_child(lambda: pulse.enter() is True)
    assert pulse.enter() is False


def test_in_every_order_a_single_place_has_one_in_it_and_comes_home() -> None:
    steps = [(act, caller) for act in ("come", "go") for caller in range(4)]
    orders = 0
    for order in permutations(steps):
        if any(order.index(("come", n)) > order.index(("go", n)) for n in range(4)):
            continue
        orders += 1
        pulse, inside = GuardedPulse(Berths(places=1, waiting=2)), dict[int, Signal | bool]()
        for act, caller in order:
            if act == "come":
                inside[caller] = pulse.enter()
            else:
                place = inside.pop(caller)
                if place is True or (isinstance(place, Signal) and place.is_set):
                    pulse.leave()
                elif isinstance(place, Signal):
                    pulse.give_up(place)
            there = [one for one in inside.values() if one is True or (isinstance(one, Signal) and one.is_set)]
            waiting = [one for one in inside.values() if isinstance(one, Signal) and not one.is_set]
            assert len(there) <= 1
            assert there or not waiting
        assert pulse.pulse.in_flight == 0
    assert orders == 2520


class Between(list[None]):
    """Calls under way; once, as somebody comes, another leaves at that very moment."""

    def __init__(self, calls: list[None], leave: Callable[[], None]) -> None:
        super().__init__(calls)
        self._leaves = [leave]

    def append(self, one: None, /) -> None:
        super().append(one)
        if self._leaves:
            self._leaves.pop()()


def test_a_place_given_back_as_another_comes_goes_to_who_waits() -> None:
    pulse = GuardedPulse(Berths(places=1, waiting=1))
    assert pulse.enter() is True
    waits = pulse.enter()
    assert isinstance(waits, Signal)
    pulse.pulse.under_way = Between(pulse.pulse.under_way, pulse.leave)
    comes = pulse.enter()
    assert waits.is_set
    assert isinstance(comes, Signal)  # there is room to wait again
    pulse.leave()
    assert comes.is_set


def test_many_threads_share_the_places_and_all_come_home() -> None:
    pulse, inside, most = GuardedPulse(Berths(places=3, waiting=1000)), list[None](), list[int]()

    async def call(runtime: Blocking) -> None:
        place = pulse.enter()
        if isinstance(place, Signal):
            assert await runtime.wait(place, None)
        inside.append(None)
        most.append(len(inside))
        inside.pop()
        pulse.leave()

    def calls() -> None:
        for _ in range(200):
            drive(call(Blocking()))

    threads = [threading.Thread(target=calls) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 1600
    assert max(most) <= 3
    assert pulse.pulse.in_flight == 0
    assert pulse.enter() is True
