"""
OpenAI's embeddings, which are the unified form: an answer's numbers are a list or base64 of
little-endian floats, whichever was asked for.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from collections.abc import Sequence
from typing import Any

from ...errors import BadAnswer
from ...message import Json
from ..cargo import listing, objects, string
from .core import Exchange, Reader, Translation, Writer

_BYTES_A_TOKEN = 4


def encoded(values: Sequence[float]) -> str:
    """The numbers as OpenAI packs them. BadAnswer for what is no 32-bit float."""
    try:
        return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
    except (struct.error, OverflowError, TypeError):
        raise BadAnswer("an embedding holds what is not a 32-bit float") from None


def decoded(text: str) -> list[float]:
    """The packed numbers. BadAnswer when they are not."""
    try:
        raw = base64.b64decode(text, validate=True)
        values = struct.unpack(f"<{len(raw) // 4}f", raw)
    except (binascii.Error, struct.error, ValueError):
        raise BadAnswer("an embedding is not base64 of 32-bit floats") from None
    if not all(map(math.isfinite, values)):
        raise BadAnswer("an embedding holds numbers that are not finite")
    return list(values)


def as_asked(answer: Json, request: Json) -> Json:
    """The answer with its embeddings in the request's `encoding_format`; the same one where nothing changes."""
    packed = request.get("encoding_format") == "base64"
    data = objects(answer.get("data"))
    if all(isinstance(item.get("embedding"), str) == packed for item in data):
        return answer
    return {**answer, "data": [{**item, "embedding": _as(item.get("embedding"), packed)} for item in data]}


def _as(embedding: Any, packed: bool) -> Any:
    if isinstance(embedding, str):
        return embedding if packed else decoded(embedding)
    return encoded(listing(embedding)) if packed else embedding


def guessed(texts: Sequence[Any]) -> Json:
    """The usage for these texts where nobody counted."""
    tokens = sum(-(-len(string(text).encode(errors="replace")) // _BYTES_A_TOKEN) for text in texts)
    return {"prompt_tokens": tokens, "total_tokens": tokens, "estimated": True}


# ------------------------------------------------------------------ the dialect


def request_to_chat(body: Json, exchange: Exchange) -> Json:
    """The request, which is in the unified form as it comes."""
    exchange.chat = body
    return body


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """The request for a provider of OpenAI's embeddings."""
    return {**chat, "model": exchange.model} if exchange.model else chat


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer in the unified form, its numbers as the caller wants them."""
    return as_asked(answer, exchange.chat)


def answer_from_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer for a caller of OpenAI's embeddings."""
    return as_asked(answer, exchange.chat)


def no_reader(exchange: Exchange) -> Reader:
    """Embeddings come whole. Raises InvalidRequest."""
    raise exchange.impossible("stream", "embeddings come whole")


def no_writer(exchange: Exchange) -> Writer:
    """Embeddings come whole. Raises InvalidRequest."""
    raise exchange.impossible("stream", "embeddings come whole")


TRANSLATION = Translation(
    dialect="openai.embeddings",
    request_to_chat=request_to_chat,
    answer_from_chat=answer_from_chat,
    writer=no_writer,
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=no_reader,
)
