"""OpenAI chat completions, legacy completions, embeddings and models; also what compatible servers speak."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from ..call import Call, as_list, as_object
from ..says import Says, Usage, vectors_for
from .frames import CREATED, Reply, event, halves, json_reply, stream_reply

Json = dict[str, Any]
DONE = b"data: [DONE]\n\n"


def usage_of(usage: Usage) -> Json:
    """Token counts in OpenAI's shape."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }


def _model(says: Says, call: Call) -> str:
    return says.model or call.model or "scripted"


def _choices(call: Call) -> range:
    wanted = call.field("n")
    return range(wanted if isinstance(wanted, int) and wanted > 0 else 1)


def chat(says: Says, call: Call) -> Reply:
    """`/chat/completions`, whole or streamed."""
    if call.streamed:
        return stream_reply(_chunks(says, call), call)
    message: Json = {"role": "assistant", "content": says.text if says.parts else None, "refusal": says.refusal}
    if says.reasoning is not None:
        message["reasoning_content"] = says.reasoning
    if says.tool_calls:
        message["tool_calls"] = [
            {"id": made.id, "type": "function", "function": {"name": made.name, "arguments": made.arguments}}
            for made in says.tool_calls
        ]
    choices = [
        {"index": index, "message": message, "logprobs": None, "finish_reason": says.finish} for index in _choices(call)
    ]
    body: Json = {"id": f"chatcmpl-{call.number}", "object": "chat.completion", "created": CREATED}
    body |= {"model": _model(says, call), "choices": choices}
    if says.usage:
        body["usage"] = usage_of(says.usage)
    return json_reply(body, call)


def _chunks(says: Says, call: Call) -> Iterator[bytes]:
    counted = as_object(call.field("stream_options")).get("include_usage") is True
    frame: Json = {"id": f"chatcmpl-{call.number}", "object": "chat.completion.chunk", "created": CREATED}
    frame["model"] = _model(says, call)
    silent: Json = {"usage": None} if counted else {}

    def chunk(delta: Json, finish: str | None = None) -> Iterator[bytes]:
        for index in _choices(call):
            choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
            yield event(frame | {"choices": [choice]} | silent)

    yield from chunk({"role": "assistant", "content": "" if says.parts else None, "refusal": None})
    if says.reasoning is not None:
        yield from chunk({"reasoning_content": says.reasoning})
    for part in says.parts:
        yield from chunk({"content": part})
    if says.refusal is not None:
        yield from chunk({"refusal": says.refusal})
    for index, made in enumerate(says.tool_calls):
        function = {"name": made.name, "arguments": ""}
        yield from chunk({"tool_calls": [{"index": index, "id": made.id, "type": "function", "function": function}]})
        for piece in halves(made.arguments):
            yield from chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield from chunk({}, says.finish)
    if counted and says.usage:
        yield event(frame | {"choices": [], "usage": usage_of(says.usage)})
    yield DONE


def completions(says: Says, call: Call) -> Reply:
    """The legacy `/completions`."""
    frame: Json = {"id": f"cmpl-{call.number}", "object": "text_completion", "created": CREATED}
    frame["model"] = _model(says, call)
    usage: Json = {"usage": usage_of(says.usage)} if says.usage else {}

    def choice(text: str, finish: str | None) -> Json:
        return {"choices": [{"index": 0, "text": text, "logprobs": None, "finish_reason": finish}]}

    if not call.streamed:
        return json_reply(frame | choice(says.text, says.finish) | usage, call)
    frames = [event(frame | choice(part, None)) for part in says.parts]
    return stream_reply([*frames, event(frame | choice("", says.finish) | usage), DONE], call)


def embeddings(says: Says, call: Call) -> Reply:
    """`/embeddings`, as floats or base64 as asked."""
    dimensions = call.field("dimensions")
    vectors = vectors_for(says, _inputs(call.field("input")), dimensions if isinstance(dimensions, int) else 8)
    packed = call.field("encoding_format") == "base64"
    data = [
        {"object": "embedding", "index": index, "embedding": _pack(vector) if packed else vector}
        for index, vector in enumerate(vectors)
    ]
    # OpenAI sends no id, Mistral's SDK wants one, and nobody minds it.
    body: Json = {"id": f"embd-{call.number}", "object": "list", "data": data, "model": _model(says, call)}
    if says.usage:
        body["usage"] = {"prompt_tokens": says.usage.prompt_tokens, "total_tokens": says.usage.prompt_tokens}
    return json_reply(body, call)


def _inputs(given: Any) -> list[str]:  # cargo: text, tokens, or a list of either
    several = as_list(given)
    return [str(item) for item in several] if several and not isinstance(several[0], int) else [str(given)]


def _pack(vector: tuple[float, ...]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def models(says: Says, call: Call) -> Reply:
    """`/models` and `/models/{id}`."""
    known = [{"id": name, "object": "model", "created": CREATED, "owned_by": "scripted"} for name in says.models]
    if call.path.rstrip("/").endswith("/models"):
        return json_reply({"object": "list", "data": known}, call)
    wanted = call.path.split("/models/", 1)[1]
    for entry in known:
        if entry["id"] == wanted:
            return json_reply(entry, call)
    return json_reply(
        error(call, 404, f"The model '{wanted}' does not exist", None, "model_not_found"), call, status=404
    )


_ERRORS: dict[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("permission_error", None),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("service_unavailable_error", "server_is_overloaded"),
}


def error(call: Call, status: int, message: str, kind: str | None, code: str | None) -> Json:
    """An error body in this dialect."""
    usual, usual_code = _ERRORS.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    return {"error": {"message": message, "type": kind or usual, "param": None, "code": code or usual_code}}
