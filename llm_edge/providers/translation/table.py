"""Which dialects can be translated, each loaded when it is first needed."""

from __future__ import annotations

from functools import lru_cache
from importlib import import_module
from typing import Final

from .core import Replay, Told, Translation

# The module of each dialect, and the names of its two values there.
_HOMES: Final = {
    "openai.chat": "chat",
    "openai.responses": "responses",
    "openai.completions": "completions",
    "anthropic.messages": "anthropic",
    "gemini.generate": "gemini",
    "bedrock.converse": "converse",
    "openai.embeddings": "embeddings",
    "gemini.embed": "gemini_embed",
    "bedrock.llama": "llama",
    "bedrock.embed": "bedrock_embed",
}


@lru_cache(maxsize=32)
def translation(dialect: str) -> Translation | None:
    """Both halves of a dialect; None when it is not one that callers speak and that can be translated."""
    found = told(dialect)
    return found if isinstance(found, Translation) else None


@lru_cache(maxsize=32)
def told(dialect: str) -> Told | None:
    """The provider's half of a dialect; None when a provider cannot be told in it."""
    found = _counting(dialect) if dialect.endswith(".count") else _value(dialect, "TRANSLATION")
    assert found is None or isinstance(found, Told), dialect
    return found


@lru_cache(maxsize=32)
def replay(dialect: str) -> Replay | None:
    """How a dialect's streams and whole answers become each other; None when they do not."""
    found = _value(dialect, "REPLAY")
    assert found is None or isinstance(found, Replay), dialect
    return found


def _counting(dialect: str) -> object:
    from .counts import TRANSLATIONS  # four vendors' at once, and few apps count

    return TRANSLATIONS.get(dialect)


def _value(dialect: str, name: str) -> object:
    home = _HOMES.get(dialect)
    return None if home is None else getattr(import_module(f".{home}", __package__), name, None)
