"""
OpenAI's embeddings, which are the unified form, for the embedding models on Bedrock.

Each vendor has its own words. Titan embeds one text a call and Cohere 96 at most, so a longer list goes in
several calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from ...message import Json
from ..bedrock_embed import usage_of, vectors_of
from ..cargo import listing
from .core import Exchange, Told
from .embeddings import as_asked, guessed, no_reader

_READ: Final = frozenset(("model", "input", "dimensions", "encoding_format", "input_type", "truncate", "normalize"))
_MOST: Final = {"cohere": 96}
_KINDS: Final = ("search_document", "search_query", "classification", "clustering")


def pieces(chat: Json, exchange: Exchange) -> Sequence[Json]:
    """The request in as many as the model takes; the same one where that is one."""
    texts = _texts(chat, exchange)
    most = _MOST.get(_vendor(exchange), 1)
    if len(texts) <= most:
        return (chat,)
    found = [{**chat, "input": list(texts[at : at + most])} for at in range(0, len(texts), most)]
    exchange.changed("input", f"went in {len(found)} calls, one after the other: {exchange.model} takes {most} a call")
    return found


def request_from_chat(chat: Json, exchange: Exchange) -> Json:
    """The request in the model's words. Raises InvalidRequest for tokens, and for sizes that it does not have."""
    texts, dimensions = _texts(chat, exchange), chat.get("dimensions")
    vendor = _vendor(exchange)
    for name in sorted(chat.keys() - _READ):
        if chat[name] is not None:
            exchange.lost(name, f"{exchange.model} has nothing like it")
    if vendor == "cohere":
        return _cohere(texts, chat, dimensions, exchange)
    for name in ("input_type", "truncate"):
        if chat.get(name) is not None:
            exchange.lost(name, f"{exchange.model} has nothing like it")
    return _titan(texts, chat, dimensions, exchange)


def _titan(texts: Sequence[str], chat: Json, dimensions: Any, exchange: Exchange) -> Json:
    body: dict[str, Any] = {"inputText": texts[0]}
    if "embed-image" in exchange.model:
        return body if dimensions is None else {**body, "embeddingConfig": {"outputEmbeddingLength": dimensions}}
    if "embed-text-v2" in exchange.model:
        told = {"dimensions": dimensions, "normalize": chat.get("normalize")}
        return body | {name: value for name, value in told.items() if value is not None}
    return body if dimensions is None else _refused(exchange)


def _cohere(texts: Sequence[str], chat: Json, dimensions: Any, exchange: Exchange) -> Json:
    kind = chat.get("input_type")
    if kind is None:
        kind = _KINDS[0]
        exchange.changed("input", f"is embedded as {kind}; name another `input_type` for questions ({_KINDS[1]})")
    elif kind not in _KINDS:
        raise exchange.impossible("input_type", f"{kind!r} is not one of {', '.join(_KINDS)}")
    body: dict[str, Any] = {"texts": list(texts), "input_type": kind}
    if chat.get("truncate") is not None:
        body["truncate"] = chat["truncate"]
    if "embed-v4" in exchange.model:
        size = {} if dimensions is None else {"output_dimension": dimensions}
        return {**body, "embedding_types": ["float"], **size}
    return body if dimensions is None else _refused(exchange)


def _refused(exchange: Exchange) -> Json:
    raise exchange.impossible("dimensions", f"{exchange.model} has one size only; leave it out, or ask another model")


def answer_to_chat(answer: Json, exchange: Exchange) -> Json:
    """The answer in OpenAI's form; tokens nobody counted are estimated and marked so."""
    vectors = vectors_of(answer)
    made: dict[str, Any] = {
        "object": "list",
        "data": [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)],
        "model": exchange.model,
        "usage": usage_of(answer) or guessed(_texts(exchange.chat, exchange)),
    }
    return as_asked(made, exchange.chat)


def _texts(chat: Json, exchange: Exchange) -> Sequence[str]:
    given = chat.get("input")
    texts: Sequence[Any] = [given] if isinstance(given, str) else listing(given)
    if not texts or not all(isinstance(text, str) for text in texts):
        raise exchange.impossible("input", "Bedrock takes a text or a list of texts, not tokens; send the words")
    return texts


def _vendor(exchange: Exchange) -> str:
    """Whose model it is. Raises InvalidRequest where its words are not known here."""
    name = exchange.model.rpartition("/")[2]
    if "cohere.embed" in name:
        return "cohere"
    if "titan-embed" in name:
        return "amazon"
    why = f"how {exchange.model!r} is asked for embeddings is not known here; ask a Titan, or one of Cohere's"
    raise exchange.impossible("model", why)


TRANSLATION = Told(
    dialect="bedrock.embed",
    request_from_chat=request_from_chat,
    answer_to_chat=answer_to_chat,
    reader=no_reader,
    pieces=pieces,
)
