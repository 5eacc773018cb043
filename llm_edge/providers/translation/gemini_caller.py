"""A request from a caller of generateContent in the chat form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from ... import exact
from ...message import Json
from ..cargo import camel, listing, mapping, objects, string
from .core import Exchange
from .gemini_parts import EXTRA, part_to_chat
from .gemini_schema import from_old
from .gemini_thinking import effort_behind
from .gemini_told import told_in_chat

_NAMES = {
    "temperature": "temperature",
    "topP": "top_p",
    "topK": "top_k",
    "candidateCount": "n",
    "maxOutputTokens": "max_completion_tokens",
    "stopSequences": "stop",
    "seed": "seed",
    "presencePenalty": "presence_penalty",
    "frequencyPenalty": "frequency_penalty",
    "responseLogprobs": "logprobs",
    "logprobs": "top_logprobs",
}
_TIERS = {"standard": "default", "flex": "flex", "priority": "priority"}
_FORM = frozenset({"responseMimeType", "responseSchema", "responseJsonSchema", "_responseJsonSchema"})
_JSON = "application/json"
_Set: TypeAlias = Callable[[dict[str, Any], Any, Exchange], None]


def request_to_chat(body: Json, exchange: Exchange) -> Json:
    """
    The chat request behind it.

    Raises InvalidRequest for what nobody else could make sense of: a result without its call, no contents.
    """
    body = camel(body)
    chat: dict[str, Any] = {"model": exchange.model, "messages": _messages(body, exchange)}
    if exchange.streaming:
        chat["stream"] = True
        chat["stream_options"] = {"include_usage": True}  # Google's streams always tell
    own: dict[str, Any] = {}
    for name, value in body.items():
        if value is None or name in ("contents", "systemInstruction", "model"):
            continue
        setter = _SETTERS.get(name)
        if setter is not None:
            setter(chat, value, exchange)
        else:
            own[name] = value
    if own:
        chat[EXTRA] = {**chat.get(EXTRA, {}), **own}
    exchange.chat = chat
    return chat


# ------------------------------------------------------------------ messages


def _messages(body: Json, exchange: Exchange) -> list[Json]:
    messages: list[Json] = []
    system = body.get("systemInstruction")
    if isinstance(system, str):
        system = {"parts": [{"text": system}]}
    said = _parts(system)
    if said:
        messages.append({"role": "system", "content": _simplest([part_to_chat(part) for part in said])})
    contents: Any = body.get("contents")
    if mapping(contents):
        contents = [contents]
    if not listing(contents):
        raise exchange.impossible("contents", "there are none; send at least one")
    history = _History(messages, exchange)
    for index, content in enumerate(objects(contents)):
        role = content.get("role", "user")
        if role == "model":
            history.model(_parts(content))
        elif role in ("user", "function", "tool"):
            history.user(_parts(content), f"contents[{index}]")
        elif role == "system":
            messages.append({"role": "system", "content": _simplest([part_to_chat(p) for p in _parts(content)])})
        else:
            raise exchange.impossible(f"contents[{index}].role", f"{role!r} is not known; use user or model")
    return messages


def _parts(content: Any) -> list[Json]:
    given: Any = mapping(content).get("parts")
    if mapping(given):
        given = [given]  # one may stand alone
    return [camel(part) for part in objects(given)]


def _simplest(parts: list[Json]) -> str | list[Json]:
    """One plain text as a string; anything else as it is."""
    if len(parts) == 1 and parts[0]["type"] == "text" and len(parts[0]) == 2:
        return string(parts[0]["text"])
    return parts


class _History:
    """Turns contents into messages; calls that came without ids get some, and results find their call by name."""

    def __init__(self, messages: list[Json], exchange: Exchange) -> None:
        self._messages = messages
        self._exchange = exchange
        self._number = 0
        self._open: list[tuple[str, str]] = []
        """The calls that wait for their result: id and name."""

    def _make_id(self) -> str:
        # The same for the same history, however long it grows: prompt caches depend on it.
        self._number += 1
        return f"call_{self._number - 1}"

    def model(self, parts: list[Json]) -> None:
        """A turn of the model's."""
        message, _ = told_in_chat(parts, self._exchange, self._make_id)
        calls = objects(message.get("tool_calls"))
        found = [(string(call["id"]), string(mapping(call["function"]).get("name"))) for call in calls]
        last = self._messages[-1] if self._messages else None
        simple = last is not None and last["role"] == "assistant" and last.keys() <= {"role", "content"}
        if last is not None and simple and not message.get(EXTRA):
            # Streams are often put into a history piece by piece.
            text = f"{last['content'] or ''}{message['content'] or ''}" or None
            self._messages[-1] = {**last, **message, "content": text}
        else:
            self._messages.append({"role": "assistant", **message})
        self._open = found

    def user(self, parts: list[Json], place: str) -> None:
        """A turn of the user's, or the results of functions."""
        said: list[Json] = []
        for index, part in enumerate(parts):
            response = part.get("functionResponse")
            if isinstance(response, dict):
                self._result(camel(mapping(response)), f"{place}.parts[{index}].functionResponse")
            else:
                said.append(part_to_chat(part))
        if said or not parts:
            self._messages.append({"role": "user", "content": _simplest(said) if said else ""})

    def _result(self, response: Json, place: str) -> None:
        identity, name = string(response.get("id")), string(response.get("name"))
        found = next((call for call in self._open if identity and call[0] == identity), None)
        found = found or next((call for call in self._open if call[1] == name), None)
        if found is None:
            raise self._exchange.impossible(place, f"no functionCall {name!r} before it waits for a response")
        self._open.remove(found)
        made: dict[str, Any] = {"role": "tool", "tool_call_id": found[0], **_told(response.get("response"))}
        shown = [camel(part) for part in objects(response.get("parts"))]
        if shown:
            text: list[Json] = [{"type": "text", "text": made["content"]}] if made["content"] else []
            made["content"] = [*text, *map(part_to_chat, shown)]
        rest = {
            key: value
            for key, value in response.items()
            if key not in ("id", "name", "response", "parts") and value is not None
        }
        if rest:
            made[EXTRA] = rest
        self._messages.append(made)


