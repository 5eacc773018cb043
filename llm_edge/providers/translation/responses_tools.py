"""Tools, and how they and the answer's form are asked for: Responses has them flat, chat has them nested."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..cargo import mapping, objects, string
from .chat_request import tell_tool_losses, told_name
from .core import Exchange

_SEARCH = frozenset({"web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"})
_FUNCTION = ("name", "description", "parameters", "strict")


# ------------------------------------------------------------------ chat to Responses


def flat_tools(chat: Json, exchange: Exchange) -> list[Json]:
    """The tools of a chat request, web search too."""
    found = [_flat(tool, exchange) for tool in objects(chat.get("tools"))]
    search = chat.get("web_search_options")
    if search is not None:
        found.append(_search(mapping(search)))
    return found


def _flat(tool: Json, exchange: Exchange) -> Json:
    tell_tool_losses(tool, exchange)
    if tool.get("type") == "custom":
        custom = {key: value for key, value in mapping(tool.get("custom")).items() if key != "cache_control"}
        form = mapping(custom.get("format"))
        if form.get("type") == "grammar":
            custom["format"] = {"type": "grammar", **mapping(form.get("grammar"))}
        return {"type": "custom", **custom, "name": told_name(string(custom.get("name")), exchange)}
    function = mapping(tool.get("function"))
    return {
        "type": "function",
        "name": told_name(string(function.get("name")), exchange),
        "description": function.get("description"),
        "parameters": function.get("parameters") or {"type": "object", "properties": {}},
        "strict": function.get("strict") is True,  # unsaid, the server would be strict
    }


def _search(options: Json) -> Json:
    tool: dict[str, Any] = {"type": "web_search"}
    if options.get("search_context_size"):
        tool["search_context_size"] = options["search_context_size"]
    place = mapping(options.get("user_location"))
    if place:
        tool["user_location"] = {"type": "approximate", **mapping(place.get("approximate"))}
    return tool


def flat_choice(choice: Any, exchange: Exchange) -> Any:
    """`tool_choice` for Responses."""
    if not mapping(choice):
        return choice
    kind = string(choice.get("type"))
    if kind == "allowed_tools":
        allowed = mapping(choice.get("allowed_tools"))
        tools = [flat_choice(tool, exchange) for tool in objects(allowed.get("tools"))]
        return {"type": kind, "mode": allowed.get("mode", "auto"), "tools": tools}
    return {"type": kind, "name": told_name(string(mapping(choice.get(kind)).get("name")), exchange)}


def text_of(chat: Json) -> Json:
    """The `text` settings: the form of the answer, and how much it says."""
    text: dict[str, Any] = {}
    form = mapping(chat.get("response_format"))
    if form:
        text["format"] = {"type": form.get("type"), **mapping(form.get("json_schema"))}
    if chat.get("verbosity"):
        text["verbosity"] = chat["verbosity"]
    return text


# ------------------------------------------------------------------ Responses to chat


def nested_tools(request: Json, exchange: Exchange) -> dict[str, Any]:
    """The chat fields for a request's tools. Raises InvalidRequest for tools that only OpenAI runs."""
    found: dict[str, Any] = {}
    tools: list[Json] = []
    for position, tool in enumerate(objects(request.get("tools"))):
        kind = string(tool.get("type"))
        if kind == "function":
            function = {name: tool[name] for name in _FUNCTION if tool.get(name) is not None}
            tools.append({"type": "function", "function": function})
            _losses(tool, {"type", *_FUNCTION}, position, exchange)
        elif kind == "custom":
            tools.append({"type": "custom", "custom": _custom(tool)})
            _losses(tool, {"type", "name", "description", "format"}, position, exchange)
        elif kind in _SEARCH:
            found["web_search_options"] = _options(tool)
            _losses(tool, {"type", "search_context_size", "user_location"}, position, exchange)
        else:
            why = f"a tool of type {kind!r} runs at OpenAI alone; leave it out"
            raise exchange.impossible(f"tools[{position}]", why)
    if tools:
        found["tools"] = tools
    choice = request.get("tool_choice")
    if choice is not None and (tools or choice == "none"):
        found["tool_choice"] = _nested(choice, exchange)
    return found


def _losses(tool: Json, known: set[str], position: int, exchange: Exchange) -> None:
    for name in tool:
        if name not in known and tool[name]:
            exchange.lost(f"tools[{position}].{name}", "chat has no such field")


def _custom(tool: Json) -> Json:
    custom = {name: tool[name] for name in ("name", "description", "format") if tool.get(name) is not None}
    form = mapping(custom.get("format"))
    if form.get("type") == "grammar":
        grammar = {name: form[name] for name in form if name != "type"}
        custom["format"] = {"type": "grammar", "grammar": grammar}
    return custom


def _options(tool: Json) -> Json:
    options: dict[str, Any] = {}
    if tool.get("search_context_size"):
        options["search_context_size"] = tool["search_context_size"]
    place = mapping(tool.get("user_location"))
    if place:
        approximate = {name: place[name] for name in place if name != "type" and place[name] is not None}
        options["user_location"] = {"type": "approximate", "approximate": approximate}
    return options


def _nested(choice: Any, exchange: Exchange) -> Any:
    if not mapping(choice):
        return choice
    kind = string(choice.get("type"))
    if kind == "allowed_tools":
        tools = [_nested(tool, exchange) for tool in objects(choice.get("tools"))]
        return {"type": kind, "allowed_tools": {"mode": choice.get("mode", "auto"), "tools": tools}}
    if kind not in ("function", "custom"):
        raise exchange.impossible("tool_choice", f"a tool of type {kind!r} runs at OpenAI alone")
    return {"type": kind, kind: {"name": choice.get("name")}}


def response_format(text: Json) -> Json | None:
    """`response_format` for the `text` settings; None for plain text."""
    form = mapping(text.get("format"))
    if form.get("type") == "json_schema":
        return {"type": "json_schema", "json_schema": {name: form[name] for name in form if name != "type"}}
    return {"type": "json_object"} if form.get("type") == "json_object" else None
