"""What the tests of Google's dialect share: exchanges, streams in and out, and the official types as judges."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from google.genai import types
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llm_edge.message import Json
from llm_edge.providers.translation.core import Exchange
from llm_edge.providers.translation.gemini import REPLAY, TRANSLATION
from tests.providers.exchanges import CASES, RECORDED

MODEL = "gemini-3.8-flash"
PNG = "iVBORw0KGgo="
SIGNATURE = "CpwBAdHtim9nYSBzaWduYXR1cmU="

STREAMS = {
    file.name: file.read_bytes() for root in (CASES, RECORDED) for file in sorted((root / "gemini").glob("*.sse"))
}
WHOLE = sorted(STREAMS.keys() - {"stream_cut.response.sse", "stream_error.response.sse"})
ANSWERS = {
    file.name: json.loads(file.read_bytes())
    for root in (CASES, RECORDED)
    for file in sorted((root / "gemini").glob("*.response.json"))
    if b'"candidates"' in file.read_bytes() or b'"promptFeedback"' in file.read_bytes()
}


def exchange(model: str = MODEL, **facts: Any) -> Exchange:
    return Exchange(**{"model": model, "provider": "gemini", "request_id": "r1", "created": 7, **facts})


# ------------------------------------------------------------------ requests


def told(into: Exchange | None = None, **chat: Any) -> dict[str, Any]:
    """The request for Google, which its own SDK's types accept."""
    chat.setdefault("messages", [user("hi")])
    body = dict(TRANSLATION.request_from_chat(chat, into or exchange()))
    accepted(body)
    return body


def accepted(body: Json) -> None:
    """Google's own types take each part of a request; they know no type for the whole."""
    for content in body["contents"]:
        types.Content.model_validate(content)
    for name, kind in _PARTS.items():
        if name in body:
            kind.model_validate(body[name])
    for tool in body.get("tools", ()):
        types.Tool.model_validate(tool)


_PARTS: dict[str, Any] = {
    "systemInstruction": types.Content,
    "generationConfig": types.GenerationConfig,
    "toolConfig": types.ToolConfig,
}


def in_chat(**body: Any) -> dict[str, Any]:
    body.setdefault("contents", [{"role": "user", "parts": [{"text": "hi"}]}])
    return dict(TRANSLATION.request_to_chat(body, exchange()))


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def call(identity: str, name: str = "w", arguments: Any = '{"city":"Oslo"}', signature: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {"id": identity, "type": "function", "function": {"name": name, "arguments": arguments}}
    return {**made, "extra_content": {"google": {"thought_signature": signature}}} if signature else made


def calling(*calls: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": None, "tool_calls": list(calls), **more}


def result(identity: str, content: Any = "3 C", **more: Any) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": identity, "content": content, **more}


def tool(name: str = "w", **function: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **function}}


# ------------------------------------------------------------------ answers


def candidate(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    content = {"parts": list(parts), "role": "model"}
    return {"content": content, "index": 0, "finishReason": "STOP", **more}


def as_chat(answer: Json, into: Exchange | None = None) -> dict[str, Any]:
    chat = dict(TRANSLATION.answer_to_chat(answer, into or exchange()))
    ChatCompletion.model_validate(chat)
    return chat


def as_google(chat: Json, into: Exchange | None = None) -> dict[str, Any]:
    answer = dict(TRANSLATION.answer_from_chat(chat, into or exchange()))
    judged(answer)
    return answer


def judged(answer: Json) -> types.GenerateContentResponse:
    """What Google's own types make of an answer; they do not know yet that usage tells of the tier, the API does."""
    usage = {name: value for name, value in answer.get("usageMetadata", {}).items() if name != "serviceTier"}
    return types.GenerateContentResponse.model_validate({**answer, **({"usageMetadata": usage} if usage else {})})


def completion(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt", "choices": [choice], **more}


# ------------------------------------------------------------------ streams


def framed(*frames: Json) -> bytes:
    return b"".join(b"data: " + json.dumps(frame).encode() + b"\r\n\r\n" for frame in frames)


def read(pieces: Iterable[bytes], into: Exchange | None = None) -> list[Json]:
    reader = TRANSLATION.reader(into or exchange())
    return [chunk for piece in pieces for chunk in reader.feed(piece)] + list(reader.end())


def written(chunks: Sequence[Json], into: Exchange | None = None) -> bytes:
    """The stream for these chunks; Google's own types accept each frame."""
    writer = TRANSLATION.writer(into or exchange())
    raw = b"".join(writer.write(chunk) for chunk in chunks) + writer.end()
    for frame in raw.split(b"\r\n\r\n")[:-1]:
        judged(json.loads(frame.removeprefix(b"data: ")))
    return raw


def whole(raw: bytes) -> Json | None:
    """The answer the stream stands for."""
    assembler = REPLAY.assembler()
    assembler.feed(raw)
    return assembler.whole()


def added_up(chunks: Sequence[Json]) -> ChatCompletion:
    """What OpenAI's own SDK makes of the chunks."""
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
    return state.current_completion_snapshot


def chunk(delta: Json | None = None, finish: str | None = None, index: int = 0, **more: Any) -> Json:
    base = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt"}
    choices = [] if delta is None else [{"index": index, "delta": delta, "finish_reason": finish}]
    return {**base, "choices": choices, **more}
