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

from llm_edge.errors import NetworkFailed, RateLimited, RequestExceedsLimit
from llm_edge.layers import subjects
from llm_edge.layers.limit import Limit, Queue
from llm_edge.message import Body, Request, Response
from llm_edge.notes import Attempt
from llm_edge.policy.controls import from_keyword
from llm_edge.policy.estimate import guess
from llm_edge.policy.plan import Bounds, Limiting, Plan, Scope
from llm_edge.policy.rows import Taken
from llm_edge.providers.base import Target
from llm_edge.runtime import Alarm, Awaiting, Blocking, Clock, FakeClock, Home, Runtime, Signal, drive
from llm_edge.stores.counters import MemoryCounters, MemoryView

from .kit import CHUNKS, Cancelled, Script, Suspends, answer, call, failed, read_all, run_cancelled, streamed

if TYPE_CHECKING:
    from tests.conftest import Colour


class House:
    """What both colours of a limit share."""

    def __init__(self, limits: dict[str, Limiting] | None = None, *, patience: float = 0.0, **bounds: Any) -> None:
        self.counters, self.queue = MemoryCounters(), Queue()
        tiers = {"small": Bounds(concurrency=1), "large": Bounds(concurrency=3)}
        self.plan = Plan(limits or {"global": Limiting(bounds=Bounds(**bounds), patience=patience)}, tiers)

    def limit(self, runtime: Runtime, *scopes: Scope, **more: Any) -> Limit:
        who = subjects.of_call(scopes or ("global",))
        counters = self.counters.view(runtime)
        return Limit(plan=self.plan, counters=counters, queue=self.queue, runtime=runtime, **{"subjects": who, **more})

    def free(self, clock: FakeClock | None = None) -> bool:
        """Whether there is room for one call just now; takes nothing."""
        layer = self.limit(Blocking(clock or FakeClock()))
        counters = layer.counters
        assert isinstance(counters, MemoryView)
        verdict = counters.take_now(self.plan.passage((("global", ""),)).rows, 1.0)
        if isinstance(verdict, Taken):
            counters.settle(verdict.hold, {})
            return True
        return False


def limit(colour: Colour, clock: FakeClock, **room: Any) -> Limit:
    return House(**room).limit(colour.runtime(clock))


def refused(colour: Colour, layer: Limit, request: Request | None = None) -> RateLimited:
    script = Script(answer())
    with pytest.raises(RateLimited) as caught:
        colour.run(layer(request or call(), script))
    assert script.asked == []
    return caught.value


def test_a_burst_passes_and_the_next_is_told_exactly_when_to_come_back(colour: Colour) -> None:
    clock, script = FakeClock(), Script(answer())
    layer = limit(colour, clock, requests=2, burst=3)
    for _ in range(3):
        colour.run(layer(call(), script))
    error = refused(colour, layer)
    assert (error.retry_after, error.status, error.retryable, error.elsewhere) == (0.5, 429, False, False)
    assert error.message.endswith("more than 2 calls a second, with a burst of 3")
    clock.advance(0.499)
    refused(colour, layer)
    clock.advance(0.001)
    colour.run(layer(call(), script))
    assert len(script.asked) == 4


def test_refusals_do_not_put_off_those_who_come_later(colour: Colour) -> None:
    clock, script = FakeClock(), Script(answer())
    layer = limit(colour, clock, requests=1, burst=1)
    colour.run(layer(call(), script))
    for _ in range(50):
        assert refused(colour, layer).retry_after == 1.0
    clock.advance(1.0)
    colour.run(layer(call(), script))


def test_with_patience_a_call_waits_for_its_turn_and_says_so(colour: Colour) -> None:
    clock, script = FakeClock(), Script(answer())
    layer = limit(colour, clock, requests=2, burst=1, patience=0.6)
    colour.run(layer(call(), script))
    request = call(clock=clock)
    colour.run(layer(request, script))
    assert clock.slept == [0.5]
    assert request.notes.waited == 0.5
    assert request.notes.events == [(0.0, "limit", {"scope": "global", "waited_s": 0.5})]


def test_no_call_waits_beyond_its_deadline(colour: Colour) -> None:
    clock, script = FakeClock(), Script(answer())
    layer = limit(colour, clock, requests=1, per=10.0, burst=1, patience=60.0)
    colour.run(layer(call(), script))
    assert refused(colour, layer, call(deadline=9.0)).retry_after == 10.0
    assert refused(colour, layer, call(deadline=-1.0)).retry_after == 10.0
    assert clock.slept == []
    colour.run(layer(call(deadline=10.0), script))


