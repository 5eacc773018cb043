"""
The messages of a chat as Converse's turns.

Theory of operation. Turns alternate, and the results of a turn's tool calls stand in the very next user
message, all of them. So what follows an assistant turn is gathered until the next one: results by the id
they answer, user content, system messages. Then it is written down as one user message: results in the
order of the calls, a word for those that are missing, the content. Some families want results alone in
their message; there the content follows in a message of its own, with a turn of one sign between.

A system message in the middle stays where it is: models that know such messages get one, the others find
it tagged among the user's words.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

import orjson

from ...message import Json
from ..bedrock import is_call, text_in
from ..bedrock_models import Family
from ..capabilities import Capabilities
from ..cargo import mapping, objects, string
from .anthropic_parts import NOT_EMPTY, listed
from .anthropic_told import tool_input
from .converse_parts import EXTRA, Content, with_words
from .core import Exchange
from .marks import whose

SYSTEM = frozenset(("system", "developer"))
_LONGEST = 64
_UNFIT_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_UNFIT_ID = re.compile(r"[^a-zA-Z0-9_.:-]")
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
    """The tool's name as Bedrock takes it; the way back is kept in `exchange.names`."""
    fit = _UNFIT_NAME.sub("_", name)[:_LONGEST] or "tool"
    if fit == name and exchange.names.setdefault(name, name) == name:
        return name
    for told, known in exchange.names.items():
        if known == name:
            return told
    told, number = fit, 2
    while told in exchange.names:
        told, number = f"{fit[:56]}_{number}", number + 1
    exchange.names[told] = name
    exchange.changed(f"tool {name!r}", f"is called {told!r} at Bedrock, which takes 64 letters, digits, _ and -")
    return told


class Turns:
    """Writes the turns down, message by message."""

    def __init__(self, exchange: Exchange, capabilities: Capabilities, family: Family) -> None:
        self.turns: list[dict[str, Any]] = []
        self._exchange, self._family = exchange, family
        self._content = Content(exchange, family, hears=capabilities.audio)
        self._inline = capabilities.system_inline
        self._calls: dict[str, str] = {}
        """The last turn's calls: the caller's ids, and what Bedrock is told."""
        self._results: dict[str, list[Json]] = {}
        self._said: list[list[Json] | Json] = []
        """What the user said since, in pieces; a system message is a list of its own under `system`."""
        self._spoken = False

    def add(self, message: Json, place: str) -> None:
        """The next message of the chat, `place` in the request."""
        role = string(message.get("role"))
        if role == "user":
            self._spoken = True
            found = self._content.blocks(message.get("content"), place)
            self._said.append(self._content.marked(message, found))
        elif role == "assistant":
            self._assistant(message, place)
        elif role == "tool":
            self._result(message, place)
        elif role in SYSTEM:
            found = self.texts(message, place)
            if found:
                self._said.append({"system": found})
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
        if not self.turns:
            self.turns.append(_turn("user", [{"text": NOT_EMPTY}]))
            self._exchange.changed("messages", f"held no user message, so it got one: {NOT_EMPTY!r}")
        elif self.turns[0]["role"] == "assistant" and not self._family.assistant_first:
            self.turns.insert(0, _turn("user", [{"text": NOT_EMPTY}]))
            self._exchange.changed("messages", f"began with the assistant; the user says {NOT_EMPTY!r} first")
        return self.turns

    # ------------------------------------------------------------ what follows an assistant turn

    def _result(self, message: Json, place: str) -> None:
        identity = string(message.get("tool_call_id"))
        told = self._calls.get(identity)
        if told is None:
            raise self._exchange.impossible(
                f"{place}.tool_call_id", f"no tool call {identity!r} stands in the assistant message before it"
            )
        if identity in self._results:
            raise self._exchange.impossible(f"{place}.tool_call_id", f"the call {identity!r} has a result already")
        content = message.get("content")
        found = self._as_object(content) or self._content.blocks(content, place)
        points = [block for block in found if "cachePoint" in block]
        status = "error" if message.get("is_error") else "success"
        result = self._told(told, [block for block in found if "cachePoint" not in block], status)
        self._results[identity] = self._content.marked(message, [result, *points[-1:]])

    def _told(self, identity: str, content: list[Json], status: str) -> Json:
        inner: dict[str, Any] = {"toolUseId": identity, "content": content or [{"text": NOT_EMPTY}]}
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

    def _close(self) -> None:
        """Writes down what was gathered since the last assistant turn."""
        now = self._answers()
        if now and self._said and self._family.lone_results:
            self.turns += [_turn("user", now), _turn("assistant", [{"text": NOT_EMPTY}])]
            self._exchange.changed(
                "messages",
                f"hold words beside tool results; they went apart, with {NOT_EMPTY!r} between",
            )
            now = []
        for piece in self._said:
            if isinstance(piece, list):
                now.extend(piece)
            elif self._inline and now:
                self.turns += [_turn("user", with_words(now)), _turn("system", piece["system"])]
                now = []
            elif self._inline and self.turns and self.turns[-1]["role"] == "system":
                self.turns[-1]["content"].extend(piece["system"])
            else:
                now.extend(_tagged(block) for block in piece["system"])
                self._exchange.changed("messages", "hold a system message in the middle; it went as tagged user text")
        if now:
            self.turns.append(_turn("user", with_words(now)))
        elif self._spoken and (not self.turns or self.turns[-1]["role"] == "assistant"):
            self.turns.append(_turn("user", [{"text": NOT_EMPTY}]))
            self._exchange.changed("messages", f"hold a user message without a word; Bedrock was sent {NOT_EMPTY!r}")
        self._calls, self._results, self._said, self._spoken = {}, {}, [], False

    def _answers(self) -> list[Json]:
        found: list[Json] = []
        for identity, told in self._calls.items():
            result = self._results.get(identity)
            if result is None:
                result = [self._told(told, [{"text": _NO_RESULT}], "error")]
                self._exchange.changed("messages", f"hold no result for {identity!r}; it went as not answered")
            found += result
        return found

    # ------------------------------------------------------------ assistant turns

    def _assistant(self, message: Json, place: str) -> None:
        self._close()
        for name in ("function_call", "audio"):
            if message.get(name):
                raise self._exchange.impossible(f"{place}.{name}", "Bedrock has nothing like it; send tool_calls")
        calls = listed(message.get("tool_calls"), f"{place}.tool_calls", self._exchange)
        told = [self._identity(call, f"{place}.tool_calls[{index}]") for index, call in enumerate(calls)]
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
            self.turns.append(_turn("assistant", content))

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

    def _identity(self, call: Json, place: str) -> str:
        identity = string(call.get("id"))
        if identity in self._calls:
            raise self._exchange.impossible(f"{place}.id", f"two calls of one message have the id {identity!r}")
        stem = _UNFIT_ID.sub("_", identity)[:_LONGEST] or "call"
        told, number = stem, 2
        while told in self._exchange.ids:
            told, number = f"{stem[:56]}_{number}", number + 1
        self._exchange.ids[told] = identity
        self._calls[identity] = told
        return told


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


def _tagged(block: Json) -> Json:
    return {"text": f"<system>{block['text']}</system>"} if "text" in block else block


def _turn(role: str, content: list[Json]) -> dict[str, Any]:
    return {"role": role, "content": content}
