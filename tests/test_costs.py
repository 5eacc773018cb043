"""What a call cost, from the provider's words to the reply, the header and the story."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.errors import Overloaded
from llm_edge.testing import Provider, answer, status, stream

from .conftest import Colour

Edges = Callable[..., EdgeClient]
USED = {"prompt_tokens": 1000, "completion_tokens": 100}
SPENT = 1000 * 2500 + 100 * 10_000
"""Nano-dollars."""


@pytest.fixture
def edge(edges: Edges, provider: Provider) -> EdgeClient:
    return edges(
        providers={"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}},
        prices={"models": {"gpt/m": {"input": 2.5, "output": 10}}},
        retry={"base": 0},
    )


def test_an_answer_tells_its_cost_and_a_hit_what_it_saved(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED))
    first, second = colour.chat(edge, "gpt/m", "Hi"), colour.chat(edge, "gpt/m", "Hi")
    assert (first.cost, second.cost) == (SPENT / 1e9, 0.0)
    assert second.explain()["saved_usd"] == SPENT / 1e9
    assert first.explain()["attempts"][0]["cost_usd"] == SPENT / 1e9


def test_a_stream_tells_its_cost_when_it_has_ended(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(stream("Hel", "lo", usage=USED))
    reply = colour.finish((edge.chat if colour.name == "sync" else edge.achat)("gpt/m", "Hi", stream=True))
    assert reply.cost is None
    colour.items(reply)
    assert reply.cost == SPENT / 1e9


def test_a_stream_that_is_left_is_estimated(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(stream(*(["word "] * 20), usage=USED).stall(after_events=3))
    reply = colour.finish((edge.chat if colour.name == "sync" else edge.achat)("gpt/m", "Hi", stream=True))
    colour.finish(reply.__next__() if colour.name == "sync" else reply.__anext__())
    colour.finish(reply.close() if colour.name == "sync" else reply.aclose())
    assert reply.usage["estimated"] is True
    assert reply.cost is not None
    assert reply.cost > 0


def test_an_unknown_price_is_unknown(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED))
    reply = colour.chat(edge, "gpt/other", "Hi")
    assert (reply.cost, reply.explain()["cost_usd"]) == (None, None)


def test_a_refused_attempt_costs_nothing_and_a_lost_one_nobody_knows_what(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(answer("Ha", usage=USED).cut(after_bytes=9), answer("Ho", usage=USED))
    assert colour.chat(edge, "gpt/m", "two").cost is None
    provider.script(status(503), answer("Hi", usage=USED))
    assert colour.chat(edge, "gpt/m", "one").cost == SPENT / 1e9
    provider.script(*[status(503)] * 3)
    with pytest.raises(Overloaded) as caught:
        colour.chat(edge, "gpt/m", "three")
    assert caught.value.explain()["cost_usd"] == 0


def test_the_header_says_it_exactly_and_says_nothing_when_it_is_unknown(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(answer("Hi", usage=USED))
    client = colour.openai(edge, "http://127.0.0.1:9/v1")
    create: Any = client.chat.completions.with_raw_response.create
    costs = [
        colour.finish(create(model=model, messages=[{"role": "user", "content": "Hi"}])).headers.get("x-llm-edge-cost")
        for model in ("gpt/m", "gpt/m", "gpt/other")
    ]
    assert costs == ["0.0035", "0", None]
