"""What each outcome says about a target, and when it is left alone."""

from __future__ import annotations

import gc
import os
import signal as signals
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import (
    BadAnswer,
    BadRequest,
    CallError,
    CertificateRefused,
    CircuitOpen,
    ContextTooLong,
    DeadlineExceeded,
    NetworkFailed,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    StreamBroken,
    Throttled,
    Unauthorized,
)
from llm_edge.layers.breaker import CircuitBreaker, GuardedBreaker
from llm_edge.message import Response
from llm_edge.policy.breaker import Breaker, Permit, Rule
from llm_edge.runtime import FakeClock, drive

from .kit import Cancelled, Script, answer, call, failed, read_all, run_cancelled, streamed
from .test_limit import close, slow

if TYPE_CHECKING:
    from tests.conftest import Colour


class Place:
    """A breaker that opens at the second failure in a row, and its layer."""

    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.breaker = GuardedBreaker(Breaker(Rule(**{"failures": 2, "open_for": 30.0, **settings})))
        self.layer = CircuitBreaker(self.breaker, self.clock, target="openai/a")

    def open(self, colour: Colour) -> None:
        while self.breaker.state != "open":
            with pytest.raises(CallError):
                colour.run(self.layer(call(), Script(failed())))


def lives(colour: Colour, place: Place, *outcomes: Response | BaseException | Callable[[], Any]) -> str:
    """The breaker's state after these outcomes."""
    for outcome in outcomes:
        try:
            step = outcome() if callable(outcome) else outcome
            response = colour.run(place.layer(call(), Script(step)))
            if response.stream is not None:
                colour.run(read_all(response))
        except (Exception, Cancelled, KeyboardInterrupt):
            continue
    return place.breaker.state


def late(error: Any) -> Any:
    """A timeout that this process was too busy to notice in time."""
    error.late = True
    return error


BAD: list[Callable[[], Any]] = [
    failed,
    lambda: NetworkFailed("reset", kind="ReadError"),
    lambda: NetworkFailed("late", kind="ReadTimeout"),
    lambda: CertificateRefused("not trusted", kind="ConnectError"),
    lambda: BadAnswer("HTML"),
    lambda: streamed(b"a", error=StreamBroken("cut")),
    lambda: streamed(b"a", b"bad"),
    lambda: answer(status=500),  # opaque: nobody below made an error of it
    lambda: answer(status=503),
]
NOTHING: list[Callable[[], Any]] = [
    *(lambda kind=kind: failed(kind, status=400)
      for kind in (BadRequest, ContextTooLong, Unauthorized, NotFound, Throttled, QuotaExhausted)),
    lambda: streamed(b"a", error=Throttled("slow down")),
    lambda: RateLimited("ours"),
    lambda: DeadlineExceeded("ours"),
    lambda: NetworkFailed("no connection became free", kind="PoolTimeout"),
    lambda: NetworkFailed("not http", kind="UnsupportedProtocol"),
    lambda: late(NetworkFailed("noticed late", kind="ReadTimeout")),
    lambda: streamed(b"a", error=late(StreamBroken("noticed late", kind="ReadTimeout"))),
    Cancelled,
    KeyboardInterrupt,
    lambda: ValueError("a mistake in a layer"),
    lambda: answer(status=429),
    lambda: answer(status=404),
]  # fmt: skip


@pytest.mark.parametrize("outcome", range(len(BAD)))
def test_a_sick_target_is_left_alone(colour: Colour, outcome: int) -> None:
    assert lives(colour, Place(), BAD[outcome], BAD[outcome]) == "open"
    assert lives(colour, Place(), BAD[outcome], answer, BAD[outcome], streamed, BAD[outcome]) == "closed"


@pytest.mark.parametrize("outcome", range(len(NOTHING)))
def test_what_says_nothing_about_the_target_changes_nothing(colour: Colour, outcome: int) -> None:
    assert lives(colour, Place(), *[NOTHING[outcome]] * 5) == "closed"
    # Nor does it count as well: the row of failures goes on.
    assert lives(colour, Place(), failed, NOTHING[outcome], failed) == "open"


def test_an_open_breaker_refuses_without_asking(colour: Colour) -> None:
    place, script, request = Place(), Script(answer()), call()
    place.open(colour)
    place.clock.advance(10.0)
    with pytest.raises(CircuitOpen, match="openai/a has been failing") as caught:
        colour.run(place.layer(request, script))
    assert script.asked == []
    error = caught.value
    assert (error.retry_after, error.target, error.elsewhere, error.retryable) == (20.0, "openai/a", True, False)
    assert request.notes.events == [(10.0, "breaker", {"target": "openai/a", "state": "open", "probe_in_s": 20.0})]


def test_streams_that_hang_before_their_first_event_open_it(colour: Colour) -> None:
    place = Place(outcomes=3, slow_after=10.0)
    under_way = [place.breaker.admit(0.0, watched=True) for _ in range(3)]
    place.clock.advance(11.0)
    with pytest.raises(CircuitOpen):
        colour.run(place.layer(call(streaming=True), Script(streamed())))
    assert len(under_way) == 3


