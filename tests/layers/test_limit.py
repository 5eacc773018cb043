"""Pace and places: what is refused takes nothing, and a place is given back on every way out."""

from __future__ import annotations

import asyncio
import gc
import os
import signal as signals
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import RateLimited
from llm_edge.layers.limit import Gate, Limit, Room
from llm_edge.message import Request, Response
from llm_edge.runtime import Alarm, Awaiting, Blocking, Clock, FakeClock, Signal, drive

from .kit import Cancelled, Script, Suspends, answer, call, read_all, run_cancelled, streamed

if TYPE_CHECKING:
    from tests.conftest import Colour


def limit(colour: Colour, clock: FakeClock, **room: Any) -> Limit:
    return Limit(Gate(Room(**room)), colour.runtime(clock))


def refused(colour: Colour, layer: Limit, request: Request | None = None) -> RateLimited:
    script = Script(answer())
    with pytest.raises(RateLimited) as caught:
        colour.run(layer(request or call(), script))
    assert script.asked == []
    return caught.value


def test_a_burst_passes_and_the_next_is_told_exactly_when_to_come_back(colour: Colour) -> None:
    clock, script = FakeClock(), Script(answer())
    layer = limit(colour, clock, rate=2.0, burst=3)
    for _ in range(3):
        colour.run(layer(call(), script))
    error = refused(colour, layer)
    assert (error.retry_after, error.status, error.retryable, error.elsewhere) == (0.5, 429, False, False)
    assert "more than 2 calls a second" in error.message
    clock.advance(0.499)
    refused(colour, layer)
    clock.advance(0.001)
    colour.run(layer(call(), script))
    assert len(script.asked) == 4


def test_refusals_do_not_put_off_those_who_come_later(colour: Colour) -> None:
    clock, script = FakeClock(), Script(answer())
    layer = limit(colour, clock, rate=1.0, burst=1)
    colour.run(layer(call(), script))
    for _ in range(50):
        assert refused(colour, layer).retry_after == 1.0
    clock.advance(1.0)
    colour.run(layer(call(), script))


def test_with_patience_a_call_waits_for_its_turn_and_says_so(colour: Colour) -> None:
    clock, script = FakeClock(), Script(answer())
    layer = limit(colour, clock, rate=2.0, burst=1, patience=0.6)
    colour.run(layer(call(), script))
    request = call(clock=clock)
    colour.run(layer(request, script))
    assert clock.slept == [0.5]
    assert request.notes.waited == 0.5
    assert request.notes.events == [(0.0, "limit", {"scope": "global", "waited_s": 0.5})]


def test_no_call_waits_beyond_its_deadline(colour: Colour) -> None:
    clock, script = FakeClock(), Script(answer())
    layer = limit(colour, clock, rate=0.1, burst=1, patience=60.0)
    colour.run(layer(call(), script))
    assert refused(colour, layer, call(deadline=9.0)).retry_after == 10.0
    assert refused(colour, layer, call(deadline=-1.0)).retry_after == 10.0
    assert clock.slept == []
    colour.run(layer(call(deadline=10.0), script))


def test_a_refusal_is_part_of_the_story(colour: Colour) -> None:
    request, layer = call(), limit(colour, FakeClock(), rate=1.0, burst=1)
    colour.run(layer(call(), Script(answer())))
    refused(colour, layer, request)
    facts = {"scope": "global", "refused": "more than 1 calls a second", "retry_after_s": 1.0}
    assert request.notes.events == [(0.0, "limit", facts)]


def busy(colour: Colour, layer: Limit) -> bool:
    """Whether a call would be refused just now; takes nothing either way."""
    try:
        colour.run(layer(call(), Script(answer())))
    except RateLimited:
        return True
    return False


WAYS_OUT: dict[str, Callable[[Colour, Response], Any]] = {
    "read to the end": lambda colour, response: colour.run(read_all(response)),
    "closed early": lambda colour, response: colour.run(close(response)),
}


async def close(response: Response) -> None:
    assert response.stream is not None
    await response.stream.aclose()
    await response.stream.aclose()


@pytest.mark.parametrize("way_out", sorted(WAYS_OUT))
def test_a_stream_keeps_its_place_until_it_is_over(colour: Colour, way_out: str) -> None:
    layer = limit(colour, FakeClock(), concurrency=1)
    response = colour.run(layer(call(), Script(streamed())))
    assert refused(colour, layer).message == "the global limit has no room: more than 1 calls at once"
    WAYS_OUT[way_out](colour, response)
    assert [busy(colour, layer), busy(colour, layer)] == [False, False]


