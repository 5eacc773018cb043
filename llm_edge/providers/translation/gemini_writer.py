"""
Chat chunks as Google's stream.

Google's frames hold whole function calls, so calls are gathered until their choice ends; and the last
frame tells the finish and the usage together, so it waits for the usage.
"""

from __future__ import annotations

from typing import Any

import orjson

from ...errors import CallError, StreamBroken
from ...message import Json
from ..cargo import count, mapping, objects, string
from ..gemini import refusal
from . import frames
from .core import Exchange
from .gemini_parts import EXTRA, own_signature
from .gemini_said import (
    call_from_chat,
    finish_from_chat,
    grounding_from_chat,
    logprobs_from_chat,
    picture_from_chat,
    thought_from_chat,
    usage_from_chat,
)

_END = b"\r\n\r\n"


class _Choice:
    """What is known of one choice."""

    __slots__ = ("calls", "cited", "ended", "refusal", "sound", "text", "thought")

    def __init__(self) -> None:
        self.calls: dict[int, dict[str, Any]] = {}
        self.cited: list[Json] = []
        self.ended: Json | None = None
        self.refusal = ""
        self.sound: dict[str, Any] = {}
        self.text: list[str] = []
        self.thought = False
        """Whether thoughts were told since the last signature."""


class GenerateWriter:
    """Writes one stream."""

    __slots__ = ("_base", "_choices", "_exchange", "_rest", "_tier", "_usage")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._base: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: Json = {}
        self._tier: Any = None
        self._rest: dict[str, Any] = {}

    def write(self, chunk: Json, /) -> bytes:
        """The frame for one chunk, if there is something to say already."""
        if not self._base:
            self._begin(chunk)
        if chunk.get("usage"):
            self._usage = mapping(chunk["usage"])
        self._tier = chunk.get("service_tier") or self._tier
        if EXTRA in chunk:
            self._rest |= mapping(chunk[EXTRA])
        candidates: list[Json] = []
        for raw in objects(chunk.get("choices")):
            index = count(raw.get("index")) or 0
            choice = self._choices.get(index)
            if choice is None:
                choice = self._choices[index] = _Choice()
            parts = self._parts(mapping(raw.get("delta")), choice)
            if raw.get("finish_reason"):
                choice.ended = raw
            likely = logprobs_from_chat(raw["logprobs"]) if raw.get("logprobs") else None
            if parts or likely:
                candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": index}
                if likely:
                    candidate["logprobsResult"] = likely
                candidates.append(candidate)
        return b"data: " + frames.dump({"candidates": candidates, **self._base}) + _END if candidates else b""

    def end(self) -> bytes:
        """The calls, why each choice ended, and the usage: the last frame."""
        if not self._base:
            self._begin({})
        rest = {**self._rest}
        traffic = rest.pop("trafficType", None)
        frame: dict[str, Any] = {}
        if not mapping(rest.get("promptFeedback")).get("blockReason"):
            frame["candidates"] = [self._last(index, self._choices[index]) for index in sorted(self._choices)]
        usage = usage_from_chat(self._usage, self._tier)
        if traffic:
            usage["trafficType"] = traffic
        if usage:
            frame["usageMetadata"] = usage
        return b"data: " + frames.dump({**frame, **self._base, **rest}) + _END

    def fail(self, error: Exception, /) -> bytes:
        """The error as Google tells it in mid-stream: bare, over several lines."""
        # What is no CallError may hold anything in its words.
        known = error if isinstance(error, CallError) else StreamBroken("the stream broke off")
        told = refusal(known, self._exchange.request_id)
        return orjson.dumps(told, option=orjson.OPT_INDENT_2).replace(b"\n", b"\r\n") + _END

    def _begin(self, chunk: Json) -> None:
        self._base = {
            "modelVersion": string(chunk.get("model")) or self._exchange.model,
            "responseId": string(chunk.get("id")) or f"chatcmpl-{self._exchange.request_id}",
        }

    def _parts(self, delta: Json, choice: _Choice) -> list[Json]:
        parts: list[Json] = []
        reasoning = delta.get("reasoning_content")
        if reasoning:
            parts.append({"text": reasoning, "thought": True})
            choice.thought = True
        if "thinking_blocks" in delta:
            parts += [_proof(block, choice) for block in objects(delta["thinking_blocks"])]
        content = delta.get("content")
        if content:
            choice.text.append(content)
            parts.append({"text": content})
        if not content or len(delta) > 1:
            self._seldom(delta, choice, parts)
        return parts

    def _seldom(self, delta: Json, choice: _Choice, parts: list[Json]) -> None:
        parts += [picture_from_chat(image) for image in objects(delta.get("images"))]
        for name, value in mapping(delta.get("audio")).items():
            choice.sound[name] = choice.sound.get(name, "") + value if name == "data" else value
        choice.cited += objects(delta.get("annotations"))
        choice.refusal += string(delta.get("refusal"))
        if delta.get("tool_calls"):
            _gather(delta["tool_calls"], choice)

    def _last(self, index: int, choice: _Choice) -> Json:
        parts: list[Json] = []
        if choice.sound.get("data"):
            kind = string(choice.sound.get("mime_type")) or "audio/l16"
            parts.append({"inlineData": {"mimeType": kind, "data": choice.sound["data"]}})
        parts += [call_from_chat(choice.calls[number], number, self._exchange) for number in sorted(choice.calls)]
        ended = choice.ended or {}
        made: dict[str, Any] = {"content": {"parts": parts or [{"text": ""}], "role": "model"}}
        if choice.ended is not None:
            made |= finish_from_chat(ended, choice.refusal)
        made["index"] = index
        rest = mapping(ended.get(EXTRA))
        if choice.cited and "groundingMetadata" not in rest and "citationMetadata" not in rest:
            made["groundingMetadata"] = grounding_from_chat(choice.cited, "".join(choice.text))
        return {**made, **rest}


def _proof(block: Json, choice: _Choice) -> Json:
    """A thinking block: its words have mostly come already, its signature has not."""
    told, choice.thought = choice.thought, False
    own = own_signature(block)
    if own:
        return {"text": "", "thoughtSignature": own}
    if told and block.get("type") == "thinking":
        block = {**block, "thinking": ""}
    return thought_from_chat(block)


def _gather(pieces: Any, choice: _Choice) -> None:
    for position, piece in enumerate(objects(pieces)):
        index = count(piece.get("index"))
        index = position if index is None else index
        call = choice.calls.setdefault(index, {"id": "", "function": {"name": "", "arguments": ""}})
        function = mapping(piece.get("function")) or mapping(piece.get("custom"))
        call["id"] = call["id"] or string(piece.get("id"))
        known = call["function"]
        known["name"] = known["name"] or string(function.get("name"))
        known["arguments"] += string(function.get("arguments")) or string(function.get("input"))
        if piece.get("extra_content"):
            call["extra_content"] = piece["extra_content"]
