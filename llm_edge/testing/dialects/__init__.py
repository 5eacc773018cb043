"""
How each API writes an answer: one file a dialect, chosen by the path asked.

No validation of requests: a scripted provider answers, it does not judge.
"""

from __future__ import annotations

from dataclasses import replace

from ..call import Call
from ..says import Says
from . import anthropic, bedrock, gemini, openai, responses
from .frames import Reply, json_reply

__all__ = ["Reply", "dialect_of", "error_reply", "family_of", "speak"]


def dialect_of(call: Call) -> str:
    """The dialect of the path asked; `opaque` when no endpoint here is known by it."""
    path = call.path.rstrip("/")
    if call.method == "GET":
        return "models" if path.endswith("/models") or "/models/" in path else "opaque"
    for ending, dialect in _BY_ENDING:
        if path.endswith(ending):
            return dialect
    return "opaque"


_BY_ENDING = (
    ("/chat/completions", "openai.chat"),
    ("/fim/completions", "openai.chat"),  # Mistral's, which answer as chats do
    ("/agents/completions", "openai.chat"),
    ("/completions", "openai.completions"),
    ("/embeddings", "openai.embeddings"),
    ("/responses", "openai.responses"),
    ("/messages", "anthropic.messages"),
    ("/messages/count_tokens", "anthropic.count"),
    ("/converse", "bedrock.converse"),
    ("/converse-stream", "bedrock.converse"),
    ("/invoke", "bedrock.invoke"),
    ("/invoke-with-response-stream", "bedrock.invoke"),
    (":generateContent", "gemini.generate"),
    (":streamGenerateContent", "gemini.generate"),
    (":embedContent", "gemini.embed"),
    (":batchEmbedContents", "gemini.embed"),
    (":countTokens", "gemini.count"),
    ("/responses/input_tokens", "openai.count"),
    ("/count-tokens", "bedrock.count"),
    ("/models/count-tokens:rawPredict", "anthropic.count"),
    (":rawPredict", "anthropic.messages"),
    (":streamRawPredict", "anthropic.messages"),
)

_SPEAKERS = {
    "openai.chat": openai.chat,
    "openai.completions": openai.completions,
    "openai.embeddings": openai.embeddings,
    "openai.responses": responses.respond,
    "anthropic.messages": anthropic.messages,
    "anthropic.count": anthropic.count,
    "bedrock.converse": bedrock.converse,
    "bedrock.invoke": bedrock.invoke,
    "gemini.generate": gemini.generate,
    "gemini.embed": gemini.embed,
    "gemini.count": gemini.count,
    "openai.count": responses.count,
    "bedrock.count": bedrock.count,
}

_ERRORS = {"openai": openai.error, "anthropic": anthropic.error, "gemini": gemini.error, "bedrock": bedrock.error}
_MODELS = {"openai": openai.models, "anthropic": anthropic.models, "gemini": gemini.models}


def family_of(call: Call) -> str:
    """Whose errors the caller reads: by the path, else by the headers only that SDK sends."""
    family = dialect_of(call).partition(".")[0]
    if family in _ERRORS:
        return family
    if "anthropic-version" in call.headers:
        return "anthropic"
    return "gemini" if "x-goog-api-key" in call.headers or "/v1beta" in call.path else "openai"


def speak(says: Says, call: Call) -> Reply:
    """The answer in the dialect asked; 404 in its error shape where there is no such endpoint here."""
    dialect = dialect_of(call)
    if dialect == "models":
        return _MODELS[family_of(call)](says, call)
    speaker = _SPEAKERS.get(dialect)
    if speaker is not None:
        return speaker(says, call)
    return error_reply(
        call, 404, f"the scripted provider knows no answer for {call.method} {call.path}; script a json_body() or raw()"
    )


def error_reply(
    call: Call, status: int, message: str | None = None, *, kind: str | None = None, code: str | None = None
) -> Reply:
    """An error in the caller's dialect, with the type and code real providers send for this status."""
    body = _ERRORS[family_of(call)](call, status, message or f"scripted error {status}", kind, code)
    reply = json_reply(body, call, status=status)
    if family_of(call) == "bedrock":
        return replace(reply, headers=(*reply.headers, *bedrock.error_headers(status, code)))
    return reply
