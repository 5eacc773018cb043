"""Whole answers: Converse's as a chat completion."""

from __future__ import annotations

from typing import Any, Final

from ...message import Json
from ..bedrock import blocks_of
from ..bedrock_models import vendor
from ..cargo import mapping, string
from .converse_parts import EXTRA
from .converse_told import finish, tier_of, told_in_chat, usage_to_chat
from .core import Exchange

_READ: Final = frozenset(("output", "stopReason", "usage", "serviceTier", "metrics"))


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The chat completion an answer of Converse's stands for."""
    message = {
        "role": "assistant",
        "refusal": None,
        **told_in_chat(blocks_of(answer), exchange, vendor(exchange.model)),
    }
    ended = finish(string(answer.get("stopReason")), calls="tool_calls" in message)
    made: dict[str, Any] = {
        "id": answer_id(exchange),
        "object": "chat.completion",
        "created": exchange.created,
        "model": exchange.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, **ended}],
        **tier_of(answer),
    }
    usage = mapping(answer.get("usage"))
    if usage:
        made["usage"] = usage_to_chat(usage)
    rest = rest_of(answer)
    if rest:
        made[EXTRA] = rest
    return made


def answer_id(exchange: Exchange) -> str:
    """Bedrock tells its ids in a header alone; the answer gets the call's."""
    return f"chatcmpl-{exchange.request_id}"


def rest_of(answer: Json) -> Json:
    """What chat has nothing like: guardrail traces, the model's own fields, a tier it has no word for."""
    rest = {name: value for name, value in answer.items() if name not in _READ and value and name != "p"}
    tier = answer.get("serviceTier")
    return {**rest, "serviceTier": tier} if tier and not tier_of(answer) else rest
