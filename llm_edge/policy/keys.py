"""
What makes two calls the same call.

The key is SHA-256, whole, over one canonical form of everything that can change the answer.
Fields we have never heard of count. `1`, `1.0` and `true` differ, since their JSON does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, Protocol, Self

from .. import exact
from ..message import Body

SCHEMA: Final = "2"
"""Changes whenever the key or what is kept under it changes meaning."""

LEFT_OUT: Final[Mapping[str, str]] = {
    "metadata": "labels for the provider's dashboard; the model does not see them",
    "user": "names the end user for abuse detection; the model does not see it",
    "safety_identifier": "the successor of `user`",
    "prompt_cache_key": "steers the provider's own prompt cache: price and speed, not the answer",
    "prompt_cache_retention": "the same",
    "stream": "the answer is the same, told in one piece or in many: one kept answer serves both",
    "stream_options": "what a stream tells besides the answer; a kept stream remembers how it was asked",
}
"""Fields of a request that do not change its answer, each with the reason."""
_NAMES: Final = frozenset(LEFT_OUT)


def fingerprint(*parts: str) -> str:
    """A public name for something secret or long; the same parts, the same name."""
    return hashlib.sha256(_apart(parts)).hexdigest()[:32]


class Ambiguous(ValueError):
    """A key stands twice in one object: the provider may take one of its values, and we the other."""


def answer_key(body: Body, *context: str) -> str:
    """
    The key of one call: its body, and the words for everything around it.

    ValueError for what is not JSON, and `Ambiguous` for what each reader may take for something else.
    """
    try:
        raw = body.raw  # what cannot be written down cannot be sent, and has no key
        if exact.doubled(raw, body.json) is not None:
            raise Ambiguous
        fields = body.json
        if not _NAMES.isdisjoint(fields):
            fields = {name: value for name, value in fields.items() if name not in _NAMES}
        canonical = exact.canonical(fields)
    except TypeError as error:
        raise ValueError(f"this body has no canonical form: {error}") from None
    whole = _around(*context).copy()
    whole.update(canonical)
    return whole.hexdigest()


STREAMED_BY_ADDRESS: Final = "gemini.generate"
"""The dialect that says in the address, not in the body, that the answer is to be streamed."""


def address(url: str, dialect: str) -> str:
    """Where a call goes, without what only says that it is to be streamed."""
    if dialect == STREAMED_BY_ADDRESS and "treamGenerateContent" in url:
        url = url.replace(":streamGenerateContent", ":generateContent")
        url = url.replace("?alt=sse&", "?").replace("?alt=sse", "").replace("&alt=sse", "")
    return url


class _Hash(Protocol):
    """A hash under way, as hashlib has it."""

    def copy(self) -> Self: ...
    def update(self, data: bytes, /) -> None: ...
    def hexdigest(self) -> str: ...


@lru_cache(maxsize=1024)
def _around(*context: str) -> _Hash:
    # What is around calls is the same for most of them: each goes on from a copy.
    return hashlib.sha256(_apart((SCHEMA, *context)))


def _apart(parts: tuple[str, ...]) -> bytes:
    # Lengths keep ("ab", "c") and ("a", "bc") apart.
    return "".join([f"{len(part)}:{part}" for part in parts]).encode("utf-8", "surrogatepass")
