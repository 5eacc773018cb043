"""Which calls may be answered from memory, and which answers may be kept: a table of requests by dialect."""

from __future__ import annotations

from typing import Any

import pytest

from llm_edge.policy.cacheable import Policy, fit, why_not

CHAT, RESPONSES, CLAUDE, GEMINI = "openai.chat", "openai.responses", "anthropic.messages", "gemini.generate"
CONVERSE = "bedrock.converse"
TOLD = {"toolSpec": {"name": "f", "inputSchema": {"json": {}}}}
HI = {"messages": [{"role": "user", "content": "Hi"}]}
URL = "https://example.com/a.png"
DATA = "data:image/png;base64,AAAA"
OWN = {"type": "function", "function": {"name": "f"}}


def said(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "system", "content": "brief"}, {"role": "user", "content": list(parts)}]}


MAY: list[tuple[str, dict[str, Any]]] = [
    (CHAT, HI),
    (CHAT, {**HI, "tools": [OWN], "store": False, "web_search_options": None, "mcp_servers": []}),
    (CHAT, {**HI, "tools": [{"type": "custom", "custom": {"name": "f"}}], "tools_of_tomorrow": True}),
    (CHAT, {**HI, "functions": [{"name": "f"}]}),
    (CHAT, said({"type": "text", "text": URL}, {"type": "image_url", "image_url": {"url": DATA}})),
    ("openai.completions", {"prompt": "Once"}),
    (CHAT, {**HI, "model": "sonarqube-7b", "plugins": [], "enable_search": False}),
    (CHAT, {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": URL}}]}]}),
    (CHAT, said({"type": "file", "file": {"filename": URL, "file_data": DATA}})),
    (CLAUDE, said({"type": "tool_use", "id": "t", "name": "fetch", "input": {"url": URL}})),
    (CLAUDE, said({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": URL}]}})),
    (CONVERSE, {**HI, "toolConfig": {"tools": [TOLD, {"cachePoint": {"type": "default"}}]}}),
    (CONVERSE, said({"image": {"format": "png", "source": {"bytes": "AAAA"}}})),
    (
        GEMINI,
        {
            "contents": [
                {
                    "parts": [
                        {"functionCall": {"args": {"url": URL}}},
                        {"functionResponse": {"response": {"source": URL}}},
                    ]
                }
            ]
        },
    ),
    (CHAT, said({"type": "image_url", "image_url": {"url": DATA, "detail": None, "width": 5}})),
    (CHAT, {"messages": [5, None, "odd", {"content": 5}]}),  # what makes no sense is for the provider to refuse
    (CONVERSE, {**HI, "toolConfig": "odd"}),
    ("openai.embeddings", {"input": ["a", URL]}),
    ("openai.embeddings", {"input": [[1, 2], [3]]}),
    (RESPONSES, {"input": "Hi", "store": False, "background": False}),
    (RESPONSES, {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": DATA}]}], "store": False}),
    (CLAUDE, {**HI, "tools": [{"name": "f", "input_schema": {}}, {"type": "custom", "name": "g", "input_schema": {}}]}),
    (CLAUDE, said({"type": "image", "source": {"type": "base64", "data": "AAAA"}})),
    (GEMINI, {"contents": [{"parts": [{"text": URL}]}], "tools": [{"functionDeclarations": []}]}),
    (GEMINI, {"contents": [{"parts": [{"inlineData": {"data": "AAAA"}}]}], "tools": [{"function_declarations": [{}]}]}),
]

MUST_NOT: list[tuple[str, dict[str, Any], str]] = [
    (CHAT, {**HI, "data_sources": [{"type": "azure_search"}]}, "`data_sources`"),
    (CHAT, {**HI, "search_parameters": {}}, "`search_parameters`"),
    (CHAT, {**HI, "search_settings": {"include_domains": ["a.org"]}}, "`search_settings`"),
    (CHAT, {**HI, "compound_custom": {"tools": {"enabled_tools": ["web_search"]}}}, "`compound_custom`"),
    (CHAT, {**HI, "enable_search": True}, "`enable_search`"),
    (CHAT, {**HI, "plugins": [{"id": "web"}]}, "`plugins`"),
    (CHAT, {**HI, "model": "gpt-4o-mini-search-preview"}, "`model`"),
    (CHAT, {**HI, "model": "gpt-5-search-api"}, "`model`"),
    (CHAT, {**HI, "model": "perplexity/sonar-pro"}, "`model`"),
    (CHAT, {**HI, "model": "openrouter/openai/gpt-5.4:online"}, "`model`"),
    (CHAT, {**HI, "model": "groq/compound-mini"}, "`model`"),
    (RESPONSES, {"input": "Hi", "store": False, "model": "o4-mini-deep-research"}, "`model`"),
    (CHAT, said({"type": "document_url", "document_url": URL}), "image"),
    (CHAT, said({"type": "video_url", "video_url": {"url": URL}}), "image"),
    (CHAT, said({"type": "audio_url", "audio_url": {"url": URL}}), "image"),
    (CHAT, said({"type": "input_audio", "input_audio": URL}), "image"),
    (CHAT, said({"type": "input_audio", "input_audio": {"data": URL, "format": "wav"}}), "image"),
    (CHAT, said({"type": "file", "file": {"filename": "a.pdf", "file_data": URL}}), "image"),
    (CHAT, said({"type": "image_url", "image_url": {"url": f" {URL}"}}), "image"),
    (CHAT, {"messages": [{"role": "assistant", "content": "", "images": [{"image_url": {"url": URL}}]}]}, "image"),
    (
        CLAUDE,
        said({"type": "document", "source": {"type": "content", "content": [{"source": {"type": "url", "url": URL}}]}}),
        "image",
    ),
    (CONVERSE, said({"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/key"}}}}), "image"),
    (
        CONVERSE,
        said({"toolResult": {"content": [{"document": {"source": {"s3Location": {"uri": "s3://b/k"}}}}]}}),
        "image",
    ),
    (CONVERSE, {**HI, "toolConfig": {"tools": [TOLD, {"systemTool": {"name": "nova_grounding"}}]}}, "`toolConfig`"),
    (CONVERSE, {**HI, "promptVariables": {"topic": {"text": "cats"}}}, "`promptVariables`"),
    (GEMINI, {"contents": [], "cached_content": "cachedContents/1"}, "`cached_content`"),
    (GEMINI, {"contents": [{"parts": [{"functionResponse": {"parts": [{"fileData": {"fileUri": URL}}]}}]}]}, "image"),
    ("openai.embeddings", {"input": [{"image": URL}]}, "image"),
    (CHAT, {**HI, "store": True}, "`store`"),
    (CHAT, {**HI, "web_search_options": {}}, "`web_search_options`"),
    (CHAT, {**HI, "tools": [OWN, {"type": "web_search"}]}, "`tools`"),
    (CHAT, {**HI, "tools": ["what is this"]}, "`tools`"),
    (CHAT, said({"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": URL.upper()}}), "image"),
    (RESPONSES, {"input": "Hi"}, "`store`"),
    (RESPONSES, {"input": "Hi", "store": None}, "`store`"),
    (RESPONSES, {"input": "Hi", "store": False, "previous_response_id": "resp_1"}, "`previous_response_id`"),
    (RESPONSES, {"input": "Hi", "store": False, "conversation": {"id": "c"}}, "`conversation`"),
    (RESPONSES, {"input": "Hi", "store": False, "background": True}, "`background`"),
    (RESPONSES, {"input": "Hi", "store": False, "prompt": {"id": "pmpt_1"}}, "`prompt`"),
    (RESPONSES, {"input": "Hi", "store": False, "tools": [{"type": "mcp", "server_url": URL}]}, "`tools`"),
    (RESPONSES, {"input": [{"content": [{"type": "input_image", "image_url": URL}]}], "store": False}, "image"),
    (RESPONSES, {"input": [{"content": [{"type": "input_file", "file_url": URL}]}], "store": False}, "image"),
    (RESPONSES, {"input": [{"output": [{"type": "input_image", "image_url": URL}]}], "store": False}, "image"),
    (CLAUDE, {**HI, "container": "c_1"}, "`container`"),
    (CLAUDE, {**HI, "mcp_servers": [{"url": URL}]}, "`mcp_servers`"),
    (CLAUDE, {**HI, "tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "`tools`"),
    (CLAUDE, said({"type": "image", "source": {"type": "url", "url": URL}}), "image"),
    (
        CLAUDE,
        said({"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": URL}}]}),
        "image",
    ),
    (GEMINI, {"contents": [{"parts": [{"fileData": {"fileUri": "gs://b/a.png"}}]}]}, "image"),
    (GEMINI, {"contents": {"parts": [{"file_data": {"file_uri": URL}}]}}, "image"),
    (GEMINI, {"contents": [], "tools": [{"googleSearch": {}}]}, "`tools`"),
    (GEMINI, {"contents": [], "tools": [{"functionDeclarations": [], "codeExecution": {}}]}, "`tools`"),
    (GEMINI, {"contents": [], "tools": [{}]}, "`tools`"),
    (GEMINI, {"contents": [], "cachedContent": "cachedContents/1"}, "`cachedContent`"),
]


@pytest.mark.parametrize(("dialect", "body"), MAY)
def test_these_may_be_answered_from_memory(dialect: str, body: dict[str, Any]) -> None:
    assert why_not(dialect, body, "all", operation="chat") == ""
    assert why_not(dialect, body, "off", operation="chat") == "the cache is off"


@pytest.mark.parametrize(("dialect", "body", "named"), MUST_NOT)
def test_these_must_not_and_the_reason_is_named(dialect: str, body: dict[str, Any], named: str) -> None:
    assert named in why_not(dialect, body, "all", operation="chat")


@pytest.mark.parametrize(
    ("body", "operation", "may"),
    [
        (HI, "chat", False),
        ({**HI, "temperature": 0.0}, "chat", True),
        ({**HI, "temperature": 0.1}, "chat", False),
        ({**HI, "temperature": None}, "chat", False),
        ({**HI, "seed": 0}, "chat", True),
        ({"contents": [], "generationConfig": {"temperature": 0}}, "chat", True),
        ({"contents": [], "generationConfig": None, "temperature": 0}, "chat", False),
        ({**HI, "inferenceConfig": {"temperature": 0}}, "chat", True),
        ({**HI, "inferenceConfig": {}}, "chat", False),
        ({"input": "a"}, "embeddings", True),
    ],
)
def test_the_careful_policy_takes_only_what_would_be_said_again(
    body: dict[str, Any], operation: str, may: bool
) -> None:
    policy: Policy = "deterministic"
    why = why_not(CHAT, body, policy, operation=operation)
    assert why == ("" if may else "the policy keeps only temperature 0, seeds and embeddings")


@pytest.mark.parametrize(
    ("finished", "good"),
    [
        ([], True), (["stop"], True), (["stop", "length"], True), (["end_turn"], True), (["STOP"], True),
        (["max_output_tokens"], True), (["tool_calls"], True), (["stop", "content_filter"], False),
        (["refusal"], False), (["SAFETY"], False), ([""], False),
        (["error"], False), (["incomplete"], False), (["pause_turn"], False),
    ],
)  # fmt: skip
def test_an_answer_is_kept_when_every_choice_ended_well(finished: list[str], good: bool) -> None:
    assert fit(finished) is good
