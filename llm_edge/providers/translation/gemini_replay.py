"""Google's stream put together to the whole answer, and a whole answer taken apart to a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...errors import Failed
from ...message import Json
from ..cargo import count, mapping, objects, string
from ..sse import Splitter
from . import frames
from .core import Replay

_END = b"\r\n\r\n"
_PIECE = 80
_WORDS = frozenset({"text", "thought"})
"""All that a part of plain words has."""


class GenerateAssembler:
    """Puts one stream together."""

    __slots__ = ("_answer", "_broken", "_candidates", "_splitter", "_strays")

    def __init__(self) -> None:
        self._strays: list[bytes] = []
        self._splitter = Splitter(self._strays)
        self._answer: dict[str, Any] = {}
        self._candidates: dict[int, dict[str, Any]] = {}
        self._broken = False

    def feed(self, data: bytes, /) -> None:
        self._read(self._splitter.feed(data))

    def whole(self) -> Json | None:
        """The answer; None when the stream was cut, told of an error, or was no event stream."""
        self._read(self._splitter.end())
        candidates = [self._candidates[index] for index in sorted(self._candidates)]
        blocked = mapping(self._answer.get("promptFeedback")).get("blockReason")
        if self._broken or not all(each.get("finishReason") for each in candidates) or not (candidates or blocked):
            return None
        return {"candidates": candidates, **self._answer} if candidates else dict(self._answer)

    def _read(self, events: Sequence[tuple[bytes, bytes, bool]]) -> None:
        if any(line.strip() for line in self._strays):
            self._broken = True  # an error outside any event, or a list in place of events
        self._strays.clear()
        for _, content, whole in events:
            if content and not self._broken:
                try:
                    self._frame(frames.load(content, whole))
                except Failed:
                    self._broken = True

    def _frame(self, frame: Json) -> None:
        if frame.get("error"):
            self._broken = True
        for name, value in frame.items():
            if name == "usageMetadata":
                self._answer[name] = {**self._answer.get(name, {}), **mapping(value)}
            elif name != "candidates":
                self._answer[name] = value
        for raw in objects(frame.get("candidates")):
            index = count(raw.get("index")) or 0
            known = self._candidates.setdefault(index, {})
            for name, value in raw.items():
                if name == "content":
                    self._content(known, mapping(value))
                elif name == "logprobsResult":
                    _more(known.setdefault(name, {}), mapping(value))
                else:
                    known[name] = value

    def _content(self, known: dict[str, Any], content: Json) -> None:
        made = known.setdefault("content", {})
        for name, value in content.items():
            if name != "parts":
                made[name] = value
        for part in objects(content.get("parts")):
            call = mapping(part.get("functionCall"))
            if "partialArgs" in call or "willContinue" in call:
                self._broken = True  # a whole answer has no pieces of arguments
            parts: list[Json] = made.setdefault("parts", [])
            last: Json = parts[-1] if parts else {}
            if _words(part) and _words(last) and part.get("thought") == last.get("thought"):
                parts[-1] = {**last, "text": f"{last['text']}{part['text']}"}
            elif part != {"text": ""}:  # how many a last frame has to say
                parts.append(part)


def _words(part: Json) -> bool:
    return isinstance(part.get("text"), str) and part.keys() <= _WORDS


def _more(known: dict[str, Any], piece: Json) -> None:
    for name, value in piece.items():
        known[name] = [*known.get(name, ()), *value] if isinstance(value, list) else value


def events(answer: Json, request: Json) -> list[bytes]:
    """The answer as Google would have streamed it, frame by frame."""
    base = {name: value for name, value in answer.items() if name not in ("candidates", "usageMetadata")}
    told: list[Json] = []
    for candidate in objects(answer.get("candidates")):
        told += _pieces(candidate)
    if not told:
        return [_event(answer)]
    plain: dict[str, Any] = {name: base[name] for name in ("modelVersion", "responseId", "createTime") if name in base}
    last: dict[str, Any] = {"candidates": [told[-1]], **base}
    if "usageMetadata" in answer:
        last["usageMetadata"] = answer["usageMetadata"]
    return [*(_event({"candidates": [piece], **plain}) for piece in told[:-1]), _event(last)]


def _pieces(candidate: Json) -> list[Json]:
    """A candidate's parts one by one, texts in pieces; what else is told comes with the last."""
    content = mapping(candidate.get("content"))
    rest = {name: value for name, value in candidate.items() if name != "content"}
    place = {"index": candidate["index"]} if "index" in candidate else {}
    role = {name: value for name, value in content.items() if name != "parts"}
    parts: list[Json] = []
    for part in objects(content.get("parts")):
        text = string(part.get("text"))
        if _words(part) and len(text) > _PIECE:
            parts += [{**part, "text": text[at : at + _PIECE]} for at in range(0, len(text), _PIECE)]
        else:
            parts.append(part)
    if not parts:
        return [candidate]
    pieces: list[Json] = [{"content": {"parts": [part], **role}, **place} for part in parts]
    return [*pieces[:-1], {**pieces[-1], **rest}]


def _event(frame: Json) -> bytes:
    return b"data: " + frames.dump(frame) + _END


REPLAY = Replay(dialect="gemini.generate", assembler=GenerateAssembler, events=events)
