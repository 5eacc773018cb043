"""
Chat chunks as Anthropic's stream.

Theory of operation. Anthropic's blocks come one after another, chat's tool calls may be interleaved.
One block is open at a time. A call that begins while another is open is written at once when the
open one's arguments are a whole JSON object, for nothing can follow that; else it is held back until
they are, or until the end. Words that come between are written after the open call.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import CallError, Failed
from ...message import Json
from ..anthropic import refusal
from ..cargo import count, mapping, objects, parse, string
from . import frames
from .anthropic_answer import citation, made_up_id, message_id, stopped, unseen, usage_from_chat
from .anthropic_parts import EXTRA
from .core import Exchange
from .marks import NOBODY

_WORDS = ("reasoning_content", "thinking_blocks", "content", "annotations")
_EMPTY: dict[str, Json] = {
    "text": {"type": "text", "text": ""},
    "thinking": {"type": "thinking", "thinking": "", "signature": ""},
}


class _Call:
    """A tool call on its way."""

    __slots__ = ("_judged", "_whole", "done", "extra", "identity", "index", "name", "pieces", "told", "written")

    def __init__(self, index: int, identity: str) -> None:
        self.index = index
        self.identity = identity
        self.name = ""
        self.extra: Any = None
        self.pieces: list[str] = []
        """Its arguments."""
        self.written = 0
        """How many of the pieces the caller has."""
        self.done = False
        self.told = False
        """Whether `extra` is on its way to the caller."""

        self._judged = 0
        self._whole = False

    def whole(self) -> bool:
        """Whether the arguments are all there: nothing can follow a whole object."""
        if self._judged != len(self.pieces):
            self._judged = len(self.pieces)
            self._whole = isinstance(parse("".join(self.pieces).encode()), dict)
        return self._whole


def event(name: str, data: Json) -> bytes:
    """One event, framed: Anthropic's SDK skips those without a name."""
    return frames.named(name, {"type": name, **data})


