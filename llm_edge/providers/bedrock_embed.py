"""The embedding models on Bedrock, Amazon's Titan and Cohere's, whose own words InvokeModel takes: what they answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadAnswer, Failed
from ..message import Json, Unwatched
from .base import Dialect
from .bedrock import refusal, told_in
from .cargo import count, listing, mapping
from .failures import failure
from .openai import no_text, no_tool_calls


def vectors_of(answer: Json) -> Sequence[Any]:
    """The vectors: Titan's one, Cohere's many, plain or by their type."""
    if "embedding" in answer:
        return [answer["embedding"]]
    found = answer.get("embeddings")
    return listing(mapping(found).get("float")) if isinstance(found, dict) else listing(found)


def usage_of(answer: Json) -> Mapping[str, int] | None:
    """Tokens used, in the unified names; Cohere's models do not say."""
    tokens = count(answer.get("inputTextTokenCount"))
    return None if tokens is None else {"prompt_tokens": tokens, "total_tokens": tokens}


def _fault(answer: Json) -> Failed | None:
    if not vectors_of(answer):
        return told_in(answer) or BadAnswer("the answer has status 200 but no embedding")
    return None


BEDROCK_EMBED = Dialect(
    name="bedrock.embed",
    operation="embeddings",
    watcher=Unwatched,
    fault=_fault,
    failure=failure,
    refusal=refusal,
    usage=usage_of,
    text=no_text,
    tool_calls=no_tool_calls,
)
