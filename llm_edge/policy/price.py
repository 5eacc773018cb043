"""
What an answer costs: usage and prices in, nano-dollars out.

Prices are whole pico-dollars for one unit (a token, a search, a call): a dollar for a million tokens is
1,000,000 of them for one. So sums are exact, and only the end is rounded, to whole nano-dollars.

A count that has no rate of its own is billed at the rate it is a part of: cached input at the rate of
input, when a model knows no discount. A rate that is missing altogether makes the cost unknown: None, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Rate: TypeAlias = int | tuple[tuple[int, int], ...]
"""Pico-dollars for one unit; or steps `(above so many input tokens, pico-dollars)`, the first above -1."""
Rates: TypeAlias = Mapping[str, Rate]

DAY: Final = 86_400
MOST: Final = 10**9
"""Of any kind of token in one call; who tells of more is mistaken, and must not use a budget up for ever."""

PARENT: Final[Mapping[str, str]] = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "image_input": "input",
    "audio_cache_read": "cache_read",
    "image_cache_read": "cache_read",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
"""Whose rate counts where there is none."""

NAMES: Final = frozenset({*PARENT, "input", "output", "web_search", "request"})
_STANDARD: Final = frozenset({"", "default", "standard", "auto", "on_demand"})
_OTHERWISE: Final = frozenset({"service_tier", "speed"})
"""What a usage says of the way it was served, if anything."""


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """When a price holds. `since` is a moment, `hours` a span of each day in seconds; both of UTC."""

    since: float = 0.0
    hours: tuple[int, int] | None = None

    def holds(self, now: float) -> bool:
        if now < self.since:
            return False
        if self.hours is None:
            return True
        start, end, moment = *self.hours, now % DAY
        return start <= moment < end if start <= end else moment >= start or moment < end


ALWAYS: Final = When()


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Other rates for calls of a kind: a batch, a service tier, a speed."""

    asked: Mapping[str, str]
    rates: Rates
    when: When = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What one model asks."""

    standard: Sequence[tuple[When, Rates]]
    """The last that holds is meant; the first where none does."""
    variants: Sequence[Variant] = ()

    def rates(self, usage: Mapping[str, Any], now: float) -> Rates | None:
        """The rates for this usage; None when it was served in a way no price is known for."""
        standard = self.standard
        found = standard[0][1]
        if len(standard) > 1:
            found = next((rates for when, rates in reversed(standard) if when.holds(now)), found)
        if _OTHERWISE.isdisjoint(usage):
            return found  # as nearly all is served
        tier, speed = str(usage.get("service_tier") or "").lower(), str(usage.get("speed") or "").lower()
        if tier in _STANDARD and speed in _STANDARD:
            return found
        asked = {"processing": "batch"} if tier == "batch" else {"service_tier": tier}
        if speed not in _STANDARD:
            asked["speed"] = speed
        changed: dict[str, Rate] = {}
        for variant in self.variants:
            if variant.when.holds(now) and all(asked.get(name) == value for name, value in variant.asked.items()):
                changed = {**variant.rates, **changed}
        return {**found, **changed} if changed else None


def own_price(dollars: Mapping[str, float], tiers: Mapping[str, Mapping[str, float]] | None = None) -> Price:
    """The user's own: US dollars for a million tokens, and for one `request` or `web_search`; others for its tiers."""
    variants = [
        Variant(asked={"processing": "batch"} if name == "batch" else {"service_tier": name}, rates=_own_rates(given))
        for name, given in (tiers or {}).items()
    ]
    return Price(standard=[(ALWAYS, _own_rates(dollars))], variants=variants)


def _own_rates(dollars: Mapping[str, float]) -> Rates:
    single = {"request", "web_search"}
    return {name: round(each * (10**12 if name in single else 10**6)) for name, each in dollars.items()}


def cost(usage: Mapping[str, Any], price: Price, now: float) -> int | None:
    """Nano-dollars for what was used, by the prices of the moment `now` (seconds since 1970); None when unknown."""
    rates = price.rates(usage, now)
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if rates is None:
        return None
    if prompt is None:
        total = usage.get("total_tokens")
        if total is None:
            return None
        prompt = max(total - (completion or 0), 0)
    prompt, completion = min(prompt, MOST), min(completion or 0, MOST)
    bill = _Bill(rates, prompt)
    _input(bill, usage, prompt)
    _output(bill, usage, completion)
    bill.add("web_search", min(usage.get("web_searches", 0), MOST), optional=True)
    bill.add("request", 1, optional=True)
    return None if bill.unknown else (bill.sum + 500) // 1000


class _Bill:
    """The sum so far, and whether a part of it is not known."""

    __slots__ = ("_prompt", "_rates", "sum", "unknown")

    def __init__(self, rates: Rates, prompt: int) -> None:
        self._rates, self._prompt = rates, prompt
        self.sum, self.unknown = 0, False

    def add(self, name: str, count: int, *, optional: bool = False) -> None:
        if count <= 0:
            return
        rate = self._rate(name)
        if rate is None:
            self.unknown = self.unknown or not optional
        else:
            self.sum += count * rate

    def _rate(self, name: str) -> int | None:
        rate = self._rates.get(name)
        if rate is None:
            parent = PARENT.get(name)
            return None if parent is None else self._rate(parent)
        if isinstance(rate, int):
            return rate
        return next((each for above, each in reversed(rate) if self._prompt > above), rate[0][1])


_DETAILS_IN = (
    "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "image_input_tokens",
)  # fmt: skip
_DETAILS_OUT = (
    ("audio_output", "audio_output_tokens"), ("image_output", "image_output_tokens"), ("reasoning", "reasoning_tokens"),
)  # fmt: skip


def _input(bill: _Bill, usage: Mapping[str, Any], prompt: int) -> None:
    left = prompt
    if any(map(usage.get, _DETAILS_IN)):
        of = usage.get
        cached, written, hour = of("cached_tokens", 0), of("cache_write_tokens", 0), of("cache_write_1h_tokens", 0)
        audio, image = of("audio_input_tokens", 0), of("image_input_tokens", 0)
        heard, seen = min(of("audio_cached_tokens", 0), audio), min(of("image_cached_tokens", 0), image)
        for name, count in (
            ("audio_cache_read", heard), ("image_cache_read", seen), ("cache_read", cached - heard - seen),
            ("cache_write_1h", hour), ("cache_write", written - hour),
            ("audio_input", audio - heard), ("image_input", image - seen),
        ):  # fmt: skip
            part = max(min(count, left), 0)  # details that do not add up must not make a bill negative
            bill.add(name, part)
            left -= part
    bill.add("input", left)


def _output(bill: _Bill, usage: Mapping[str, Any], completion: int) -> None:
    left = completion
    for name, counted in _DETAILS_OUT:
        given = usage.get(counted)
        if given:
            part = max(min(given, left), 0)
            bill.add(name, part)
            left -= part
    bill.add("output", left)
