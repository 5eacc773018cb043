"""A whole answer of the Responses API in the chat form, and the other way."""

from __future__ import annotations

from typing import Any

from ...message import Json
from ..cargo import add, count, mapping, objects, string
from ..failures import failure_inside, trouble_in
from .chat_calls import whole_calls
from .core import Exchange
from .hidden import extras_of, hide
from .marks import NOBODY, marked, whose
from .responses_items import output_text, reasoning_text, thinking_block, tool_call
from .responses_tools import flat_choice, flat_tools, text_of

_MAPPED = frozenset({"message", "reasoning", "function_call", "custom_tool_call"})


# ------------------------------------------------------------------ Responses to chat


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer in the unified form. Raises the provider's failure when the response failed."""
    if answer.get("status") == "failed":
        trouble = trouble_in({"error": answer.get("error") or {"message": "the response failed"}})
        if trouble is not None:
            raise failure_inside(trouble)
    output = objects(answer.get("output"))
    message, logprobs = _message(output, exchange)
    finish, native = finish_of(answer, called="tool_calls" in message)
    choice: dict[str, Any] = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
    if native:
        choice["native_finish_reason"] = native
    created = answer.get("created_at")
    unified: dict[str, Any] = {
        "id": string(answer.get("id")) or f"chatcmpl-{exchange.request_id}",
        "object": "chat.completion",
        "created": int(created) if isinstance(created, int | float) else exchange.created,
        "model": string(answer.get("model")) or exchange.model,
        "choices": [choice],
    }
    usage = usage_to_chat(mapping(answer.get("usage")))
    if usage:
        unified["usage"] = usage
    for name in ("service_tier", "moderation"):
        if answer.get(name) is not None:
            unified[name] = answer[name]
    return unified


def _message(output: list[Json], exchange: Exchange) -> tuple[dict[str, Any], Json | None]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    thoughts = [item for item in output if item.get("type") == "reasoning"]
    if thoughts:
        text = "\n\n".join(filter(None, map(reasoning_text, thoughts)))
        if text:
            message["reasoning_content"] = text
        message["thinking_blocks"] = [thinking_block(item) for item in thoughts]
    logprobs: list[Json] = []
    for item in output:
        if item.get("type") != "message":
            continue
        for part in objects(item.get("content")):
            if part.get("type") == "refusal":
                message["refusal"] = (message["refusal"] or "") + string(part.get("refusal"))
            elif part.get("type") == "output_text":
                before = len(message["content"] or "")
                message["content"] = (message["content"] or "") + string(part.get("text"))
                add_annotations(message, objects(part.get("annotations")), before)
                logprobs += objects(part.get("logprobs"))
        if item.get("phase"):
            message["phase"] = item["phase"]
    calls = [tool_call(item) for item in output if string(item.get("type")) in ("function_call", "custom_tool_call")]
    if calls:
        message["tool_calls"] = whole_calls(calls, exchange.made_up, exchange.names)
    others = [item for item in output if item.get("type") not in _MAPPED]
    if others:
        message["responses"] = {"output": others}  # hosted tools at work, and what nobody here has heard of
    return message, {"content": logprobs, "refusal": None} if logprobs else None


def add_annotations(message: dict[str, Any], annotations: list[Json], before: int) -> None:
    """Adds citations to a message or a delta; `before` is how much text came before theirs."""
    for each in annotations:
        if each.get("type") == "url_citation":
            cited = {name: value for name, value in each.items() if name != "type"}
            for name in ("start_index", "end_index"):
                cited[name] = (count(cited.get(name)) or 0) + before
            cited.setdefault("title", "")
            message.setdefault("annotations", []).append({"type": "url_citation", "url_citation": cited})
        else:
            message.setdefault("file_annotations", []).append(each)


def finish_of(answer: Json, *, called: bool) -> tuple[str, str]:
    """The unified finish reason, and OpenAI's word where that says more."""
    if answer.get("status") == "incomplete":
        reason = string(mapping(answer.get("incomplete_details")).get("reason"))
        known = {"max_output_tokens": "length", "max_messages": "length", "content_filter": "content_filter"}
        return known.get(reason, "stop"), "" if reason in ("max_output_tokens", "content_filter") else reason
    status = string(answer.get("status"))
    return "tool_calls" if called else "stop", "" if status in ("", "completed") else status


def usage_to_chat(usage: Json) -> dict[str, Any]:
    """Usage under chat's names; empty when nothing was told."""
    if not usage:
        return {}
    prompt, completion = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    total = count(usage.get("total_tokens"))
    unified: dict[str, Any] = {
        "prompt_tokens": prompt or 0,
        "completion_tokens": completion or 0,
        "total_tokens": add(prompt, completion) if total is None else total,
    }
    for theirs, ours in (
        ("input_tokens_details", "prompt_tokens_details"),
        ("output_tokens_details", "completion_tokens_details"),
    ):
        if mapping(usage.get(theirs)):
            unified[ours] = usage[theirs]
    return unified


# ------------------------------------------------------------------ chat to Responses


