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


def chat(*messages: Json, **fields: Any) -> Json:
    return {"messages": list(messages) or [{"role": "user", "content": "hi"}], **fields}


def _said(*parts: Json, role: str = "user", **fields: Any) -> Json:
    return chat({"role": role, "content": list(parts)}, **fields)


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
    chat({"role": "system", "content": "Be brief."}, {"role": "developer", "content": "Be kind."}, _HI),
    chat(_HI, {"role": "assistant", "content": "a"}, _HI, {"role": "system", "content": "Be kind."}),
    chat({"role": "user", "content": "hi", "name": "bob"}),
    chat(_HI, {"role": "assistant", "content": "a", "name": "bot"}, _HI),
    chat(_HI, {"role": "assistant", "content": None, "refusal": "No."}, _HI),
    chat(_HI, {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, _HI),
    chat(_HI, {"role": "assistant", "audio": {"id": "audio_1"}, "content": None}, _HI),
    chat(_HI, {"role": "assistant", "content": "a", **_THOUGHT}, _HI),
    chat(_HI, {**_TURN, **_THOUGHT}, _RESULT, tools=[_TOOL]),
    chat(_HI, {**_TURN, "content": "Let me look."}, _RESULT, tools=[_TOOL]),
    chat(_HI, _TURN, {**_RESULT, "is_error": True}, tools=[_TOOL]),
    chat(
        _HI,
        {**_TURN, "tool_calls": [{**CALL, "extra_content": {"google": {"thought_signature": "U0lH"}}}]},
        _RESULT,
        tools=[_TOOL],
    ),
    chat(
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
    chat(
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
    chat(tools=[_TOOL]),
    chat(tools=[{**_TOOL, "cache_control": {"type": "ephemeral"}}]),
    chat(tools=[{"type": "custom", "custom": {"name": "sql", "description": "SQL", "format": {"type": "text"}}}]),
    chat(tools=[_TOOL, _OTHER], tool_choice="required"),
    chat(tools=[_TOOL, _OTHER], tool_choice="none"),
    chat(tools=[_TOOL, _OTHER], tool_choice={"type": "function", "function": {"name": "v"}}),
    chat(
        tools=[_TOOL, _OTHER],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "v"}}]},
        },
    ),
    chat(tools=[_TOOL], parallel_tool_calls=False),
    chat(functions=[{"name": "w", "parameters": SCHEMA}], function_call="auto"),
    chat(max_completion_tokens=100),
    chat(max_tokens=100),
    chat(temperature=0.3),
    chat(top_p=0.8),
    chat(top_k=5),
    chat(frequency_penalty=0.5),
    chat(presence_penalty=0.5),
    chat(stop=["END", "STOP"]),
    chat(seed=7),
    chat(n=2),
    chat(logprobs=True, top_logprobs=2),
    chat(logit_bias={"5": 1}),
    chat(modalities=["text", "audio"], audio={"format": "mp3", "voice": "alloy"}),
    chat(metadata={"team": "a"}),
    chat(moderation={"model": "omni"}),
    chat(prediction={"type": "content", "content": "x"}),
    chat(prompt_cache_key="k"),
    chat(prompt_cache_options={"mode": "explicit"}),
    chat(prompt_cache_retention="24h"),
    chat(reasoning_effort="high"),
    chat(response_format={"type": "json_object"}),
    chat(
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "place", "description": "A place", "schema": SCHEMA, "strict": True},
        }
    ),
    chat(safety_identifier="u-1"),
    chat(user="u-1"),
    chat(service_tier="flex"),
    chat(store=True),
    chat(verbosity="low"),
    chat(
        web_search_options={
            "search_context_size": "low",
            "user_location": {"type": "approximate", "approximate": {"city": "Oslo", "country": "NO"}},
        }
    ),
    chat(field_of_tomorrow=1),
)


def responses(*items: Json, **fields: Any) -> Json:
    return {"input": list(items) or [{"role": "user", "content": "hi"}], "store": False, **fields}


_FLAT: Json = {"type": "function", "name": "w", "description": "Weather", "parameters": SCHEMA, "strict": True}
_FLAT_OTHER: Json = {**_FLAT, "name": "v"}
_ASKED_OF_IT: Json = {"type": "function_call", "call_id": "c1", "name": "w", "arguments": '{"city":"Oslo"}'}

