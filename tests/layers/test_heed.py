"""We stop asking before we are refused, and keep to as many calls at once as the provider takes."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import CallError, NetworkFailed, Overloaded, RateLimited, Throttled
from llm_edge.layers.heed import Credential, Credentials, Heed
from llm_edge.message import Request, Response
from llm_edge.providers.base import Target
from llm_edge.runtime import FakeClock, Signal

from .kit import CHUNKS, Script, answer, call, failed, read_all, streamed

if TYPE_CHECKING:
    from tests.conftest import Colour

TARGET = Target(provider="openai", model="gpt", key="sk-1")


def heed(colour: Colour, clock: FakeClock, credential: Credential, **more: Any) -> Heed:
    runtime = colour.runtime(clock)
    return Heed(credential=lambda request: credential, target=TARGET, runtime=runtime, **more)


def left(requests: int, *, limit: int = 60, reset: str = "60s", tokens: int | None = None) -> Response:
    headers = {
        "x-ratelimit-limit-requests": str(limit), "x-ratelimit-remaining-requests": str(requests),
        "x-ratelimit-reset-requests": reset,
    }  # fmt: skip
    if tokens is not None:
        headers |= {
            "x-ratelimit-limit-tokens": "6000", "x-ratelimit-remaining-tokens": str(tokens),
            "x-ratelimit-reset-tokens": "60s",
        }  # fmt: skip
    return answer(headers=headers.items())


def last(request: Request | None = None, **more: Any) -> Request:
    """A call whose last target this is."""
    made = request or call(**more)
    made.notes.targets = ["openai/gpt"]
    return made


def test_a_call_waits_until_the_provider_has_room_again(colour: Colour) -> None:
    clock, credential = FakeClock(), Credential()
    layer, script = heed(colour, clock, credential), Script(left(0), left(30))
    colour.run(layer(last(), script))
    request = last()
    colour.run(layer(request, script))
    assert clock.slept == [pytest.approx(1.0)]
    assert request.notes.waited == pytest.approx(1.0)
    assert request.notes.events[0][1] == "heed"
    colour.run(layer(last(), script))
    assert len(clock.slept) == 1


def test_a_call_that_could_be_made_elsewhere_does_not_wait(colour: Colour) -> None:
    clock, credential = FakeClock(), Credential()
    layer, script = heed(colour, clock, credential), Script(left(0))
    colour.run(layer(last(), script))
    request = call()
    request.notes.targets = ["openai/gpt", "other/m"]
    with pytest.raises(RateLimited, match="openai/gpt has said that it has no room") as refused:
        colour.run(layer(request, script))
    assert (refused.value.elsewhere, refused.value.retry_after, clock.slept) == (True, pytest.approx(1.0), [])
    assert len(script.asked) == 1


def test_no_call_waits_beyond_its_deadline(colour: Colour) -> None:
    clock, credential = FakeClock(), Credential()
    layer = heed(colour, clock, credential)
    with pytest.raises(Throttled):
        colour.run(layer(last(), Script(failed(Throttled, status=429, retry_after=20.0))))
    with pytest.raises(RateLimited) as refused:
        colour.run(layer(last(deadline=10.0), Script()))
    assert refused.value.retry_after == 20.0
    colour.run(layer(last(deadline=30.0), Script()))
    assert clock.slept == [20.0]


def test_a_large_call_waits_for_its_tokens_and_a_small_one_does_not(colour: Colour) -> None:
    clock, credential = FakeClock(), Credential()
    layer, script = heed(colour, clock, credential), Script(left(59, reset="1s", tokens=500))
    colour.run(layer(last(), script))
    colour.run(layer(last(body={"messages": [], "max_tokens": 100}), script))
    assert clock.slept == []
    colour.run(layer(last(body={"messages": [], "max_tokens": 1000}), script))
    assert sum(clock.slept) > 5.0


def test_models_have_gates_of_their_own_and_credentials_too(colour: Colour) -> None:
    clock, known = FakeClock(), Credentials()
    other = Target(provider="openai", model="gpt", key="sk-2")
    assert known.of(TARGET, "https://a") is known.of(TARGET, "https://a")
    assert known.of(TARGET, "https://a") is not known.of(other, "https://a")
    addressed = Target(provider="openai", model="gpt", addressed=True)
    assert known.of(addressed, "https://a", "ann") is not known.of(addressed, "https://a", "bob")
    credential = known.of(TARGET, "https://a")
    with pytest.raises(Throttled):
        colour.run(heed(colour, clock, credential)(last(), Script(failed(Throttled, status=429, retry_after=9.0))))
    assert (credential.closed_for("gpt", 0.0), credential.closed_for("mini", 0.0)) == (9.0, 0.0)
    assert (credential.room("gpt", 0.0), credential.room("mini", 0.0)) == (0.0, None)
    for number in range(5000):
        known.of(addressed, "https://a", str(number))
        credential.gate(str(number))
    assert len(credential.gates) <= 4096


def test_a_key_that_is_throttled_leaves_the_call_to_one_that_is_not(colour: Colour) -> None:
    clock, credential = FakeClock(), Credential()
    layer = heed(colour, clock, credential, others=lambda now: True)
    with pytest.raises(Throttled) as throttled:
        colour.run(layer(last(), Script(failed(Throttled, status=429, retry_after=9.0))))
    assert not throttled.value.retryable
    with pytest.raises(RateLimited):
        colour.run(layer(last(), Script()))


def test_what_is_not_understood_passes(colour: Colour) -> None:
    credential = Credential()
    layer = heed(colour, FakeClock(), credential)
    with pytest.raises(Throttled):
        colour.run(layer(last(), Script(failed(Throttled, status=429, retry_after=9.0))))
    opaque = call(body={"n": 1}, operation="opaque", dialect="opaque")
    assert colour.run(layer(opaque, Script())).status == 200


# ---------------------------------------------------------------- how many at once


@pytest.mark.parametrize(
    "trouble", [failed(Throttled, status=429), NetworkFailed("slow", kind="ReadTimeout")], ids=["refusal", "timeout"]
)
def test_after_a_refusal_or_a_timeout_fewer_calls_are_under_way(colour: Colour, trouble: CallError) -> None:
    clock, credential = FakeClock(), Credential()
    layer = heed(colour, clock, credential)
    held = [colour.run(layer(last(), Script(streamed()))) for _ in range(9)]
    with pytest.raises(type(trouble)):
        colour.run(layer(last(), Script(trouble)))
    assert credential.flow.limit == 9.0
    busy = call()
    busy.notes.targets = ["openai/gpt", "other/m"]
    with pytest.raises(RateLimited):
        colour.run(layer(busy, Script()))
    colour.run(read_all(held.pop()))
    colour.run(layer(busy, Script()))
    assert len(held) == 8


WAYS: dict[str, Callable[[Any], Any]] = {
    "well": lambda colour: streamed(),
    "cut": lambda colour: streamed(*CHUNKS[:1], error=ConnectionError()),
}


@pytest.mark.parametrize("way", sorted(WAYS))
def test_a_place_comes_back_however_the_call_ends(colour: Colour, way: str) -> None:
    clock, credential = FakeClock(), Credential()
    layer = heed(colour, clock, credential)
    response = colour.run(layer(last(), Script(WAYS[way](colour))))
    assert credential.under_way == 1
    try:
        colour.run(read_all(response))
    except ConnectionError:
        assert way == "cut"
    assert credential.under_way == 0
    for error in (failed(Overloaded), NetworkFailed("gone"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            colour.run(layer(last(), Script(error)))
    dropped: Response | None = colour.run(layer(last(), Script(streamed())))
    assert dropped is not None
    dropped = None
    gc.collect()
    assert credential.under_way == 0
    assert credential.flow.limit is None


def test_who_waits_for_a_place_is_woken_by_whoever_leaves(colour: Colour) -> None:
    credential = Credential()
    credential.flow.limit = 1.0
    first, second = _Signal(), _Signal()
    credential.begin()
    assert [credential.enter(first), credential.enter(second)] == [False, False]  # type: ignore[arg-type]  # what a signal does
    credential.over("well")
    assert (first.set_, second.set_) == (True, False)
    credential.awake(first)  # type: ignore[arg-type]  # it gave up just then: the next one's turn
    assert second.set_
    credential.awake(second)  # type: ignore[arg-type]
    credential.after_fork()
    assert credential.under_way == 0


def test_a_call_that_began_before_a_refusal_makes_room_when_it_ends_after_it() -> None:
    credential, waiting = Credential(), _Signal()
    for _ in range(3):
        credential.begin()
    credential.over("refused")
    assert (credential.under_way, credential.flow.limit) == (2, 2.7)
    assert not credential.enter(waiting)  # type: ignore[arg-type]  # as above
    credential.went_well()
    assert (credential.under_way, waiting.set_) == (1, True)
    credential.begin()  # it looked just before the refusal
    assert credential.under_way == 2
    credential.went_well()
    credential.went_well()
    assert credential.under_way == 0


def test_of_many_threads_whose_calls_are_refused_now_and_then_none_is_left_under_way() -> None:
    credential = Credential()

    def calls(thread: int) -> None:
        for number in range(200):
            if credential.flow.limit is None:
                credential.begin()
            elif not credential.guard.do(lambda: credential.enter(Signal())):
                continue
            if (number + thread) % 40 == 39:
                credential.guard.post(lambda: credential.over("refused"))
            else:
                credential.went_well()

    threads = [threading.Thread(target=calls, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert credential.under_way == 0


class _Signal:
    """What a queue sees of a signal."""

    def __init__(self) -> None:
        self.set_ = False

    def set(self) -> None:
        self.set_ = True


def test_no_room_and_no_time_is_refused(colour: Colour) -> None:
    credential = Credential()
    credential.flow.limit = 1.0
    credential.begin()
    layer = heed(colour, FakeClock(), credential)
    with pytest.raises(RateLimited):
        colour.run(layer(last(deadline=0.01), Script()))
    assert credential.under_way == 1
