"""Which calls may be answered from memory, and which answers are fit to be kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

Policy: TypeAlias = Literal["all", "deterministic", "off"]

FINISHED_WELL: Final = frozenset({
    "stop", "length", "tool_calls", "function_call",  # OpenAI and its kin
    "end_turn", "stop_sequence", "max_tokens", "tool_use",  # Anthropic
    "STOP", "MAX_TOKENS",  # Gemini
    "completed", "incomplete",  # Responses
})  # fmt: skip
"""Ends that say: asked again, the same could be said again. No refusals, no filters, no errors."""

_ELSEWHERE: Final[Mapping[str, str]] = {
    "previous_response_id": "it goes on from an answer the provider keeps",
    "conversation": "it goes on from a conversation the provider keeps",
    "background": "its answer comes later",
    "container": "it works in a container the provider keeps",
    "mcp_servers": "tools run at the provider",
    "web_search_options": "tools run at the provider",
}

# Tools that the app itself runs; all others run at the provider and see the world.
_OWN_TOOLS: Final = frozenset({"function", "custom"})
_GEMINI_TOOLS: Final = frozenset({"functionDeclarations", "function_declarations"})


def why_not(dialect: str, body: Mapping[str, Any], policy: Policy, *, operation: str) -> str:
    """Why this call must not be answered from memory; empty when it may."""
    if policy == "off":
        return "the cache is off"
    if policy == "deterministic" and operation != "embeddings" and not _deterministic(body):
        return "the policy keeps only temperature 0, seeds and embeddings"
    for name, reason in _ELSEWHERE.items():
        if body.get(name):
            return f"`{name}`: {reason}"
    # The Responses API keeps its answers unless told otherwise; the others only when told so.
    if body.get("store", dialect == "openai.responses"):
        return "`store`: the provider keeps the answer, and its id"
    if _hosted_tools(body.get("tools")):
        return "`tools`: some of them run at the provider"
    if _remote_images(body):
        return "an image is named by its address, and may change there"
    return ""


def fit(finished: Sequence[str]) -> bool:
    """Whether every choice of the answer ended in a way worth repeating."""
    return all(reason in FINISHED_WELL for reason in finished)


def _deterministic(body: Mapping[str, Any]) -> bool:
    config = body.get("generationConfig")
    body = config if isinstance(config, Mapping) else body
    return body.get("temperature") == 0 or body.get("seed") is not None


def _hosted_tools(tools: object) -> bool:
    if not isinstance(tools, list):
        return False
    return any(not isinstance(tool, dict) or not _own_tool(tool) for tool in tools)


def _own_tool(tool: Mapping[str, Any]) -> bool:
    kind = tool.get("type")
    if kind is not None:
        return kind in _OWN_TOOLS
    # Anthropic's own tools have a schema and no type; Gemini's are one of two names.
    return "input_schema" in tool or (bool(tool) and tool.keys() <= _GEMINI_TOOLS)



def _remote_images(body: Mapping[str, Any]) -> bool:
    messages = body.get("messages") or body.get("input") or body.get("contents")
    if not isinstance(messages, list):
        return False
    return any(_remote(part) for message in messages if isinstance(message, dict) for part in _parts(message))


def _parts(message: Mapping[str, Any]) -> list[Any]:
    parts = message.get("content") or message.get("parts")
    return parts if isinstance(parts, list) else []


def _remote(part: object) -> bool:
    if not isinstance(part, dict):
        return False
    named: list[object] = [part.get("image_url"), part.get("file_url"), part.get("source"), part.get("fileData")]
    for place in named:
        url = place if isinstance(place, str) else None
        if isinstance(place, dict):
            url = place.get("url") or place.get("fileUri")
        if isinstance(url, str) and url.lower().startswith(("http://", "https://", "gs://")):
            return True
    return False
