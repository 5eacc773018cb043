"""Credentials that run out: who waits, who does not, and what is told when none comes."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from llm_edge.clouds.credentials import Bearer, Fresh, Renewed
from llm_edge.errors import CallError, NetworkFailed, Unauthorized
from llm_edge.message import Headers
from llm_edge.providers.base import Wire
from llm_edge.runtime import Awaiting, Blocking, FakeClock, drive

if TYPE_CHECKING:
    from tests.conftest import Colour

HOUR = 3600.0


class Source:
    """Gives what it is told to, one after the other, and can be made to take its time."""

    def __init__(self, *given: Fresh[str] | Exception) -> None:
        self.given = list(given)
        self.asked = 0
        self.begun, self.go = threading.Event(), threading.Event()
        self.go.set()

    def __call__(self) -> Fresh[str]:
        self.asked += 1
        self.begun.set()
        assert self.go.wait(20)
        one = self.given.pop(0)
        if isinstance(one, Exception):
            raise one
        return one


def token(name: str, clock: FakeClock, seconds: float = HOUR) -> Fresh[str]:
    return Fresh(name, clock.time() + seconds)


def until(met: Callable[[], bool]) -> None:
    """What a background thread does is there once its thread is done."""
    for thread in threading.enumerate():
        if thread.name.startswith("llm_edge: "):
            thread.join(20)
    assert met()


def test_a_credential_is_got_once_and_then_known(colour: Colour) -> None:
    clock = FakeClock()
    source = Source(token("t1", clock))
    renewed, runtime = Renewed(source, what="a token"), colour.runtime(clock)
    assert [colour.run(renewed.get(runtime)) for _ in range(3)] == ["t1"] * 3
    assert source.asked == 1


def test_no_call_waits_while_the_old_one_is_good(colour: Colour) -> None:
    clock = FakeClock()
    source = Source(token("t1", clock), token("t2", clock, 2 * HOUR))
    renewed, runtime = Renewed(source, what="a token"), colour.runtime(clock)
    assert colour.run(renewed.get(runtime)) == "t1"
    source.go.clear()
    source.begun.clear()
    clock.advance(HOUR - 200)
    assert [colour.run(renewed.get(runtime)) for _ in range(3)] == ["t1"] * 3
    assert source.begun.wait(20)
    source.go.set()
    until(lambda: source.asked == 2)
    assert colour.run(renewed.get(runtime)) == "t2"


def test_one_that_has_run_out_is_never_given(colour: Colour) -> None:
    clock = FakeClock()
    source = Source(token("t1", clock), token("t2", clock, 2 * HOUR))
    renewed, runtime = Renewed(source, what="a token"), colour.runtime(clock)
    assert colour.run(renewed.get(runtime)) == "t1"
    clock.advance(HOUR)
    assert colour.run(renewed.get(runtime)) == "t2"


def test_threads_and_loops_wait_for_the_same_one() -> None:
    clock = FakeClock()
    source = Source(token("t1", clock))
    source.go.clear()
    renewed = Renewed(source, what="a token")
    got: list[str] = []

    async def on_a_loop() -> None:
        got.extend(await asyncio.gather(*(renewed.get(Awaiting(clock)) for _ in range(3))))

    work = [threading.Thread(target=lambda: got.append(drive(renewed.get(Blocking(clock))))) for _ in range(3)]
    work.append(threading.Thread(target=lambda: asyncio.run(on_a_loop())))
    for thread in work:
        thread.start()
    assert source.begun.wait(20)
    source.go.set()
    for thread in work:
        thread.join(20)
    assert got == ["t1"] * 6
    assert source.asked == 1


def test_who_waits_too_long_is_told_and_the_next_has_it(colour: Colour) -> None:
    clock = FakeClock()
    source = Source(token("t1", clock))
    source.go.clear()
    renewed, runtime = Renewed(source, what="a token for the test"), colour.runtime(clock)
    with pytest.raises(NetworkFailed, match="a token for the test did not come within 0 seconds") as told:
        colour.run(renewed.get(runtime, 0.0))
    assert told.value.retryable
    source.go.set()
    assert colour.run(renewed.get(runtime)) == "t1"
    assert source.asked == 1


@pytest.mark.parametrize(
    ("failure", "wait"),
    [(Unauthorized("there is none; set it"), 10.0), (NetworkFailed("nobody there", kind="ConnectError"), 1.0)],
)
def test_after_a_failure_all_are_told_at_once_until_it_is_tried_again(
    colour: Colour, failure: CallError, wait: float
) -> None:
    clock = FakeClock()
    source = Source(failure, token("t1", clock))
    renewed, runtime = Renewed(source, what="a token"), colour.runtime(clock)
    for _ in range(3):
        with pytest.raises(type(failure), match=failure.message):
            colour.run(renewed.get(runtime))
    assert source.asked == 1
    clock.advance(wait)
    assert colour.run(renewed.get(runtime)) == "t1"


def test_a_failure_while_the_old_one_is_good_hurts_nobody(colour: Colour) -> None:
    clock = FakeClock()
    source = Source(token("t1", clock), Unauthorized("not now"), token("t2", clock, 2 * HOUR))
    renewed, runtime = Renewed(source, what="a token"), colour.runtime(clock)
    colour.run(renewed.get(runtime))
    clock.advance(HOUR - 100)
    assert colour.run(renewed.get(runtime)) == "t1"
    until(lambda: source.asked == 2)
    assert colour.run(renewed.get(runtime)) == "t1"
    clock.advance(50)
    assert colour.run(renewed.get(runtime)) == "t1"
    until(lambda: source.asked == 3)
    assert colour.run(renewed.get(runtime)) == "t2"


def test_what_an_unknown_failure_says_is_not_repeated(colour: Colour) -> None:
    renewed = Renewed(Source(ValueError("secret-canary")), what="a token")
    with pytest.raises(Unauthorized, match=r"a token could not be had \(ValueError\)") as told:
        colour.run(renewed.get(colour.runtime(FakeClock())))
    assert "canary" not in str(told.value)
    assert told.value.__cause__ is None


def test_one_that_comes_run_out_makes_the_clock_suspect(colour: Colour) -> None:
    clock = FakeClock()
    renewed = Renewed(Source(token("t1", clock, -5.0)), what="a token")
    with pytest.raises(Unauthorized, match="clock"):
        colour.run(renewed.get(colour.runtime(clock)))


def test_a_source_that_gives_the_same_again_is_not_asked_at_every_call(colour: Colour) -> None:
    clock = FakeClock()
    source = Source(token("t1", clock, 100.0), token("t1", clock, 100.0))
    renewed, runtime = Renewed(source, what="a token"), colour.runtime(clock)
    assert [colour.run(renewed.get(runtime)) for _ in range(5)] == ["t1"] * 5
    assert source.asked == 1
    clock.advance(10)
    assert [colour.run(renewed.get(runtime)) for _ in range(5)] == ["t1"] * 5
    until(lambda: source.asked == 2)


def test_one_that_is_good_for_ever_is_got_once(colour: Colour) -> None:
    clock = FakeClock()
    renewed, runtime = Renewed(Source(Fresh("t1")), what="a token"), colour.runtime(clock)
    colour.run(renewed.get(runtime))
    clock.advance(1e9)
    assert colour.run(renewed.get(runtime)) == "t1"


def test_one_that_was_not_taken_is_got_anew_once(colour: Colour) -> None:
    clock = FakeClock()
    renewed = Renewed(Source(token("t1", clock), token("t2", clock), token("t2", clock)), what="a token")
    runtime = colour.runtime(clock)
    assert colour.run(renewed.get(runtime)) == "t1"
    assert renewed.refused("t1")
    assert colour.run(renewed.get(runtime)) == "t2"
    assert renewed.refused("t1"), "a call that was under way with the old one tries the new one"
    assert renewed.refused("t2")
    assert colour.run(renewed.get(runtime)) == "t2"
    assert not renewed.refused("t2"), "it came anew and is the same"


def test_a_child_asks_for_itself() -> None:
    clock = FakeClock()
    source = Source(token("t1", clock))
    source.go.clear()
    renewed = Renewed(source, what="a token")
    with pytest.raises(NetworkFailed):
        drive(renewed.get(Blocking(clock), 0.0))
    child = os.fork()
    if child == 0:
        try:
            signal.alarm(20)
            source.go.set()
            os._exit(0 if drive(renewed.get(Blocking(clock))) == "t1" else 3)
        finally:
            os._exit(4)
    source.go.set()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_token_is_shown_in_place_of_any_key(colour: Colour) -> None:
    clock = FakeClock()
    bearer = Bearer(Renewed(Source(token("t1", clock), token("t2", clock)), what="a token"))
    keys = {"Authorization": "Bearer old", "api-key": "k", "x-api-key": "k", "x-goog-api-key": "k"}
    wire = Wire(url="https://p.test", headers=Headers({**keys, "accept": "*/*"}))
    shown = colour.run(bearer.show(wire, colour.runtime(clock), None))
    assert dict(shown.headers) == {"accept": "*/*", "authorization": "Bearer t1"}
    assert bearer.refused(shown)
    again = colour.run(bearer.show(wire, colour.runtime(clock), None))
    assert again.headers["authorization"] == "Bearer t2"


def test_no_repr_shows_a_token() -> None:
    assert "canary" not in repr(Fresh("canary"))
