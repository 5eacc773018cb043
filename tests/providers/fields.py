"""
What callers of each dialect may ask, field by field.

Small requests, each with something in it that a provider may have no place for; `test_nothing_lost.py` takes
every field out of every one, and wants to see that it made a difference.
"""

from __future__ import annotations

from typing import Any

from llm_edge.message import Json

PNG = "iVBORw0KGgo="
SCHEMA: Json = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def _chat(*messages: Json, **fields: Any) -> Json:
    return {"messages": list(messages) or [{"role": "user", "content": "hi"}], **fields}


def _said(*parts: Json, role: str = "user", **fields: Any) -> Json:
    return _chat({"role": role, "content": list(parts)}, **fields)


_TOOL: Json = {
    "type": "function",
    "function": {"name": "w", "description": "Weather", "parameters": SCHEMA, "strict": True},
}
_OTHER: Json = {"type": "function", "function": {"name": "v", "parameters": SCHEMA}}
CALL: Json = {"id": "c1", "type": "function", "function": {"name": "w", "arguments": '{"city":"Oslo"}'}}
_HI: Json = {"role": "user", "content": "hi"}
_TURN: Json = {"role": "assistant", "content": None, "tool_calls": [CALL]}
_RESULT: Json = {"role": "tool", "tool_call_id": "c1", "content": "3 C"}
_THOUGHT: Json = {
    "reasoning_content": "hm",
    "thinking_blocks": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "redacted_thinking", "data": "SEALED"},
    ],
}

CHAT: tuple[Json, ...] = (
    _chat({"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}, _HI),
    _chat(_HI, {"role": "assistant", "content": "a"}, _HI, {"role": "system", "content": "Be kind."}),
    _chat({"role": "user", "content": "hi", "name": "bob"}),
    _chat(_HI, {"role": "assistant", "content": "a", "name": "bot"}, _HI),
    _chat(_HI, {"role": "assistant", "content": None, "refusal": "No."}, _HI),
    _chat(_HI, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, _HI),
    _chat(_HI, {"role": "assistant", "audio": {"id": "audio_1"}, "content": None}, _HI),
    _chat(_HI, {"role": "assistant", "content": "a", **_THOUGHT}, _HI),
    _chat(_HI, {**_TURN, **_THOUGHT}, _RESULT, tools=[_TOOL]),
    _chat(_HI, {**_TURN, "content": "Let me look."}, _RESULT, tools=[_TOOL]),
    _chat(_HI, _TURN, {**_RESULT, "is_error": True}, tools=[_TOOL]),
    _chat(
        _HI,
        {**_TURN, "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "U0lH"}}}]},
        _RESULT,
        tools=[_TOOL],
    ),
    _chat(
        _HI,
        _TURN,
        {
            **_RESULT,
            "content": [
                {"type": "text", "text": "3 C"},
                {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
            ],
        },
        tools=[_TOOL],
    ),
    _chat(
        _HI,
        _TURN,
        {
            **_RESULT,
            "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}],
        },
        tools=[_TOOL],
    ),
    _said({"type": "text", "text": "a"}, {"type": "text", "text": "b"}),
    _said({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "high"}}),
    _said({"type": "image_url", "image_url": {"url": "https://a/b.png"}}),
    _said({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "mp3"}}),
    _said(
        {"type": "text", "text": "a"},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "b.pdf"}},
    ),
    _said({"type": "text", "text": "a"}, {"type": "file", "file": {"file_id": "file-1"}}),
    _said({"type": "text", "text": "long", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
    _said({"type": "text", "text": "long", "prompt_cache_breakpoint": {"mode": "explicit", "ttl": "30m"}}),
    _chat(tools=[_TOOL]),
    _chat(tools=[{**_TOOL, "cache_control": {"type": "ephemeral"}}]),
    _chat(tools=[{"type": "custom", "custom": {"name": "sql", "description": "SQL", "format": {"type": "text"}}}]),
    _chat(tools=[_TOOL, _OTHER], tool_choice="required"),
    _chat(tools=[_TOOL, _OTHER], tool_choice="none"),
    _chat(tools=[_TOOL, _OTHER], tool_choice={"type": "function", "function": {"name": "v"}}),
    _chat(
        tools=[_TOOL, _OTHER],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "v"}}]},
        },
    ),
    _chat(tools=[_TOOL], parallel_tool_calls=False),
    _chat(functions=[{"name": "w", "parameters": SCHEMA}], function_call="auto"),
    _chat(max_completion_tokens=100),
    _chat(max_tokens=100),
    _chat(temperature=0.3),
    _chat(top_p=0.8),
    _chat(top_k=5),
    _chat(frequency_penalty=0.5),
    _chat(presence_penalty=0.5),
    _chat(stop=["END", "STOP"]),
    _chat(seed=7),
    _chat(n=2),
    _chat(logprobs=True, top_logprobs=2),
    _chat(logit_bias={"5": 1}),
    _chat(modalities=["text", "audio"], audio={"format": "mp3", "voice": "alloy"}),
    _chat(metadata={"team": "a"}),
    _chat(moderation={"model": "omni"}),
    _chat(prediction={"type": "content", "content": "x"}),
    _chat(prompt_cache_key="k"),
    _chat(prompt_cache_options={"mode": "explicit"}),
    _chat(prompt_cache_retention="24h"),
    _chat(reasoning_effort="high"),
    _chat(response_format={"type": "json_object"}),
    _chat(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "description": "A place", "schema": SCHEMA, "strict": True},
        }
    ),
    _chat(safety_identifier="u-1"),
    _chat(user="u-1"),
    _chat(service_tier="flex"),
    _chat(store=True),
    _chat(verbosity="low"),
    _chat(
        web_search_options={
            "search_context_size": "low",
            "user_location": {"type": "approximate", "approximate": {"city": "Oslo", "country": "NO"}},
        }
    ),
    _chat(field_of_tomorrow=1),
)


