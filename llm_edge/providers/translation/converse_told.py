"""What an assistant said, in Converse's blocks, as the fields of a chat message."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ... import exact
from ...message import Json
from ..bedrock import is_call, text_in
from ..cargo import add, count, mapping, objects, string
from .converse_parts import EXTRA
from .core import Exchange
from .hidden import found, give_back
from .marks import NOBODY, marked, whose

FINISH: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "stop",
    "malformed_tool_use": "stop",
}
_TIERS: Final = frozenset(("default", "priority", "flex"))
_COUNTED: Final = frozenset(
    (
        "inputTokens",
        "outputTokens",
        "totalTokens",
        "cacheReadInputTokens",
        "cacheWriteInputTokens",
        # The same again, in the names of an older version.
        "cacheReadInputTokenCount",
        "cacheWriteInputTokenCount",
    )
)


def told_in_chat(blocks: Sequence[Json], exchange: Exchange, vendor: str) -> dict[str, Any]:
    """
    An assistant message's fields: content, thinking, tool calls, annotations.

    Blocks that chat has nothing like, or in an order it cannot tell, ride along whole.
    """
    text: list[str] = []
    reasoning: list[str] = []
    thinking: list[Json] = []
    calls: list[dict[str, Any]] = []
    extras: dict[str, Any] = {}
    stage, plain = 0, True
    for block in blocks:
        now = stage
        if "reasoningContent" in block:
            inner = mapping(block["reasoningContent"])
            reasoning.append(string(mapping(inner.get("reasoningText")).get("text")))
            signed = thinking_block(inner, vendor)
            hidden = found(string(mapping(signed).get("data")))
            if hidden is not None:
                extras.update(hidden)
                continue
            thinking += [signed] if signed is not None else []
            now = 0
        elif is_call(block):
            calls.append(_call(mapping(block["toolUse"]), exchange))
            now = 2
        else:
            said = text_in(block)
            if not said and "text" in block:
                continue  # an empty piece says nothing about order
            text.append(said)
            now = 1
            plain = plain and ("text" in block or _all_web(block))
        plain = plain and now >= stage
        stage = now
    message: dict[str, Any] = {"content": "".join(text) if text else None}
    if reasoning:
        message["reasoning_content"] = "".join(reasoning)
    if thinking:
        message["thinking_blocks"] = thinking
    if calls:
        message["tool_calls"] = calls
        give_back(calls, extras)
    notes = web_notes(blocks)
    if notes:
        message["annotations"] = notes
    if not plain:
        message[EXTRA] = {"content": list(blocks)}
    return message


def _call(use: Json, exchange: Exchange) -> dict[str, Any]:
    name = string(use.get("name"))
    arguments = exact.write(mapping(use.get("input"))).decode()
    function = {"name": exchange.names.get(name, name), "arguments": arguments}
    return {"id": string(use.get("toolUseId")), "type": "function", "function": function}


def thinking_block(reasoning: Json, vendor: str) -> Json | None:
    """Reasoning as a thinking block; None when there is no proof to give back."""
    hidden = string(reasoning.get("redactedContent"))
    if hidden:
        try:
            data = base64.b64decode(hidden, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return None
        return {"type": "redacted_thinking", "data": _signature(data, vendor)}
    text = mapping(reasoning.get("reasoningText"))
    signature = string(text.get("signature"))
    if not signature or signature == NOBODY:
        return None
    return {"type": "thinking", "thinking": string(text.get("text")), "signature": _signature(signature, vendor)}


def _signature(signature: str, vendor: str) -> str:
    if vendor == "anthropic" or whose(signature)[0] != "anthropic":  # marked already: a caller gives it back
        return signature
    return marked(vendor or "bedrock", signature)


# ------------------------------------------------------------------ citations


def web_notes(blocks: Sequence[Json]) -> list[Json]:
    """Web citations, where in the whole text they belong."""
    found: list[Json] = []
    start = 0
    for block in blocks:
        end = start + len(text_in(block))
        cited = objects(mapping(block.get("citationsContent")).get("citations"))
        found += [note for each in cited if (note := annotation(each, start, end)) is not None]
        start = end
    return found


def annotation(citation: Json, start: int, end: int) -> Json | None:
    """One citation of the web; None for one of a document."""
    web = mapping(mapping(citation.get("location")).get("web"))
    if not web:
        return None
    where = {
        "url": string(web.get("url")),
        "title": string(citation.get("title")) or string(web.get("domain")),
        "start_index": start,
        "end_index": end,
    }
    rest = {name: value for name, value in citation.items() if name not in ("title", "location") and value}
    return {"type": "url_citation", "url_citation": where, **({EXTRA: rest} if rest else {})}


def _all_web(block: Json) -> bool:
    cited = mapping(block.get("citationsContent"))
    return bool(cited) and all("web" in mapping(each.get("location")) for each in objects(cited.get("citations")))


# ------------------------------------------------------------------ ends and counts


def finish(reason: str, *, calls: bool) -> Mapping[str, Any]:
    """A choice's end. Some models stop as always after a tool call."""
    told = FINISH.get(reason, "stop")
    return {
        "finish_reason": "tool_calls" if calls and reason in ("end_turn", "") else told,
        "native_finish_reason": reason or None,
    }


def usage_to_chat(usage: Json) -> Json:
    """Token counts; Bedrock's `inputTokens` leaves the cached ones out, chat's has them in."""
    cached, written = count(usage.get("cacheReadInputTokens")), count(usage.get("cacheWriteInputTokens"))
    prompt = add(count(usage.get("inputTokens")), cached, written)
    completion = add(count(usage.get("outputTokens")))
    made: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if cached is not None or written is not None:
        made["prompt_tokens_details"] = {"cached_tokens": cached, "cache_write_tokens": written}
    rest = {name: value for name, value in usage.items() if name not in _COUNTED and value}
    if rest:
        made[EXTRA] = rest
    return made


def tier_of(answer: Json) -> dict[str, Any]:
    """`service_tier`, where chat has the word."""
    tier = mapping(answer.get("serviceTier")).get("type")
    return {"service_tier": tier} if tier in _TIERS else {}
