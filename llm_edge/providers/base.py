"""
What a provider is: pure functions from envelope to wire and back.

Two ideas. A *dialect* is a language: whose JSON, whose stream events, whose error bodies.
A *provider* is a place where a dialect is spoken: an address, a way to show a key, a few
habits. Most providers are rows of data over one dialect (`table.py`).

This room does no I/O, reads no clock and knows no HTTP library.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from ..errors import CallError, Failed, ProviderFailed
from ..message import Body, ByteSource, Headers, Json, Operation, Request, Response, Watcher
from ..runtime import Runtime


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One model at one place with one key."""

    provider: str
    model: str
    base_url: str = ""
    key: str = field(default="", repr=False)
    kind: str = ""
    """Whose place it is, where a configured name does not say: what models take and refuse there depends on it."""
    addressed: bool = False
    """The place the caller's own SDK pointed at: the request goes there as it came, credential and all."""
    name: str = field(init=False, repr=False, compare=False)
    """`provider/model`."""

    def __post_init__(self) -> None:
        # Frozen, so filled in the long way: once, as a call asks for it many times.
        object.__setattr__(self, "name", f"{self.provider}/{self.model}" if self.model else self.provider)

    @property
    def vendor(self) -> str:
        """Whose place it is, as the tables of providers and models call it."""
        return self.kind or self.provider


@dataclass(slots=True, kw_only=True)
class Wire:
    """A request as it will leave the house. Never changed (`replace`), and not frozen only for speed, as `Request`."""

    method: str = "POST"
    url: str
    headers: Headers
    content: bytes = field(default=b"", repr=False)
    upload: ByteSource | None = None
    native: tuple[str, Any] | None = None
    """The HTTP library's name, and its own request that says the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One provider language, as data and pure functions."""

    name: str
    operation: Operation
    watcher: Callable[[], Watcher]
    """A fresh watcher for one stream."""
    fault: Callable[[Json], Failed | None]
    """What is wrong with an answer that came under status 200, if anything."""
    failure: Callable[[Response], ProviderFailed]
    """The error behind an answer of status 400 and up; the answer itself stays in `.response`."""
    refusal: Callable[[CallError, str], Json]
    """An error body in this dialect, for a failure of ours; the second argument is the request id."""
    usage: Callable[[Json], Mapping[str, Any] | None]
    """Tokens used, in the unified names (prompt_tokens, completion_tokens, total_tokens, …), and how it was served."""
    text: Callable[[Json], str]
    """The answer's text, the first choice's, all of it."""
    tool_calls: Callable[[Json], list[Json]]
    """The answer's tool calls in the OpenAI chat shape."""
    finished: Callable[[Json], Sequence[str]] = lambda answer: ()
    """Why each choice ended, in the provider's words; an empty word where it does not say."""
    stream_type: str = "text/event-stream; charset=utf-8"
    """The content type of its streams."""


class Adapter(Protocol):
    """A provider: how a request is written down for it, and how its answer is read."""

    @property
    def name(self) -> str: ...

    def speaks(self, dialect: str, /) -> bool:
        """Whether a request in this dialect can be sent here."""
        ...

    def encode(self, request: Request, target: Target, /) -> Wire: ...
    def decode(self, body: Body, request: Request, /) -> Body: ...


class Credential(Protocol):
    """What shows a provider who calls where no fixed key does: a token that runs out, or a signature."""

    async def show(self, wire: Wire, runtime: Runtime, seconds: float | None, /) -> Wire:
        """The request with it. Raises Unauthorized or NetworkFailed when none comes within so many seconds."""
        ...

    def refused(self, wire: Wire, /) -> bool:
        """The provider did not take what this request showed: whether another one may be taken."""
        ...


@runtime_checkable
class Family(Protocol):
    """A provider whose models speak different dialects."""

    @property
    def base_url(self) -> str: ...
    def for_model(self, model: str, /) -> Adapter:
        """How to speak to a model. Raises InvalidRequest when it cannot be had."""
        ...


@runtime_checkable
class Reframing(Protocol):
    """An adapter whose streams come in another framing than their dialect has."""

    def reframed(self, headers: Headers, source: ByteSource, request: Request, /) -> tuple[Headers, ByteSource]:
        """The answer's headers and bytes as the dialect has them."""
        ...
