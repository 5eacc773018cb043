"""What is tried again, how often, and after which wait."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import (
    BadAnswer,
    BadRequest,
    CallError,
    CertificateRefused,
    NetworkFailed,
    Overloaded,
    RateLimited,
    StreamBroken,
    Throttled,
)
from llm_edge.layers.retry import Attempts, GuardedAllowance, Retry
from llm_edge.layers.rules import Rules
from llm_edge.message import Saved
from llm_edge.policy.allowance import Allowance
from llm_edge.runtime import FakeClock

from .kit import Cancelled, Script, answer, call, failed, read_all, streamed

if TYPE_CHECKING:
    from tests.conftest import Colour


def retry(
    clock: FakeClock,
    *chances: float,
    routes: dict[str, Attempts] | None = None,
    allowance: GuardedAllowance | None = None,
    **rule: Any,
) -> Retry:
    drawn, rules = iter(chances or [0.5] * 99), Rules(Attempts(**rule), routes or {})
    return Retry(clock=clock, rules=rules, chance=lambda: next(drawn), allowance=allowance)


def fails(colour: Colour, layer: Retry, script: Script, **fields: Any) -> CallError:
    with pytest.raises(CallError) as caught:
        colour.run(layer(call(**fields), script))
    return caught.value


def test_the_first_attempt_counts(colour: Colour) -> None:
    clock, errors = FakeClock(), [failed() for _ in range(5)]
    script = Script(*errors)
    assert fails(colour, retry(clock), script) is errors[2]
    assert len(script.asked) == 3
    assert len(clock.slept) == 2


@pytest.mark.parametrize("attempts", [0, 1])
def test_one_attempt_is_one_attempt(colour: Colour, attempts: int) -> None:
    error = failed()
    script = Script(error)
    assert fails(colour, retry(FakeClock(), attempts=attempts), script) is error
    assert len(script.asked) == 1


def test_an_attempt_that_goes_well_ends_it(colour: Colour) -> None:
    clock, good = FakeClock(), answer()
    script = Script(failed(), good)
    assert colour.run(retry(clock)(call(), script)) is good
    assert script.asked[0] is script.asked[1]


def test_a_target_that_cannot_be_reached_is_tried_once_more_at_once(colour: Colour) -> None:
    clock, errors = FakeClock(), [NetworkFailed("refused", kind="ConnectError") for _ in range(5)]
    script = Script(*errors)
    assert fails(colour, retry(clock, attempts=5), script) is errors[1]
    assert clock.slept == [0.0]


def test_a_server_that_goes_away_after_a_failure_has_its_second_chance_too(colour: Colour) -> None:
    lost = NetworkFailed("refused", kind="ConnectError")
    script = Script(failed(), lost, answer())
    colour.run(retry(FakeClock())(call(), script))
    assert len(script.asked) == 3


def test_retries_end_when_a_target_has_had_its_share_of_them(colour: Colour) -> None:
    clock, script = FakeClock(), Script(failed())
    layer = retry(clock, *[0.0] * 99, allowance=GuardedAllowance(Allowance(share=0.2, floor=0.3, ttl=10.0)), attempts=9)
    request = call()
    with pytest.raises(CallError):
        colour.run(layer(request, script))
    assert len(script.asked) == 1 + 3
    assert request.notes.events[-1][2]["refused"] == "too many retries of this target"
    assert fails(colour, layer, script) is script.steps[0]
    assert len(script.asked) == 1 + 3 + 1


def test_waits_double_under_their_cap_and_jitter_is_whole(colour: Colour) -> None:
    clock = FakeClock()
    fails(colour, retry(clock, 0.5, 0.25, 0.0, 0.9, attempts=5, base=1.0, cap=3.0), Script(failed()))
    assert clock.slept == [0.5, 0.5, 0.0, 2.7]


def test_a_throttled_call_waits_ten_times_as_long(colour: Colour) -> None:
    clock = FakeClock()
    fails(colour, retry(clock), Script(failed(Throttled, status=429)))
    assert clock.slept == [0.5, 1.0]


def test_what_the_provider_asks_for_is_the_least_wait(colour: Colour) -> None:
    clock = FakeClock()
    fails(colour, retry(clock, 0.5, 0.9, base=20.0, cap=20.0), Script(failed(retry_after=12.0)))
    assert clock.slept == [12.0, 18.0]


@pytest.mark.parametrize(("asked", "fits"), [(120.0, True), (120.1, False), (86_400.0, False)])
def test_a_provider_that_asks_too_much_is_not_waited_for(colour: Colour, asked: float, fits: bool) -> None:
    clock, error = FakeClock(), failed(retry_after=asked)
    assert fails(colour, retry(clock), Script(error)) is error
    assert clock.slept == ([asked, asked] if fits else [])


def test_a_wait_that_does_not_fit_into_the_deadline_is_not_begun(colour: Colour) -> None:
    clock, error = FakeClock(100.0), failed(retry_after=5.0)
    script = Script(error)
    assert fails(colour, retry(clock), script, deadline=105.04) is error
    assert (len(script.asked), clock.slept) == (1, [])
    assert fails(colour, retry(clock), script, deadline=105.06) is error
    assert clock.slept == [5.0]


WORTH_IT: list[tuple[BaseException, dict[str, Any], bool]] = [
    (failed(), {}, True),
    (failed(Throttled, status=429), {}, True),
    (BadAnswer("HTML"), {}, True),
    (NetworkFailed("reset", kind="ReadError"), {}, True),
    (NetworkFailed("late", kind="ReadTimeout"), {"streaming": True}, True),
    (failed(BadRequest, status=400), {}, False),
    (CertificateRefused("not trusted", kind="ConnectError"), {}, False),
    (NetworkFailed("not http", kind="UnsupportedProtocol"), {}, False),
    (StreamBroken("cut"), {}, False),
    (RateLimited("ours"), {}, False),
    (ValueError("a mistake"), {}, False),
    (Cancelled(), {}, False),
    (NetworkFailed("refused", kind="ConnectError"), {"operation": "opaque"}, True),
    (NetworkFailed("refused", kind="ConnectTimeout"), {"operation": "opaque"}, True),
    (NetworkFailed("reset", kind="ReadError"), {"operation": "opaque"}, False),
    (NetworkFailed("reset", kind="ReadError"), {"operation": "opaque", "method": "DELETE"}, False),
    (NetworkFailed("reset", kind="ReadError"), {"operation": "opaque", "method": "GET"}, True),
    (NetworkFailed("refused", kind="ConnectError"), {"operation": "opaque", "upload": Saved([])}, False),
    (failed(), {"upload": Saved([])}, False),
]


@pytest.mark.parametrize(("error", "fields", "again"), WORTH_IT)
def test_only_what_may_go_better_and_do_no_harm_is_tried_again(
    colour: Colour, error: BaseException, fields: dict[str, Any], again: bool
) -> None:
    script = Script(error)
    with pytest.raises(type(error)) as caught:
        colour.run(retry(FakeClock(), 0.0, 0.0)(call(**fields), script))
    assert caught.value is error
    unreached = isinstance(error, NetworkFailed) and error.kind.startswith("Connect")
    assert len(script.asked) == ((2 if unreached else 3) if again else 1)


@pytest.mark.parametrize(
    "second", [failed(BadRequest, status=400), ValueError("a mistake"), Cancelled(), KeyboardInterrupt()]
)
def test_a_later_failure_that_is_not_worth_it_is_raised_as_it_is(colour: Colour, second: BaseException) -> None:
    script = Script(failed(), second, answer())
    with pytest.raises(type(second)) as caught:
        colour.run(retry(FakeClock())(call(), script))
    assert caught.value is second
    assert len(script.asked) == 2


def test_after_the_first_byte_nothing_is_tried_again(colour: Colour) -> None:
    script = Script(streamed(b"a", error=StreamBroken("cut")), streamed())
    response = colour.run(retry(FakeClock())(call(streaming=True), script))
    with pytest.raises(StreamBroken):
        colour.run(read_all(response))
    assert len(script.asked) == 1


def test_a_route_may_have_its_own_number(colour: Colour) -> None:
    script = Script(failed())
    fails(colour, retry(FakeClock(), routes={"eager": Attempts(attempts=5)}), script, route="eager")
    assert len(script.asked) == 5


def test_every_wait_is_part_of_the_story(colour: Colour) -> None:
    clock, request = FakeClock(), call()
    colour.run(retry(clock, 0.5, 0.5)(request, Script(failed(), BadAnswer("HTML"), answer())))
    assert request.notes.waited == pytest.approx(0.15)
    assert request.notes.events == [
        (0.0, "retry", {"after": "Overloaded", "wait_s": 0.05}),
        (0.05, "retry", {"after": "BadAnswer", "wait_s": 0.1}),
    ]


def test_the_retry_loop_is_met_only_after_a_failure() -> None:
    program = """
import sys
from llm_edge.errors import Overloaded
from llm_edge.layers.retry import Attempts, GuardedAllowance, Retry
from llm_edge.layers.rules import Rules
from llm_edge.message import Body, Request, Response
from llm_edge.runtime import FakeClock, drive

async def good(request):
    return Response(status=200)

async def bad(request):
    raise Overloaded("no")

layer = Retry(clock=FakeClock(), rules=Rules(Attempts()), chance=lambda: 0.0)
drive(layer(Request(body=Body(b"{}")), good))
assert "tenacity" not in sys.modules
try:
    drive(layer(Request(body=Body(b"{}")), bad))
except Overloaded:
    assert "tenacity" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_error_that_comes_out_is_overloaded_and_nothing_of_the_loop_above_it(colour: Colour) -> None:
    assert type(fails(colour, retry(FakeClock()), Script(failed()))) is Overloaded
