"""Cache points as Bedrock takes them."""

from __future__ import annotations

from typing import Any

from ..cargo import mapping
from .core import Exchange

_POINTS = 4


def limit_points(body: dict[str, Any], exchange: Exchange) -> None:
    """Bedrock takes four points, and none for an hour behind one for five minutes."""
    held = _all_lists(body)
    points = [block for blocks in held for block in blocks if "cachePoint" in block]
    if not points:
        return
    surplus = {id(point) for point in points[:-_POINTS]}
    if surplus:
        for blocks in held:
            blocks[:] = [block for block in blocks if id(block) not in surplus]
        exchange.changed("cache_control", f"kept its last {_POINTS} marks: Bedrock takes no more")
    short = False
    for point in points[-_POINTS:]:
        if mapping(point["cachePoint"]).get("ttl") != "1h":
            short = True
        elif short:
            del point["cachePoint"]["ttl"]
            exchange.changed(
                "cache_control", "holds a mark for an hour behind one for five minutes; it went as one of those"
            )


def _all_lists(body: dict[str, Any]) -> list[list[Any]]:
    """Every list in which a point may stand, in the order Bedrock reads them."""
    tools: list[Any] = body.get("toolConfig", {}).get("tools", [])
    return [tools, body.get("system", []), *(turn["content"] for turn in body["messages"])]
