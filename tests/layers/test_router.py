"""Who is asked, in which order, and what the caller is told when nobody answers."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import (
    BadAnswer,
    BadRequest,
    CallError,
    CircuitOpen,
    ContentBlocked,
    ContextTooLong,
    DeadlineExceeded,
    NetworkFailed,
    NoTarget,
    NotFound,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    StreamBroken,
    Throttled,
    Unauthorized,
)
from llm_edge.layers.router import Course, Router
from llm_edge.message import Controls, Handler, Request, Response, Saved
from llm_edge.notes import Attempt
from llm_edge.providers.base import Target
from llm_edge.runtime import Blocking, FakeClock, drive

from .kit import Script, answer, call, failed

if TYPE_CHECKING:
    from tests.conftest import Colour

A, B, C, D = (Target(provider=name, model="m", base_url=f"https://{name}.test") for name in "abcd")


def router(scripts: Mapping[Target, Handler], clock: FakeClock | None = None, course: Course | None = None) -> Router:
    found = course or Course(tuple(scripts))
    return Router(lambda request: found, lambda target, request: scripts[target], Blocking(clock or FakeClock()))


def told(colour: Colour, *errors: BaseException, request: Request | None = None, clock: FakeClock | None = None) -> Any:
    """The error that comes out when each target fails in its own way."""
    scripts = {target: Script(error) for target, error in zip((A, B, C), errors, strict=False)}
    with pytest.raises(BaseException) as caught:  # noqa: PT011  any
        colour.run(router(scripts, clock)(request or call()))
    return caught.value


def test_the_first_that_answers_is_the_only_one_asked(colour: Colour) -> None:
    good, request = answer(), call()
    first, second = Script(good), Script(answer())
    assert colour.run(router({A: first, B: second})(request)) is good
    assert (len(first.asked), len(second.asked)) == (1, 0)
    notes = request.notes
    assert (notes.target, notes.fallbacks, notes.targets, notes.events) == ("a/m", 0, ["a/m", "b/m"], [])


def test_the_next_is_asked_when_one_fails(colour: Colour) -> None:
    request, scripts = call(), {A: Script(failed()), B: Script(CircuitOpen("left alone")), C: Script(answer())}
    colour.run(router(scripts)(request))
    assert (request.notes.target, request.notes.fallbacks) == ("c/m", 2)
    assert request.notes.events == [
        (0.0, "router", {"next": "b/m", "after": "Overloaded"}),
        (0.0, "router", {"next": "c/m", "after": "CircuitOpen"}),
    ]


@pytest.mark.parametrize(
    ("error", "elsewhere"),
    [
        (failed(), True),
        (failed(Throttled, status=429), True),
        (failed(QuotaExhausted, status=429), True),
        (failed(Unauthorized, status=401), True),
        (failed(NotFound, status=404), True),
        (BadAnswer("HTML"), True),
        (NetworkFailed("reset"), True),
        (CircuitOpen("left alone"), True),
        (failed(BadRequest, status=400), False),
        (failed(ContextTooLong, status=400), False),
        (failed(ContentBlocked, status=400), False),
        (StreamBroken("cut"), False),
        (RateLimited("ours"), False),
        (ValueError("a mistake"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_what_may_go_better_elsewhere_is_asked_elsewhere(
    colour: Colour, error: BaseException, elsewhere: bool
) -> None:
    second = Script(answer())
    scripts = {A: Script(error), B: second}
    try:
        colour.run(router(scripts)(call()))
    except BaseException as raised:
        assert raised is error
    assert len(second.asked) == elsewhere


def test_without_fallbacks_only_the_first_is_asked(colour: Colour) -> None:
    request, second, error = call(controls=Controls(fallbacks=False)), Script(answer()), failed()
    with pytest.raises(Overloaded) as caught:
        colour.run(router({A: Script(error), B: second})(request))
    assert caught.value is error
    assert second.asked == []
    assert request.notes.targets == ["a/m"]


def test_a_body_that_can_be_sent_once_is_sent_once(colour: Colour) -> None:
    second = Script(answer())
    with pytest.raises(Overloaded):
        colour.run(router({A: Script(failed()), B: second})(call(upload=Saved([]))))
    assert second.asked == []


@pytest.mark.parametrize(("takes", "asked"), [(9.94, 1), (9.96, 0), (20.0, 0)])
def test_nobody_is_asked_when_there_is_no_time_left(colour: Colour, takes: float, asked: int) -> None:
    clock, error = FakeClock(), failed()
    second = Script(error)
    with pytest.raises(Overloaded):
        colour.run(router({A: Script(error, clock=clock, takes=takes), B: second}, clock)(call(deadline=10.0)))
    assert len(second.asked) == asked


def lost() -> CallError:
    return NetworkFailed("reset")


def alone(seconds: float) -> CallError:
    return CircuitOpen("left alone", retry_after=seconds)


@pytest.mark.parametrize(
    ("errors", "shown"),
    [
        ([failed(), failed()], 1),  # of two answers the later
        ([failed(), lost()], 0),  # an answer tells more than none
        ([lost(), failed()], 1),
        ([failed(), alone(5.0)], 0),
        ([lost(), alone(5.0)], 0),  # an attempt tells more than a refusal of ours
        ([alone(5.0), lost()], 1),
        ([lost(), lost()], 1),
        ([alone(5.0), alone(9.0)], 0),  # whoever is asked again first
        ([alone(9.0), alone(5.0), alone(7.0)], 1),
        ([failed(), failed(BadRequest, status=400)], 1),  # nobody further is asked
    ],
)
def test_the_caller_is_told_what_says_most(colour: Colour, errors: list[CallError], shown: int) -> None:
    assert told(colour, *errors) is errors[shown]


def test_an_error_names_its_target_and_counts_all_attempts(colour: Colour) -> None:
    request = call()
    request.notes.attempts += [Attempt("a/m", 0.0), Attempt("a/m", 0.0), Attempt("b/m", 0.0)]
    error = told(colour, failed(), alone(5.0), request=request)
    assert (error.target, error.attempts, request.notes.target, request.notes.fallbacks) == ("a/m", 3, "", 1)


def test_a_strategy_that_leaves_nobody_is_told_so(colour: Colour) -> None:
    with pytest.raises(NoTarget, match="the strategy left nobody to ask for 'm'"):
        colour.run(router({}, course=Course(()))(call()))


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (failed(), ["a/m", "b/m"]),
        (failed(ContextTooLong, status=400), ["a/m", "c/m"]),
        (failed(ContentBlocked, status=400), ["a/m", "d/m"]),
        (failed(BadRequest, status=400), ["a/m"]),
    ],
)
def test_each_class_of_error_has_its_own_fallbacks(colour: Colour, error: CallError, asked: list[str]) -> None:
    scripts: dict[Target, Handler] = {A: Script(error), B: Script(answer()), C: Script(answer()), D: Script(answer())}
    request = call()
    try:
        colour.run(router(scripts, course=Course([A], [B], [C], [D]))(request))
    except BadRequest as raised:
        assert raised is error
    assert [target.name for target, script in scripts.items() if isinstance(script, Script) and script.asked] == asked
    assert request.notes.fallbacks == len(asked) - 1


def test_a_larger_model_that_refuses_too_is_not_asked_twice(colour: Colour) -> None:
    first, second = failed(ContextTooLong, status=400), failed(ContextTooLong, status=400)
    scripts = {A: Script(first), C: Script(second)}
    request = call()
    with pytest.raises(ContextTooLong) as caught:
        colour.run(asking(scripts, Course([A], [B], [C]))(request))
    assert caught.value is second
    assert [len(script.asked) for script in scripts.values()] == [1, 1]
    assert request.notes.targets == ["a/m", "b/m", "c/m"]


def asking(scripts: Mapping[Target, Script], course: Course) -> Router:
    """A router whose branches note their attempts, as the hop does."""

    def branch(target: Target, request: Request) -> Handler:
        async def ask(request: Request, /) -> Any:
            request.notes.attempts.append(Attempt(target.name, 0.0))
            return await scripts[target](request)

        return ask

    return Router(lambda request: course, branch, Blocking(FakeClock()))


def test_without_fallbacks_no_list_is_used(colour: Colour) -> None:
    scripts = {A: Script(failed(ContextTooLong, status=400)), B: Script(answer()), C: Script(answer())}
    with pytest.raises(ContextTooLong):
        colour.run(router(scripts, course=Course([A], [B], [C], [C]))(call(controls=Controls(fallbacks=False))))
    assert scripts[C].asked == []


def test_a_call_whose_time_is_over_is_not_sent(colour: Colour) -> None:
    script = Script(answer())
    with pytest.raises(DeadlineExceeded, match="was over before it could be sent"):
        colour.run(router({A: script}, FakeClock(10.0))(call(deadline=10.0)))
    assert script.asked == []


def test_an_error_is_gone_once_nobody_holds_it() -> None:
    """One that its own traceback led to would keep the call and its body until the garbage collector came by."""

    def fails() -> weakref.ref[CallError]:
        try:
            drive(router({A: _Fails(), B: _Fails()})(call()))
        except CallError as error:
            return weakref.ref(error)
        raise AssertionError("it fails")

    gc.collect()
    gc.disable()
    try:
        assert fails()() is None
    finally:
        gc.enable()


class _Fails:
    async def __call__(self, request: Request, /) -> Response:
        raise failed()
