"""Who may answer a call, and with which key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from llm_edge import ConfigError, EdgeClient, InvalidRequest, NoTarget
from llm_edge.testing import Provider, answer, status

from .conftest import Colour

Edges = Callable[..., EdgeClient]


def test_the_keys_of_a_provider_take_turns(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = edges(providers={"a": {"base_url": f"{provider.url}/v1", "api_key": ["k1", "k2", "k3"]}})
    for number in range(4):
        colour.chat(edge, "a/m", f"question {number}")
    assert [call.key for call in provider.calls] == ["k1", "k2", "k3", "k1"]


def test_all_attempts_of_a_call_carry_one_key_where_the_provider_takes_one(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    provider.script(status(503), status(503), answer("a"), answer("b"))
    place = {"base_url": f"{provider.url}/v1", "idempotency_header": "Idempotency-Key"}
    edge = edges(providers={"a": place}, retry={"base": 0.0})
    colour.chat(edge, "a/m", "one")
    colour.chat(edge, "a/m", "two")
    keys = [call.headers["idempotency-key"] for call in provider.asked(4)]
    assert keys[0] == keys[1] == keys[2] != keys[3]


def test_a_provider_is_asked_as_its_kind_whatever_its_name(colour: Colour, edges: Edges, provider: Provider) -> None:
    """A name is the app's; what a vendor takes goes by whose place it is."""
    places = {
        "here": {"kind": "openai", "api_key": "k"},
        "there": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"},
        "known": {"kind": "openai", "base_url": "https://api.groq.com/openai/v1", "api_key": "k"},
        "mine": {"kind": "anthropic", "base_url": provider.url, "api_key": "k"},
        "groq": {"base_url": f"{provider.url}/v1", "api_key": "k"},
    }
    edge = edges(providers=places)
    targets = edge._house.targets  # pyright: ignore[reportPrivateUsage]  # who would be asked
    vendors = {name: targets.named([f"{name}/m"])[0].vendor for name in places}
    assert vendors == {"here": "openai", "there": "there", "known": "groq", "mine": "anthropic", "groq": "groq"}


def test_a_bare_name_goes_to_the_route_of_that_name(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = edges(providers={"a": {"base_url": f"{provider.url}/v1"}}, routes={"gpt-fast": {"targets": ["a/the-model"]}})
    assert colour.chat(edge, "gpt-fast", "hi").target == "a/the-model"
    provider.asked(1, model="the-model")


def test_a_name_nobody_knows_is_refused_before_anything_is_sent(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    edge = edges(providers={"a": {"base_url": f"{provider.url}/v1"}}, routes={"fast": {"targets": ["a/m"]}})
    with pytest.raises(NoTarget, match=r"did you mean 'fast'"):
        colour.chat(edge, "fsat", "hi")
    provider.never_asked()


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("opnai/gpt-5.4-mini", r"no provider is called 'opnai' \(did you mean 'openai'\?\);"),
        ("lcal/m", r"no provider is called 'lcal' \(did you mean 'local'\?\);.* Configured: local/…"),
        ("nothing-like-it/m", r"no provider is called 'nothing-like-it'; a server of your own needs a base_url"),
        ("a-model", r"name it as provider/model, or make it a route"),
    ],
)
def test_what_is_wrong_with_a_models_name_is_told(
    colour: Colour, edges: Edges, provider: Provider, model: str, words: str
) -> None:
    edge = edges(providers={"local": {"base_url": f"{provider.url}/v1"}})
    with pytest.raises(NoTarget, match=words):
        colour.chat(edge, model, "hi")
    provider.never_asked()


def test_a_route_nobody_configured_is_refused(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = edges(providers={"a": {"base_url": f"{provider.url}/v1"}})
    with pytest.raises(InvalidRequest, match="there is no route 'slow'"):
        colour.chat(edge, "a/m", "hi", edge={"route": "slow"})
    provider.never_asked()


def test_a_kind_that_is_misspelt_is_refused_though_there_is_an_address() -> None:
    """It would be asked as if it were OpenAI."""
    there = {"kind": "antropic", "base_url": "http://localhost:8000"}
    with pytest.raises(ConfigError, match=r"of the kind 'antropic' \(did you mean 'anthropic'\?\)"):
        EdgeClient(providers={"there": there}, env={})


def test_a_route_through_an_unknown_provider_is_refused_at_the_start() -> None:
    with pytest.raises(ConfigError, match=r"nobody knows a provider of the kind 'opnai' \(did you mean 'openai'\?\)"):
        EdgeClient(routes={"fast": {"targets": ["opnai/m"]}}, env={})


def test_failover_asks_the_next_target_and_says_so(
    colour: Colour, edges: Edges, providers: Callable[..., Provider]
) -> None:
    first, second = providers(status(401)), providers(answer("from the second"))
    edge = edges(
        providers={"a": {"base_url": f"{first.url}/v1"}, "b": {"base_url": f"{second.url}/v1"}},
        routes={"fast": {"targets": ["a/x", "b/y"]}},
    )
    reply = colour.chat(edge, "fast", "hi")
    assert reply.text == "from the second"
    assert reply.target == "b/y"
    assert reply.explain()["fallbacks"] == 1


def test_a_broken_key_is_told_when_its_provider_is_asked(colour: Colour, edges: Edges) -> None:
    edge = edges(env={"GROQ_API_KEY": "gsk-canary\n"})
    with pytest.raises(ConfigError, match="GROQ_API_KEY") as told:
        colour.chat(edge, "groq/m", "hi")
    assert "canary" not in str(told.value)


@pytest.mark.parametrize(
    "other",
    [
        {"headers": {"OpenAI-Project": "p"}},
        {"headers": {"anthropic-beta": "b"}, "kind": "azure", "api_version": "2024-10-21"},
        {"kind": "azure", "api_version": "2024-10-21"},
        {"kind": "azure", "api_version": "2025-01-01"},
    ],
)
def test_what_is_set_of_a_provider_tells_its_answers_apart(
    colour: Colour, edges: Edges, provider: Provider, other: dict[str, object]
) -> None:
    """Processes that share what they keep may be set otherwise; a key that is changed keeps what is there."""
    place = {"base_url": f"{provider.url}/v1", "api_key": "k"}
    plain = {"kind": "azure", "api_version": "2026-01-01"} if "kind" in other else {}
    settings = ({**place, **plain}, {**place, **plain, "api_key": "later"}, {**place, **other})
    keys = [colour.chat(edges(providers={"a": each}), "a/m", "hi").explain()["cache"]["key"] for each in settings]
    assert keys[0] == keys[1] != keys[2]
