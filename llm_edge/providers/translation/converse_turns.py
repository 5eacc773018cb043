"""
The messages of a chat as Converse's turns, which alternate: the results of a turn's tool calls stand in the very next
user message, all of them, and what the user said behind them. `turns.py` tells how they are gathered.

Some families want results alone in their message; there the content follows in a message of its own, with a turn of one
sign between.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

from ...message import Json
from ..bedrock import is_call, text_in
from ..bedrock_models import Family
from ..capabilities import Capabilities
from ..cargo import mapping, objects, string
from . import turns
from .anthropic_parts import listed
from .anthropic_told import tool_input
from .converse_parts import EXTRA, Content, with_words
from .core import NOT_EMPTY, Exchange
from .marks import whose
from .turns import NO_RESULT, SYSTEM, Calls, Said, apart, turn

_LONGEST: Final = 64
_UNFIT_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]")
_UNFIT_ID: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_READ: Final = turns.READ | {EXTRA}


def fit_name(name: str, exchange: Exchange) -> str:
    """The tool's name as Bedrock takes it; the way back is kept in `exchange.names`."""
    fit = _UNFIT_NAME.sub("_", name) or "tool"
    return turns.fit_name(name, fit, _LONGEST, exchange, "Bedrock, which takes 64 letters, digits, _ and -")


class Turns:
    """Writes the turns down, message by message."""

    def __init__(self, exchange: Exchange, capabilities: Capabilities, family: Family) -> None:
        self.turns: list[dict[str, Any]] = []
        self._exchange, self._family = exchange, family
        self._content = Content(exchange, family, hears=capabilities.audio)
        self._calls: Calls[list[Json]] = Calls(exchange)
        self._said = Said(exchange, "Bedrock", _text, _tagged, capabilities.system_inline)

    def add(self, message: Json, place: str) -> None:
        """The next message of the chat, `place` in the request."""
        role = string(message.get("role"))
        if role == "user":
            self._said.user(self._content.marked(message, self._content.blocks(message.get("content"), place)))
        elif role == "assistant":
            self._assistant(message, place)
        elif role == "tool":
            self._result(message, place)
        elif role in SYSTEM:
            self._said.system(self.texts(message, place))
        else:
            raise self._exchange.impossible(f"{place}.role", f"{role!r} is not known here")
        for name in message.keys() - _READ:
            self._exchange.lost(f"{place}.{name}", "Bedrock's messages have nothing like it")

    def texts(self, message: Json, place: str) -> list[Json]:
        """A system message as blocks, without the empty ones."""
        found = self._content.marked(message, self._content.blocks(message.get("content"), place))
        if any("text" not in block and "cachePoint" not in block and "guardContent" not in block for block in found):
            raise self._exchange.impossible(f"{place}.content", "a system message can only hold text")
        return found

    def end(self) -> list[dict[str, Any]]:
        """The turns, all of them."""
        self._close()
        self._said.begun(self.turns, assistant_first=self._family.assistant_first)
        for each in self.turns:
            if each["role"] == "user":
                each["content"] = with_words(each["content"])
        return self.turns

    def _close(self) -> None:
        results = [block for blocks in self._calls.close(self._missing) for block in blocks]
        if results and self._said and self._family.lone_results:
            self.turns += [turn("user", results), turn("assistant", [_text(NOT_EMPTY)])]
            self._exchange.changed(
                "messages",
                f"hold words beside tool results; they went apart, with {NOT_EMPTY!r} between",
            )
            results = []
        self._said.close(self.turns, results)

    def _result(self, message: Json, place: str) -> None:
        identity, told = self._calls.answered(message, place)
        content = message.get("content")
        found = self._as_object(content) or self._content.blocks(content, place)
        points = [block for block in found if "cachePoint" in block]
        status = "error" if message.get("is_error") else "success"
        result = self._told(told, [block for block in found if "cachePoint" not in block], status)
        self._calls.answer(identity, self._content.marked(message, [result, *points[-1:]]))

    def _missing(self, identity: str, told: str) -> list[Json]:
        return [self._told(told, [_text(NO_RESULT)], "error")]

    def _told(self, identity: str, content: list[Json], status: str) -> Json:
        inner: dict[str, Any] = {"toolUseId": identity, "content": content or [_text(NOT_EMPTY)]}
        if self._family.result_status:
            inner["status"] = status
        return {"toolResult": inner}

    def _as_object(self, content: Any) -> list[Json]:
        if not self._family.json_results or not isinstance(content, str) or content[:1] != "{":
            return []
        try:
            return [{"json": orjson.loads(content)}]
        except ValueError:
            return []

    def _assistant(self, message: Json, place: str) -> None:
        self._close()
        for name in ("function_call", "audio"):
            if message.get(name):
                raise self._exchange.impossible(f"{place}.{name}", "Bedrock has nothing like it; send tool_calls")
        calls = listed(message.get("tool_calls"), f"{place}.tool_calls", self._exchange)
        told = [self._calls.add(call, f"{place}.tool_calls[{at}]", self._tell) for at, call in enumerate(calls)]
        content = _kept(message, calls, told)
        if content is None:
            content = self._thinking(message, place)
            said = self._content.blocks(message.get("content"), place)
            if not said and not calls:
                said = self._content.blocks(message.get("refusal"), place)
            content += said
            for index, call in enumerate(calls):
                content += self._call(call, told[index], f"{place}.tool_calls[{index}]")
        content = self._content.marked(message, content)
        if not content:
            return
        if self.turns and self.turns[-1]["role"] == "assistant":
            self.turns[-1]["content"] += content
        else:
            self.turns.append(turn("assistant", content))

    def _tell(self, identity: str) -> str:
        told = apart(_UNFIT_ID.sub("_", identity) or "call", self._exchange.ids, _LONGEST)
        self._exchange.ids[told] = identity
        return told

    def _thinking(self, message: Json, place: str) -> list[Json]:
        found: list[Json] = []
        vendor = self._family.vendor
        blocks = objects(message.get("thinking_blocks"))
        left = bool(message.get("reasoning_content") or blocks)
        if self._family.thinking_back:
            found = [made for block in blocks if (made := _signed(block, vendor))]
            left = len(found) < len(blocks) or (left and not found)
        if left:
            self._exchange.changed(
                f"{place}.reasoning_content",
                f"was left out: {self._exchange.model} takes no thinking but what it signed itself",
            )
        return found

    def _call(self, call: Json, told: str, place: str) -> list[Json]:
        if call.get("type", "function") != "function":
            raise self._exchange.impossible(place, "Bedrock has no custom tools; describe it as a function")
        function = mapping(call.get("function"))
        use = {
            "toolUseId": told,
            "name": fit_name(string(function.get("name")), self._exchange),
            "input": tool_input(function.get("arguments"), place, self._exchange),
        }
        if call.get("extra_content"):
            self._exchange.unsigned(place, self._exchange.model)
        return self._content.marked(call, [{"toolUse": use}])


