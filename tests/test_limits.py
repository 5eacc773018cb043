"""Limits as an app has them: under an SDK and in direct calls, in one process and over a shared store."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge import EdgeClient, RateLimited, RequestExceedsLimit
from llm_edge.testing import Provider, answer

from .stores.valkey import Valkey, valkey

if TYPE_CHECKING:
    from tests.conftest import Colour

PATIENT = 20.0
"""Seconds: a store that is well counts for all, also where the machine stands still for a moment."""


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@pytest.fixture(params=["memory", "redis"])
def store(request: pytest.FixtureRequest, server: Valkey) -> dict[str, Any]:
    if request.param == "memory":
        return {"kind": "memory"}
    server.client().flushall()
    return {"kind": "redis", "url": server.url, "timeout": PATIENT}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(answer("hi")) as playing:
        yield playing


LIMITS = {
    "global": {"requests_per_minute": 60, "burst": 2},
    "tenant": {"requests_per_day": 3, "tokens_per_minute": 5000},
}


def test_an_sdk_is_told_how_its_limits_stand_and_when_to_come_back(
    edges: Callable[..., EdgeClient], colour: Colour, provider: Provider, store: dict[str, Any]
) -> None:
    import openai

    edge = edges(limits=LIMITS, store=store, cache={"policy": "off"})
    client = colour.openai(edge, provider.url)
    create = client.chat.completions.with_raw_response.create
    ask: Any = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 50}
    left = []
    for _ in range(2):
        headers = colour.finish(create(**ask)).headers
        left.append((headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]))
        assert int(headers["x-ratelimit-limit-tokens"]) == 5000
        assert 4700 < int(headers["x-ratelimit-remaining-tokens"]) < 5000
    assert left == [("2", "1"), ("2", "0")]
    with pytest.raises(openai.RateLimitError) as refused:
        colour.finish(create(**ask))
    assert int(refused.value.response.headers["retry-after"]) in range(1, 61)
    assert refused.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    provider.asked(2)


def test_direct_calls_are_limited_by_tenant_and_the_cache_costs_nothing(
    edges: Callable[..., EdgeClient], colour: Colour, provider: Provider, store: dict[str, Any]
) -> None:
    edge = edges(
        limits={"tenant": {"requests_per_day": 2}}, store=store,
        providers={"local": {"kind": "openai", "base_url": provider.url}},
    )  # fmt: skip
    for text in ("a", "a", "a", "b"):
        colour.chat(edge, "local/m", text, edge={"tenant": "acme"})
    with pytest.raises(RateLimited, match="the tenant limit has no room: more than 2 calls in a day"):
        colour.chat(edge, "local/m", "c", edge={"tenant": "acme"})
    colour.chat(edge, "local/m", "c", edge={"tenant": "other"})
    provider.asked(3)


def test_a_call_larger_than_its_limit_is_told_so(
    edges: Callable[..., EdgeClient], colour: Colour, provider: Provider, store: dict[str, Any]
) -> None:
    edge = edges(
        limits={"user": {"tokens_per_minute": 1000}}, store=store,
        providers={"local": {"kind": "openai", "base_url": provider.url}},
    )  # fmt: skip
    with pytest.raises(RequestExceedsLimit):
        colour.chat(edge, "local/m", "a", max_tokens=1001)
    provider.asked(0)


def test_a_target_without_room_leaves_the_call_to_the_next(
    edges: Callable[..., EdgeClient], colour: Colour, provider: Provider, store: dict[str, Any]
) -> None:
    edge = edges(
        limits={"provider:one": {"requests_per_minute": 1}}, store=store, cache={"policy": "off"},
        providers={name: {"kind": "openai", "base_url": provider.url} for name in ("one", "two")},
        routes={"fast": {"targets": ["one/m", "two/m"]}},
    )  # fmt: skip
    assert [colour.chat(edge, "fast", "a").target for _ in range(3)] == ["one/m", "two/m", "two/m"]


def test_two_clients_share_what_they_may(
    edges: Callable[..., EdgeClient], colour: Colour, provider: Provider, server: Valkey
) -> None:
    server.client().flushall()
    clients = [
        edges(
            limits={"global": {"requests_per_minute": 10, "window": "strict"}},
            store={"kind": "redis", "url": server.url, "timeout": PATIENT}, cache={"policy": "off"},
            providers={"local": {"kind": "openai", "base_url": provider.url}},
        )
        for _ in range(2)
    ]  # fmt: skip
    passed = 0
    for number in range(14):
        try:
            colour.chat(clients[number % 2], "local/m", "a")
            passed += 1
        except RateLimited as error:
            assert "more than 10 calls a minute" in error.message
    assert passed == 10


def test_a_store_that_is_far_away_counts_where_it_is_waited_for(
    edges: Callable[..., EdgeClient], colour: Colour, provider: Provider, server: Valkey
) -> None:
    server.client().flushall()
    edge = edges(
        limits={"global": {"requests_per_day": 1, "on_store_failure": "open"}}, cache={"policy": "off"},
        store={"kind": "redis", "url": server.url, "timeout": PATIENT},
        providers={"local": {"kind": "openai", "base_url": provider.url}},
    )  # fmt: skip
    server.client().client_pause(500)
    colour.chat(edge, "local/m", "a")
    with pytest.raises(RateLimited):
        colour.chat(edge, "local/m", "a")
    provider.asked(1)
