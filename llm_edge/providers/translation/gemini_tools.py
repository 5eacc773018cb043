"""A chat's tools as Google's, and which of them may be, or must be, called."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..capabilities import Capabilities
from ..cargo import mapping, objects, string
from .anthropic_parts import listed
from .core import Exchange
from .gemini_parts import EXTRA
from .gemini_schema import empty, json_schema, old_schema
from .gemini_turns import fit_name

_READ = frozenset({"type", "function", "cache_control", "prompt_cache_breakpoint", EXTRA})
_FUNCTION_READ = frozenset({"name", "description", "parameters", "strict", "cache_control"})
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}


def set_tools(body: dict[str, Any], chat: Json, exchange: Exchange, capabilities: Capabilities) -> None:
    """Writes `tools` and `toolConfig`."""
    tools = listed(chat.get("tools"), "tools", exchange)
    if chat.get("functions") or (chat.get("function_call") and not tools):
        raise exchange.impossible("functions", "they are long deprecated; send tools")
    functions = [_function(tool, f"tools[{index}]", exchange, capabilities) for index, tool in enumerate(tools)]
    choice = _choice(chat.get("tool_choice"), exchange)
    allowed = choice.get("allowedFunctionNames")
    if allowed and choice["mode"] == "AUTO":
        # Names can be allowed only where calls are checked; who cannot check is not told of the others.
        if capabilities.signed_calls:
            choice = {**choice, "mode": "VALIDATED"}
        else:
            functions = [function for function in functions if function["name"] in allowed]
            choice = {"mode": "AUTO"}
    elif choice.get("mode", "AUTO") == "AUTO" and capabilities.signed_calls and tools and all(map(_strict, tools)):
        choice = {"mode": "VALIDATED"}
    if choice.get("mode", "AUTO") == "AUTO" and any(map(_strict, tools)):
        exchange.changed("tools[].function.strict", "is not checked there while the model may choose")
    found: list[Json] = [{"functionDeclarations": functions}] if functions else []
    if chat.get("web_search_options") is not None:
        found.append({"googleSearch": {}})
        for name in mapping(chat["web_search_options"]):
            exchange.lost(f"web_search_options.{name}", "Google's search decides that itself")
    if found:
        body["tools"] = found
    if functions and choice:
        body["toolConfig"] = {"functionCallingConfig": choice}
    elif choice.get("mode") == "ANY":
        raise exchange.impossible("tool_choice", "it demands a tool call, but there are no tools")
    if functions and chat.get("parallel_tool_calls") is False:
        exchange.lost("parallel_tool_calls", "Google's models call as many at once as they like")


def _strict(tool: Json) -> bool:
    return bool(mapping(tool.get("function")).get("strict"))


def _function(tool: Json, place: str, exchange: Exchange, capabilities: Capabilities) -> dict[str, Any]:
    if tool.get("type", "function") != "function":
        raise exchange.impossible(place, f"Google has no tools of type {tool.get('type')!r}; describe it as a function")
    function = mapping(tool.get("function"))
    made: dict[str, Any] = {"name": fit_name(string(function.get("name")), exchange)}
    if function.get("description") is not None:
        made["description"] = function["description"]
    schema = mapping(function.get("parameters"))
    if schema and not empty(schema):
        if capabilities.old_schemas:
            gone: dict[str, None] = {}
            made["parameters"] = old_schema(schema, gone)
            if gone:
                exchange.changed(f"{place}.function.parameters", f"went without {', '.join(gone)}, unknown there")
        else:
            made["parametersJsonSchema"] = json_schema(schema, {})
    if tool.get("cache_control") or function.get("cache_control"):
        exchange.lost(f"{place}.cache_control", "Google caches prompts by itself, or by a cachedContent made before")
    for name in tool.keys() - _READ:
        exchange.lost(f"{place}.{name}", "Google's functions have nothing like it")
    for name in function.keys() - _FUNCTION_READ:
        exchange.lost(f"{place}.function.{name}", "Google's functions have nothing like it")
    made.update(mapping(tool.get(EXTRA)))
    return made


def _choice(value: Any, exchange: Exchange) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):
        if value not in _MODES:
            raise exchange.impossible("tool_choice", f"{value!r} is not known; use auto, none, required or a function")
        return {"mode": _MODES[value]}
    given = mapping(value)
    if given.get("type") == "allowed_tools":
        inside = mapping(given.get("allowed_tools"))
        names = [string(mapping(tool.get("function")).get("name")) for tool in objects(inside.get("tools"))]
        mode = "ANY" if inside.get("mode") == "required" else "AUTO"
    else:
        names, mode = [string(mapping(given.get("function")).get("name"))], "ANY"
    if not names or not all(names):
        raise exchange.impossible("tool_choice", "only functions can be named there")
    return {"mode": mode, "allowedFunctionNames": [fit_name(name, exchange) for name in names]}
