"""Whole answers in Converse's words, from the chat form."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Final

from ...message import Json
from ..bedrock_models import vendor
from ..cargo import add, count, mapping, objects, string
from .anthropic_told import tool_input
from .converse_parts import EXTRA
from .converse_told import FINISH
from .core import Exchange
from .hidden import extras_of, hide
from .marks import NOBODY, whose

_STOP: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "content_filtered",
}


def answer_from_chat(chat: Json, exchange: Exchange) -> Json:
    """The answer for a caller of Converse; of several choices the first."""
    choices = objects(chat.get("choices"))
    choice = choices[0] if choices else mapping(None)
    message = mapping(choice.get("message"))
    tier = chat.get("service_tier")
    return {
        **({"serviceTier": {"type": tier}} if tier else {}),
        **mapping(chat.get(EXTRA)),
        "output": {"message": {"role": "assistant", "content": _blocks(message, exchange)}},
        "stopReason": stop_reason(choice, calls=bool(message.get("tool_calls"))),
        "usage": usage_from_chat(mapping(chat.get("usage"))),
        "metrics": {"latencyMs": 0},
    }


def stop_reason(choice: Json, *, calls: bool) -> str:
    """Why it ended, in Converse's words."""
    native = string(choice.get("native_finish_reason"))
    reason = native if native in FINISH else _STOP.get(string(choice.get("finish_reason")), "end_turn")
    return "tool_use" if calls and reason == "end_turn" else reason  # servers that say `stop` after a tool call


def _blocks(message: Json, exchange: Exchange) -> list[Json]:
    kept = objects(mapping(message.get(EXTRA)).get("content"))
    if kept:
        return kept
    found = [reasoning(block, vendor(exchange.model)) for block in objects(message.get("thinking_blocks"))]
    thought = message.get("reasoning_content")
    if thought and not found:
        found.append({"reasoningContent": {"reasoningText": {"text": thought, "signature": NOBODY}}})
    content = message.get("content")
    if not isinstance(content, str):
        content = "".join(string(each.get("text")) for each in objects(content))
    content = content or string(message.get("refusal"))
    found += _text(content, objects(message.get("annotations")))
    calls = objects(message.get("tool_calls"))
    extra = extras_of(calls)
    if extra:
        found.append(unseen(extra))
    for index, call in enumerate(calls):
        function = mapping(call.get("function")) or mapping(call.get("custom"))
        place = f"tool_calls[{index}]"
        use = {
            "toolUseId": call.get("id") or call_id(index, exchange),
            "name": string(function.get("name")),
            "input": tool_input(function.get("arguments", function.get("input")), place, exchange),
        }
        found.append({"toolUse": use})
    return found


def unseen(extra: Json) -> Json:
    """Reasoning that callers give back unread, with what other vendors say about tool calls."""
    return {"reasoningContent": {"redactedContent": base64.b64encode(hide(extra).encode()).decode()}}


def call_id(index: int, exchange: Exchange) -> str:
    """For a tool call that came without one."""
    return f"tooluse_{exchange.request_id}_{index}"


def reasoning(block: Json, maker: str) -> Json:
    """A thinking block as Converse's; a signature keeps its maker's name where that is not the model's vendor."""
    if block.get("type") == "redacted_thinking":
        data = _own(string(block.get("data")), maker)
        return {"reasoningContent": {"redactedContent": base64.b64encode(data.encode()).decode()}}
    signature = _own(string(block.get("signature")), maker)
    signed = {"signature": signature} if signature else {}
    return {"reasoningContent": {"reasoningText": {"text": string(block.get("thinking")), **signed}}}


def _own(signature: str, maker: str) -> str:
    whom, own = whose(signature)
    return own if whom == maker else signature


def _text(content: str, notes: Sequence[Json]) -> list[Json]:
    """The text, with the web citations for the whole of it."""
    if not content:
        return []
    cited = [mapping(note.get("url_citation")) for note in notes if note.get("type") == "url_citation"]
    if not cited:
        return [{"text": content}]
    return [{"citationsContent": {"content": [{"text": content}], "citations": [citation(each) for each in cited]}}]


def citation(where: Json) -> Json:
    """A citation of the web."""
    return {"title": string(where.get("title")), "location": {"web": {"url": string(where.get("url"))}}}


def usage_from_chat(usage: Json) -> Json:
    """Token counts in Bedrock's names; `inputTokens` without what was cached."""
    before = mapping(usage.get("prompt_tokens_details"))
    cached, written = count(before.get("cached_tokens")), count(before.get("cache_write_tokens"))
    prompt, completion = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    made: dict[str, Any] = {
        "inputTokens": max(add(prompt) - add(cached, written), 0),
        "outputTokens": add(completion),
        "totalTokens": add(prompt, completion),
    }
    if cached is not None:
        made["cacheReadInputTokens"] = cached
    if written is not None:
        made["cacheWriteInputTokens"] = written
    return {**made, **mapping(usage.get(EXTRA))}
