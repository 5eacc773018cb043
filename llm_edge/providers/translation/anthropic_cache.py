"""Prompt-cache marks as Anthropic takes them."""

from __future__ import annotations

from typing import Any

from ..cargo import mapping
from .core import Exchange

_MARKS = 4


def limit_marks(body: dict[str, Any], exchange: Exchange) -> None:
    """Anthropic takes four marks, and none for an hour behind one for five minutes."""
    marked = [
        (blocks, index)
        for blocks in _all_blocks(body)
        for index, block in enumerate(blocks)
        if isinstance(block, dict) and "cache_control" in block
    ]
    if not marked:
        return
    room = _MARKS - ("cache_control" in body)
    for blocks, index in marked[: max(len(marked) - room, 0)]:
        blocks[index] = {name: value for name, value in blocks[index].items() if name != "cache_control"}
    if len(marked) > room:
        exchange.changed("cache_control", f"kept its last {room} marks: Anthropic takes {_MARKS}")
    short = False
    for blocks, index in marked[-room:]:
        mark = mapping(blocks[index]["cache_control"])
        if mark.get("ttl") != "1h":
            short = True
        elif short:
            blocks[index] = {**blocks[index], "cache_control": {**mark, "ttl": "5m"}}
            exchange.changed(
                "cache_control", "holds a mark for an hour behind one for five minutes; it went as one of those"
            )


def _all_blocks(body: dict[str, Any]) -> list[list[Any]]:
    """Every list of blocks in which a mark may stand, in the order Anthropic reads them."""
    found = [body.get("tools", []), body.get("system", [])]
    for turn in body["messages"]:
        found.extend(block["content"] for block in turn["content"] if isinstance(block.get("content"), list))
        found.append(turn["content"])
    return found
