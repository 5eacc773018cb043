"""
What a caller of OpenAI's chat may ask, and what becomes of it at each provider.

And what of an answer arrives there. One list for two ends: `test_features.py` proves each line against the
translations, and the tables in `docs/providers.md` are written from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from llm_edge.errors import InvalidRequest
from llm_edge.message import Json
from llm_edge.providers.base import Target
from llm_edge.providers.pictures import Picture, brought, named, takes_data_alone
from llm_edge.providers.translation.core import Exchange
from llm_edge.providers.translation.table import translation

Fate: TypeAlias = Literal["native", "translated", "reported", "impossible"]

PNG = "iVBORw0KGgo="
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: Json = {"type": "function", "function": {"name": "w", "description": "Weather", "parameters": SCHEMA}}
SECOND: Json = {"type": "function", "function": {"name": "v", "description": "Wind", "parameters": SCHEMA}}
HI: Json = {"role": "user", "content": "hi"}


@dataclass(frozen=True)
class Place:
    """Where a feature is asked for."""

    title: str
    dialect: str
    provider: str
    model: str


PLACES = (
    Place("OpenAI", "openai.chat", "openai", "gpt-5.4"),
    Place("Anthropic", "anthropic.messages", "anthropic", "claude-opus-4-8"),
    Place("Gemini", "gemini.generate", "gemini", "gemini-3.8-flash"),
    Place("Bedrock (Claude)", "bedrock.converse", "bedrock", "us.anthropic.claude-opus-4-8"),
)


@dataclass(frozen=True)
class Feature:
    """Something a chat request may hold."""

    name: str
    asked: Json
    """The request's fields; a question is asked where it has no messages."""
    where: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where it stands in each provider's request, by dialect; not where it is left out or refused."""
    also: Mapping[str, Json] = field(default_factory=dict[str, Json])
    """The request's fields in place of those, by dialect: what was signed goes back to whom it came from."""

    def told(self, place: Place, into: Exchange) -> Json:
        """The provider's request. Raises InvalidRequest when there is no way to say it."""
        there = translation(place.dialect)
        assert there is not None, place.dialect
        asked: Json = {"messages": [HI], **self.also.get(place.dialect, self.asked)}
        if takes_data_alone(Target(provider=place.provider, model=place.model)):
            asked = brought(asked, {address: Picture("image/png", PNG) for address in named(asked)})  # by its layer
        return there.request_from_chat(asked, into)

    def fate(self, place: Place) -> Fate:
        """What becomes of it there."""
        if place.dialect == "openai.chat":
            return "native"
        into = Exchange(model=place.model, provider=place.provider, request_id="r1")
        try:
            self.told(place, into)
        except InvalidRequest:
            return "impossible"
        return "reported" if into.changes else "translated"


def _says(*parts: Json) -> Json:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def _history(content: Any = "3 C", *, signature: Json | None = None, thinking: Json | None = None) -> Json:
    call: dict[str, Any] = {"id": "c1", "type": "function", "function": {"name": "w", "arguments": '{"city":"Oslo"}'}}
    other = {"id": "c2", "type": "function", "function": {"name": "w", "arguments": '{"city":"Bodø"}'}}
    turn: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [{**call, **(signature or {})}, other]}
    results: list[Json] = [
        {"role": "tool", "tool_call_id": "c1", "content": content},
        {"role": "tool", "tool_call_id": "c2", "content": "1 C"},
    ]
    return {"messages": [HI, {**turn, **(thinking or {})}, *results], "tools": [TOOL]}


def _picture(url: str) -> Json:
    return {"type": "image_url", "image_url": {"url": url}}


_CLAUDE, _GEMINI, _CONVERSE = "anthropic.messages", "gemini.generate", "bedrock.converse"
_PDF = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}
_SOUND = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
_MARKED = {"type": "text", "text": "long", "cache_control": {"type": "ephemeral"}}
_SIGNED = {"extra_content": {"google": {"thought_signature": "U0lH"}}}
_THOUGHT = {"thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "sig"}], "reasoning_content": "hm"}
_FORM = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}

