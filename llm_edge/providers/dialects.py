"""Which dialect a call speaks, by method and path; which model it asks; where more providers come from."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import unquote

from ..errors import ConfigError
from ..message import Json
from .anthropic import MESSAGES
from .base import Adapter, Dialect
from .bedrock import CONVERSE
from .bedrock_embed import BEDROCK_EMBED
from .cargo import string
from .counting import ANTHROPIC, BEDROCK, GEMINI, OPENAI
from .gemini import EMBED, GENERATE
from .llama import LLAMA
from .openai import CHAT, COMPLETIONS, EMBEDDINGS
from .responses import RESPONSES

GROUP = "llm_edge.providers"
"""The entry point group by which other packages add providers."""

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        *(CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES, GENERATE, EMBED, CONVERSE, LLAMA),
        BEDROCK_EMBED,
        *(ANTHROPIC, OPENAI, GEMINI, BEDROCK),
    )
}

_ENDINGS: tuple[tuple[str, Dialect], ...] = (
    ("/chat/completions", CHAT),
    ("/v1/messages", MESSAGES),
    ("/responses", RESPONSES),
    ("/embeddings", EMBEDDINGS),
    ("/completions", COMPLETIONS),
    ("/v1/messages/count_tokens", ANTHROPIC),
    ("/responses/input_tokens", OPENAI),
)
# Alike by their ending only: other languages are spoken there.
_OTHERS = ("/fim/completions", "/agents/completions", "/api/embeddings")
# What follows `/models/` may have a slash: `provider/model`.
_GOOGLE = re.compile(
    r"/(?:models/)?((?<=/models/)[^:?#]+|[^/:?#]+)(?::|%3[aA])(streamGenerateContent|generateContent|embedContent|batchEmbedContents|countTokens)$"
)
_CLAUDE_ON_VERTEX = re.compile(
    r"/publishers/anthropic/models/(?!count-tokens)([^/:]+):(?:rawPredict|streamRawPredict)$"
)
_AMAZON = re.compile(r"/model/([^/]+)/(converse(?:-stream)?|count-tokens)$")
_GOOGLES = frozenset({GENERATE.name, EMBED.name, GEMINI.name})
_AMAZONS = frozenset({CONVERSE.name, BEDROCK.name})
_STREAMED = frozenset({"chat", "completions"})
_DEPLOYMENT = re.compile(r"/openai/deployments/([^/]+)/")


def by_name(name: str) -> Dialect | None:
    """The dialect of this name; None for `opaque` and for names nobody knows."""
    return DIALECTS.get(name)


def recognise(method: str, path: str) -> Dialect | None:
    """
    The dialect of a call to this path (a query may follow it); None when it is none of ours and
    has to pass untouched. Google's stream as one JSON list (no `alt=sse` in the query) is none.
    """
    if method != "POST":
        return None
    return _recognised(path) if "?" in path else _often_recognised(path)


def _recognised(path: str) -> Dialect | None:
    path, query = _split(path)
    for ending, dialect in _ENDINGS:
        if path.endswith(ending):
            return None if path.endswith(_OTHERS) else dialect
    if _CLAUDE_ON_VERTEX.search(path):
        return MESSAGES
    if amazon := _AMAZON.search(path):
        return BEDROCK if amazon[2] == "count-tokens" else CONVERSE
    match = _GOOGLE.search(path)
    if match is None or (match[2] == "streamGenerateContent" and query and "alt=sse" not in query):
        return None
    if match[2] == "countTokens":
        return GEMINI
    return EMBED if match[2].endswith(("embedContent", "EmbedContents")) else GENERATE


def describe(dialect: Dialect, path: str, json: Json) -> tuple[str, bool]:
    """The model a call asks (empty when it names none), and whether it asks for a stream."""
    model, streaming = (_said if "?" in path else _often_said)(dialect.name, path)
    if streaming is None:
        return model or string(json.get("model")), json.get("stream") is True and dialect.operation in _STREAMED
    return model, streaming


def _said(dialect: str, path: str) -> tuple[str, bool | None]:
    """The model that a path names, and whether it asks for a stream; None where paths do not say that."""
    path, _ = _split(path)
    if dialect in _GOOGLES:
        match = _GOOGLE.search(path)
        return (unquote(match[1]), match[2] == "streamGenerateContent") if match else ("", False)
    if dialect in _AMAZONS:
        match = _AMAZON.search(path)
        return (unquote(match[1]), match[2] == "converse-stream") if match else ("", False)
    named = _DEPLOYMENT.search(path) or _CLAUDE_ON_VERTEX.search(path)
    return unquote(named[1]) if named else "", None


# Apps ask the same few addresses all the time. Those with a query are not remembered: a key may stand there.
_often_recognised = lru_cache(maxsize=256)(_recognised)
_often_said = lru_cache(maxsize=256)(_said)


def _split(path: str) -> tuple[str, str]:
    path, _, _ = path.partition("#")
    path, _, query = path.partition("?")
    return path.rstrip("/"), query


@lru_cache(maxsize=1)
def added() -> frozenset[str]:
    """The names of providers that other packages have added; nothing is loaded."""
    from importlib.metadata import entry_points

    return frozenset(entry_points(group=GROUP).names)


@lru_cache(maxsize=256)
def load(name: str) -> Adapter | None:
    """
    The provider another package has added under this name; None when there is none.

    Raises ConfigError when there is one and it cannot be used.
    """
    from importlib.metadata import entry_points

    for entry in entry_points(group=GROUP, name=name):
        try:
            found: Any = entry.load()
        except Exception as error:
            raise ConfigError(f"the provider {name!r} ({entry.value}) could not be loaded: {error}") from error
        missing = [part for part in ("name", "speaks", "encode", "decode") if not hasattr(found, part)]
        if missing:
            raise ConfigError(f"the provider {name!r} ({entry.value}) is no adapter: it has no {', '.join(missing)}")
        adapter: Adapter = found
        return adapter
    return None
