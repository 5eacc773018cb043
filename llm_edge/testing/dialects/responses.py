"""OpenAI Responses: items and typed events; no [DONE]."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ..call import Call
from ..says import Says, ToolCall
from .frames import CREATED, Reply, event, halves, json_reply, stream_reply

Json = dict[str, Any]


def respond(says: Says, call: Call) -> Reply:
    """`/responses`, whole or streamed."""
    if call.streamed:
        return stream_reply(_events(says, call), call)
    return json_reply(_response(says, call, _items(says, call)), call)


def count(says: Says, call: Call) -> Reply:
    """`/responses/input_tokens`."""
    tokens = says.usage.prompt_tokens if says.usage else 0
    return json_reply({"object": "response.input_tokens", "input_tokens": tokens}, call)


def _response(says: Says, call: Call, output: list[Json], status: str | None = None) -> Json:
    reason = {"length": "max_output_tokens", "content_filter": "content_filter"}.get(says.finish)
    final = "incomplete" if reason else "completed"
    body: Json = {
        "id": f"resp_{call.number}",
        "object": "response",
        "created_at": CREATED,
        "status": status or final,
        "error": None,
        "incomplete_details": {"reason": reason} if reason and not status else None,
        "instructions": call.field("instructions"),
        "metadata": {},
        "model": says.model or call.model or "scripted",
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": call.field("tools") or [],
        "top_p": 1.0,
        "usage": None,
    }
    if says.usage and not status:
        body["usage"] = {
            "input_tokens": says.usage.prompt_tokens,
            "input_tokens_details": {"cached_tokens": says.usage.cached_tokens},
            "output_tokens": says.usage.completion_tokens,
            "output_tokens_details": {"reasoning_tokens": says.usage.reasoning_tokens},
            "total_tokens": says.usage.total_tokens,
        }
    return body


def _text_part(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(says: Says, call: Call, status: str) -> Json:
    if status == "in_progress":
        content: list[Json] = []
    elif says.refusal is not None:
        content = [{"type": "refusal", "refusal": says.refusal}]
    else:
        content = [_text_part(says.text)]
    return {"id": f"msg_{call.number}", "type": "message", "role": "assistant", "status": status, "content": content}


def _function(made: ToolCall, index: int, arguments: str, status: str) -> Json:
    return {
        "id": f"fc_{index}",
        "type": "function_call",
        "call_id": made.id,
        "name": made.name,
        "arguments": arguments,
        "status": status,
    }


def _items(says: Says, call: Call) -> list[Json]:
    items: list[Json] = []
    if says.reasoning is not None:
        summary = [{"type": "summary_text", "text": says.reasoning}]
        items.append({"id": f"rs_{call.number}", "type": "reasoning", "summary": summary})
    if says.parts or says.refusal is not None:
        items.append(_message(says, call, "completed"))
    items += [_function(made, index, made.arguments, "completed") for index, made in enumerate(says.tool_calls)]
    return items


def _events(says: Says, call: Call) -> Iterator[bytes]:
    items = _items(says, call)
    terminal = "response.incomplete" if says.finish in ("length", "content_filter") else "response.completed"
    story: list[tuple[str, Json]] = [
        ("response.created", {"response": _response(says, call, [], "in_progress")}),
        ("response.in_progress", {"response": _response(says, call, [], "in_progress")}),
    ]
    calls = list(says.tool_calls)
    for index, item in enumerate(items):
        if item["type"] == "message":
            story += _message_story(says, call, index, item)
        elif item["type"] == "function_call":
            story += _function_story(calls.pop(0), index, item)
        else:
            story += [(f"response.output_item.{word}", {"output_index": index, "item": item}) for word in _ADDED_DONE]
    story.append((terminal, {"response": _response(says, call, items)}))
    for number, (name, fields) in enumerate(story):
        yield event({"type": name, "sequence_number": number} | fields, name)


_ADDED_DONE = ("added", "done")


def _message_story(says: Says, call: Call, index: int, item: Json) -> Iterator[tuple[str, Json]]:
    where: Json = {"item_id": item["id"], "output_index": index, "content_index": 0}
    refused = says.refusal is not None
    kind, field = ("refusal", "refusal") if refused else ("output_text", "text")
    empty: Json = {"type": "refusal", "refusal": ""} if refused else _text_part("")
    extra: Json = {} if refused else {"logprobs": []}
    yield "response.output_item.added", {"output_index": index, "item": _message(says, call, "in_progress")}
    yield "response.content_part.added", where | {"part": empty}
    for part in (says.refusal,) if says.refusal is not None else says.parts:
        yield f"response.{kind}.delta", where | {"delta": part} | extra
    yield f"response.{kind}.done", where | {field: says.refusal if refused else says.text} | extra
    yield "response.content_part.done", where | {"part": item["content"][0]}
    yield "response.output_item.done", {"output_index": index, "item": item}


def _function_story(made: ToolCall, index: int, item: Json) -> Iterator[tuple[str, Json]]:
    where: Json = {"item_id": item["id"], "output_index": index}
    yield (
        "response.output_item.added",
        {"output_index": index, "item": item | {"arguments": "", "status": "in_progress"}},
    )
    for piece in halves(made.arguments):
        yield "response.function_call_arguments.delta", where | {"delta": piece}
    yield "response.function_call_arguments.done", where | {"arguments": made.arguments, "name": made.name}
    yield "response.output_item.done", {"output_index": index, "item": item}
