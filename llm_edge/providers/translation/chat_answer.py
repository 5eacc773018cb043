"""A whole answer of the chat dialect: what compatible servers do differently is put right."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..cargo import add, count, mapping, objects, string
from ..openai import joined_text
from .chat_calls import whole_calls
from .core import Exchange

_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
    "function_call": "tool_calls",
    "model_length": "length",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "eos": "stop",
    "safety": "content_filter",
    "refusal": "content_filter",
}
_OWN = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})
_TOP = frozenset({"id", "object", "created", "model", "choices", "usage", "x_groq"})
_CHOICE = frozenset({"index", "message", "finish_reason", "logprobs", "usage"})
_MESSAGE = frozenset({"role", "content", "refusal", "reasoning", "reasoning_content", "tool_calls", "function_call"})


def finish_of(reason: str, *, called: bool) -> tuple[str, str]:
    """The unified finish reason, and the server's own word where that says more."""
    finish = _REASONS.get(reason.lower(), "stop")
    if called and finish == "stop":
        finish = "tool_calls"  # many say "stop" after calling tools
    return finish, reason if reason and reason not in _OWN else ""


def unified_usage(usage: Json) -> Json:
    """Usage with its three counts in place; what else is told stays."""
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    total = count(usage.get("total_tokens"))
    unified = {
        **usage,
        "prompt_tokens": prompt or 0,
        "completion_tokens": completion or 0,
        "total_tokens": add(prompt, completion) if total is None else total,
    }
    cached = count(usage.get("prompt_cache_hit_tokens"))  # DeepSeek's name
    if cached is None:
        cached = count(usage.get("cached_tokens"))  # Moonshot's
    if cached is not None and not mapping(usage.get("prompt_tokens_details")):
        unified["prompt_tokens_details"] = {"cached_tokens": cached}
    for name in ("prompt_tokens_details", "completion_tokens_details"):
        if name in unified and unified[name] is None:
            del unified[name]
    return unified


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer in the unified form."""
    created = answer.get("created")
    unified: dict[str, Any] = {
        "id": string(answer.get("id")) or f"chatcmpl-{exchange.request_id}",
        "object": "chat.completion",
        "created": int(created) if isinstance(created, int | float) and created else exchange.created,
        "model": string(answer.get("model")) or exchange.model,
        "choices": [
            _choice(choice, position, exchange) for position, choice in enumerate(objects(answer.get("choices")))
        ],
    }
    usage = mapping(answer.get("usage")) or mapping(mapping(answer.get("x_groq")).get("usage"))
    if usage:
        unified["usage"] = unified_usage(usage)
    unified.update((name, answer[name]) for name in answer if name not in _TOP)
    return unified


def _choice(choice: Json, position: int, exchange: Exchange) -> Json:
    index = count(choice.get("index"))
    index = position if index is None else index
    raw = mapping(choice.get("message"))
    calls: Any = raw.get("tool_calls")
    if not calls and raw.get("function_call"):
        calls = [{"type": "function", "function": raw["function_call"]}]
    content = raw.get("content")
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content if isinstance(content, str) or content is None else joined_text(content),
        "refusal": raw.get("refusal"),
    }
    reasoning = raw.get("reasoning_content") or raw.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = whole_calls(objects(calls), f"{exchange.made_up}{index}_", exchange.names)
    message.update((name, raw[name]) for name in raw if name not in _MESSAGE)
    finish, native = finish_of(string(choice.get("finish_reason")), called=bool(calls))
    logprobs = choice.get("logprobs")
    unified: dict[str, Any] = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}
    if native:
        unified["native_finish_reason"] = native
    unified.update((name, choice[name]) for name in choice if name not in _CHOICE)
    return unified


def answer_from_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer for a caller of this dialect: as it is, but for those who asked with `functions`."""
    if not exchange.functions:
        return answer
    return {**answer, "choices": [_with_function_call(choice) for choice in objects(answer.get("choices"))]}


def _with_function_call(choice: Json) -> Json:
    message = {**mapping(choice.get("message"))}
    calls = objects(message.pop("tool_calls", None))
    if not calls:
        return choice
    message["function_call"] = mapping(calls[0].get("function"))
    reason = choice.get("finish_reason")
    return {**choice, "message": message, "finish_reason": "function_call" if reason == "tool_calls" else reason}
