"""Gemini generateContent and its stream, embeddings, token counts and models."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..call import Call, as_list, as_object
from ..says import Says, Usage, vectors_for
from .frames import Reply, dump, event, json_reply, stream_reply

Json = dict[str, Any]

# Gemini says STOP for tool calls too.
_FINISHES = {"stop": "STOP", "length": "MAX_TOKENS", "tool_calls": "STOP", "content_filter": "SAFETY"}


def _usage(usage: Usage | None) -> Json:
    """Gemini counts thoughts beside the answer, not inside it."""
    if usage is None:
        return {}
    counts: Json = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": usage.completion_tokens - usage.reasoning_tokens,
        "totalTokenCount": usage.total_tokens,
    }
    if usage.reasoning_tokens:
        counts["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cached_tokens:
        counts["cachedContentTokenCount"] = usage.cached_tokens
    return {"usageMetadata": counts}


def _answer(says: Says, call: Call, parts: list[Json], *, last: bool) -> Json:
    candidate: Json = {"content": {"parts": parts, "role": "model"}, "index": 0}
    if last:
        candidate["finishReason"] = _FINISHES[says.finish]
        if says.refusal is not None:
            candidate |= {"finishReason": "SAFETY", "finishMessage": says.refusal}
    body: Json = {"candidates": [candidate]} | (_usage(says.usage) if last else {})
    return body | {"modelVersion": says.model or call.model or "scripted", "responseId": f"resp-{call.number}"}


def _thought(says: Says) -> list[Json]:
    return [{"text": says.reasoning, "thought": True}] if says.reasoning is not None else []


def _functions(says: Says) -> list[Json]:
    return [{"functionCall": {"id": made.id, "name": made.name, "args": made.parsed()}} for made in says.tool_calls]


def generate(says: Says, call: Call) -> Reply:
    """`:generateContent` and `:streamGenerateContent`, as events or as one JSON array."""
    if not call.streamed:
        text: list[Json] = [{"text": says.text}] if says.text else []
        return json_reply(_answer(says, call, _thought(says) + text + _functions(says), last=True), call)
    answers = list(_answers(says, call))
    if call.query.get("alt") == "sse":
        return stream_reply([event(answer, end=b"\r\n") for answer in answers], call)
    opened = [b"[" if index == 0 else b",\r\n" for index in range(len(answers))]
    frames = [start + dump(answer) for start, answer in zip(opened, answers, strict=True)]
    return Reply(200, (("content-type", "application/json; charset=UTF-8"),), (*frames, b"]"), streamed=True)


def _answers(says: Says, call: Call) -> Iterator[Json]:
    pieces: list[list[Json]] = [[part] for part in _thought(says)]
    pieces += [[{"text": part}] for part in says.parts]
    pieces += [[part] for part in _functions(says)]
    for piece in pieces[:-1]:
        yield _answer(says, call, piece, last=False)
    yield _answer(says, call, pieces[-1] if pieces else [{"text": ""}], last=True)


def embed(says: Says, call: Call) -> Reply:
    """`:embedContent` and `:batchEmbedContents`."""
    batch = call.field("requests")
    asked = as_list(batch) or [call.json]
    vectors = vectors_for(says, [str(as_object(one).get("content")) for one in asked], 8)
    values = [{"values": vector} for vector in vectors]
    return json_reply({"embeddings": values} if isinstance(batch, list) else {"embedding": values[0]}, call)


def count(says: Says, call: Call) -> Reply:
    """`:countTokens`."""
    return json_reply({"totalTokens": says.usage.prompt_tokens if says.usage else 0}, call)


def models(says: Says, call: Call) -> Reply:
    """`/models` and `/models/{id}`."""
    known: list[Json] = [{"name": f"models/{name}", "displayName": name} for name in says.models]
    if call.path.rstrip("/").endswith("/models"):
        return json_reply({"models": known}, call)
    wanted = "models/" + call.path.split("/models/", 1)[1]
    for entry in known:
        if entry["name"] == wanted:
            return json_reply(entry, call)
    return json_reply(error(call, 404, f"{wanted} is not found", None, None), call, status=404)


_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error(call: Call, status: int, message: str, kind: str | None, code: str | None) -> Json:
    """An error body in this dialect."""
    found: Json = {"code": status, "message": message, "status": kind or _STATUSES.get(status, "UNKNOWN")}
    if code:
        found["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code, "domain": "scripted"}]
    return {"error": found}
