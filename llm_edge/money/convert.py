"""
The prices of the package `genai-prices` in our own plain form, which a file can hold.

It makes the file that is shipped (`python -m llm_edge.money`), and reads the package itself where it is
installed and asked for (`prices.source = "installed"`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, Final

import orjson

from ..errors import ConfigError

KEYS: Final[Mapping[str, tuple[str, int]]] = {
    "input_mtok": ("input", 1),
    "output_mtok": ("output", 1),
    "cache_read_mtok": ("cache_read", 1),
    "cache_write_mtok": ("cache_write", 1),
    "cache_write_1h_mtok": ("cache_write_1h", 1),
    "input_audio_mtok": ("audio_input", 1),
    "output_audio_mtok": ("audio_output", 1),
    "cache_audio_read_mtok": ("audio_cache_read", 1),
    "input_image_mtok": ("image_input", 1),
    "output_image_mtok": ("image_output", 1),
    "cache_image_read_mtok": ("image_cache_read", 1),
    "output_reasoning_mtok": ("reasoning", 1),
    "web_searches_kcount": ("web_search", 1000),
    "requests_kcount": ("request", 1000),
}
"""Their names, ours, and how many of their units make a million of ours over. What is not here has no price here."""

SHIPPED: Final = frozenset({
    "anthropic", "aws", "azure", "baseten", "cerebras", "cloudflare", "cohere", "databricks", "deepseek", "fireworks",
    "google", "groq", "meta", "minimax", "mistral", "moonshotai", "novita", "openai", "openrouter", "ovhcloud",
    "perplexity", "together", "voyageai", "x-ai", "zai", "zhipuai",
})  # fmt: skip
"""The providers whose prices are shipped."""

_CLAUSES = {
    "ClauseEquals": ("=", "equals"), "ClauseStartsWith": ("^", "starts_with"), "ClauseEndsWith": ("$", "ends_with"),
    "ClauseContains": ("~", "contains"), "ClauseRegex": ("re", "regex"),
}  # fmt: skip


def rows(version: str, date: str) -> Iterator[str]:
    """The shipped file, line by line: JSON with one provider on each line."""
    about = {
        "source": f"genai-prices {version} (MIT), https://github.com/pydantic/genai-prices",
        "date": date,
        "unit": "pico-dollars for one token, search or call",
    }
    yield f'{{"about":{_json(about)},"providers":{{'
    lines = [
        f"{_json(name)}:{_json(provider)}" for name, provider in installed(_providers()).items() if name in SHIPPED
    ]
    yield ",\n".join(lines)
    yield "}}"


def live() -> dict[str, Any]:
    """The prices of the installed package. Raises ConfigError when it is not installed."""
    return installed(_providers())


def installed(providers: Iterable[Any]) -> dict[str, Any]:
    """Their providers as plain data, by id."""
    return {
        provider.id: {
            "also": list(provider.fallback_model_providers or ()),
            "models": [row for row in map(_model, provider.models) if row is not None],
        }
        for provider in providers
    }


def _providers() -> list[Any]:
    try:
        from genai_prices import data
    except ImportError:
        raise ConfigError(
            "prices.source: \"installed\" needs the package genai-prices: pip install 'llm_edge[prices]'"
        ) from None
    found: list[Any] = data.providers
    return found


def _model(model: Any) -> dict[str, Any] | None:
    # Several prices are a list, each with its own time; one price stands by itself.
    listed: Any = [model] if hasattr(model.prices, "calc_price") else model.prices
    prices = [[_when(each), _rates(each.prices)] for each in listed]
    if not any("input" in rates or "output" in rates for _, rates in prices):
        return None  # paid by the hour, by the page: nothing a usage could be held against
    row: dict[str, Any] = {"is": _clause(model.match), "prices": prices}
    variants = [[dict(each.when), _when(each), _rates(each.prices)] for each in model.price_variants or ()]
    if variants:
        row["variants"] = variants
    return row


def _rates(prices: Any) -> dict[str, Any]:
    return {
        name: _rate(getattr(prices, key), units)
        for key, (name, units) in KEYS.items()
        if getattr(prices, key, None) is not None
    }


def _rate(value: Any, units: int) -> int | list[list[int]]:
    if isinstance(value, Decimal):
        return round(value * 10**12 / (10**6 if units == 1 else units))
    return [[-1, _pico(value.base)], *([tier.start, _pico(tier.price)] for tier in value.tiers)]


def _pico(dollars_for_a_million: Decimal) -> int:
    return round(dollars_for_a_million * 10**6)


def _when(item: Any) -> Any:
    constraint = getattr(item, "constraint", None)
    if constraint is None:
        return None
    start = getattr(constraint, "start_date", None)
    if start is not None:
        return str(start.isoformat())
    return [_second(constraint.start_time), _second(constraint.end_time)]


def _second(moment: Any) -> int:
    offset = moment.utcoffset()
    seconds = moment.hour * 3600 + moment.minute * 60 + moment.second
    return int(seconds - (offset.total_seconds() if offset else 0)) % 86_400


def _clause(clause: Any) -> list[Any]:
    kind = type(clause).__name__
    if kind in {"ClauseOr", "ClauseAnd"}:
        name = "or" if kind == "ClauseOr" else "and"
        return [name, *map(_clause, getattr(clause, f"{name}_"))]
    sign, field = _CLAUSES[kind]
    value = getattr(clause, field)
    return [sign, value if sign == "re" else value.lower()]


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
