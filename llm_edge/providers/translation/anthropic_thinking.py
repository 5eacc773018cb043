"""How much a Claude thinks: OpenAI's one word, Anthropic's two ways, and what each model takes of them."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..capabilities import Capabilities
from ..cargo import mapping, string
from .anthropic_parts import EXTRA
from .core import Exchange

_WORDS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_BUDGETS = {"minimal": 1024, "low": 2048, "medium": 8192, "high": 16384, "xhigh": 32768, "max": 49152}
_LEAST = 1024


def effort_behind(budget: int) -> str:
    """The word for a budget of thinking tokens."""
    return "low" if budget < 4096 else "medium" if budget < 12288 else "high"


def set_thinking(body: dict[str, Any], chat: Json, exchange: Exchange, capabilities: Capabilities) -> None:
    """Writes `thinking` and `output_config.effort` as the model takes them, with `max_tokens` known."""
    extra = mapping(chat.get(EXTRA))
    word = chat.get("reasoning_effort")
    if "thinking" in extra or "effort" in extra:
        asked, effort = mapping(extra.get("thinking")), string(extra.get("effort"))
    elif chat.get("thinking"):
        asked, effort = mapping(chat["thinking"]), string(word)
    elif word is None:
        return
    elif word not in _WORDS:
        raise exchange.impossible("reasoning_effort", f"{word!r} is not one of {', '.join(_WORDS)}")
    elif word == "none":
        asked, effort = {"type": "disabled"}, ""
    elif capabilities.thinking == "none":
        exchange.lost("reasoning_effort", f"{exchange.model} does not think")
        return
    else:
        asked, effort = _asked_by(word, capabilities), word
    if effort and effort != "none":
        _set_effort(body, effort, exchange, capabilities)
    fitting = _fitting(asked, effort, body["max_tokens"], exchange, capabilities)
    if fitting:
        body["thinking"] = fitting


def _asked_by(word: str, capabilities: Capabilities) -> Json:
    if capabilities.thinking == "budget":
        return {"type": "enabled", "budget_tokens": _BUDGETS[word]}
    return {"type": "adaptive", "display": "summarized"}


def _set_effort(body: dict[str, Any], word: str, exchange: Exchange, capabilities: Capabilities) -> None:
    taken = capabilities.efforts
    if not taken:
        return  # its budget says it
    told = "low" if word == "minimal" else word
    if told not in taken:
        higher = [each for each in taken if _WORDS.index(each) > _WORDS.index(told)] if told in _WORDS else []
        nearest = higher[0] if higher else taken[-1]
        exchange.changed("reasoning_effort", f"{word!r} went as {nearest!r}, the nearest {exchange.model} knows")
        told = nearest
    body.setdefault("output_config", {})["effort"] = told


def _fitting(asked: Json, effort: str, most: int, exchange: Exchange, capabilities: Capabilities) -> Json:
    """What the model takes of what was asked."""
    kind = asked.get("type")
    style = capabilities.thinking
    if not kind:
        return {}
    if kind in ("disabled", "between_tools"):
        return _off(asked, exchange, capabilities)
    if style == "none":
        exchange.lost("thinking", f"{exchange.model} does not think")
        return {}
    display = {"display": asked["display"]} if asked.get("display") else {}
    if kind == "enabled" and style == "adaptive":
        exchange.changed("thinking", f"went as adaptive: {exchange.model} takes no budget")
        return {"type": "adaptive", "display": "summarized", **display}
    if kind == "adaptive" and style == "budget":
        asked = {"type": "enabled", "budget_tokens": _BUDGETS.get(effort, _BUDGETS["high"]), **display}
        exchange.changed("thinking", f"went as a budget of tokens: {exchange.model} knows no adaptive thinking")
    if asked.get("type") == "enabled":
        return _within(asked, most, exchange)
    return asked


def _within(asked: Json, most: int, exchange: Exchange) -> Json:
    """The budget, lowered where the whole answer has less room than that."""
    budget = asked.get("budget_tokens")
    if not isinstance(budget, int) or budget < most:
        return asked
    if most <= _LEAST:
        exchange.changed("thinking", f"was switched off: max_tokens of {most} leave it no room; it needs over {_LEAST}")
        return {}
    lower = most // 2 if most // 2 > _LEAST else _LEAST
    exchange.changed("thinking", f"has a budget of {lower} tokens, for max_tokens is {most}")
    return {**asked, "budget_tokens": lower}


def _off(asked: Json, exchange: Exchange, capabilities: Capabilities) -> Json:
    if capabilities.thinking_off:
        return {"type": capabilities.thinking_off} if asked["type"] == "disabled" else asked
    if capabilities.thinking == "any":
        return asked
    if capabilities.thinking != "none":
        exchange.changed("reasoning_effort", f"was left out: the thinking of {exchange.model} cannot be switched off")
    return {}


def settle_with_tools(body: dict[str, Any], exchange: Exchange) -> None:
    """
    Takes a thinking budget back where Anthropic refuses it: with a demanded tool call, and in the
    middle of a tool turn that began without thinking.
    """
    if mapping(body.get("thinking")).get("type") != "enabled":
        return
    if mapping(body.get("tool_choice")).get("type") in ("any", "tool"):
        exchange.changed("thinking", "was switched off: with a budget it cannot go together with a demanded tool call")
        del body["thinking"]
        return
    turns: list[Json] = body["messages"]
    if not any(block.get("type") == "tool_result" for block in turns[-1]["content"]):
        return
    last = next((turn for turn in reversed(turns) if turn["role"] == "assistant"), None)
    if last is not None and last["content"][0].get("type") not in ("thinking", "redacted_thinking"):
        exchange.changed("thinking", "was switched off: the tool calls being answered came without signed thinking")
        del body["thinking"]
