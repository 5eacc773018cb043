"""
The chat form and Llama's own: a chat written out as one prompt, and its continuation as the answer.

Llama 3 and 4 part their messages with different marks. A mark inside somebody's words would end their
message and begin another, so none of them goes into the prompt as it is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from ...message import Json
from ..cargo import string
from ..llama import count_into, usage_of
from ..sse import LARGEST, Splitter
from . import frames
from .anthropic_parts import listed
from .converse_answer import answer_id
from .core import Exchange, Told

__all__ = ["TRANSLATION"]

_FINISH: Final = {"stop": "stop", "length": "length"}
_MARKS: Final = re.compile(r"<\|(?=[a-zA-Z0-9_]+\|>)")
_TAKEN: Final = {
    "max_tokens": "max_gen_len",
    "max_completion_tokens": "max_gen_len",
    "temperature": "temperature",
    "top_p": "top_p",
}
_IMPOSSIBLE: Final = {
    "tools": "Llama's own API has no tools; ask it by Converse",
    "response_format": "Llama's own API cannot be held to a schema; ask it by Converse",
    "n": "Bedrock gives one answer a call; ask several times",
    "logprobs": "Llama's own API tells no probabilities",
}
_HARMLESS: Final[dict[str, tuple[Any, ...]]] = {
    "n": (1,),
    "logprobs": (False,),
    "tools": ([],),
    "response_format": ({"type": "text"},),
}
_ELSEWHERE: Final = frozenset(("model", "messages", "stream", "stream_options"))
_READ: Final = frozenset(("role", "content", "refusal", "annotations"))
_PART: Final = frozenset(("type", "text", "annotations"))


@dataclass(frozen=True, slots=True)
class _Marks:
    """How a model's prompts are parted."""

    begin: str
    end: str
    over: str


_LLAMA_3: Final = _Marks("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
_LLAMA_4: Final = _Marks("<|header_start|>", "<|header_end|>", "<|eot|>")


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """The prompt and its few settings. Raises InvalidRequest for tools, pictures and schemas."""
    exchange.model = exchange.model or string(chat.get("model"))
    body: dict[str, Any] = {"prompt": _prompt(chat, exchange)}
    for name, value in chat.items():
        if value is None or name in _ELSEWHERE or value in _HARMLESS.get(name, ()):
            continue
        if name in _TAKEN:
            body[_TAKEN[name]] = value
        elif name in _IMPOSSIBLE:
            raise exchange.impossible(name, _IMPOSSIBLE[name])
        else:
            exchange.lost(name, "Llama's own API has nothing like it")
    return body


def _prompt(chat: Json, exchange: Exchange) -> str:
    marks = _LLAMA_4 if "llama4" in exchange.model else _LLAMA_3
    written = ["<|begin_of_text|>"]
    for index, message in enumerate(listed(chat.get("messages"), "messages", exchange)):
        place = f"messages[{index}]"
        role = {"developer": "system"}.get(string(message.get("role")), string(message.get("role")))
        if role not in ("system", "user", "assistant") or message.get("tool_calls"):
            raise exchange.impossible(place, "Llama's own API knows no tools; ask it by Converse")
        for name in message.keys() - _READ:
            exchange.lost(f"{place}.{name}", "a prompt has no place for it")
        text = _MARKS.sub("< |", _words(message, place, exchange))
        written.append(f"{marks.begin}{role}{marks.end}\n\n{text}{marks.over}")
    written.append(f"{marks.begin}assistant{marks.end}\n\n")
    return "".join(written)


def _words(message: Json, place: str, exchange: Exchange) -> str:
    content = message.get("content")
    if isinstance(content, str):
        return content
    if content is None:
        return string(message.get("refusal"))
    parts = listed(content, f"{place}.content", exchange)
    if any(part.get("type", "text") != "text" for part in parts):
        raise exchange.impossible(f"{place}.content", "Llama's own API takes text alone; ask it by Converse")
    for index, part in enumerate(parts):
        for name in part.keys() - _PART:
            exchange.lost(f"{place}.content[{index}].{name}", "a prompt has no place for it")
    return "".join(string(part.get("text")) for part in parts)


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The chat completion a continuation stands for."""
    message = {"role": "assistant", "content": string(answer.get("generation")), "refusal": None}
    made: dict[str, Any] = {
        "id": answer_id(exchange),
        "object": "chat.completion",
        "created": exchange.created,
        "model": exchange.model,
        "choices": [{"index": 0, "message": message, "logprobs": None, **_ended(answer)}],
    }
    usage = usage_of(answer)
    return {**made, "usage": dict(usage)} if usage else made


def _ended(answer: Json) -> Json:
    reason = string(answer.get("stop_reason"))
    return {"finish_reason": _FINISH.get(reason, "stop"), "native_finish_reason": reason or None}


class LlamaReader:
    """Reads one stream, once it is events."""

    __slots__ = ("_base", "_counts", "_over", "_splitter", "_started")

    def __init__(self, exchange: Exchange) -> None:
        self._splitter = Splitter(limit=LARGEST)
        self._counts: dict[str, Any] = {}
        self._base: dict[str, Any] = {
            "id": answer_id(exchange),
            "object": "chat.completion.chunk",
            "created": exchange.created,
            "model": exchange.model,
        }
        self._started = self._over = False

    def feed(self, data: bytes, /) -> Sequence[Json]:
        """The chunks that these bytes complete."""
        chunks: list[Json] = []
        for _, event, whole in self._splitter.feed(data):
            if not self._over:
                chunks += self._read(frames.load(event, whole))
        return chunks

    def end(self) -> Sequence[Json]:
        """Nothing is owed."""
        return ()

    def _chunk(self, delta: Json, ended: Json) -> Json:
        return {**self._base, "choices": [{"index": 0, "delta": delta, **ended}]}

    def _read(self, item: Json) -> Sequence[Json]:
        if item.get("error"):
            self._over = True  # the watcher tells what went wrong
            return ()
        chunks: list[Json] = []
        if not self._started:
            self._started = True
            chunks.append(self._chunk({"role": "assistant", "content": ""}, {"finish_reason": None}))
        text = string(item.get("generation"))
        if text:
            chunks.append(self._chunk({"content": text}, {"finish_reason": None}))
        count_into(self._counts, item)
        if item.get("stop_reason"):
            self._over = True
            chunks.append(self._chunk({}, _ended(item)))
            usage = usage_of(self._counts)
            if usage:
                chunks.append({**self._base, "choices": [], "usage": dict(usage)})
        return chunks


TRANSLATION = Told(
    dialect="bedrock.llama",
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=LlamaReader,
)
