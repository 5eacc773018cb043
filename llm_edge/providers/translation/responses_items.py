"""
The input of a Responses request and the messages of a chat, both ways.

A chat message holds what Responses tells in several items: its thinking, its text, its tool calls. So a
message becomes a run of items in that order, and a run of items of the assistant becomes one message,
but for two texts in a row, which stay two: each may be a comment or the final answer (`phase`).
"""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..cargo import listing, mapping, objects, string
from ..openai import joined_text
from .chat_messages import short
from .chat_request import told_name
from .core import Exchange
from .hidden import found as found_in, give_back
from .marks import marked, whose
from .openai_models import takes_breakpoints

_LONGEST_ID = 64
_ASSISTANT = (
    *("role", "content", "refusal", "tool_calls", "thinking_blocks", "reasoning_content"),
    *("phase", "annotations"),
)
_STATE = frozenset({"item_reference"})


# ------------------------------------------------------------------ chat to Responses


class Items:
    """Puts down the input items of one request."""

    __slots__ = ("_breakpoints", "_calls", "_exchange", "_told")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._breakpoints = takes_breakpoints(exchange.model)
        self._calls: dict[str, str] = {}
        """The kind of each tool call so far, by its id."""
        self._told: set[str] = set()

    def all(self, messages: list[Json]) -> list[Json]:
        """The items of all messages."""
        found: list[Json] = []
        for position, message in enumerate(messages):
            role = message.get("role")
            if role == "assistant":
                found += self._assistant(message)
            elif role == "tool":
                found.append(self._result(message, position))
            else:
                content = message.get("content")
                told = content if isinstance(content, str) else [self._part(part) for part in objects(content)]
                if message.get("cache_control") and self._breakpoints and told:
                    parts = [{"type": "input_text", "text": told}] if isinstance(told, str) else told
                    told = [*parts[:-1], {**parts[-1], "prompt_cache_breakpoint": {"mode": "explicit"}}]
                found.append({"role": role, "content": told})
                self._losses(message, ("role", "content"))
        return found

    def _assistant(self, message: Json) -> list[Json]:
        found = [item for block in objects(message.get("thinking_blocks")) if (item := self._thought(block))]
        if message.get("reasoning_content") and not message.get("thinking_blocks"):
            self._foreign_thought()
        parts = _said(message)
        if parts:
            said = {"type": "message", "role": "assistant", "content": parts}
            found.append({**said, "phase": message["phase"]} if message.get("phase") else said)
        for call in objects(message.get("tool_calls")):
            custom = call.get("type") == "custom"
            body = mapping(call.get("custom" if custom else "function"))
            told = short(string(call.get("id")), _LONGEST_ID)
            if call.get("extra_content"):
                self._foreign_thought()
            name = told_name(string(body.get("name")), self._exchange)
            self._calls[told] = "custom" if custom else "function"
            if custom:
                item = {"type": "custom_tool_call", "call_id": told, "name": name, "input": string(body.get("input"))}
            else:
                arguments = string(body.get("arguments")) or "{}"
                item = {"type": "function_call", "call_id": told, "name": name, "arguments": arguments}
            found.append(item)
        if found and found[-1]["type"] == "reasoning":
            found = [item for item in found if item["type"] != "reasoning"]  # refused without what it led to
        self._losses(message, _ASSISTANT)
        return found

    def _thought(self, block: Json) -> Json | None:
        """OpenAI's own thinking goes back to it; another vendor's proof means nothing there."""
        vendor, signature = whose(string(block.get("signature")))
        if vendor != "openai":
            self._foreign_thought()
            return None
        known, _, secret = signature.partition(":")
        if not secret:
            return None  # a name of what OpenAI has stored, which it has not for us
        text = string(block.get("thinking"))
        summary = [{"type": "summary_text", "text": text}] if text else []
        return {"type": "reasoning", "id": known, "summary": summary, "encrypted_content": secret}

    def _foreign_thought(self) -> None:
        if "thinking" not in self._told:
            self._told.add("thinking")
            self._exchange.lost("messages[].thinking_blocks", "they are another vendor's")

    def _result(self, message: Json, position: int) -> Json:
        told = short(string(message.get("tool_call_id")), _LONGEST_ID)
        kind = self._calls.get(told)
        if kind is None:
            raise self._exchange.impossible(
                f"messages[{position}].tool_call_id", f"no assistant message before it calls a tool as {told!r}"
            )
        content = message.get("content")
        output = content if isinstance(content, str) else [self._part(part) for part in objects(content)]
        self._losses(message, ("role", "content", "tool_call_id", "name"))
        prefix = "custom_tool" if kind == "custom" else "function"
        return {"type": f"{prefix}_call_output", "call_id": told, "output": output}

    def _part(self, part: Json) -> Json:
        kind = part.get("type", "text")
        told: dict[str, Any]
        if kind == "text":
            told = {"type": "input_text", "text": string(part.get("text"))}
        elif kind == "image_url":
            image = mapping(part.get("image_url"))
            told = {"type": "input_image", "image_url": image.get("url"), "detail": image.get("detail") or "auto"}
        elif kind == "file":
            told = {"type": "input_file", **mapping(part.get("file"))}
        else:
            raise self._exchange.impossible("messages[].content", f"the Responses API takes no part of type {kind!r}")
        mark = part.get("prompt_cache_breakpoint")
        if self._breakpoints and part.get("cache_control") and not mark:
            mark = {"mode": "explicit"}
        if mark:
            told["prompt_cache_breakpoint"] = mark
        self._losses(part, ("type", "text", "image_url", "file", "prompt_cache_breakpoint"), "content[].")
        return told

    def _losses(self, item: Json, known: tuple[str, ...], inside: str = "") -> None:
        for name in item:
            if name in known or not item[name] or name in self._told:
                continue
            if name == "cache_control" and self._breakpoints:
                continue
            self._told.add(name)
            self._exchange.lost(f"messages[].{inside}{name}", "the Responses API has no place for it")