def test_streams_that_have_begun_are_not_slow(colour: Colour) -> None:
    place = Place(outcomes=3, slow_after=10.0)
    begun = [colour.run(place.layer(call(streaming=True), Script(streamed()))) for _ in range(5)]
    place.clock.advance(60.0)
    colour.run(place.layer(call(streaming=True), Script(answer())))
    assert place.breaker.state == "closed"
    for response in begun:
        colour.run(read_all(response))


def test_the_provider_may_ask_to_be_left_alone_for_longer(colour: Colour) -> None:
    place = Place(failures=1)
    lives(colour, place, failed(retry_after=90.0))
    place.clock.advance(60.0)
    with pytest.raises(CircuitOpen) as caught:
        colour.run(place.layer(call(), Script(answer())))
    assert caught.value.retry_after == 30.0


def test_a_target_taken_out_of_service_says_so(colour: Colour) -> None:
    place = Place()
    place.breaker.force("open")
    with pytest.raises(CircuitOpen, match="openai/a has been taken out of service"):
        colour.run(place.layer(call(), Script(answer())))


def test_two_good_probes_close_it(colour: Colour) -> None:
    place = Place()
    place.open(colour)
    place.clock.advance(30.0)
    assert lives(colour, place, answer) == "half-open"
    assert lives(colour, place, streamed) == "closed"


def test_a_bad_probe_opens_it_again(colour: Colour) -> None:
    place = Place()
    place.open(colour)
    place.clock.advance(30.0)
    assert lives(colour, place, answer, failed) == "open"
    place.clock.advance(29.0)
    assert lives(colour, place, answer) == "open"


def test_while_a_probing_stream_is_under_way_nobody_else_passes(colour: Colour) -> None:
    place = Place()
    place.open(colour)
    place.clock.advance(30.0)
    probe = colour.run(place.layer(call(), Script(streamed())))
    with pytest.raises(CircuitOpen):
        colour.run(place.layer(call(), Script(answer())))
    colour.run(read_all(probe))
    assert lives(colour, place, answer) == "closed"


def test_an_abandoned_probe_makes_room_for_the_next(colour: Colour) -> None:
    place = Place()
    place.open(colour)
    place.clock.advance(30.0)
    colour.run(close(colour.run(place.layer(call(), Script(streamed())))))
    assert place.breaker.state == "half-open"
    probe: Response | None = colour.run(place.layer(call(), Script(streamed())))
    assert probe is not None
    probe = None
    gc.collect()
    assert lives(colour, place, answer, answer) == "closed"


def test_cancelled_at_any_wait_a_probe_makes_room_for_the_next() -> None:
    step = 0
    while True:
        place = Place(failures=1)
        permit = place.breaker.admit(0.0)
        assert isinstance(permit, Permit)
        place.breaker.release(permit, good=False, now=0.0)
        place.clock.advance(30.0)
        if not run_cancelled(place.layer(call(), slow), step):
            break
        assert isinstance(place.breaker.admit(30.0), Permit), step
        step += 1
    assert step == 2


class Collects(Breaker):
    """The garbage collector runs while the lock is held."""

    dropped: Response | None = None

    def admit(self, now: float, **given: Any) -> Permit | float:
        self.dropped = None
        gc.collect()
        return super().admit(now, **given)


def test_a_stream_dropped_by_the_garbage_collector_inside_the_lock_is_told_all_the_same() -> None:
    machine = Collects(Rule(failures=1))
    layer = CircuitBreaker(GuardedBreaker(machine), FakeClock(), target="openai/a")
    response: Response | None = drive(layer(call(), Script(streamed(b"bad"))))
    assert response is not None
    assert response.stream is not None
    drive(response.stream.__anext__())
    machine.dropped, response = response, None
    # A thread, so that a lock that never opens again fails this test instead of stopping all.
    told: list[Permit | float] = []
    asking = threading.Thread(target=lambda: told.append(layer._breaker.admit(0.0, watched=True)), daemon=True)  # pyright: ignore[reportPrivateUsage]
    asking.start()
    asking.join(20)
    assert len(told) == 1
    assert machine.state == "open"


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_its_parents_probe() -> None:
    place = Place(failures=1)
    permit = place.breaker.admit(0.0)
    assert isinstance(permit, Permit)
    place.breaker.release(permit, good=False, now=0.0)
    probe = place.breaker.admit(30.0)
    assert isinstance(probe, Permit)
    pid = os.fork()
    if pid == 0:
        try:
            signals.alarm(20)
            mine = place.breaker.admit(30.0)
            place.breaker.release(probe, good=False, now=30.0)
            os._exit(0 if isinstance(mine, Permit) and place.breaker.state == "half-open" else 3)
        finally:
            os._exit(4)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert isinstance(place.breaker.admit(30.0), float)


def test_threads_share_one_breaker_and_one_probe() -> None:
    place = Place(failures=1)
    permit = place.breaker.admit(0.0)
    assert isinstance(permit, Permit)
    place.breaker.release(permit, good=False, now=0.0)
    answers: list[Permit | float] = []
    together = threading.Barrier(8)

    def ask() -> None:
        together.wait()
        answers.append(place.breaker.admit(30.0))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(each, Permit) for each in answers) == 1


def test_the_kept_answer_of_an_overloaded_provider_goes_up(colour: Colour) -> None:
    error = failed(Overloaded)
    with pytest.raises(Overloaded) as caught:
        colour.run(Place().layer(call(), Script(error)))
    assert caught.value is error
