"""What an assistant said, in blocks, as the fields of a chat message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ... import exact
from ...message import Json
from ..cargo import mapping, objects, string
from .anthropic_parts import EXTRA
from .core import Exchange
from .hidden import found, give_back

_NO_NAMES: Mapping[str, str] = {}


def told_in_chat(blocks: Sequence[Json], names: Mapping[str, str] = _NO_NAMES) -> dict[str, Any]:
    """
    An assistant message's fields: content, thinking, tool calls.

    Blocks that chat has nothing like, or in an order it cannot tell, ride along whole.
    """
    message: dict[str, Any] = {}
    text: list[str] = []
    thinking: list[Json] = []
    calls: list[dict[str, Any]] = []
    extras: dict[str, Any] = {}
    plain, stage = True, 0
    for block in blocks:
        kind = block.get("type")
        if kind == "text":
            text.append(string(block.get("text")))
            now = 1
            plain = plain and not any(string(c.get("type")) not in _WEB for c in objects(block.get("citations")))
        elif kind == "tool_use":
            calls.append(_call(block, names))
            now = 2
        elif kind in ("thinking", "redacted_thinking"):
            now = 0
            hidden = found(string(block.get("data")))
            if hidden is not None:
                extras.update(hidden)
                continue
            thinking.append(block)
        else:
            plain, now = False, stage
        plain = plain and now >= stage
        stage = now
    if text:
        message["content"] = "".join(text)
    if thinking:
        message["reasoning_content"] = "".join(string(block.get("thinking")) for block in thinking)
        message["thinking_blocks"] = thinking
    if calls:
        message["tool_calls"] = calls
        give_back(calls, extras)
    if not plain:
        message[EXTRA] = {"content": blocks}
    return message


_WEB = frozenset(("web_search_result_location",))
_CALL_READ = frozenset(("type", "id", "name", "input", "cache_control"))


def _call(block: Json, names: Mapping[str, str]) -> dict[str, Any]:
    name = string(block.get("name"))
    call: dict[str, Any] = {
        "id": string(block.get("id")),
        "type": "function",
        "function": {"name": names.get(name, name), "arguments": exact.write(mapping(block.get("input"))).decode()},
    }
    if len(block) > 4:
        if block.get("cache_control"):
            call["cache_control"] = block["cache_control"]
        rest = {name: value for name, value in block.items() if name not in _CALL_READ and value is not None}
        if rest and rest != {"caller": {"type": "direct"}}:
            call[EXTRA] = rest
    return call


def tool_input(arguments: Any, place: str, exchange: Exchange) -> Json:
    """A call's arguments as the object Anthropic has."""
    if not arguments:
        return {}
    try:
        value = exact.read(arguments.encode())
    except (ValueError, AttributeError):
        value = arguments
    if isinstance(value, dict):
        return mapping(value)
    if value is None:
        return {}
    exchange.changed(place, "has arguments that are no JSON object; they went as the field `arguments` of one")
    return {"arguments": value}