RESPONSES: tuple[Json, ...] = (
    responses(instructions="Be brief."),
    responses({"role": "developer", "content": "Be kind."}, {"role": "user", "content": "hi"}),
    responses(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "high"},
            ],
        }
    ),
    responses(
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "a"},
                {"type": "input_file", "filename": "b.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
            ],
        }
    ),
    responses({"role": "user", "content": [{"type": "input_file", "file_url": "https://a/b.pdf"}]}),
    responses(
        {"role": "user", "content": "hi"},
        {
            "type": "message",
            "role": "assistant",
            "phase": "commentary",
            "content": [{"type": "output_text", "text": "a", "annotations": []}],
        },
        {"role": "user", "content": "on"},
    ),
    responses(
        {"role": "user", "content": "hi"},
        _ASKED_OF_IT,
        {"type": "function_call_output", "call_id": "c1", "output": "3 C"},
        tools=[_FLAT],
    ),
    responses(
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
    responses(tools=[_FLAT, _FLAT_OTHER], tool_choice={"type": "function", "name": "v"}),
    responses(tools=[_FLAT], tool_choice="required"),
    responses(tools=[_FLAT], parallel_tool_calls=False),
    responses(tools=[{"type": "web_search", "search_context_size": "low"}]),
    responses(tools=[{"type": "custom", "name": "sql", "description": "SQL"}]),
    responses(text={"format": {"type": "json_schema", "name": "place", "schema": SCHEMA, "strict": True}}),
    responses(text={"format": {"type": "json_object"}}),
    responses(text={"verbosity": "low"}),
    responses(reasoning={"effort": "high"}),
    responses(reasoning={"effort": "high", "summary": "detailed"}),
    responses(reasoning={"effort": "high", "mode": "pro", "context": "all"}),
    responses(include=["message.output_text.logprobs"]),
    responses(top_logprobs=2),
    responses(include=["file_search_call.results"]),
    responses(max_output_tokens=100),
    responses(max_tool_calls=3),
    responses(temperature=0.3),
    responses(top_p=0.8),
    responses(truncation="auto"),
    responses(metadata={"team": "a"}),
    responses(moderation={"model": "omni"}),
    responses(prompt_cache_key="k"),
    responses(safety_identifier="u-1"),
    responses(service_tier="flex"),
    responses(user="u-1"),
    responses(field_of_tomorrow=1),
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


def claude(*messages: Json, **fields: Any) -> Json:
    return {"max_tokens": 100, "messages": list(messages) or [{"role": "user", "content": "hi"}], **fields}


def _blocks(*blocks: Json, **fields: Any) -> Json:
    return claude({"role": "user", "content": list(blocks)}, **fields)


_CLAUDES_TOOL: Json = {"name": "w", "description": "Weather", "input_schema": SCHEMA, "strict": True}
_CLAUDES_OTHER: Json = {"name": "v", "input_schema": SCHEMA}
_MARK: Json = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
USE: Json = {"type": "tool_use", "id": "toolu_1", "name": "w", "input": {"city": "Oslo"}}
_USED: Json = {"type": "tool_result", "tool_use_id": "toolu_1", "content": "3 C"}
_IMAGE: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}

