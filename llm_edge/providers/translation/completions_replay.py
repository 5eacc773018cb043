"""A completions stream put together to the whole answer, and a whole answer taken apart to a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ...message import Json
from ..cargo import count, listing, mapping, string
from .chat_replay import ChatAssembler, cut, merge, replayed
from .core import Replay


class CompletionsAssembler(ChatAssembler):
    """Puts a completions stream together."""

    __slots__ = ()

    kind = "text_completion"

    def _choice(self, raw: Json, position: int) -> None:
        index = count(raw.get("index"))
        index = position if index is None else index
        choice = self._choices.setdefault(index, {"text": "", "index": index, "logprobs": None, "finish_reason": None})
        for name, value in raw.items():
            if name == "text":
                choice["text"] += string(value)
            elif name == "logprobs" and value:
                merge(choice, {name: value})
            elif value is not None or name not in choice:
                choice[name] = value

    def _end_choice(self, choice: dict[str, Any]) -> None:
        """Nothing was held back."""


def events(answer: Json, request: Json) -> list[bytes]:
    """The answer as the events of a stream, with a usage chunk where the request asks for one and the answer has it."""
    return replayed(answer, request, "text_completion", _pieces)


def _pieces(choice: Json) -> Iterator[Json]:
    head = {name: choice[name] for name in choice if name not in ("text", "logprobs", "finish_reason")}
    text, logprobs = string(choice.get("text")), mapping(choice.get("logprobs"))
    tokens = listing(logprobs.get("tokens"))
    null = {"logprobs": None, "finish_reason": None}
    if tokens and "".join(map(string, tokens)) == text:
        for position, token in enumerate(tokens):
            told = {name: listing(logprobs[name])[position : position + 1] for name in logprobs if logprobs[name]}
            yield {"text": token, **head, **null, "logprobs": {**logprobs, **told}}
    else:
        first: Json = {"logprobs": choice.get("logprobs")}
        for piece in cut(text) or [""]:
            yield {"text": piece, **head, **null, **first}
            first = {}
    yield {"text": "", **head, "logprobs": None, "finish_reason": choice.get("finish_reason")}


REPLAY = Replay(dialect="openai.completions", assembler=CompletionsAssembler, events=events)