def _said(message: Json) -> list[Json]:
    """The text and the refusal of an assistant's message as output parts."""
    content = message.get("content")
    parts: list[Json] = []
    if isinstance(content, str):
        if content:
            parts = [output_text(content, objects(message.get("annotations")))]
    else:
        for part in objects(content):
            if part.get("type") == "refusal":
                parts.append({"type": "refusal", "refusal": string(part.get("refusal"))})
            else:
                parts.append(output_text(string(part.get("text")), []))
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    return parts


def output_text(text: str, annotations: list[Json]) -> dict[str, Any]:
    """A part of an assistant's message, with its citations as Responses has them: flat."""
    flat = [{"type": "url_citation", **mapping(each.get("url_citation"))} for each in annotations]
    return {"type": "output_text", "text": text, "annotations": flat}


# ------------------------------------------------------------------ Responses to chat


def messages_of(given: Any, exchange: Exchange) -> list[Json]:
    """The chat messages for a request's `input`. Raises InvalidRequest for what lives on OpenAI's servers."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    found: list[Json] = []
    current: dict[str, Any] | None = None
    """The assistant's message that is being put together."""
    extras: dict[str, Any] = {}
    """What other vendors said about calls, by their ids, and has not found its call."""
    for position, item in enumerate(objects(given)):
        kind = string(item.get("type")) or "message"
        place = f"input[{position}]"
        hidden = found_in(string(item.get("encrypted_content"))) if kind == "reasoning" else None
        if hidden is not None:
            extras.update(hidden)
        elif kind in ("reasoning", "function_call", "custom_tool_call") or item.get("role") == "assistant":
            if current is None or _begins_anew(kind, current):
                current = {"role": "assistant", "content": None}
                found.append(current)
            _add(current, kind, item, place, exchange)
            give_back(current.get("tool_calls", ()), extras)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            current = None
            content = _content(item.get("output"), place, exchange)
            found.append({"role": "tool", "tool_call_id": item.get("call_id"), "content": content})
        elif kind == "message":
            current = None
            content = _content(item.get("content"), place, exchange)
            found.append({"role": item.get("role", "user"), "content": content})
        elif kind in _STATE:
            raise exchange.impossible(place, "it refers to what OpenAI has stored; send the item itself")
        else:
            exchange.lost(place, f"an item of type {kind!r} can only go to OpenAI")
    return found


