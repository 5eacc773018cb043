"""A request from Anthropic's SDK in the chat form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ...message import Json
from ..cargo import mapping, objects, string
from .anthropic_parts import EXTRA, listed, part, parts, simplest
from .anthropic_request import CARRIED
from .anthropic_thinking import effort_behind
from .anthropic_told import told_in_chat
from .core import Exchange

_Set: TypeAlias = Callable[[dict[str, Any], str, Any, Exchange], None]


def request_to_chat(body: Json, exchange: Exchange) -> Json:
    """
    The chat request behind it.

    Raises InvalidRequest for Anthropic's own tools, which nobody else has, and in mode `reject` for unknown fields.
    """
    chat: dict[str, Any] = {"model": body.get("model"), "messages": _messages(body, exchange)}
    for name, value in body.items():
        if value is not None and name not in _ELSEWHERE:
            _SETTERS.get(name, _unknown)(chat, name, value, exchange)
    _thinking(chat, body)
    exchange.chat = chat
    return chat


# ------------------------------------------------------------------ messages


def _messages(body: Json, exchange: Exchange) -> list[Json]:
    messages: list[Json] = []
    system = body.get("system")
    if isinstance(system, str):
        if system:
            messages.append({"role": "system", "content": system})
    else:
        messages += [_system(block) for block in listed(system, "system", exchange)]
    for index, message in enumerate(listed(body.get("messages"), "messages", exchange)):
        role, content = message.get("role"), message.get("content")
        if not isinstance(content, str):
            content = listed(content, f"messages[{index}].content", exchange)
        if role == "assistant":
            messages.append(_assistant(content))
        elif role == "user":
            messages += _user(content, f"messages[{index}]", exchange)
        elif role == "system":
            blocks = [{"type": "text", "text": content}] if isinstance(content, str) else objects(content)
            messages += [_system(block) for block in blocks]
        else:
            raise exchange.impossible(f"messages[{index}].role", f"{role!r} is not known here")
    return messages


def _system(block: Json) -> Json:
    made = part(block)
    return {"role": "system", "content": made["text"] if len(made) == 2 else [made]}


def _user(content: Any, place: str, exchange: Exchange) -> list[Json]:
    """Tool results each a message of their own, then what the user said."""
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    messages: list[Json] = []
    said: list[Json] = []
    for index, block in enumerate(objects(content)):
        _sendable(block, f"{place}.content[{index}]", exchange)
        if block.get("type") == "tool_result":
            messages.append(_result(block))
        else:
            said.append(part(block))
    if said or not messages:
        messages.append({"role": "user", "content": simplest(said)})
    return messages


def _sendable(block: Json, place: str, exchange: Exchange) -> None:
    """Raises InvalidRequest for a file that only Anthropic has: without it the answer would be about nothing."""
    if mapping(block.get("source")).get("type") == "file":
        raise exchange.impossible(f"{place}.source.file_id", "the file lies with Anthropic; send its data or its URL")
    for index, inner in enumerate(objects(block.get("content"))):
        _sendable(inner, f"{place}.content[{index}]", exchange)


_RESULT_READ = frozenset(("type", "tool_use_id", "content", "is_error", "cache_control"))


def _result(block: Json) -> Json:
    """Its pictures stay with it: a chat server that takes text alone is helped by its own half."""
    content = parts(block.get("content") or "")
    made: dict[str, Any] = {"role": "tool", "tool_call_id": string(block.get("tool_use_id")), "content": content}
    if block.get("is_error"):
        made["is_error"] = True
    if block.get("cache_control"):
        made["cache_control"] = block["cache_control"]
    rest = {name: value for name, value in block.items() if name not in _RESULT_READ and value is not None}
    if rest:
        made[EXTRA] = rest
    return made


def _assistant(content: Any) -> Json:
    if isinstance(content, str):
        return {"role": "assistant", "content": content}
    blocks = objects(content)
    message: dict[str, Any] = {"role": "assistant", "content": None, **told_in_chat(blocks)}
    kept = message.get(EXTRA)
    if not kept:
        said = [part(block) for block in blocks if block.get("type") == "text"]
        message["content"] = simplest(said) if said else None
    return message


# ------------------------------------------------------------------ settings, one by one


def _as(field: str) -> _Set:
    def put(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
        chat[field] = value

    return put


def _stream(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    chat["stream"] = value
    if value:
        chat["stream_options"] = {"include_usage": True}  # Anthropic's streams always tell


def _metadata(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    for field, inner in mapping(value).items():
        if field == "user_id":
            if inner is not None:
                chat["user"] = inner
        else:
            exchange.lost(f"metadata.{field}", "only `user_id` is known there")


def _service_tier(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    chat["service_tier"] = "default" if value == "standard_only" else value


def _output_config(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    for field, inner in mapping(value).items():
        if inner is None or field == "effort":
            continue
        if field == "format" and mapping(inner).get("type") == "json_schema":
            schema = mapping(inner).get("schema")
            chat["response_format"] = {
                "type": "json_schema",
                "json_schema": {"name": "answer", "schema": schema, "strict": True},
            }
        else:
            exchange.lost(f"output_config.{field}", "chat requests have nothing like it")


def _tools(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    tools: list[Json] = []
    for index, tool in enumerate(listed(value, "tools", exchange)):
        kind = string(tool.get("type")) or "custom"
        if kind == "custom":
            tools.append(_tool(tool))
        elif kind.startswith("web_search_"):
            where = mapping(tool.get("user_location"))
            chat["web_search_options"] = (
                {"user_location": {"type": "approximate", "approximate": _without(where, "type")}} if where else {}
            )
            chat.setdefault(EXTRA, {})["web_search"] = _without(tool, "user_location")
        else:
            raise exchange.impossible(f"tools[{index}]", f"only Anthropic has {kind!r}; describe a tool of your own")
    if tools:
        chat["tools"] = tools


_TOOL_READ = frozenset(("name", "description", "input_schema", "strict", "cache_control"))


def _tool(tool: Json) -> Json:
    function: dict[str, Any] = {"name": tool.get("name")}
    if tool.get("description") is not None:
        function["description"] = tool["description"]
    function["parameters"] = tool.get("input_schema")
    if tool.get("strict") is not None:
        function["strict"] = tool["strict"]
    made: dict[str, Any] = {"type": "function", "function": function}
    if tool.get("cache_control"):
        made["cache_control"] = tool["cache_control"]
    rest = {name: value for name, value in tool.items() if name not in _TOOL_READ and value is not None}
    if rest:
        made[EXTRA] = rest
    return made


def _tool_choice(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    choice = mapping(value)
    kind = choice.get("type")
    if kind == "tool":
        chat["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
    else:
        told = {"auto": "auto", "any": "required", "none": "none"}.get(string(kind))
        if told is None:
            raise exchange.impossible("tool_choice", f"{kind!r} is not known; use auto, any, tool or none")
        chat["tool_choice"] = told
    if choice.get("disable_parallel_tool_use"):
        chat["parallel_tool_calls"] = False


def _carry(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    chat.setdefault(EXTRA, {})[name] = value


def _unknown(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    exchange.lost(name, "it has no place in a chat request")


def _thinking(chat: dict[str, Any], body: Json) -> None:
    """OpenAI's one word for it, and Anthropic's own words beside it."""
    thinking, effort = mapping(body.get("thinking")), mapping(body.get("output_config")).get("effort")
    if not thinking and not effort:
        return
    kind = thinking.get("type")
    if kind in ("disabled", "between_tools"):
        word = "none"
    elif effort:
        word = effort
    elif isinstance(thinking.get("budget_tokens"), int):
        word = effort_behind(thinking["budget_tokens"])
    else:
        word = "high"  # what adaptive thinking is when nothing is said
    chat["reasoning_effort"] = word
    extra = chat.setdefault(EXTRA, {})
    if thinking:
        extra["thinking"] = thinking
    if effort:
        extra["effort"] = effort


def _without(item: Json, name: str) -> Json:
    return {key: value for key, value in item.items() if key != name and value is not None}


_SETTERS: dict[str, _Set] = {
    "max_tokens": _as("max_completion_tokens"),
    "temperature": _as("temperature"),
    "top_p": _as("top_p"),
    "top_k": _as("top_k"),
    "stop_sequences": _as("stop"),
    "cache_control": _as("cache_control"),
    "stream": _stream,
    "metadata": _metadata,
    "service_tier": _service_tier,
    "output_config": _output_config,
    "tools": _tools,
    "tool_choice": _tool_choice,
    **dict.fromkeys(CARRIED, _carry),
}
_ELSEWHERE = frozenset(("model", "messages", "system", "thinking"))
