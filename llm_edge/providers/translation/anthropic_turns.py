"""
The messages of a chat as Anthropic's turns.

Theory of operation. Anthropic wants the results of a turn's tool calls first in the very next user
message, all of them, in one message. So what follows an assistant turn is gathered until the next
one: results by the id they answer, user content, system messages. Then it is written down as one
user message: results in the order of the calls, a word for those that are missing, the content.

A system message in the middle stays where it is: models that know such messages get one, after a
user message and never between a call and its result; the others find it tagged among the user's
words. It is not moved to the top, where it would mean more than it did and spoil the cached prefix.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ...message import Json
from ..capabilities import Capabilities
from ..cargo import mapping, objects, string
from .anthropic_parts import EXTRA, NOT_EMPTY, blocks, cache_mark, listed
from .anthropic_told import tool_input
from .core import Exchange
from .marks import whose

SYSTEM = frozenset(("system", "developer"))
_UNFIT = re.compile(r"[^a-zA-Z0-9_-]")
_FIT = re.compile(r"[a-zA-Z0-9_-]+").fullmatch
_NO_RESULT = "This call was not answered."
_READ = frozenset(
    (
        "role",
        "content",
        "tool_calls",
        "tool_call_id",
        "refusal",
        "cache_control",
        "thinking_blocks",
        "reasoning_content",
        "annotations",
        "is_error",
        EXTRA,
    )
)


def fit_name(name: str, exchange: Exchange) -> str:
    """The tool's name as Anthropic takes it; the way back is kept in `exchange.names`."""
    if len(name) <= 128 and _FIT(name) and exchange.names.setdefault(name, name) == name:
        return name
    for told, known in exchange.names.items():
        if known == name:
            return told
    stem = _UNFIT.sub("_", name)[:128] or "tool"
    told, number = stem, 2
    while told in exchange.names:
        told, number = f"{stem[:120]}_{number}", number + 1
    exchange.names[told] = name
    exchange.changed(f"tool {name!r}", f"is called {told!r} at Anthropic, which takes letters, digits, _ and - only")
    return told


