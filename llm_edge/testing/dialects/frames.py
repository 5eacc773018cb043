"""The pieces an answer is made of: whole bodies and server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from llm_edge.exact import write

from ..call import Call

CREATED = 1_795_000_000
"""Every answer is made at the same moment, so that two runs give the same bytes."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Status, headers and the body in frames: one for a whole answer, one for each event of a stream."""

    status: int
    headers: tuple[tuple[str, str], ...]
    frames: tuple[bytes, ...]
    streamed: bool = False


def dump(value: Any) -> bytes:  # cargo: anything JSON
    """JSON bytes."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return write(value)  # long integers, half characters: odd answers are what tests play


def event(value: Any, name: str | None = None, *, end: bytes = b"\n") -> bytes:  # cargo
    """One server-sent event with its blank line."""
    head = b"event: " + name.encode() + end if name else b""
    return head + b"data: " + dump(value) + end + end


def request_id(call: Call) -> tuple[tuple[str, str], ...]:
    """The ids that OpenAI and Anthropic send with every answer."""
    return (("x-request-id", f"req_{call.number}"), ("request-id", f"req_{call.number}"))


def json_reply(body: Mapping[str, Any], call: Call, *, status: int = 200) -> Reply:
    """A whole JSON answer."""
    return Reply(status, (("content-type", "application/json"), *request_id(call)), (dump(body),))


def stream_reply(frames: Iterable[bytes], call: Call) -> Reply:
    """An answer of server-sent events."""
    headers = (("content-type", "text/event-stream; charset=utf-8"), ("cache-control", "no-cache"), *request_id(call))
    return Reply(200, headers, tuple(frames), streamed=True)


def halves(text: str) -> tuple[str, ...]:
    """Tool arguments as streams bring them: in pieces."""
    middle = len(text) // 2
    return (text[:middle], text[middle:]) if middle else (text,)
