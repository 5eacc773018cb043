"""How much a model thinks, in the words that its vendor has for it on Bedrock."""

from __future__ import annotations

from typing import Any, Final

from ...message import Json
from ..bedrock_models import Family, thinks_like_gpt
from ..capabilities import Capabilities
from ..cargo import mapping, string
from .anthropic_thinking import set_thinking
from .core import Exchange

_WORDS: Final = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_PLAIN: Final = ("low", "medium", "high")
_ROOM: Final = 32000
"""Tokens an answer has where nobody limits it."""


def set_reasoning(
    body: dict[str, Any],
    own: dict[str, Any],
    chat: Json,
    exchange: Exchange,
    capabilities: Capabilities,
    family: Family,
) -> None:
    """Writes it among the model's own fields."""
    if family.thinking == "claude":
        _claude(body, own, chat, exchange, capabilities)
        return
    word = chat.get("reasoning_effort")
    if word is None:
        if chat.get("thinking"):
            exchange.lost("thinking", f"{exchange.model} has no such setting")
        return
    if word not in _WORDS:
        raise exchange.impossible("reasoning_effort", f"{word!r} is not one of {', '.join(_WORDS)}")
    if capabilities.thinking == "none" or not family.thinking:
        if word != "none":
            exchange.lost("reasoning_effort", f"{exchange.model} is not known to take it on Bedrock")
        return
    own.update(_in_their_words(word, exchange, capabilities, family))


def _in_their_words(word: str, exchange: Exchange, capabilities: Capabilities, family: Family) -> Json:
    if family.thinking == "nova":
        if word == "none":
            return {"reasoningConfig": {"type": "disabled"}}
        told = _nearest(word, capabilities.efforts or _PLAIN, exchange)
        return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": told}}
    if thinks_like_gpt(exchange.model):
        return {"reasoning": {"effort": _nearest(word, capabilities.efforts or _WORDS, exchange)}}
    return {"reasoning_effort": _nearest(word, capabilities.efforts or _PLAIN, exchange)}


def _nearest(word: str, known: tuple[str, ...], exchange: Exchange) -> str:
    if word in known:
        return word
    told = min(known, key=lambda each: abs(_WORDS.index(each) - _WORDS.index(word)))
    exchange.changed("reasoning_effort", f"{word!r} went as {told!r}, the nearest {exchange.model} knows")
    return told


def _claude(
    body: dict[str, Any], own: dict[str, Any], chat: Json, exchange: Exchange, capabilities: Capabilities
) -> None:
    asked = mapping(body.get("inferenceConfig")).get("maxTokens")
    draft: dict[str, Any] = {"max_tokens": asked or capabilities.max_output or _ROOM}
    set_thinking(draft, chat, exchange, capabilities)
    thinking = mapping(draft.get("thinking"))
    if thinking.get("type") == "enabled" and (why := why_not(body)):
        exchange.changed("thinking", f"was switched off: {why}")
        del draft["thinking"]
    elif thinking and thinking["type"] != "disabled":
        _sample_as_thinking_allows(body, own, exchange)
    own.update((name, draft[name]) for name in ("thinking", "output_config") if name in draft)


def why_not(body: dict[str, Any]) -> str:
    """What a budget of thinking does not go together with."""
    if mapping(body.get("toolConfig")).get("toolChoice", {}).keys() & {"any", "tool"}:
        return "with a budget it cannot go together with a demanded tool call"
    turns: list[Json] = body["messages"]
    if any("toolResult" in block for block in turns[-1]["content"]):
        last = next((turn for turn in reversed(turns) if turn["role"] == "assistant"), None)
        if last is not None and "reasoningContent" not in last["content"][0]:
            return "the tool calls being answered came without signed thinking"
    return ""


def _sample_as_thinking_allows(body: dict[str, Any], own: dict[str, Any], exchange: Exchange) -> None:
    config: dict[str, Any] = body.get("inferenceConfig", {})
    for where, name, fine in (
        (config, "temperature", config.get("temperature", 1) == 1),
        (config, "topP", config.get("topP", 1) >= 0.95),
        (own, "top_k", "top_k" not in own),
    ):
        if not fine:
            exchange.lost(string(name), "Claude does not take it while it thinks")
            del where[name]