def test_a_refusal_is_part_of_the_story(colour: Colour) -> None:
    request, layer = call(), limit(colour, FakeClock(), requests=1, burst=1)
    colour.run(layer(call(), Script(answer())))
    refused(colour, layer, request)
    facts = {"scope": "global", "refused": "more than 1 calls a second, with a burst of 1", "retry_after_s": 1.0}
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
    layer = limit(colour, clock, requests=1, burst=1, concurrency=1)
    assert [busy(colour, layer), busy(colour, layer)] == [False, True]
    clock.advance(1.0)
    assert not busy(colour, layer)


def test_a_call_refused_for_want_of_a_place_has_taken_nothing_of_the_pace(colour: Colour) -> None:
    layer = limit(colour, FakeClock(), requests=1, per=1000.0, burst=2, concurrency=1)
    response = colour.run(layer(call(), Script(streamed())))
    for _ in range(5):
        assert "at once" in refused(colour, layer).message
    colour.run(read_all(response))
    assert not busy(colour, layer)  # the second of the burst is still there


# ---------------------------------------------------------------- waiting for a place


class Scripted:
    """A colour for driving by hand: every wait suspends once or more, and a signal is waited for until it is set."""

    apart = False

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

    def home(self) -> Home:
        return Blocking(self.clock).home()


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
    layer = House(concurrency=1, patience=60).limit(Scripted(FakeClock()))
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
    house = House(concurrency=1, patience=60)
    layer, hasty = house.limit(Scripted(FakeClock())), house.limit(Scripted(FakeClock(), patient=False))
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
        clock = SlowClock()
        house = House(concurrency=1, patience=1e6, requests=1, burst=1)
        layer = house.limit(Scripted(clock))
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
        clock.advance(10.0)
        assert house.free(clock), step
        assert house.queue.empty, step
        step += 1
        if held and not freed and step > 4:
            break  # it waits for ever
    assert step >= 2


def test_an_abandoned_wait_gives_its_place_to_the_next() -> None:
    layer = House(concurrency=1, patience=60).limit(Scripted(FakeClock()))
    holder = drive(layer(call(), Script(streamed())))
    second, third = layer(call(), Script(streamed())), layer(call(), Script(streamed()))
    assert spin(second, 2) is None
    assert spin(third, 2) is None
    assert holder.stream is not None
    drive(holder.stream.aclose())
    with pytest.raises(Cancelled):
        second.throw(Cancelled())  # it gave up just as there was a place for it
    assert spin(third, 3) is not None


def test_patience_ends(colour: Colour) -> None:
    layer = limit(colour, FakeClock(), concurrency=1, patience=0.001)
    response = colour.run(layer(call(), Script(streamed())))
    assert refused(colour, layer).retry_after == 1.0
    colour.run(close(response))
    assert not busy(colour, layer)


