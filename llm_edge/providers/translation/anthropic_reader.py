"""
Anthropic's stream as chat chunks.

Theory of operation. A message comes as blocks, one after another, each begun, filled and ended. Text
and arguments go on as they come. Thinking goes on as it comes too, and once more whole, with its
signature, when its block ends: that is what has to be given back. What chat has nothing like is
gathered and rides on the last delta. Everything but the end is emitted at once; the finish and the
usage wait for `message_stop`, so a stream cut short never looks finished.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import exact
from ...errors import BadAnswer
from ...message import Json
from ..cargo import mapping, objects, parse, string
from ..sse import LARGEST, Splitter
from . import frames
from .anthropic_answer import annotation, finish, usage_to_chat
from .anthropic_parts import EXTRA
from .anthropic_told import told_in_chat
from .core import Exchange

_PLAIN = frozenset(("text", "thinking", "redacted_thinking", "tool_use"))


class MessagesReader:
    """
    Reads one stream. An `error` event ends it: the dialect's watcher, which hears the same bytes,
    tells what went wrong.
    """

    __slots__ = (
        "_base",
        "_block",
        "_blocks",
        "_calls",
        "_chars",
        "_events",
        "_exchange",
        "_notes",
        "_over",
        "_pieces",
        "_splitter",
        "_start",
        "_stopped",
        "_thoughts",
        "_usage",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._splitter = Splitter(limit=LARGEST)
        self._base: dict[str, Any] = self._headed(exchange.request_id, exchange.model)
        self._blocks: list[dict[str, Any]] = []
        self._block: dict[str, Any] = {}
        """The block that is open."""
        self._pieces: list[str] = []
        """Its text, thinking or arguments so far."""
        self._chars = 0
        """Characters of text before the open block."""
        self._calls = self._thoughts = self._notes = 0
        self._start: Json = {}
        self._stopped: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._over = False
        self._events: dict[str, Callable[[Json], Sequence[Json]]] = {
            "message_start": self._message_start,
            "content_block_start": self._block_start,
            "content_block_delta": self._block_delta,
            "content_block_stop": self._block_stop,
            "message_delta": self._message_delta,
            "message_stop": self._message_stop,
            "error": self._error,
        }

    def feed(self, data: bytes, /) -> Sequence[Json]:
        """The chunks that these bytes complete. Raises BadAnswer when they are none of Anthropic's."""
        chunks: list[Json] = []
        for _, event, whole in self._splitter.feed(data):
            if not self._over:
                item = frames.load(event, whole)
                try:
                    chunks += self._read(item)
                except (KeyError, TypeError, AttributeError, ValueError):
                    raise BadAnswer("an event of the stream is not one of Anthropic's") from None
        return chunks

    def end(self) -> Sequence[Json]:
        """The event that was still waiting for its empty line."""
        chunks: list[Json] = []
        for _, event, _whole in self._splitter.end():
            item = parse(event)  # it may be cut
            if mapping(item).get("type") in self._events and not self._over:
                chunks += self._read(mapping(item))
        return chunks

    def _read(self, item: Json) -> Sequence[Json]:
        handler = self._events.get(item["type"])
        return handler(item) if handler is not None else ()  # a ping, or something newer than this

    # ------------------------------------------------------------ chunks

    def _headed(self, identity: str, model: str) -> dict[str, Any]:
        return {"id": identity, "object": "chat.completion.chunk", "created": self._exchange.created, "model": model}

    def _chunk(self, delta: Json) -> Json:
        return {**self._base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

    def _call_chunk(self, index: int, arguments: str) -> Json:
        return self._chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})

    # ------------------------------------------------------------ events

    def _message_start(self, item: Json) -> Sequence[Json]:
        message = self._start = mapping(item.get("message"))
        identity = string(message.get("id")) or f"msg_{self._exchange.request_id}"
        self._base = self._headed(identity, string(message.get("model")) or self._exchange.model)
        self._count(message)
        return (self._chunk({"role": "assistant", "content": ""}),)

    def _block_start(self, item: Json) -> Sequence[Json]:
        block = self._block = dict(mapping(item.get("content_block")))
        self._blocks.append(block)
        self._pieces = []
        kind = block.get("type")
        if kind == "text":
            return self._grown("text", "content")
        if kind == "thinking":
            return self._grown("thinking", "reasoning_content")
        if kind == "redacted_thinking":
            return (self._thought(block),)
        if kind == "tool_use":
            name = string(block.get("name"))
            index, self._calls = self._calls, self._calls + 1
            function = {"name": self._exchange.names.get(name, name), "arguments": ""}
            return (
                self._chunk(
                    {"tool_calls": [{"index": index, "id": block.get("id"), "type": "function", "function": function}]}
                ),
            )
        return ()

    def _grown(self, field: str, told: str) -> Sequence[Json]:
        """A block that begins with something in it."""
        text = string(self._block.get(field))
        if not text:
            return ()
        self._pieces.append(text)
        return (self._chunk({told: text}),)

    def _block_delta(self, item: Json) -> Sequence[Json]:
        delta = item["delta"]
        kind = delta["type"]
        if kind == "text_delta":
            text = delta["text"]
            self._pieces.append(text)
            return (self._chunk({"content": text}),) if text else ()
        if kind == "input_json_delta":
            text = delta["partial_json"]
            if not text:
                return ()
            self._pieces.append(text)
            return (self._call_chunk(self._calls - 1, text),) if self._block.get("type") == "tool_use" else ()
        if kind == "thinking_delta":
            text = delta["thinking"]
            self._pieces.append(text)
            return (self._chunk({"reasoning_content": text}),) if text else ()
        if kind == "signature_delta":
            self._block["signature"] = string(self._block.get("signature")) + delta["signature"]
        elif kind == "citations_delta":
            self._block["citations"] = [*(self._block.get("citations") or ()), delta["citation"]]
        return ()

    def _block_stop(self, item: Json) -> Sequence[Json]:
        block, text = self._block, "".join(self._pieces)
        kind = block.get("type")
        if kind == "text":
            return self._text_ended(block, text)
        if kind == "thinking":
            block["thinking"] = text
            return (self._thought(block),)
        if kind == "tool_use":
            given = mapping(block.get("input"))
            if not text:
                text = exact.write(given).decode()
                block["input"] = given
                return (self._call_chunk(self._calls - 1, text),)
            block["input"] = mapping(parse(text.encode()))
        elif text:
            block["input"] = mapping(parse(text.encode()))
        return ()

    def _text_ended(self, block: dict[str, Any], text: str) -> Sequence[Json]:
        block["text"] = text
        start, self._chars = self._chars, self._chars + len(text)
        if not block.get("citations"):
            return ()
        notes: list[Json] = []
        for each in objects(block["citations"]):
            note = annotation(each, start, self._chars)
            if note is not None:
                notes.append({"index": self._notes, **note})
                self._notes += 1
        return (self._chunk({"annotations": notes}),) if notes else ()

    def _thought(self, block: Json) -> Json:
        # The index is for whoever adds deltas up, as OpenAI's SDK does.
        index, self._thoughts = self._thoughts, self._thoughts + 1
        return self._chunk({"thinking_blocks": [{"index": index, **block}]})

    def _message_delta(self, item: Json) -> Sequence[Json]:
        self._stopped.update({name: value for name, value in mapping(item.get("delta")).items() if value is not None})
        self._count(item)
        return ()

    def _message_stop(self, item: Json) -> Sequence[Json]:
        self._over = True
        told: dict[str, Any] = {}
        ended = finish(self._stopped, told)
        if len(self._blocks) > 1 or any(b.get("type") not in _PLAIN or "citations" in b for b in self._blocks):
            kept = told_in_chat(self._blocks).get(EXTRA)
            if kept is not None:
                told[EXTRA] = kept
        last = {**self._base, "choices": [{"index": 0, "delta": told, **ended}]}
        rest = {name: self._stopped[name] for name in self._stopped if name not in _ENDS}
        if rest:
            last[EXTRA] = rest
        if not self._usage:
            return (last,)
        return (last, {**self._base, "choices": [], "usage": usage_to_chat(self._usage)})

    def _error(self, item: Json) -> Sequence[Json]:
        self._over = True
        return ()

    def _count(self, item: Json) -> None:
        # Cumulative: what is named replaces what was said before.
        usage = mapping(item.get("usage"))
        self._usage.update({name: value for name, value in usage.items() if value is not None})


_ENDS = frozenset(("stop_reason", "stop_sequence", "stop_details"))
