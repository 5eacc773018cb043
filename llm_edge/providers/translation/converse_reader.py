"""
ConverseStream as chat chunks.

Theory of operation. A message comes as blocks with numbers, filled piece by piece; only a tool call is sure
to be announced. Text, reasoning and arguments go on as they come; reasoning goes on once more, whole and
signed, when its block ends. The finish goes out with `messageStop`, the usage with the `metadata` behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ... import exact
from ...errors import BadAnswer
from ...message import Json
from ..bedrock import is_call
from ..bedrock_models import vendor
from ..cargo import mapping, parse, string
from ..eventstream import Frames
from . import frames
from .converse_answer import answer_id, rest_of
from .converse_parts import EXTRA
from .converse_told import annotation, finish, thinking_block, tier_of, told_in_chat, usage_to_chat
from .core import Exchange


class _Block:
    """One block as far as it has come."""

    __slots__ = ("begun", "call", "citations", "hidden", "pieces", "signature", "start")

    def __init__(self, start: int) -> None:
        self.begun: Json = {}
        """A tool call's id and name, or whatever else it began with."""
        self.call: int | None = None
        """The number of the tool call it is."""
        self.pieces: list[str] = []
        self.signature: str | None = None
        """Of reasoning; None while there was no sign of any."""
        self.hidden = ""
        self.citations: list[Json] = []
        self.start = start
        """Characters of text before it."""

    def whole(self) -> Json:
        """The block as it would have come in one piece."""
        text = "".join(self.pieces)
        if "toolUse" in self.begun:
            return {"toolUse": {**self.begun["toolUse"], "input": mapping(parse(text.encode()))}}
        if self.begun:
            return {**self.begun, "text": text} if text else self.begun
        if self.hidden:
            return {"reasoningContent": {"redactedContent": self.hidden}}
        if self.signature is not None:
            signed = {"signature": self.signature} if self.signature else {}
            return {"reasoningContent": {"reasoningText": {"text": text, **signed}}}
        if self.citations:
            return {"citationsContent": {"content": [{"text": text}], "citations": self.citations}}
        return {"text": text}


