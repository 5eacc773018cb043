"""
What all stream watchers share: events are counted, errors noticed, the end judged.

A watcher sees every chunk of every stream, so its ordinary event must cost next to nothing: each
dialect tells with a few byte searches that an event is plain text going by, and parses only what
may matter (a finish, usage, an error, the end). When in doubt it parses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import BadAnswer, StreamBroken
from ..message import Json
from .bare import BareObjects
from .cargo import mapping, parse
from .failures import Trouble, failure_inside, trouble_behind, trouble_in
from .sse import Splitter

DONE = b"[DONE]"


def looks_whole(data: bytes) -> bool:
    """Whether an event that need not be parsed has at least the outline of a JSON object."""
    return data[:1] == b"{" and (data[-1:] == b"}" or data.rstrip()[-1:] == b"}")


class EventWatcher(ABC):
    """A watcher of server-sent events; dialects fill in `_event`, `usage` and what proves the end."""

    __slots__ = ("_bare", "_open", "_reasons", "_splitter", "_strays", "complete", "events", "failure", "model")

    terminal = "the end of the answer"
    """The dialect's mark that an answer is whole, in words."""

    def __init__(self) -> None:
        self.complete = False
        self.events = 0
        self.failure: Exception | None = None
        self.model = ""
        """The model that says it answers."""
        self._open: set[int] = set()
        """The choices seen so far, by index."""
        self._reasons: dict[int, str] = {}
        """Why choices ended, by index."""
        self._strays: list[bytes] = []
        self._splitter = Splitter(self._strays)
        self._bare: BareObjects | None = None

    @property
    def usage(self) -> Mapping[str, Any] | None:
        """Tokens used so far, in the unified names; None while the provider has not said."""
        return None

    @property
    def finished(self) -> Sequence[str]:
        """Why each choice ended, in the dialect's own words; an empty word where it did not say."""
        return [self._reasons.get(index, "") for index in sorted(self._open | self._reasons.keys())]

    def feed(self, chunk: bytes, /) -> None:
        events = self._splitter.feed(chunk)
        if self._strays:
            self._outside()
        for name, data, whole in events:
            if data and not self.complete:
                self.events += 1
                self._event(name, data, whole)

    def end(self) -> Exception | None:
        """
        `StreamBroken` when the answer is not whole. None when it is; and when the provider sent an
        error, for then `failure` tells what happened.
        """
        half = self._splitter.pending or (self._bare is not None and self._bare.pending)
        if not self.complete:
            last = self._splitter.end()
            self._outside()
            for name, data, whole in last:
                # Its empty line never came; it counts if it is all there, and cut JSON does not parse.
                if data == DONE or (whole and parse(data) is not None):
                    self.events += 1
                    self._event(name, data, whole)
        if self.complete or self.failure is not None:
            return None
        if self._ended():
            self.complete = True
            return None
        if half:
            return StreamBroken("the stream was cut in the middle of an event")
        if not self.events:
            return StreamBroken("the stream ended before its first event")
        return StreamBroken(f"the stream ended without {self.terminal}: the answer is cut short")

    @abstractmethod
    def _event(self, name: bytes, data: bytes, whole: bool) -> None:
        """One event with data; `whole` is false when only the end of a huge one is there."""

    def _ended(self) -> bool:
        """Whether what came so far is a whole answer, now that no more comes."""
        return bool(self._reasons) and self._open <= self._reasons.keys()

    def _object(self, data: bytes) -> Json | None:
        """The event's JSON object; None, with `failure` set, when it is none or tells of an error."""
        value = parse(data)
        if not isinstance(value, dict):
            self.failure = self.failure or BadAnswer("an event of the stream is not a JSON object")
            return None
        item = mapping(value)  # typed now
        return None if self._fails(item) else item

    def _error(self, data: bytes) -> None:
        """An event that is called an error, whatever it says."""
        trouble = trouble_behind(data) or Trouble(message="the provider sent an error without a readable body")
        self.failure = self.failure or failure_inside(trouble)

    def _fails(self, item: Json) -> bool:
        trouble = trouble_in(item)
        if trouble is not None:
            self.failure = self.failure or failure_inside(trouble)
        return trouble is not None

    def _outside(self) -> None:
        """What came outside any event."""
        lines, self._strays[:] = list(self._strays), []
        for line in lines:
            if self._bare is None:
                self._bare = BareObjects()
            for data in self._bare.feed(line):
                if not self.complete:
                    self._bare_object(data)

    def _bare_object(self, data: bytes) -> None:
        """A JSON object that came outside any event: an error, or it means nothing here."""
        item = mapping(parse(data))
        if item:
            self._fails(item)
