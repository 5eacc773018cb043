"""
Chat chunks as ConverseStream.

Blocks have numbers, so tool calls may come interleaved: each gets a block when its name is known and keeps
it until the end. Words and reasoning have one block at a time between them.
"""

from __future__ import annotations

from typing import Any

from ...errors import CallError
from ...message import Json
from ..bedrock_models import vendor
from ..cargo import mapping, objects, string
from ..eventstream import event, exception
from .converse_parts import EXTRA
from .converse_said import call_id, citation, reasoning, stop_reason, unseen, usage_from_chat
from .core import Exchange
from .frames import dump
from .marks import NOBODY

_EXCEPTIONS = {
    400: "validationException",
    408: "modelTimeoutException",
    424: "modelStreamErrorException",
    429: "throttlingException",
    503: "serviceUnavailableException",
}


class _Call:
    """A tool call on its way; its block begins when its name is known."""

    __slots__ = ("block", "extra", "identity", "name", "pieces")

    def __init__(self, identity: str) -> None:
        self.identity, self.name = identity, ""
        self.block: int | None = None
        self.extra: Any = None
        """What its vendor says about it and the caller has no field for, until it is told."""
        self.pieces: list[str] = []


class ConverseWriter:
    """Writes one stream."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._maker = vendor(exchange.model)
        self._out: list[bytes] = []
        self._started = False
        self._next = 0
        """The number of the next block."""
        self._open: tuple[str, int] | None = None
        """What the open block holds, `text` or `reasoningContent`, and its number."""
        self._proven = False
        """Whether the open block has its signature or citation, so that no more words belong to it."""
        self._calls: dict[int, _Call] = {}
        self._choice: Json = {}
        self._usage: Json = {}
        self._rest: dict[str, Any] = {}

    def write(self, chunk: Json, /) -> bytes:
        """The events for one chunk."""
        self._begin()
        if chunk.get("usage"):
            self._usage = mapping(chunk["usage"])
        if chunk.get("service_tier"):
            self._rest["serviceTier"] = {"type": chunk["service_tier"]}
        self._rest.update(mapping(chunk.get(EXTRA)))
        for choice in objects(chunk.get("choices")):
            if not choice.get("index"):
                self._delta(mapping(choice.get("delta")))
                if choice.get("finish_reason"):
                    self._choice = choice
        return self._taken()

    def end(self) -> bytes:
        """The last blocks' ends, why it stopped, and the counts."""
        self._begin()
        self._close()
        for call in self._calls.values():
            if call.block is None:
                self._announce(call)
            self._emit("contentBlockStop", {"contentBlockIndex": call.block})
        late = {call.identity: call.extra for call in self._calls.values() if call.extra}
        if late:
            self._unseen(late)
        stopped: dict[str, Any] = {"stopReason": stop_reason(self._choice, calls=bool(self._calls))}
        more = self._rest.pop("additionalModelResponseFields", None)
        if more:
            stopped["additionalModelResponseFields"] = more
        self._emit("messageStop", stopped)
        self._emit("metadata", {"usage": usage_from_chat(self._usage), "metrics": {"latencyMs": 0}, **self._rest})
        return self._taken()

    def fail(self, error: Exception, /) -> bytes:
        """The exception; nothing follows."""
        told = error if isinstance(error, CallError) else CallError("the answer broke off")
        name = _EXCEPTIONS.get(told.status) or (
            "internalServerException" if told.status >= 500 else "validationException"
        )
        return exception(name, dump({"message": told.message}))

    # ------------------------------------------------------------ pieces

    def _emit(self, name: str, data: Json) -> None:
        self._out.append(event(name, dump(data)))

    def _taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _begin(self) -> None:
        if not self._started:
            self._started = True
            self._emit("messageStart", {"role": "assistant"})

    def _delta(self, delta: Json) -> None:
        thought = string(delta.get("reasoning_content"))
        if thought:
            self._fill("reasoningContent", {"text": thought})
        for block in objects(delta.get("thinking_blocks")):
            self._thought(block)
        text = string(delta.get("content")) + string(delta.get("refusal"))
        if text:
            self._fill("text", text)
        for note in objects(delta.get("annotations")):
            if note.get("type") == "url_citation":
                self._fill("text", citation(mapping(note.get("url_citation"))), told="citation")
                self._proven = True  # words that follow are others
        for piece in objects(delta.get("tool_calls")):
            self._piece(piece)
        if delta.get(EXTRA):
            self._exchange.changed(f"delta.{EXTRA}", "was left out: it comes when the blocks it holds have been told")

    def _fill(self, kind: str, value: Any, *, told: str = "") -> None:
        """A piece for the open block; a new block where another kind is open, or proven reasoning."""
        if self._open is None or self._open[0] != kind or (self._proven and not told):
            self._close()
            self._open, self._next = (kind, self._next), self._next + 1
        self._emit("contentBlockDelta", {"contentBlockIndex": self._open[1], "delta": {told or kind: value}})

    def _close(self) -> None:
        if self._open is not None:
            if self._open[0] == "reasoningContent" and not self._proven:
                self._fill("reasoningContent", {"signature": NOBODY})
            self._emit("contentBlockStop", {"contentBlockIndex": self._open[1]})
        self._open, self._proven = None, False

    def _thought(self, block: Json) -> None:
        """A whole thinking block: its words have mostly come already, its signature has not."""
        made = mapping(reasoning(block, self._maker)["reasoningContent"])
        if "redactedContent" in made:
            self._close()
            self._fill("reasoningContent", made)
        else:
            text = mapping(made.get("reasoningText"))
            begun = self._open is not None and self._open[0] == "reasoningContent" and not self._proven
            if not begun and text.get("text"):
                self._fill("reasoningContent", {"text": text["text"]})
            if text.get("signature"):
                self._fill("reasoningContent", {"signature": text["signature"]})
        self._proven = True

    def _piece(self, piece: Json) -> None:
        index = piece.get("index")
        index = index if isinstance(index, int) else max(len(self._calls) - (not piece.get("id")), 0)
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = _Call(string(piece.get("id")) or call_id(index, self._exchange))
        function = mapping(piece.get("function")) or mapping(piece.get("custom"))
        call.name = call.name or string(function.get("name"))
        call.extra = piece.get("extra_content") or call.extra
        text = string(function.get("arguments")) or string(function.get("input"))
        if text:
            call.pieces.append(text)
        if call.block is None and call.name:
            self._announce(call)
        elif text and call.block is not None:
            self._argue(call, text)

    def _announce(self, call: _Call) -> None:
        self._close()
        if call.extra:  # before its call, as thinking stands
            self._unseen({call.identity: call.extra})
            call.extra = None
        call.block, self._next = self._next, self._next + 1
        start = {"toolUse": {"toolUseId": call.identity, "name": call.name}}
        self._emit("contentBlockStart", {"contentBlockIndex": call.block, "start": start})
        if call.pieces:
            self._argue(call, "".join(call.pieces))

    def _unseen(self, extra: Json) -> None:
        self._fill("reasoningContent", mapping(unseen(extra)["reasoningContent"]))
        self._close()

    def _argue(self, call: _Call, text: str) -> None:
        self._emit("contentBlockDelta", {"contentBlockIndex": call.block, "delta": {"toolUse": {"input": text}}})
