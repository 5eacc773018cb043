"""Anthropic's streams put together to a message, and messages told as a stream."""

from __future__ import annotations

from typing import Any

from ... import exact
from ...message import Json
from ..cargo import mapping, objects, string
from ..sse import Splitter
from .anthropic_writer import event
from .core import Replay

_KNOWN = frozenset(
    (
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
        "ping",
    )
)
_FIELDS = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}
_STOPS = ("stop_reason", "stop_sequence", "stop_details")


class MessagesAssembler:
    """
    Adds one stream up. Gives nothing when the stream was cut short, told of an error, or had in it
    what nobody here knows: half an answer is worse than none.
    """

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._message: dict[str, Any] = {}
        self._blocks: list[dict[str, Any]] = []
        self._pieces: list[dict[str, list[str]]] = []
        """For each block what its text fields are made of."""
        self._over = False
        self._odd = False

    def feed(self, data: bytes, /) -> None:
        """More of the stream."""
        for _, payload, whole in self._splitter.feed(data):
            if not self._over and not self._odd:
                self._read(payload, whole)

    def whole(self) -> Json | None:
        """The message; None when it is not all there."""
        for _, payload, whole in self._splitter.end():
            if not self._over and not self._odd:
                self._read(payload, whole)
        if not self._over or self._odd:
            return None
        return self._message

    def _read(self, payload: bytes, whole: bool) -> None:
        if payload == b"[DONE]":
            return
        try:
            item = mapping(exact.read(payload) if whole else None)
            kind = item.get("type")
            if kind not in _KNOWN:
                self._odd = True
            elif kind != "ping":
                self._event(kind, item)
        except (KeyError, IndexError, TypeError, ValueError):
            self._odd = True

    def _event(self, kind: Any, item: Json) -> None:
        if kind == "content_block_delta":
            self._delta(item["index"], item["delta"])
        elif kind == "content_block_start":
            if item["index"] != len(self._blocks):
                raise IndexError
            self._blocks.append(dict(item["content_block"]))
            self._pieces.append({})
        elif kind == "content_block_stop":
            self._block_ended(item["index"])
        elif kind == "message_start":
            self._message = {**item["message"], "usage": dict(mapping(item["message"].get("usage")))}
        elif kind == "message_delta":
            self._message.update(item["delta"])
            told = {name: value for name, value in mapping(item.get("usage")).items() if value is not None}
            self._message["usage"].update(told)
        else:
            self._over = bool(self._message.get("stop_reason")) and not any(self._pieces)
            self._odd = not self._over
            self._message["content"] = self._blocks

    def _delta(self, index: int, delta: Json) -> None:
        kind = delta["type"]
        field = _FIELDS.get(kind)
        if field is not None:
            self._pieces[index].setdefault(field, []).append(delta[field])
        elif kind == "input_json_delta":
            self._pieces[index].setdefault("input", []).append(delta["partial_json"])
        elif kind == "citations_delta":
            block = self._blocks[index]
            block["citations"] = [*(block.get("citations") or ()), delta["citation"]]
        else:
            self._odd = True

    def _block_ended(self, index: int) -> None:
        block = self._blocks[index]
        for field, pieces in self._pieces[index].items():
            text = "".join(pieces)
            if field != "input":
                block[field] = string(block.get(field)) + text
            elif text:
                value = exact.read(text.encode())
                if not isinstance(value, dict):
                    raise TypeError
                block["input"] = value
        self._pieces[index] = {}


def events(answer: Json, request: Json) -> list[bytes]:
    """The message as Anthropic would have streamed it, event by event."""
    usage = mapping(answer.get("usage"))
    begun: Json = {**answer, "content": [], **{name: None for name in _STOPS if name in answer}}
    told = [event("message_start", {"message": begun})]
    for index, block in enumerate(objects(answer.get("content"))):
        start, deltas = _taken_apart(block)
        told.append(event("content_block_start", {"index": index, "content_block": start}))
        told += [event("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        told.append(event("content_block_stop", {"index": index}))
    ended = {name: answer[name] for name in _STOPS if name in answer}
    if answer.get("container") is not None:
        ended["container"] = answer["container"]
    counted = {name: usage[name] for name in usage if name in _COUNTED}
    told.append(event("message_delta", {"delta": ended, "usage": counted}))
    told.append(event("message_stop", {}))
    return told


_COUNTED = frozenset(
    (
        "input_tokens",
        "output_tokens",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "output_tokens_details",
        "server_tool_use",
    )
)


def _taken_apart(block: Json) -> tuple[Json, list[Json]]:
    """How a block begins, and what fills it."""
    kind = block.get("type")
    if kind == "text":
        start: dict[str, Any] = {**block, "text": ""}
        cited = objects(start.pop("citations", None))
        if "citations" in block and not cited:
            start["citations"] = block["citations"]  # an empty list, or null
        deltas: list[Json] = [{"type": "text_delta", "text": block["text"]}] if block.get("text") else []
        return start, [*deltas, *({"type": "citations_delta", "citation": each} for each in cited)]
    if kind == "thinking":
        deltas = [
            {"type": f"{field}_delta", field: block[field]} for field in ("thinking", "signature") if block.get(field)
        ]
        return {**block, "thinking": "", "signature": ""}, deltas
    if isinstance(block.get("input"), dict):
        text = exact.write(block["input"]).decode() if block["input"] else ""
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": text}]
    return block, []


REPLAY = Replay(dialect="anthropic.messages", assembler=MessagesAssembler, events=events)
