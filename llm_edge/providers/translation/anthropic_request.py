"""A chat request as Anthropic's Messages API takes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from ...message import Json
from ..capabilities import Capabilities, of
from ..cargo import mapping, string
from .anthropic_cache import limit_marks
from .anthropic_parts import EXTRA, stop_sequences
from .anthropic_schema import described, strict_schema
from .anthropic_thinking import set_thinking, settle_with_tools
from .anthropic_tools import set_tools
from .anthropic_turns import Turns
from .core import Exchange
from .turns import in_turns


@dataclass(slots=True)
class _Draft:
    """The request as far as it is written."""

    body: dict[str, Any]
    exchange: Exchange
    capabilities: Capabilities


_Set: TypeAlias = Callable[[_Draft, str, Any], None]

_FALLBACK_MAX_TOKENS = 32000
_PERSONAL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+|\+?[\d\s().-]{7,}")
_JSON_ONLY = "Answer with one JSON object and nothing else."


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """
    The request for Anthropic.

    Raises InvalidRequest for what it has no way to do, and in mode `reject` for what it would leave out.
    """
    model = exchange.model = exchange.model or string(chat.get("model"))
    capabilities = of(exchange.provider, model)
    body: dict[str, Any] = {"model": model, "max_tokens": _max_tokens(chat, exchange, capabilities)}
    draft = _Draft(body, exchange, capabilities)
    _messages(draft, chat)
    for name, value in chat.items():
        if value is not None and name not in _ELSEWHERE:
            _SETTERS.get(name, _lost)(draft, name, value)
    set_tools(body, chat, exchange, capabilities)
    set_thinking(body, chat, exchange, capabilities)
    settle_with_tools(body, exchange)
    if body.get("thinking", _OFF)["type"] != "disabled":
        _sample_as_thinking_allows(draft)
    for name, value in mapping(chat.get(EXTRA)).items():
        if name in CARRIED:
            body[name] = value
        elif name not in _PRIVATE:
            exchange.lost(f"{EXTRA}.{name}", "it is not one of the fields that ride along")
    limit_marks(body, exchange)
    return body


# ------------------------------------------------------------------ messages


def _messages(draft: _Draft, chat: Json) -> None:
    turns = Turns(draft.exchange, draft.capabilities)
    system, draft.body["messages"] = in_turns(chat, draft.exchange, turns, continues=draft.capabilities.prefill)
    if system:
        draft.body["system"] = system


def _max_tokens(chat: Json, exchange: Exchange, capabilities: Capabilities) -> int:
    name = "max_completion_tokens" if chat.get("max_completion_tokens") is not None else "max_tokens"
    asked = chat.get(name)
    most = capabilities.max_output
    if asked is None:
        return most or _FALLBACK_MAX_TOKENS
    if type(asked) is not int or asked < 0:
        raise exchange.impossible(name, f"{asked!r} is not a number of tokens")
    if most is not None and capabilities.known and asked > most:
        exchange.changed(name, f"went as {most}, the most {exchange.model} writes")
        return most
    return asked


# ------------------------------------------------------------------ settings, one by one


def _temperature(draft: _Draft, name: str, value: Any) -> None:
    if isinstance(value, int | float) and value > 1 and draft.capabilities.sampling == "yes":
        draft.exchange.changed(name, f"went as 1 instead of {value}: Anthropic's ends there")
        value = 1
    _sampling(draft, name, value)


def _sampling(draft: _Draft, name: str, value: Any) -> None:
    if draft.capabilities.sampling == "yes":
        draft.body[name] = value
    elif value != 1 or name == "top_k":
        draft.exchange.lost(name, f"{draft.exchange.model} takes none")


def _sample_as_thinking_allows(draft: _Draft) -> None:
    body = draft.body
    for name, fine in (
        ("temperature", body.get("temperature", 1) == 1),
        ("top_k", "top_k" not in body),
        ("top_p", body.get("top_p", 1) >= 0.95),
    ):
        if not fine:
            draft.exchange.lost(name, "Anthropic does not take it while the model thinks")
            del body[name]


def _stop(draft: _Draft, name: str, value: Any) -> None:
    kept = stop_sequences(name, value, draft.exchange, "Anthropic")
    if kept:
        draft.body["stop_sequences"] = kept


def _user(draft: _Draft, name: str, value: Any) -> None:
    if _PERSONAL.fullmatch(string(value)):
        draft.exchange.lost(name, "it looks like an e-mail address or a telephone number, which Anthropic refuses")
    else:
        if draft.body.setdefault("metadata", {"user_id": value})["user_id"] != value:
            draft.exchange.lost(name, "Anthropic takes one name of the user, and there is another")


def _service_tier(draft: _Draft, name: str, value: Any) -> None:
    told = {"auto": "auto", "default": "standard_only"}.get(string(value))
    if told is None:
        draft.exchange.lost(name, f"Anthropic has none called {value!r}")
    else:
        draft.body[name] = told


def _response_format(draft: _Draft, name: str, value: Any) -> None:
    kind = mapping(value).get("type")
    body, exchange = draft.body, draft.exchange
    if kind == "json_object":
        body["system"] = [*body.get("system", ()), {"type": "text", "text": _JSON_ONLY}]
        exchange.changed(name, "went as a sentence in the system prompt: Anthropic has no plain JSON mode")
    elif kind == "json_schema":
        if not draft.capabilities.json_schema:
            raise exchange.impossible(name, f"{exchange.model} cannot be held to a schema; use a model that can")
        schema, taken = strict_schema(described(mapping(value.get("json_schema"))))
        if taken:
            exchange.changed(name, f"says in words what Anthropic's schemas cannot: {', '.join(taken)}")
        body.setdefault("output_config", {})["format"] = {"type": "json_schema", "schema": schema}
    elif kind != "text":
        raise exchange.impossible(name, f"{kind!r} is not known; use text, json_object or json_schema")


def _as_it_is(draft: _Draft, name: str, value: Any) -> None:
    draft.body[name] = value


def _lost(draft: _Draft, name: str, value: Any) -> None:
    if name in _OTHERS:
        draft.exchange.foreign(name, value)
        return
    if value not in _HARMLESS.get(name, ()):
        draft.exchange.lost(name, "Anthropic has nothing like it")


def _impossible(draft: _Draft, name: str, value: Any) -> None:
    if value not in _HARMLESS.get(name, ()):
        raise draft.exchange.impossible(name, _IMPOSSIBLE[name])


_SETTERS: dict[str, _Set] = {
    "temperature": _temperature,
    "top_p": _sampling,
    "top_k": _sampling,
    "stop": _stop,
    "stream": _as_it_is,
    "cache_control": _as_it_is,
    "user": _user,
    "safety_identifier": _user,
    "service_tier": _service_tier,
    "response_format": _response_format,
}
_IMPOSSIBLE = {
    "n": "Anthropic gives one answer a call; ask several times",
    "logprobs": "Anthropic tells no probabilities; leave it out, or use another provider",
    "modalities": "Anthropic answers in text alone",
    "audio": "Anthropic answers in text alone",
    "functions": "they are long deprecated; send `tools`",
    "function_call": "it is long deprecated; send `tool_choice`",
}
_SETTERS.update(dict.fromkeys(_IMPOSSIBLE, _impossible))
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "logprobs": (False,),
    "modalities": (["text"],),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "metadata": ({},),
    "store": (False,),
    "functions": ([],),
}
_OTHERS = frozenset(("gemini", "bedrock", "responses"))
_ELSEWHERE = frozenset(
    (
        "model",
        "messages",
        "max_tokens",
        "max_completion_tokens",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "web_search_options",
        "reasoning_effort",
        "thinking",
        EXTRA,
    )
)
CARRIED = frozenset(
    ("container", "diagnostics", "inference_geo", "speed", "user_profile_id", "mcp_servers", "context_management")
)
"""Anthropic's own fields that ride through the chat form as they are."""
_PRIVATE = frozenset(("thinking", "effort", "web_search"))
_OFF: Json = {"type": "disabled"}