def _responses(*items: Json, **fields: Any) -> Json:
    return {"input": list(items) or [{"role": "user", "content": "hi"}], "store": False, **fields}


_FLAT: Json = {"type": "function", "name": "w", "description": "Weather", "parameters": SCHEMA, "strict": True}
_FLAT_OTHER: Json = {**_FLAT, "name": "v"}
_ASKED_OF_IT: Json = {"type": "function_call", "call_id": "c1", "name": "w", "arguments": '{"city":"Oslo"}'}

RESPONSES: tuple[Json, ...] = (
    _responses(instructions="Be brief."),
    _responses({"role": "developer", "content": "Be kind."}, {"role": "user", "content": "hi"}),
    _responses(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "high"},
            ],
        }
    ),
    _responses(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_file", "filename": "b.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
            ],
        }
    ),
    _responses({"role": "user", "content": [{"type": "input_file", "file_url": "https://a/b.pdf"}]}),
    _responses(
        {"role": "user", "content": "hi"},
        {
            "type": "message",
            "role": "assistant",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "a", "annotations": []}],
        },
        {"role": "user", "content": "on"},
    ),
    _responses(
        {"role": "user", "content": "hi"},
        _ASKED_OF_IT,
        {"type": "function_call_output", "call_id": "c1", "output": "3 C"},
        tools=[_FLAT],
    ),
    _responses(
        {"role": "user", "content": "hi"},
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "SEALED",
        },
        _ASKED_OF_IT,
        {
            "type": "function_call_output",
            "call_id": "c1",
            "output": [{"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"}],
        },
        tools=[_FLAT],
    ),
    _responses(tools=[_FLAT, _FLAT_OTHER], tool_choice={"type": "function", "name": "v"}),
    _responses(tools=[_FLAT], tool_choice="required"),
    _responses(tools=[_FLAT], parallel_tool_calls=False),
    _responses(tools=[{"type": "web_search", "search_context_size": "low"}]),
    _responses(tools=[{"type": "custom", "name": "sql", "description": "SQL"}]),
    _responses(text={"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}),
    _responses(text={"format": {"type": "json_object"}}),
    _responses(text={"verbosity": "low"}),
    _responses(reasoning={"effort": "high"}),
    _responses(reasoning={"effort": "high", "summary": "detailed"}),
    _responses(reasoning={"effort": "high", "mode": "pro", "context": "all"}),
    _responses(include=["message.output_text.logprobs"]),
    _responses(top_logprobs=2),
    _responses(include=["file_search_call.results"]),
    _responses(max_output_tokens=100),
    _responses(max_tool_calls=3),
    _responses(temperature=0.3),
    _responses(top_p=0.8),
    _responses(truncation="auto"),
    _responses(metadata={"team": "a"}),
    _responses(moderation={"model": "omni"}),
    _responses(prompt_cache_key="k"),
    _responses(safety_identifier="u-1"),
    _responses(service_tier="flex"),
    _responses(user="u-1"),
    _responses(field_of_tomorrow=1),
)


COMPLETIONS: tuple[Json, ...] = tuple(
    {"prompt": "Once", **fields}
    for fields in (
        {"max_tokens": 10},
        {"temperature": 0.3},
        {"top_p": 0.8},
        {"n": 2},
        {"best_of": 2},
        {"echo": True},
        {"suffix": "end"},
        {"logprobs": 2},
        {"stop": ["END"]},
        {"seed": 7},
        {"presence_penalty": 0.5},
        {"frequency_penalty": 0.5},
        {"logit_bias": {"5": 1}},
        {"user": "u-1"},
        {"field_of_tomorrow": 1},
    )
)


def _claude(*messages: Json, **fields: Any) -> Json:
    return {"max_tokens": 100, "messages": list(messages) or [{"role": "user", "content": "hi"}], **fields}


def _blocks(*blocks: Json, **fields: Any) -> Json:
    return _claude({"role": "user", "content": list(blocks)}, **fields)


_CLAUDES_TOOL: Json = {"name": "w", "description": "Weather", "input_schema": SCHEMA, "strict": True}
_CLAUDES_OTHER: Json = {"name": "v", "input_schema": SCHEMA}
_MARK: Json = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
USE: Json = {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {"city": "Oslo"}}
_USED: Json = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3 C"}
_IMAGE: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}

