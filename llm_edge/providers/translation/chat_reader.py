"""
The chat dialect's stream as chat chunks: what compatible servers do differently is put right.

Comes in, in all its habits: first frames without id and model (Azure), usage on any chunk, on every
chunk or inside a choice, reasoning under two names, tool calls without numbers or ids, empty or
missing finish reasons, a filter that strikes after the finish, one JSON object a line. Goes out: one id,
one role for each choice, whole facts. The finishes and the usage are told once the stream has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import Failed
from ...message import Json
from ..cargo import count, mapping, objects, string
from ..failures import failure_inside, trouble_in
from ..openai import joined_text
from ..sse import LARGEST, Splitter
from .chat_answer import finish_of, unified_usage
from .chat_calls import Calls
from .core import Exchange
from .frames import load

_TOP = frozenset({"id", "object", "created", "model", "choices", "usage", "obfuscation", "x_groq"})
_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs", "usage", "content_filter_offsets"})
_DELTA = frozenset({"role", "content", "reasoning", "reasoning_content", "tool_calls", "function_call"})


class _Choice:
    """What is known of one choice."""

    __slots__ = ("calls", "extra", "reason", "started")

    def __init__(self, calls: Calls) -> None:
        self.calls = calls
        self.reason = ""
        self.extra: dict[str, Any] = {}
        self.started = False


class ChatReader:
    """Reads a chat stream. Raises what the provider says went wrong, after the chunks before it."""

    __slots__ = ("_base", "_choices", "_done", "_exchange", "_extra", "_failure", "_splitter", "_stray", "_usage")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._stray: list[bytes] = []
        self._splitter = Splitter(self._stray, limit=LARGEST)
        self._base: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self._usage: Json | None = None
        self._extra: dict[str, Any] = {}
        self._failure: Failed | None = None
        self._done = False

    def feed(self, data: bytes, /) -> Sequence[Json]:
        return self._read(self._splitter.feed(data))

    def end(self) -> Sequence[Json]:
        chunks = self._read(self._splitter.end())
        # Some servers never say [DONE]: then the finish of every choice is the end.
        if not self._done and self._choices and all(choice.reason for choice in self._choices.values()):
            self._finish(chunks)
        return chunks

    def _read(self, events: Sequence[tuple[bytes, bytes, bool]]) -> list[Json]:
        if self._failure is not None:
            raise self._failure
        chunks: list[Json] = []
        try:
            while self._stray:
                line = self._stray.pop(0)
                if line.startswith(b"{"):
                    self._item(load(line), chunks)
            for _, content, whole in events:
                if self._done or not content:
                    continue
                if content.startswith(b"[DONE]"):
                    self._finish(chunks)
                else:
                    self._item(load(content, whole), chunks)
        except Failed as failure:
            if not chunks:
                raise
            self._failure = failure
        return chunks

    def _item(self, item: Json, chunks: list[Json]) -> None:
        if item.get("error") or item.get("object") == "error":
            trouble = trouble_in(item)
            if trouble is not None:
                raise failure_inside(trouble)
        choices = objects(item.get("choices"))
        if len(item) != 5 or not self._base or "usage" in item:  # else there is nothing but choices
            self._know(item, bool(choices))
        for position, choice in enumerate(choices):
            self._choice(choice, position, chunks)

    def _know(self, item: Json, with_choices: bool) -> None:
        usage = item.get("usage") or mapping(item.get("x_groq")).get("usage")
        if usage:
            self._usage = mapping(usage)
        if not self._base and (with_choices or item.get("id")):
            exchange = self._exchange
            created = item.get("created")
            self._base = {
                "id": string(item.get("id")) or f"chatcmpl-{exchange.request_id}",
                "object": "chat.completion.chunk",
                "created": created if type(created) is int and created else exchange.created,
                "model": string(item.get("model")) or exchange.model,
            }
        for name, value in item.items():
            if name not in _TOP and value is not None:
                if name in ("system_fingerprint", "service_tier"):
                    self._base[name] = value
                else:
                    self._extra[name] = value

    def _choice(self, raw: Json, position: int, chunks: list[Json]) -> None:
        index = count(raw.get("index"))
        index = position if index is None else index
        choice = self._choices.get(index)
        if choice is None:
            prefix = f"{self._exchange.made_up}{index}_"
            choice = self._choices[index] = _Choice(Calls(prefix, self._exchange.names))
        delta = mapping(raw.get("delta"))
        reason = raw.get("finish_reason")
        if reason:
            choice.reason = string(reason)
        told: dict[str, Any] = {}
        if choice.started and len(delta) == 1 and type(delta.get("content")) is str:
            if delta["content"]:
                told = {**delta}  # the piece of text that nearly every event is
        else:
            told = _delta(delta, choice)
        if len(raw) > 3 or "usage" in raw:
            if raw.get("usage"):
                self._usage = mapping(raw["usage"])
            choice.extra.update((name, raw[name]) for name in raw if name not in _CHOICE and raw[name])
        logprobs = raw.get("logprobs")
        if told or logprobs:
            chunks.append(self._chunk(index, told, None, logprobs))

    def _chunk(self, index: int, delta: Json, reason: str | None, logprobs: Any = None, **extra: Any) -> Json:
        choice: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": reason, **extra}
        if logprobs:
            choice["logprobs"] = logprobs
        chunk = {**self._base, "choices": [choice]}
        if self._extra:
            moderation = self._extra.pop("moderation", None)
            chunk |= self._extra
            self._extra = {} if moderation is None else {"moderation": moderation}
        return chunk

    def _finish(self, chunks: list[Json]) -> None:
        """The stream is over and whole: what was held back is told."""
        self._done = True
        for index in sorted(self._choices):
            choice = self._choices[index]
            calls = choice.calls.flush()
            if calls:
                chunks.append(self._chunk(index, {"tool_calls": calls}, None))
            reason, native = finish_of(choice.reason, called=len(choice.calls) > 0)
            if native:
                choice.extra.setdefault("native_finish_reason", native)
            chunks.append(self._chunk(index, {}, reason, **choice.extra))
        if self._usage is not None:
            chunks.append({**self._base, "choices": [], "usage": unified_usage(self._usage)})
        if self._extra:
            chunks.append({**self._base, "choices": [], **self._extra})


def _delta(delta: Json, choice: _Choice) -> dict[str, Any]:
    """A delta in the unified form; what says nothing new is left out."""
    told: dict[str, Any] = {}
    if not choice.started:
        choice.started = True
        told = {"role": "assistant", "content": "" if delta.get("content") == "" else None}
    reasoning = delta.get("reasoning_content") or delta.get("reasoning")
    if isinstance(reasoning, str) and reasoning:
        told["reasoning_content"] = reasoning
    content = joined_text(delta.get("content"))
    if content:
        told["content"] = content
    calls = delta.get("tool_calls")
    if not calls and delta.get("function_call"):
        calls = [{"index": 0, "type": "function", "function": delta["function_call"]}]
    pieces = choice.calls.take(calls) if calls else choice.calls.flush() if told else ()
    if pieces:
        told["tool_calls"] = pieces
    for name in delta:
        if name not in _DELTA and delta[name]:
            told[name] = delta[name]
    return told