FEATURES = (
    Feature(
        "system and developer messages first",
        {"messages": [{"role": "developer", "content": "Be brief."}, HI]},
        {_CLAUDE: "system.0.text", _GEMINI: "systemInstruction.parts.0.text", _CONVERSE: "system.0.text"},
    ),
    Feature(
        "system messages in the middle",
        {"messages": [HI, {"role": "assistant", "content": "a"}, HI, {"role": "system", "content": "Be kind."}]},
        {_CLAUDE: "messages.3.content.0.text", _CONVERSE: "messages.3.content.0.text"},
    ),
    Feature(
        "pictures as data",
        _says(_picture(f"data:image/png;base64,{PNG}")),
        {
            _CLAUDE: "messages.0.content.0.source.data",
            _GEMINI: "contents.0.parts.0.inlineData.data",
            _CONVERSE: "messages.0.content.0.image.source.bytes",
        },
    ),
    Feature(
        "pictures by https address",
        _says(_picture("https://a/b.png")),
        {
            _CLAUDE: "messages.0.content.0.source.url",
            _GEMINI: "contents.0.parts.0.fileData.fileUri",
            _CONVERSE: "messages.0.content.0.image.source.bytes",
        },
    ),
    Feature(
        "PDF documents",
        _says(_PDF),
        {
            _CLAUDE: "messages.0.content.0.source.data",
            _GEMINI: "contents.0.parts.0.inlineData.data",
            _CONVERSE: "messages.0.content.0.document.source.bytes",
        },
    ),
    Feature("sound", _says(_SOUND), {_GEMINI: "contents.0.parts.0.inlineData.data"}),
    Feature(
        "marks for a prompt cache",
        _says(_MARKED),
        {_CLAUDE: "messages.0.content.0.cache_control.type", _CONVERSE: "messages.0.content.1.cachePoint.type"},
    ),
    Feature(
        "tools",
        {"tools": [TOOL]},
        {
            _CLAUDE: "tools.0.input_schema",
            _GEMINI: "tools.0.functionDeclarations.0.parametersJsonSchema",
            _CONVERSE: "toolConfig.tools.0.toolSpec.inputSchema.json",
        },
    ),
    Feature(
        "`tool_choice`: `required`",
        {"tools": [TOOL], "tool_choice": "required"},
        {
            _CLAUDE: "tool_choice.type",
            _GEMINI: "toolConfig.functionCallingConfig.mode",
            _CONVERSE: "toolConfig.toolChoice.any",
        },
    ),
    Feature(
        "`tool_choice`: one by name",
        {"tools": [TOOL, SECOND], "tool_choice": {"type": "function", "function": {"name": "w"}}},
        {
            _CLAUDE: "tool_choice.name",
            _GEMINI: "toolConfig.functionCallingConfig.allowedFunctionNames.0",
            _CONVERSE: "toolConfig.toolChoice.tool.name",
        },
    ),
    Feature(
        "`tool_choice`: `none`",
        {"tools": [TOOL], "tool_choice": "none"},
        {_CLAUDE: "tool_choice.type", _GEMINI: "toolConfig.functionCallingConfig.mode", _CONVERSE: "messages"},
    ),
    Feature(
        "`parallel_tool_calls: false`",
        {"tools": [TOOL], "parallel_tool_calls": False},
        {
            _CLAUDE: "tool_choice.disable_parallel_tool_use",
            _CONVERSE: "additionalModelRequestFields.tool_choice.disable_parallel_tool_use",
        },
    ),
    Feature(
        "calls at once and their results",
        _history(),
        also={_GEMINI: _history(signature=_SIGNED)},
        where={
            _CLAUDE: "messages.2.content.1.tool_use_id",
            _GEMINI: "contents.2.parts.1.functionResponse.id",
            _CONVERSE: "messages.2.content.1.toolResult.toolUseId",
        },
    ),
    Feature(
        "pictures in results",
        _history([_picture(f"data:image/png;base64,{PNG}")]),
        also={_GEMINI: _history([_picture(f"data:image/png;base64,{PNG}")], signature=_SIGNED)},
        where={
            _CLAUDE: "messages.2.content.0.content.0.source.data",
            _GEMINI: "contents.2.parts.0.functionResponse.parts.0.inlineData.data",
            _CONVERSE: "messages.2.content.0.toolResult.content.0.image.source.bytes",
        },
    ),
    Feature(
        "thinking, signed by Claude, given back",
        _history(thinking=_THOUGHT),
        {
            _CLAUDE: "messages.1.content.0.signature",
            _CONVERSE: "messages.1.content.0.reasoningContent.reasoningText.signature",
        },
    ),
    Feature(
        "`reasoning_effort`",
        {"reasoning_effort": "high"},
        {
            _CLAUDE: "output_config.effort",
            _GEMINI: "generationConfig.thinkingConfig.thinkingLevel",
            _CONVERSE: "additionalModelRequestFields.output_config.effort",
        },
    ),
    Feature(
        "answers by a JSON schema",
        {"response_format": _FORM},
        {
            _CLAUDE: "output_config.format.schema",
            _GEMINI: "generationConfig.responseJsonSchema",
            _CONVERSE: "outputConfig.textFormat.structure.jsonSchema.schema",
        },
    ),
    Feature(
        "JSON without a schema",
        {"response_format": {"type": "json_object"}},
        {_GEMINI: "generationConfig.responseMimeType"},
    ),
    Feature(
        "a schema together with tools",
        {"response_format": _FORM, "tools": [TOOL]},
        {
            _CLAUDE: "output_config.format.schema",
            _GEMINI: "generationConfig.responseJsonSchema",
            _CONVERSE: "outputConfig.textFormat.structure.jsonSchema.schema",
        },
    ),
    Feature(
        "`max_completion_tokens`, `max_tokens`",
        {"max_completion_tokens": 100},
        {_CLAUDE: "max_tokens", _GEMINI: "generationConfig.maxOutputTokens", _CONVERSE: "inferenceConfig.maxTokens"},
    ),
    Feature(
        "`stop`",
        {"stop": "END"},
        {
            _CLAUDE: "stop_sequences.0",
            _GEMINI: "generationConfig.stopSequences.0",
            _CONVERSE: "inferenceConfig.stopSequences.0",
        },
    ),
    Feature("`temperature`, `top_p`", {"temperature": 0.3, "top_p": 0.9}),
    Feature("`presence_penalty`, `frequency_penalty`", {"presence_penalty": 0.1}),
    Feature("`seed`", {"seed": 7}, {_GEMINI: "generationConfig.seed"}),
    Feature("`n`", {"n": 2}, {_GEMINI: "generationConfig.candidateCount"}),
    Feature(
        "`logprobs`, `top_logprobs`",
        {"logprobs": True, "top_logprobs": 2},
        {_GEMINI: "generationConfig.logprobs"},
    ),
    Feature("`logit_bias`", {"logit_bias": {"5": 1}}),
    Feature(
        "sound or pictures as answers (`modalities`)",
        {"modalities": ["text", "image"]},
        {_GEMINI: "generationConfig.responseModalities"},
    ),
    Feature(
        "`web_search_options`", {"web_search_options": {}}, {_CLAUDE: "tools.0.name", _GEMINI: "tools.0.googleSearch"}
    ),
    Feature(
        "`service_tier`",
        {"service_tier": "default"},
        {_CLAUDE: "service_tier", _GEMINI: "serviceTier", _CONVERSE: "serviceTier.type"},
    ),
    Feature("`user`, `safety_identifier`", {"user": "u-1"}, {_CLAUDE: "metadata.user_id"}),
    Feature("`metadata`", {"metadata": {"team": "a"}}, {_CONVERSE: "requestMetadata.team"}),
    Feature("`store`", {"store": True}, {_GEMINI: "store"}),
    Feature("`prediction`", {"prediction": {"type": "content", "content": "x"}}),
    Feature("`verbosity`", {"verbosity": "low"}),
    Feature("`prompt_cache_key`", {"prompt_cache_key": "k"}),
)


