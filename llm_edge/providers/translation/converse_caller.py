"""A request in Converse's words in the chat form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from ... import exact
from ...message import Json
from ..bedrock_models import vendor
from ..cargo import mapping, objects, parse, string
from .anthropic_parts import listed, simplest
from .anthropic_thinking import effort_behind
from .converse_parts import EXTRA, part
from .converse_request import CARRIED
from .converse_told import told_in_chat
from .core import Exchange

_Set: TypeAlias = Callable[[dict[str, Any], str, Any, Exchange], None]


def request_to_chat(body: Json, exchange: Exchange) -> Json:
    """
    The chat request behind it; its model stands in the address, so the exchange has it.

    Raises InvalidRequest for what is none of Converse's, and in mode `reject` for unknown fields.
    """
    chat: dict[str, Any] = {"model": exchange.model, "messages": _messages(body, exchange)}
    if exchange.streaming:
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}  # Bedrock's streams always tell
    for name, value in body.items():
        if value is not None and name not in _ELSEWHERE:
            _SETTERS.get(name, _unknown)(chat, name, value, exchange)
    exchange.chat = chat
    return chat


# ------------------------------------------------------------------ messages


def _messages(body: Json, exchange: Exchange) -> list[Json]:
    messages: list[Json] = []
    system = _parts(listed(body.get("system"), "system", exchange))
    if system:
        messages.append({"role": "system", "content": simplest(system)})
    for index, message in enumerate(listed(body.get("messages"), "messages", exchange)):
        role = message.get("role")
        blocks = listed(message.get("content"), f"messages[{index}].content", exchange)
        if role == "assistant":
            messages.append(_assistant(blocks, exchange))
        elif role == "user":
            messages += _user(blocks)
        elif role == "system":
            messages.append({"role": "system", "content": simplest(_parts(blocks))})
        else:
            raise exchange.impossible(f"messages[{index}].role", f"{role!r} is not known here")
    return messages


def _parts(blocks: list[Json]) -> list[Json]:
    """The parts for these blocks; a cache point marks the one before it."""
    found: list[Json] = []
    for block in blocks:
        if "cachePoint" not in block:
            found.append(part(block))
        elif found:
            found[-1] = {**found[-1], "cache_control": _mark(block)}
    return found


def _mark(block: Json) -> Json:
    ttl = mapping(block["cachePoint"]).get("ttl")
    return {"type": "ephemeral", "ttl": ttl} if ttl else {"type": "ephemeral"}


def _user(blocks: list[Json]) -> list[Json]:
    """Tool results each a message of their own, then what the user said."""
    results: list[dict[str, Any]] = []
    said: list[Json] = []
    for block in blocks:
        if "toolResult" in block:
            results.append(_result(mapping(block["toolResult"])))
        elif "cachePoint" in block and results and not said:
            results[-1]["cache_control"] = _mark(block)
        else:
            said.append(block)
    parts = _parts(said)
    return [*results, {"role": "user", "content": simplest(parts)}] if parts or not results else [*results]


def _result(result: Json) -> dict[str, Any]:
    told = [_as_text(block) if "json" in block else part(block) for block in objects(result.get("content"))]
    made: dict[str, Any] = {
        "role": "tool",
        "tool_call_id": string(result.get("toolUseId")),
        "content": simplest(told) if told else "",
    }
    if result.get("status") == "error":
        made["is_error"] = True
    return made


def _as_text(block: Json) -> Json:
    return {"type": "text", "text": exact.write(block["json"]).decode()}


def _assistant(blocks: list[Json], exchange: Exchange) -> Json:
    points = [block for block in blocks if "cachePoint" in block]
    blocks = [block for block in blocks if "cachePoint" not in block]
    message = {"role": "assistant", **told_in_chat(blocks, exchange, vendor(exchange.model) or "anthropic")}
    if points:
        message["cache_control"] = _mark(points[-1])
    return message


# ------------------------------------------------------------------ settings, one by one


def _inference(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    names = {
        "maxTokens": "max_completion_tokens",
        "temperature": "temperature",
        "topP": "top_p",
        "stopSequences": "stop",
    }
    for field, inner in mapping(value).items():
        if field in names:
            if inner is not None and inner != []:
                chat[names[field]] = inner
        else:
            exchange.lost(f"{name}.{field}", "it is none of Converse's settings")


def _tool_config(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    tools: list[Json] = []
    for tool in listed(mapping(value).get("tools"), "toolConfig.tools", exchange):
        if "cachePoint" in tool:
            if tools:
                tools[-1] = {**tools[-1], "cache_control": _mark(tool)}
            continue
        spec = mapping(tool.get("toolSpec"))
        if not spec:
            raise exchange.impossible("toolConfig.tools", "only tools with a toolSpec can be told to others")
        function: dict[str, Any] = {"name": spec.get("name")}
        function.update((key, spec[key]) for key in ("description", "strict") if spec.get(key) is not None)
        function["parameters"] = mapping(spec.get("inputSchema")).get("json")
        tools.append({"type": "function", "function": function})
    if tools:
        chat["tools"] = tools
    choice = mapping(mapping(value).get("toolChoice"))
    if "tool" in choice:
        chat["tool_choice"] = {"type": "function", "function": {"name": mapping(choice["tool"]).get("name")}}
    elif choice:
        chat["tool_choice"] = "required" if "any" in choice else "auto"


def _output(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    for field, inner in mapping(value).items():
        given = mapping(mapping(mapping(inner).get("structure")).get("jsonSchema"))
        schema = parse(string(given.get("schema")).encode())
        if field == "effort":
            chat["reasoning_effort"] = inner
        elif field == "textFormat" and isinstance(schema, dict):
            told = {key: given[key] for key in ("description",) if given.get(key)}
            named = {"name": given.get("name") or "answer", **told, "schema": mapping(schema), "strict": True}
            chat["response_format"] = {"type": "json_schema", "json_schema": named}
        else:
            raise exchange.impossible(f"{name}.{field}", "only a JSON schema, written as a string, is known there")


def _model_fields(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    """The model's own fields: those that chat has a word for, and the rest as it is."""
    rest: dict[str, Any] = {}
    for field, inner in mapping(value).items():
        if field in ("top_k", "reasoning_effort"):
            chat[field] = inner
        elif field == "reasoning" and string(mapping(inner).get("effort")):
            chat["reasoning_effort"] = inner["effort"]
        elif field == "thinking":
            budget = mapping(inner).get("budget_tokens")
            off = mapping(inner).get("type") == "disabled"
            told = "none" if off else effort_behind(budget) if isinstance(budget, int) else "high"
            chat.setdefault("reasoning_effort", told)
            chat.setdefault("anthropic", {})["thinking"] = inner
        elif field == "output_config" and string(mapping(inner).get("effort")):
            chat["reasoning_effort"] = inner["effort"]
            chat.setdefault("anthropic", {})["effort"] = inner["effort"]
        elif field == "tool_choice" and mapping(inner).get("disable_parallel_tool_use"):
            chat["parallel_tool_calls"] = False
        else:
            rest[field] = inner
    if rest:
        chat.setdefault(EXTRA, {})[name] = rest


def _service_tier(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    chat["service_tier"] = mapping(value).get("type")


def _as_metadata(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    chat["metadata"] = value


def _carry(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    if value not in ({}, []):
        chat.setdefault(EXTRA, {})[name] = value


def _unknown(chat: dict[str, Any], name: str, value: Any, exchange: Exchange) -> None:
    exchange.lost(name, "it is none of Converse's fields")


_SETTERS: Final[dict[str, _Set]] = {
    **dict.fromkeys(CARRIED, _carry),
    "inferenceConfig": _inference,
    "toolConfig": _tool_config,
    "outputConfig": _output,
    "additionalModelRequestFields": _model_fields,
    "serviceTier": _service_tier,
    "requestMetadata": _as_metadata,
}
_ELSEWHERE: Final = frozenset(("messages", "system", "modelId"))
