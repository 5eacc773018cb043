"""
What a request needs of a model, read off its body in any dialect: so that only those are asked who can answer.

Nothing is refused here on a guess. Text is counted in characters; at six of them to a token, which no language
and no code reaches, a prompt that does not fit surely does not fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..exact import canonical, is_list, is_object

CHARACTERS_PER_TOKEN: Final = 6


@dataclass(slots=True)
class Needs:
    """What a model must take for this call to make sense."""

    characters: int = 0
    """Of text, tools and schemas included."""
    turns: int = 0
    """Messages, as far as they are listed."""
    tools: bool = False
    schema: bool = False
    images: bool = False
    documents: bool = False
    audio: bool = False

    @property
    def tokens(self) -> int:
        """The fewest tokens the text can come to."""
        return self.characters // CHARACTERS_PER_TOKEN


_IMAGES: Final = frozenset({"image", "image_url", "input_image"})
_DOCUMENTS: Final = frozenset({"document", "file", "input_file"})
_AUDIO: Final = frozenset({"input_audio", "audio"})
_PROMPT: Final = frozenset({
    "messages", "system", "input", "instructions", "contents", "systemInstruction", "system_instruction", "prompt",
    "tools",
})  # fmt: skip
_SCHEMAS: Final = frozenset({
    "response_format", "text", "output_format", "output_config", "generationConfig", "generation_config",
})  # fmt: skip
_INLINE: Final = ("inlineData", "inline_data", "fileData", "file_data")
_TELLING: Final = frozenset({"type", *_INLINE})


_MODEST: Final = frozenset({
    "model", "messages", "stream", "stream_options", "temperature", "top_p", "max_tokens", "max_completion_tokens", "n",
    "seed", "stop", "user", "metadata", "presence_penalty", "frequency_penalty", "reasoning_effort", "service_tier",
    "store", "prompt_cache_key", "safety_identifier",
})  # fmt: skip
_SAID: Final = frozenset({"role", "content", "name"})
_FEW = 6000
"""Characters no model is too small for."""


def modest(body: Mapping[str, Any]) -> bool:
    """Whether this is surely a little text and nothing else, which any model takes: a quick look at the usual case."""
    messages = body.get("messages")
    if not (is_list(messages) and body.keys() <= _MODEST):
        return False
    characters = 0
    for message in messages:
        if not is_object(message) or not message.keys() <= _SAID or not isinstance(said := message.get("content"), str):
            return False
        characters += len(said)
    return characters < _FEW


def needs(body: Mapping[str, Any]) -> Needs:
    """What the body of a request asks for."""
    found = Needs(tools=bool(body.get("tools") or body.get("functions")), schema=_has_schema(body))
    turns = body.get("messages") or body.get("contents") or body.get("input")
    found.turns = len(turns) if is_list(turns) else 1
    todo: list[Any] = [value for name, value in body.items() if name in _PROMPT]
    characters = 0
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            characters += len(value)
        elif is_object(value):
            if _TELLING.isdisjoint(value) or not _is_media(value, found):
                todo += value.values()
        elif is_list(value):
            todo += value
    found.characters = characters
    return found


def _is_media(part: Mapping[str, Any], found: Needs) -> bool:
    """Whether this part is something else than text; its bytes are no characters."""
    kind = part.get("type")
    inline = next((part[name] for name in _INLINE if name in part), None)
    if is_object(inline):
        mime = str(inline.get("mimeType") or inline.get("mime_type") or "")
        kind = "image" if mime.startswith("image/") else "audio" if mime.startswith("audio/") else "document"
    if not isinstance(kind, str):
        return False
    found.images |= kind in _IMAGES
    found.documents |= kind in _DOCUMENTS
    found.audio |= kind in _AUDIO
    return kind in _IMAGES or kind in _DOCUMENTS or kind in _AUDIO


def _has_schema(body: Mapping[str, Any]) -> bool:
    if _SCHEMAS.isdisjoint(body):
        return False
    for path in (
        ("response_format",), ("text", "format"), ("output_format",), ("output_config", "format"),
    ):  # fmt: skip
        at: Any = body
        for name in path:
            at = at.get(name) if is_object(at) else None
        if is_object(at) and at.get("type") == "json_schema":
            return True
    settings = body.get("generationConfig") or body.get("generation_config")
    return is_object(settings) and any(
        settings.get(name) for name in ("responseSchema", "responseJsonSchema", "response_schema")
    )


_HARD: Final = (
    "step by step", "prove", "proof", "derive", "analyze", "analyse", "debug", "refactor", "architecture", "optimize",
    "optimise", "algorithm", "```", "trade-off", "compare", "evaluate",
)  # fmt: skip


def difficulty(body: Mapping[str, Any], found: Needs) -> float:
    """
    How hard the question looks, from 0 to 1 by quarters: one for each of these, four at most.

    More than 1,000 characters; more than 6,000; tools or a schema; more than six messages; images, documents or
    sound; a word such as "prove", "debug" or "step by step" in the last message; and two for a high reasoning effort.
    """
    points = (found.characters > 1000) + (found.characters > 6000) + (found.tools or found.schema) + (found.turns > 6)
    points += found.images or found.documents or found.audio
    turns = body.get("messages") or body.get("contents") or body.get("input") or ""
    last = str(turns[-1] if is_list(turns) else turns)[:20_000].lower()
    points += any(word in last for word in _HARD)
    reasoning = body.get("reasoning")
    effort = body.get("reasoning_effort") or (reasoning.get("effort") if is_object(reasoning) else None)
    points += 2 * (effort in {"high", "xhigh", "max"})
    return min(points, 4) / 4


def conversation(body: Mapping[str, Any]) -> bytes:
    """What all calls of one conversation have in common: the key the app gave, or else how it began."""
    for name in ("prompt_cache_key", "conversation", "session_id"):
        given = body.get(name)
        if given:
            return canonical([name, given])
    turns = body.get("messages") or body.get("contents") or body.get("input") or body.get("prompt") or ""
    system = body.get("system") or body.get("instructions") or body.get("systemInstruction") or ""
    began: list[Any] = []
    for turn in turns if is_list(turns) else [turns]:
        began.append(turn)
        if not is_object(turn) or turn.get("role") not in {"system", "developer"}:
            break
    return canonical([system, began])
