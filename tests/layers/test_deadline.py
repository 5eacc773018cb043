"""One moment for the whole call: who sets it, and what it means to be late."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import CertificateRefused, DeadlineExceeded, NetworkFailed, StreamBroken
from llm_edge.layers.deadline import Allowed, Deadline
from llm_edge.layers.rules import Rules
from llm_edge.message import Controls
from llm_edge.runtime import FakeClock

from .kit import Script, answer, call

if TYPE_CHECKING:
    from tests.conftest import Colour

ALLOWED = Allowed(chat=30.0, stream=120.0, embeddings=5.0)
RULES = Rules(ALLOWED, {"slow": Allowed(chat=300.0), "free": Allowed(chat=None)})


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, 30.0),
        ({"streaming": True}, 120.0),
        ({"operation": "embeddings"}, 5.0),
        ({"operation": "models"}, 30.0),
        ({"route": "slow"}, 300.0),
        ({"route": "unheard of"}, 30.0),
        ({"route": "free"}, None),
        ({"timeout": 600.0}, 600.0),
        ({"timeout": 1.0, "controls": Controls(deadline=2.0)}, 1.0),
        ({"timeout": 3.0, "controls": Controls(deadline=2.0)}, 2.0),
        ({"controls": Controls(deadline=0.0)}, 0.0),
        ({"controls": Controls(at_most=10.0)}, 10.0),
        ({"controls": Controls(at_most=60.0)}, 30.0),
        ({"controls": Controls(at_most=60.0, deadline=50.0)}, 50.0),
        ({"route": "free", "controls": Controls(at_most=60.0)}, 60.0),
        ({"operation": "opaque", "timeout": 1.0, "controls": Controls(deadline=1.0)}, None),
    ],
)
def test_the_moment_is_set_by_the_caller_or_else_by_the_rules(
    colour: Colour, fields: dict[str, Any], seconds: float | None
) -> None:
    script, layer = Script(answer()), Deadline(clock=FakeClock(100.0), allowed=RULES)
    colour.run(layer(call(**fields), script))
    assert script.asked[0].deadline == (None if seconds is None else 100.0 + seconds)


def test_what_passes_untouched_is_the_same_object(colour: Colour) -> None:
    script, request = Script(answer()), call(operation="opaque", timeout=1.0)
    colour.run(Deadline(clock=FakeClock(), allowed=RULES)(request, script))
    assert script.asked[0] is request


def test_a_wait_that_reached_the_moment_is_a_deadline_exceeded(colour: Colour) -> None:
    clock, late = FakeClock(), NetworkFailed("late", kind="ReadTimeout")
    late.target, late.attempts = "openai/a", 2
    layer = Deadline(clock=clock, allowed=RULES)
    with pytest.raises(DeadlineExceeded, match=r"no answer within the 2\.5 s allowed for this call") as caught:
        colour.run(layer(call(timeout=2.5), Script(late, clock=clock, takes=2.5)))
    assert (caught.value.target, caught.value.attempts, caught.value.status) == ("openai/a", 2, 504)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("error", "takes"),
    [
        (NetworkFailed("connecting", kind="ConnectTimeout"), 1.0),  # a shorter patience than the call's
        (NetworkFailed("reset", kind="ReadError"), 2.5),
        (CertificateRefused("not trusted", kind="ConnectError"), 2.5),
        (StreamBroken("cut", kind="ReadTimeout"), 2.5),
        (KeyError("a mistake"), 2.5),
    ],
)
def test_other_failures_stay_what_they_are(colour: Colour, error: Exception, takes: float) -> None:
    clock = FakeClock()
    with pytest.raises(type(error)) as caught:
        colour.run(Deadline(clock=clock, allowed=RULES)(call(timeout=2.5), Script(error, clock=clock, takes=takes)))
    assert caught.value is error
