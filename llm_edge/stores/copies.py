"""Kept answers in a file, to be carried to another machine: one line for each, signed as in a shared store."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import ConfigError, InvalidRequest
from .entry import KEY, Entry, Odd, decode, encode


def write(file: Path, entries: Iterable[Entry], secret: bytes) -> int:
    """Writes them down, for this user's eyes alone, and gives how many. Raises ConfigError when that cannot be done."""
    count = 0
    # A pipe or a device stays what it is (`export /dev/stdout`); so does a link.
    kept = file.is_file() or not file.exists()
    file = Path(os.path.realpath(file)) if kept else file
    beside = file.with_name(f"{file.name}.{os.getpid()}.part") if kept else file
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as lines:
            for entry in entries:
                lines.write(entry.key.encode() + b" " + base64.b64encode(encode(entry, secret)) + b"\n")
                count += 1
        if kept:
            beside.replace(file)
    except OSError as error:
        if kept:
            beside.unlink(missing_ok=True)
        raise ConfigError(f"{file}: cannot be written: {error.strerror or 'the system refuses'}.") from None
    return count


def read(file: Path, secret: bytes) -> Iterator[Entry]:
    """What was written there. ConfigError for a file that cannot be read, InvalidRequest for an unsound line."""
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                yield _entry(file, number, line, secret)
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror or 'the system refuses'}.") from None


def _entry(file: Path, number: int, line: bytes, secret: bytes) -> Entry:
    key, _, coded = line.strip().partition(b" ")
    try:
        if len(key) != KEY:
            raise Odd("key")
        return decode(base64.b64decode(coded, validate=True), key=key.decode("ascii"), scope=None, secret=secret)
    except Odd as odd:
        why = "another cache.secret than the one it was written with" if odd.reason == "mac" else odd.reason
    except ValueError:
        why = "no entry"
    raise InvalidRequest(f"{file}, line {number}: is no answer that can be taken in: {why}")
