"""
What stands between two assistant turns of a chat, gathered until it can be written as vendors want it.

Theory of operation. In a chat the results of tool calls are messages of their own, in any order, with other messages
between them. Anthropic, Bedrock and Google want them right after the turn that called: all of them, in the order of
the calls. So what follows an assistant message is gathered until the next one. `Calls` takes results by the id they
answer, and gives them in order, with a word for those that are missing. `Said` takes what the user and the system say,
and writes it behind them in one user turn, which is what Anthropic and Bedrock want.

A system message in the middle stays where it is: models that know such messages get one, after a user turn and never
between a call and its result; the others find it tagged among the user's words. It is not moved to the top, where it
would mean more than it did and spoil the cached prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, Final, Generic, Protocol, TypeVar

from ...message import Json
from ..cargo import string
from .anthropic_parts import listed
from .core import NOT_EMPTY, Exchange

T = TypeVar("T")

SYSTEM: Final = frozenset(("system", "developer"))
NO_RESULT: Final = "This call was not answered."
READ: Final = frozenset(
    (
        "role",
        "content",
        "tool_calls",
        "tool_call_id",
        "refusal",
        "cache_control",
        "thinking_blocks",
        "reasoning_content",
        "annotations",
        "is_error",
    )
)
"""Fields of messages that all of them look at."""
_ROOM: Final = 8
"""Characters at the end of a name that a number may need."""
_ANY: Final = 2**31


def apart(stem: str, taken: Container[str], longest: int = _ANY) -> str:
    """This name, or a numbered one, that is not taken yet; of so many characters at the most."""
    told, number = stem[:longest], 2
    while told in taken:
        told, number = f"{stem[: longest - _ROOM]}_{number}", number + 1
    return told


def fit_name(name: str, fit: str, longest: int, exchange: Exchange, where: str) -> str:
    """
    The tool's name as a vendor takes it; the way back is kept in `exchange.names`.

    `fit` is the name in characters that are taken there, the very same where all are. `where` says who takes what.
    """
    names = exchange.names
    if fit == name and len(name) <= longest and names.setdefault(name, name) == name:
        return name
    for told, known in names.items():
        if known == name:
            return told
    told = apart(fit, names, longest)
    names[told] = name
    exchange.changed(f"tool {name!r}", f"is called {told!r} at {where}")
    return told


class Calls(Generic[T]):
    """The calls of the last assistant turn, and their results as they come."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._told: dict[str, str] = {}
        self._results: dict[str, T] = {}

    def add(self, call: Json, place: str, tell: Callable[[str], str]) -> str:
        """One call more; `tell` makes of the caller's id what the vendor knows the call by, which is given back."""
        identity = string(call.get("id"))
        if identity in self._told:
            raise self._exchange.impossible(f"{place}.id", f"two calls of one turn have the id {identity!r}")
        told = self._told[identity] = tell(identity)
        return told

    def answered(self, message: Json, place: str) -> tuple[str, str]:
        """Which call a result is for: the caller's id, and what the vendor knows it by."""
        identity = string(message.get("tool_call_id"))
        told = self._told.get(identity)
        if told is None:
            raise self._exchange.impossible(
                f"{place}.tool_call_id", f"no tool call {identity!r} stands in the assistant message before it"
            )
        if identity in self._results:
            raise self._exchange.impossible(f"{place}.tool_call_id", f"the call {identity!r} has a result already")
        return identity, told

    def answer(self, identity: str, result: T) -> None:
        """Its result."""
        self._results[identity] = result

    def close(self, missing: Callable[[str, str], T]) -> list[T]:
        """
        The results in the order of the calls, which are over.

        `missing` makes what stands for one that did not come, of the caller's id and the vendor's word for the call.
        """
        found: list[T] = []
        for identity, told in self._told.items():
            result = self._results.get(identity)
            if result is None:
                result = missing(identity, told)
                self._exchange.changed(
                    "messages", f"hold no result for the tool call {identity!r}; it went as not answered"
                )
            found.append(result)
        self._told, self._results = {}, {}
        return found


