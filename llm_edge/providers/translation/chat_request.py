"""
The chat form as a request to a server that speaks chat: OpenAI's own, or one that is compatible.

OpenAI refuses what it does not know, so it is sent its own fields and no others. Compatible servers
have fields of their own, so those pass; what only other dialects have a use for is left out for both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ...message import Json
from ..cargo import listing, mapping, objects, string
from .chat_messages import Messages
from .core import Exchange
from .openai_models import OWN, SAMPLING, closest_effort, reasons

_FIELDS = frozenset(
    # a list of words reads better than a column of strings
    """
    audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens max_tokens messages
    metadata modalities model moderation n parallel_tool_calls prediction presence_penalty prompt_cache_key
    prompt_cache_options prompt_cache_retention reasoning_effort response_format safety_identifier seed service_tier
    stop store stream stream_options temperature tool_choice tools top_logprobs top_p user verbosity
    web_search_options
    """.split()  # noqa: SIM905
)
_FOREIGN = frozenset({"anthropic", "gemini", "bedrock", "responses"})
"""Where other dialects keep what the chat form has no field for."""
_STOPS = 4
_ODD = re.compile(r"[^A-Za-z0-9_-]")


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """The request as the server of this exchange takes it. Raises InvalidRequest for what it cannot be told."""
    own = exchange.provider in OWN
    request: dict[str, Any] = {}
    for name, value in chat.items():
        if name in _FIELDS or (not own and name not in _FOREIGN):
            request[name] = value
        elif name in _FOREIGN:
            exchange.foreign(name, value)
        elif value is not None:
            exchange.lost(name, "OpenAI has no such field")
    if exchange.model:
        request["model"] = exchange.model
    request["messages"] = Messages(exchange, own=own).all(objects(chat.get("messages")))
    if request.get("tools"):
        request["tools"] = [_tool(tool, exchange) for tool in objects(request["tools"])]
    choice = mapping(request.get("tool_choice"))
    if choice:
        request["tool_choice"] = _choice(choice, exchange)
        if not own and choice.get("type") == "allowed_tools":
            _only_allowed(request)
    _stop(request, exchange, own)
    if own:
        _limit(request)
        _reasoning(request, exchange)
        _tier(request)
    return request


def told_name(name: str, exchange: Exchange) -> str:
    """A tool's name as OpenAI takes it: letters, digits, `_` and `-`, 64 at most."""
    plain = name if len(name) <= 64 and not _ODD.search(name) else _ODD.sub("_", name)[:64]
    taken = exchange.names
    told, number = plain or "tool", 2
    while taken.get(told, name) != name:
        told = f"{plain[:60]}_{number}"
        number += 1
    taken[told] = name
    return told


def _tool(tool: Json, exchange: Exchange) -> Json:
    kind = "custom" if tool.get("type") == "custom" else "function"
    body = mapping(tool.get(kind))
    name = string(body.get("name"))
    told = told_name(name, exchange)
    tell_tool_losses(tool, exchange)
    if told == name and tool.keys() <= {"type", kind} and "cache_control" not in body:
        return tool
    return {"type": kind, kind: {**{key: body[key] for key in body if key != "cache_control"}, "name": told}}


def tell_tool_losses(tool: Json, exchange: Exchange) -> None:
    """Tells what a tool has besides its name and form: marks for a cache, and other dialects' settings."""
    for name in sorted({*tool, *mapping(tool.get("function"))} & {"cache_control", *_FOREIGN}):
        exchange.lost(f"tools[].{name}", "a tool has no such field at OpenAI")


def _choice(choice: Json, exchange: Exchange) -> Json:
    kind = string(choice.get("type")) or "function"
    if kind == "allowed_tools":
        allowed = mapping(choice.get("allowed_tools"))
        tools = [_choice(tool, exchange) for tool in objects(allowed.get("tools"))]
        return {"type": kind, kind: {**allowed, "tools": tools}}
    body = mapping(choice.get(kind))
    return {"type": kind, kind: {**body, "name": told_name(string(body.get("name")), exchange)}} if body else choice


def _only_allowed(request: dict[str, Any]) -> None:
    """Only OpenAI knows a choice among some of the tools; others are shown no more than those."""
    allowed = mapping(request["tool_choice"].get("allowed_tools"))
    names = {_name_of(tool) for tool in objects(allowed.get("tools"))}
    request["tools"] = [tool for tool in objects(request.get("tools")) if _name_of(tool) in names]
    request["tool_choice"] = allowed.get("mode") or "auto"


def _name_of(tool: Json) -> str:
    return string(mapping(tool.get("custom" if tool.get("type") == "custom" else "function")).get("name"))


def _stop(request: dict[str, Any], exchange: Exchange, own: bool) -> None:
    stop = request.get("stop")
    if stop is None or isinstance(stop, str):
        if stop == "":
            del request["stop"]
        return
    words = [word for word in listing(stop) if isinstance(word, str) and word]
    if own and len(words) > _STOPS:
        raise exchange.impossible("stop", f"OpenAI takes {_STOPS} stop sequences, not {len(words)}; send fewer")
    request["stop"] = words
    if not words:
        del request["stop"]


def _limit(request: dict[str, Any]) -> None:
    """Reasoning models refuse the old name; the new one is known to all."""
    limit = request.pop("max_tokens", None)
    if limit is not None:
        request.setdefault("max_completion_tokens", limit)


def _reasoning(request: dict[str, Any], exchange: Exchange) -> None:
    model, effort = exchange.model or string(request.get("model")), request.get("reasoning_effort")
    if isinstance(effort, str):
        told = closest_effort(model, effort, chat=True)
        if told is None:
            exchange.lost("reasoning_effort", f"{model} does not reason at will")
            del request["reasoning_effort"]
        elif told != effort:
            exchange.changed("reasoning_effort", f"became {told!r}: {model} has no {effort!r}")
            request["reasoning_effort"] = told
    if not reasons(model, string(request.get("reasoning_effort"))):
        return
    for name in SAMPLING:
        value = request.get(name)
        if value is None:
            continue
        if name == "logprobs" and value:
            raise exchange.impossible(name, f"{model} gives none while it reasons; leave it out, or ask another model")
        if not _plain(name, value):
            exchange.lost(name, f"{model} does not take it while it reasons")
        del request[name]


def _plain(name: str, value: Any) -> bool:
    """Whether the field says what happens without it."""
    default: Mapping[str, Any] = {"temperature": 1, "top_p": 1, "logprobs": False}
    return bool(value == default.get(name, 0)) or value in ({}, [])


def _tier(request: dict[str, Any]) -> None:
    options = mapping(request.get("prompt_cache_options"))
    if options.get("ttl") not in (None, "30m"):
        request["prompt_cache_options"] = {**options, "ttl": "30m"}  # chat knows no other
