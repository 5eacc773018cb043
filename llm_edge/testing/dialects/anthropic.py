"""Anthropic Messages: content blocks, and a stream of named events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..call import Call
from ..says import Says, ToolCall, Usage
from .frames import Reply, event, halves, json_reply, stream_reply

Json = dict[str, Any]

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "refusal"}


def _usage(usage: Usage | None) -> Json:
    """Anthropic leaves what came from or went to its cache out of `input_tokens`."""
    if usage is None:
        return {}
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    counts: Json = {
        "input_tokens": fresh,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }
    return {"usage": counts}


def _blocks(says: Says) -> list[Json]:
    blocks: list[Json] = []
    if says.reasoning is not None:
        blocks.append({"type": "thinking", "thinking": says.reasoning, "signature": "c2NyaXB0ZWQ="})
    if says.text:
        blocks.append({"type": "text", "text": says.text})
    blocks += [
        {"type": "tool_use", "id": made.id, "name": made.name, "input": made.parsed()} for made in says.tool_calls
    ]
    return blocks


def _stop(says: Says) -> Json:
    # OpenAI stops as always when it refuses; Anthropic gives that as the reason.
    reason = "refusal" if says.refusal is not None else _STOPS[says.finish]
    details = {"category": "scripted", "explanation": says.refusal} if says.refusal is not None else None
    return {"stop_reason": reason, "stop_sequence": None, "stop_details": details}


def _message(says: Says, call: Call) -> Json:
    return {
        "id": f"msg_{call.number}",
        "type": "message",
        "role": "assistant",
        "model": says.model or call.model or "scripted",
    }


def messages(says: Says, call: Call) -> Reply:
    """`/v1/messages`, whole or streamed."""
    if call.streamed:
        return stream_reply(_events(says, call), call)
    return json_reply(_message(says, call) | {"content": _blocks(says)} | _stop(says) | _usage(says.usage), call)


def _events(says: Says, call: Call) -> Iterator[bytes]:
    counts = _usage(says.usage)
    first = {"usage": counts["usage"] | {"output_tokens": 1}} if counts else {}
    empty: Json = {"content": [], "stop_reason": None, "stop_sequence": None}
    start = _message(says, call) | empty | first
    yield event({"type": "message_start", "message": start}, "message_start")
    yield event({"type": "ping"}, "ping")
    index = 0
    if says.reasoning is not None:
        deltas: list[Json] = [
            {"type": "thinking_delta", "thinking": says.reasoning},
            {"type": "signature_delta", "signature": "c2NyaXB0ZWQ="},
        ]
        yield from _block(index, {"type": "thinking", "thinking": "", "signature": ""}, deltas)
        index += 1
    if says.text:
        texts: list[Json] = [{"type": "text_delta", "text": part} for part in says.parts]
        yield from _block(index, {"type": "text", "text": ""}, texts)
        index += 1
    for made in says.tool_calls:
        yield from _tool(index, made)
        index += 1
    yield event({"type": "message_delta", "delta": _stop(says)} | counts, "message_delta")
    yield event({"type": "message_stop"}, "message_stop")


def _tool(index: int, made: ToolCall) -> Iterator[bytes]:
    pieces: list[Json] = [{"type": "input_json_delta", "partial_json": piece} for piece in halves(made.arguments)]
    yield from _block(index, {"type": "tool_use", "id": made.id, "name": made.name, "input": {}}, pieces)


def _block(index: int, opening: Json, deltas: list[Json]) -> Iterator[bytes]:
    where: Json = {"index": index}
    yield event({"type": "content_block_start"} | where | {"content_block": opening}, "content_block_start")
    for delta in deltas:
        yield event({"type": "content_block_delta"} | where | {"delta": delta}, "content_block_delta")
    yield event({"type": "content_block_stop"} | where, "content_block_stop")


def count(says: Says, call: Call) -> Reply:
    """`/v1/messages/count_tokens`."""
    return json_reply({"input_tokens": says.usage.prompt_tokens if says.usage else 0}, call)


def models(says: Says, call: Call) -> Reply:
    """`/v1/models` and `/v1/models/{id}`."""
    known: list[Json] = [
        {"id": name, "type": "model", "display_name": name, "created_at": "2026-10-01T00:00:00Z"}
        for name in says.models
    ]
    if call.path.rstrip("/").endswith("/models"):
        ends = {"first_id": says.models[0], "last_id": says.models[-1]} if known else {}
        return json_reply({"data": known, "has_more": False} | ends, call)
    wanted = call.path.split("/models/", 1)[1]
    for entry in known:
        if entry["id"] == wanted:
            return json_reply(entry, call)
    return json_reply(error(call, 404, f"model: {wanted}", None, None), call, status=404)


_ERRORS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def error(call: Call, status: int, message: str, kind: str | None, code: str | None) -> Json:
    """An error body in this dialect."""
    usual = _ERRORS.get(status, "api_error" if status >= 500 else "invalid_request_error")
    found: Json = {"type": kind or usual, "message": message}
    if code:
        found["details"] = {"error_code": code}
    return {"type": "error", "error": found, "request_id": f"req_{call.number}"}
