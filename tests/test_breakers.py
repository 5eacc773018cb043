"""The breakers of a client, looked at and set by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from llm_edge import EdgeClient
from llm_edge.breakers import MOST_PLACES, Breakers
from llm_edge.config import BreakerConfig
from llm_edge.errors import CircuitOpen, InvalidRequest, Overloaded
from llm_edge.providers.base import Target
from llm_edge.testing import Provider, answer, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Colour


@pytest.fixture
def provider(providers: Callable[..., Provider]) -> Provider:
    return providers()


def client(provider: Provider, **sections: Any) -> EdgeClient:
    """Two targets at one address."""
    place = {"kind": "openai", "base_url": provider.url + "/v1"}
    routes = {"fast": {"targets": ["here/a", "there/b"]}}
    return EdgeClient(providers={"here": place, "there": place}, routes=routes, env={}, **sections)


def of(breakers: Breakers, name: str, url: str = "https://a.test") -> Any:
    provider, _, model = name.partition("/")
    return breakers.of(Target(provider=provider, model=model), url)


def test_a_target_taken_out_of_service_is_not_asked_until_it_is_back(colour: Colour, provider: Provider) -> None:
    edge = client(provider)
    edge.breakers.force("here/a", "open")
    provider.script(answer("one"), answer("two"))
    assert colour.chat(edge, "fast", "1").target == "there/b"
    assert dict(edge.breakers) == {"here/a": "forced-open", "there/b": "closed"}
    edge.breakers.reset()
    assert colour.chat(edge, "fast", "2").target == "here/a"
    assert dict(edge.breakers) == {"here/a": "closed", "there/b": "closed"}
    colour.close(edge)


class Watched(Breakers):
    """Counts how often all of them are looked at."""

    looks = 0

    def states(self) -> dict[str, str]:
        self.looks += 1
        return super().states()


def test_all_are_told_in_one_look() -> None:
    """A thousand would be looked at a million times else: a second and more in which nobody is answered."""
    breakers = Watched(BreakerConfig())
    for number in range(50):
        of(breakers, f"here/{number}")
    assert dict(breakers.items()) == {f"here/{number}": "closed" for number in range(50)}
    assert set(breakers.values()) == {"closed"}
    assert breakers.looks == 2


def test_when_all_are_out_of_service_the_caller_is_told(colour: Colour, provider: Provider) -> None:
    edge = client(provider)
    for name in ("here/a", "there/b"):
        edge.breakers.force(name, "open")
    with pytest.raises(CircuitOpen, match="has been taken out of service"):
        colour.chat(edge, "fast", "1")
    colour.close(edge)


def test_a_breaker_switched_off_never_opens(colour: Colour, provider: Provider) -> None:
    edge = client(provider, breaker={"failures": 1}, retry={"attempts": 1})
    edge.breakers.force("here/a", "off")
    provider.script(status(500), answer("x"), status(500), answer("x"))
    for question in "12":
        colour.chat(edge, "fast", question)
    assert edge.breakers["here/a"] == "off"
    assert [each.json["model"] for each in provider.asked(4)] == ["a", "b", "a", "b"]
    colour.close(edge)


def test_what_cannot_be_set_is_refused() -> None:
    breakers = Breakers(BreakerConfig())
    with pytest.raises(InvalidRequest, match='`state` must be "open", "closed" or "off"'):
        breakers.force("a/b", "ajar")  # type: ignore[arg-type]  # the point of the test
    with pytest.raises(InvalidRequest, match='`name` must be "provider/model"'):
        breakers.force("b", "open")
    with pytest.raises(InvalidRequest, match=r"set breaker\.enabled to true"):
        Breakers(BreakerConfig(enabled=False)).force("a/b", "open")


def test_the_worst_of_several_addresses_is_shown() -> None:
    breakers = Breakers(BreakerConfig(failures=1))
    first, _ = of(breakers, "a/m", "https://one.test"), of(breakers, "a/m", "https://two.test")
    first.release(first.admit(0.0), good=False, now=0.0)
    assert dict(breakers) == {"a/m": "open"}
    assert repr(breakers) == "Breakers({'a/m': 'open'})"
    assert len(breakers) == 1


def test_one_breaker_belongs_to_one_model_at_one_place() -> None:
    breakers = Breakers(BreakerConfig())
    assert of(breakers, "a/m") is of(breakers, "a/m")
    assert of(breakers, "a/m") is not of(breakers, "a/n")
    assert of(breakers, "a/m") is not of(breakers, "a/m", "https://b.test")


def test_memory_does_not_grow_with_model_names() -> None:
    breakers = Breakers(BreakerConfig(failures=1))
    sick = of(breakers, "a/sick")
    sick.release(sick.admit(0.0), good=False, now=0.0)
    for number in range(2 * MOST_PLACES):
        of(breakers, f"a/{number}")
    assert len(breakers) <= MOST_PLACES
    assert breakers["a/sick"] == "open"


def test_a_model_that_thinks_is_given_longer_before_it_is_slow() -> None:
    breakers = Breakers(BreakerConfig(outcomes=1))
    quick, thinking = of(breakers, "openai/gpt-4o"), of(breakers, "openai/o3")
    for breaker in (quick, thinking):
        breaker.admit(0.0, watched=True)
    assert isinstance(quick.admit(11.0), float)
    assert not isinstance(thinking.admit(29.0), float)
    assert isinstance(thinking.admit(31.0), float)


def test_a_route_may_have_rules_of_its_own_and_then_has_breakers_of_its_own(colour: Colour, provider: Provider) -> None:
    place = {"kind": "openai", "base_url": provider.url + "/v1"}
    edge = EdgeClient(
        providers={"here": place}, retry={"attempts": 1}, env={},
        routes={
            "strict": {"targets": ["here/a"], "breaker": {"failures": 1, "open_for": 5}},
            "plain": {"targets": ["here/a"]}, "free": {"targets": ["here/a"], "breaker": {"enabled": False}},
        },
    )  # fmt: skip
    provider.script(status(500), status(500), answer("well"), answer("free"))
    with pytest.raises(Overloaded):
        colour.chat(edge, "strict", "1")
    with pytest.raises(CircuitOpen) as refused:
        colour.chat(edge, "strict", "2")
    assert refused.value.retry_after == pytest.approx(5.0, abs=1.0)
    assert dict(edge.breakers) == {"here/a": "open"}
    with pytest.raises(Overloaded):
        colour.chat(edge, "plain", "3")
    assert colour.chat(edge, "plain", "4").text == "well"
    edge.breakers.force("here/a", "open")
    with pytest.raises(CircuitOpen):
        colour.chat(edge, "plain", "5")
    assert colour.chat(edge, "free", "6").text == "free"
    colour.close(edge)


def test_who_chooses_a_target_sees_the_breaker_of_its_own_route(colour: Colour, provider: Provider) -> None:
    place = {"kind": "openai", "base_url": provider.url + "/v1"}
    edge = EdgeClient(
        providers={"here": place, "there": place}, retry={"attempts": 1}, env={},
        routes={
            "strict": {"targets": ["here/a", "there/b"], "strategy": "least-busy", "breaker": {"failures": 1}},
            "plain": {"targets": ["here/a", "there/b"], "strategy": "least-busy"},
        },
    )  # fmt: skip
    provider.script(status(500), *[answer("well")] * 5)
    assert colour.chat(edge, "strict", "1").target == "there/b"
    assert [colour.chat(edge, "strict", str(number)).target for number in (2, 3)] == ["there/b"] * 2
    assert {colour.chat(edge, "plain", str(number)).target for number in (4, 5)} == {"here/a", "there/b"}
    colour.close(edge)
