"""What a call cost, from the provider's words to the reply, the header and the story."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from llm_edge import EdgeClient, EdgeConfig
from llm_edge.build import book_of
from llm_edge.errors import NetworkFailed, Overloaded
from llm_edge.providers.dialects import by_name
from llm_edge.testing import Provider, answer, json_body, status, stream

from .conftest import Colour
from .layers.test_cache_fresh import settled

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
    story = reply.explain()
    assert (reply.cost, story["cost_usd"]) == (None, None)
    assert story["cost_unknown"] == 'the price of gpt/other is not known; set prices.models."gpt/other"'
    assert "not known: the price of gpt/other" in str(story)


def test_a_call_that_fails_after_it_was_sent_ends_with_an_estimate(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(*[answer("Ha", usage=USED).cut(after_bytes=9)] * 3)
    with pytest.raises(NetworkFailed) as caught:
        colour.chat(edge, "gpt/m", "Hi", max_tokens=40)
    story: Any = caught.value.explain()
    assert story["usage"]["estimated"] is True
    assert story["cost_usd"] == pytest.approx(sum(attempt["cost_usd"] for attempt in story["attempts"]))
    assert story["cost_usd"] >= 3 * 40 * 10 / 1e6


def test_an_answer_whose_provider_does_not_say_is_estimated_by_its_text(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    said = {"id": "x", "model": "m", "choices": [{"message": {"role": "assistant", "content": "word " * 400}}]}
    provider.script(json_body(said))
    reply = colour.chat(edge, "gpt/m", "Hi", max_tokens=9000)
    assert 400 < reply.usage["completion_tokens"] < 700
    assert (reply.usage["estimated"], reply.cost is None) == (True, False)


def test_an_error_under_status_200_costs_nothing(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(json_body({"error": {"message": "no", "type": "server_error"}}), answer("Hi", usage=USED))
    assert colour.chat(edge, "gpt/m", "Hi").cost == SPENT / 1e9


def test_what_a_deployment_of_ones_own_name_saves_is_known_by_the_model_that_answers(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    edge = edges(providers={"gpt": place}, prices={"models": {"gpt/real-model": {"input": 2.5, "output": 10}}})
    provider.script(answer("Hi", usage=USED, model="real-model"))
    first, second = colour.chat(edge, "gpt/our-name", "Hi"), colour.chat(edge, "gpt/our-name", "Hi")
    assert (first.cost, second.cache) == (SPENT / 1e9, "HIT")
    assert second.explain()["saved_usd"] == SPENT / 1e9
    provider.script(stream("Hi", usage=USED, model="real-model"))
    ask = edge.chat if colour.name == "sync" else edge.achat
    replies = []
    for _ in range(2):
        replies.append(colour.finish(ask("gpt/our-name", "Ho", stream=True)))
        colour.items(replies[-1])
    assert replies[1].explain()["saved_usd"] == SPENT / 1e9


def test_a_refused_attempt_costs_nothing_and_a_lost_one_is_estimated(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(answer("Ha", usage=USED).cut(after_bytes=9), answer("Ho", usage=USED))
    reply = colour.chat(edge, "gpt/m", "two", max_tokens=40)
    story = reply.explain()
    lost, paid = story["attempts"]
    assert (lost["usage"]["estimated"], lost["usage"]["completion_tokens"]) == (True, 40)
    assert paid["cost_usd"] == SPENT / 1e9
    assert reply.cost == pytest.approx(lost["cost_usd"] + SPENT / 1e9)
    assert story["cost_estimated"] is True
    assert reply.usage.get("estimated") is None  # what was answered, somebody counted
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


# ---------------------------------------------------------------- however a call ends


@pytest.fixture
def places(provider: Provider) -> dict[str, Any]:
    """A dear and a cheap place, and one that speaks Anthropic's dialect."""
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    return {
        "providers": {
            "gpt": place, "spare": place, "claude": {"kind": "anthropic", "base_url": provider.url, "api_key": "k"},
        },
        "prices": {"models": {
            "gpt/m": {"input": 2.5, "output": 10}, "spare/m": {"input": 1, "output": 1},
            "claude/m": {"input": 3, "output": 15},
        }},
        "retry": {"base": 0, "attempts": 1},
    }  # fmt: skip


def told(reply: Any) -> tuple[float | None, float]:
    """What a reply says it cost, and what its attempts cost together."""
    story = reply.explain()
    return story["cost_usd"], sum(attempt["cost_usd"] or 0 for attempt in story["attempts"])


def test_after_a_fallback_all_attempts_are_paid(colour: Colour, edges: Edges, places: Any, provider: Provider) -> None:
    provider.script(status(503), answer("Hi", usage=USED))
    edge = edges(routes={"r": {"targets": ["gpt/m", "spare/m"]}}, **places)
    assert told(colour.chat(edge, "r", "Hi")) == (1100 / 1e6, 1100 / 1e6)


