"""What the tests of OpenAI's dialects share: streams in and out, and the real SDK putting them together."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import httpx2
import openai
from openai.lib.streaming.chat import ChatCompletionStreamState

from llm_edge.providers.translation.core import Exchange, Translation

KEY = {"api_key": "sk-test", "max_retries": 0}


def exchange(**facts: Any) -> Exchange:
    return Exchange(**{"model": "gpt-4o", "provider": "openai", "request_id": "r1", "created": 7, **facts})


def sse(*events: Any, done: bool = True) -> bytes:
    """Events as OpenAI frames them."""
    told = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return (told + "data: [DONE]\n\n" * done).encode()


def delta(index: int = 0, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": fields, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def read(translation: Translation, pieces: Iterable[bytes], facts: Exchange | None = None) -> list[dict[str, Any]]:
    """The chunks of a stream that comes in these pieces."""
    reader = translation.reader(facts or exchange())
    found: list[Any] = [chunk for piece in pieces for chunk in reader.feed(piece)]
    found += reader.end()
    return found


def write(translation: Translation, chunks: Iterable[Any], facts: Exchange) -> bytes:
    """The stream a caller gets for these chunks."""
    writer = translation.writer(facts)
    return b"".join([*map(writer.write, chunks), writer.end()])


def put_together(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """What the chunks say of their first choice, in one."""
    message: dict[str, Any] = {"tool_calls": {}, "finish": [], "usage": []}
    for chunk in chunks:
        if "usage" in chunk:
            message["usage"].append(chunk["usage"])
        for choice in chunk["choices"]:
            if choice["index"]:
                continue
            if choice["finish_reason"]:
                message["finish"].append(choice["finish_reason"])
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    for call in value:
                        known = message["tool_calls"].setdefault(
                            call["index"], {"id": call.get("id"), "arguments": "", "name": ""}
                        )
                        known["name"] += call["function"].get("name", "")
                        known["arguments"] += call["function"]["arguments"]
                elif isinstance(value, str) and isinstance(message.get(name), str):
                    message[name] += value
                elif value is not None or name not in message:
                    message[name] = value
    return message


def _client(content: bytes, kind: str) -> openai.OpenAI:
    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, content=content, headers={"content-type": kind})

    transport = httpx2.MockTransport(answer)
    return openai.OpenAI(**KEY, http_client=httpx2.Client(transport=transport))


def chat_of_sdk(content: bytes) -> dict[str, Any]:
    """A chat stream as the openai SDK puts it together."""
    state = ChatCompletionStreamState()
    with _client(content, "text/event-stream") as client:
        for chunk in client.chat.completions.create(model="m", messages=[], stream=True):
            state.handle_chunk(chunk)
    return state.current_completion_snapshot.to_dict()


def response_of_sdk(content: bytes) -> dict[str, Any]:
    """A Responses stream as the openai SDK puts it together, every event checked on the way."""
    with _client(content, "text/event-stream") as client, client.responses.stream(model="m", input="x") as stream:
        for _ in stream:
            pass
        return stream.get_final_response().to_dict()


def completion_of_sdk(content: bytes) -> list[dict[str, Any]]:
    with _client(content, "text/event-stream") as client:
        return [chunk.to_dict() for chunk in client.completions.create(model="m", prompt="x", stream=True)]


def whole(assembler: Any, pieces: Iterable[bytes]) -> Any:
    for piece in pieces:
        assembler.feed(piece)
    return assembler.whole()


def cut(content: bytes, places: Iterable[int]) -> Sequence[bytes]:
    edges = sorted({min(place, len(content)) for place in places} | {0, len(content)})
    return [content[start:end] for start, end in zip(edges, edges[1:], strict=False)]


def singly(content: bytes) -> list[bytes]:
    return [content[at : at + 1] for at in range(len(content))]


def plain(value: Any) -> Any:
    """Without what the SDK adds of its own: empty fields, parsed forms, numbers of a stream's tool calls."""
    if isinstance(value, dict):
        own = "index" if "function" in value or "custom" in value else ""
        return {
            name: plain(each)
            for name, each in value.items()
            if each is not None and name != own and not name.startswith("parsed")
        }
    return [plain(each) for each in value] if isinstance(value, list) else value
