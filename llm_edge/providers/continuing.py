"""
How a streamed answer that broke off is gone on with: what was told so far, the request that asks for the rest,
and the rest written so that both read as one answer.

Only text goes on. A model that takes the beginning of its answer as the last message writes the rest of it. It is
asked with that beginning, less the white space at its end, which such models refuse; where the rest begins with the
same white space, it is not told twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from .. import exact
from ..message import Json
from .cargo import mapping, objects, parse, string

Frame = tuple[bytes, bytes]
"""Name and data of an event."""


class Transcript(Protocol):
    """One answer in one dialect, as far as the caller has it."""

    text: str

    @property
    def possible(self) -> bool:
        """Whether it can be gone on with from here."""
        ...

    def heard(self, data: bytes, /) -> None:
        """An event of the answer was told as it came."""
        ...

    def request(self, body: Json, /) -> Json:
        """The request for the rest, made from the one for the whole."""
        ...

    def joined(self, name: bytes, data: bytes, /) -> Frame | None:
        """An event of the rest as part of the answer; None when it is not to be told."""
        ...


class _Text:
    """The text so far, and the white space at its end that the rest may repeat."""

    def __init__(self) -> None:
        self.text = ""
        self._only_text = True
        self._owed = ""

    @property
    def possible(self) -> bool:
        return self._only_text and bool(self.text.strip())

    def _asked(self) -> str:
        begun = self.text.rstrip()
        self._owed = self.text[len(begun) :]
        return begun

    def _fresh(self, piece: str) -> str:
        """What of a piece of the rest was not told before."""
        while self._owed and piece and self._owed[0] == piece[0]:
            self._owed, piece = self._owed[1:], piece[1:]
        if piece:
            self._owed = ""
        self.text += piece
        return piece


class ChatTranscript(_Text):
    """In OpenAI's chat format."""

    def __init__(self) -> None:
        super().__init__()
        self._first: dict[str, Any] = {}

    def heard(self, data: bytes, /) -> None:
        chunk = mapping(parse(data))
        if not self._first:
            self._first = {name: chunk[name] for name in _SAME if name in chunk}
        for choice in objects(chunk.get("choices")):
            delta = mapping(choice.get("delta"))
            self.text += string(delta.get("content"))
            if choice.get("index") or choice.get("finish_reason") or _no_text(delta):
                self._only_text = False

    def request(self, body: Json, /) -> Json:
        return {**body, "messages": [*body["messages"], {"role": "assistant", "content": self._asked()}]}

    def joined(self, name: bytes, data: bytes, /) -> Frame | None:
        chunk = parse(data)
        if not isinstance(chunk, dict):
            return name, data  # [DONE]
        choices: list[Json] = []
        for choice in objects(mapping(chunk).get("choices")):
            delta = {name: value for name, value in mapping(choice.get("delta")).items() if name != "role"}
            if string(delta.get("content")):
                delta["content"] = self._fresh(delta["content"])
            if choice.get("finish_reason") or _no_text(delta):
                self._only_text = False
            elif not delta.get("content"):
                continue
            choices.append({**choice, "delta": delta})
        whole = mapping(chunk)
        if not choices and not whole.get("usage"):
            return None
        return name, exact.write({**whole, **self._first, "choices": choices})


_SAME: Final = ("id", "created", "model", "system_fingerprint")
_NO_TEXT: Final = ("tool_calls", "function_call", "refusal", "audio")


def _no_text(delta: Json) -> bool:
    """Whether it says something that is no text; null says nothing."""
    return any(delta.get(name) is not None for name in _NO_TEXT)


class MessagesTranscript(_Text):
    """In Anthropic's format: blocks, of which the last may be open."""

    def __init__(self) -> None:
        super().__init__()
        self._blocks = 0
        self._open = False
        self._shift = 0
        self._skip_start = False

    def heard(self, data: bytes, /) -> None:
        event = mapping(parse(data))
        kind = event.get("type")
        if kind == "content_block_start":
            block = mapping(event.get("content_block"))
            self._only_text = self._only_text and block.get("type") == "text"
            self.text += string(block.get("text"))
            self._blocks, self._open = self._blocks + 1, True
        elif kind == "content_block_delta":
            delta = mapping(event.get("delta"))
            self.text += string(delta.get("text"))
        elif kind == "content_block_stop":
            self._open = False
        elif kind == "message_delta" and mapping(event.get("delta")).get("stop_reason"):
            self._only_text = False

    def request(self, body: Json, /) -> Json:
        # The rest counts its blocks from 0: the first goes on in the open block, or is one more.
        self._shift = self._blocks - (1 if self._open else 0)
        self._skip_start = self._open
        return {**body, "messages": [*body["messages"], {"role": "assistant", "content": self._asked()}]}

    def joined(self, name: bytes, data: bytes, /) -> Frame | None:
        event = mapping(parse(data))
        kind = event.get("type")
        if kind == "message_start":
            return None
        if kind not in _BLOCKS:
            if kind == "message_delta" and mapping(event.get("delta")).get("stop_reason"):
                self._only_text = False
            return name, data
        if kind == "content_block_start" and self._skip_start:
            self._skip_start = False
            return None
        shifted = {**event, "index": int(event.get("index") or 0) + self._shift}
        if kind == "content_block_start":
            self._only_text = self._only_text and mapping(event.get("content_block")).get("type") == "text"
            self._blocks, self._open = self._blocks + 1, True
        elif kind == "content_block_stop":
            self._open = False
        elif "text" in (delta := mapping(event.get("delta"))):
            fresh = self._fresh(string(delta["text"]))
            if not fresh:
                return None
            shifted["delta"] = {**delta, "text": fresh}
        return name, exact.write(shifted)


_BLOCKS: Final = frozenset({"content_block_start", "content_block_delta", "content_block_stop"})

TRANSCRIPTS: Final[Mapping[str, Callable[[], Transcript]]] = {
    "openai.chat": ChatTranscript,
    "anthropic.messages": MessagesTranscript,
}
"""The dialects in which an answer can be gone on with."""
