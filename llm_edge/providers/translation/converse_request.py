"""A chat request as Bedrock's Converse takes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from ... import exact
from ...message import Json
from ..bedrock_models import Family, family
from ..capabilities import Capabilities, of
from ..cargo import mapping, string
from .anthropic_parts import stop_sequences
from .anthropic_schema import strict_schema
from .converse_cache import limit_points
from .converse_parts import EXTRA
from .converse_thinking import set_reasoning
from .converse_tools import Tools
from .converse_turns import Turns
from .core import Exchange
from .turns import in_turns

_JSON_ONLY: Final = "Answer with one JSON object and nothing else."
_METADATA: Final = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,\-.]{0,256}")


@dataclass(slots=True)
class _Draft:
    """The request as far as it is written."""

    body: dict[str, Any]
    exchange: Exchange
    capabilities: Capabilities
    family: Family
    inference: dict[str, Any] = field(default_factory=dict[str, Any])
    own: dict[str, Any] = field(default_factory=dict[str, Any])
    """The model's own fields."""


_Set: TypeAlias = Callable[[_Draft, str, Any], None]


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """
    The request for Bedrock; the model and whether it streams stand in the address.

    Raises InvalidRequest for what it has no way to do, and in mode `reject` for what it would leave out.
    """
    model = exchange.model = exchange.model or string(chat.get("model"))
    draft = _Draft({}, exchange, of("bedrock", model), family(model))
    _messages(draft, chat)
    for name, value in chat.items():
        if value is not None and name not in _ELSEWHERE:
            _SETTERS.get(name, _lost)(draft, name, value)
    body, own = draft.body, draft.own
    if draft.inference:
        body["inferenceConfig"] = draft.inference
    Tools(exchange, draft.capabilities, draft.family).write(body, own, chat)
    set_reasoning(body, own, chat, exchange, draft.capabilities, draft.family)
    _carried(draft, chat)
    if own:
        body["additionalModelRequestFields"] = own
    limit_points(body, exchange)
    return body


def _messages(draft: _Draft, chat: Json) -> None:
    turns = Turns(draft.exchange, draft.capabilities, draft.family)
    continues = draft.capabilities.prefill and draft.family.assistant_first
    system, draft.body["messages"] = in_turns(chat, draft.exchange, turns, continues=continues)
    if system:
        draft.body["system"] = system


def _carried(draft: _Draft, chat: Json) -> None:
    for name in mapping(chat.get("anthropic")).keys() - _PRIVATE:
        draft.exchange.lost(f"anthropic.{name}", "it is Anthropic's own, and Converse has nothing like it")
    for name, value in mapping(chat.get(EXTRA)).items():
        if name in CARRIED:
            _own_field(draft, name, value)
        elif name != "content":
            draft.exchange.lost(f"{EXTRA}.{name}", "it is not one of the fields that ride along")


# ------------------------------------------------------------------ settings, one by one


def _max_tokens(draft: _Draft, name: str, value: Any) -> None:
    if type(value) is not int or value < 1:
        raise draft.exchange.impossible(name, f"{value!r} is not a number of tokens")
    most = draft.capabilities.max_output
    if most is not None and draft.capabilities.known and value > most:
        draft.exchange.changed(name, f"went as {most}, the most {draft.exchange.model} writes")
        value = most
    draft.inference["maxTokens"] = value


def _temperature(draft: _Draft, name: str, value: Any) -> None:
    if isinstance(value, int | float) and value > 1 and draft.capabilities.sampling == "yes":
        draft.exchange.changed(name, f"went as 1 instead of {value}: Bedrock's ends there")
        value = 1
    _sampling(draft, name, value)


def _sampling(draft: _Draft, name: str, value: Any) -> None:
    if draft.capabilities.sampling == "yes":
        draft.inference["topP" if name == "top_p" else name] = value
    elif value != 1:
        draft.exchange.lost(name, f"{draft.exchange.model} takes none")


def _foreign(draft: _Draft, name: str, value: Any) -> None:
    draft.exchange.foreign(name, value)


def _top_k(draft: _Draft, name: str, value: Any) -> None:
    if draft.family.vendor == "amazon":
        draft.own.setdefault("inferenceConfig", {})["topK"] = value
    elif draft.family.vendor == "anthropic" and draft.capabilities.sampling == "yes":
        draft.own["top_k"] = value
    else:
        draft.exchange.lost(name, f"{draft.exchange.model} is not known to take it on Bedrock")


def _stop(draft: _Draft, name: str, value: Any) -> None:
    kept = stop_sequences(name, value, draft.exchange, "Bedrock")
    if kept:
        draft.inference["stopSequences"] = kept


