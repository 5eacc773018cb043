"""
Counting tokens across vendors: what is counted takes the way of a chat, the answer is one number.

The unified form of the answer is `{"input_tokens": N}`; `"estimated": true` stands beside a number nobody counted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...message import Json
from ..cargo import count, mapping
from ..counting import FIELDS
from . import anthropic, converse, gemini, responses
from .core import Exchange, Translation
from .embeddings import no_reader, no_writer

_COUNTED = {
    "anthropic.count": frozenset(
        {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "cache_control"}
    ),
    "openai.count": frozenset(
        {"model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "parallel_tool_calls"}
    ),
    "gemini.count": frozenset({"contents", "systemInstruction", "tools", "generationConfig"}),
    "bedrock.count": frozenset({"messages", "system", "toolConfig", "additionalModelRequestFields"}),
}
"""What of a chat request is counted; how long the answer may be, for one, is not."""


def _same(body: Json) -> Json:
    return body


def _google_open(body: Json) -> Json:
    return mapping(body.get("generateContentRequest")) or body


def _amazon_open(body: Json) -> Json:
    return mapping(mapping(body.get("input")).get("converse"))


def _amazon_packed(body: Json) -> Json:
    return {"input": {"converse": body}}


def _counting(
    dialect: str, chats: Translation, open_: Callable[[Json], Json] = _same, pack: Callable[[Json], Json] = _same
) -> Translation:
    """`chats` translates what is counted; the body of a count is opened to it and packed from it."""
    field, counted = FIELDS[dialect], _COUNTED[dialect]

    def request_to_chat(body: Json, exchange: Exchange) -> Json:
        if "invokeModel" in mapping(body.get("input")):
            raise exchange.impossible("input.invokeModel", "only Converse's form can be counted elsewhere")
        return chats.request_to_chat(open_(body), exchange)

    def request_from_chat(chat: Json, exchange: Exchange) -> Json:
        made = chats.request_from_chat(chat, exchange)
        return pack({name: value for name, value in made.items() if name in counted})

    def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
        return {"input_tokens": count(answer.get(field)) or 0}

    def answer_from_chat(answer: Json, exchange: Exchange) -> Json:
        made: dict[str, Any] = {field: answer.get("input_tokens")}
        if dialect == "openai.count":
            made["object"] = "response.input_tokens"
        return {**made, "estimated": True} if answer.get("estimated") else made

    return Translation(
        dialect=dialect,
        request_to_chat=request_to_chat,
        answer_from_chat=answer_from_chat,
        writer=no_writer,
        request_from_chat=request_from_chat,
        answer_to_chat=answer_to_chat,
        reader=no_reader,
    )


TRANSLATIONS = {
    each.dialect: each
    for each in (
        _counting("anthropic.count", anthropic.TRANSLATION),
        _counting("openai.count", responses.TRANSLATION),
        _counting("gemini.count", gemini.TRANSLATION, _google_open),
        _counting("bedrock.count", converse.TRANSLATION, _amazon_open, _amazon_packed),
    )
}
