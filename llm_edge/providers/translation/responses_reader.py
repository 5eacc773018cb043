"""
A Responses stream as chat chunks.

Text, thoughts and arguments are told as they come. What an item says only when it is done (a
thought's proof, hosted tools at work) is told then, and so is what a server never told in pieces.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import Failed
from ...message import Json
from ..cargo import mapping, objects, string
from ..failures import failure_inside, trouble_behind, trouble_in
from ..sse import LARGEST, Splitter
from .core import Exchange
from .frames import load
from .responses_answer import add_annotations, finish_of, usage_to_chat
from .responses_items import reasoning_text, thinking_block, tool_call

_TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})


class ResponsesReader:
    """Reads a Responses stream. Raises what the provider says went wrong, after the chunks before it."""

    __slots__ = (
        "_base",
        "_calls",
        "_done",
        "_exchange",
        "_failure",
        "_length",
        "_others",
        "_parts",
        "_splitter",
        "_started",
        "_thought",
        "_thoughts",
        "_told",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._splitter = Splitter(limit=LARGEST)
        self._base: dict[str, Any] = {}
        self._failure: Failed | None = None
        self._done = self._started = False
        self._calls: dict[int, tuple[int, str]] = {}
        """The number and kind of each tool call, by its place in the output."""
        self._told: set[int] = set()
        """The items that have been told in pieces, by their place."""
        self._parts: dict[tuple[Any, Any], int] = {}
        """How much text came before each part: its citations count from there."""
        self._length = 0
        self._thought: tuple[Any, Any] | None = None
        self._thoughts = 0
        self._others: list[Json] = []

    def feed(self, data: bytes, /) -> Sequence[Json]:
        return self._read(self._splitter.feed(data))

    def end(self) -> Sequence[Json]:
        return self._read(self._splitter.end())

    def _read(self, events: Sequence[tuple[bytes, bytes, bool]]) -> list[Json]:
        if self._failure is not None:
            raise self._failure
        chunks: list[Json] = []
        try:
            for name, content, whole in events:
                if self._done or not content or content.startswith(b"[DONE]"):
                    continue
                if name == b"error":
                    trouble = trouble_behind(content)
                    if trouble is not None:
                        raise failure_inside(trouble)
                item = load(content, whole)
                self._event(string(item.get("type")) or name.decode(errors="replace"), item, chunks)
        except Failed as failure:
            if not chunks:
                raise
            self._failure = failure
        return chunks

    def _event(self, kind: str, item: Json, chunks: list[Json]) -> None:
        if kind.endswith(".delta"):
            delta = self._piece(kind, item, item.get("output_index") or 0)
            logprobs = item.get("logprobs")
            if delta or logprobs:
                chunks.append(self._chunk(delta, logprobs))
        elif kind in _TERMINAL:
            self._finish(kind, mapping(item.get("response")), chunks)
        elif kind == "response.created" or kind == "response.in_progress":
            self._know(mapping(item.get("response")))
        elif kind == "error":
            trouble = trouble_in({"error": item})
            if trouble is not None:
                raise failure_inside(trouble)
        else:
            delta = self._rest(kind, item, item.get("output_index") or 0)
            if delta:
                chunks.append(self._chunk(delta))

    def _piece(self, kind: str, item: Json, place: int) -> dict[str, Any]:
        text = string(item.get("delta"))
        if kind == "response.output_text.delta":
            self._parts.setdefault((place, item.get("content_index")), self._length)
            self._length += len(text)
            self._told.add(place)
            return {"content": text} if text else {}
        if kind == "response.function_call_arguments.delta" or kind == "response.custom_tool_call_input.delta":
            return self._arguments(place, text)
        if kind == "response.reasoning_summary_text.delta" or kind == "response.reasoning_text.delta":
            return self._thinking(place, item)
        if kind == "response.refusal.delta":
            self._told.add(place)
            return {"refusal": text}
        return {}

    def _rest(self, kind: str, item: Json, place: int) -> dict[str, Any]:
        if kind == "response.output_item.added":
            return self._added(place, mapping(item.get("item")))
        if kind == "response.output_item.done":
            return self._item_done(place, mapping(item.get("item")))
        delta: dict[str, Any] = {}
        if kind == "response.output_text.annotation.added":
            before = self._parts.get((place, item.get("content_index")), self._length)
            add_annotations(delta, objects([item.get("annotation")]), before)
        return delta

    def _know(self, response: Json) -> None:
        created = response.get("created_at")
        self._base = {
            "id": string(response.get("id")) or f"chatcmpl-{self._exchange.request_id}",
            "object": "chat.completion.chunk",
            "created": int(created) if isinstance(created, int | float) else self._exchange.created,
            "model": string(response.get("model")) or self._exchange.model,
        }

    def _chunk(self, delta: Json, logprobs: Any = None, reason: str | None = None) -> dict[str, Any]:
        if not self._base:
            self._know({})
        if not self._started:
            self._started = True
            delta = {"role": "assistant", "content": None, **delta}
        choice: dict[str, Any] = {"index": 0, "delta": delta, "finish_reason": reason}
        if logprobs:
            choice["logprobs"] = {"content": logprobs, "refusal": None}
        return {**self._base, "choices": [choice]}

    def _thinking(self, place: Any, item: Json) -> dict[str, Any]:
        text = string(item.get("delta"))
        part = (place, item.get("summary_index", item.get("content_index")))
        if self._thought is not None and self._thought != part:
            text = "\n\n" + text
        self._thought = part
        self._told.add(place or 0)
        return {"reasoning_content": text} if text else {}

    def _added(self, place: int, item: Json) -> dict[str, Any]:
        kind = item.get("type")
        if kind not in ("function_call", "custom_tool_call"):
            return {}
        call = tool_call(item)
        number, kind = len(self._calls), string(call["type"])
        self._calls[place] = (number, kind)
        name = call[kind]["name"]
        field = "input" if kind == "custom" else "arguments"
        call[kind] = {"name": self._exchange.names.get(name, name), field: ""}
        call["id"] = call["id"] or f"{self._exchange.made_up}{number}"
        return {"tool_calls": [{"index": number, **call}]}

    def _arguments(self, place: int, text: str) -> dict[str, Any]:
        if place not in self._calls or not text:
            return {}
        self._told.add(place)
        number, kind = self._calls[place]
        return {"tool_calls": [{"index": number, kind: {"input" if kind == "custom" else "arguments": text}}]}

    def _item_done(self, place: int, item: Json) -> dict[str, Any]:
        """What was not told in pieces."""
        kind, told = item.get("type"), place in self._told
        if kind == "reasoning":
            delta: dict[str, Any] = {}
            text = "" if told else reasoning_text(item)
            if text:
                delta = self._thinking(place, {"delta": text})
            delta["thinking_blocks"] = [{"index": self._thoughts, **thinking_block(item)}]
            self._thoughts += 1
            return delta
        if kind in ("function_call", "custom_tool_call"):
            if place not in self._calls:
                head = self._added(place, item)["tool_calls"][0]
                head[head["type"]] |= tool_call(item)[head["type"]]
                head[head["type"]]["name"] = self._exchange.names.get(string(item.get("name")), item.get("name"))
                return {"tool_calls": [head]}
            call = tool_call(item)
            text = string(call[call["type"]].get("input" if call["type"] == "custom" else "arguments"))
            return {} if told else self._arguments(place, text)
        if kind == "message":
            delta = {"phase": item["phase"]} if item.get("phase") else {}
            return delta if told else delta | self._said(item)
        self._others.append(item)
        return {}

    def _said(self, item: Json) -> dict[str, Any]:
        delta: dict[str, Any] = {}
        for part in objects(item.get("content")):
            name, text = ("refusal", "refusal") if part.get("type") == "refusal" else ("content", "text")
            add_annotations(delta, objects(part.get("annotations")), self._length)
            delta[name] = delta.get(name, "") + string(part.get(text))
            self._length += len(string(part.get("text")))
        return {name: value for name, value in delta.items() if value}

    def _finish(self, kind: str, response: Json, chunks: list[Json]) -> None:
        self._done = True
        if kind == "response.failed":
            trouble = trouble_in({"error": response.get("error") or {"message": "the response failed"}})
            if trouble is not None:
                raise failure_inside(trouble)
        if self._others:
            chunks.append(self._chunk({"responses": {"output": self._others}}))
        status = kind.removeprefix("response.")
        reason, native = finish_of({**response, "status": status}, called=bool(self._calls))
        finish = self._chunk({}, None, reason)
        if native:
            finish["choices"][0]["native_finish_reason"] = native
        if response.get("service_tier"):
            self._base["service_tier"] = response["service_tier"]
        chunks.append(finish)
        usage = usage_to_chat(mapping(response.get("usage")))
        if usage:
            chunks.append({**self._base, "choices": [], "usage": usage})