MESSAGES: tuple[Json, ...] = (
    claude(system="Be brief."),
    claude(system=[{"type": "text", "text": "Be brief.", **_MARK}, {"type": "text", "text": "Be kind."}]),
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
    claude(
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
    claude(
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [USE]},
        {"role": "user", "content": [{**_USED, "content": [{"type": "text", "text": "x"}, _IMAGE], **_MARK}]},
        tools=[_CLAUDES_TOOL],
    ),
    claude(tools=[{**_CLAUDES_TOOL, **_MARK}]),
    claude(tools=[_CLAUDES_TOOL, _CLAUDES_OTHER], tool_choice={"type": "any"}),
    claude(tools=[_CLAUDES_TOOL, _CLAUDES_OTHER], tool_choice={"type": "none"}),
    claude(tools=[_CLAUDES_TOOL, _CLAUDES_OTHER], tool_choice={"type": "tool", "name": "v"}),
    claude(tools=[_CLAUDES_TOOL], tool_choice={"type": "auto", "disable_parallel_tool_use": True}),
    claude(
        tools=[
            {
                "type": "web_search_20250305",
                "name": "web_search",
                "max_uses": 3,
                "user_location": {"type": "approximate", "city": "Oslo"},
            }
        ]
    ),
    claude(stop_sequences=["END"]),
    claude(temperature=0.3),
    claude(top_p=0.8),
    claude(top_k=5),
    claude(thinking={"type": "enabled", "budget_tokens": 5000}, max_tokens=9000),
    claude(thinking={"type": "adaptive", "display": "summarized"}),
    claude(thinking={"type": "disabled"}),
    claude(output_config={"effort": "low"}),
    claude(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
    claude(metadata={"user_id": "u-1"}),
    claude(service_tier="standard_only"),
    claude(speed="fast"),
    claude(container="c-1"),
    claude(diagnostics={"previous_message_id": "m-1"}),
    claude(inference_geo="us"),
    claude(**_MARK),
    claude(field_of_tomorrow=1),
)


def gemini(*contents: Json, **fields: Any) -> Json:
    return {"contents": list(contents) or [{"role": "user", "parts": [{"text": "hi"}]}], **fields}


def _parts(*parts: Json, **fields: Any) -> Json:
    return gemini({"role": "user", "parts": list(parts)}, **fields)


def _config(**fields: Any) -> Json:
    return gemini(generationConfig=fields)


_DECLARED: Json = {
    "functionDeclarations": [
        {"name": "w", "description": "Weather", "parametersJsonSchema": SCHEMA},
        {"name": "v", "parametersJsonSchema": SCHEMA},
    ]
}

GENERATE: tuple[Json, ...] = (
    gemini(systemInstruction={"parts": [{"text": "Be brief."}]}),
    _parts({"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}),
    _parts({"text": "a"}, {"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0="}}),
    _parts({"text": "a"}, {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}}),
    _parts({"text": "a"}, {"fileData": {"mimeType": "image/png", "fileUri": "https://a/b.png"}}),
    gemini(
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
    gemini(
        {"role": "user", "parts": [{"text": "hi"}]},
        {"role": "model", "parts": [{"text": "a", "thoughtSignature": "U0lH"}]},
        {"role": "user", "parts": [{"text": "on"}]},
    ),
    gemini(tools=[_DECLARED]),
    gemini(tools=[_DECLARED], toolConfig={"functionCallingConfig": {"mode": "ANY"}}),
    gemini(tools=[_DECLARED], toolConfig={"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["v"]}}),
    gemini(tools=[{"googleSearch": {}}]),
    gemini(tools=[{"codeExecution": {}}]),
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
    gemini(safetySettings=[{"category": "HARM_CATEGORY_HATE_SPEECH", "threshold": "BLOCK_NONE"}]),
    gemini(cachedContent="cachedContents/1"),
    gemini(labels={"team": "a"}),
    gemini(serviceTier="flex"),
    gemini(store=True),
    gemini(fieldOfTomorrow=1),
)


def converse(*messages: Json, **fields: Any) -> Json:
    return {"messages": list(messages) or [{"role": "user", "content": [{"text": "hi"}]}], **fields}


_SPECS: Json = {
    "tools": [
        {"toolSpec": {"name": "w", "description": "Weather", "inputSchema": {"json": SCHEMA}, "strict": True}},
        {"toolSpec": {"name": "v", "description": "Wind", "inputSchema": {"json": SCHEMA}}},
    ]
}
TOOL_USE: Json = {"toolUse": {"toolUseId": "c1", "name": "w", "input": {"city": "Oslo"}}}

CONVERSE: tuple[Json, ...] = (
    converse(system=[{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}]),
    converse({"role": "user", "content": [{"text": "a"}, {"cachePoint": {"type": "default"}}]}),
    converse({"role": "user", "content": [{"text": "a"}, {"image": {"format": "png", "source": {"bytes": PNG}}}]}),
    converse(
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
    converse({"role": "user", "content": [{"text": "a"}, {"audio": {"format": "mp3", "source": {"bytes": "UklG"}}}]}),
    converse(
        {
            "role": "user",
            "content": [{"text": "a"}, {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/c"}}}}],
        }
    ),
    converse(
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
    converse(
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
    converse(toolConfig=_SPECS),
    converse(toolConfig={**_SPECS, "toolChoice": {"any": {}}}),
    converse(toolConfig={**_SPECS, "toolChoice": {"tool": {"name": "v"}}}),
    converse(inferenceConfig={"maxTokens": 100}),
    converse(inferenceConfig={"temperature": 0.3}),
    converse(inferenceConfig={"topP": 0.8}),
    converse(inferenceConfig={"stopSequences": ["END"]}),
    converse(additionalModelRequestFields={"top_k": 5}),
    converse(additionalModelRequestFields={"thinking": {"type": "enabled", "budget_tokens": 5000}}),
    converse(additionalModelResponseFieldPaths=["/stop_sequence"]),
    converse(
        outputConfig={
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"name": "place", "schema": '{"type":"object","properties":{}}'}},
            }
        }
    ),
    converse(serviceTier={"type": "flex"}),
    converse(requestMetadata={"team": "a"}),
    converse(performanceConfig={"latency": "optimized"}),
    converse(guardrailConfig={"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "enabled"}),
    converse(fieldOfTomorrow=1),
)

ASKED: dict[str, tuple[Json, ...]] = {
    "openai.chat": CHAT,
    "openai.responses": RESPONSES,
    "openai.completions": COMPLETIONS,
    "anthropic.messages": MESSAGES,
    "gemini.generate": GENERATE,
    "bedrock.converse": CONVERSE,
}
