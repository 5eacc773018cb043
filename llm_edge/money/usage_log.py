"""
The usage log: one record for each call, written when the call ends, before its caller has the answer.

As lines of JSON in a file, or as rows of a SQLite database, by the ending of its name (`.db`, `.sqlite`, `.sqlite3`).
Both outlive a killed process, up to its last call, and several processes may write to one. A log that cannot be written
costs no caller anything; the trouble is told once, until it can be written again.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol, cast

import orjson

from ..errors import ConfigError
from ..message import Request, Response
from ..runtime import Clock, mind_forks
from .spend import Question, iso

log = logging.getLogger("llm_edge")

MADE: Final = "Calls are written down where `[telemetry] usage_log` names a file."
DATABASES: Final = frozenset({".db", ".sqlite", ".sqlite3"})
_ASTRAY = 3600.0
"""Seconds by which a line may stand out of its turn: processes write to one file, and clocks are set back."""
_ENOUGH = 2**18
"""Bytes that are read rather than halved again."""


def record(request: Request, time: float) -> dict[str, Any]:
    """One call as it stands in the log. No content, and of a credential only its fingerprint."""
    notes, controls = request.notes, request.controls
    return {
        "at": datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds"),
        "id": notes.request_id, "operation": request.operation, "tenant": controls.tenant, "user": controls.user,
        "key": request.scope, "route": notes.route, "model": request.model, "target": notes.asked,
        "status": notes.status, "error": notes.error or None, "cache": notes.cache, "attempts": len(notes.attempts),
        "usage": None if notes.usage is None else dict(notes.usage), "nano_usd": notes.cost,
        "saved_nano_usd": notes.saved,
        "ms": None if notes.ended is None else round((notes.ended - notes.started) * 1e3, 3),
    }  # fmt: skip


class Place(Protocol):
    """Where records go. Raises OSError when one cannot be kept."""

    def write(self, record: dict[str, Any], /) -> None: ...
    def close(self) -> None: ...
    def after_fork(self) -> None: ...


class UsageLog:
    """A listener that writes each call down."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._place: Place = _place(path)
        self._lock = threading.RLock()  # the garbage collector may end a call while another is written
        self._complained = False
        mind_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.RLock()
        self._place.after_fork()

    def begin(self, request: Request, /) -> UsageLog:
        return self

    def answered(self, response: Response | None, /) -> None: ...

    def over(self, request: Request, error: BaseException | None, /) -> None:
        told = record(request, self._clock.time())
        try:
            with self._lock:
                self._place.write(told)
                self._complained = False
        except OSError as trouble:
            if not self._complained:
                self._complained = True
                log.warning(
                    "the usage log cannot be written: %s", trouble.strerror or trouble, extra=request.notes.about
                )

    def close(self) -> None:
        """Let go of the file; a call that ends later opens it again."""
        with self._lock:
            self._place.close()


def _place(path: Path) -> Place:
    if path.suffix in DATABASES:
        from .usage_table import UsageTable  # not before it is needed

        return UsageTable(path)
    return Lines(path)


class Lines:
    """
    A file of lines. Each is handed to the system in one act, at the file's end.

    Once a second it is looked whether the file still has its name: one that was moved away, as logs are rotated, or
    deleted, gets no more lines, and a new one is begun.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None
        self._looked = ""
        self.torn = False

    def after_fork(self) -> None: ...  # parent and child append to the same file

    def write(self, record: dict[str, Any], /) -> None:
        line = orjson.dumps(record, default=str) + b"\n"
        if self._looked != (second := record["at"][:19]):
            self._looked = second
            if self._file is not None and not self._named():
                self.close()
        if self._file is None:
            self._file = opened(self._path, os.O_WRONLY | os.O_APPEND)
        if self.torn:
            line = b"\n" + line
        self.torn = True
        self.torn = os.write(self._file, line) != len(line)

    def _named(self) -> bool:
        """Whether the open file is the one of this name."""
        assert self._file is not None, "asked of an open file"
        try:
            return os.path.samestat(self._path.lstat(), os.fstat(self._file))
        except OSError:
            return False

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def opened(path: Path, flags: int) -> int:
    """A file of ours, made when it is not there, with its folder: for its owner alone, and no link to another."""
    flags |= os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags, 0o600)


def read(path: Path, question: Question | None = None) -> Iterator[dict[str, Any]]:
    """
    The records of a usage log, in the order in which they were written; what is no whole record is passed over.

    With a `question`, those of the time that it asks for, of a file of lines some more. Raises ConfigError when it
    cannot be read.
    """
    if path.suffix in DATABASES:
        from .usage_table import rows

        yield from rows(path, question or Question())
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}. {MADE}") from None
    with file:
        if question is not None and question.since > _ASTRAY:
            _skip(file, iso(question.since - _ASTRAY))
        for line in file:
            if (found := _parsed(line)) is not None:
                yield found


def _skip(file: BinaryIO, since: str) -> None:
    """Go to a line before the first one of that moment. Lines stand as calls ended, so halves are left out in turn."""
    low, high = 0, file.seek(0, os.SEEK_END)
    while high - low > _ENOUGH:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        records = (_parsed(line) for line in file)
        at = next((str(found["at"]) for found in records if found is not None and "at" in found), "~")
        low, high = (middle, high) if at < since else (low, middle)
    file.seek(low)
    if low:
        file.readline()


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(line)
    except ValueError:
        return None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else None