def test_a_translated_call_costs_what_its_provider_counts(
    colour: Colour, edges: Edges, places: Any, provider: Provider
) -> None:
    provider.script(answer("Hi", usage=USED))
    assert told(colour.chat(edges(**places), "claude/m", "Hi", max_tokens=9))[0] == (1000 * 3 + 100 * 15) / 1e6


def test_a_stream_that_is_gone_on_with_is_paid_for_twice(
    colour: Colour, edges: Edges, places: Any, provider: Provider
) -> None:
    provider.script(stream("One. ", "Two. ", usage=USED).cut(after_events=3), stream("Three.", usage=USED))
    places["prices"]["models"]["claude/claude-opus-4-5"] = {"input": 3, "output": 15}
    retry = {"base": 0, "attempts": 1, "continuation": True}
    edge = edges(routes={"r": {"targets": ["gpt/m", "claude/claude-opus-4-5"], "retry": retry}}, **places)
    ask = edge.chat if colour.name == "sync" else edge.achat
    reply = colour.finish(ask("r", "Count.", stream=True, max_tokens=99))
    colour.items(reply)
    first, second = reply.explain()["attempts"]
    assert first["cost_usd"] > 0  # estimated from what had come
    assert second["cost_usd"] == (1000 * 3 + 100 * 15) / 1e6
    assert told(reply)[0] == pytest.approx(first["cost_usd"] + second["cost_usd"])


def test_of_two_who_were_asked_both_are_paid(edges: Edges, places: Any, provider: Provider) -> None:
    if_slow = {"enabled": True, "least": 0.01, "share": 1.0}
    provider.script(answer("slow", usage=USED).delay(0.4), answer("fast", usage=USED))
    edge = edges(routes={"r": {"targets": ["gpt/m", "spare/m"]}}, hedge=if_slow, **places)
    reply = edge.chat("r", "Hi", timeout=20)
    asked = len(reply.explain()["attempts"])
    end = time.monotonic() + 20
    while edge.spend("route") == []:  # the call is over when the one that lost is
        assert time.monotonic() < end
    (row,) = edge.spend("route")
    assert row.nano_usd == {1: SPENT, 2: SPENT + 1_100_000}[asked]


def test_copies_that_nobody_sees_are_paid_for(edges: Edges, places: Any, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED))
    shadow = {"targets": ["gpt/m", "spare/m"], "strategy": "shadow"}
    edge = edges(routes={"r": shadow}, **places)
    assert told(edge.chat("r", "Hi"))[0] == SPENT / 1e9
    end = time.monotonic() + 20
    while len(edge.spend("target")) < 2:
        assert time.monotonic() < end
    assert {row.name: row.nano_usd for row in edge.spend("target")} == {"gpt/m": SPENT, "spare/m": 1_100_000}


def test_what_is_asked_again_behind_the_callers_back_is_paid_for(
    colour: Colour, edges: Edges, places: Any, provider: Provider
) -> None:
    provider.script(answer("Hi", usage=USED))
    edge = edges(cache={"ttl": 0.01, "stale_while_revalidate": 600, "early_refresh": False}, **places)
    end = time.monotonic() + 20
    while colour.chat(edge, "gpt/m", "Hi").cache != "STALE":
        assert time.monotonic() < end
    settled(colour)
    assert len(provider.calls) > 1
    assert edge.spend()[0].nano_usd == SPENT * len(provider.calls)


def test_whoever_shares_anothers_call_pays_nothing(edges: Edges, places: Any, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED).delay(0.3))
    edge = edges(**places)
    with ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(lambda _: edge.chat("gpt/m", "the same"), range(4)))
    costs = sorted(told(reply)[0] or 0 for reply in replies)
    assert costs == [0, 0, 0, SPENT / 1e9]
    assert edge.spend()[0].nano_usd == SPENT


# ---------------------------------------------------------------- every kind of token, as each provider counts it

PRICE = {
    "input": 1, "output": 10, "cache_read": 0.1, "cache_write": 1.25, "cache_write_1h": 2, "audio_input": 40,
    "audio_output": 80, "image_input": 5, "image_output": 30, "reasoning": 12, "audio_cache_read": 4,
    "web_search": 0.01, "tiers": {"priority": {"input": 2, "output": 20}, "batch": {"input": 0.5, "output": 5}},
}  # fmt: skip
MILLION = 10**6


