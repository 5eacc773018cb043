"""A caller's chat request in the chat form: as it is, but for the old `functions`, which become tools."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..cargo import listing, mapping, objects, string
from .core import Exchange

_OLD = ("functions", "function_call")


def request_to_chat(request: Json, exchange: Exchange) -> Json:
    """The request itself, or one in which `functions`, `function_call` and the role `function` are tools."""
    messages = objects(request.get("messages"))
    asked = not request.keys().isdisjoint(_OLD)
    if not asked and not any(message.get("role") == "function" or message.get("function_call") for message in messages):
        return request
    exchange.functions = asked
    unified = {name: value for name, value in request.items() if name not in _OLD}
    if listing(request.get("functions")):
        unified["tools"] = [{"type": "function", "function": each} for each in objects(request["functions"])]
        unified["parallel_tool_calls"] = False  # there was one call at a time in those days
    choice = request.get("function_call")
    if isinstance(choice, str):
        unified["tool_choice"] = choice
    elif mapping(choice):
        unified["tool_choice"] = {"type": "function", "function": choice}
    unified["messages"] = _with_tools(messages)
    return unified


def _with_tools(messages: list[Json]) -> list[Json]:
    found: list[Json] = []
    last = ""
    for position, message in enumerate(messages):
        call = message.get("function_call")
        if call and not message.get("tool_calls"):
            last = f"call_{position}"
            kept = _without(message, "function_call")
            found.append({**kept, "tool_calls": [{"id": last, "type": "function", "function": call}]})
        elif message.get("role") == "function":
            content = string(message.get("content"))
            found.append({"role": "tool", "tool_call_id": last or f"call_{position}", "content": content})
        else:
            found.append(message)
    return found


def _without(message: Json, name: str) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != name}
