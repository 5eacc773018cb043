"""The messages of the chat form as a chat server takes them, without what belongs to other dialects."""

from __future__ import annotations

import hashlib
from typing import Any

from ...message import Json
from ..cargo import listing, mapping, objects, string
from ..openai import joined_text
from .core import Exchange
from .openai_models import takes_breakpoints

_ECHOES = frozenset({"deepseek", "moonshot", "zai"})
"""They refuse a turn that called tools without the thinking that led to it."""
_FOREIGN = frozenset(
    {
        *("anthropic", "gemini", "bedrock", "responses"),
        *("thinking_blocks", "cache_control", "annotations", "is_error", "phase"),
    }
)
_FIELDS = {
    "developer": frozenset({"role", "content", "name"}),
    "system": frozenset({"role", "content", "name"}),
    "user": frozenset({"role", "content", "name"}),
    "assistant": frozenset({"role", "content", "name", "tool_calls", "refusal", "audio", "function_call"}),
    "tool": frozenset({"role", "content", "tool_call_id"}),
    "function": frozenset({"role", "content", "name"}),
}
_PART = frozenset({"type", "text", "refusal", "image_url", "input_audio", "file", "prompt_cache_breakpoint"})
_QUIET = frozenset({"annotations", "index"})
"""Facts about an answer that mean nothing in a question."""
_LONGEST_ID = 40


class Messages:
    """Puts down the messages of one request."""

    __slots__ = ("_breakpoints", "_calls", "_exchange", "_own", "_pictures", "_told")

    def __init__(self, exchange: Exchange, *, own: bool) -> None:
        self._exchange = exchange
        self._own = own
        self._breakpoints = own and takes_breakpoints(exchange.model)
        self._pictures: list[Json] = []
        """What came with tool results and only a user may say."""
        self._calls: set[Any] = set()
        """The ids of the tool calls so far."""
        self._told: set[str] = set()

    def all(self, messages: list[Json]) -> list[Json]:
        """Every message, those that had to be added too."""
        if not self._own:
            messages = self._one_system(messages)
        found: list[Json] = []
        for position, message in enumerate(messages):
            if message.get("role") == "tool" and message.get("tool_call_id") not in self._calls:
                why = f"no assistant message before it calls a tool as {message.get('tool_call_id')!r}"
                raise self._exchange.impossible(f"messages[{position}].tool_call_id", why)
            self._calls.update(call.get("id") for call in objects(message.get("tool_calls")))
            if self._pictures and message.get("role") != "tool":
                found.append(self._shown())
            found.append(self._message(message))
        if self._pictures:
            found.append(self._shown())
        return found

    def _one_system(self, messages: list[Json]) -> list[Json]:
        """Many servers refuse a second system message at the top, and one in parts: the first ones become one text."""
        count = 0
        while count < len(messages) and messages[count].get("role") in ("system", "developer"):
            count += 1
        if not count or (count == 1 and isinstance(messages[0].get("content"), str)):
            return messages
        for message in messages[:count]:
            for part in (message, *objects(message.get("content"))):
                for name in sorted(part.keys() & {"name", "prompt_cache_breakpoint", *_FOREIGN}):
                    self._lose(name)
        text = "\n\n".join(filter(None, (joined_text(message.get("content")) for message in messages[:count])))
        return [{"role": "system", "content": text}, *messages[count:]]

    def _shown(self) -> Json:
        pictures, self._pictures = self._pictures, []
        return {"role": "user", "content": pictures}

    def _message(self, message: Json) -> Json:
        role = string(message.get("role"))
        content = message.get("content")
        if role == "tool":
            content = self._result(content)
        elif isinstance(content, list):
            content = [self._part(part) for part in objects(message["content"])]
        known = _FIELDS.get(role, _FIELDS["user"])
        told: dict[str, Any] = {}
        for name, value in message.items():
            if name in known or (not self._own and name not in _FOREIGN):
                told[name] = value
            elif value and name not in _QUIET and not (name == "reasoning_content" and "thinking_blocks" in message):
                self._lose(name)
        if "content" in message:
            told["content"] = content
        mark = message.get("cache_control")
        if mark and self._breakpoints and content:
            told["content"] = _marked(content)
        if "tool_call_id" in told:
            told["tool_call_id"] = short(string(told["tool_call_id"]))
        calls = objects(message.get("tool_calls"))
        if calls:
            told["tool_calls"] = [self._call(call) for call in calls]
            if self._exchange.provider in _ECHOES:
                told.setdefault("reasoning_content", "")
        return told

    def _lose(self, name: str) -> None:
        if name in self._told or (name == "cache_control" and self._breakpoints):
            return
        self._told.add(name)
        why = "chat servers cache prompts by themselves" if name == "cache_control" else "chat has no place for it"
        self._exchange.lost(f"messages[].{name}", why)

    def _part(self, part: Json) -> Json:
        for name in part:
            if name not in _PART and name not in _QUIET and (self._own or name in _FOREIGN) and part[name]:
                self._lose(name)
        if self._own and part.get("type", "text") not in _PART:
            why = "OpenAI's chat takes text, images, sound and files"
            raise self._exchange.impossible(f"messages[].content[] of type {part['type']!r}", why)
        if self._own and "file_url" in mapping(part.get("file")):
            why = "OpenAI fetches no files for a chat; send it as file_data"
            raise self._exchange.impossible("messages[].content[].file.file_url", why)
        told = {name: part[name] for name in part if name in _PART or (not self._own and name not in _FOREIGN)}
        mark = mapping(told.get("prompt_cache_breakpoint"))
        if self._breakpoints and part.get("cache_control") and not mark:
            told["prompt_cache_breakpoint"] = {"mode": "explicit"}
        elif mark and mark.get("ttl") not in (None, "30m"):
            told["prompt_cache_breakpoint"] = {**mark, "ttl": "30m"}
        return told

    def _call(self, call: Json) -> Json:
        from .chat_request import told_name  # they need each other

        kind = "custom" if call.get("type") == "custom" else "function"
        body = mapping(call.get(kind))
        told: dict[str, Any] = {
            "id": short(string(call.get("id"))),
            "type": kind,
            kind: {**body, "name": told_name(string(body.get("name")), self._exchange)},
        }
        if kind == "function" and not told[kind].get("arguments"):
            told[kind]["arguments"] = "{}"
        if call.get("extra_content"):
            if self._exchange.provider.startswith("gemini"):
                told["extra_content"] = call["extra_content"]
            elif "extra_content" not in self._told:
                self._told.add("extra_content")
                self._exchange.unsigned("messages[].tool_calls[]", self._exchange.provider or "a chat server")
        return told

    def _result(self, content: Any) -> Any:
        """A tool's result: text. Pictures and files wait for a user's message after the results."""
        if not isinstance(content, list):
            return "" if content is None else content
        parts = [self._part(part) for part in objects(listing(content))]
        others = [part for part in parts if part.get("type", "text") != "text"]
        if not others:
            return parts
        self._pictures += others
        self._exchange.changed("messages[].content", "a tool's result that is no text follows in a user message")
        text = joined_text([part for part in parts if part.get("type", "text") == "text"])
        return text or "The result follows in the next message."


def _marked(content: Any) -> Any:
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else list(content)
    return [*parts[:-1], {**parts[-1], "prompt_cache_breakpoint": {"mode": "explicit"}}]


def short(name: str, longest: int = _LONGEST_ID) -> str:
    """An id no longer than OpenAI takes; the same one each time."""
    if len(name) <= longest:
        return name
    return "call_" + hashlib.sha256(name.encode()).hexdigest()[:32]
