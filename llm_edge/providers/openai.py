"""The chat, completions and embeddings dialects of OpenAI and of all who speak as it does."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadAnswer, CallError, Failed
from ..exact import is_object
from ..message import Json, Unwatched
from .base import Dialect
from .cargo import add, count, known, listing, mapping, objects, string, tier
from .failures import failure, failure_inside, trouble_in
from .watch import DONE, EventWatcher

_CHOICE = b'"choices":[{"index":0,"delta":{'
_UNFINISHED = b'"finish_reason":null'
_FINISHED = b'"finish_reason":"'
_INDEX = b'"index":'
_FINISH_IN_TAIL = re.compile(rb'"finish_reason"\s*:\s*"([a-z_]+)"')


class ChatWatcher(EventWatcher):
    """
    Understands chat and completion streams.

    The events of one answer begin all alike, up to their delta. That beginning is remembered from
    the first plain one; a read that is one event with the same beginning, no finish and no usage is
    plain too, and is not taken apart.
    """

    __slots__ = ("_beginning", "_tier", "_usage")

    terminal = "[DONE] or a finish_reason for every choice"

    def __init__(self) -> None:
        super().__init__()
        self._usage: Json | None = None
        self._tier: object = None
        self._beginning = b""

    @property
    def usage(self) -> Mapping[str, Any] | None:
        return usage_of(self._usage, self._tier)

    def feed(self, chunk: bytes, /) -> None:
        if self._beginning and chunk.startswith(self._beginning) and self._splitter.idle:
            at = chunk.rfind(_UNFINISHED)
            if (
                at > 0
                and chunk.find(b"\n") == len(chunk) - 2
                and chunk.endswith(b"}\n\n")
                and chunk.find(_FINISHED) < 0
                and chunk.find(_INDEX, len(self._beginning)) < 0  # a second choice in one event, or a tool call
                and chunk.find(b'"usage":{', at) < 0
                and chunk.find(b'"error"', at) < 0
                and not self.complete
            ):
                self.events += 1
                return
        super().feed(chunk)

    def _event(self, name: bytes, data: bytes, whole: bool) -> None:
        if (
            self.model
            and _CHOICE in data
            and _UNFINISHED in data
            and _FINISHED not in data
            and data.find(_INDEX, data.find(_CHOICE) + len(_CHOICE)) < 0
            and (b'"usage"' not in data or b'"usage":null' in data)
            and b'"error"' not in data
            and data.endswith(b"}")
        ):
            self._open.add(0)  # a piece of the one answer there usually is
            self._beginning = b"data: " + data[: data.find(_CHOICE) + len(_CHOICE)]
        elif data.startswith(DONE):
            self.complete = True
        elif name == b"error":
            self._error(data)
        elif whole:
            self._parsed(data)
        elif match := _FINISH_IN_TAIL.search(data):
            self._reasons[0] = match[1].decode()

    def _parsed(self, data: bytes) -> None:
        item = self._object(data)
        if item is None:
            return
        if not self.model:
            self.model = string(item.get("model"))  # Azure's first frame has none
        self._tier = item.get("service_tier") or self._tier
        self._count(item)
        self._count(mapping(item.get("x_groq")))
        for position, choice in enumerate(objects(item.get("choices"))):
            self._count(choice)  # Moonshot's habit
            index = count(choice.get("index"))
            index = position if index is None else index
            self._open.add(index)
            reason = string(choice.get("finish_reason"))
            if reason:
                self._reasons[index] = reason

    def _count(self, item: Json) -> None:
        if item.get("usage"):
            self._usage = mapping(item["usage"])


def usage_of(usage: Any, served: object = None) -> Mapping[str, Any] | None:
    """Token counts in the unified names, from OpenAI's `usage` object and the tier it was `served` in."""
    if not is_object(usage):
        return None
    counts: dict[str, Any] = {}
    for name in _COUNTS:
        tokens = usage.get(name)
        if type(tokens) is not int or tokens < 0:
            tokens = count(tokens)
        if tokens is not None:
            counts[name] = tokens
    if not counts:
        return None
    if "total_tokens" not in counts:
        counts["total_tokens"] = add(*counts.values())
    before, after = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    if before or after:
        before, after = mapping(before), mapping(after)
        counts |= known(
            cached_tokens=count(before.get("cached_tokens")),
            cache_write_tokens=count(before.get("cache_write_tokens")),
            reasoning_tokens=count(after.get("reasoning_tokens")),
        )
        counts |= spoken_and_seen(before, after)
    if served is not None:
        counts |= tier(served)
    return counts


