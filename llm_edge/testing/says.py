"""What a model says, in no dialect yet: words, tool calls, vectors and how it ended."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

FINISHES = ("stop", "length", "tool_calls", "content_filter")


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A function the model wants called; `arguments` is JSON text, as on the wire."""

    name: str
    arguments: str = "{}"
    id: str = ""
    """Where none is given, `call_1`, `call_2`, … by its place in the answer."""

    def parsed(self) -> Any:  # cargo: the arguments are the test's own
        """The arguments as an object, for dialects that carry no text."""
        try:
            return orjson.loads(self.arguments or "{}")
        except orjson.JSONDecodeError:
            raise ValueError(
                f"tool_call({self.name!r}): this dialect carries arguments as an object, and these are not JSON: "
                f"{self.arguments!r}; broken arguments can be sent only in a stream or to the OpenAI dialects"
            ) from None


def tool_call(name: str, arguments: Mapping[str, Any] | str = "{}", *, call_id: str = "") -> ToolCall:
    """
    A call for `answer(tool_calls=[…])`; text arguments go out as they are, also when they are not JSON.

    Without a `call_id` the calls of an answer are `call_1`, `call_2`, ….
    """
    return ToolCall(name, arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode(), call_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens counted the OpenAI way: the prompt includes what was read from the provider's cache."""

    prompt_tokens: int = 9
    completion_tokens: int = 3
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, int]) -> Usage:
        known = set(cls.__dataclass_fields__)
        unknown = sorted(set(counts) - known - {"total_tokens"})
        if unknown:
            raise ValueError(f"usage: unknown count {unknown[0]!r}; use {', '.join(sorted(known))}")
        return cls(**{name: count for name, count in counts.items() if name != "total_tokens"})

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Says:
    """One answer's content."""

    parts: tuple[str, ...] = ("Hello!",)
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = "stop"
    usage: Usage | None = field(default_factory=Usage)
    model: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    vectors: tuple[tuple[float, ...], ...] = ()
    models: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.finish not in FINISHES:
            raise ValueError(f"finish: {self.finish!r} is none of {', '.join(FINISHES)}")

    @property
    def text(self) -> str:
        return "".join(self.parts)


def vector_for(text: str, dimensions: int = 8) -> tuple[float, ...]:
    """A vector that is always the same for the same text; exact in 32 bits, so base64 loses nothing."""
    digest = b""
    while len(digest) < dimensions:
        digest += hashlib.sha256(f"{len(digest)}:{text}".encode()).digest()
    return tuple((byte - 128) / 128 for byte in digest[:dimensions])


def vectors_for(says: Says, inputs: Sequence[str], dimensions: int) -> list[tuple[float, ...]]:
    """One vector for each input: the scripted ones in turn, else made from the text."""
    if says.vectors:
        return [says.vectors[index % len(says.vectors)] for index in range(len(inputs))]
    return [vector_for(text, dimensions) for text in inputs]