@dataclass(frozen=True)
class Returned:
    """Something an answer may hold."""

    name: str
    path: str
    """Where it stands in the chat answer."""
    told: Mapping[str, Json]
    """Answers of the providers that have it, by dialect."""

    def fate(self, place: Place) -> str:
        """What becomes of it on its way to a caller of OpenAI's chat; nothing where the provider has none."""
        if place.dialect == "openai.chat":
            return "native" if self.name not in _NOT_OPENAIS else ""
        return "translated" if place.dialect in self.told else ""

    def heard(self, place: Place) -> Json:
        """The chat answer."""
        there = translation(place.dialect)
        assert there is not None, place.dialect
        into = Exchange(model=place.model, provider=place.provider, request_id="r1")
        return there.answer_to_chat(self.told[place.dialect], into)


def _message(*blocks: Json, **more: Any) -> Json:
    usage = {"input_tokens": 5, "output_tokens": 7}
    return {"id": "m", "model": "c", "content": list(blocks), "stop_reason": "end_turn", "usage": usage, **more}


def _generated(*parts: Json, usage: Json | None = None, **more: Any) -> Json:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": "STOP", **more}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 12, **(usage or {})}}


def _conversed(*blocks: Json, **usage: int) -> Json:
    message = {"role": "assistant", "content": list(blocks)}
    counts = {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12, **usage}
    return {"output": {"message": message}, "stopReason": "end_turn", "usage": counts}


_REASONED = {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}}
_WEB = {"title": "A", "location": {"web": {"url": "https://a", "domain": "a"}}}
_CITED = {"type": "web_search_result_location", "url": "https://a", "title": "A", "cited_text": "a"}
_GROUNDED = {
    "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
    "groundingSupports": [{"segment": {"endIndex": 1, "text": "a"}, "groundingChunkIndices": [0]}],
}
_TEXT = {"type": "text", "text": "a"}
_FIRST = "choices.0.message"
_NOT_OPENAIS = frozenset({"thinking", "signatures of thinking", "pictures"})
"""What OpenAI's chat format has no field for; it arrives in a field of ours."""

