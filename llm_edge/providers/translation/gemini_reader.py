"""
Google's stream as chat chunks.

Every frame is a whole answer with the next parts in it: pieces of text, whole function calls. There
is no terminal event; after a candidate's finishReason usage and grounding may still come. So the
finishes and the usage are told when the bytes are over, if every candidate has finished. An error
comes as a bare JSON object between the frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import BadAnswer, Failed
from ...message import Json
from ..bare import BareObjects
from ..cargo import camel, count, mapping, parse, string
from ..failures import failure_inside, trouble_in
from ..gemini import reason_of
from ..sse import LARGEST, Splitter
from .core import Exchange
from .frames import load
from .gemini_answer import blocked, created_of, rest_of
from .gemini_parts import EXTRA
from .gemini_told import Told, citations, finish_of, logprobs_to_chat, tier_of, usage_to_chat

_CANDIDATE = frozenset({"content", "finishReason", "index", "logprobsResult"})


class _Candidate:
    """What is known of one candidate."""

    __slots__ = ("kept", "number", "reason", "rest", "told")

    def __init__(self, index: int, exchange: Exchange) -> None:
        self.number = 0
        self.reason = ""
        self.rest: dict[str, Any] = {}
        """What chat has no field for; the last word on each counts."""
        self.kept: list[Json] = []

        def make_id() -> str:
            self.number += 1
            return f"{exchange.made_up}{index}_{self.number - 1}"

        self.told = Told(exchange, make_id)


class GenerateReader:
    """Reads one stream. Raises what Google says went wrong, after the chunks before it."""

    __slots__ = (
        "_bare",
        "_base",
        "_candidates",
        "_exchange",
        "_failure",
        "_feedback",
        "_rest",
        "_splitter",
        "_stray",
        "_usage",
    )

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._stray: list[bytes] = []
        self._bare: BareObjects | None = None
        self._splitter = Splitter(self._stray, limit=LARGEST)
        self._base: dict[str, Any] = {}
        self._candidates: dict[int, _Candidate] = {}
        self._usage: dict[str, Any] = {}
        self._feedback: Json = {}
        self._rest: dict[str, Any] = {}
        self._failure: Failed | None = None

    def feed(self, data: bytes, /) -> Sequence[Json]:
        return self._read(self._splitter.feed(data))

    def end(self) -> Sequence[Json]:
        # The last event may lack its empty line; one that was cut does not parse, and the watcher tells of it.
        chunks = self._read([event for event in self._splitter.end() if parse(event[1]) is not None])
        if self._failure is None:
            self._finish(chunks)
        return chunks

    def _read(self, events: Sequence[tuple[bytes, bytes, bool]]) -> list[Json]:
        if self._failure is not None:
            raise self._failure
        chunks: list[Json] = []
        try:
            for _, content, whole in events:
                if content:
                    self._frame(load(content, whole), chunks)
            if self._stray:
                lines, self._stray[:] = list(self._stray), []
                self._bare = self._bare or BareObjects()
                for line in lines:
                    for content in self._bare.feed(line):
                        self._frame(load(content), chunks)
        except Failed as failure:
            self._failure = failure
        except (AttributeError, TypeError, ValueError):
            self._failure = BadAnswer("a frame of the stream is not one of Google's")
        if self._failure is not None and not chunks:
            raise self._failure
        return chunks

    def _frame(self, frame: Json, chunks: list[Json]) -> None:
        if "error" in frame:
            trouble = trouble_in(frame)
            if trouble is not None:
                raise failure_inside(trouble)
        frame = camel(frame)
        usage = frame.get("usageMetadata")
        if usage:
            # The last word on each key; keys that vanish keep what they said.
            self._usage.update(usage)
        if not self._base:
            self._begin(frame)
        if frame.get("promptFeedback"):
            self._feedback = camel(mapping(frame["promptFeedback"]))
        if len(frame) > 4 or self._feedback:
            self._rest |= rest_of(frame, {})
        for candidate in frame.get("candidates") or ():
            self._candidate(camel(candidate), chunks)

    def _begin(self, frame: Json) -> None:
        self._base = {
            "id": string(frame.get("responseId")) or f"chatcmpl-{self._exchange.request_id}",
            "object": "chat.completion.chunk",
            "created": created_of(frame, self._exchange),
            "model": string(frame.get("modelVersion")) or self._exchange.model,
        }

    def _candidate(self, raw: Json, chunks: list[Json]) -> None:
        index = count(raw.get("index")) or 0
        candidate = self._candidates.get(index)
        first = candidate is None
        if candidate is None:
            candidate = self._candidates[index] = _Candidate(index, self._exchange)
        likely = logprobs_to_chat(raw["logprobsResult"]) if "logprobsResult" in raw else None
        content = raw.get("content")
        for part in (content.get("parts") or ()) if content else ():
            calls = candidate.told.calls
            delta = candidate.told.part(part)
            candidate.kept.append(part)
            if "tool_calls" in delta:
                delta["tool_calls"] = [{"index": calls, **delta["tool_calls"][0]}]
            if delta:
                chunks.append(self._chunk(index, delta, first=first, logprobs=likely))
                first, likely = False, None
        if first or likely:
            chunks.append(self._chunk(index, {}, first=first, logprobs=likely))
        if len(raw) > 1:
            self._note(candidate, raw)

    def _note(self, candidate: _Candidate, raw: Json) -> None:
        if raw.get("finishReason"):
            candidate.reason = reason_of(raw["finishReason"])
        for name, value in raw.items():
            if name not in _CANDIDATE and value is not None:
                candidate.rest[name] = value

    def _chunk(self, index: int, delta: Json, *, first: bool = False, logprobs: Any = None) -> Json:
        if first:
            delta = {"role": "assistant", "content": None, **delta}
        choice: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": None}
        if logprobs is not None:
            choice["logprobs"] = logprobs
        return {**self._base, "choices": [choice]}

    def _finish(self, chunks: list[Json]) -> None:
        """The stream is over: if it is whole, what was held back is told."""
        if self._feedback.get("blockReason") and not self._candidates:
            choice = blocked(self._feedback)
            delta = choice.pop("message")
            chunks.append({**self._base, "choices": [{**choice, "delta": delta}]})
        elif not self._candidates or not all(each.reason for each in self._candidates.values()):
            return  # cut short, as the watcher finds too
        for index in sorted(self._candidates):
            self._ended(index, self._candidates[index], chunks)
        tail: dict[str, Any] = {**self._base, "choices": []}
        usage = usage_to_chat(camel(self._usage))
        if usage is not None:
            tail["usage"] = usage
        tier = tier_of(self._usage)
        if tier is not None:
            tail["service_tier"] = tier
        rest = {**self._rest, **rest_of({}, self._usage)}
        if rest:
            tail[EXTRA] = rest
        if len(tail) > len(self._base) + 1:
            chunks.append(tail)

    def _ended(self, index: int, candidate: _Candidate, chunks: list[Json]) -> None:
        told = candidate.told
        reason, native = finish_of(candidate.reason, called=told.calls > 0)
        delta: dict[str, Any] = {}
        if reason == "content_filter" and candidate.rest.get("finishMessage"):
            delta["refusal"] = candidate.rest["finishMessage"]
        found = citations(candidate.rest, "".join(told.text)) if candidate.rest else []
        if found:
            delta["annotations"] = found
        if not told.plain:
            delta[EXTRA] = {"parts": candidate.kept}
        choice: dict[str, Any] = {"index": index, "delta": delta, "finish_reason": reason}
        if native:
            choice["native_finish_reason"] = native
        if candidate.rest:
            choice[EXTRA] = candidate.rest
        chunks.append({**self._base, "choices": [choice]})
