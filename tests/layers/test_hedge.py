"""Two asks for one call: who is heard, who is cancelled, and that both are settled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import BadRequest
from llm_edge.homes import THREADS
from llm_edge.layers.hedge import Contender, Outcome, Race
from llm_edge.message import Request, Response
from llm_edge.runtime import Awaiting, Blocking, GivenUp, Runtime, Signal, drive

from .kit import answer, call, failed, streamed

if TYPE_CHECKING:
    from tests.conftest import Colour


class Asked:
    """One who is asked: answers when told to, and says what became of it."""

    def __init__(self, runtime: Runtime, step: Response | BaseException, *, waits: bool = False) -> None:
        self._runtime, self._step = runtime, step
        self.go, self.asked, self.over = Signal(), Signal(), threading.Event()
        self.cancelled = False
        if not waits:
            self.go.set()

    async def __call__(self, request: Request, /) -> Response:
        self.asked.set()
        try:
            await self._runtime.wait(self.go, 20.0)
            request.notes.upstream += 1.0
            request.notes.usage = {"total_tokens": 7}
            if isinstance(self._step, BaseException):
                raise self._step
            return self._step
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        finally:
            self.over.set()
            if request.notes.over is not None:
                request.notes.over()


def race(
    colour: Colour, first: Asked, second: Asked, request: Request | None = None, *,
    after: float = 0.01, may: Callable[[], bool] = lambda: True,
) -> Outcome:  # fmt: skip
    runs = Race(colour.runtime(), request or call(), after=after, may=may)
    return colour.run(runs.run(Contender("a/m", first), Contender("b/m", second)))


def test_who_answers_in_time_is_the_only_one_asked(colour: Colour) -> None:
    good, request = answer(), call()
    second = Asked(colour.runtime(), answer())
    outcome = race(colour, Asked(colour.runtime(), good), second, request, after=20.0)
    assert (outcome.response, outcome.winner, outcome.asked) == (good, 0, 1)
    assert not second.asked.is_set
    assert (request.notes.events, request.notes.usage, request.notes.upstream) == ([], {"total_tokens": 7}, 1.0)


def test_when_it_takes_long_another_is_asked_and_heard(colour: Colour) -> None:
    good, request = answer(), call()
    first = Asked(colour.runtime(), answer("late"), waits=True)
    outcome = race(colour, first, Asked(colour.runtime(), good), request)
    assert (outcome.response, outcome.winner, outcome.asked) == (good, 1, 2)
    assert [facts for _, _, facts in request.notes.events] == [{"after_s": 0.01, "asks": "b/m"}, {"answered": "b/m"}]
    assert request.notes.usage == {"total_tokens": 7}
    first.go.set()
    colour.run(asyncio.sleep(0) if colour.name == "async" else nothing())
    assert first.over.wait(20.0)
    assert first.cancelled == (colour.name == "async")


async def nothing() -> None: ...


def test_who_comes_second_in_a_thread_hears_that_nobody_waits() -> None:
    runtime, go = Blocking(), Signal()
    heard: list[Signal | None] = []

    async def slow(request: Request, /) -> Response:
        heard.append(request.notes.recall)
        await runtime.wait(go, 20.0)
        raise GivenUp

    async def prompt(request: Request, /) -> Response:
        heard.append(request.notes.recall)
        return answer()

    outcome = drive(
        Race(runtime, call(), after=0.01, may=lambda: True).run(Contender("a/m", slow), Contender("b/m", prompt))
    )
    first, second = heard
    assert outcome.winner == 1
    assert first is not None
    assert second is not None
    assert (first.is_set, second.is_set) == (True, False)
    go.set()


def test_the_first_may_still_win(colour: Colour) -> None:
    good = answer()
    first = Asked(colour.runtime(), good, waits=True)

    class Late(Asked):
        async def __call__(self, request: Request, /) -> Response:
            first.go.set()
            return await super().__call__(request)

    outcome = race(colour, first, Late(colour.runtime(), answer("second"), waits=True))
    assert (outcome.response, outcome.winner) == (good, 0)


def test_a_failure_before_the_time_is_over_is_no_race(colour: Colour) -> None:
    error = failed()
    outcome = race(colour, Asked(colour.runtime(), error), Asked(colour.runtime(), answer()), after=20.0)
    assert (outcome.response, outcome.failures, outcome.asked) == (None, [error], 1)


def test_one_failure_does_not_end_it(colour: Colour) -> None:
    good = answer()
    first = Asked(colour.runtime(), failed(), waits=True)

    class Second(Asked):
        async def __call__(self, request: Request, /) -> Response:
            first.go.set()
            first.over.wait(20.0) if colour.name == "sync" else await asyncio.sleep(0.01)
            return await super().__call__(request)

    assert race(colour, first, Second(colour.runtime(), good)).response is good


def test_when_both_fail_both_failures_are_told(colour: Colour) -> None:
    one, two = failed(), failed(BadRequest, status=400)
    first = Asked(colour.runtime(), one, waits=True)

    class Second(Asked):
        async def __call__(self, request: Request, /) -> Response:
            first.go.set()
            return await super().__call__(request)

    outcome = race(colour, first, Second(colour.runtime(), two))
    assert (outcome.response, outcome.failures, outcome.asked) == (None, [one, two], 2)


def test_a_mistake_is_raised_as_it_is(colour: Colour) -> None:
    error = ValueError("a mistake")
    with pytest.raises(ValueError, match="a mistake"):
        race(colour, Asked(colour.runtime(), error), Asked(colour.runtime(), answer()), after=20.0)


def test_where_no_second_ask_is_allowed_the_first_is_waited_for(colour: Colour) -> None:
    good = answer()
    first, second = Asked(colour.runtime(), good, waits=True), Asked(colour.runtime(), answer())

    def never() -> bool:
        first.go.set()
        return False

    assert race(colour, first, second, may=never).response is good
    assert not second.asked.is_set


def test_a_stream_that_comes_second_is_closed_unread(colour: Colour) -> None:
    late = streamed()
    first = Asked(colour.runtime(), late, waits=True)
    assert race(colour, first, Asked(colour.runtime(), answer())).winner == 1
    first.go.set()
    assert late.stream is not None
    if colour.name == "sync":  # on a loop it was cancelled before it began
        assert first.over.wait(20.0)
        closed = threading.Event()
        late.stream.listen(Closed(closed))
        assert closed.wait(20.0)


class Closed:
    def __init__(self, told: threading.Event) -> None:
        self._told = told

    def heard(self, chunk: bytes, /) -> None: ...

    def ended(self, error: BaseException | None, /) -> None:
        self._told.set()


def test_whoever_leaves_takes_both_asks_along() -> None:
    async def leave() -> None:
        runtime = Awaiting()
        first, second = Asked(runtime, answer(), waits=True), Asked(runtime, answer(), waits=True)
        runs = Race(runtime, call(), after=0.0, may=lambda: True)
        asking = asyncio.create_task(runs.run(Contender("a/m", first), Contender("b/m", second)))
        await runtime.wait(second.asked, 20.0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert (first.cancelled, second.cancelled) == (True, True)

    asyncio.run(leave())


def test_what_the_winner_uses_at_its_streams_end_is_the_calls(colour: Colour) -> None:
    request, told = call(), list[Any]()
    response = streamed()

    class Streams(Asked):
        notes: Any = None

        async def __call__(self, request: Request, /) -> Response:
            self.notes = request.notes
            return await super().__call__(request)

    winner = Streams(colour.runtime(), response)
    race(colour, winner, Asked(colour.runtime(), answer()), request, after=20.0)
    request.notes.over = lambda: told.append(request.notes.usage)
    winner.notes.usage = {"total_tokens": 99}
    winner.notes.over()
    assert told == [{"total_tokens": 99}]


def test_all_attempts_carry_one_key(colour: Colour) -> None:
    request, keys = call(), list[str]()

    class Keyed(Asked):
        async def __call__(self, request: Request, /) -> Response:
            keys.append(request.notes.same_for_all_attempts())
            return await super().__call__(request)

    first = Keyed(colour.runtime(), answer(), waits=True)
    race(colour, first, Keyed(colour.runtime(), answer()), request)
    first.go.set()
    assert keys == [request.notes.call_key] * 2


class Unable:
    """A place where nothing can be begun beside the caller."""

    def __init__(self, most: int) -> None:
        self._left = most

    def start(self, work: Any, over: Any = None, /) -> Any:
        if self._left == 0:
            raise RuntimeError("can't start new thread")
        self._left -= 1
        return THREADS.start(work, over)


@pytest.mark.parametrize("threads", [0, 1])
def test_without_threads_to_spare_the_call_is_made_all_the_same(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime, good = Blocking(), answer()
    home = Unable(threads)
    monkeypatch.setattr(runtime, "home", lambda: home)
    first = Asked(runtime, good, waits=bool(threads))

    def may() -> bool:
        first.go.set()
        return True

    runs = Race(runtime, call(), after=0.01, may=may)
    outcome = drive(runs.run(Contender("a/m", first), Contender("b/m", Asked(runtime, answer()))))
    assert (outcome.response, outcome.asked) == (good, 1)
