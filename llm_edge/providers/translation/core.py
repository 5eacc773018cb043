"""What every translation shares: one exchange's facts, what it could not carry, how streams are read and written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol, TypeAlias

from ...errors import InvalidRequest
from ...message import Json
from ..cargo import mapping

OnUnsupported: TypeAlias = Literal["warn", "drop", "reject"]

NOT_EMPTY: Final = "."
"""Stands where a vendor wants text and there is none."""

_SAID_TWICE = {
    "thinking": frozenset({"type", "budget_tokens"}),
    "effort": None,
    "web_search": frozenset({"type", "name"}),
}
"""What rides along only to be exact on the way home, for chat's own fields say it too; of some only these parts."""
_PROMPTS = frozenset({"cachedContent"})
"""Names of what lies with its provider and without which the rest is another question."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer under translation. Made for each attempt; both directions may note facts in it."""

    model: str = ""
    """The model's name at the provider."""
    provider: str = ""
    request_id: str = ""
    """For ids that have to be made up: the same exchange, the same ids."""
    created: int = 0
    """Seconds since 1970, for answers that do not say."""
    streaming: bool = False
    on_unsupported: OnUnsupported = "warn"
    changes: list[str] = field(default_factory=list[str])
    """What was not carried as it came, a sentence each; `explain()` shows them."""
    chat: Json = field(default_factory=dict[str, Any])
    """The request in the chat form, once it is there."""
    names: dict[str, str] = field(default_factory=dict[str, str])
    """Tool names as the provider was told them, and as the caller knows them."""
    ids: dict[str, str] = field(default_factory=dict[str, str])
    """Tool call ids as the provider was told them, and as the caller knows them."""
    untold: set[str] = field(default_factory=set[str])
    """What of the answer its caller was told not to see."""
    functions: bool = False
    """The caller asked with the old `functions` and is answered with `function_call`."""

    @property
    def made_up(self) -> str:
        """How ids begin that are made up for calls; OpenAI takes no longer ones than 40 characters."""
        return f"call_{self.request_id[:24]}_"

    def lost(self, field: str, why: str) -> None:
        """`field` has no place over there, the answer is right without it: told, dropped, or refused, as configured."""
        if self.on_unsupported == "reject":
            raise InvalidRequest(f"`{field}`: {why}; leave it out, or set on_unsupported_param to warn or drop")
        if self.on_unsupported == "warn":
            self.changes.append(f"`{field}` was left out: {why}")

    def foreign(self, dialect: str, fields: Any) -> None:
        """What rides along for `dialect` alone has no place elsewhere: told field by field."""
        for name, value in sorted(mapping(fields).items()):
            if name in _PROMPTS and value:
                raise self.impossible(f"{dialect}.{name}", "nobody else has this part of the prompt; send it whole")
            if name not in _SAID_TWICE:
                self.lost(f"{dialect}.{name}", "it belongs to another dialect")
                continue
            for part in sorted(mapping(value).keys() - (_SAID_TWICE[name] or ())):
                if value[part] != "summarized":  # what others do by themselves
                    self.lost(f"{dialect}.{name}.{part}", "it belongs to another dialect")

    def unsigned(self, place: str, whom: str) -> None:
        """A call's proof of the thought behind it, by another vendor, stays behind."""
        self.changed(f"{place}.extra_content", f"was left out: {whom} takes no thinking but what it signed itself")

    def changed(self, field: str, how: str) -> None:
        """`field` arrives over there in another form that means nearly the same."""
        if self.on_unsupported != "drop":
            self.changes.append(f"`{field}` {how}")

    def impossible(self, field: str, why: str) -> InvalidRequest:
        """Raise what this gives: without `field` the answer would mean something else."""
        return InvalidRequest(f"`{field}`: {why}")


class Reader(Protocol):
    """A provider's stream as chat chunks. Fed bytes as they arrive; keeps its own state, does no I/O."""

    def feed(self, data: bytes, /) -> Sequence[Json]: ...
    def end(self) -> Sequence[Json]:
        """The bytes are over: the chunks still owed. Finish and usage chunks come at the terminal event, not here."""
        ...


class Writer(Protocol):
    """Chat chunks as a caller's stream."""

    def write(self, chunk: Json, /) -> bytes: ...
    def end(self) -> bytes:
        """The terminal events, once the last chunk has been written."""
        ...

    def fail(self, error: Exception, /) -> bytes:
        """An error in mid-stream, as this dialect tells it; nothing follows."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One dialect as the provider's: all there is of those that no caller speaks."""

    dialect: str
    request_from_chat: Callable[[Json, Exchange], Json]
    answer_to_chat: Callable[[Json, Exchange], Json]
    reader: Callable[[Exchange], Reader]
    pieces: Callable[[Json, Exchange], Sequence[Json]] | None = None
    """A request in as many as the provider takes, where it may not take one whole."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Translation(Told):
    """One dialect's two halves: as the provider's, and as the caller's."""

    request_to_chat: Callable[[Json, Exchange], Json]
    answer_from_chat: Callable[[Json, Exchange], Json]
    writer: Callable[[Exchange], Writer]


class Assembler(Protocol):
    """A dialect's stream put together to the answer that would have come without `stream`."""

    def feed(self, data: bytes, /) -> None: ...
    def whole(self) -> Json | None:
        """The answer; None when the stream was not whole, or holds what a whole answer cannot."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """How one dialect turns a stream into a whole answer and back, so that one stored answer serves both asks."""

    dialect: str
    assembler: Callable[[], Assembler]
    events: Callable[[Json, Json], list[bytes]]
    """A whole answer and the request that asks for it as a stream: the events, framed, as the provider sends them."""