class Said:
    """What the user and the system say behind the results, in pieces."""

    def __init__(
        self, exchange: Exchange, vendor: str, text: Callable[[str], Json], tagged: Callable[[Json], Json], inline: bool
    ) -> None:
        """
        `text` makes a block of a text, and `tagged` one of the user's of one of the system's. `inline`: the model knows
        system messages in the middle.
        """
        self._exchange, self._vendor, self._text, self._tagged, self._inline = exchange, vendor, text, tagged, inline
        self._pieces: list[tuple[bool, list[Json]]] = []
        """Blocks, and whether they are the system's."""
        self._spoken = False
        """Whether there was a user message at all, empty or not."""

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def user(self, blocks: list[Json]) -> None:
        """A user message."""
        self._spoken = True
        self._pieces.append((False, blocks))

    def system(self, blocks: list[Json]) -> None:
        """A system message."""
        if blocks:
            self._pieces.append((True, blocks))

    def close(self, turns: list[dict[str, Any]], results: list[Json]) -> None:
        """Writes down what was gathered since the last assistant turn, behind these results."""
        now = results
        for system, blocks in self._pieces:
            if not system:
                now += blocks
            elif self._inline and now:
                turns += [turn("user", now), turn("system", blocks)]
                now = []
            elif self._inline and turns and turns[-1]["role"] == "system":
                turns[-1]["content"] += blocks
            else:
                now += [self._tagged(block) for block in blocks]
                self._exchange.changed("messages", "hold a system message in the middle; it went as tagged user text")
        if now:
            turns.append(turn("user", now))
        elif self._spoken and (not turns or turns[-1]["role"] == "assistant"):
            turns.append(turn("user", [self._text(NOT_EMPTY)]))
            self._exchange.changed(
                "messages", f"hold a user message without a word; {self._vendor} was sent {NOT_EMPTY!r}"
            )
        self._pieces, self._spoken = [], False

    def begun(self, turns: list[dict[str, Any]], *, assistant_first: bool = False) -> None:
        """Sees to it that the turns begin, and with the user where that has to be."""
        if not turns:
            turns.append(turn("user", [self._text(NOT_EMPTY)]))
            self._exchange.changed("messages", f"held no user message, so it got one: {NOT_EMPTY!r}")
        elif turns[0]["role"] == "assistant" and not assistant_first:
            turns.insert(0, turn("user", [self._text(NOT_EMPTY)]))
            self._exchange.changed("messages", f"began with the assistant; the user says {NOT_EMPTY!r} first")


def turn(role: str, content: list[Json]) -> dict[str, Any]:
    """One turn."""
    return {"role": role, "content": content}


class Writes(Protocol):
    """A vendor's writer of turns."""

    def add(self, message: Json, place: str, /) -> None:
        """The next message, `place` in the request."""
        ...

    def texts(self, message: Json, place: str, /) -> list[Json]:
        """A system message as blocks."""
        ...

    def end(self) -> list[dict[str, Any]]:
        """The turns, all of them."""
        ...


def in_turns(
    chat: Json, exchange: Exchange, writer: Writes, *, continues: bool
) -> tuple[list[Json], list[dict[str, Any]]]:
    """What the system says before anybody else, and the turns; `continues`: the model goes on with what it began."""
    system: list[Json] = []
    leading = True
    for index, message in enumerate(listed(chat.get("messages"), "messages", exchange)):
        place = f"messages[{index}]"
        leading = leading and string(message.get("role")) in SYSTEM
        if leading:
            system += writer.texts(message, place)
        else:
            writer.add(message, place)
    turns = writer.end()
    last = turns[-1]
    if last["role"] == "assistant":
        if not continues:
            why = f"the last one is the assistant's, which {exchange.model} does not continue; end with a user message"
            raise exchange.impossible("messages", why)
        end = last["content"][-1]
        text = string(end.get("text"))
        if text != text.rstrip():  # white space at the end is refused there
            last["content"] = [*last["content"][:-1], {**end, "text": text.rstrip()}]
    return system, turns
