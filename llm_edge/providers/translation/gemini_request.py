"""A chat request as Google's generateContent takes it. The model's name and whether to stream stand in the address."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ... import exact
from ...message import Json
from ..capabilities import Capabilities, of, plain
from ..cargo import listing, mapping, objects, string
from .anthropic_parts import listed
from .anthropic_schema import described
from .core import Exchange
from .gemini_parts import EXTRA
from .gemini_schema import json_schema, old_schema
from .gemini_thinking import set_thinking
from .gemini_tools import set_tools
from .gemini_turns import Turns
from .turns import SYSTEM

_STOPS = 5
_JSON = "application/json"
_NONE = "Google has nothing like it"


class _Draft:
    """A request being written."""

    __slots__ = ("body", "capabilities", "config", "exchange", "vertex")

    def __init__(self, exchange: Exchange, capabilities: Capabilities) -> None:
        self.exchange = exchange
        self.capabilities = capabilities
        self.vertex = exchange.provider.startswith("vertex")
        self.body: dict[str, Any] = {"contents": []}
        self.config: dict[str, Any] = {}


_Set: TypeAlias = Callable[[_Draft, str, Any], None]


def capabilities_of(exchange: Exchange) -> Capabilities:
    """The model's; a Gemini nobody has looked at is thought to be like the newest."""
    found = of(exchange.provider, exchange.model)
    return found if found.known or not plain(exchange.model).startswith("gemini") else of(exchange.provider, "gemini")


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """
    The request for Google.

    Raises InvalidRequest for what it has no way to do, and in mode `reject` for what it would leave out.
    """
    if not exchange.model:
        exchange.model = string(chat.get("model"))
    capabilities = capabilities_of(exchange)
    draft = _Draft(exchange, capabilities)
    body, config = draft.body, draft.config
    _messages(draft, chat)
    for name, value in chat.items():
        if value is not None and name not in _ELSEWHERE:
            _SETTERS.get(name, _unknown)(draft, name, value)
    _limit(draft, chat)
    set_thinking(config, chat, exchange, capabilities)
    set_tools(body, chat, exchange, capabilities)
    if "tools" in body and "functionDeclarations" in body["tools"][0] and not capabilities.schema_with_tools:
        _form_in_words(draft)
    _own(draft, mapping(chat.get(EXTRA)))
    if config:
        body["generationConfig"] = config
    return body


def _messages(draft: _Draft, chat: Json) -> None:
    exchange = draft.exchange
    turns = Turns(exchange, draft.capabilities)
    system: list[Json] = []
    leading = True
    for index, message in enumerate(listed(chat.get("messages"), "messages", exchange)):
        place = f"messages[{index}]"
        leading = leading and string(message.get("role")) in SYSTEM
        if not leading:
            turns.add(message, place)
            continue
        parts = turns.parts.all(message.get("content"), place)
        if any("text" not in part for part in parts):
            raise exchange.impossible(f"{place}.content", "a system message can only hold text")
        system += parts
        if len(message) > 2:
            turns.rest(message, place)
    if system:
        draft.body["systemInstruction"] = {"parts": system}
    draft.body["contents"] = turns.end()


# ------------------------------------------------------------------ settings, one by one


def _as(told: str) -> _Set:
    def put(draft: _Draft, name: str, value: Any) -> None:
        draft.config[told] = value

    return put


def _unknown(draft: _Draft, name: str, value: Any) -> None:
    if name in _OTHERS:
        draft.exchange.foreign(name, value)
    else:
        draft.exchange.lost(name, _NONE)


def _quiet(*harmless: Any) -> _Set:
    """For what Google does not know: told, unless it asks for nothing."""

    def put(draft: _Draft, name: str, value: Any) -> None:
        if value not in harmless:
            draft.exchange.lost(name, _NONE)

    return put


def _sampling(told: str) -> _Set:
    def put(draft: _Draft, name: str, value: Any) -> None:
        if draft.capabilities.sampling == "yes":
            draft.config[told] = value
        elif value != 1:
            draft.exchange.lost(name, f"{draft.exchange.model} pays no heed to it")

    return put


def _penalty(told: str) -> _Set:
    def put(draft: _Draft, name: str, value: Any) -> None:
        if draft.capabilities.penalties:
            draft.config[told] = value
        elif value != 0:
            draft.exchange.lost(name, f"{draft.exchange.model} refuses it")

    return put


def _limit(draft: _Draft, chat: Json) -> None:
    asked = chat.get("max_completion_tokens")
    field = "max_completion_tokens" if asked is not None else "max_tokens"
    asked = chat.get("max_tokens") if asked is None else asked
    if asked is None:
        return
    if type(asked) is not int or asked < 1:
        raise draft.exchange.impossible(field, f"{asked!r} is not a number of tokens")
    most = draft.capabilities.max_output
    if most is not None and draft.capabilities.known and asked > most:
        draft.exchange.changed(field, f"went as {most}, the most {draft.exchange.model} writes")
        asked = most
    draft.config["maxOutputTokens"] = asked


def _stop(draft: _Draft, name: str, value: Any) -> None:
    given: list[Any] = [value] if isinstance(value, str) else list(listing(value))
    words = [word for word in given if isinstance(word, str) and word]
    if len(words) > _STOPS:
        raise draft.exchange.impossible(name, f"Google takes {_STOPS} stop sequences, not {len(words)}; send fewer")
    if words:
        draft.config["stopSequences"] = words


