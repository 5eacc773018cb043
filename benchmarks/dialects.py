"""What translation costs: a chat of 1 KB there and back, a piece of a stream; beside litellm's, where installed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any

from llm_edge.message import Body
from llm_edge.providers.dialects import by_name, describe
from llm_edge.providers.eventstream import event
from llm_edge.providers.translation import frames
from llm_edge.providers.translation.core import Exchange, Translation
from llm_edge.providers.translation.strangers import may_hold_strangers
from llm_edge.providers.translation.table import translation

_CALLS, _ROUNDS = 300, 9
_TOOL = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
CHAT: dict[str, Any] = {
    "model": "m",
    "max_completion_tokens": 500,
    "messages": [
        {"role": "system", "content": "You are a careful assistant. " * 6},
        {"role": "user", "content": "Tell me about the weather in Tromsø, please. " * 4},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Tromsø"}'},
                 "extra_content": {"google": {"thought_signature": "Q3B3QkFkSHRpbTluWVE9PQ=="}}}
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": '{"celsius": -3, "wind": "calm"}'},
    ],
    "tools": [
        {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": _TOOL}}
    ],
}  # fmt: skip
"""About 1 KB: a question, a call and its result."""
WORDS = "It is three below zero, calm and clear. Dress warmly. " * 4


@dataclass(frozen=True, slots=True)
class Vendor:
    """A provider's dialect, and what it answers."""

    name: str
    dialect: str
    model: str
    answer: dict[str, Any]
    event: bytes
    """A piece of text on its way."""
    first: bytes
    """What comes before it."""
    url: str
    """Where its SDK would point."""


VENDORS = (
    Vendor(
        "Anthropic",
        "anthropic.messages",
        "claude-opus-4-8",
        {
            "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-opus-4-8",
            "content": [{"type": "text", "text": WORDS}], "stop_reason": "end_turn", "stop_sequence": None,
            "usage": {"input_tokens": 100, "output_tokens": 50, "cache_read_input_tokens": 0,
                      "cache_creation_input_tokens": 0},
        },
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,'
        b'"delta":{"type":"text_delta","text":" piece by"}}\n\n',
        b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_1","type":"message",'
        b'"role":"assistant","model":"claude-opus-4-8","content":[],"usage":{"input_tokens":9,"output_tokens":1}}}\n\n'
        b'event: content_block_start\ndata: {"type":"content_block_start","index":0,'
        b'"content_block":{"type":"text","text":""}}\n\n',
        "https://api.anthropic.com/v1/messages",
    ),
    Vendor(
        "Gemini",
        "gemini.generate",
        "gemini-3.8-flash",
        {
            "candidates": [
                {"content": {"parts": [{"text": WORDS}], "role": "model"}, "finishReason": "STOP", "index": 0}
            ],
            "usageMetadata": {"promptTokenCount": 100, "candidatesTokenCount": 50, "totalTokenCount": 150},
            "modelVersion": "gemini-3.8-flash", "responseId": "resp-1",
        },
        b'data: {"candidates": [{"content": {"parts": [{"text": " piece by"}],"role": "model"},"index": 0}],'
        b'"usageMetadata": {"promptTokenCount": 100,"totalTokenCount": 100},"modelVersion": "gemini-3.8-flash",'
        b'"responseId": "resp-1"}\r\n\r\n',
        b"",
        "https://generativelanguage.googleapis.com/v1beta/models/gemini-3.8-flash:generateContent",
    ),
    Vendor(
        "Bedrock",
        "bedrock.converse",
        "us.anthropic.claude-opus-4-8",
        {
            "output": {"message": {"role": "assistant", "content": [{"text": WORDS}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 100, "outputTokens": 50, "totalTokens": 150}, "metrics": {"latencyMs": 900},
        },
        event("contentBlockDelta", b'{"contentBlockIndex":0,"delta":{"text":" piece by"},"p":"abcdefgh"}'),
        event("messageStart", b'{"p":"abcd","role":"assistant"}'),
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/us.anthropic.claude-opus-4-8/converse",
    ),
)  # fmt: skip

_COUNTS = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
KEPT = (
    Vendor(
        "OpenAI chat",
        "openai.chat",
        "gpt-5.4",
        {
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-5.4",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": WORDS}, "finish_reason": "stop"}],
            "usage": _COUNTS,
        },
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5.4",'
        b'"choices":[{"index":0,"delta":{"content":" piece by"},"finish_reason":null}]}\n\n',
        b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5.4",'
        b'"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n',
        "https://api.openai.com/v1/chat/completions",
    ),
    Vendor(
        "OpenAI Responses",
        "openai.responses",
        "gpt-5.4",
        {
            "id": "resp_1", "object": "response", "created_at": 1, "model": "gpt-5.4", "status": "completed",
            "output": [{"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
                        "content": [{"type": "output_text", "text": WORDS, "annotations": []}]}],
            "usage": {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150},
        },
        b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"msg_1",'
        b'"output_index":0,"content_index":0,"delta":" piece by","sequence_number":7}\n\n',
        b'event: response.created\ndata: {"type":"response.created","sequence_number":0,'
        b'"response":{"id":"resp_1","object":"response","created_at":1,"model":"gpt-5.4","output":[]}}\n\n',
        "https://api.openai.com/v1/responses",
    ),
    *VENDORS,
)  # fmt: skip
"""Those whose own format a caller may speak: nothing is translated there."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Microseconds of CPU."""

    whole: dict[str, float]
    """A chat of 1 KB there and its answer back, by vendor."""
    chunk: dict[str, float]
    """A piece of a stream, read and written, by vendor."""
    read: dict[str, float]
    """What is read of a call that keeps its dialect, more than of one that is not read at all, by vendor."""
    watched: dict[str, float]
    """A piece of a stream that keeps its dialect, watched, by vendor."""
    peer: dict[str, float]
    """litellm's for the same chat there and its answer back; empty where it is not installed."""


