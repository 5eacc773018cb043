"""Several keys of one provider: they take turns, and one that is refused is set aside while the others go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import EdgeClient, Throttled, Unauthorized
from llm_edge.runtime import FakeClock
from llm_edge.testing import Call, Provider, Step, answer, status

from .conftest import Colour

Edges = Callable[..., EdgeClient]
QUOTA = status(429, error_type="insufficient_quota", error_code="insufficient_quota")
BUSY = status(429, headers={"retry-after": "30"})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(1000.0)


@pytest.fixture
def edge(edges: Edges, provider: Provider, clock: FakeClock) -> EdgeClient:
    place = {"base_url": f"{provider.url}/v1", "api_key": ["k1", "k2", "k3"]}
    return edges(providers={"a": place}, cache={"policy": "off"}, clock=clock, deadline={"chat": 200.0})


def ask(colour: Colour, edge: EdgeClient, calls: int, model: str = "m") -> list[Any]:
    return [colour.chat(edge, f"a/{model}", "hi") for _ in range(calls)]


def by_key(**steps: Step) -> Callable[[Call], Step]:
    """What happens to a call with this key; the others are answered."""
    return lambda call: steps.get(call.key or "", answer("hello"))


def keys(provider: Provider) -> Counter[str]:
    asked = Counter(call.key or "" for call in provider.calls)
    provider.calls.clear()
    return asked


def test_a_key_that_is_refused_is_set_aside_and_no_call_fails(
    colour: Colour, edge: EdgeClient, provider: Provider, clock: FakeClock
) -> None:
    provider.script(by_key(k2=status(401)))
    replies = ask(colour, edge, 9)
    asked = keys(provider)
    assert (asked["k2"], sum(asked.values())) == (1, 10)
    said = [event for reply in replies for event in reply.explain()["events"] if event["layer"] == "keys"]
    assert [(event["provider"], event["set_aside"], event["after"]) for event in said] == [("a", 2, "Unauthorized")]
    provider.script(answer("hello"))
    clock.advance(3600.0)
    ask(colour, edge, 3)
    assert keys(provider) == {"k1": 1, "k2": 1, "k3": 1}


def test_a_key_whose_quota_is_used_up_is_tried_again_in_five_minutes(
    colour: Colour, edge: EdgeClient, provider: Provider, clock: FakeClock
) -> None:
    provider.script(by_key(k1=QUOTA))
    ask(colour, edge, 6)
    assert keys(provider)["k1"] == 1
    clock.advance(300.0)
    ask(colour, edge, 3)
    assert keys(provider)["k1"] == 1


def test_a_key_that_may_not_use_one_model_is_used_for_the_others(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(lambda call: status(403) if (call.key, call.json["model"]) == ("k1", "m") else answer("hello"))
    ask(colour, edge, 6)
    assert keys(provider)["k1"] == 1
    ask(colour, edge, 3, model="other")
    assert keys(provider) == {"k1": 1, "k2": 1, "k3": 1}


def test_when_all_keys_are_refused_the_caller_is_told(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(status(401))
    with pytest.raises(Unauthorized):
        ask(colour, edge, 1)
    assert keys(provider) == {"k1": 1, "k2": 1, "k3": 1}
    with pytest.raises(Unauthorized):  # and one is asked again each time, as we may be wrong about it
        ask(colour, edge, 1)
    assert sum(keys(provider).values()) == 1
    provider.script(answer("hello"))
    ask(colour, edge, 2)


def test_a_key_that_is_throttled_leaves_the_call_to_the_next_at_once(
    colour: Colour, edge: EdgeClient, provider: Provider, clock: FakeClock
) -> None:
    provider.script(by_key(k1=BUSY))
    ask(colour, edge, 7)
    assert (keys(provider)["k1"], clock.slept) == (1, [])
    clock.advance(30.0)
    ask(colour, edge, 3)
    assert keys(provider)["k1"] == 1


def test_when_all_keys_are_throttled_the_call_waits_for_the_first_that_is_free(
    colour: Colour, edge: EdgeClient, provider: Provider, clock: FakeClock
) -> None:
    waits = {"k1": "90", "k2": "40", "k3": "60"}
    provider.script(lambda call: status(429, headers={"retry-after": waits[call.key or ""]}))
    with pytest.raises(Throttled):
        colour.chat(edge, "a/m", "hi", timeout=5.0)
    assert keys(provider) == {"k1": 1, "k2": 1, "k3": 1}
    provider.script(answer("hello"))
    ask(colour, edge, 1)
    assert keys(provider) == {"k2": 1}
    assert sum(clock.slept) == pytest.approx(40.0, abs=1.0)


def test_what_a_provider_says_need_not_be_heeded(
    colour: Colour, edges: Edges, provider: Provider, clock: FakeClock
) -> None:
    place = {"base_url": f"{provider.url}/v1", "heed_limits": False}
    empty = {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "0",
        "x-ratelimit-reset-requests": "60s",
    }
    provider.script(answer("hello").headers(empty))
    edge = edges(providers={"a": place}, cache={"policy": "off"}, clock=clock)
    ask(colour, edge, 3)
    assert clock.slept == []
    heeding = edges(providers={"a": {**place, "heed_limits": True}}, cache={"policy": "off"}, clock=clock)
    ask(colour, heeding, 3)
    assert clock.slept == [pytest.approx(1.0)] * 2


def test_a_provider_without_room_leaves_the_call_to_the_next_target(
    colour: Colour, edges: Edges, provider: Provider, clock: FakeClock
) -> None:
    provider.script(lambda call: BUSY if call.json["model"] == "m" else answer("hello"))
    edge = edges(
        providers={"a": {"base_url": f"{provider.url}/v1"}, "b": {"kind": "openai", "base_url": f"{provider.url}/v1"}},
        routes={"fast": {"targets": ["a/m", "b/n"]}}, retry={"attempts": 1}, cache={"policy": "off"}, clock=clock,
    )  # fmt: skip
    for _ in range(3):
        assert colour.chat(edge, "fast", "hi").target == "b/n"
    assert [call.json["model"] for call in provider.calls] == ["m", "n", "n", "n"]
