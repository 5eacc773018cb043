"""How much a Gemini thinks: OpenAI's one word as a level, or on older models as a budget of tokens."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..capabilities import Capabilities
from ..cargo import count, mapping, string
from .core import Exchange

_WORDS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"minimal": 512, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576, "max": 24576}
_LEAST = 128


def effort_behind(thinking: Json) -> str | None:
    """The word for a caller's thinkingConfig; None when it leaves the choice to the model."""
    level = string(thinking.get("thinkingLevel")).lower()
    if level in _WORDS:
        return level
    budget = thinking.get("thinkingBudget")
    if type(budget) is not int or budget < 0:
        return None
    return "none" if budget == 0 else "low" if budget < 4096 else "medium" if budget < 16384 else "high"


def set_thinking(config: dict[str, Any], chat: Json, exchange: Exchange, capabilities: Capabilities) -> None:
    """Writes `thinkingConfig`, with `maxOutputTokens` known: thoughts are counted in it."""
    word = chat.get("reasoning_effort")
    asked = mapping(chat.get("thinking"))
    budget = count(asked.get("budget_tokens"))
    if word is None and asked:
        kind = asked.get("type")
        word = "none" if kind == "disabled" else effort_behind({"thinkingBudget": budget}) or "medium"
    if word is None:
        return
    if word not in _WORDS:
        raise exchange.impossible("reasoning_effort", f"{word!r} is not one of {', '.join(_WORDS)}")
    style = capabilities.thinking
    if style == "none":
        if word != "none":
            exchange.lost("reasoning_effort", f"{exchange.model} does not think")
        return
    if style == "budget":
        config["thinkingConfig"] = _budget(word, budget, config, exchange, capabilities)
    else:
        level = _level(word, exchange, capabilities)
        told: dict[str, Any] = {"thinkingLevel": level.upper()}
        config["thinkingConfig"] = told if word == "none" else {**told, "includeThoughts": True}


def _level(word: str, exchange: Exchange, capabilities: Capabilities) -> str:
    levels = capabilities.efforts or ("minimal", "low", "medium", "high")
    if word in levels:
        return word
    wanted = _WORDS.index(word)
    # Of two as near the one that thinks more.
    nearest = min(levels, key=lambda each: (abs(_WORDS.index(each) - wanted), -_WORDS.index(each)))
    exchange.changed("reasoning_effort", f"{word!r} went as {nearest!r}, the nearest {exchange.model} knows")
    return nearest


def _budget(
    word: str, budget: int | None, config: Json, exchange: Exchange, capabilities: Capabilities
) -> dict[str, Any]:
    if word == "none":
        if capabilities.thinking_off == "zero":
            return {"thinkingBudget": 0}
        exchange.changed("reasoning_effort", f"went as the least there is: the thinking of {exchange.model} stays on")
        return {"thinkingBudget": _LEAST}
    tokens = budget or _BUDGETS[word]
    most = config.get("maxOutputTokens")
    if most is not None and tokens >= most:
        tokens = max(most // 2, _LEAST)
        exchange.changed("reasoning_effort", f"has a budget of {tokens} tokens, for all may be {most}")
    return {"thinkingBudget": tokens, "includeThoughts": True}