def _n(draft: _Draft, name: str, value: Any) -> None:
    if value != 1:
        draft.config["candidateCount"] = value


def _logprobs(draft: _Draft, name: str, value: Any) -> None:
    if value:
        draft.config["responseLogprobs"] = True


def _modalities(draft: _Draft, name: str, value: Any) -> None:
    draft.config["responseModalities"] = [string(each).upper() for each in listing(value)]


def _audio(draft: _Draft, name: str, value: Any) -> None:
    given = mapping(value)
    voice = given.get("voice")
    if voice:
        draft.config["speechConfig"] = {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": voice}}}
    if given.get("format") not in (None, "pcm16"):
        draft.exchange.lost("audio.format", "Google's sound comes as PCM")


def _service_tier(draft: _Draft, name: str, value: Any) -> None:
    if value == "auto":
        return
    told = {"default": "standard", "standard": "standard", "flex": "flex", "priority": "priority"}.get(string(value))
    if told is None or draft.vertex:
        draft.exchange.lost(name, "Vertex asks it in headers" if told else f"Google has none called {value!r}")
    else:
        draft.body["serviceTier"] = told


def _metadata(draft: _Draft, name: str, value: Any) -> None:
    if draft.vertex:
        draft.body["labels"] = value
    elif value:
        draft.exchange.lost(name, "Google's Developer API takes no labels")


def _store(draft: _Draft, name: str, value: Any) -> None:
    if not draft.vertex:
        draft.body["store"] = value
    elif value:
        draft.exchange.lost(name, "Vertex stores nothing")


def _response_format(draft: _Draft, name: str, value: Any) -> None:
    exchange, config = draft.exchange, draft.config
    kind = mapping(value).get("type")
    if kind == "text":
        return
    if kind not in ("json_object", "json_schema"):
        raise exchange.impossible(name, f"{kind!r} is not known; use text, json_object or json_schema")
    config["responseMimeType"] = _JSON
    if kind == "json_object":
        return
    if not draft.capabilities.json_schema:
        raise exchange.impossible(name, f"{exchange.model} cannot be held to a schema")
    schema = described(mapping(mapping(value).get("json_schema")))
    loose: dict[str, None] = {}
    if draft.capabilities.old_schemas:
        config["responseSchema"] = old_schema(schema, loose)
    elif schema:
        config["responseJsonSchema"] = json_schema(schema, loose)
    if loose:
        exchange.changed(name, f"says what Google does not check: {', '.join(loose)}")


def _form_in_words(draft: _Draft) -> None:
    """For models that take a form for the answer, or tools, but not both."""
    if draft.config.pop("responseMimeType", None) is None:
        return
    schema = draft.config.pop("responseJsonSchema", None) or draft.config.pop("responseSchema", None)
    words = "Unless you call a function, answer with one JSON object and nothing else"
    words += f". It must match this JSON schema: {exact.write(schema).decode()}" if schema else "."
    system = draft.body.setdefault("systemInstruction", {"parts": []})
    system["parts"] = [*system["parts"], {"text": words}]
    draft.exchange.changed("response_format", f"went in words: {draft.exchange.model} takes none together with tools")


def _own(draft: _Draft, own: Json) -> None:
    """What a caller says in Google's words stands as it is."""
    config = {**mapping(own.get("generationConfig"))}
    thinking = mapping(config.get("thinkingConfig"))
    if thinking:
        draft.config.pop("thinkingConfig", None)
    draft.config.update(config)
    calling = mapping(mapping(own.get("toolConfig")).get("functionCallingConfig"))
    for name, value in own.items():
        if name == "tools":
            draft.body["tools"] = [*draft.body.get("tools", ()), *objects(value)]
        elif name == "toolConfig":
            draft.body[name] = {**mapping(draft.body.get(name)), **mapping(value)}
        elif name != "generationConfig":
            draft.body[name] = value
    if calling.get("streamFunctionCallArguments"):
        draft.exchange.lost("toolConfig.functionCallingConfig.streamFunctionCallArguments", "arguments come whole here")
        kept = {name: value for name, value in calling.items() if name != "streamFunctionCallArguments"}
        draft.body["toolConfig"] = {**draft.body["toolConfig"], "functionCallingConfig": kept}


_SETTERS: Mapping[str, _Set] = {
    "temperature": _sampling("temperature"),
    "top_p": _sampling("topP"),
    "top_k": _sampling("topK"),
    "presence_penalty": _penalty("presencePenalty"),
    "frequency_penalty": _penalty("frequencyPenalty"),
    "seed": _as("seed"),
    "top_logprobs": _as("logprobs"),
    "logprobs": _logprobs,
    "n": _n,
    "stop": _stop,
    "modalities": _modalities,
    "audio": _audio,
    "service_tier": _service_tier,
    "metadata": _metadata,
    "store": _store,
    "response_format": _response_format,
    "logit_bias": _quiet({}),
    "verbosity": _quiet("medium"),
}
_OTHERS = frozenset({"anthropic", "bedrock", "responses"})
_ELSEWHERE = frozenset(
    """
    model messages stream stream_options max_tokens max_completion_tokens tools tool_choice parallel_tool_calls
    web_search_options functions function_call reasoning_effort thinking
    """.split()  # noqa: SIM905  a list of this length would fill the page
) | {EXTRA}
