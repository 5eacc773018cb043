"""Finds whole JSON objects in text that is no event stream: an error sent bare, a list of answers."""

from __future__ import annotations

import re

LIMIT = 1 << 20
_TOKEN = re.compile(rb'["{}\\]')


class BareObjects:
    """
    Fed line by line, gives each outermost JSON object once its braces balance.

    Keeps at most `LIMIT` bytes; an object larger than that is passed over.
    """

    __slots__ = ("_depth", "_lost", "_parts", "_quoted", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._depth = 0
        self._quoted = False
        self._lost = False

    @property
    def pending(self) -> bool:
        """Whether an object has begun and not ended."""
        return self._depth > 0

    def feed(self, line: bytes) -> list[bytes]:
        """The objects that are complete with this line."""
        found: list[bytes] = []
        start = position = 0
        while match := _TOKEN.search(line, position):
            token, position = match.group(), match.end()
            if self._quoted:
                if token == b"\\":
                    position += 1  # whatever follows is no quote
                self._quoted = token != b'"'
            elif token == b"{":
                if self._depth == 0:
                    start = match.start()
                self._depth += 1
            elif self._depth and token == b'"':
                self._quoted = True
            elif self._depth and token == b"}":
                self._depth -= 1
                if self._depth == 0:
                    self._keep(line[start:position])
                    found += self._taken()
        if self._depth:
            self._keep(line[start:])
        return found

    def _keep(self, part: bytes) -> None:
        self._size += len(part) + 1
        if self._size > LIMIT:
            self._parts, self._lost = [], True
        if not self._lost:
            self._parts.append(part)

    def _taken(self) -> list[bytes]:
        taken = [] if self._lost else [b"\n".join(self._parts)]
        self._parts, self._size, self._lost = [], 0, False
        return taken