MESSAGES: tuple[Json, ...] = (
    _claude(system="Be brief."),
    _claude(system=[{"type": "text", "text": "Be brief.", **_MARK}, {"type": "text", "text": "Be kind."}]),
    _blocks({"type": "text", "text": "a", **_MARK}),
    _blocks({"type": "text", "text": "a"}, _IMAGE),
    _blocks({"type": "text", "text": "a"}, {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}),
    _blocks(
        {"type": "text", "text": "a"},
        {
            "type": "document",
            "title": "T",
            "context": "C",
            "citations": {"enabled": True},
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        },
    ),
    _blocks(
        {"type": "text", "text": "a"},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
    ),
    _claude(
        {"role": "user", "content": "hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "SEALED"},
                {"type": "text", "text": "Let me look."},
                USE,
            ],
        },
        {"role": "user", "content": [{**_USED, "is_error": True}, {"type": "text", "text": "and?"}]},
        tools=[_CLAUDES_TOOL],
    ),
    _claude(
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [USE]},
        {"role": "user", "content": [{**_USED, "content": [{"type": "text", "text": "x"}, _IMAGE], **_MARK}]},
        tools=[_CLAUDES_TOOL],
    ),
    _claude(tools=[{**_CLAUDES_TOOL, **_MARK}]),
    _claude(tools=[_CLAUDES_TOOL, _CLAUDES_OTHER], tool_choice={"type": "any"}),
    _claude(tools=[_CLAUDES_TOOL, _CLAUDES_OTHER], tool_choice={"type": "none"}),
    _claude(tools=[_CLAUDES_TOOL, _CLAUDES_OTHER], tool_choice={"type": "tool", "name": "v"}),
    _claude(tools=[_CLAUDES_TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
    _claude(
        tools=[
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "max_uses": 3,
                "user_location": {"type": "approximate", "city": "Oslo"},
            }
        ]
    ),
    _claude(stop_sequences=["END"]),
    _claude(temperature=0.3),
    _claude(top_p=0.8),
    _claude(top_k=5),
    _claude(thinking={"type": "enabled", "budget_tokens": 5000}, max_tokens=9000),
    _claude(thinking={"type": "adaptive", "display": "summarized"}),
    _claude(thinking={"type": "disabled"}),
    _claude(output_config={"effort": "low"}),
    _claude(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
    _claude(metadata={"user_id": "u-1"}),
    _claude(service_tier="standard_only"),
    _claude(speed="fast"),
    _claude(container="c-1"),
    _claude(diagnostics={"previous_message_id": "m-1"}),
    _claude(inference_geo="us"),
    _claude(**_MARK),
    _claude(field_of_tomorrow=1),
)


def _gemini(*contents: Json, **fields: Any) -> Json:
    return {"contents": list(contents) or [{"role": "user", "parts": [{"text": "hi"}]}], **fields}


def _parts(*parts: Json, **fields: Any) -> Json:
    return _gemini({"role": "user", "parts": list(parts)}, **fields)


def _config(**fields: Any) -> Json:
    return _gemini(generationConfig=fields)


_DECLARED: Json = {
    "functionDeclarations": [
        {"name": "w", "description": "Weather", "parametersJsonSchema": SCHEMA},
        {"name": "v", "parametersJsonSchema": SCHEMA},
    ]
}

GENERATE: tuple[Json, ...] = (
    _gemini(systemInstruction={"parts": [{"text": "Be brief."}]}),
    _parts({"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}),
    _parts({"text": "a"}, {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}}),
    _parts({"text": "a"}, {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}}),
    _parts({"text": "a"}, {"fileData": {"mimeType": "image/png", "fileUri": "https://a/b.png"}}),
    _gemini(
        {"role": "user", "parts": [{"text": "hi"}]},
        {
            "role": "model",
            "parts": [
                {"text": "hm", "thought": True},
                {"functionCall": {"id": "c1", "name": "w", "args": {"city": "Oslo"}}, "thoughtSignature": "U0lH"},
            ],
        },
        {
            "role": "user",
            "parts": [{"functionResponse": {"id": "c1", "name": "w", "response": {"output": "3 C"}}}],
        },
        tools=[_DECLARED],
    ),
    _gemini(
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [{"text": "a", "thoughtSignature": "U0lH"}]},
        {"role": "user", "parts": [{"text": "on"}]},
    ),
    _gemini(tools=[_DECLARED]),
    _gemini(tools=[_DECLARED], toolConfig={"functionCallingConfig": {"mode": "ANY"}}),
    _gemini(tools=[_DECLARED], toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["v"]}}),
    _gemini(tools=[{"googleSearch": {}}]),
    _gemini(tools=[{"codeExecution": {}}]),
    _config(temperature=0.3),
    _config(topP=0.8),
    _config(topK=5),
    _config(candidateCount=2),
    _config(maxOutputTokens=100),
    _config(stopSequences=["END"]),
    _config(seed=7),
    _config(presencePenalty=0.5),
    _config(frequencyPenalty=0.5),
    _config(responseLogprobs=True, logprobs=2),
    _config(responseMimeType="application/json"),
    _config(responseMimeType="application/json", responseJsonSchema=SCHEMA),
    _config(responseModalities=["TEXT", "IMAGE"]),
    _config(thinkingConfig={"thinkingLevel": "LOW"}),
    _config(thinkingConfig={"thinkingBudget": 5000}),
    _config(speechConfig={"languageCode": "en-US"}),
    _config(mediaResolution="MEDIA_RESOLUTION_LOW"),
    _gemini(safetySettings=[{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]),
    _gemini(cachedContent="cachedContents/1"),
    _gemini(labels={"team": "a"}),
    _gemini(serviceTier="flex"),
    _gemini(store=True),
    _gemini(fieldOfTomorrow=1),
)


