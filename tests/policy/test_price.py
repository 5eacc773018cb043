"""What an answer costs, to the nano-dollar; held against the library the prices come from."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from genai_prices import Usage, data
from hypothesis import given, strategies as st

from llm_edge.money.book import Book
from llm_edge.policy.price import ALWAYS, Price, Variant, When, cost, own_price

NOON = 1_800_000_000.0
SIMPLE = own_price({"input": 2.5, "output": 10})


def test_tokens_are_billed_at_their_rate() -> None:
    assert cost({"prompt_tokens": 1000, "completion_tokens": 100}, SIMPLE, NOON) == 2_500_000 + 1_000_000


def test_a_price_that_is_not_there_is_unknown_and_not_nothing() -> None:
    assert cost({"prompt_tokens": 1, "completion_tokens": 1}, own_price({"input": 1}), NOON) is None
    assert cost({"prompt_tokens": 1}, own_price({"output": 1}), NOON) is None
    assert cost({}, SIMPLE, NOON) is None
    assert cost({"completion_tokens": 5}, SIMPLE, NOON) is None


def test_free_models_cost_nothing() -> None:
    assert cost({"prompt_tokens": 9, "completion_tokens": 9}, own_price({"input": 0, "output": 0}), NOON) == 0


@pytest.mark.parametrize(
    ("usage", "nano"),
    [
        ({"cached_tokens": 400}, 600 * 100 + 400 * 10),
        ({"cache_write_tokens": 400}, 600 * 100 + 400 * 125),
        ({"cache_write_tokens": 400, "cache_write_1h_tokens": 300}, 600 * 100 + 100 * 125 + 300 * 200),
        ({"audio_input_tokens": 400}, 600 * 100 + 400 * 1000),
        ({"audio_input_tokens": 40, "cached_tokens": 10, "audio_cached_tokens": 10}, 960 * 100 + 30 * 1000 + 10 * 10),
        ({"image_input_tokens": 400}, 1000 * 100),
        ({"completion_tokens": 50, "reasoning_tokens": 20}, 1000 * 100 + 30 * 500 + 20 * 700),
        ({"completion_tokens": 50, "audio_output_tokens": 20}, 1000 * 100 + 30 * 500 + 20 * 2000),
        ({"web_searches": 2}, 1000 * 100 + 2 * 10_000_000),
        # Details that do not add up never make a bill smaller than nothing, nor count a token twice.
        ({"cached_tokens": 10**18}, 1000 * 10),
        ({"completion_tokens": 5, "reasoning_tokens": 10**18}, 1000 * 100 + 5 * 700),
        ({"prompt_tokens": None, "total_tokens": 70}, 70 * 100),
    ],
    ids=str,
)  # fmt: skip
def test_every_kind_of_token_has_its_rate(usage: dict[str, Any], nano: int) -> None:
    rates = {
        "input": 100_000, "output": 500_000, "cache_read": 10_000, "cache_write": 125_000, "cache_write_1h": 200_000,
        "audio_input": 1_000_000, "reasoning": 700_000, "audio_output": 2_000_000, "web_search": 10_000_000_000,
    }  # fmt: skip
    price = Price(standard=[(ALWAYS, rates)])
    assert cost({"prompt_tokens": 1000, **usage}, price, NOON) == nano


def test_beyond_a_step_all_tokens_cost_the_higher_rate() -> None:
    price = Price(standard=[(ALWAYS, {"input": ((-1, 1000), (200, 3000)), "output": ((-1, 5000), (200, 9000))})])
    assert cost({"prompt_tokens": 200, "completion_tokens": 1}, price, NOON) == 200 + 5
    assert cost({"prompt_tokens": 201, "completion_tokens": 1}, price, NOON) == 603 + 9


def test_a_tier_has_its_own_price_or_none_that_is_known() -> None:
    rates = {"input": 1000, "output": 2000}
    price = Price(
        standard=[(ALWAYS, rates)],
        variants=[
            Variant(asked={"service_tier": "flex"}, rates={"input": 500}),
            Variant(asked={"processing": "batch"}, rates={"input": 250, "output": 1000}),
            Variant(asked={"speed": "fast"}, rates={"input": 6000}),
        ],
    )
    used = {"prompt_tokens": 10, "completion_tokens": 10}
    assert cost({**used, "service_tier": "flex"}, price, NOON) == 5 + 20
    assert cost({**used, "service_tier": "batch"}, price, NOON) == 3 + 10  # 2.5 is rounded up
    assert cost({**used, "speed": "fast"}, price, NOON) == 60 + 20
    assert cost({**used, "service_tier": "default"}, price, NOON) == 30
    assert cost({**used, "service_tier": "provisioned"}, price, NOON) is None


def test_a_price_holds_from_its_day_and_in_its_hours() -> None:
    day = NOON - NOON % 86_400
    night = When(hours=(72_000, 3600))
    price = Price(standard=[(ALWAYS, {"input": 1000}), (When(since=day), {"input": 2000}), (night, {"input": 500})])
    moments = (40_000, day + 40_000, day + 80_000, day + 60)
    assert [cost({"prompt_tokens": 1000}, price, moment) for moment in moments] == [1000, 2000, 500, 500]


PRICED = [
    (provider.id, model)
    for provider in data.providers
    if provider.id in {"openai", "anthropic", "google", "mistral", "deepseek", "x-ai", "groq"}
    for model in provider.models
]
KINDS = {
    "anthropic": "anthropic", "google": "gemini", "x-ai": "xai", "openai": "openai", "mistral": "mistral",
    "deepseek": "deepseek", "groq": "groq",
}  # fmt: skip
NOT_TOKENS = ("audio_hours", "input_audio_hours", "input_mchars", "input_document_kpages", "input_video_mtok")


@given(
    entry=st.sampled_from(PRICED), prompt=st.integers(0, 10**6), cached=st.integers(0, 10**5),
    written=st.integers(0, 10**5), completion=st.integers(0, 10**6),
)  # fmt: skip
def test_the_sum_is_the_one_of_the_library_the_prices_come_from(
    entry: tuple[str, Any], prompt: int, cached: int, written: int, completion: int
) -> None:
    from datetime import UTC, datetime

    provider, model = entry
    name = model.id
    theirs = next(each for each in data.providers if each.id == provider)
    if theirs.find_model(name) is not model:
        return  # another model answers to this name, there and here
    prompt += cached + written
    moment = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
    prices = model.get_prices(moment)
    ours = Book().cost(
        f"{KINDS[provider]}/{name}",
        {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cached_tokens": cached,
            "cache_write_tokens": written,
        },
        moment.timestamp(),
    )
    if any(getattr(prices, field) is not None for field in NOT_TOKENS) or prices.input_mtok is None or ours is None:
        return
    used = Usage(input_tokens=prompt, output_tokens=completion, cache_read_tokens=cached, cache_write_tokens=written)
    exact = prices.calc_price(used)["total_price"] * 10**9
    assert abs(Decimal(ours) - exact.quantize(Decimal(1), ROUND_HALF_UP)) <= 1