def test_a_stream_that_is_dropped_gives_back_its_place(colour: Colour) -> None:
    layer = limit(colour, FakeClock(), concurrency=1)
    response: Response | None = colour.run(layer(call(), Script(streamed())))
    assert busy(colour, layer)
    assert response is not None
    response = None
    gc.collect()
    assert not busy(colour, layer)


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), RateLimited("from below")])
def test_a_call_that_fails_gives_back_its_place(colour: Colour, error: BaseException) -> None:
    layer = limit(colour, FakeClock(), concurrency=1)
    with pytest.raises(type(error)):
        colour.run(layer(call(), Script(error)))
    assert not busy(colour, layer)


def test_a_call_refused_for_its_pace_gives_back_its_place(colour: Colour) -> None:
    clock = FakeClock()
    layer = limit(colour, clock, rate=1.0, burst=1, concurrency=1)
    assert [busy(colour, layer), busy(colour, layer)] == [False, True]
    clock.advance(1.0)
    assert not busy(colour, layer)


def test_a_call_refused_for_want_of_a_place_has_taken_nothing_of_the_pace(colour: Colour) -> None:
    layer = limit(colour, FakeClock(), rate=0.001, burst=2, concurrency=1)
    response = colour.run(layer(call(), Script(streamed())))
    for _ in range(5):
        assert "at once" in refused(colour, layer).message
    colour.run(read_all(response))
    assert not busy(colour, layer)  # the second of the burst is still there


# ---------------------------------------------------------------- waiting for a place


class Scripted:
    """A colour for driving by hand: every wait suspends once or more, and a signal is waited for until it is set."""

    def __init__(self, clock: Clock, *, patient: bool = True) -> None:
        self.clock = clock
        self._patient = patient

    async def wait(self, signal: Signal, seconds: float | None, /) -> bool:
        await Suspends()
        while not signal.is_set and self._patient:
            await Suspends()
        return signal.is_set

    def alarm(self) -> Alarm:
        return Blocking(self.clock).alarm()


class SlowClock(FakeClock):
    async def sleep(self, seconds: float, /) -> None:
        await Suspends()
        await super().sleep(seconds)


async def slow(request: Request, /) -> Response:
    await Suspends()
    await Suspends()
    return streamed()


def spin(work: Any, turns: int) -> Response | None:
    """Some turns of a coroutine; its answer when it came to one."""
    try:
        for _ in range(turns):
            work.send(None)
    except StopIteration as done:
        response: Response = done.value
        return response
    return None


def test_places_go_to_those_who_waited_longest() -> None:
    layer = Limit(Gate(Room(concurrency=1, patience=60)), Scripted(FakeClock()))
    holder = drive(layer(call(), Script(streamed())))
    waiting = [layer(call(), Script(streamed())) for _ in range(3)]
    for work in waiting:
        assert spin(work, 3) is None
    order: list[int] = []
    while len(order) < 3:
        assert holder.stream is not None
        drive(holder.stream.aclose())
        came = [(number, spin(work, 2)) for number, work in enumerate(waiting) if number not in order]
        done = [(number, response) for number, response in came if response is not None]
        assert len(done) == 1  # one place, one call
        order.append(done[0][0])
        holder = done[0][1]
    assert order == [0, 1, 2]


def test_nobody_new_overtakes_those_who_wait() -> None:
    gate = Gate(Room(concurrency=1, patience=60))
    layer, hasty = Limit(gate, Scripted(FakeClock())), Limit(gate, Scripted(FakeClock(), patient=False))
    holder = drive(layer(call(), Script(streamed())))
    waiting = layer(call(), Script(streamed()))
    assert spin(waiting, 2) is None
    assert holder.stream is not None
    drive(holder.stream.aclose())
    newcomer = hasty(call(), Script(streamed()))
    with pytest.raises(RateLimited):
        spin(newcomer, 5)
    assert spin(waiting, 2) is not None