def test_threads_and_loops_never_hold_more_places_than_there_are() -> None:
    house, inside, most, lock = House(concurrency=3, patience=60), [0], [0], threading.Lock()

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
        layer = house.limit(Blocking())
        for _ in range(100):
            drive(layer(call(model="sync"), work))

    async def on_loop() -> None:
        layer = house.limit(Awaiting())
        await asyncio.gather(*(layer(call(model="async"), work) for _ in range(100)))

    threads = [threading.Thread(target=by_hand) for _ in range(3)]
    threads += [threading.Thread(target=lambda: asyncio.run(on_loop())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 3
    assert inside == [0]
    assert house.queue.empty
    layer = house.limit(Blocking(FakeClock()))
    held = [drive(layer(call(), Script(streamed()))) for _ in range(3)]
    assert not house.free()
    assert len(held) == 3


def test_a_place_given_back_by_the_garbage_collector_inside_the_lock_is_not_lost() -> None:
    # Whoever holds the lock runs Python code; there the collector may run, and drop a stream.
    house = House(concurrency=1)
    dropped = [drive(house.limit(Blocking(FakeClock()))(call(), Script(streamed())))]

    def collect() -> None:
        dropped.clear()
        gc.collect()

    house.counters._guard.do(collect)  # pyright: ignore[reportPrivateUsage]  # the lock is the point
    assert house.free()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_forgets_the_calls_in_flight() -> None:
    house = House(concurrency=1)
    layer = house.limit(Blocking(FakeClock()))
    theirs = drive(layer(call(), Script(streamed())))
    pid = os.fork()
    if pid == 0:
        try:
            signals.alarm(20)
            free = house.free()
            drive(close(theirs))  # the parent's place, closed here too: it gives nobody a second one
            ours = drive(layer(call(), Script(streamed())))
            os._exit(0 if free and ours and not house.free() else 3)
        finally:
            os._exit(4)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert not house.free()
    drive(close(theirs))
    assert house.free()


def test_a_cancelled_call_is_not_an_answer() -> None:
    with pytest.raises(Cancelled):
        drive(House(concurrency=1).limit(Blocking())(call(), Script(Cancelled())))


# ---------------------------------------------------------------- who is first


def test_a_higher_priority_goes_before_those_who_came_earlier() -> None:
    layer = House(concurrency=1, patience=60).limit(Scripted(FakeClock()))
    holder = drive(layer(call(), Script(streamed())))
    plain = layer(call(), Script(streamed()))
    urgent = layer(call(controls=from_keyword({"priority": 5})), Script(streamed()))
    assert spin(plain, 2) is None
    assert spin(urgent, 2) is None
    assert holder.stream is not None
    drive(holder.stream.aclose())
    assert spin(plain, 2) is None
    got = spin(urgent, 3)
    assert got is not None
    assert got.stream is not None
    drive(got.stream.aclose())
    assert spin(plain, 3) is not None


def test_a_large_ask_is_not_starved_by_small_ones() -> None:
    clock = SlowClock()
    layer = House(tokens_per_minute=600, patience=100.0).limit(Scripted(clock))
    holding = spin(layer(asks(600), Script(streamed())), 3)
    assert holding is not None
    large = layer(asks(500), Script(streamed()))
    assert spin(large, 1) is None
    small = [layer(asks(20), Script(streamed())) for _ in range(5)]
    clock.advance(45.0)  # there would be room for all the small ones now, and for more that come
    assert [spin(each, 2) for each in small] == [None] * 5
    clock.advance(10.0)
    first = spin(large, 8)
    assert first is not None
    clock.advance(10.0)
    second = spin(small[0], 8)
    assert second is not None


def test_who_waits_for_another_limit_stands_in_nobodys_way(colour: Colour) -> None:
    house = House({"tenant": Limiting(bounds=Bounds(concurrency=1), patience=60.0)})
    layer = house.limit(Scripted(FakeClock()), "tenant")
    acme, other = (from_keyword({"tenant": name}) for name in ("acme", "other"))
    held = drive(layer(call(controls=acme), Script(streamed())))
    assert spin(layer(call(controls=acme), Script(streamed())), 2) is None
    assert held.stream is not None
    assert spin(layer(call(controls=other), Script(streamed())), 1) is not None


# ---------------------------------------------------------------- tokens


def asks(tokens: int, **more: Any) -> Request:
    """A call that is guessed to use so many tokens."""
    body = {"model": "m", "messages": [], "max_tokens": 1}
    return call(body={**body, "max_tokens": tokens - guess(body, output=0).prompt}, **more)


def left(house: House, clock: FakeClock) -> int:
    row = house.plan.passage((("global", ""),)).tokens[0]
    standing = drive(house.counters.view(Blocking(clock)).look(row))
    return row.limit if standing is None else standing.left


def test_tokens_are_taken_by_a_guess_and_settled_with_what_was_used(colour: Colour) -> None:
    clock, house = FakeClock(), House(tokens_per_minute=1000)
    layer, seen = house.limit(colour.runtime(clock)), list[int]()

    def used(request: Request) -> Response:
        seen.append(left(house, clock))
        return Response(status=200, body=Body(b'{"usage":{"total_tokens":300}}'))

    colour.run(layer(asks(800), Script(used)))
    assert (seen, left(house, clock)) == ([200], 700)
    assert refused(colour, layer, asks(800)).retry_after == pytest.approx(6.0)


def test_an_answer_that_does_not_tell_its_usage_counts_as_guessed(colour: Colour) -> None:
    clock, house = FakeClock(), House(tokens_per_minute=1000)
    response = Response(status=200, body=Body(b"{}"))
    colour.run(house.limit(colour.runtime(clock))(asks(800), Script(response)))
    assert left(house, clock) == 200


def test_a_stream_settles_when_it_ends_and_one_cut_short_by_what_was_heard(colour: Colour) -> None:
    clock, house = FakeClock(), House(tokens_per_minute=1000)
    layer = house.limit(colour.runtime(clock))
    response = colour.run(layer(asks(800), Script(streamed())))
    assert left(house, clock) == 200
    colour.run(read_all(response))
    assert left(house, clock) == 997  # it said 3 at its end
    cut = colour.run(layer(asks(800), Script(streamed(*CHUNKS[:2] * 50, error=ConnectionError()))))
    with pytest.raises(ConnectionError):
        colour.run(read_all(cut))
    assert left(house, clock) in range(997 - 115, 997 - 100)  # a hundred events, and a short prompt


def test_what_was_refused_or_never_sent_used_no_tokens(colour: Colour) -> None:
    clock, house = FakeClock(), House(tokens_per_minute=1000)
    layer = house.limit(colour.runtime(clock))

    def sent(error: BaseException) -> Any:
        def step(request: Request) -> Response:
            request.notes.attempts.append(Attempt("t", 0.0))
            raise error

        return step

    for step, after in [(NetworkFailed("never sent"), 1000), (sent(failed()), 1000), (sent(NetworkFailed("cut")), 200)]:
        with pytest.raises(type(step) if isinstance(step, BaseException) else Exception):  # either
            colour.run(layer(asks(800), Script(step)))
        assert left(house, clock) == after


def test_a_call_that_can_never_fit_is_told_so_at_once(colour: Colour) -> None:
    clock, house = FakeClock(), House(tokens_per_minute=1000, patience=60.0)
    request = asks(1001)
    with pytest.raises(RequestExceedsLimit, match="more than 1000 tokens in a minute; lower its max_tokens") as caught:
        colour.run(house.limit(colour.runtime(clock))(request, Script()))
    assert (caught.value.status, caught.value.retry_after, clock.slept) == (400, None, [])
    assert request.notes.events[0][2]["refused"] == "never fits: more than 1000 tokens in a minute"


def test_a_call_nobody_understands_is_counted_and_has_no_tokens(colour: Colour) -> None:
    layer = House(tokens_per_minute=1, requests=5).limit(colour.runtime(FakeClock()))
    opaque = call(body={"n": 1}, operation="opaque", dialect="opaque")
    assert colour.run(layer(opaque, Script())).status == 200


# ---------------------------------------------------------------- scopes


def test_limits_hold_for_each_of_whom_they_are_for(colour: Colour) -> None:
    scopes: tuple[Scope, ...] = ("tenant", "key", "user", "route")
    limits = {scope: Limiting(bounds=Bounds(requests=1, per=60.0)) for scope in scopes}
    layer = House(limits).limit(colour.runtime(FakeClock()), *scopes)

    def asked(**who: Any) -> Request:
        return call(
            controls=from_keyword({"tenant": who.pop("tenant", "t")}), route=who.pop("route", "r"),
            scope=who.pop("key", "k"), body={"user": who.pop("user", "u")},
        )  # fmt: skip

    colour.run(layer(asked(), Script()))
    for scope in scopes:
        fresh = {"tenant": "x" + scope, "key": "x" + scope, "user": "x" + scope, "route": "x" + scope}
        del fresh[scope]
        assert f"the {scope} limit" in refused(colour, layer, asked(**fresh)).message
    colour.run(layer(asked(tenant="a", key="a", user="a", route="a"), Script()))


@pytest.mark.parametrize(
    "body",
    [{"user": "ann"}, {"safety_identifier": "ann"}, {"metadata": {"user_id": "ann"}}],
    ids=lambda body: next(iter(body)),
)
def test_a_user_is_known_by_what_providers_call_it(body: dict[str, Any]) -> None:
    who = subjects.of_call(("user",))
    assert who(call(body=body)) == (("user", "ann"),)
    assert who(call(body=body, controls=from_keyword({"user": "bob"}))) == (("user", "bob"),)


def test_nobody_escapes_a_limit_by_keeping_silent() -> None:
    who = subjects.of_call(("tenant", "key", "user", "route"))
    assert who(call()) == (("tenant", ""), ("key", ""), ("user", ""))
    layer = House({"user": Limiting(bounds=Bounds(requests=1, per=60.0))}).limit(Blocking(FakeClock()), "user")
    drive(layer(call(), Script()))
    with pytest.raises(RateLimited):
        drive(layer(call(), Script()))


def test_a_call_names_its_own_tier(colour: Colour) -> None:
    house = House({"tenant": Limiting(bounds=Bounds(concurrency=1), tiered=True)})
    layer = house.limit(colour.runtime(FakeClock()), "tenant")
    large = from_keyword({"tier": "large"})
    held = [colour.run(layer(call(controls=large), Script(streamed()))) for _ in range(3)]
    assert "more than 3 calls" in refused(colour, layer, call(controls=large)).message
    assert len(held) == 3


def test_a_limit_on_a_target_lets_the_call_go_elsewhere(colour: Colour) -> None:
    house = House({"provider": Limiting(bounds=Bounds(requests=1, per=60.0))})
    who = subjects.of_target(("provider", "model"), Target(provider="openai", model="gpt"))
    assert who(call()) == (("provider", "openai"), ("model", "openai/gpt"))
    layer = house.limit(colour.runtime(FakeClock()), subjects=who, elsewhere=True)
    colour.run(layer(call(), Script()))
    assert refused(colour, layer).elsewhere


def test_how_the_limits_stand_is_noted_for_the_callers_headers(colour: Colour) -> None:
    clock, request = FakeClock(), call()
    layer = limit(colour, clock, requests=2, burst=4, tokens_per_minute=6000)
    colour.run(layer(request, Script()))
    (unit, most, still, reset), tokens = request.notes.limits
    assert (unit, most, still, reset) == ("requests", 4, 3, 0.5)
    assert tokens[0] == "tokens"
    for _ in range(3):
        colour.run(layer(call(), Script()))
    refusal = call()
    refused(colour, layer, refusal)
    assert refusal.notes.limits == (("requests", 4, 0, 0.5),)