_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")
_OTHERWISE = frozenset({"audio_tokens", "image_tokens"})


def spoken_and_seen(before: Json, after: Json) -> dict[str, int]:
    """Tokens that were sound or pictures, which cost otherwise; from the details of what went in and came out."""
    if _OTHERWISE.isdisjoint(before) and _OTHERWISE.isdisjoint(after):
        return {}
    cached = mapping(before.get("cached_tokens_details"))
    counts = known(
        audio_input_tokens=count(before.get("audio_tokens")),
        audio_output_tokens=count(after.get("audio_tokens")),
        audio_cached_tokens=count(cached.get("audio_tokens")),
        image_input_tokens=count(before.get("image_tokens")),
        image_output_tokens=count(after.get("image_tokens")),
        image_cached_tokens=count(cached.get("image_tokens")),
    )
    return {name: tokens for name, tokens in counts.items() if tokens}


def _usage(answer: Json) -> Mapping[str, Any] | None:
    return usage_of(answer.get("usage"), answer.get("service_tier"))


def _fault_of_choices(answer: Json) -> Failed | None:
    trouble = trouble_in(answer)
    if trouble is not None:
        return failure_inside(trouble)
    choices = objects(answer.get("choices"))
    if not choices:
        return BadAnswer("the answer has status 200 but no choices")
    if not mapping(choices[0].get("message")):
        # OpenRouter puts an upstream's error beside an empty choice.
        trouble = trouble_in(choices[0])
        if trouble is not None:
            return failure_inside(trouble)
    return None


def _fault_of_embeddings(answer: Json) -> Failed | None:
    trouble = trouble_in(answer)
    if trouble is not None:
        return failure_inside(trouble)
    if not listing(answer.get("data")):
        return BadAnswer("the answer has status 200 but no embeddings")
    return None


def refusal(error: CallError, request_id: str) -> Json:
    """OpenAI's error body."""
    return {"error": {"message": error.message, "type": _type_of(error), "param": None, "code": error.code}}


def _type_of(error: CallError) -> str:
    if error.code == "insufficient_quota":
        return "insufficient_quota"
    status = error.status
    if status >= 500:
        return "server_error"
    types = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return types.get(status, "invalid_request_error")


def _chat_text(answer: Json) -> str:
    return joined_text(_first(answer, "message").get("content"))


def joined_text(content: Any) -> str:
    """Text that is a string, or a list of parts of which some are text."""
    if isinstance(content, str):
        return content
    return "".join(string(part.get("text")) for part in objects(content) if part.get("type", "text") == "text")


def _completion_text(answer: Json) -> str:
    choices = objects(answer.get("choices"))
    return string(choices[0].get("text")) if choices else ""


def _chat_tool_calls(answer: Json) -> list[Json]:
    return objects(_first(answer, "message").get("tool_calls"))


def _first(answer: Json, part: str) -> Json:
    choices = objects(answer.get("choices"))
    return mapping(choices[0].get(part)) if choices else {}


def _finished(answer: Json) -> Sequence[str]:
    return [string(choice.get("finish_reason")) for choice in objects(answer.get("choices"))]


def no_text(answer: Json) -> str:
    """Answers of this kind have no text."""
    return ""


def no_tool_calls(answer: Json) -> list[Json]:
    """Answers of this kind call no tools."""
    return []


CHAT = Dialect(
    name="openai.chat",
    operation="chat",
    watcher=ChatWatcher,
    fault=_fault_of_choices,
    failure=failure,
    refusal=refusal,
    usage=_usage,
    text=_chat_text,
    tool_calls=_chat_tool_calls,
    finished=_finished,
)
COMPLETIONS = Dialect(
    name="openai.completions",
    operation="completions",
    watcher=ChatWatcher,
    fault=_fault_of_choices,
    failure=failure,
    refusal=refusal,
    usage=_usage,
    text=_completion_text,
    tool_calls=no_tool_calls,
    finished=_finished,
)
EMBEDDINGS = Dialect(
    name="openai.embeddings",
    operation="embeddings",
    watcher=Unwatched,
    fault=_fault_of_embeddings,
    failure=failure,
    refusal=refusal,
    usage=_usage,
    text=no_text,
    tool_calls=no_tool_calls,
)
