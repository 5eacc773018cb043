"""Anthropic's Messages dialect."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadAnswer, CallError, Failed
from ..message import Body, Json
from .base import Dialect
from .cargo import add, count, known, mapping, objects, string, tier
from .failures import failure, failure_inside, trouble_in
from .watch import DONE, EventWatcher, looks_whole

_PLAIN = frozenset({b"content_block_delta", b"content_block_start", b"content_block_stop", b"ping"})
_TYPE = re.compile(rb'"type"\s*:\s*"([a-z_]+)"')


class MessagesWatcher(EventWatcher):
    """Understands Messages streams."""

    __slots__ = ("_usage",)

    terminal = "message_stop"

    def __init__(self) -> None:
        super().__init__()
        self._usage: dict[str, Any] = {}

    @property
    def usage(self) -> Mapping[str, Any] | None:
        return usage_of(self._usage)

    def _ended(self) -> bool:
        return False  # nothing but the terminal event proves it

    def _event(self, name: bytes, data: bytes, whole: bool) -> None:
        if not whole or (name in _PLAIN and looks_whole(data)):
            return
        if data == DONE:  # some servers end any stream with it
            return
        if name == b"error":
            self._error(data)
            return
        item = self._object(data)
        if item is None:
            return
        kind = item.get("type")
        if kind == "message_start":
            message = mapping(item.get("message"))
            self.model = string(message.get("model"))
            self._count(message)
        elif kind == "message_delta":
            # Cumulative: what it names replaces what was said at the start.
            self._count(item)
            self._reasons[0] = string(mapping(item.get("delta")).get("stop_reason"))
        elif kind == "message_stop":
            self.complete = True

    def _count(self, item: Json) -> None:
        usage = mapping(item.get("usage"))
        self._usage.update({name: value for name, value in usage.items() if value is not None})


def usage_of(usage: Any) -> Mapping[str, Any] | None:
    """Token counts in the unified names; Anthropic's `input_tokens` leaves the cached ones out, ours has them in."""
    usage = mapping(usage)
    fresh, completion = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    if fresh is None and completion is None:
        return None
    cached, written = count(usage.get("cache_read_input_tokens")), count(usage.get("cache_creation_input_tokens"))
    prompt = add(fresh, cached, written)
    counts = known(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=add(prompt, completion),
        cached_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=count(mapping(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")) or None,
        web_searches=count(mapping(usage.get("server_tool_use")).get("web_search_requests")) or None,
        reasoning_tokens=count(mapping(usage.get("output_tokens_details")).get("thinking_tokens")),
    )
    speed = string(usage.get("speed"))
    return {**counts, **tier(usage.get("service_tier")), **({"speed": speed} if speed == "fast" else {})}


def _usage(answer: Json) -> Mapping[str, Any] | None:
    return usage_of(answer.get("usage"))


def _fault(answer: Json) -> Failed | None:
    trouble = trouble_in(answer)
    if trouble is not None:
        return failure_inside(trouble)
    if not isinstance(answer.get("content"), list):
        return BadAnswer("the answer has status 200 but no content")
    return None


_TYPES = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def refusal(error: CallError, request_id: str) -> Json:
    """Anthropic's error body."""
    kind = _TYPES.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": error.message}, "request_id": request_id}


def _text(answer: Json) -> str:
    return "".join(string(b.get("text")) for b in objects(answer.get("content")) if b.get("type") == "text")


def _tool_calls(answer: Json) -> list[Json]:
    return [
        {
            "id": block.get("id"),
            "type": "function",
            "function": {"name": string(block.get("name")), "arguments": arguments(block.get("input"))},
        }
        for block in objects(answer.get("content"))
        if block.get("type") == "tool_use"
    ]


def arguments(value: Any) -> str:
    """A tool call's arguments as the JSON text the chat shape has."""
    return Body(json=mapping(value)).raw.decode()


def _finished(answer: Json) -> Sequence[str]:
    return [string(answer.get("stop_reason"))]


MESSAGES = Dialect(
    name="anthropic.messages",
    operation="chat",
    watcher=MessagesWatcher,
    fault=_fault,
    failure=failure,
    refusal=refusal,
    usage=_usage,
    text=_text,
    tool_calls=_tool_calls,
    finished=_finished,
)
