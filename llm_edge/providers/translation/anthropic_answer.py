"""Whole answers: Anthropic's message as a chat completion, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...message import Json
from ..cargo import add, count, mapping, objects, string
from .anthropic_parts import EXTRA
from .anthropic_told import told_in_chat, tool_input
from .core import Exchange
from .hidden import extras_of, hide
from .marks import NOBODY

_FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "compaction": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
_STOP = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_TIERS = {"standard": "default", "priority": "priority", "batch": "flex"}
_COUNTED = frozenset(
    ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens_details")
)
_READ = frozenset(("id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "usage"))


# ------------------------------------------------------------------ Anthropic to chat


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The chat completion an Anthropic message stands for."""
    blocks = objects(answer.get("content"))
    message = {"role": "assistant", "content": None, "refusal": None, **told_in_chat(blocks, exchange.names)}
    found = notes_in(blocks)
    if found:
        message["annotations"] = found
    usage = mapping(answer.get("usage"))
    choice = finish(answer, message)
    made: dict[str, Any] = {
        "id": answer.get("id") or f"msg_{exchange.request_id}",
        "object": "chat.completion",
        "created": exchange.created,
        "model": answer.get("model") or exchange.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, **choice}],
    }
    if usage:
        made["usage"] = usage_to_chat(usage)
        tier = _TIERS.get(string(usage.get("service_tier")))
        if tier is not None:
            made["service_tier"] = tier
    rest = {name: value for name, value in answer.items() if name not in _READ and value is not None}
    if rest:
        made[EXTRA] = rest
    return made


def finish(stopped: Json, message: dict[str, Any]) -> dict[str, Any]:
    """A choice's end; the refusal goes into the message. `stopped` is a message, or the delta that ends one."""
    reason = string(stopped.get("stop_reason"))
    details = mapping(stopped.get("stop_details"))
    if reason == "refusal":
        message["refusal"] = details.get("explanation") or "The model refused to answer."
    ended: dict[str, Any] = {"finish_reason": _FINISH.get(reason, "stop"), "native_finish_reason": reason or None}
    if stopped.get("stop_sequence") is not None:
        ended["stop_sequence"] = stopped["stop_sequence"]
    if details:
        ended["stop_details"] = details
    return ended


def notes_in(blocks: Sequence[Json]) -> list[Json]:
    """Web citations, where in the whole text they belong."""
    found: list[Json] = []
    start = 0
    for block in blocks:
        if block.get("type") == "text":
            end = start + len(string(block.get("text")))
            found += [made for each in objects(block.get("citations")) if (made := annotation(each, start, end))]
            start = end
    return found


def annotation(citation: Json, start: int, end: int) -> Json | None:
    """One citation of the web as an annotation; None for one of a document."""
    if citation.get("type") != "web_search_result_location":
        return None
    where = {
        "url": string(citation.get("url")),
        "title": string(citation.get("title")),
        "start_index": start,
        "end_index": end,
    }
    kept = {name: citation[name] for name in ("cited_text", "encrypted_index") if citation.get(name)}
    made: dict[str, Any] = {"type": "url_citation", "url_citation": where}
    return {**made, EXTRA: kept} if kept else made


def usage_to_chat(usage: Json) -> Json:
    """Token counts; Anthropic's `input_tokens` leaves the cached ones out, chat's has them in."""
    cached, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    prompt = add(count(usage.get("input_tokens")), cached, written)
    completion = add(count(usage.get("output_tokens")))
    made: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if cached is not None or written is not None:
        made["prompt_tokens_details"] = {"cached_tokens": cached, "cache_write_tokens": written}
    thought = count(mapping(usage.get("output_tokens_details")).get("thinking_tokens"))
    if thought is not None:
        made["completion_tokens_details"] = {"reasoning_tokens": thought}
    rest = {name: value for name, value in usage.items() if name not in _COUNTED and value is not None}
    if rest:
        made[EXTRA] = rest
    return made


# ------------------------------------------------------------------ chat to Anthropic


def answer_from_chat(chat: Json, exchange: Exchange) -> Json:
    """The message for Anthropic's SDK; of several choices the first."""
    choices = objects(chat.get("choices"))
    if len(choices) > 1:
        exchange.changed("choices", "hold more than one answer; Anthropic's message has room for the first")
    choice = choices[0] if choices else mapping(None)
    message = mapping(choice.get("message"))
    return {
        **mapping(chat.get(EXTRA)),
        "id": message_id(chat.get("id"), exchange),
        "type": "message",
        "role": "assistant",
        "model": chat.get("model") or exchange.model,
        "content": _blocks(message, exchange),
        **stopped(choice, message),
        "usage": usage_from_chat(mapping(chat.get("usage")), chat.get("service_tier")),
    }


def message_id(identity: Any, exchange: Exchange) -> str:
    """Anthropic's ids begin with `msg_`."""
    text = string(identity) or exchange.request_id or "0"
    return text if text.startswith("msg_") else f"msg_{text}"