def _converse(*messages: Json, **fields: Any) -> Json:
    return {"messages": list(messages) or [{"role": "user", "content": [{"text": "hi"}]}], **fields}


_SPECS: Json = {
    "tools": [
        {"toolSpec": {"name": "w", "description": "Weather", "inputSchema": {"json": SCHEMA}, "strict": True}},
        {"toolSpec": {"name": "v", "description": "Wind", "inputSchema": {"json": SCHEMA}}},
    ]
}
TOOL_USE: Json = {"toolUse": {"toolUseId": "c1", "name": "w", "input": {"city": "Oslo"}}}

CONVERSE: tuple[Json, ...] = (
    _converse(system=[{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}]),
    _converse({"role": "user", "content": [{"text": "a"}, {"cachePoint": {"type": "default"}}]}),
    _converse({"role": "user", "content": [{"text": "a"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]}),
    _converse(
        {
            "role": "user",
            "content": [
                {"text": "a"},
                {
                    "document": {
                        "format": "pdf",
                        "name": "b",
                        "context": "C",
                        "citations": {"enabled": True},
                        "source": {"bytes": "JVBERi0="},
                    }
                },
            ],
        }
    ),
    _converse({"role": "user", "content": [{"text": "a"}, {"audio": {"format": "mp3", "source": {"bytes": "UklG"}}}]}),
    _converse(
        {
            "role": "user",
            "content": [{"text": "a"}, {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/c"}}}}],
        }
    ),
    _converse(
        {"role": "user", "content": [{"text": "hi"}]},
        {
            "role": "assistant",
            "content": [
                {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                {"reasoningContent": {"redactedContent": "SEALED"}},
                {"text": "Let me look."},
                TOOL_USE,
            ],
        },
        {
            "role": "user",
            "content": [{"toolResult": {"toolUseId": "c1", "content": [{"text": "3 C"}], "status": "error"}}],
        },
        toolConfig=_SPECS,
    ),
    _converse(
        {"role": "user", "content": [{"text": "hi"}]},
        {"role": "assistant", "content": [TOOL_USE]},
        {
            "role": "user",
            "content": [
                {
                    "toolResult": {
                        "toolUseId": "c1",
                        "content": [{"json": {"c": 3}}, {"image": {"format": "png", "source": {"bytes": PNG}}}],
                    }
                }
            ],
        },
        toolConfig=_SPECS,
    ),
    _converse(toolConfig=_SPECS),
    _converse(toolConfig={**_SPECS, "toolChoice": {"any": {}}}),
    _converse(toolConfig={**_SPECS, "toolChoice": {"tool": {"name": "v"}}}),
    _converse(inferenceConfig={"maxTokens": 100}),
    _converse(inferenceConfig={"temperature": 0.3}),
    _converse(inferenceConfig={"topP": 0.8}),
    _converse(inferenceConfig={"stopSequences": ["END"]}),
    _converse(additionalModelRequestFields={"top_k": 5}),
    _converse(additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 5000}}),
    _converse(additionalModelResponseFieldPaths=["/stop_sequence"]),
    _converse(
        outputConfig={
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"name": "place", "schema": '{"type":"object","properties":{}}'}},
            }
        }
    ),
    _converse(serviceTier={"type": "flex"}),
    _converse(requestMetadata={"team": "a"}),
    _converse(performanceConfig={"latency": "optimized"}),
    _converse(guardrailConfig={"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"}),
    _converse(fieldOfTomorrow=1),
)

ASKED: dict[str, tuple[Json, ...]] = {
    "openai.chat": CHAT,
    "openai.responses": RESPONSES,
    "openai.completions": COMPLETIONS,
    "anthropic.messages": MESSAGES,
    "gemini.generate": GENERATE,
    "bedrock.converse": CONVERSE,
}