class Turns:
    """Writes the turns down, message by message."""

    def __init__(self, exchange: Exchange, capabilities: Capabilities) -> None:
        self.turns: list[dict[str, Any]] = []
        self._exchange = exchange
        self._inline = capabilities.system_inline
        self._calls: dict[str, str] = {}
        """The last turn's calls: the caller's ids, and what Anthropic is told."""
        self._results: dict[str, dict[str, Any]] = {}
        self._said: list[list[Json] | Json] = []
        """What the user said since, in pieces; a system message is a text block of its own."""
        self._spoken = False
        """Whether there was a user message at all, empty or not."""

    def add(self, message: Json, place: str) -> None:
        """The next message of the chat, `place` in the request."""
        role = string(message.get("role"))
        if role == "user":
            self._user(message, place)
        elif role == "assistant":
            self._assistant(message, place)
        elif role == "tool":
            self._result(message, place)
        elif role in SYSTEM:
            text = texts(message, place, self._exchange)
            self._said.extend(text)
        else:
            raise self._exchange.impossible(f"{place}.role", f"{role!r} is not known here")
        if len(message) > 2:
            for name in message.keys() - _READ:
                self._exchange.lost(f"{place}.{name}", "Anthropic's messages have nothing like it")

    def end(self) -> list[dict[str, Any]]:
        """The turns, all of them."""
        self._close()
        if not self.turns:
            self.turns.append(_text_turn(NOT_EMPTY))
            self._exchange.changed("messages", f"held no user message, so it got one: {NOT_EMPTY!r}")
        elif self.turns[0]["role"] == "assistant":
            self.turns.insert(0, _text_turn(NOT_EMPTY))
            self._exchange.changed("messages", f"began with the assistant; the user says {NOT_EMPTY!r} first")
        return self.turns

    # ------------------------------------------------------------ what follows an assistant turn

    def _user(self, message: Json, place: str) -> None:
        self._spoken = True
        found = blocks(message.get("content"), place, self._exchange)
        mark = cache_mark(message)
        if mark is not None and found:
            found[-1] = {**found[-1], "cache_control": mark}
        self._said.append(found)

    def _result(self, message: Json, place: str) -> None:
        identity = string(message.get("tool_call_id"))
        told = self._calls.get(identity)
        if told is None:
            raise self._exchange.impossible(
                f"{place}.tool_call_id", f"no tool call {identity!r} stands in the assistant message before it"
            )
        if identity in self._results:
            raise self._exchange.impossible(f"{place}.tool_call_id", f"the call {identity!r} has a result already")
        result: dict[str, Any] = {"type": "tool_result", "tool_use_id": told}
        content = message.get("content")
        if isinstance(content, str):
            if content:
                result["content"] = content
        elif content:
            result["content"] = blocks(content, place, self._exchange)
        if message.get("is_error"):
            result["is_error"] = True
        mark = cache_mark(message)
        if mark is not None:
            result["cache_control"] = mark
        result.update(mapping(message.get(EXTRA)))
        self._results[identity] = result

    def _close(self) -> None:
        """Writes down what was gathered since the last assistant turn."""
        now = self._answers()
        for piece in self._said:
            if isinstance(piece, list):
                now.extend(piece)
            elif self._inline and now:
                self.turns += [{"role": "user", "content": now}, {"role": "system", "content": [piece]}]
                now = []
            elif self._inline and self.turns and self.turns[-1]["role"] == "system":
                self.turns[-1]["content"].append(piece)
            else:
                now.append({**piece, "text": f"<system>{piece['text']}</system>"})
                self._exchange.changed("messages", "hold a system message in the middle; it went as tagged user text")
        if now:
            self.turns.append({"role": "user", "content": now})
        elif self._spoken and (not self.turns or self.turns[-1]["role"] == "assistant"):
            self.turns.append(_text_turn(NOT_EMPTY))
            self._exchange.changed("messages", f"hold a user message without a word; Anthropic was sent {NOT_EMPTY!r}")
        self._calls, self._results, self._said, self._spoken = {}, {}, [], False

    def _answers(self) -> list[Json]:
        found: list[Json] = []
        for identity, told in self._calls.items():
            result = self._results.get(identity)
            if result is None:
                result = {"type": "tool_result", "tool_use_id": told, "content": _NO_RESULT, "is_error": True}
                self._exchange.changed("messages", f"hold no result for {identity!r}; it went as not answered")
            found.append(result)
        return found

    # ------------------------------------------------------------ assistant turns

    def _assistant(self, message: Json, place: str) -> None:
        self._close()
        calls = listed(message.get("tool_calls"), f"{place}.tool_calls", self._exchange)
        if message.get("function_call"):
            raise self._exchange.impossible(f"{place}.function_call", "it is long deprecated; send tool_calls")
        if message.get("audio"):
            raise self._exchange.impossible(f"{place}.audio", "Anthropic hears nothing; send the words as content")
        told = [self._identity(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(calls)]
        content = _kept(message, calls, told)
        if content is None:
            content = self._thinking(message, place)
            content += blocks(message.get("content"), place, self._exchange)
            if not content and not calls:
                content = blocks(message.get("refusal"), place, self._exchange)
            for index, call in enumerate(calls):
                content.append(self._call(call, told[index], f"{place}.tool_calls[{index}]"))
        mark = cache_mark(message)
        if mark is not None and content:
            content[-1] = {**content[-1], "cache_control": mark}
        if content:
            self.turns.append({"role": "assistant", "content": content})

    def _identity(self, call: Json, place: str) -> str:
        identity = string(call.get("id"))
        if identity in self._calls:
            raise self._exchange.impossible(f"{place}.id", f"two calls of one message have the id {identity!r}")
        stem = _UNFIT.sub("_", identity) or "call"
        told, number = stem, 2
        while told in self._exchange.ids:
            told, number = f"{stem}_{number}", number + 1
        self._exchange.ids[told] = identity
        self._calls[identity] = told
        return told

    def _thinking(self, message: Json, place: str) -> list[Json]:
        found: list[Json] = []
        foreign = False
        for block in objects(message.get("thinking_blocks")):
            proof = string(block.get("signature") if block.get("type") == "thinking" else block.get("data"))
            if proof and whose(proof)[0] == "anthropic":
                found.append({name: value for name, value in block.items() if name != "index"})
            else:
                foreign = True
        if foreign or (message.get("reasoning_content") and not found):
            self._exchange.changed(
                f"{place}.reasoning_content", "was left out: Anthropic takes no thinking but what it signed itself"
            )
        return found

    def _call(self, call: Json, told: str, place: str) -> Json:
        if call.get("type", "function") != "function":
            raise self._exchange.impossible(place, "Anthropic has no custom tools; describe it as a function")
        function = mapping(call.get("function"))
        made: dict[str, Any] = {
            "type": "tool_use",
            "id": told,
            "name": fit_name(string(function.get("name")), self._exchange),
            "input": tool_input(function.get("arguments"), place, self._exchange),
        }
        if call.get("extra_content"):
            self._exchange.unsigned(place, "Anthropic")
        mark = cache_mark(call)
        if mark is not None:
            made["cache_control"] = mark
        made.update(mapping(call.get(EXTRA)))
        return made


def texts(message: Json, place: str, exchange: Exchange) -> list[Json]:
    """A system message as text blocks, without the empty ones."""
    found = blocks(message.get("content"), place, exchange)
    if any(block.get("type") != "text" for block in found):
        raise exchange.impossible(f"{place}.content", "a system message can only hold text")
    mark = cache_mark(message)
    if mark is not None and found:
        found[-1] = {**found[-1], "cache_control": mark}
    return found


def _kept(message: Json, calls: Sequence[Json], told: Sequence[str]) -> list[Json] | None:
    """Blocks of an answer that chat could not tell; None when the caller changed the message since."""
    kept = objects(mapping(message.get(EXTRA)).get("content"))
    if not kept:
        return None
    content = message.get("content")
    said = content if isinstance(content, str) else "".join(string(p.get("text")) for p in objects(content))
    text = "".join(string(block.get("text")) for block in kept if block.get("type") == "text")
    ids = [block.get("id") for block in kept if block.get("type") == "tool_use"]
    if said != text or ids != [call.get("id") for call in calls]:
        return None
    ours = dict(zip(ids, told, strict=True))
    return [
        {**block, "id": ours[block["id"]]} if block.get("type") == "tool_use" else block
        for block in kept
        if block.get("type") != "text" or string(block.get("text")).strip()
    ]


def _text_turn(text: str) -> dict[str, Any]:
    return {"role": "user", "content": [{"type": "text", "text": text}]}