def _service_tier(draft: _Draft, name: str, value: Any) -> None:
    told = {"auto": "default", "default": "default", "priority": "priority", "flex": "flex", "reserved": "reserved"}
    if value in told:
        draft.body["serviceTier"] = {"type": told[value]}
    else:
        draft.exchange.lost(name, f"Bedrock has none called {value!r}")


def _metadata(draft: _Draft, name: str, value: Any) -> None:
    kept: dict[str, str] = {}
    for key, text in mapping(value).items():
        if isinstance(text, str) and key and _METADATA.fullmatch(key) and _METADATA.fullmatch(text) and len(kept) < 16:
            kept[key] = text
        else:
            draft.exchange.lost(f"{name}.{key}", "Bedrock takes 16 plain strings of up to 256 characters")
    if kept:
        draft.body["requestMetadata"] = kept


def _response_format(draft: _Draft, name: str, value: Any) -> None:
    kind = mapping(value).get("type")
    body, exchange = draft.body, draft.exchange
    if kind == "json_object":
        body["system"] = [*body.get("system", ()), {"text": _JSON_ONLY}]
        exchange.changed(name, "went as a sentence in the system prompt: Bedrock has no plain JSON mode")
    elif kind == "json_schema":
        if not draft.capabilities.json_schema:
            raise exchange.impossible(name, f"{exchange.model} cannot be held to a schema; use a model that can")
        asked = mapping(value.get("json_schema"))
        schema, taken = strict_schema(mapping(asked.get("schema")))
        if taken:
            exchange.changed(name, f"says in words what Bedrock's schemas cannot: {', '.join(taken)}")
        told = {key: asked[key] for key in ("name", "description") if string(asked.get(key))}
        inner = {"jsonSchema": {**told, "schema": exact.write(schema).decode()}}
        body["outputConfig"] = {"textFormat": {"type": "json_schema", "structure": inner}}
    elif kind != "text":
        raise exchange.impossible(name, f"{kind!r} is not known; use text, json_object or json_schema")


def _own_field(draft: _Draft, name: str, value: Any) -> None:
    if name == "additionalModelRequestFields":
        draft.own.update(mapping(value))
    elif isinstance(value, dict) and isinstance(draft.body.get(name), dict):
        draft.body[name] = {**draft.body[name], **mapping(value)}
    else:
        draft.body[name] = value


def _lost(draft: _Draft, name: str, value: Any) -> None:
    if value not in _HARMLESS.get(name, ()):
        draft.exchange.lost(name, "Bedrock has nothing like it")


def _impossible(draft: _Draft, name: str, value: Any) -> None:
    if value not in _HARMLESS.get(name, ()):
        raise draft.exchange.impossible(name, _IMPOSSIBLE[name])


CARRIED: Final = frozenset(
    (
        "guardrailConfig",
        "performanceConfig",
        "requestMetadata",
        "serviceTier",
        "outputConfig",
        "promptVariables",
        "additionalModelRequestFields",
        "additionalModelResponseFieldPaths",
    )
)
"""Converse's own fields, taken as they are: at the top of a chat request, or under `bedrock`."""
_SETTERS: Final[dict[str, _Set]] = {
    "max_tokens": _max_tokens,
    "max_completion_tokens": _max_tokens,
    "temperature": _temperature,
    "top_p": _sampling,
    "top_k": _top_k,
    "stop": _stop,
    "service_tier": _service_tier,
    "metadata": _metadata,
    "response_format": _response_format,
    "gemini": _foreign,
    "responses": _foreign,
    **dict.fromkeys(CARRIED, _own_field),
}
_IMPOSSIBLE: Final = {
    "n": "Bedrock gives one answer a call; ask several times",
    "logprobs": "Converse tells no probabilities; leave it out, or use another provider",
    "modalities": "Converse answers in text alone",
    "audio": "Converse answers in text alone",
    "functions": "they are long deprecated; send `tools`",
    "function_call": "it is long deprecated; send `tool_choice`",
    "web_search_options": "Converse has no web search of its own; describe one as a tool",
}
_SETTERS.update(dict.fromkeys(_IMPOSSIBLE, _impossible))
_HARMLESS: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "modalities": (["text"],),
    "top_logprobs": (0,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "store": (False,),
    "functions": ([],),
}
_PRIVATE: Final = frozenset(("thinking", "effort", "web_search"))
_ELSEWHERE: Final = frozenset(
    (
        "model",
        "messages",
        "stream",
        "stream_options",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "reasoning_effort",
        "thinking",
        "anthropic",
        EXTRA,
    )
)
