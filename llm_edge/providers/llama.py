"""Llama's own dialect on Bedrock: one prompt in, its continuation out. The streams are events of the same shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadAnswer, Failed
from ..message import Json
from .base import Dialect
from .bedrock import refusal, told_in
from .cargo import add, count, known, mapping, string
from .failures import failure
from .openai import no_tool_calls
from .watch import EventWatcher

_METRICS = "amazon-bedrock-invocationMetrics"


class LlamaWatcher(EventWatcher):
    """Understands the streams of InvokeModel for Llama, once they are events."""

    __slots__ = ("_usage",)

    terminal = "a stop_reason"

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, Any] = {}

    @property
    def usage(self) -> Mapping[str, int] | None:
        return usage_of(self._usage)

    def _event(self, name: bytes, data: bytes, whole: bool) -> None:
        item = self._object(data)
        if item is None:
            return
        count_into(self._usage, item)
        reason = string(item.get("stop_reason"))
        if reason:
            self._reasons[0] = reason
            self.complete = True


def count_into(counts: dict[str, Any], item: Json) -> None:
    """What an event says about tokens, over what earlier ones said."""
    metrics = mapping(item.get(_METRICS))
    for name, other in (("prompt_token_count", "inputTokenCount"), ("generation_token_count", "outputTokenCount")):
        value = item.get(name)
        value = metrics.get(other) if value is None else value
        if value is not None:
            counts[name] = value


def usage_of(counts: Json) -> Mapping[str, int] | None:
    """Token counts in the unified names."""
    prompt, completion = count(counts.get("prompt_token_count")), count(counts.get("generation_token_count"))
    if prompt is None and completion is None:
        return None
    return known(prompt_tokens=prompt, completion_tokens=completion, total_tokens=add(prompt, completion))


def _fault(answer: Json) -> Failed | None:
    if not isinstance(answer.get("generation"), str):
        return told_in(answer) or BadAnswer("the answer has status 200 but no generation")
    return None


def _text(answer: Json) -> str:
    return string(answer.get("generation"))


def _finished(answer: Json) -> Sequence[str]:
    return [string(answer.get("stop_reason"))]


LLAMA = Dialect(
    name="bedrock.llama",
    operation="chat",
    watcher=LlamaWatcher,
    fault=_fault,
    failure=failure,
    refusal=refusal,
    usage=usage_of,
    text=_text,
    tool_calls=no_tool_calls,
    finished=_finished,
)
