"""
Splits a stream of bytes into server-sent events, however the network cut it.

Theory of operation. Nearly every read of a live stream holds whole events, each one `data:` line
(perhaps after one `event:` line) and an empty line. While nothing is pending such a read is split
with a few byte searches and nothing is kept. Anything else takes the slow way, line by line:

- a line ends at CR, LF or CRLF, and a CRLF may fall into two reads; nothing else ends a line, for
  U+2028 and its kin are plain text inside JSON (`bytes.splitlines` knows only CR and LF);
- a BOM before the first line is dropped, comments and unknown fields are not data;
- an empty line ends an event; an event without a `data:` line is none.

Bytes stay bytes: a character cut in two by the network needs no care. An event that outgrows
`limit` is not kept: of it remain its name and its last bytes, for a terminal event may be as large
as the pictures it carries and must still be known for what it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Event: TypeAlias = tuple[bytes, bytes, bool]
"""Name (empty when unnamed), data, and whether the data is all there (else only its end)."""

LIMIT = 1 << 20
LARGEST = 64 << 20
"""What is kept of an event that somebody wants to read whole: a picture, a sound."""
TAIL = 1 << 14
_BOM = b"\xef\xbb\xbf"
_QUIET = frozenset({b"id", b"retry"})


class Splitter:
    """
    Turns chunks into events. `strays` gets each line that is no field of an event stream,
    which is how Google sends an error in the middle of one.
    """

    __slots__ = (
        "_at_start",
        "_cut",
        "_data",
        "_event",
        "_held",
        "_limit",
        "_line",
        "_name",
        "_overflow",
        "_size",
        "_skip_lf",
        "_strays",
        "idle",
        "oversized",
    )

    def __init__(self, strays: list[bytes] | None = None, *, limit: int = LIMIT) -> None:
        self.oversized = 0
        """Events that were larger than `limit`."""
        self._limit = limit
        self._strays = strays
        self.idle = False
        """Between two events with nothing pending: the fast way is open."""
        self._at_start = True
        self._held: bytes = b""  # the first bytes, while they may still become a BOM
        self._skip_lf = False  # the last read ended with CR
        self._line = bytearray()
        self._cut = False  # the middle of the line has been thrown away
        self._name = b""
        self._data: list[bytes] = []
        self._event = False
        self._size = 0
        self._overflow = False

    @property
    def pending(self) -> bool:
        """Whether the bytes so far end in the middle of a line or an event."""
        return bool(self._held or self._line or self._event or self._name)

    def feed(self, chunk: bytes) -> Sequence[Event]:
        """The events that are complete with this chunk."""
        if self.idle and chunk[-2:] == b"\n\n" and b"\r" not in chunk and len(chunk) <= self._limit:
            if chunk[:6] == b"data: " and chunk.find(b"\n") == len(chunk) - 2:
                return ((b"", chunk[6:-2], True),)
            return self._whole_events(chunk)
        if self.idle and chunk[-4:] == b"\r\n\r\n" and chunk[:6] == b"data: ":
            end = len(chunk) - 4  # Google's way
            if chunk.find(b"\r") == end and chunk.find(b"\n", 0, end) < 0 and end <= self._limit:
                return ((b"", chunk[6:end], True),)
        events: list[Event] = []
        if self._at_start:
            chunk = self._held + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._held = chunk
                return events
            chunk = chunk.removeprefix(_BOM)
            self._held, self._at_start = b"", False
            if chunk[-2:] == b"\n\n" and b"\r" not in chunk and len(chunk) <= self._limit:
                self.idle = True
                return self._whole_events(chunk)
        self._lines(chunk, events)
        self.idle = not (self._line or self._event or self._name or self._skip_lf)
        return events

    def end(self) -> Sequence[Event]:
        """The bytes are over: the event that was still waiting for its empty line, if any."""
        events: list[Event] = []
        line = self._held + bytes(self._line)
        self._held = b""
        self._line.clear()
        if line:
            self._field(line)
        self._dispatch(events)
        return events

    def _whole_events(self, chunk: bytes) -> Sequence[Event]:
        events: list[Event] = []
        for block in chunk[:-2].split(b"\n\n"):
            first, newline, rest = block.partition(b"\n")
            if not newline and first[:6] == b"data: ":
                events.append((b"", first[6:], True))
            elif first[:7] == b"event: " and rest[:6] == b"data: " and b"\n" not in rest:
                events.append((first[7:], rest[6:], True))
            else:
                self._lines(block + b"\n\n", events)
        return events

    def _lines(self, chunk: bytes, events: list[Event]) -> None:
        if not chunk:
            return
        if self._skip_lf:
            chunk = chunk.removeprefix(b"\n")
        for piece in chunk.splitlines(keepends=True):
            if piece[-1] not in b"\r\n":
                self._grow(piece)
                break
            line = piece[:-2] if piece[-2:] == b"\r\n" else piece[:-1]
            if self._line:
                self._grow(line)
                line = bytes(self._line)
                self._line.clear()
            if line:
                self._field(line)
            else:
                self._dispatch(events)
        self._skip_lf = chunk[-1:] == b"\r"

    def _grow(self, piece: bytes) -> None:
        """More of a line that goes on. Of one too long stay the head, which tells its field, and the tail."""
        line = self._line
        line += piece
        if len(line) > self._limit:
            del line[8:-TAIL]
            self._cut = True

    def _field(self, line: bytes) -> None:
        cut, self._cut = self._cut, False
        name, _, value = line.partition(b":")
        if name == b"data":
            self._event = True
            self._data.append(value.removeprefix(b" "))
            self._size += len(value) + 1
            if cut or self._overflow or self._size > self._limit:
                self._data = [b"\n".join(self._data)[-TAIL:]]
                self._overflow = True
        elif name == b"event":
            self._name = value.removeprefix(b" ")
        elif name and name not in _QUIET and self._strays is not None and not cut:
            self._strays.append(line)

    def _dispatch(self, events: list[Event]) -> None:
        if self._event:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            events.append((self._name, data, not self._overflow))
            self.oversized += self._overflow
        self._name, self._data, self._event = b"", [], False
        self._size, self._overflow = 0, False
