"""Google's whole answers as chat completions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ...message import Json
from ..cargo import camel, count, mapping, objects, string
from ..gemini import reason_of
from .core import Exchange
from .gemini_parts import EXTRA
from .gemini_told import citations, finish_of, logprobs_to_chat, tier_of, told_in_chat, usage_to_chat

_TOP = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "promptFeedback"})
_CANDIDATE = frozenset({"content", "finishReason", "index", "logprobsResult"})
_BLOCKED = "The prompt was blocked."


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The chat completion a generateContent answer stands for."""
    answer = camel(answer)
    usage = camel(mapping(answer.get("usageMetadata")))
    made: dict[str, Any] = {
        "id": string(answer.get("responseId")) or f"chatcmpl-{exchange.request_id}",
        "object": "chat.completion",
        "created": created_of(answer, exchange),
        "model": string(answer.get("modelVersion")) or exchange.model,
        "choices": [
            _choice(camel(candidate), place, exchange)
            for place, candidate in enumerate(objects(answer.get("candidates")))
        ],
    }
    feedback = camel(mapping(answer.get("promptFeedback")))
    if feedback.get("blockReason") and not made["choices"]:
        made["choices"] = [blocked(feedback)]
    counted = usage_to_chat(usage)
    if counted is not None:
        made["usage"] = counted
    tier = tier_of(usage)
    if tier is not None:
        made["service_tier"] = tier
    rest = rest_of(answer, usage)
    if rest:
        made[EXTRA] = rest
    return made


def created_of(answer: Json, exchange: Exchange) -> int:
    """When the answer was made, in seconds since 1970."""
    told = answer.get("createTime")
    if isinstance(told, str):
        try:
            return int(datetime.fromisoformat(told).timestamp())
        except ValueError:
            pass
    return exchange.created


def rest_of(answer: Json, usage: Json) -> dict[str, Any]:
    """What an answer says that chat has no field for."""
    rest = {name: value for name, value in answer.items() if name not in _TOP and value is not None}
    if answer.get("promptFeedback"):
        rest["promptFeedback"] = answer["promptFeedback"]
    if usage.get("trafficType"):
        rest["trafficType"] = usage["trafficType"]
    return rest


def blocked(feedback: Json) -> dict[str, Any]:
    """The choice for a prompt that was blocked: nothing was said."""
    reason = string(feedback.get("blockReason")) or "OTHER"
    words = string(feedback.get("blockReasonMessage")) or _BLOCKED
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": words}
    return {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": "content_filter",
        "native_finish_reason": reason,
    }


def _choice(candidate: Json, place: int, exchange: Exchange) -> dict[str, Any]:
    index = count(candidate.get("index"))
    index = place if index is None else index
    numbers = iter(range(1 << 30))
    parts = objects(camel(mapping(candidate.get("content"))).get("parts"))
    message, told = told_in_chat(parts, exchange, lambda: f"{exchange.made_up}{index}_{next(numbers)}")
    reason, native = finish_of(reason_of(candidate.get("finishReason")), called=told.calls > 0)
    message = {"role": "assistant", "refusal": None, **message}
    if reason == "content_filter" and candidate.get("finishMessage"):
        message["refusal"] = candidate["finishMessage"]
    rest = {name: value for name, value in candidate.items() if name not in _CANDIDATE and value is not None}
    found = citations(rest, message["content"] or "", _bases(parts)) if rest else []
    if found:
        message["annotations"] = found
    made: dict[str, Any] = {
        "index": index,
        "message": message,
        "logprobs": logprobs_to_chat(candidate.get("logprobsResult")),
        "finish_reason": reason,
    }
    if native:
        made["native_finish_reason"] = native
    if rest:
        made[EXTRA] = rest
    return made


def _bases(parts: list[Json]) -> list[int]:
    """At which character of the whole text each part begins."""
    bases: list[int] = []
    length = 0
    for part in parts:
        bases.append(length)
        if not part.get("thought"):
            length += len(string(part.get("text")))
    return bases
