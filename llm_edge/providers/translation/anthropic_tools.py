"""A chat's tools as Anthropic's, and which of them may be, or must be, called."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..capabilities import Capabilities
from ..cargo import mapping, objects, string
from .anthropic_parts import EXTRA, cache_mark, listed
from .anthropic_schema import object_schema, strict_schema
from .anthropic_turns import fit_name
from .core import Exchange

_WEB_SEARCH = "web_search_20250305"
_READ = frozenset(("type", "function", "cache_control", "prompt_cache_breakpoint", EXTRA))


def set_tools(body: dict[str, Any], chat: Json, exchange: Exchange, capabilities: Capabilities) -> None:
    """Writes `tools` and `tool_choice`."""
    given = listed(chat.get("tools"), "tools", exchange)
    tools = [_tool(tool, f"tools[{index}]", exchange) for index, tool in enumerate(given)]
    choice: dict[str, Any] | None = _choice(chat, exchange)
    allowed = _allowed(chat, exchange)
    if allowed is not None:
        tools = [tool for tool in tools if tool["name"] in allowed]
    search = chat.get("web_search_options")
    if search is not None:
        tools.append(_web_search(mapping(search), mapping(chat.get(EXTRA)), exchange))
    if not tools:
        tools = _tools_called(body["messages"])
        if tools:
            # Without a tool described, a history of calls is refused; with the choice of none, none is called.
            choice = {"type": "none"}
            exchange.changed("tools", "are missing though the messages hold tool calls; their names were described")
        elif choice is not None and choice["type"] in ("any", "tool"):
            raise exchange.impossible("tool_choice", "it demands a tool call, but there are no tools")
        else:
            return
    if choice is not None and choice["type"] in ("any", "tool") and not capabilities.forced_tools:
        raise exchange.impossible(
            "tool_choice", f'{exchange.model} cannot be made to call a tool; use "auto", or another model'
        )
    if chat.get("parallel_tool_calls") is False:
        choice = choice or {"type": "auto"}
        if choice["type"] != "none":
            choice["disable_parallel_tool_use"] = True
    body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice


def _tool(tool: Json, place: str, exchange: Exchange) -> Json:
    if tool.get("type", "function") != "function":
        raise exchange.impossible(
            place, f"Anthropic has no tools of type {tool.get('type')!r}; describe it as a function"
        )
    function = mapping(tool.get("function"))
    schema = object_schema(function.get("parameters"))
    made: dict[str, Any] = {"name": fit_name(string(function.get("name")), exchange)}
    if function.get("description") is not None:
        made["description"] = function["description"]
    if function.get("strict"):
        schema, taken = strict_schema(schema)
        if taken:
            exchange.changed(f"{place}.function.parameters", f"say in words: {', '.join(taken)}")
        made["strict"] = True
    made["input_schema"] = schema
    mark = cache_mark(tool) or cache_mark(function)
    if mark is not None:
        made["cache_control"] = mark
    if len(tool) > 2:
        made.update(mapping(tool.get(EXTRA)))
        for name in tool.keys() - _READ:
            exchange.lost(f"{place}.{name}", "Anthropic has nothing like it")
    return made


def _choice(chat: Json, exchange: Exchange) -> dict[str, Any] | None:
    value = chat.get("tool_choice")
    if value is None:
        return None
    if isinstance(value, str):
        kind = {"auto": "auto", "required": "any", "none": "none"}.get(value)
        if kind is None:
            raise exchange.impossible("tool_choice", f"{value!r} is not known; use auto, none, required or a function")
        return {"type": kind}
    given = mapping(value)
    if given.get("type") == "allowed_tools":
        mode = mapping(given.get("allowed_tools")).get("mode")
        return {"type": "any" if mode == "required" else "auto"}
    name = string(mapping(given.get("function")).get("name"))
    if not name:
        raise exchange.impossible("tool_choice", "only a function can be named there")
    return {"type": "tool", "name": fit_name(name, exchange)}


def _allowed(chat: Json, exchange: Exchange) -> frozenset[str] | None:
    given = mapping(chat.get("tool_choice"))
    if given.get("type") != "allowed_tools":
        return None
    tools = objects(mapping(given.get("allowed_tools")).get("tools"))
    return frozenset(fit_name(string(mapping(tool.get("function")).get("name")), exchange) for tool in tools)


def _web_search(options: Json, extra: Json, exchange: Exchange) -> Json:
    made: dict[str, Any] = {"type": _WEB_SEARCH, "name": "web_search"}
    where = mapping(options.get("user_location"))
    if where:
        made["user_location"] = {"type": "approximate", **(mapping(where.get("approximate")) or where)}
    for name in options.keys() - {"user_location"}:
        exchange.lost(f"web_search_options.{name}", "Anthropic's web search has nothing like it")
    return {**made, **mapping(extra.get("web_search"))}


def _tools_called(turns: list[Json]) -> list[Json]:
    names = {block["name"]: None for turn in turns for block in turn["content"] if block.get("type") == "tool_use"}
    return [{"name": name, "input_schema": object_schema(None)} for name in names]