@pytest.mark.parametrize(
    ("dialect", "said", "micro"),
    [
        # micro: dollars for a million such calls, part by part
        ("openai.chat", {"prompt_tokens": 100, "completion_tokens": 10}, 100 * 1 + 10 * 10),
        ("openai.chat", {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"cached_tokens": 60},
                         "completion_tokens_details": {"reasoning_tokens": 40}}, 40 + 6 + 10 * 10 + 40 * 12),
        ("openai.chat", {"prompt_tokens": 100, "completion_tokens": 50, "prompt_tokens_details": {"audio_tokens": 30},
                         "completion_tokens_details": {"audio_tokens": 20}}, 70 + 30 * 40 + 30 * 10 + 20 * 80),
        ("openai.responses", {"input_tokens": 100, "output_tokens": 50, "input_tokens_details": {"cached_tokens": 60},
                              "output_tokens_details": {"reasoning_tokens": 40}}, 40 + 6 + 10 * 10 + 40 * 12),
        ("anthropic.messages", {"input_tokens": 10, "output_tokens": 5, "cache_read_input_tokens": 20,
                                "cache_creation_input_tokens": 30,
                                "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}},
         10 + 2 + 10 * 1.25 + 20 * 2 + 50),
        ("anthropic.messages", {"input_tokens": 10, "output_tokens": 5, "server_tool_use": {"web_search_requests": 2}},
         10 + 50 + 2 * 10_000),
        ("anthropic.messages", {"input_tokens": 10, "output_tokens": 5, "service_tier": "priority"}, 20 + 100),
        ("anthropic.messages", {"input_tokens": 10, "output_tokens": 5, "service_tier": "batch"}, 5 + 25),
        ("anthropic.messages", {"input_tokens": 10, "output_tokens": 5, "service_tier": "unheard_of"}, None),
        ("gemini.generate", {"promptTokenCount": 100, "candidatesTokenCount": 10, "thoughtsTokenCount": 30,
                             "totalTokenCount": 140, "cachedContentTokenCount": 40}, 60 + 4 + 30 * 12 + 10 * 10),
        ("gemini.generate", {"promptTokenCount": 100, "candidatesTokenCount": 10, "totalTokenCount": 110,
                             "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 30},
                                                     {"modality": "IMAGE", "tokenCount": 20}],
                             "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 10}]},
         50 + 30 * 40 + 20 * 5 + 10 * 30),
        ("bedrock.converse", {"inputTokens": 10, "outputTokens": 5, "cacheReadInputTokens": 20,
                              "cacheWriteInputTokens": 30, "cacheDetails": [{"ttl": "5m", "inputTokens": 10},
                                                                            {"ttl": "1h", "inputTokens": 20}]},
         10 + 2 + 10 * 1.25 + 20 * 2 + 50),
        ("openai.embeddings", {"prompt_tokens": 100, "total_tokens": 100}, 100),
    ],
)  # fmt: skip
def test_every_kind_of_token_is_paid_at_its_rate(dialect: str, said: dict[str, Any], micro: float | None) -> None:
    known = by_name(dialect)
    assert known is not None
    book = book_of(EdgeConfig(prices={"models": {"any/m": PRICE}}), lambda provider: provider)
    usage = known.usage({"usage": said, "usageMetadata": said})
    cost = book.cost("any/m", usage, 1.8e9)
    assert cost == (None if micro is None else round(micro * 1e9 / MILLION))


def test_a_count_that_cannot_be_does_not_use_a_budget_up_for_ever() -> None:
    book = book_of(EdgeConfig(prices={"models": {"any/m": PRICE}}), lambda provider: provider)
    usage = {"prompt_tokens": 10**40, "completion_tokens": 10**40, "cached_tokens": 10**40, "web_searches": 10**40}
    cost = book.cost("any/m", usage, 1.8e9)
    assert cost is not None
    assert 0 < cost < 2**63


def test_looking_at_lists_costs_nothing_and_what_is_not_understood_says_so(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(json_body({"data": []}))
    client = colour.http_client(edge)
    try:
        colour.finish(client.get(f"{provider.url}/v1/files", headers={"authorization": "Bearer k"}))
        colour.finish(client.post(f"{provider.url}/v1/audio/speech", json={"model": "m", "input": "Hi"}))
    finally:
        colour.close(client)
    (row,) = edge.spend()
    assert (row.calls, row.unpriced, row.nano_usd) == (2, 1, 0)


def test_bedrocks_tier_is_told_beside_its_counts() -> None:
    known = by_name("bedrock.converse")
    assert known is not None
    answered = {"usage": {"inputTokens": 10, "outputTokens": 5}, "serviceTier": {"type": "priority"}}
    book = book_of(EdgeConfig(prices={"models": {"any/m": PRICE}}), lambda provider: provider)
    assert book.cost("any/m", known.usage(answered), 1.8e9) == 120_000
