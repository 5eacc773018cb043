"""Bedrock: Converse and InvokeModel for Claude and Llama, streams in Amazon's frames."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

from llm_edge.providers.eventstream import CONTENT_TYPE, event

from ..call import Call, as_list
from ..says import Says, Usage, vectors_for
from . import anthropic
from .frames import Reply, dump, halves

Json = dict[str, Any]

_STOPS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "content_filter": "content_filtered"}
_SIGNATURE = "c2NyaXB0ZWQ="


def _headers(kind: str, call: Call) -> tuple[tuple[str, str], ...]:
    return (("content-type", kind), ("x-amzn-requestid", f"req_{call.number}"))


def _whole(body: Json, call: Call, *, status: int = 200) -> Reply:
    return Reply(status, _headers("application/json", call), (dump(body),))


def _streamed(frames: Iterator[bytes], call: Call) -> Reply:
    return Reply(200, _headers(CONTENT_TYPE, call), tuple(frames), streamed=True)


def converse(says: Says, call: Call) -> Reply:
    """`/model/{id}/converse` and `/converse-stream`."""
    if call.streamed:
        return _streamed(_events(says), call)
    message = {"role": "assistant", "content": _blocks(says)}
    body: Json = {"output": {"message": message}, "stopReason": _STOPS[says.finish], "metrics": {"latencyMs": 5}}
    return _whole(body | _usage(says.usage), call)


def count(says: Says, call: Call) -> Reply:
    """`/model/{id}/count-tokens`."""
    return _whole({"inputTokens": says.usage.prompt_tokens if says.usage else 0}, call)


def _usage(usage: Usage | None) -> Json:
    if usage is None:
        return {}
    counts: Json = {
        "inputTokens": usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens,
        "outputTokens": usage.completion_tokens,
        "totalTokens": usage.total_tokens,
        "cacheReadInputTokens": usage.cached_tokens,
        "cacheWriteInputTokens": usage.cache_write_tokens,
    }
    return {"usage": counts}


def _blocks(says: Says) -> list[Json]:
    blocks: list[Json] = []
    if says.reasoning is not None:
        blocks.append({"reasoningContent": {"reasoningText": {"text": says.reasoning, "signature": _SIGNATURE}}})
    text = says.text or says.refusal
    if text:
        blocks.append({"text": text})
    blocks += [
        {"toolUse": {"toolUseId": made.id, "name": made.name, "input": made.parsed()}} for made in says.tool_calls
    ]
    return blocks


def _events(says: Says) -> Iterator[bytes]:
    yield _frame("messageStart", {"role": "assistant"})
    index = 0
    if says.reasoning is not None:
        yield _piece(index, {"reasoningContent": {"text": says.reasoning}})
        yield _piece(index, {"reasoningContent": {"signature": _SIGNATURE}})
        yield _frame("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    if says.text:
        for part in says.parts:
            yield _piece(index, {"text": part})
        yield _frame("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    for made in says.tool_calls:
        start: Json = {"toolUse": {"toolUseId": made.id, "name": made.name}}
        yield _frame("contentBlockStart", {"contentBlockIndex": index, "start": start})
        for piece in halves(made.arguments):
            yield _piece(index, {"toolUse": {"input": piece}})
        yield _frame("contentBlockStop", {"contentBlockIndex": index})
        index += 1
    yield _frame("messageStop", {"stopReason": _STOPS[says.finish]})
    yield _frame("metadata", {"metrics": {"latencyMs": 5}} | _usage(says.usage))


def _frame(name: str, payload: Json) -> bytes:
    return event(name, dump(payload | {"p": "abcdefgh"}))  # padding, as Bedrock has it


def _piece(index: int, delta: Json) -> bytes:
    return _frame("contentBlockDelta", {"contentBlockIndex": index, "delta": delta})


def invoke(says: Says, call: Call) -> Reply:
    """`/model/{id}/invoke…`: Llama's for a prompt, Titan's and Cohere's for texts to embed, else Claude's."""
    if call.field("prompt") is not None:
        return _llama(says, call)
    if call.field("inputText") is not None or call.field("texts") is not None:
        return _embedded(says, call)
    reply = anthropic.messages(says, call)
    if not call.streamed:
        return _whole_of(reply, call)
    return _streamed((_chunk(frame.partition(b"data: ")[2].strip()) for frame in reply.frames), call)


def _embedded(says: Says, call: Call) -> Reply:
    text = call.field("inputText")
    dimensions = call.field("dimensions") or call.field("output_dimension")
    inputs = [str(each) for each in as_list(call.field("texts"))] if text is None else [str(text)]
    vectors = vectors_for(says, inputs, dimensions if isinstance(dimensions, int) else 8)
    if text is not None:
        counted = says.usage.prompt_tokens if says.usage else 0
        return _whole({"embedding": vectors[0], "inputTextTokenCount": counted}, call)
    by_type = call.field("embedding_types") is not None
    kind = "embeddings_by_type" if by_type else "embeddings_floats"
    found: object = {"float": vectors} if by_type else vectors
    return _whole({"id": "e", "texts": inputs, "response_type": kind, "embeddings": found}, call)


def _whole_of(reply: Reply, call: Call) -> Reply:
    return Reply(reply.status, _headers("application/json", call), reply.frames)


def _chunk(data: bytes) -> bytes:
    return _frame("chunk", {"bytes": base64.b64encode(data).decode()})


def _llama(says: Says, call: Call) -> Reply:
    usage = says.usage or Usage()
    reason = "length" if says.finish == "length" else "stop"
    counts: Json = {"prompt_token_count": usage.prompt_tokens, "generation_token_count": usage.completion_tokens}
    if not call.streamed:
        return _whole({"generation": says.text, "stop_reason": reason} | counts, call)
    events: list[Json] = [{"generation": part, "stop_reason": None, "prompt_token_count": None} for part in says.parts]
    events.append({"generation": "", "stop_reason": reason} | counts)
    return _streamed((_chunk(dump(each)) for each in events), call)


_ERRORS = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}


def error(call: Call, status: int, message: str, kind: str | None, code: str | None) -> Json:
    """An error body in this dialect; its code travels in a header, which `error_headers` gives."""
    return {"message": message}


def error_headers(status: int, code: str | None) -> tuple[tuple[str, str], ...]:
    """The header that says which error it is."""
    return (("x-amzn-errortype", code or _ERRORS.get(status, "InternalServerException")),)