def _begins_anew(kind: str, current: dict[str, Any]) -> bool:
    """Whether an item cannot belong to the message before it."""
    if kind == "message":
        return (bool(current["content"]) or "refusal" in current) and "tool_calls" not in current
    return kind == "reasoning" and bool(current["content"]) and "tool_calls" not in current


def _add(current: dict[str, Any], kind: str, item: Json, place: str, exchange: Exchange) -> None:
    if kind == "reasoning":
        block = thinking_block(item)
        current.setdefault("thinking_blocks", []).append(block)
        if block.get("thinking"):
            current["reasoning_content"] = current.get("reasoning_content", "") + block["thinking"]
    elif kind == "message":
        content = item.get("content")
        text = content if isinstance(content, str) else ""
        for part in objects(content):
            if part.get("type") == "refusal":
                current["refusal"] = string(part.get("refusal"))
            elif part.get("type") in ("output_text", "input_text", "text"):
                text += string(part.get("text"))
            else:
                exchange.lost(f"{place}.content", f"a part of type {part.get('type')!r} in the assistant's words")
        current["content"] = (current["content"] or "") + text
        if item.get("phase"):
            current["phase"] = item["phase"]
    else:
        current.setdefault("tool_calls", []).append(tool_call(item))


def tool_call(item: Json) -> dict[str, Any]:
    """A call as chat tells it; its id is the `call_id`."""
    custom = item.get("type") == "custom_tool_call"
    name = string(item.get("name"))
    call: dict[str, Any] = {"id": string(item.get("call_id")), "type": "custom" if custom else "function"}
    if custom:
        call["custom"] = {"name": name, "input": string(item.get("input"))}
    else:
        call["function"] = {"name": name, "arguments": string(item.get("arguments")) or "{}"}
    return call


def thinking_block(item: Json) -> dict[str, Any]:
    """A reasoning item as a thinking block; its id and its secret travel in the signature."""
    secret = string(item.get("encrypted_content"))
    vendor, own = whose(secret, "openai")
    if vendor == "redacted":
        return {"type": "redacted_thinking", "data": own}
    if vendor == "openai":
        signature = marked("openai", f"{string(item.get('id'))}:{own}")
    else:
        signature = own if vendor == "anthropic" else marked(vendor, own)
    return {"type": "thinking", "thinking": reasoning_text(item), "signature": signature}


def reasoning_text(item: Json) -> str:
    """What a reasoning item lets be read: its summary, else the thoughts themselves."""
    parts = objects(item.get("summary")) or objects(item.get("content"))
    return "\n\n".join(string(part.get("text")) for part in parts)


def _content(content: Any, place: str, exchange: Exchange) -> Any:
    if not isinstance(content, list):
        return string(content)
    given = objects(listing(content))
    parts = [_chat_part(part, f"{place}.content[{index}]", exchange) for index, part in enumerate(given)]
    alone = len(parts) == 1 and set(parts[0]) == {"type", "text"}
    return joined_text(parts) if alone else parts


def _chat_part(part: Json, place: str, exchange: Exchange) -> Json:
    kind = string(part.get("type"))
    told: dict[str, Any]
    if kind in ("input_text", "output_text", "text"):
        told = {"type": "text", "text": string(part.get("text"))}
    elif kind == "input_image" and part.get("image_url"):
        told = {"type": "image_url", "image_url": {"url": part["image_url"]}}
        if part.get("detail"):
            told["image_url"]["detail"] = part["detail"]
    elif kind == "input_file" and not part.get("file_id"):
        names = ("file_data", "file_url", "filename")
        told = {"type": "file", "file": {name: part[name] for name in names if part.get(name)}}
    elif kind == "input_audio":
        told = {"type": "input_audio", "input_audio": mapping(part.get("input_audio"))}
    elif part.get("file_id"):
        raise exchange.impossible(f"{place}.file_id", "the file is stored at OpenAI; send its data or its URL")
    else:
        raise exchange.impossible(place, f"a part of type {kind!r} can only go to OpenAI")
    if part.get("prompt_cache_breakpoint"):
        told["prompt_cache_breakpoint"] = part["prompt_cache_breakpoint"]
    return told
