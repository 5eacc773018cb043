"""A Responses stream put together to the response, and a response taken apart to a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import Failed
from ...message import Json
from ..cargo import mapping, objects, string
from ..sse import Splitter
from . import frames
from .chat_replay import cut
from .core import Replay

_ENDS = frozenset({"response.completed", "response.incomplete"})
_BROKEN = frozenset({"response.failed", "error"})


class ResponsesAssembler:
    """Keeps the response that the last event tells whole; of the others only the finished items, should it not."""

    __slots__ = ("_broken", "_items", "_response", "_splitter")

    def __init__(self) -> None:
        self._splitter = Splitter()
        self._items: dict[int, Json] = {}
        self._response: Json | None = None
        self._broken = False

    def feed(self, data: bytes, /) -> None:
        self._read(self._splitter.feed(data))

    def whole(self) -> Json | None:
        """The response; None when the stream was cut, or the response failed."""
        self._read(self._splitter.end())
        response = None if self._broken else self._response
        if response is None or isinstance(response.get("output"), list):
            return response
        return {**response, "output": [self._items[place] for place in sorted(self._items)]}

    def _read(self, events: Sequence[tuple[bytes, bytes, bool]]) -> None:
        for name, content, whole in events:
            if self._broken or self._response is not None or not content or content.startswith(b"[DONE]"):
                continue
            if name and name not in _TELLING:
                continue
            try:
                self._item(name, frames.load(content, whole))
            except Failed:
                self._broken = True

    def _item(self, name: bytes, item: Json) -> None:
        kind = string(item.get("type")) or name.decode(errors="replace")
        if kind in _BROKEN:
            self._broken = True
        elif kind in _ENDS:
            self._response = mapping(item.get("response"))
        elif kind == "response.output_item.done" and type(item.get("output_index")) is int:
            self._items[item["output_index"]] = mapping(item.get("item"))


_TELLING = frozenset(kind.encode() for kind in (*_ENDS, *_BROKEN, "response.output_item.done"))


# ------------------------------------------------------------------ a whole response as a stream


class _Stream:
    """The events of one response."""

    def __init__(self) -> None:
        self.events: list[bytes] = []

    def emit(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, "sequence_number": len(self.events), **fields}
        self.events.append(frames.named(kind, event))


def events(answer: Json, request: Json) -> list[bytes]:
    """The response as the events of a stream; the request changes nothing here, for usage is always told."""
    stream = _Stream()
    begun: dict[str, Any] = {**answer, "status": "in_progress", "output": [], "usage": None, "incomplete_details": None}
    begun.pop("completed_at", None)
    stream.emit("response.created", response=begun)
    stream.emit("response.in_progress", response=begun)
    for place, item in enumerate(objects(answer.get("output"))):
        _ITEMS.get(string(item.get("type")), _other)(stream, place, item)
        stream.emit("response.output_item.done", output_index=place, item=item)
    status = string(answer.get("status"))
    end = status if status in ("completed", "incomplete", "failed") else "completed"
    stream.emit(f"response.{end}", response=answer)
    return stream.events


def _other(stream: _Stream, place: int, item: Json) -> None:
    stream.emit("response.output_item.added", output_index=place, item=item)


def _message(stream: _Stream, place: int, item: Json) -> None:
    begun: dict[str, Any] = {**item, "content": [], "status": "in_progress"}
    stream.emit("response.output_item.added", output_index=place, item=begun)
    for index, part in enumerate(objects(item.get("content"))):
        kind = string(part.get("type"))
        field = "refusal" if kind == "refusal" else "text"
        where = {"item_id": item.get("id"), "output_index": place, "content_index": index}
        lists: dict[str, Any] = {name: [] for name in ("annotations", "logprobs") if name in part}
        stream.emit("response.content_part.added", **where, part={**part, field: "", **lists})
        if kind in ("output_text", "refusal"):
            _words(stream, where, kind, field, part)
        stream.emit("response.content_part.done", **where, part=part)


def _words(stream: _Stream, where: dict[str, Any], kind: str, field: str, part: Json) -> None:
    text = string(part.get(field))
    entries = objects(part.get("logprobs"))
    if "".join(string(entry.get("token")) for entry in entries) == text:
        pieces = [(string(entry.get("token")), [entry]) for entry in entries]
    else:
        pieces = [(piece, list[Json]()) for piece in cut(text)]
        if pieces:
            pieces[0] = (pieces[0][0], entries)
    told = kind == "output_text"
    for piece, logprobs in pieces:
        logs = {"logprobs": logprobs} if told else {}
        stream.emit(f"response.{kind}.delta", **where, delta=piece, **logs)
    for number, annotation in enumerate(objects(part.get("annotations"))):
        more = {"annotation_index": number, "annotation": annotation}
        stream.emit("response.output_text.annotation.added", **where, **more)
    logs = {"logprobs": entries} if told else {}
    stream.emit(f"response.{kind}.done", **where, **{field: text}, **logs)


def _reasoning(stream: _Stream, place: int, item: Json) -> None:
    begun = {name: item[name] for name in item if name not in ("encrypted_content", "content")}
    stream.emit("response.output_item.added", output_index=place, item={**begun, "summary": []})
    where = {"item_id": item.get("id"), "output_index": place}
    for index, part in enumerate(objects(item.get("summary"))):
        at: dict[str, Any] = {**where, "summary_index": index}
        stream.emit("response.reasoning_summary_part.added", **at, part={**part, "text": ""})
        for piece in cut(string(part.get("text"))):
            stream.emit("response.reasoning_summary_text.delta", **at, delta=piece)
        stream.emit("response.reasoning_summary_text.done", **at, text=part.get("text"))
        stream.emit("response.reasoning_summary_part.done", **at, part=part)
    for index, part in enumerate(objects(item.get("content"))):
        at = {**where, "content_index": index}
        for piece in cut(string(part.get("text"))):
            stream.emit("response.reasoning_text.delta", **at, delta=piece)
        stream.emit("response.reasoning_text.done", **at, text=part.get("text"))


def _call(stream: _Stream, place: int, item: Json) -> None:
    custom = item.get("type") == "custom_tool_call"
    field, kind = ("input", "custom_tool_call_input") if custom else ("arguments", "function_call_arguments")
    begun = {**item, field: ""}
    if "status" in item:
        begun["status"] = "in_progress"
    stream.emit("response.output_item.added", output_index=place, item=begun)
    where = {"item_id": item.get("id"), "output_index": place}
    for piece in cut(string(item.get(field))):
        stream.emit(f"response.{kind}.delta", **where, delta=piece)
    stream.emit(f"response.{kind}.done", **where, **{field: item.get(field)})


_ITEMS = {"message": _message, "reasoning": _reasoning, "function_call": _call, "custom_tool_call": _call}


REPLAY = Replay(dialect="openai.responses", assembler=ResponsesAssembler, events=events)