class ConverseReader:
    """Reads one stream. An exception ends it: the watcher, which hears the same bytes, tells what went wrong."""

    __slots__ = (
        "_base",
        "_blocks",
        "_calls",
        "_chars",
        "_events",
        "_exchange",
        "_frames",
        "_notes",
        "_over",
        "_thoughts",
        "_vendor",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._vendor = vendor(exchange.model)
        self._frames = Frames()
        self._base: dict[str, Any] = {
            "id": answer_id(exchange),
            "object": "chat.completion.chunk",
            "created": exchange.created,
            "model": exchange.model,
        }
        self._blocks: dict[int, _Block] = {}
        self._chars = self._calls = self._thoughts = self._notes = 0
        self._over = False
        self._events: dict[str, Callable[[Json], Sequence[Json]]] = {
            "messageStart": self._message_start,
            "contentBlockStart": self._block_start,
            "contentBlockDelta": self._block_delta,
            "contentBlockStop": self._block_stop,
            "messageStop": self._message_stop,
            "metadata": self._metadata,
        }

    def feed(self, data: bytes, /) -> Sequence[Json]:
        """The chunks that these bytes complete. Raises BadAnswer when they are none of Bedrock's."""
        chunks: list[Json] = []
        for frame in self._frames.feed(data):
            if frame.error:
                self._over = True
            handler = None if self._over else self._events.get(frame.event)
            if handler is not None:
                item = frames.load(frame.payload)
                try:
                    chunks += handler(item)
                except (KeyError, TypeError, AttributeError):
                    raise BadAnswer("an event of the stream is not one of Bedrock's") from None
        return chunks

    def end(self) -> Sequence[Json]:
        """Nothing is owed: a stream without its `messageStop` is cut short."""
        return ()

    # ------------------------------------------------------------ chunks

    def _chunk(self, delta: Json) -> Json:
        return {**self._base, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}

    def _call_chunk(self, index: int, arguments: str) -> Json:
        return self._chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})

    # ------------------------------------------------------------ events

    def _message_start(self, item: Json) -> Sequence[Json]:
        return (self._chunk({"role": "assistant", "content": ""}),)

    def _block(self, item: Json) -> _Block:
        index: int = item["contentBlockIndex"]
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = _Block(self._chars)
        return block

    def _block_start(self, item: Json) -> Sequence[Json]:
        block = self._block(item)
        block.begun = start = mapping(item.get("start"))
        if not is_call(start):
            return ()
        use = mapping(start["toolUse"])
        name = string(use.get("name"))
        block.call, self._calls = self._calls, self._calls + 1
        function = {"name": self._exchange.names.get(name, name), "arguments": ""}
        call = {"index": block.call, "id": use.get("toolUseId"), "type": "function", "function": function}
        return (self._chunk({"tool_calls": [call]}),)

    def _block_delta(self, item: Json) -> Sequence[Json]:
        block, delta = self._block(item), item["delta"]
        if "text" in delta:
            text: str = delta["text"]
            if not text:
                return ()
            block.pieces.append(text)
            self._chars += len(text)
            return (self._chunk({"content": text}),)
        if "toolUse" in delta:
            text = delta["toolUse"]["input"]
            if not text:
                return ()
            block.pieces.append(text)
            return () if block.call is None else (self._call_chunk(block.call, text),)
        if "reasoningContent" in delta:
            return self._reasoning(block, mapping(delta["reasoningContent"]))
        if "citation" in delta:
            block.citations.append(mapping(delta["citation"]))
        else:
            block.begun = {**block.begun, **mapping(delta)}
        return ()

    def _reasoning(self, block: _Block, piece: Json) -> Sequence[Json]:
        block.signature = (block.signature or "") + string(piece.get("signature"))
        block.hidden += string(piece.get("redactedContent"))
        text = string(piece.get("text"))
        if not text:
            return ()
        block.pieces.append(text)
        return (self._chunk({"reasoning_content": text}),)

    def _block_stop(self, item: Json) -> Sequence[Json]:
        block = self._block(item)
        if block.call is not None and not block.pieces:
            block.pieces.append(exact.write({}).decode())
            return (self._call_chunk(block.call, block.pieces[0]),)
        if block.signature is not None:
            told = thinking_block(mapping(block.whole()["reasoningContent"]), self._vendor)
            if told is None:
                return ()
            # The index is for whoever adds deltas up, as OpenAI's SDK does.
            index, self._thoughts = self._thoughts, self._thoughts + 1
            return (self._chunk({"thinking_blocks": [{"index": index, **told}]}),)
        notes: list[Json] = []
        for each in block.citations:
            note = annotation(each, block.start, self._chars)
            if note is not None:
                notes.append({"index": self._notes, **note})
                self._notes += 1
        return (self._chunk({"annotations": notes}),) if notes else ()

    def _message_stop(self, item: Json) -> Sequence[Json]:
        whole = [self._blocks[index].whole() for index in sorted(self._blocks)]
        kept = told_in_chat(whole, self._exchange, self._vendor).get(EXTRA)
        ended = finish(string(item.get("stopReason")), calls=self._calls > 0)
        last = {**self._base, "choices": [{"index": 0, "delta": {EXTRA: kept} if kept else {}, **ended}]}
        more = item.get("additionalModelResponseFields")
        return ({**last, EXTRA: {"additionalModelResponseFields": more}} if more else last,)

    def _metadata(self, item: Json) -> Sequence[Json]:
        self._over = True
        rest = rest_of(item)
        told: dict[str, Any] = {**tier_of(item), EXTRA: rest} if rest else tier_of(item)
        usage = mapping(item.get("usage"))
        if not usage and not told:
            return ()
        counted = {"usage": usage_to_chat(usage)} if usage else {}
        return ({**self._base, "choices": [], **counted, **told},)