@pytest.mark.parametrize("held", [False, True], ids=["free", "held"])
@pytest.mark.parametrize("freed", [False, True], ids=["still held", "given meanwhile"])
def test_cancelled_at_any_wait_a_call_leaves_no_place_behind(held: bool, freed: bool) -> None:
    step = 0
    while True:
        gate = Gate(Room(concurrency=1, patience=1e6, rate=1.0, burst=1))
        layer = Limit(gate, Scripted(SlowClock()))
        holder = drive(layer(call(), Script(streamed()))) if held else None
        work = layer(call(), slow)
        if holder is not None and freed:
            assert spin(work, 1) is None
            assert holder.stream is not None
            drive(holder.stream.aclose())
        if not run_cancelled(work, step):
            break
        if holder is not None and not freed:
            assert holder.stream is not None
            drive(holder.stream.aclose())
        turns = [gate.enter(), gate.enter()]
        assert [turn is not None and turn.is_set for turn in turns] == [True, False], step
        step += 1
        if held and not freed and step > 4:
            break  # it waits for ever
    assert step >= 2


def test_an_abandoned_wait_gives_its_place_to_the_next() -> None:
    gate = Gate(Room(concurrency=1))
    first, second, third = gate.enter(), gate.enter(), gate.enter()
    assert first is not None
    assert second is not None
    assert third is not None
    gate.leave(first)
    assert second.is_set
    gate.leave(second)  # it gave up just as its place was given
    assert third.is_set
    gate.leave(second)
    gate.leave(second)
    fourth = gate.enter()
    assert fourth is not None
    assert not fourth.is_set  # leaving twice frees one place


def test_patience_ends(colour: Colour) -> None:
    layer = limit(colour, FakeClock(), concurrency=1, patience=0.001)
    response = colour.run(layer(call(), Script(streamed())))
    assert refused(colour, layer).retry_after == 1.0
    colour.run(close(response))
    assert not busy(colour, layer)


def test_threads_and_loops_never_hold_more_places_than_there_are() -> None:
    gate, inside, most, lock = Gate(Room(concurrency=3, patience=60)), [0], [0], threading.Lock()

    def count(by: int) -> None:
        with lock:
            inside[0] += by
            most[0] = max(most[0], inside[0])

    async def work(request: Request, /) -> Response:
        count(1)
        if request.model == "async":
            await asyncio.sleep(0)
        count(-1)
        return answer()

    def by_hand() -> None:
        layer = Limit(gate, Blocking())
        for _ in range(100):
            drive(layer(call(model="sync"), work))

    async def on_loop() -> None:
        layer = Limit(gate, Awaiting())
        await asyncio.gather(*(layer(call(model="async"), work) for _ in range(100)))

    threads = [threading.Thread(target=by_hand) for _ in range(3)]
    threads += [threading.Thread(target=lambda: asyncio.run(on_loop())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 3
    assert inside == [0]
    turns = [gate.enter() for _ in range(4)]
    assert [turn is not None and turn.is_set for turn in turns] == [True, True, True, False]


def test_a_place_given_back_by_the_garbage_collector_inside_the_lock_is_not_lost() -> None:
    # Whoever holds the lock runs Python code; there the collector may run, and drop a stream.
    gate = Gate(Room(concurrency=1))
    layer = Limit(gate, Blocking(FakeClock()))
    dropped = [drive(layer(call(), Script(streamed())))]

    class Waker:
        def __call__(self) -> None:
            dropped.clear()
            gc.collect()

    first, second = Signal(), Signal()
    first.subscribe(Waker())
    gate._guard.do(first.set)  # pyright: ignore[reportPrivateUsage]  # the lock is the point
    second = gate.enter() or second
    assert second.is_set


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_forgets_the_calls_in_flight() -> None:
    gate = Gate(Room(concurrency=1))
    layer = Limit(gate, Blocking(FakeClock()))
    theirs = drive(layer(call(), Script(streamed())))
    pid = os.fork()
    if pid == 0:
        try:
            signals.alarm(20)
            ours = gate.enter()
            free = ours is not None and ours.is_set
            drive(close(theirs))  # the parent's place, closed here too: it gives nobody a second one
            second = gate.enter()
            os._exit(0 if free and second is not None and not second.is_set else 3)
        finally:
            os._exit(4)
    _, status = os.waitpid(pid, 0)
    mine = gate.enter()
    assert os.waitstatus_to_exitcode(status) == 0
    assert mine is not None
    assert not mine.is_set
    drive(close(theirs))
    assert mine.is_set


def test_a_cancelled_call_is_not_an_answer() -> None:
    with pytest.raises(Cancelled):
        drive(Limit(Gate(Room(concurrency=1)), Blocking())(call(), Script(Cancelled())))
