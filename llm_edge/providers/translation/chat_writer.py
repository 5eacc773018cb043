"""Chat chunks as the stream a caller of the chat dialect expects: one id throughout, usage where it was asked for."""

from __future__ import annotations

from typing import Any

from ...errors import CallError, StreamBroken
from ...message import Json
from ..cargo import mapping, objects, string
from ..openai import refusal
from . import frames
from .core import Exchange

_NUMBERED = ("thinking_blocks", "annotations")


class ChatWriter:
    """Writes a chat stream."""

    __slots__ = ("_base", "_exchange", "_numbers", "_usage", "_with_usage")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._base: dict[str, Any] = {}
        self._usage: Any = None
        self._with_usage = mapping(exchange.chat.get("stream_options")).get("include_usage") is True
        self._numbers: dict[tuple[int, str], int] = {}

    def write(self, chunk: Json, /) -> bytes:
        base = self._base or self._begin(chunk)
        usage = chunk.get("usage")
        if usage:
            self._usage = usage
        choices = chunk.get("choices")
        if not choices:
            rest = chunk.keys() - base.keys() - {"choices", "usage"}
            if not rest:
                return b""
        elif self._exchange.functions:
            choices = [_with_function_call(choice) for choice in objects(choices)]
        else:
            for choice in choices:
                delta = choice.get("delta")
                if delta and not delta.keys().isdisjoint(_NUMBERED):
                    choices = [self._numbered(choice) for choice in choices]
                    break
        told = {**chunk, **base, "choices": choices or []}
        if self._with_usage:
            told["usage"] = None
        elif "usage" in told:
            del told["usage"]
        return frames.data(told)

    def end(self) -> bytes:
        """The usage, if asked for, and `[DONE]`."""
        if not self._with_usage or self._usage is None:
            return frames.DONE
        base = self._base or self._begin({})
        return frames.data({**base, "choices": [], "usage": self._usage}) + frames.DONE

    def fail(self, error: Exception, /) -> bytes:
        """The error as OpenAI tells it in mid-stream."""
        # What is no CallError may hold anything in its words.
        known = error if isinstance(error, CallError) else StreamBroken("the stream broke off")
        return frames.data(refusal(known, self._exchange.request_id))

    def _begin(self, chunk: Json) -> dict[str, Any]:
        self._base = {
            "id": string(chunk.get("id")) or f"chatcmpl-{self._exchange.request_id}",
            "object": "chat.completion.chunk",
            "created": chunk.get("created") or self._exchange.created,
            "model": string(chunk.get("model")) or self._exchange.model,
        }
        return self._base

    def _numbered(self, choice: Json) -> Json:
        """The choice with a number on each entry of a list: the SDK puts lists together by them."""
        delta = {**mapping(choice.get("delta"))}
        for name in _NUMBERED:
            entries: list[Json] = []
            for entry in objects(delta.get(name)):
                key = (choice.get("index") or 0, name)
                number = self._numbers.get(key, 0)
                index = entry.get("index", number)
                self._numbers[key] = max(number, index + 1)
                entries.append({"index": index, **entry})
            if entries:
                delta[name] = entries
        return {**choice, "delta": delta}


def _with_function_call(choice: Json) -> Json:
    """For a caller who asked with `functions`: the first call, under its old name."""
    delta = {**mapping(choice.get("delta"))}
    told: dict[str, Any] = {}
    for call in objects(delta.pop("tool_calls", None)):
        if call.get("index") == 0:
            for name, value in mapping(call.get("function")).items():
                told[name] = told.get(name, "") + value
    if told:
        delta["function_call"] = told
    reason = choice.get("finish_reason")
    return {**choice, "delta": delta, "finish_reason": "function_call" if reason == "tool_calls" else reason}
