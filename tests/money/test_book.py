"""Which price a target has."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llm_edge import EdgeConfig
from llm_edge.build import book_of
from llm_edge.config import resolve
from llm_edge.money import book
from llm_edge.money.book import Book
from llm_edge.money.convert import SHIPPED, live, rows
from llm_edge.policy.price import own_price
from llm_edge.targets import Targets

NOW = 1_795_000_000.0
USED = {"prompt_tokens": 1_000_000, "completion_tokens": 0}
FILE = Path(book.__file__).resolve().parent.parent / "data" / "prices.json"


def dollars(book: Book, target: str, answered: str = "") -> float | None:
    cost = book.cost(target, USED, NOW, answered)
    return None if cost is None else cost / 1e9


@pytest.mark.parametrize(
    "target",
    [
        "openai/gpt-4o-mini", "anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-flash", "mistral/mistral-large-latest",
        "xai/grok-4", "azure/gpt-4o", "bedrock/anthropic.claude-3-5-sonnet-20241022-v2:0", "groq/llama-3.1-8b-instant",
        "vertex/gemini-2.5-pro", "openai/text-embedding-3-small", "openai/GPT-4o-mini",
    ],
)  # fmt: skip
def test_models_people_use_have_a_price(target: str) -> None:
    assert (dollars(Book(), target) or 0) > 0


def test_a_known_price_is_right() -> None:
    assert dollars(Book(), "openai/gpt-4o-mini") == 0.15
    assert dollars(Book(), "openai/gpt-4o-2024-11-20") == 2.5


@pytest.mark.parametrize(
    ("target", "moment", "rate"),
    [
        ("openai/o3", datetime(2025, 6, 9, 23, 59, 59, tzinfo=UTC), 10.0),
        ("openai/o3", datetime(2025, 6, 10, tzinfo=UTC), 2.0),
        ("deepseek/deepseek-chat", datetime(2026, 11, 20, 0, 29, 59, tzinfo=UTC), 0.135),
        ("deepseek/deepseek-chat", datetime(2026, 11, 20, 0, 30, tzinfo=UTC), 0.27),
        ("deepseek/deepseek-chat", datetime(2026, 11, 20, 16, 30, tzinfo=UTC), 0.135),
    ],
)
def test_a_price_is_that_of_its_day_and_its_hour(target: str, moment: datetime, rate: float) -> None:
    assert Book().cost(target, USED, moment.timestamp()) == rate * 1e9


def test_a_model_may_be_listed_by_how_its_name_ends() -> None:
    assert dollars(Book(), "bedrock/amazon.titan-embed-text") == 0.1


@pytest.mark.parametrize("target", ["local/qwen3", "openai/nobody-knows-this", "openai", "127.0.0.1:9/gpt-4o", "x/"])
def test_what_is_not_listed_is_unknown(target: str) -> None:
    assert dollars(Book(), target) is None


def test_a_name_of_ones_own_is_billed_by_the_model_that_answered() -> None:
    assert dollars(Book(), "azure/my-deployment") is None
    assert dollars(Book(), "azure/my-deployment", "gpt-4o-2024-11-20") == 2.5


def test_the_users_own_price_comes_first_and_a_star_stands_for_anything() -> None:
    own = {
        "openai/gpt-4o*": own_price({"input": 3}), "openai/gpt-4o": own_price({"input": 7, "output": 9}),
        "local/*": own_price({"input": 0}),
    }  # fmt: skip
    mine = Book(own)
    assert dollars(mine, "openai/gpt-4o") == 7  # its own name before any pattern
    assert dollars(mine, "openai/gpt-4o-audio") == 3
    assert dollars(mine, "local/any") == 0
    assert dollars(mine, "openai/gpt-4.1") == 2.0
    assert dollars(Book(own, source="none"), "openai/gpt-4.1") is None


def test_unknown_usage_costs_an_unknown_sum() -> None:
    assert Book().cost("openai/gpt-4o", None, NOW) is None


def test_the_installed_library_says_the_same_where_it_lists_the_same() -> None:
    assert dollars(Book(source="installed"), "openai/gpt-4o-mini") == 0.15
    assert set(live()) >= SHIPPED


def test_the_installed_library_knows_providers_that_the_shipped_list_leaves_out() -> None:
    unshipped = (
        f"{place}/{model['is'][1]}"
        for place, row in live().items() if place not in SHIPPED
        for model in row["models"] if model["is"][0] == "="
    )  # fmt: skip
    target = next(unshipped)
    assert Book(source="installed").price(target) is not None
    assert Book().price(target) is None


def test_the_shipped_file_is_dated_says_its_source_and_is_plain_json() -> None:
    told = json.loads(FILE.read_bytes())
    assert told["about"] == book.about()
    assert "genai-prices" in book.about()["source"]
    assert book.about()["date"] >= "2026-11-21"
    assert set(told["providers"]) == SHIPPED
    assert FILE.stat().st_size < 2**19


def test_the_file_is_made_by_its_script() -> None:
    made = json.loads("".join(rows("0", "2026-01-01")))
    assert made["about"]["date"] == "2026-01-01"
    assert made["providers"]["openai"]["models"][0]["prices"]
    run = subprocess.run([sys.executable, "-m", "llm_edge.money"], capture_output=True, text=True, check=True)
    assert json.loads(run.stdout)["providers"].keys() == SHIPPED


def test_memory_does_not_grow_with_names_from_callers() -> None:
    mine = Book(source="none")
    for number in range(10_000):
        mine.price(f"openai/{number}")
    assert len(mine._known) <= 4096


def test_what_was_looked_up_is_remembered() -> None:
    mine = Book()
    first = mine.price("openai/gpt-4o-mini")
    mine.price("openai/gpt-4o")
    assert mine.price("openai/gpt-4o-mini") is first


def configured(**sections: object) -> Book:
    config = EdgeConfig(**sections)  # type: ignore[arg-type]  # what a section may be, mypy knows
    return book_of(config, Targets(config, resolve(config, {}, {})).priced_as)


def test_a_provider_by_another_name_costs_what_its_host_costs() -> None:
    mine = configured(
        providers={
            "team": {"kind": "openai", "api_key": "k"},
            "proxy": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "k"},
            "eu": {"kind": "anthropic", "base_url": "https://api.anthropic.com", "api_key": "k"},
        },
        prices={"models": {"proxy/cheap": {"input": 1, "output": 2}}},
    )
    assert dollars(mine, "team/gpt-4o-mini") == 0.15
    assert dollars(mine, "proxy/gpt-4o-mini") is None  # who knows what that server asks
    assert dollars(mine, "proxy/cheap") == 1
    assert dollars(mine, "eu/claude-sonnet-4-5") == 6.0  # above 200,000 tokens
