"""What several formats have, each in its own words: asked by callers, and answered by providers."""

# ruff: noqa: E501  a table reads better with its rows whole
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llm_edge.message import Json

from .fields import PNG, SCHEMA, chat, claude, converse, gemini, responses

Place = tuple[Json, str]
"""A request or an answer, and where what it is about stands in it."""
C, R, A, G, B = "openai.chat", "openai.responses", "anthropic.messages", "gemini.generate", "bedrock.converse"
TITLES = {C: "OpenAI chat", R: "OpenAI Responses", A: "Anthropic Messages", G: "Gemini", B: "Bedrock Converse"}
MODELS = {C: "vllm/any", R: "openai/gpt-5.4", A: "anthropic/claude-haiku-4-5", G: "gemini/gemini-3.8-flash", B: "bedrock/us.anthropic.claude-haiku-4-5-20251001-v1:0"}  # fmt: skip
"""Whom providers of each format are asked for: models that can do most."""


@dataclass(frozen=True)
class Topic:
    """Something that several formats have."""

    name: str
    says: str
    """What has to arrive."""
    places: dict[str, Place]
    models: dict[str, str] | None = None
    """Other models than the usual ones."""


def _question(*parts: Any) -> Json:
    return {"role": "user", "content": list(parts)}


_URL = f"data:image/png;base64,{PNG}"
_PDF = "JVBERi0xLjcK"
_PDF_URL = f"data:application/pdf;base64,{_PDF}"
_WAV = "UklGRiQAAABXQVZF"
_TEXT: Json = {"text": "a"}
_FUNCTION: Json = {"name": "weather_of-2", "parameters": SCHEMA}


def _calls() -> dict[str, Json]:
    """Two calls in one turn and their results."""
    ids, args = ("call_one", "call_two"), {"city": "Oslo"}
    told = '{"city":"Oslo"}'
    hi = {"role": "user", "content": "hi"}
    made = [{"id": each, "type": "function", "function": {"name": "weather_of-2", "arguments": told}} for each in ids]
    return {
        C: chat(
            hi,
            {"role": "assistant", "content": None, "tool_calls": made},
            *({"role": "tool", "tool_call_id": each, "content": f"of {each}"} for each in ids),
            tools=[{"type": "function", "function": _FUNCTION}],
        ),
        R: responses(
            hi,
            *({"type": "function_call", "call_id": each, "name": "weather_of-2", "arguments": told} for each in ids),
            *({"type": "function_call_output", "call_id": each, "output": f"of {each}"} for each in ids),
            tools=[{"type": "function", **_FUNCTION}],
        ),
        A: claude(
            hi,
            {
                "role": "assistant",
                "content": [{"type": "tool_use", "id": each, "name": "weather_of-2", "input": args} for each in ids],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": each, "content": f"of {each}"} for each in ids],
            },
            tools=[{"name": "weather_of-2", "input_schema": SCHEMA}],
        ),
        G: gemini(
            {"role": "user", "parts": [_TEXT]},
            {
                "role": "model",
                "parts": [{"functionCall": {"id": each, "name": "weather_of-2", "args": args}} for each in ids],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"id": each, "name": "weather_of-2", "response": {"output": f"of {each}"}}}
                    for each in ids
                ],
            },
            tools=[{"functionDeclarations": [{"name": "weather_of-2", "parametersJsonSchema": SCHEMA}]}],
        ),
        B: converse(
            {"role": "user", "content": [_TEXT]},
            {
                "role": "assistant",
                "content": [{"toolUse": {"toolUseId": each, "name": "weather_of-2", "input": args}} for each in ids],
            },
            {
                "role": "user",
                "content": [{"toolResult": {"toolUseId": each, "content": [{"text": f"of {each}"}]}} for each in ids],
            },
            toolConfig={"tools": [{"toolSpec": {"name": "weather_of-2", "inputSchema": {"json": SCHEMA}}}]},
        ),
    }


_BOTH = _calls()
_SCHEMA_TEXT = (
    '{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}'
)
_MARK: Json = {"cache_control": {"type": "ephemeral"}}

