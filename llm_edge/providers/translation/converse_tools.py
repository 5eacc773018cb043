"""A chat's tools as Converse's, and which of them may be, or must be, called."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..bedrock_models import Family
from ..capabilities import Capabilities
from ..cargo import mapping, objects, string
from .anthropic_parts import cache_mark, listed
from .anthropic_schema import object_schema, strict_schema
from .converse_parts import EXTRA, Content
from .converse_turns import fit_name
from .core import Exchange

_NO_CHOICE: Json = {}
_READ = frozenset(("type", "function", "cache_control", "prompt_cache_breakpoint", EXTRA))


class Tools:
    """Writes `toolConfig` down, and what goes with it among the model's own fields."""

    def __init__(self, exchange: Exchange, capabilities: Capabilities, family: Family) -> None:
        self._exchange, self._capabilities, self._family = exchange, capabilities, family
        self._content = Content(exchange, family)

    def write(self, body: dict[str, Any], own: dict[str, Any], chat: Json) -> None:
        """Into the request's body, and into the model's own fields."""
        exchange = self._exchange
        given = listed(chat.get("tools"), "tools", exchange)
        tools = [made for index, tool in enumerate(given) for made in self._tool(tool, f"tools[{index}]")]
        choice, named = self._choice(chat)
        if named is not None:
            tools = [tool for tool in tools if mapping(tool.get("toolSpec")).get("name", "") in named]
        called = _tools_called(body["messages"])
        if choice == {"none": {}}:
            tools, choice = [], _NO_CHOICE
            if called:
                exchange.changed("tool_choice", "of none does not bind: Bedrock cannot be told")
        if not tools and called:
            # With tool calls in the history Bedrock refuses a request without any tool.
            tools = [{"toolSpec": {"name": name, "inputSchema": {"json": object_schema(None)}}} for name in called]
            exchange.changed("tools", "hold only the names of those in the history: Bedrock wants them described")
        if not tools:
            if choice and "auto" not in choice:
                raise exchange.impossible("tool_choice", "it demands a tool call, but there are no tools")
            return
        self._demand(choice)
        body["toolConfig"] = {"tools": tools, **({"toolChoice": choice} if choice else {})}
        if chat.get("parallel_tool_calls") is False:
            self._one_at_a_time(own, choice)

    def _tool(self, tool: Json, place: str) -> list[Json]:
        own = mapping(tool.get(EXTRA))
        if own:
            return [own]
        if tool.get("type", "function") != "function":
            raise self._exchange.impossible(
                place, f"Bedrock has no tools of type {tool.get('type')!r}; describe it as a function"
            )
        function = mapping(tool.get("function"))
        schema = object_schema(function.get("parameters"))
        made: dict[str, Any] = {"name": fit_name(string(function.get("name")), self._exchange)}
        if string(function.get("description")).strip():
            made["description"] = function["description"]
        if function.get("strict"):
            schema, taken = strict_schema(schema)
            if taken:
                self._exchange.changed(f"{place}.function.parameters", f"say in words: {', '.join(taken)}")
            made["strict"] = True
        made["inputSchema"] = {"json": schema}
        for name in tool.keys() - _READ:
            self._exchange.lost(f"{place}.{name}", "Bedrock has nothing like it")
        marked = tool if cache_mark(tool) is not None else function
        return self._content.marked(marked, [{"toolSpec": made}])

    def _choice(self, chat: Json) -> tuple[Json, frozenset[str] | None]:
        """Converse's choice, empty where it has none to make; and the only tools that count, if any are named."""
        value, exchange = chat.get("tool_choice"), self._exchange
        if value is None:
            return {}, None
        if isinstance(value, str):
            kind = {"auto": "auto", "required": "any", "none": "none"}.get(value)
            if kind is None:
                raise exchange.impossible(
                    "tool_choice", f"{value!r} is not known; use auto, none, required or a function"
                )
            return {kind: {}}, None
        given = mapping(value)
        if given.get("type") == "allowed_tools":
            allowed = mapping(given.get("allowed_tools"))
            names = (string(mapping(tool.get("function")).get("name")) for tool in objects(allowed.get("tools")))
            named = frozenset(fit_name(name, exchange) for name in names)
            return {"any" if allowed.get("mode") == "required" else "auto": {}}, named
        name = string(mapping(given.get("function")).get("name"))
        if not name:
            raise exchange.impossible("tool_choice", "only a function can be named there")
        return {"tool": {"name": fit_name(name, exchange)}}, None

    def _demand(self, choice: Json) -> None:
        kind = next(iter(choice), "auto")
        if kind == "auto" or (self._capabilities.forced_tools and kind in self._family.demands):
            return
        raise self._exchange.impossible(
            "tool_choice", f'{self._exchange.model} cannot be made to call a tool; use "auto", or another model'
        )

    def _one_at_a_time(self, own: dict[str, Any], choice: Json) -> None:
        if self._family.vendor != "anthropic":
            self._exchange.lost("parallel_tool_calls", f"{self._exchange.model} cannot be told on Bedrock")
            return
        kind = {} if choice else {"type": "auto"}
        own["tool_choice"] = {**kind, "disable_parallel_tool_use": True}


def _tools_called(turns: list[Json]) -> list[str]:
    names = {block["toolUse"]["name"]: None for turn in turns for block in turn["content"] if "toolUse" in block}
    return list(names)
