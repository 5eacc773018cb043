"""A Responses request from the chat form, and the chat form of one."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..cargo import mapping, objects, string
from ..openai import joined_text
from .core import Exchange
from .openai_models import SAMPLING, can_reason, closest_effort, reasons
from .responses_items import Items, messages_of
from .responses_tools import flat_choice, flat_tools, nested_tools, response_format, text_of

_SAME = (
    "metadata",
    "moderation",
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "temperature",
    "top_logprobs",
    "top_p",
    "user",
)
"""Fields both have under one name."""
_ELSEWHERE = frozenset(
    {
        *_SAME,
        *("logprobs", "max_completion_tokens", "max_tokens", "messages", "modalities", "model", "n", "store"),
        *("reasoning_effort", "response_format", "stream", "stream_options", "tool_choice", "tools", "verbosity"),
        "web_search_options",
    }
)
_FOREIGN = frozenset({"anthropic", "gemini", "bedrock", "responses"})
_SECRET = "reasoning.encrypted_content"  # noqa: S105  (a field's name)
_LOGPROBS = "message.output_text.logprobs"


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """The request for the Responses API, which keeps nothing of it unless the caller says `store`."""
    if (chat.get("n") or 1) != 1:
        raise exchange.impossible("n", "the Responses API gives one answer; ask several times")
    if {*(chat.get("modalities") or ())} - {"text"}:
        raise exchange.impossible("modalities", "the Responses API neither speaks nor paints; ask for text")
    request: dict[str, Any] = {name: chat[name] for name in _SAME if chat.get(name) is not None}
    request["model"] = exchange.model or chat.get("model")
    request.update(_input(objects(chat.get("messages")), exchange))
    request["store"] = chat.get("store") is True
    if chat.get("stream") is not None:
        request["stream"] = chat["stream"]
    options = mapping(chat.get("stream_options"))
    if "include_obfuscation" in options:
        request["stream_options"] = {"include_obfuscation": options["include_obfuscation"]}
    limit = chat.get("max_completion_tokens") or chat.get("max_tokens")
    if limit is not None:
        request["max_output_tokens"] = limit
    tools = flat_tools(chat, exchange)
    if tools:
        request["tools"] = tools
    if chat.get("tool_choice") is not None:
        request["tool_choice"] = flat_choice(chat["tool_choice"], exchange)
    text = text_of(chat)
    if text:
        request["text"] = text
    _reasoning(request, chat, exchange)
    for name in chat:
        if name in _FOREIGN:
            exchange.foreign(name, chat[name])
        elif name not in _ELSEWHERE and chat[name] is not None:
            exchange.lost(name, "the Responses API has no such field")
    return request


def _input(messages: list[Json], exchange: Exchange) -> dict[str, Any]:
    """The items; a first system message of plain text becomes the instructions, unless it is all there is."""
    first: Json = messages[0] if messages else {}
    plain = first.get("role") == "system" and isinstance(first.get("content"), str)
    if not plain or first.get("cache_control") or len(messages) == 1:
        return {"input": Items(exchange).all(messages)}
    return {"instructions": first["content"], "input": Items(exchange).all(messages[1:])}


def _reasoning(request: dict[str, Any], chat: Json, exchange: Exchange) -> None:
    model, effort = string(request["model"]), chat.get("reasoning_effort")
    told = closest_effort(model, effort, chat=False) if isinstance(effort, str) else None
    if isinstance(effort, str):
        if told is None:
            exchange.lost("reasoning_effort", f"{model} does not reason at will")
        else:
            if told != effort:
                exchange.changed("reasoning_effort", f"became {told!r}: {model} has no {effort!r}")
            request["reasoning"] = {"effort": told}
            if told != "none":
                request["reasoning"]["summary"] = "auto"
    include = [_LOGPROBS] if chat.get("logprobs") else []
    if can_reason(model) and not request["store"]:
        include.append(_SECRET)  # or the thinking could not be shown again
    if reasons(model, told or ""):
        if chat.get("logprobs"):
            raise exchange.impossible("logprobs", f"{model} gives none while it reasons; leave it out")
        for name in SAMPLING:
            if request.get(name) is not None:
                if name not in ("temperature", "top_p") or request[name] != 1:
                    exchange.lost(name, f"{model} does not take it while it reasons")
                del request[name]
    if include:
        request["include"] = include


# ------------------------------------------------------------------ Responses to chat

_STATEFUL = {
    "previous_response_id": "it refers to what OpenAI has stored; send the whole conversation",
    "conversation": "it refers to what OpenAI has stored; send the whole conversation",
    "prompt": "the prompt is stored at OpenAI; send its text",
}
_READ = frozenset(
    {
        *_SAME,
        *("background", "include", "input", "instructions", "max_output_tokens", "model", "reasoning", "store"),
        *("stream", "stream_options", "text", "tool_choice", "tools", "truncation"),
    }
)


def request_to_chat(request: Json, exchange: Exchange) -> Json:
    """The request in the chat form. Raises InvalidRequest for what only OpenAI's own servers can do."""
    for name, why in _STATEFUL.items():
        if request.get(name):
            raise exchange.impossible(name, why)
    if request.get("background"):
        raise exchange.impossible("background", "only OpenAI answers later; leave it out")
    messages = messages_of(request.get("input"), exchange)
    instructions = request.get("instructions")
    if instructions:
        text = instructions if isinstance(instructions, str) else joined_text(instructions)
        messages.insert(0, {"role": "system", "content": text})
    chat: dict[str, Any] = {"model": request.get("model"), "messages": messages}
    chat.update((name, request[name]) for name in _SAME if request.get(name) is not None)
    chat.update(nested_tools(request, exchange))
    if request.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = request["max_output_tokens"]
    if request.get("store"):
        chat["store"] = True
    if request.get("stream"):
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}  # the last event of Responses always tells it
    settings = mapping(request.get("text"))
    form = response_format(settings)
    if form is not None:
        chat["response_format"] = form
    if settings.get("verbosity"):
        chat["verbosity"] = settings["verbosity"]
    _asked(request, chat, exchange)
    return chat


def _thinking(reasoning: Json, chat: dict[str, Any], exchange: Exchange) -> None:
    if reasoning.get("effort"):
        chat["reasoning_effort"] = reasoning["effort"]
    for name, usual in (("mode", "standard"), ("context", "auto"), ("generate_summary", "auto")):
        if reasoning.get(name) not in (None, usual):
            exchange.lost(f"reasoning.{name}", "chat has no such field")
    if reasoning.get("summary") not in (None, "auto"):
        exchange.changed("reasoning.summary", "is as long as the provider makes it")


def _asked(request: Json, chat: dict[str, Any], exchange: Exchange) -> None:
    """Extras, and what has no place in chat."""
    _thinking(mapping(request.get("reasoning")), chat, exchange)
    include = request.get("include") or ()
    for name in include:
        if name == _LOGPROBS:
            chat["logprobs"] = True
        elif name != _SECRET:
            exchange.lost("include", f"{name!r} is told by OpenAI alone")
    if chat.get("top_logprobs"):
        chat["logprobs"] = True
    elif "top_logprobs" in chat:
        del chat["top_logprobs"]
    if request.get("truncation") == "auto":
        exchange.lost("truncation", "nobody else shortens a conversation by itself")
    for name in request:
        if name not in _READ and name not in _STATEFUL and request[name] is not None:
            exchange.lost(name, "chat has no such field")
