"""What providers of each dialect may answer, field by field; `test_nothing_lost_back.py` takes each of them out."""

from __future__ import annotations

from typing import Any

from llm_edge.message import Json

from .fields import CALL as _CALL, PNG, TOOL_USE as _TOOL_USE, USE as _USE


def _completion(message: Json, finish: str = "stop", **fields: Any) -> Json:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": None, "refusal": None, **message},
        "finish_reason": finish,
        **fields.pop("choice", {}),
    }
    usage = {"prompt_tokens": 5, "completion_tokens": 7, "total_tokens": 12}
    base: Json = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt"}
    return {**base, "choices": [choice], "usage": usage, **fields}


_TOKEN: Json = {
    "token": "a",
    "logprob": -0.5,
    "bytes": [97],
    "top_logprobs": [{"token": "b", "logprob": -1.5, "bytes": [98]}],
}

ANSWERED: dict[str, tuple[Json, ...]] = {
    "openai.chat": (
        _completion({"content": "a"}),
        _completion({"tool_calls": [_CALL, {**_CALL, "id": "c2"}]}, "tool_calls"),
        _completion({"content": "Let me look.", "tool_calls": [_CALL]}, "tool_calls"),
        _completion({"refusal": "No."}),
        _completion({"content": "a", "reasoning_content": "hm"}),
        _completion(
            {
                "content": "a b",
                "annotations": [
                    {
                        "type": "url_citation",
                        "url_citation": {"url": "https://a", "title": "A", "start_index": 0, "end_index": 1},
                    }
                ],
            }
        ),
        _completion({"content": "a"}, "length"),
        _completion({"content": "a"}, "content_filter"),
        _completion({"content": "a"}, choice={"logprobs": {"content": [_TOKEN], "refusal": None}}),
        _completion({"audio": {"id": "au", "data": "UklG", "transcript": "a", "expires_at": 9}}),
        _completion({"content": "a"}, service_tier="flex", system_fingerprint="fp"),
        _completion(
            {"content": "a"},
            usage={
                "prompt_tokens": 50,
                "completion_tokens": 7,
                "total_tokens": 57,
                "prompt_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10},
                "completion_tokens_details": {"reasoning_tokens": 4},
            },
        ),
    ),
    "openai.responses": tuple(
        {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": "gpt",
            "status": "completed",
            "output": output,
            "usage": {
                "input_tokens": 50,
                "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 10},
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 57,
            },
            **more,
        }
        for output, more in (
            (
                [
                    {
                        "type": "message",
                        "id": "m",
                        "role": "assistant",
                        "status": "completed",
                        "content": [
                            {
                                "type": "output_text",
                                "text": "a",
                                "annotations": [
                                    {
                                        "type": "url_citation",
                                        "url": "https://a",
                                        "title": "A",
                                        "start_index": 0,
                                        "end_index": 1,
                                    }
                                ],
                            }
                        ],
                    }
                ],
                {},
            ),
            (
                [
                    {
                        "type": "message",
                        "id": "m",
                        "role": "assistant",
                        "status": "completed",
                        "content": [{"type": "refusal", "refusal": "No."}],
                    }
                ],
                {},
            ),
            (
                [
                    {
                        "type": "reasoning",
                        "id": "rs",
                        "summary": [{"type": "summary_text", "text": "hm"}],
                        "encrypted_content": "SEALED",
                    },
                    {
                        "type": "function_call",
                        "id": "fc",
                        "call_id": "c1",
                        "name": "w",
                        "arguments": "{}",
                        "status": "completed",
                    },
                ],
                {},
            ),
            (
                [
                    {
                        "type": "message",
                        "id": "m",
                        "role": "assistant",
                        "status": "incomplete",
                        "content": [{"type": "output_text", "text": "a", "annotations": []}],
                    }
                ],
                {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            ),
            (
                [
                    {
                        "type": "message",
                        "id": "m",
                        "role": "assistant",
                        "status": "completed",
                        "phase": "final_answer",
                        "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": [_TOKEN]}],
                    }
                ],
                {"service_tier": "flex"},
            ),
        )
    ),
    "anthropic.messages": tuple(
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "model": "claude",
            "content": content,
            "stop_reason": "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 5, "output_tokens": 7},
            **more,
        }
        for content, more in (
            ([{"type": "text", "text": "a"}], {}),
            (
                [
                    {"type": "thinking", "thinking": "hm", "signature": "sig"},
                    {"type": "redacted_thinking", "data": "SEALED"},
                    {"type": "text", "text": "a"},
                    _USE,
                ],
                {"stop_reason": "tool_use"},
            ),
            (
                [
                    {
                        "type": "text",
                        "text": "a",
                        "citations": [
                            {
                                "type": "web_search_result_location",
                                "url": "https://a",
                                "title": "A",
                                "cited_text": "c",
                                "encrypted_index": "e",
                            }
                        ],
                    }
                ],
                {},
            ),
            (
                [
                    {
                        "type": "text",
                        "text": "a",
                        "citations": [
                            {
                                "type": "page_location",
                                "cited_text": "c",
                                "document_index": 0,
                                "document_title": "T",
                                "start_page_number": 1,
                                "end_page_number": 2,
                            }
                        ],
                    }
                ],
                {},
            ),
            (
                [],
                {
                    "stop_reason": "refusal",
                    "stop_details": {"type": "refusal", "category": "bio", "explanation": "No."},
                },
            ),
            ([{"type": "text", "text": "a"}], {"stop_reason": "stop_sequence", "stop_sequence": "END"}),
            ([{"type": "text", "text": "a"}], {"stop_reason": "max_tokens"}),
            ([{"type": "text", "text": "a"}], {"stop_reason": "pause_turn"}),
            ([{"type": "text", "text": "a"}], {"container": {"id": "c-1", "expires_at": "2026-11-21T00:00:00Z"}}),
            (
                [{"type": "text", "text": "a"}],
                {
                    "usage": {
                        "input_tokens": 5,
                        "output_tokens": 7,
                        "cache_read_input_tokens": 20,
                        "cache_creation_input_tokens": 10,
                        "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
                        "output_tokens_details": {"thinking_tokens": 4},
                        "server_tool_use": {"web_search_requests": 2},
                        "service_tier": "priority",
                        "speed": "fast",
                        "inference_geo": "us",
                    }
                },
            ),
        )
    ),
    "gemini.generate": tuple(
        {
            "responseId": "r1",
            "modelVersion": "gemini",
            "candidates": [
                {"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP", **candidate}
            ],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12},
            **more,
        }
        for parts, candidate, more in (
            ([{"text": "a"}], {}, {"createTime": "2026-11-21T00:00:00Z"}),
            (
                [
                    {"text": "hm", "thought": True},
                    {"text": "a"},
                    {"functionCall": {"id": "c1", "name": "w", "args": {"city": "Oslo"}}, "thoughtSignature": "U0lH"},
                ],
                {},
                {},
            ),
            (
                [{"text": "a"}],
                {
                    "groundingMetadata": {
                        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
                        "groundingSupports": [
                            {"segment": {"startIndex": 0, "endIndex": 1, "text": "a"}, "groundingChunkIndices": [0]}
                        ],
                        "webSearchQueries": ["q"],
                    }
                },
                {},
            ),
            (
                [{"text": "a"}],
                {
                    "citationMetadata": {
                        "citations": [{"uri": "https://a", "startIndex": 0, "endIndex": 1, "title": "A"}]
                    }
                },
                {},
            ),
            ([{"text": "a"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}], {}, {}),
            (
                [{"text": "a"}],
                {
                    "finishReason": "SAFETY",
                    "finishMessage": "No.",
                    "safetyRatings": [{"category": "HARM", "probability": "HIGH", "blocked": True}],
                },
                {},
            ),
            ([{"text": "a"}], {"finishReason": "MAX_TOKENS"}, {}),
            (
                [{"text": "a"}],
                {
                    "logprobsResult": {
                        "chosenCandidates": [{"token": "a", "logProbability": -0.5, "tokenId": 5}],
                        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -1.5, "tokenId": 6}]}],
                    },
                    "avgLogprobs": -0.5,
                },
                {},
            ),
            (
                [
                    {"executableCode": {"language": "PYTHON", "code": "1"}},
                    {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
                ],
                {},
                {},
            ),
            (
                [{"text": "a"}],
                {},
                {
                    "usageMetadata": {
                        "promptTokenCount": 50,
                        "cachedContentTokenCount": 20,
                        "toolUsePromptTokenCount": 3,
                        "candidatesTokenCount": 7,
                        "thoughtsTokenCount": 4,
                        "totalTokenCount": 64,
                        "trafficType": "ON_DEMAND_FLEX",
                        "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 9}],
                    }
                },
            ),
        )
    ),
    "bedrock.converse": tuple(
        {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 5, "outputTokens": 7, "totalTokens": 12},
            "metrics": {"latencyMs": 5},
            **more,
        }
        for content, more in (
            ([{"text": "a"}], {}),
            (
                [
                    {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
                    {"reasoningContent": {"redactedContent": "U0VBTEVE"}},
                    {"text": "a"},
                    _TOOL_USE,
                ],
                {"stopReason": "tool_use"},
            ),
            (
                [
                    {
                        "citationsContent": {
                            "content": [{"text": "a"}],
                            "citations": [
                                {
                                    "title": "A",
                                    "location": {"web": {"url": "https://a", "domain": "a"}},
                                    "sourceContent": [{"text": "c"}],
                                }
                            ],
                        }
                    }
                ],
                {},
            ),
            ([{"text": "a"}], {"stopReason": "guardrail_intervened", "trace": {"guardrail": {"actionReason": "x"}}}),
            ([{"text": "a"}], {"stopReason": "max_tokens", "additionalModelResponseFields": {"stop_sequence": "END"}}),
            ([{"text": "a"}], {"serviceTier": {"type": "flex"}, "performanceConfig": {"latency": "optimized"}}),
            (
                [{"text": "a"}],
                {
                    "usage": {
                        "inputTokens": 5,
                        "outputTokens": 7,
                        "totalTokens": 42,
                        "cacheReadInputTokens": 20,
                        "cacheWriteInputTokens": 10,
                        "cacheDetails": [{"ttl": "1h", "inputTokens": 10}],
                    }
                },
            ),
        )
    ),
}