RETURNS = (
    Returned(
        "text",
        f"{_FIRST}.content",
        {_CLAUDE: _message(_TEXT), _GEMINI: _generated({"text": "a"}), _CONVERSE: _conversed({"text": "a"})},
    ),
    Returned(
        "calls of tools",
        f"{_FIRST}.tool_calls.0.function.arguments",
        {
            _CLAUDE: _message({"type": "tool_use", "id": "t", "name": "w", "input": {"a": 1}}),
            _GEMINI: _generated({"functionCall": {"name": "w", "args": {"a": 1}}}),
            _CONVERSE: _conversed({"toolUse": {"toolUseId": "t", "name": "w", "input": {"a": 1}}}),
        },
    ),
    Returned(
        "thinking",
        f"{_FIRST}.reasoning_content",
        {
            _CLAUDE: _message({"type": "thinking", "thinking": "hm", "signature": "s"}, _TEXT),
            _GEMINI: _generated({"text": "hm", "thought": True}, {"text": "a"}),
            _CONVERSE: _conversed(_REASONED, {"text": "a"}),
        },
    ),
    Returned(
        "signatures of thinking",
        f"{_FIRST}.thinking_blocks.0.signature",
        {
            _CLAUDE: _message({"type": "thinking", "thinking": "hm", "signature": "s"}, _TEXT),
            _GEMINI: _generated({"text": "a", "thoughtSignature": "U0lH"}),
            _CONVERSE: _conversed(_REASONED, {"text": "a"}),
        },
    ),
    Returned(
        "refusals",
        f"{_FIRST}.refusal",
        {
            _CLAUDE: _message(
                stop_reason="refusal", stop_details={"type": "refusal", "category": "bio", "explanation": "No."}
            ),
            _GEMINI: {"promptFeedback": {"blockReason": "SAFETY"}},
        },
    ),
    Returned(
        "citations",
        f"{_FIRST}.annotations.0.url_citation.url",
        {
            _CLAUDE: _message({**_TEXT, "citations": [_CITED]}),
            _GEMINI: _generated({"text": "a"}, groundingMetadata=_GROUNDED),
            _CONVERSE: _conversed({"citationsContent": {"content": [{"text": "a"}], "citations": [_WEB]}}),
        },
    ),
    Returned(
        "pictures",
        f"{_FIRST}.images.0.image_url.url",
        {_GEMINI: _generated({"inlineData": {"mimeType": "image/png", "data": PNG}})},
    ),
    Returned(
        "sound",
        f"{_FIRST}.audio.data",
        {_GEMINI: _generated({"inlineData": {"mimeType": "audio/l16;rate=24000", "data": "AAAA"}})},
    ),
    Returned(
        "several answers",
        "choices.1.message.content",
        {_GEMINI: {"candidates": [{"content": {"parts": [{"text": each}]}, "finishReason": "STOP"} for each in "ab"]}},
    ),
    Returned(
        "token probabilities",
        "choices.0.logprobs.content.0.logprob",
        {
            _GEMINI: _generated(
                {"text": "a"}, logprobsResult={"chosenCandidates": [{"token": "a", "logProbability": -0.1}]}
            )
        },
    ),
    Returned(
        "tokens from the cache",
        "usage.prompt_tokens_details.cached_tokens",
        {
            _CLAUDE: _message(_TEXT, usage={"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 3}),
            _GEMINI: _generated({"text": "a"}, usage={"cachedContentTokenCount": 3}),
            _CONVERSE: _conversed({"text": "a"}, cacheReadInputTokens=3),
        },
    ),
    Returned(
        "tokens written to the cache",
        "usage.prompt_tokens_details.cache_write_tokens",
        {
            _CLAUDE: _message(_TEXT, usage={"input_tokens": 5, "output_tokens": 7, "cache_creation_input_tokens": 3}),
            _CONVERSE: _conversed({"text": "a"}, cacheWriteInputTokens=3),
        },
    ),
    Returned(
        "tokens of thinking",
        "usage.completion_tokens_details.reasoning_tokens",
        {
            _CLAUDE: _message(
                _TEXT,
                usage={"input_tokens": 5, "output_tokens": 7, "output_tokens_details": {"thinking_tokens": 4}},
            ),
            _GEMINI: _generated({"text": "a"}, usage={"thoughtsTokenCount": 4}),
        },
    ),
)