class MessagesWriter:
    """Writes one stream."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._out: list[bytes] = []
        self._started = False
        self._index = -1
        """Of the block written last."""
        self._open = ""
        """Its kind, while it is open."""
        self._proven = False
        """Whether the open thinking has its signature."""
        self._calls: dict[int, _Call] = {}
        self._call: _Call | None = None
        """The call whose block is open."""
        self._text: list[str] = []
        self._waiting: list[Json] = []
        """Words that came while a call's arguments were not yet whole."""
        self._refusal = ""
        self._choice: Json = {}
        self._usage: Json = {}
        self._tier: Any = None

    def write(self, chunk: Json, /) -> bytes:
        """The events for one chunk."""
        if not self._started:
            self._begin(chunk)
        if chunk.get("usage"):
            self._usage = mapping(chunk["usage"])
        if chunk.get("service_tier"):
            self._tier = chunk["service_tier"]
        for choice in objects(chunk.get("choices")):
            if not choice.get("index"):
                delta = choice.get("delta")
                if delta:
                    self._delta(mapping(delta))
                if choice.get("finish_reason"):
                    self._choice = choice
        return self._taken()

    def end(self) -> bytes:
        """The last block's end, why it stopped, and the stop."""
        if not self._started:
            self._begin({})
        self._close()
        for call in self._calls.values():
            if not call.done:
                self._begin_call(call)
                self._close()
        late = {call.identity: call.extra for call in self._calls.values() if call.extra and not call.told}
        if late:
            self._start("redacted_thinking", unseen(late))
        for delta in self._waiting:
            self._words(delta)
        self._close()
        ended = stopped(self._choice, {"tool_calls": list(self._calls), "refusal": self._refusal or None})
        self._emit("message_delta", {"delta": ended, "usage": usage_from_chat(self._usage, self._tier)})
        self._emit("message_stop", {})
        return self._taken()

    def fail(self, error: Exception, /) -> bytes:
        """The error event; nothing follows."""
        told = error if isinstance(error, CallError) else Failed("the answer broke off")
        return event("error", refusal(told, self._exchange.request_id))

    # ------------------------------------------------------------ pieces

    def _emit(self, name: str, data: Json) -> None:
        self._out.append(event(name, data))

    def _taken(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def _begin(self, chunk: Json) -> None:
        self._started = True
        message: dict[str, Any] = {
            "id": message_id(chunk.get("id"), self._exchange),
            "type": "message",
            "role": "assistant",
            "model": chunk.get("model") or self._exchange.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": {"input_tokens": 0, "output_tokens": 0},  # nobody knows yet
        }
        self._emit("message_start", {"message": message})

    def _delta(self, delta: Json) -> None:
        if self._call is None or self._call.whole():
            self._words(delta)
        elif any(delta.get(name) for name in _WORDS):
            self._waiting.append(delta)
        if delta.get("refusal"):
            self._refusal += string(delta["refusal"])
        if delta.get(EXTRA):
            self._exchange.changed(f"delta.{EXTRA}", "was left out: it comes when the blocks it holds have been told")
        if delta.get("tool_calls"):
            for piece in objects(delta["tool_calls"]):
                self._piece(piece)

    def _words(self, delta: Json) -> None:
        reasoning = string(delta.get("reasoning_content"))
        if reasoning:
            self._block("thinking")
            self._fill({"type": "thinking_delta", "thinking": reasoning})
        if delta.get("thinking_blocks"):
            for block in objects(delta["thinking_blocks"]):
                self._thought(block)
        content = string(delta.get("content"))
        if content:
            self._block("text")
            self._text.append(content)
            self._fill({"type": "text_delta", "text": content})
        if delta.get("annotations"):
            self._cite(objects(delta["annotations"]))

    def _block(self, kind: str) -> None:
        """Has a block of this kind open."""
        if self._open != kind or (kind == "thinking" and self._proven):
            self._start(kind, dict(_EMPTY[kind]))

    def _start(self, kind: str, block: Json) -> None:
        self._close()
        self._index += 1
        self._open, self._proven = kind, False
        self._emit("content_block_start", {"index": self._index, "content_block": block})

    def _fill(self, delta: Json) -> None:
        self._emit("content_block_delta", {"index": self._index, "delta": delta})

    def _close(self) -> None:
        if not self._open:
            return
        if self._open == "thinking" and not self._proven:
            self._fill({"type": "signature_delta", "signature": NOBODY})
        if self._call is not None:
            self._call.done = True
            self._call = None
        self._emit("content_block_stop", {"index": self._index})
        self._open = ""

    def _thought(self, block: Json) -> None:
        """A whole thinking block: its words have mostly come already, its signature has not."""
        if block.get("type") == "redacted_thinking":
            self._start("redacted_thinking", {"type": "redacted_thinking", "data": block.get("data")})
            self._close()
            return
        if self._open != "thinking" or self._proven:
            self._block("thinking")
            if block.get("thinking"):
                self._fill({"type": "thinking_delta", "thinking": block["thinking"]})
        self._fill({"type": "signature_delta", "signature": block.get("signature") or NOBODY})
        self._proven = True

    def _cite(self, notes: Sequence[Json]) -> None:
        for note in notes:
            where = mapping(note.get("url_citation"))
            if where:
                self._block("text")
                text = "".join(self._text)[count(where.get("start_index")) : count(where.get("end_index"))]
                self._fill({"type": "citations_delta", "citation": citation(note, where, text)})

    # ------------------------------------------------------------ tool calls

    def _piece(self, piece: Json) -> None:
        call = self._called(piece)
        function = mapping(piece.get("function")) or mapping(piece.get("custom"))
        call.name = call.name or string(function.get("name"))
        call.extra = call.extra or piece.get("extra_content")
        text = string(function.get("arguments")) or string(function.get("input"))
        if text:
            call.pieces.append(text)
        if self._call is call:
            self._more(call)
        elif call.name and not call.done and (self._call is None or self._call.whole()):
            self._next(call)

    def _called(self, piece: Json) -> _Call:
        """The call this is a piece of: by index, else a new id or a name begins another."""
        index = piece.get("index")
        identity = string(piece.get("id"))
        if not isinstance(index, int):
            last = next(reversed(self._calls.values()), None)
            named = bool(mapping(piece.get("function")).get("name"))
            begins = identity != last.identity if identity and last else named
            index = last.index + begins if last else 0
        call = self._calls.get(index)
        if call is None:
            call = self._calls[index] = _Call(index, identity or made_up_id(index, self._exchange))
        return call

    def _next(self, call: _Call) -> None:
        """Opens the call's block, after those that came before it and were held back."""
        for held in self._calls.values():
            if held is not call and not held.done and held is not self._call and held.index < call.index:
                if not held.whole():
                    return
                self._begin_call(held)
        self._begin_call(call)

    def _begin_call(self, call: _Call) -> None:
        if call.extra:
            call.told = True
            self._start("redacted_thinking", unseen({call.identity: call.extra}))
        block: Json = {"type": "tool_use", "id": call.identity, "name": call.name, "input": {}}
        self._start("tool_use", block)
        self._call = call
        self._more(call)

    def _more(self, call: _Call) -> None:
        text = "".join(call.pieces[call.written :])
        if text:
            call.written = len(call.pieces)
            self._fill({"type": "input_json_delta", "partial_json": text})