def _told(response: Any) -> dict[str, Any]:
    """A result's object as text: itself, or the text it only wraps."""
    given = mapping(response)
    if len(given) == 1:
        name, value = next(iter(given.items()))
        if isinstance(value, str) and name in ("output", "error") and not value.startswith("{"):
            return {"content": value, "is_error": True} if name == "error" else {"content": value}
    return {"content": exact.write(given).decode() if given else ""}


# ------------------------------------------------------------------ settings


def _config(chat: dict[str, Any], value: Any, exchange: Exchange) -> None:
    config = camel(mapping(value))
    own: dict[str, Any] = {}
    for name, setting in config.items():
        if setting is None or name in _FORM:
            continue
        if name in _NAMES:
            chat[_NAMES[name]] = setting
        elif name == "responseModalities":
            chat["modalities"] = [string(each).lower() for each in listing(setting)]
        elif name == "thinkingConfig":
            word = effort_behind(camel(mapping(setting)))
            if word is not None:
                chat["reasoning_effort"] = word
        else:
            own[name] = setting
    _form(chat, config, own)
    if own:
        chat[EXTRA] = {**chat.get(EXTRA, {}), "generationConfig": own}


def _form(chat: dict[str, Any], config: Json, own: dict[str, Any]) -> None:
    """How the answer has to look."""
    kind = string(config.get("responseMimeType"))
    schema = config.get("responseJsonSchema") or config.get("_responseJsonSchema")
    if schema is None and config.get("responseSchema"):
        schema = from_old(config["responseSchema"])
    if kind == _JSON and isinstance(schema, dict):
        name = string(mapping(schema).get("title")).replace(" ", "_") or "answer"
        name = name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else "answer"
        chat["response_format"] = {"type": "json_schema", "json_schema": {"name": name[:64], "schema": schema}}
    elif kind == _JSON:
        chat["response_format"] = {"type": "json_object"}
    elif kind and kind != "text/plain":
        own.update({name: config[name] for name in _FORM if config.get(name) is not None})


def _tools(chat: dict[str, Any], value: Any, exchange: Exchange) -> None:
    tools: list[Json] = []
    own: list[Json] = []
    for tool in objects(value):
        rest: dict[str, Any] = {}
        for name, inner in camel(tool).items():
            if name == "functionDeclarations":
                tools += [_function(camel(function)) for function in objects(inner)]
            elif name == "googleSearch" and not inner:
                chat["web_search_options"] = {}
            elif inner is not None:
                rest[name] = inner
        if rest:
            own.append(rest)
    if tools:
        chat["tools"] = tools
    if own:
        chat[EXTRA] = {**chat.get(EXTRA, {}), "tools": own}


def _function(declared: Json) -> Json:
    function: dict[str, Any] = {"name": declared.get("name")}
    if declared.get("description"):
        function["description"] = declared["description"]
    if declared.get("parametersJsonSchema") is not None:
        function["parameters"] = declared["parametersJsonSchema"]
    elif declared.get("parameters") is not None:
        function["parameters"] = from_old(declared["parameters"])
    rest = {name: declared[name] for name in declared if name not in _DECLARED and declared[name] is not None}
    tool: dict[str, Any] = {"type": "function", "function": function}
    return {**tool, EXTRA: rest} if rest else tool


_DECLARED = frozenset({"name", "description", "parameters", "parametersJsonSchema"})


def _tool_config(chat: dict[str, Any], value: Any, exchange: Exchange) -> None:
    config = camel(mapping(value))
    calling = camel(mapping(config.get("functionCallingConfig")))
    mode = string(calling.get("mode")).upper()
    names = [string(name) for name in listing(calling.get("allowedFunctionNames"))]
    if names and mode in ("ANY", "VALIDATED"):
        chosen: list[Json] = [{"type": "function", "function": {"name": name}} for name in names]
        required = "required" if mode == "ANY" else "auto"
        allowed = {"type": "allowed_tools", "allowed_tools": {"mode": required, "tools": chosen}}
        chat["tool_choice"] = chosen[0] if len(chosen) == 1 and mode == "ANY" else allowed
    elif mode:
        chat["tool_choice"] = {"ANY": "required", "NONE": "none"}.get(mode, "auto")
    if mode == "VALIDATED" or calling.keys() - {"mode", "allowedFunctionNames"}:
        config = {**config, "functionCallingConfig": calling}
    else:
        config = {name: inner for name, inner in config.items() if name != "functionCallingConfig"}
    if config:
        chat[EXTRA] = {**chat.get(EXTRA, {}), "toolConfig": config}


def _service_tier(chat: dict[str, Any], value: Any, exchange: Exchange) -> None:
    told = _TIERS.get(string(value).lower())
    if told is not None:
        chat["service_tier"] = told
    else:
        chat[EXTRA] = {**chat.get(EXTRA, {}), "serviceTier": value}


def _labels(chat: dict[str, Any], value: Any, exchange: Exchange) -> None:
    chat["metadata"] = value


def _store(chat: dict[str, Any], value: Any, exchange: Exchange) -> None:
    chat["store"] = value


_SETTERS: Mapping[str, _Set] = {
    "generationConfig": _config,
    "tools": _tools,
    "toolConfig": _tool_config,
    "serviceTier": _service_tier,
    "labels": _labels,
    "store": _store,
}