def stopped(choice: Json, message: Json) -> dict[str, Any]:
    """Why the message ended, in Anthropic's words."""
    native = string(choice.get("native_finish_reason"))
    reason = native if native in _FINISH else _STOP.get(string(choice.get("finish_reason")), "end_turn")
    sequence = choice.get("stop_sequence")
    refusal = message.get("refusal")
    if message.get("tool_calls") and reason == "end_turn":
        reason = "tool_use"  # servers that say `stop` after a tool call
    elif refusal and reason in ("end_turn", "refusal"):
        reason = "refusal"
    elif sequence is not None and reason == "end_turn":
        reason = "stop_sequence"
    details = choice.get("stop_details")
    if details is None and reason == "refusal":
        details = {"type": "refusal", "category": None, "explanation": refusal}
    return {"stop_reason": reason, "stop_sequence": sequence, "stop_details": details}


def _blocks(message: Json, exchange: Exchange) -> list[Json]:
    kept = objects(mapping(message.get(EXTRA)).get("content"))
    if kept:
        return kept
    found = objects(message.get("thinking_blocks"))
    reasoning = message.get("reasoning_content")
    if reasoning and not found:
        found = [{"type": "thinking", "thinking": reasoning, "signature": NOBODY}]
    content = message.get("content")
    if not isinstance(content, str):
        content = "".join(string(each.get("text")) for each in objects(content))
    found = [*found, *_text(content, objects(message.get("annotations")))]
    calls = objects(message.get("tool_calls"))
    extra = extras_of(calls)
    if extra:
        found.append(unseen(extra))
    for index, call in enumerate(calls):
        found.append(_use(call, index, exchange))
    return found


def unseen(extra: Json) -> Json:
    """A block that callers give back unread, with what other vendors say about tool calls."""
    return {"type": "redacted_thinking", "data": hide(extra)}


def _text(content: str, found: Sequence[Json]) -> list[Json]:
    """The text in blocks, cut where citations begin and end."""
    cited = [mapping(each.get("url_citation")) for each in found if each.get("type") == "url_citation"]
    if not cited:
        return [{"type": "text", "text": content}] if content else []
    by_span: dict[tuple[int, int], list[Json]] = {}
    for each, where in zip((each for each in found if each.get("type") == "url_citation"), cited, strict=True):
        span = (add(count(where.get("start_index"))), add(count(where.get("end_index"))))
        by_span.setdefault(span, []).append(citation(each, where, content[slice(*span)]))
    blocks: list[Json] = []
    at = 0
    for (start, end), citations in sorted(by_span.items(), key=lambda item: item[0]):
        start, end = max(start, at), max(min(end, len(content)), at)  # two that overlap share what is left
        if start > at:
            blocks.append({"type": "text", "text": content[at:start]})
        if end > start:
            blocks.append({"type": "text", "text": content[start:end], "citations": citations})
        elif blocks:
            blocks[-1] = {**blocks[-1], "citations": [*blocks[-1].get("citations", ()), *citations]}
        at = max(end, start)
    return [*blocks, {"type": "text", "text": content[at:]}] if at < len(content) else blocks


def citation(note: Json, where: Json, text: str) -> Json:
    """An annotation as Anthropic cites the web."""
    kept = {"cited_text": text, "encrypted_index": "", **mapping(note.get(EXTRA))}
    return {"type": "web_search_result_location", "url": where.get("url"), "title": where.get("title"), **kept}


def _use(call: Json, index: int, exchange: Exchange) -> Json:
    # A custom tool's call has plain text where a function's has JSON.
    function = mapping(call.get("function")) or mapping(call.get("custom"))
    return {
        "type": "tool_use",
        "id": call.get("id") or made_up_id(index, exchange),
        "name": string(function.get("name")),
        "input": tool_input(function.get("arguments", function.get("input")), f"tool_calls[{index}]", exchange),
        **mapping(call.get(EXTRA)),
    }


def made_up_id(index: int, exchange: Exchange) -> str:
    """For a tool call that came without one."""
    return f"toolu_{exchange.request_id}_{index}"


_TIERS_BACK = {"default": "standard", "standard": "standard", "priority": "priority"}


def usage_from_chat(usage: Json, tier: Any = None) -> Json:
    """Token counts in Anthropic's names; `input_tokens` without what was cached."""
    before, after = mapping(usage.get("prompt_tokens_details")), mapping(usage.get("completion_tokens_details"))
    cached, written = count(before.get("cached_tokens")), count(before.get("cache_write_tokens"))
    made: dict[str, Any] = {
        "input_tokens": max(add(count(usage.get("prompt_tokens"))) - add(cached, written), 0),
        "output_tokens": add(count(usage.get("completion_tokens"))),
        "cache_read_input_tokens": cached,
        "cache_creation_input_tokens": written,
    }
    thought = count(after.get("reasoning_tokens"))
    if thought is not None:
        made["output_tokens_details"] = {"thinking_tokens": thought}
    told = _TIERS_BACK.get(string(tier))
    if told is not None:
        made["service_tier"] = told
    return {**made, **mapping(usage.get(EXTRA))}