def answer_from_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer as a response object."""
    choices = objects(answer.get("choices"))
    choice: Json = choices[0] if choices else {}
    message = mapping(choice.get("message"))
    status, details = status_of(string(choice.get("finish_reason")))
    mark = id_mark(string(answer.get("id")))
    output: list[Json] = []
    for block in thoughts_of(message):
        output.append({"encrypted_content": NOBODY, **reasoning_item(block), "id": f"rs_{mark}_{len(output)}"})
    parts = _parts(message, mapping(choice.get("logprobs")))
    if parts:
        item = {"id": f"msg_{mark}_{len(output)}", "type": "message", "role": "assistant", "status": status}
        phase: Json = {"phase": message["phase"]} if message.get("phase") else {}
        output.append({**item, "content": parts, **phase})
    calls = objects(message.get("tool_calls"))
    extra = extras_of(calls)
    if extra:
        output.append({**unseen(extra), "id": f"rs_{mark}_{len(output)}"})
    for call in calls:
        output.append({**call_item(call), "id": f"fc_{mark}_{len(output)}", "status": "completed"})
    output += objects(mapping(message.get("responses")).get("output"))
    usage = usage_from_chat(mapping(answer.get("usage")))
    response = shell(answer, exchange)
    return {**response, "status": status, "incomplete_details": details, "output": output, "usage": usage}


def _parts(message: Json, logprobs: Json) -> list[Json]:
    parts: list[Json] = []
    content = message.get("content")
    if isinstance(content, str) and content:
        part = output_text(content, objects(message.get("annotations")))
        part["annotations"] += objects(message.get("file_annotations"))
        part["logprobs"] = [logprob(entry) for entry in objects(logprobs.get("content"))]
        parts.append(part)
    if message.get("refusal"):
        parts.append({"type": "refusal", "refusal": message["refusal"]})
    return parts


def logprob(entry: Json) -> Json:
    """A token's logprob with the bytes Responses always tells."""
    return {**_with_bytes(entry), "top_logprobs": [_with_bytes(each) for each in objects(entry.get("top_logprobs"))]}


def _with_bytes(entry: Json) -> dict[str, Any]:
    token = string(entry.get("token"))
    known = entry.get("bytes")
    told = list(token.encode(errors="replace")) if known is None else known
    return {"token": token, "bytes": told, "logprob": entry.get("logprob")}


def thoughts_of(message: Json) -> list[Json]:
    """The thinking blocks of a message; one without proof where only its text is known."""
    blocks = objects(message.get("thinking_blocks"))
    text = message.get("reasoning_content")
    return blocks or ([{"type": "thinking", "thinking": text}] if isinstance(text, str) and text else [])


def reasoning_item(block: Json) -> dict[str, Any]:
    """A thinking block as a reasoning item, its proof where OpenAI keeps its own."""
    text = string(block.get("thinking"))
    item: dict[str, Any] = {"type": "reasoning", "summary": [{"type": "summary_text", "text": text}] if text else []}
    if block.get("type") == "redacted_thinking":
        item["encrypted_content"] = marked("redacted", string(block.get("data")))
    elif block.get("signature"):
        vendor, own = whose(string(block["signature"]))
        item["encrypted_content"] = own.partition(":")[2] if vendor == "openai" else marked(vendor, own)
    return item


def unseen(extra: Json) -> dict[str, Any]:
    """A reasoning item that callers give back unread, with what other vendors say about tool calls."""
    return {"type": "reasoning", "summary": [], "encrypted_content": hide(extra)}


def call_item(call: Json) -> dict[str, Any]:
    """A tool call as an item."""
    if call.get("type") == "custom":
        custom = mapping(call.get("custom"))
        name, given = custom.get("name"), custom.get("input")
        return {"type": "custom_tool_call", "call_id": call.get("id"), "name": name, "input": given or ""}
    function = mapping(call.get("function"))
    name, arguments = function.get("name"), function.get("arguments")
    return {"type": "function_call", "call_id": call.get("id"), "name": name, "arguments": arguments or "{}"}


def status_of(finish: str) -> tuple[str, Json | None]:
    """The response's status for chat's finish reason, and why it is incomplete."""
    if finish == "length":
        return "incomplete", {"reason": "max_output_tokens"}
    if finish == "content_filter":
        return "incomplete", {"reason": "content_filter"}
    return "completed", None


def id_mark(name: str) -> str:
    """What the ids of one response have in common."""
    return name.removeprefix("resp_").removeprefix("chatcmpl-") or "0"


def usage_from_chat(usage: Json) -> Json | None:
    """Usage under the names of Responses, every detail it promises there."""
    if not usage:
        return None
    before, after = mapping(usage.get("prompt_tokens_details")), mapping(usage.get("completion_tokens_details"))
    return {
        "input_tokens": usage.get("prompt_tokens") or 0,
        "input_tokens_details": {
            "cached_tokens": before.get("cached_tokens") or 0,
            "cache_write_tokens": before.get("cache_write_tokens") or 0,
        },
        "output_tokens": usage.get("completion_tokens") or 0,
        "output_tokens_details": {"reasoning_tokens": after.get("reasoning_tokens") or 0},
        "total_tokens": usage.get("total_tokens") or 0,
    }


def shell(answer: Json, exchange: Exchange) -> dict[str, Any]:
    """A response object without its output: who answers, and what was asked."""
    chat = exchange.chat
    quiet = Exchange(on_unsupported="drop")
    name = string(answer.get("id")) or exchange.request_id
    response: dict[str, Any] = {
        "id": name if name.startswith("resp_") else f"resp_{id_mark(name)}",
        "object": "response",
        "created_at": answer.get("created") or exchange.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": chat.get("max_completion_tokens"),
        "metadata": chat.get("metadata") or {},
        "model": string(answer.get("model")) or exchange.model,
        "output": [],
        "parallel_tool_calls": chat.get("parallel_tool_calls") is not False,
        "previous_response_id": None,
        "reasoning": {"effort": chat.get("reasoning_effort"), "summary": None},
        "store": False,
        "temperature": chat.get("temperature"),
        "text": text_of(chat) or {"format": {"type": "text"}},
        "tool_choice": flat_choice(chat.get("tool_choice") or "auto", quiet),
        "tools": flat_tools(chat, quiet),
        "top_p": chat.get("top_p"),
        "truncation": "disabled",
        "usage": None,
        "user": chat.get("user"),
    }
    if answer.get("service_tier"):
        response["service_tier"] = answer["service_tier"]
    return response
