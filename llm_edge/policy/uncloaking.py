"""
Values put back into the events of a stream, where a placeholder may be cut in two or more of them.

Theory of operation. Events come as JSON. A text in one goes on in a later one that has a text at the same place: the
same path of names, lists told apart by the `index` of their items, the event's own `type` and numbers. A text whose end
may begin a placeholder keeps its event back; when the text goes on, that end moves over to where it goes on, and the
event is free. Events leave in the order they came. Where nothing goes on, because the answer ends or too much else
comes between, what was kept back leaves as it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from .. import exact
from .cloak import Cloak, structural

T = TypeVar("T")
Place: TypeAlias = tuple[object, ...]

MOST: Final = 64
"""Events kept back at once."""
_OF_EVENT: Final = ("type", "index", "output_index", "content_index", "item_id")


@dataclass(slots=True, eq=False)
class Event(Generic[T]):
    """One event: how it came, what it says, and whether that was changed."""

    frame: T
    json: Any
    changed: bool = False
    waiting: int = 0
    """How many of its texts may go on."""


@dataclass(slots=True)
class _Open:
    """A text that may go on, up to its end that may begin a placeholder."""

    event: Event[Any]
    inside: Any
    at: Any
    before: str
    end: str


class Uncloaking(Generic[T]):
    """One stream's."""

    def __init__(self, cloak: Cloak) -> None:
        self._cloak = cloak
        self._held: deque[Event[T]] = deque()
        self._open: dict[Place, _Open] = {}

    def feed(self, frame: T, json: Any) -> Iterator[Event[T]]:
        """The events that may leave now. `json` is changed in place; None for what is no JSON."""
        event = Event(frame, json)
        for place, inside, at in _texts(json):
            self._text(event, place, inside, at)
        self._held.append(event)
        if len(self._held) > MOST:
            yield from self.end()
        while self._held and not self._held[0].waiting:
            yield self._held.popleft()

    def end(self) -> Iterator[Event[T]]:
        """All that was kept back: nothing goes on."""
        self._open.clear()
        while self._held:
            yield self._held.popleft()

    def _text(self, event: Event[T], place: Place, inside: Any, at: Any) -> None:
        text = said = cast("str", inside[at])
        before = self._open.pop(place, None)
        if before is not None:
            before.inside[before.at] = before.before
            before.event.changed, before.event.waiting = True, before.event.waiting - 1
            text = before.end + text
        text = self._cloak.restored(text)
        end = self._cloak.tail(text)
        if end:
            event.waiting += 1
            self._open[place] = _Open(event, inside, at, text[: -len(end)], end)
        if text != said:
            inside[at], event.changed = text, True


def _texts(json: Any) -> Iterator[tuple[Place, Any, Any]]:
    """Each string, as where it stands and how to get at it. No recursion: a provider's JSON may be deep."""
    if not exact.is_object(json):
        return
    told = (json.get(name) for name in _OF_EVENT)
    waiting: list[tuple[Place, Any]] = [(tuple(each if isinstance(each, (str, int)) else None for each in told), json)]
    while waiting:
        place, value = waiting.pop()
        for name, each in _parts(value):
            if isinstance(each, str):
                if not (isinstance(name, str) and structural(name)):
                    yield (*place, name), value, name
            elif exact.is_object(each):
                number: Any = each.get("index") if exact.is_list(value) else None
                waiting.append(((*place, ("index", number) if isinstance(number, int) else name), each))
            elif exact.is_list(each):
                waiting.append(((*place, name), each))


def _parts(value: Any) -> list[tuple[str | int, Any]]:
    return [*value.items()] if exact.is_object(value) else [*enumerate(value)]
