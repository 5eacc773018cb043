"""OpenAI's Responses dialect."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadAnswer, Failed
from ..message import Json
from .base import Dialect
from .cargo import add, count, known, mapping, objects, string, tier
from .failures import failure, failure_inside, trouble_in
from .openai import refusal, spoken_and_seen
from .tails import object_in_tail
from .watch import DONE, EventWatcher, looks_whole

_TERMINAL = {b"response.completed": "completed", b"response.incomplete": "incomplete", b"response.failed": "failed"}
_TELLING = frozenset({*_TERMINAL, b"response.created", b"error", b""})
_TYPE = re.compile(rb'"type"\s*:\s*"([a-z_.]+)"')


class ResponsesWatcher(EventWatcher):
    """Understands Responses streams, with or without their `event:` lines."""

    __slots__ = ("_tier", "_usage")

    terminal = "response.completed, response.incomplete or response.failed"

    def __init__(self) -> None:
        super().__init__()
        self._usage: Json | None = None
        self._tier: object = None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        return usage_of(self._usage, self._tier)

    def _ended(self) -> bool:
        return False  # nothing but the terminal event proves it

    def _event(self, name: bytes, data: bytes, whole: bool) -> None:
        if not name:
            # `type` comes first in every event; if a server puts it elsewhere, the event is parsed all the same.
            match = _TYPE.search(data, 0, 64)
            name = match[1] if match else b""
        if name not in _TELLING and (looks_whole(data) or not whole):
            return
        if data == DONE:  # some servers end any stream with it
            return
        if name == b"error":
            self._error(data)
        elif whole:
            self._parsed(name, data)
        elif name in _TERMINAL:
            self._usage = object_in_tail(data, "usage") or self._usage
            self._end_with(_TERMINAL[name])

    def _parsed(self, name: bytes, data: bytes) -> None:
        item = self._object(data)
        if item is None:
            return
        response = mapping(item.get("response"))
        self.model = self.model or string(response.get("model"))
        self._usage = mapping(response.get("usage")) or self._usage
        self._tier = response.get("service_tier") or self._tier
        status = _TERMINAL.get(name or string(item.get("type")).encode())
        if status == "failed":
            self._fails({"error": response.get("error") or {"message": "the response failed"}})
        if status is not None:
            self._end_with(_reason({**response, "status": status}))

    def _end_with(self, reason: str) -> None:
        self._reasons[0] = reason
        self.complete = True


def usage_of(usage: Any, served: object = None) -> Mapping[str, Any] | None:
    """Token counts in the unified names, from a Responses `usage` object and the tier it was `served` in."""
    usage = mapping(usage)
    prompt, completion = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    total = count(usage.get("total_tokens"))
    if prompt is None and completion is None and total is None:
        return None
    before, after = mapping(usage.get("input_tokens_details")), mapping(usage.get("output_tokens_details"))
    counts = known(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=total if total is not None else add(prompt, completion),
        cached_tokens=count(before.get("cached_tokens")),
        cache_write_tokens=count(before.get("cache_write_tokens")),
        reasoning_tokens=count(after.get("reasoning_tokens")),
    )
    return {**counts, **spoken_and_seen(before, after), **tier(served)}


def _usage(answer: Json) -> Mapping[str, Any] | None:
    return usage_of(answer.get("usage"), answer.get("service_tier"))


def _fault(answer: Json) -> Failed | None:
    trouble = trouble_in(answer)
    if trouble is not None:
        return failure_inside(trouble)
    if answer.get("status") == "failed":
        return BadAnswer("the response has status 'failed' and does not say why")
    if not isinstance(answer.get("output"), list):
        return BadAnswer("the answer has status 200 but no output")
    return None


def _text(answer: Json) -> str:
    return "".join(
        string(part.get("text"))
        for item in objects(answer.get("output"))
        for part in objects(item.get("content"))
        if part.get("type") == "output_text"
    )


def _tool_calls(answer: Json) -> list[Json]:
    calls: list[Json] = []
    for item in objects(answer.get("output")):
        name = string(item.get("name"))
        if item.get("type") == "function_call":
            function = {"name": name, "arguments": string(item.get("arguments"))}
            calls.append({"id": item.get("call_id"), "type": "function", "function": function})
        elif item.get("type") == "custom_tool_call":
            custom = {"name": name, "input": string(item.get("input"))}
            calls.append({"id": item.get("call_id"), "type": "custom", "custom": custom})
    return calls


def _finished(answer: Json) -> Sequence[str]:
    return [_reason(answer)]


def _reason(response: Json) -> str:
    status = string(response.get("status"))
    reason = string(mapping(response.get("incomplete_details")).get("reason"))
    return reason if status == "incomplete" and reason else status


RESPONSES = Dialect(
    name="openai.responses",
    operation="chat",
    watcher=ResponsesWatcher,
    fault=_fault,
    failure=failure,
    refusal=refusal,
    usage=_usage,
    text=_text,
    tool_calls=_tool_calls,
    finished=_finished,
)