ASKED: tuple[Topic, ...] = (
    Topic("pictures", PNG, {
        C: (chat(_question({"type": "image_url", "image_url": {"url": _URL}})), "messages.0.content.0.image_url.url"),
        R: (responses(_question({"type": "input_image", "image_url": _URL})), "input.0.content.0.image_url"),
        A: (claude(_question({"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}})), "messages.0.content.0.source.data"),
        G: (gemini({"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": PNG}}]}), "contents.0.parts.0.inlineData.data"),
        B: (converse(_question({"image": {"format": "png", "source": {"bytes": PNG}}})), "messages.0.content.0.image.source.bytes"),
    }),
    Topic("PDF documents", _PDF, {
        C: (chat(_question({"type": "file", "file": {"filename": "a.pdf", "file_data": _PDF_URL}})), "messages.0.content.0.file.file_data"),
        R: (responses(_question({"type": "input_file", "filename": "a.pdf", "file_data": _PDF_URL})), "input.0.content.0.file_data"),
        A: (claude(_question({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF}})), "messages.0.content.0.source.data"),
        G: (gemini({"role": "user", "parts": [{"inlineData": {"mimeType": "application/pdf", "data": _PDF}}]}), "contents.0.parts.0.inlineData.data"),
        B: (converse(_question({"document": {"format": "pdf", "name": "a", "source": {"bytes": _PDF}}}, _TEXT)), "messages.0.content.0.document.source.bytes"),
    }),
    Topic("what is said of a document", "From the archive", {
        A: (claude(_question({"type": "document", "context": "From the archive", "citations": {"enabled": True}, "source": {"type": "base64", "media_type": "application/pdf", "data": _PDF}})), "messages.0.content.0.context"),
        B: (converse(_question({"document": {"format": "pdf", "name": "a", "context": "From the archive", "citations": {"enabled": True}, "source": {"bytes": _PDF}}}, _TEXT)), "messages.0.content.0.document.context"),
    }),
    Topic("sound", _WAV, {
        C: (chat(_question({"type": "input_audio", "input_audio": {"data": _WAV, "format": "wav"}})), "messages.0.content.0.input_audio.data"),
        G: (gemini({"role": "user", "parts": [{"inlineData": {"mimeType": "audio/wav", "data": _WAV}}]}), "contents.0.parts.0.inlineData.data"),
        B: (converse(_question({"audio": {"format": "wav", "source": {"bytes": _WAV}}})), "messages.0.content.0.audio.source.bytes"),
    }, {B: "bedrock/mistral.voxtral-small-24b-2507"}),
    Topic("ids of calls", "call_two", {
        C: (_BOTH[C], "messages.3.tool_call_id"), R: (_BOTH[R], "input.4.call_id"),
        A: (_BOTH[A], "messages.2.content.1.tool_use_id"), G: (_BOTH[G], "contents.2.parts.1.functionResponse.id"),
        B: (_BOTH[B], "messages.2.content.1.toolResult.toolUseId"),
    }),
    Topic("results of calls at once", "of call_two", {
        C: (_BOTH[C], "messages.3.content"), R: (_BOTH[R], "input.4.output"),
        A: (_BOTH[A], "messages.2.content.1.content"), G: (_BOTH[G], "contents.2.parts.1.functionResponse.response"),
        B: (_BOTH[B], "messages.2.content.1.toolResult.content.0.text"),
    }),
    Topic("names of tools", "weather_of-2", {
        C: (_BOTH[C], "tools.0.function.name"), R: (_BOTH[R], "tools.0.name"), A: (_BOTH[A], "tools.0.name"),
        G: (_BOTH[G], "tools.0.functionDeclarations.0.name"), B: (_BOTH[B], "toolConfig.tools.0.toolSpec.name"),
    }),
    Topic("answers by a JSON schema", '"city"', {
        C: (chat(response_format={"type": "json_schema", "json_schema": {"name": "p", "schema": SCHEMA, "strict": True}}), "response_format.json_schema.schema"),
        R: (responses(text={"format": {"type": "json_schema", "name": "p", "schema": SCHEMA, "strict": True}}), "text.format.schema"),
        A: (claude(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}), "output_config.format.schema"),
        G: (gemini(generationConfig={"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}), "generationConfig.responseJsonSchema"),
        B: (converse(outputConfig={"textFormat": {"type": "json_schema", "structure": {"jsonSchema": {"name": "p", "schema": _SCHEMA_TEXT}}}}), "outputConfig.textFormat.structure.jsonSchema.schema"),
    }),
    Topic("marks for a prompt cache", "e", {
        A: (claude(_question({"type": "text", "text": "long", **_MARK})), "messages.0.content.0.cache_control.type"),
        B: (converse(_question({"text": "long"}, {"cachePoint": {"type": "default"}})), "messages.0.content.1.cachePoint.type"),
    }),
    Topic("how much to think", "high", {
        C: (chat(reasoning_effort="high"), "reasoning_effort"),
        R: (responses(reasoning={"effort": "high"}), "reasoning.effort"),
        A: (claude(output_config={"effort": "high"}), "output_config.effort"),
        G: (gemini(generationConfig={"thinkingConfig": {"thinkingLevel": "HIGH"}}), "generationConfig.thinkingConfig.thinkingLevel"),
        B: (converse(additionalModelRequestFields={"output_config": {"effort": "high"}}), "additionalModelRequestFields.output_config.effort"),
    }, {A: "anthropic/claude-opus-4-8", B: "bedrock/us.anthropic.claude-opus-4-8"}),
    Topic("several answers", "2", {
        C: (chat(n=2), "n"), G: (gemini(generationConfig={"candidateCount": 2}), "generationConfig.candidateCount"),
    }),
    Topic("token probabilities", "2", {
        C: (chat(logprobs=True, top_logprobs=2), "top_logprobs"),
        R: (responses(include=["message.output_text.logprobs"], top_logprobs=2), "top_logprobs"),
        G: (gemini(generationConfig={"responseLogprobs": True, "logprobs": 2}), "generationConfig.logprobs"),
    }),
)  # fmt: skip
