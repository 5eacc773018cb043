"""The books of a call are closed once, when its answer and all its attempts are over."""

from __future__ import annotations

from typing import Any

import pytest

from llm_edge.errors import Overloaded
from llm_edge.layers.tell import Tell, spoken, status_of
from llm_edge.message import Abandoned, Request, Response, stack
from llm_edge.notes import Attempt
from llm_edge.runtime import FakeClock

from ..conftest import Colour
from .kit import Script, answer, call, failed, read_all, streamed


class Heard:
    """A listener that remembers."""

    def __init__(self, *, fails: str = "") -> None:
        self.begun: list[Request] = []
        self.said: list[Any] = []
        self.fails = fails

    def begin(self, request: Request, /) -> Heard:
        self.begun.append(request)
        self._fail("begin")
        return self

    def answered(self, response: Response | None, /) -> None:
        self.said.append("answered" if response is not None else "not answered")
        self._fail("answered")

    def over(self, request: Request, error: BaseException | None, /) -> None:
        self.said.append((request.notes.cost, type(error).__name__))
        self._fail("over")

    def _fail(self, where: str) -> None:
        if where == self.fails:
            raise RuntimeError(where)


def ten_each(target: str, usage: Any, now: float, answered: str) -> int | None:
    return None if usage is None else 10


def told(heard: Heard, handler: Any, clock: FakeClock | None = None) -> Any:
    return stack([Tell(clock=clock or FakeClock(), cost=ten_each, listeners=[heard])], handler)


def tried(*attempts: Attempt, then: Any) -> Any:
    async def handler(request: Request) -> Response:
        request.notes.attempts += attempts
        if isinstance(then, BaseException):
            raise then
        return then

    return handler


GOOD = {"usage": {"total_tokens": 1}, "outcome": "ok"}


def test_an_answer_closes_the_books(colour: Colour) -> None:
    heard, clock, request = Heard(), FakeClock(), call()
    script = tried(Attempt("a/m", 0, 1, status=200, **GOOD), then=answer())
    clock.advance(2.0)
    colour.run(told(heard, script, clock)(request))
    assert heard.said == ["answered", (10, "NoneType")]
    assert request.notes.ended == clock.now()


def test_a_face_may_have_the_telling_wait_until_its_answer_is_out(colour: Colour) -> None:
    heard, request = Heard(), call()
    request.notes.later = later = []
    colour.run(told(heard, tried(Attempt("a/m", 0, 1, status=200, **GOOD), then=answer()))(request))
    assert heard.said == ["answered"]
    assert request.notes.cost == 10  # the answer tells it
    for tell in later:
        tell()
    assert heard.said == ["answered", (10, "NoneType")]


def test_a_failure_and_the_end_of_a_stream_wait_for_no_face(colour: Colour) -> None:
    heard, request, other = Heard(), call(), call()
    request.notes.later, other.notes.later = [], []
    with pytest.raises(Overloaded):
        colour.run(told(heard, tried(then=failed()))(request))
    assert heard.said == ["not answered", (0, "Overloaded")]
    heard.said.clear()
    colour.run(read_all(colour.run(told(heard, tried(then=streamed()))(other))))
    assert heard.said == ["answered", (0, "NoneType")]


def test_a_stream_closes_them_at_its_end(colour: Colour) -> None:
    heard, request = Heard(), call()
    response = colour.run(told(heard, tried(Attempt("a/m", 0, 1, **GOOD), then=streamed()))(request))
    assert heard.said == ["answered"]
    colour.run(read_all(response))
    assert heard.said == ["answered", (10, "NoneType")]


def test_a_stream_left_alone_closes_them_when_the_caller_goes(colour: Colour) -> None:
    heard, request = Heard(), call()
    response = colour.run(told(heard, tried(then=streamed()))(request))
    colour.run(response.stream.aclose())
    assert heard.said[-1] == (0, "Abandoned")
    assert request.notes.error == "Abandoned"


def test_what_the_last_attempt_used_is_waited_for(colour: Colour) -> None:
    late = Attempt("a/m", 0)
    heard, request = Heard(), call()
    response = colour.run(told(heard, tried(late, then=streamed()))(request))
    colour.run(read_all(response))
    assert heard.said == ["answered"]
    late.ended, late.usage = 3.0, {"total_tokens": 1}
    assert request.notes.over is not None
    request.notes.over()
    assert heard.said == ["answered", (10, "NoneType")]


def test_every_attempt_counts_and_an_unknown_one_makes_the_sum_unknown(colour: Colour) -> None:
    paid, refused = Attempt("a/m", 0, 1, **GOOD), Attempt("b/m", 1, 2, "Overloaded", 503, free=True)
    lost = Attempt("c/m", 2, 3, "NetworkFailed")
    sums = []
    for attempts in ([paid, refused], [paid, paid], [paid, lost], []):
        request = call()
        colour.run(told(Heard(), tried(*attempts, then=answer()))(request))
        sums.append(request.notes.cost)
    assert sums == [10, 20, None, 0]


@pytest.mark.parametrize("status", ["HIT", "SEMANTIC HIT", "STALE", "COALESCED"])
def test_an_answer_from_the_cache_costs_nothing_and_saves_its_price(colour: Colour, status: str) -> None:
    async def hit(request: Request) -> Response:
        request.notes.cache, request.notes.target, request.notes.usage = status, "a/m", {"total_tokens": 1}
        return answer()

    request = call()
    colour.run(told(Heard(), hit)(request))
    assert (request.notes.cost, request.notes.saved) == (0, 10)


def test_a_failure_is_told_too(colour: Colour) -> None:
    heard, request = Heard(), call()
    with pytest.raises(Overloaded):
        colour.run(told(heard, tried(then=failed()))(request))
    assert heard.said == ["not answered", (0, "Overloaded")]
    assert request.notes.error == "Overloaded"


@pytest.mark.parametrize("where", ["begin", "answered", "over"])
def test_a_listener_that_fails_costs_the_caller_nothing(
    colour: Colour, where: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = Heard()
    tell = Tell(clock=FakeClock(), cost=ten_each, listeners=[Heard(fails=where), good])
    response = colour.run(stack([tell], Script(answer()))(call()))
    assert response.status == 200
    assert good.said == ["answered", (0, "NoneType")]
    assert "a listener failed" in caplog.text


def test_dollars_are_written_exactly() -> None:
    assert [spoken(nano) for nano in (0, 1, 1_500, 10**9, 12_345_678_901)] == [
        "0", "0.000000001", "0.0000015", "1", "12.345678901",
    ]  # fmt: skip


def test_how_a_call_ended_as_a_status() -> None:
    assert [status_of(each) for each in (failed(), Abandoned(), KeyboardInterrupt(), ValueError())] == [
        503, 499, 499, 500,
    ]  # fmt: skip
