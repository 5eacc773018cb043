"""Who spent what: one record for each call, added up by what one asks for, and kept in a file where that is wanted."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, get_args

import orjson

from ..errors import ConfigError
from ..message import Request, Response
from ..runtime import Clock, mind_forks

log = logging.getLogger("llm_edge")

By: TypeAlias = Literal["tenant", "key", "user", "route", "model", "target", "day"]
MOST: Final = 10_000
"""Different names counted apart; what comes after them counts as `other`."""


@dataclass(slots=True)
class Spent:
    """What was spent under one name. Costs are whole nano-dollars; `unpriced` calls are not in them."""

    name: str
    calls: int = 0
    hits: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    nano_usd: int = 0
    saved_nano_usd: int = 0
    unpriced: int = 0

    @property
    def usd(self) -> float:
        """US dollars."""
        return self.nano_usd / 1e9

    def add(self, record: Mapping[str, Any]) -> None:
        """One more call."""
        cost = record.get("nano_usd")
        self.calls += 1
        self.hits += record.get("cache") in _HITS
        self.failed += record.get("error") is not None
        self.saved_nano_usd += record.get("saved_nano_usd") or 0
        if cost is None:
            self.unpriced += 1
        else:
            self.nano_usd += cost
        if record.get("attempts"):
            usage: Mapping[str, Any] = record.get("usage") or {}
            self.input_tokens += usage.get("prompt_tokens") or 0
            self.output_tokens += usage.get("completion_tokens") or 0


_HITS = frozenset({"HIT", "SEMANTIC HIT", "STALE", "COALESCED"})


def record(request: Request, time: float) -> dict[str, Any]:
    """One call as it stands in the log. No content, and of a credential only its fingerprint."""
    notes, controls = request.notes, request.controls
    return {
        "at": datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds"),
        "id": notes.request_id, "operation": request.operation, "tenant": controls.tenant, "user": controls.user,
        "key": request.scope, "route": notes.route, "model": request.model, "target": notes.target,
        "status": notes.status, "error": notes.error or None, "cache": notes.cache, "attempts": len(notes.attempts),
        "usage": None if notes.usage is None else dict(notes.usage), "nano_usd": notes.cost,
        "saved_nano_usd": notes.saved,
        "ms": None if notes.ended is None else round((notes.ended - notes.started) * 1e3, 3),
    }  # fmt: skip


def summed(records: Iterable[Mapping[str, Any]], by: By) -> list[Spent]:
    """Added up, the dearest first. Raises ConfigError for a `by` that is none."""
    if by not in get_args(By):
        raise ConfigError(f"by: {by!r} is none. Use one of {', '.join(get_args(By))}.")
    found: dict[str, Spent] = {}
    for each in records:
        name = str(each.get("at", ""))[:10] if by == "day" else str(each.get(by) or "")
        if name not in found and len(found) >= MOST:
            name = "other"
        found.setdefault(name, Spent(name)).add(each)
    return sorted(found.values(), key=lambda spent: (-spent.nano_usd, -spent.calls, spent.name))


class UsageLog:
    """
    A file with one line of JSON for each call, written when the call ends.

    A line is handed to the system in one act, at the file's end: it outlives a killed process, and several processes
    may write to one file. A file that cannot be written costs no caller anything; the trouble is logged, once.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path, self._clock = path, clock
        self._file: int | None = None
        self._lock = threading.RLock()  # the garbage collector may end a call while another is written
        self._torn = self._complained = False
        mind_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.RLock()

    def begin(self, request: Request, /) -> UsageLog:
        return self

    def answered(self, response: Response | None, /) -> None: ...

    def over(self, request: Request, error: BaseException | None, /) -> None:
        line = orjson.dumps(record(request, self._clock.time()), default=str) + b"\n"
        try:
            with self._lock:
                self._write(line)
        except OSError as trouble:
            if not self._complained:
                self._complained = True
                log.warning("the usage log cannot be written: %s", trouble.strerror)

    def _write(self, line: bytes) -> None:
        if self._file is None:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            self._file = os.open(self._path, flags, 0o600)
        if self._torn:
            line = b"\n" + line
        self._torn = True
        self._torn = os.write(self._file, line) != len(line)

    def close(self) -> None:
        """Let go of the file; a call that ends later opens it again."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
                self._file = None


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The records of a usage log; lines that are not whole are passed over. Raises ConfigError when it has no file."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    with file:
        for line in file:
            try:
                found = orjson.loads(line)
            except ValueError:
                continue
            if isinstance(found, dict):
                yield found


def table(rows: Iterable[Spent], by: str) -> Iterator[str]:
    """Lines for people."""
    yield f"{by:<32} {'calls':>8} {'hits':>8} {'failed':>7} {'input':>12} {'output':>12} {'usd':>14} {'unpriced':>9}"
    for row in rows:
        name = (row.name or "(none)")[:32]
        yield (
            f"{name:<32} {row.calls:>8} {row.hits:>8} {row.failed:>7} {row.input_tokens:>12} {row.output_tokens:>12}"
            f" {row.usd:>14.6f} {row.unpriced:>9}"
        )
