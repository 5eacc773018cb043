"""
Google's embedding calls, from and to OpenAI's embeddings, which are the unified form here.

Three shapes at Google: `embedContent` for one text, `batchEmbedContents` for many, and on Vertex
`predict` for the models before gemini-embedding-2. The body tells which; one text as a plain
string in the unified form is a caller's `embedContent`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...message import Json
from ..cargo import camel, count, listing, mapping, objects, string
from .core import Exchange, Translation
from .embeddings import as_asked, decoded, guessed, no_reader, no_writer
from .gemini_parts import EXTRA

_READ = frozenset({"model", "input", "dimensions", "encoding_format", EXTRA})
_SETTINGS = frozenset({"taskType", "title", "outputDimensionality", "autoTruncate"})


# ------------------------------------------------------------------ to the provider


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """The request for Google. Raises InvalidRequest for tokens."""
    model = exchange.model = exchange.model or string(chat.get("model"))
    texts = _texts(chat.get("input"), exchange)
    own = mapping(chat.get(EXTRA))
    for name in chat.keys() - _READ:
        if chat[name] is not None:
            exchange.lost(name, "Google's embeddings have nothing like it")
    dimensions = chat.get("dimensions")
    config: dict[str, Any] = {name: value for name, value in own.items() if name in _SETTINGS}
    if dimensions is not None:
        config["outputDimensionality"] = dimensions
    if not exchange.provider.startswith("vertex"):
        named = model if "/" in model else f"models/{model}"
        return {"requests": [{"model": named, "content": _content(text), **config} for text in texts]}
    if "embedding-2" in model:
        return {"content": _content(texts[0]), **config}
    return _predict(texts, config)


def pieces(chat: Json, exchange: Exchange) -> Sequence[Json]:
    """One request for each text where Vertex takes one at a time; else the same one."""
    texts = _texts(chat.get("input"), exchange)
    if len(texts) < 2 or not exchange.provider.startswith("vertex") or "embedding-2" not in exchange.model:
        return (chat,)
    why = f"went in {len(texts)} calls, one after the other: Vertex takes one text at a time for {exchange.model}"
    exchange.changed("input", why)
    return [{**chat, "input": text} for text in texts]


def _predict(texts: Sequence[str], config: Json) -> Json:
    each = {told: config[name] for name, told in (("taskType", "task_type"), ("title", "title")) if name in config}
    common = {name: config[name] for name in ("outputDimensionality", "autoTruncate") if name in config}
    body: dict[str, Any] = {"instances": [{"content": text, **each} for text in texts]}
    return {**body, "parameters": common} if common else body


def _content(text: str) -> Json:
    return {"parts": [{"text": text}]}


def _texts(given: Any, exchange: Exchange) -> list[str]:
    texts: list[Any] = [given] if isinstance(given, str) else list(listing(given))
    if not texts or not all(isinstance(text, str) for text in texts):
        raise exchange.impossible("input", "Google takes a text or a list of texts, not tokens; send the words")
    return texts


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer in OpenAI's form; tokens Google did not count are estimated and marked so."""
    vectors = [listing(mapping(each).get("values")) for each in _embeddings(answer)]
    made: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)],
        "model": exchange.model,
        "usage": _usage(answer, exchange),
    }
    return as_asked(made, exchange.chat)


def _embeddings(answer: Json) -> Sequence[Any]:
    if "predictions" in answer:
        return [each.get("embeddings") for each in objects(answer["predictions"])]
    return listing(answer.get("embeddings")) or [answer.get("embedding")]


def _usage(answer: Json, exchange: Exchange) -> Json:
    tokens = count(camel(mapping(answer.get("usageMetadata"))).get("promptTokenCount"))
    if tokens is None and "predictions" in answer:
        statistics = [
            mapping(mapping(each.get("embeddings")).get("statistics")) for each in objects(answer["predictions"])
        ]
        tokens = sum(count(each.get("token_count") or each.get("tokenCount")) or 0 for each in statistics)
    if tokens is not None:
        return {"prompt_tokens": tokens, "total_tokens": tokens}
    given: Any = exchange.chat.get("input")
    return guessed([given] if isinstance(given, str) else listing(given))


# ------------------------------------------------------------------ from the caller


def request_to_chat(body: Json, exchange: Exchange) -> Json:
    """The request in OpenAI's form. Raises InvalidRequest for what is no text, and for requests that differ in more."""
    body = camel(body)
    requests = [camel(each) for each in objects(body.get("requests"))] or [body]
    texts = [_text(each, f"requests[{index}].content", exchange) for index, each in enumerate(requests)]
    settings = _settings(requests[0])
    if any(_settings(each) != settings for each in requests):
        raise exchange.impossible("requests", "they differ in more than their content; send them one by one")
    chat: dict[str, Any] = {"model": exchange.model, "input": texts if "requests" in body else texts[0]}
    dimensions = settings.pop("outputDimensionality", None)
    if dimensions is not None:
        chat["dimensions"] = dimensions
    for name in settings:
        exchange.lost(name, "OpenAI's embeddings have nothing like it")
    exchange.chat = chat
    return chat


def _settings(request: Json) -> dict[str, Any]:
    found = {**request, **camel(mapping(request.get("embedContentConfig")))}
    return {
        name: value
        for name, value in found.items()
        if name not in ("content", "model", "embedContentConfig") and value is not None
    }


def _text(request: Json, place: str, exchange: Exchange) -> str:
    parts = objects(mapping(request.get("content")).get("parts"))
    if not parts or not all(isinstance(part.get("text"), str) for part in parts):
        raise exchange.impossible(place, "only text can be embedded there")
    return "\n".join(part["text"] for part in parts)


def answer_from_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer for a caller of Google's."""
    made: dict[str, Any] = {}
    vectors = [{"values": _values(each.get("embedding"))} for each in objects(answer.get("data"))]
    if isinstance(exchange.chat.get("input"), str) and vectors:
        made["embedding"] = vectors[0]
    else:
        made["embeddings"] = vectors
    tokens = count(mapping(answer.get("usage")).get("prompt_tokens"))
    if tokens is not None:
        made["usageMetadata"] = {"promptTokenCount": tokens}
    return made


def _values(embedding: Any) -> Sequence[Any]:
    return decoded(embedding) if isinstance(embedding, str) else listing(embedding)


TRANSLATION = Translation(
    dialect="gemini.embed",
    request_to_chat=request_to_chat,
    answer_from_chat=answer_from_chat,
    writer=no_writer,
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=no_reader,
    pieces=pieces,
)