def measure(peers_folder: str | None = None) -> Cost:
    """All of it."""
    return Cost(
        whole={vendor.name: timed(there_and_back(vendor)) for vendor in VENDORS},
        chunk={vendor.name: timed(one_chunk(vendor)) for vendor in VENDORS},
        read={vendor.name: _read(vendor) for vendor in KEPT},
        watched={vendor.name: _watched(vendor) for vendor in KEPT},
        peer=_peer(peers_folder),
    )


def timed(work: Callable[[], object]) -> float:
    """Microseconds of CPU for one call, the median of several rounds."""

    def once() -> float:
        began = time.process_time()
        for _ in range(_CALLS):
            work()
        return (time.process_time() - began) / _CALLS * 1e6

    return median([once() for _ in range(_ROUNDS + 1)][1:])


def _halves(vendor: Vendor) -> tuple[Translation, Translation]:
    caller, provider = translation("openai.chat"), translation(vendor.dialect)
    assert caller is not None
    assert provider is not None
    return caller, provider


def _exchange(vendor: Vendor) -> Exchange:
    return Exchange(model=vendor.model, provider=vendor.name.lower(), request_id="r1", created=1)


def there_and_back(vendor: Vendor) -> Callable[[], tuple[bytes, bytes]]:
    """From the caller's bytes to the provider's, and from its answer's bytes to the caller's."""
    caller, provider = _halves(vendor)
    asked, answered = json.dumps(CHAT).encode(), json.dumps(vendor.answer).encode()

    def work() -> tuple[bytes, bytes]:
        into = _exchange(vendor)
        into.chat = caller.request_to_chat(Body(asked).json, into)
        sent = frames.dump(provider.request_from_chat(into.chat, into))
        chat = provider.answer_to_chat(Body(answered).json, into)
        return sent, frames.dump(caller.answer_from_chat(chat, into))

    return work


def one_chunk(vendor: Vendor) -> Callable[[], bytes]:
    """A piece of the provider's stream as the caller's."""
    caller, provider = _halves(vendor)
    into = _exchange(vendor)
    reader, writer = provider.reader(into), caller.writer(into)
    if vendor.first:
        reader.feed(vendor.first)
    piece = vendor.event
    return lambda: b"".join([writer.write(chunk) for chunk in reader.feed(piece)])


def _read(vendor: Vendor) -> float:
    """What the faces and the hop read of a call that is passed on as it came: of the request, and of its answer."""
    dialect, provider = by_name(vendor.dialect), translation(vendor.dialect)
    assert dialect is not None
    assert provider is not None
    asked = frames.dump(provider.request_from_chat(CHAT, _exchange(vendor)))
    answered, path = json.dumps(vendor.answer).encode(), "/" + vendor.url.split("/", 3)[3]

    def read() -> object:
        request, answer = Body(asked), Body(answered)
        named = describe(dialect, path, request.json), may_hold_strangers(request, vendor.dialect, "openai")
        return named, dialect.fault(answer.json), dialect.usage(answer.json), dialect.finished(answer.json)

    return timed(read) - timed(lambda: (Body(asked), Body(answered)))


def _watched(vendor: Vendor) -> float:
    dialect = by_name(vendor.dialect)
    assert dialect is not None
    watcher = dialect.watcher()
    watcher.feed(vendor.first + vendor.event)
    return timed(lambda: watcher.feed(vendor.event))


def _peer(folder: str | None) -> dict[str, float]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "benchmarks.dialects_litellm"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    found: dict[str, float] = json.loads(done.stdout) if done.returncode == 0 else {}
    return found
