"""
The messages of a chat as Anthropic's turns: the results of a turn's tool calls first in the very next user message, all
of them, and behind them what the user said. `turns.py` tells how they are gathered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from ...message import Json
from ..capabilities import Capabilities
from ..cargo import mapping, objects, string
from . import turns
from .anthropic_parts import EXTRA, blocks, cache_mark, listed
from .anthropic_told import tool_input
from .core import Exchange
from .marks import whose
from .turns import NO_RESULT, SYSTEM, Calls, Said, apart, turn

_LONGEST: Final = 128
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_-]")
_READ: Final = turns.READ | {EXTRA}


def fit_name(name: str, exchange: Exchange) -> str:
    """The tool's name as Anthropic takes it; the way back is kept in `exchange.names`."""
    fit = _UNFIT.sub("_", name) or "tool"
    return turns.fit_name(name, fit, _LONGEST, exchange, "Anthropic, which takes letters, digits, _ and - only")


class Turns:
    """Writes the turns down, message by message."""

    def __init__(self, exchange: Exchange, capabilities: Capabilities) -> None:
        self.turns: list[dict[str, Any]] = []
        self._exchange = exchange
        self._calls: Calls[Json] = Calls(exchange)
        self._said = Said(exchange, "Anthropic", _text, _tagged, capabilities.system_inline)

    def add(self, message: Json, place: str) -> None:
        """The next message of the chat, `place` in the request."""
        role = string(message.get("role"))
        if role == "user":
            self._said.user(_marked(message, blocks(message.get("content"), place, self._exchange)))
        elif role == "assistant":
            self._assistant(message, place)
        elif role == "tool":
            self._result(message, place)
        elif role in SYSTEM:
            self._said.system(self.texts(message, place))
        else:
            raise self._exchange.impossible(f"{place}.role", f"{role!r} is not known here")
        if len(message) > 2:
            for name in message.keys() - _READ:
                self._exchange.lost(f"{place}.{name}", "Anthropic's messages have nothing like it")

    def texts(self, message: Json, place: str) -> list[Json]:
        """A system message as text blocks, without the empty ones."""
        found = blocks(message.get("content"), place, self._exchange)
        if any(block.get("type") != "text" for block in found):
            raise self._exchange.impossible(f"{place}.content", "a system message can only hold text")
        return _marked(message, found)

    def end(self) -> list[dict[str, Any]]:
        """The turns, all of them."""
        self._close()
        self._said.begun(self.turns)
        return self.turns

    def _close(self) -> None:
        self._said.close(self.turns, self._calls.close(_missing))

    def _result(self, message: Json, place: str) -> None:
        identity, told = self._calls.answered(message, place)
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
        self._calls.answer(identity, result)

    def _assistant(self, message: Json, place: str) -> None:
        self._close()
        calls = listed(message.get("tool_calls"), f"{place}.tool_calls", self._exchange)
        if message.get("function_call"):
            raise self._exchange.impossible(f"{place}.function_call", "it is long deprecated; send tool_calls")
        if message.get("audio"):
            raise self._exchange.impossible(f"{place}.audio", "Anthropic hears nothing; send the words as content")
        told = [self._calls.add(call, f"{place}.tool_calls[{at}]", self._tell) for at, call in enumerate(calls)]
        content = _kept(message, calls, told)
        if content is None:
            content = self._thinking(message, place)
            content += blocks(message.get("content"), place, self._exchange)
            if not content and not calls:
                content = blocks(message.get("refusal"), place, self._exchange)
            for index, call in enumerate(calls):
                content.append(self._call(call, told[index], f"{place}.tool_calls[{index}]"))
        if content:
            self.turns.append(turn("assistant", _marked(message, content)))

    def _tell(self, identity: str) -> str:
        told = apart(_UNFIT.sub("_", identity) or "call", self._exchange.ids)
        self._exchange.ids[told] = identity
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


def _marked(message: Json, found: list[Json]) -> list[Json]:
    """The blocks, the last of which ends what is to be cached where the message asks for that."""
    mark = cache_mark(message)
    return found if mark is None or not found else [*found[:-1], {**found[-1], "cache_control": mark}]


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


def _missing(identity: str, told: str) -> Json:
    return {"type": "tool_result", "tool_use_id": told, "content": NO_RESULT, "is_error": True}


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _tagged(block: Json) -> Json:
    return {**block, "text": f"<system>{block['text']}</system>"}