def _kept(message: Json, calls: Sequence[Json], told: Sequence[str]) -> list[Json] | None:
    """Blocks of an answer that chat could not tell; None when the caller changed the message since."""
    kept = objects(mapping(message.get(EXTRA)).get("content"))
    if not kept:
        return None
    content = message.get("content")
    said = content if isinstance(content, str) else "".join(string(each.get("text")) for each in objects(content))
    uses = [mapping(block.get("toolUse")) for block in kept if is_call(block)]
    if said != "".join(map(text_in, kept)) or [use.get("toolUseId") for use in uses] != [c.get("id") for c in calls]:
        return None
    ours = dict(zip((use["toolUseId"] for use in uses), told, strict=True))
    return [
        {"toolUse": {**block["toolUse"], "toolUseId": ours[block["toolUse"]["toolUseId"]]}} if is_call(block) else block
        for block in kept
        if "text" not in block or string(block["text"]).strip()
    ]


def _signed(block: Json, vendor: str) -> Json | None:
    """A thinking block as Bedrock's; None when its signature is another vendor's, or missing."""
    if block.get("type") == "redacted_thinking":
        maker, data = whose(string(block.get("data")))
        if maker != vendor or not data:
            return None
        return {"reasoningContent": {"redactedContent": base64.b64encode(data.encode()).decode()}}
    maker, signature = whose(string(block.get("signature")))
    if maker != vendor or not signature:
        return None
    return {"reasoningContent": {"reasoningText": {"text": string(block.get("thinking")), "signature": signature}}}


def _text(text: str) -> Json:
    return {"text": text}


def _tagged(block: Json) -> Json:
    return _text(f"<system>{block['text']}</system>") if "text" in block else block
