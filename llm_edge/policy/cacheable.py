"""Which calls may be answered from memory, and which answers are fit to be kept."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias

from ..exact import is_list, is_object

Policy: TypeAlias = Literal["all", "deterministic", "off"]

FINISHED_WELL: Final = frozenset({
    "stop", "length", "tool_calls", "function_call",  # OpenAI and its kin
    "end_turn", "stop_sequence", "max_tokens", "tool_use",  # Anthropic
    "STOP", "MAX_TOKENS",  # Gemini
    "completed", "max_output_tokens",  # Responses
})  # fmt: skip
"""Ends that say: asked again, the same could be said again. No refusals, no filters, no errors."""

SAID_ALL: Final = frozenset({"stop", "end_turn", "stop_sequence"})
"""Those of them after which an answer is whole, and in words: it may do for another question, too."""

_ELSEWHERE: Final[Mapping[str, str]] = {
    "previous_response_id": "it goes on from an answer the provider keeps",
    "conversation": "it goes on from a conversation the provider keeps",
    "cachedContent": "it goes on from what the provider keeps",
    "cached_content": "it goes on from what the provider keeps",
    "background": "its answer comes later",
    "container": "it works in a container the provider keeps",
    "mcp_servers": "tools run at the provider",
    "web_search_options": "tools run at the provider",
    "search_parameters": "the provider searches",  # xAI
    "search_settings": "the provider searches",  # Groq
    "compound_custom": "tools run at the provider",  # Groq
    "enable_search": "the provider searches",  # DashScope
    "plugins": "the provider searches or reads files",  # OpenRouter
    "data_sources": "the provider looks into data of its own",  # Azure OpenAI
    "promptVariables": "the prompt is kept, and may be changed, at the provider",  # Bedrock
}

_NOTHING: Final[tuple[object, ...]] = (None, False, "", [])

_SEARCHING: Final = re.compile(r"-search-(?:preview|api)|deep-research|:online\b|(?:^|/)(?:sonar|compound)\b")
"""Names of models that search whatever they are asked."""

# Tools that the app itself runs; all others run at the provider and see the world.
_OWN_TOOLS: Final = frozenset({"function", "custom"})
_GEMINI_TOOLS: Final = frozenset({"functionDeclarations", "function_declarations"})
_CONVERSE_TOOLS: Final = frozenset({"toolSpec", "cachePoint"})


def why_not(dialect: str, body: Mapping[str, Any], policy: Policy, *, operation: str) -> str:
    """Why this call must not be answered from memory; empty when it may."""
    if policy == "off":
        return "the cache is off"
    if policy == "deterministic" and operation != "embeddings" and not _deterministic(body):
        return "the policy keeps only temperature 0, seeds and embeddings"
    if not _ELSEWHERE.keys().isdisjoint(body):
        for name, reason in _ELSEWHERE.items():
            # An empty object says yes: `web_search_options: {}` is how a search is asked for.
            if body.get(name) not in _NOTHING:
                return f"`{name}`: {reason}"
    # The Responses API keeps its answers unless told otherwise; the others only when told so.
    store = body.get("store")
    if store or (store is None and dialect == "openai.responses"):
        return "`store`: the provider keeps the answer, and its id"
    if "prompt" in body and is_object(body["prompt"]):
        return "`prompt`: it is kept, and may be changed, at the provider"
    if "tools" in body and _hosted_tools(body["tools"]):
        return "`tools`: some of them run at the provider"
    if "toolConfig" in body and _hosted_converse_tools(body["toolConfig"]):
        return "`toolConfig`: some of its tools run at the provider"
    model = body.get("model")
    if isinstance(model, str) and _searching(model):
        return "`model`: it searches whatever it is asked"
    if _remote_images(body):
        return "an image is named by its address, and may change there"
    return ""


def fit(finished: Sequence[str]) -> bool:
    """Whether every choice of the answer ended in a way worth repeating."""
    return FINISHED_WELL.issuperset(finished)


def _deterministic(body: Mapping[str, Any]) -> bool:
    config: Any = body.get("generationConfig", body.get("inferenceConfig", body))
    return is_object(config) and (config.get("temperature") == 0 or config.get("seed") is not None)


def _hosted_tools(tools: Any) -> bool:
    return is_list(tools) and not all(map(_own_tool, tools))


def _own_tool(tool: Any) -> bool:
    if not is_object(tool) or not tool:
        return False
    kind = tool.get("type")
    if kind is not None:
        return kind in _OWN_TOOLS
    # Anthropic's own tools have a schema and no type; Gemini's are one of two names.
    return "input_schema" in tool or tool.keys() <= _GEMINI_TOOLS


def _hosted_converse_tools(config: Any) -> bool:
    tools: Any = config.get("tools") if is_object(config) else None
    return is_list(tools) and not all(is_object(tool) and tool.keys() <= _CONVERSE_TOOLS for tool in tools)


@lru_cache(maxsize=1024)
def _searching(model: str) -> bool:
    return _SEARCHING.search(model) is not None


_WORDS: Final = ("messages", "input", "contents")
_INSIDE: Final = frozenset(
    {"content", "parts", "output", "images", "toolResult", "functionResponse", "function_response"}
)
_PLACES: Final = frozenset({
    "image_url", "video_url", "audio_url", "document_url", "file_url", "input_audio", "file", "source",
    "image", "video", "audio", "document", "fileData", "file_data",
})  # fmt: skip
"""Where pictures, sound and files stand, or their addresses."""
_LOOKED_INTO: Final = _INSIDE | _PLACES
_ADDRESS: Final = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_TEXT: Final = frozenset({"text", "title", "context", "filename", "name"})
"""What stands beside an address in such a place and is none itself."""


def _remote_images(body: Mapping[str, Any]) -> bool:
    """Whether a picture or file is named by an address anywhere in the conversation, tool results included."""
    # Every call passes here: mere text, as most of it is, is told apart before anything else.
    waiting: list[Any] = [body[name] for name in _WORDS if name in body and not isinstance(body[name], str)]
    for item in waiting:  # which grows as it is looked at
        listed: Sequence[Any] = item  # JSON's types are Any, and known so; isinstance alone would leave them unknown
        mapped: Mapping[str, Any] = item
        if isinstance(item, (list, tuple)):
            waiting.extend([part for part in listed if not isinstance(part, str)])
        elif isinstance(item, dict):
            for name in _LOOKED_INTO.intersection(mapped):
                if name in _PLACES and _remote(mapped[name]):
                    return True
                if name in _INSIDE and not isinstance(mapped[name], str):
                    waiting.append(mapped[name])
    return False


def _remote(place: Any) -> bool:
    """Whether there is an address anywhere in what stands in such a place."""
    waiting: list[Any] = [place]
    for item in waiting:
        if isinstance(item, str):
            if _ADDRESS.match(item):
                return True
        elif is_list(item):
            waiting.extend(item)
        elif is_object(item):
            waiting.extend([value for name, value in item.items() if name not in _TEXT])
    return False
