"""Requests from a JSONL file, drawn line by line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .. import exact
from ..errors import ConfigError, InvalidRequest
from ..message import Json
from .items import item


@dataclass(frozen=True, slots=True)
class Lines:
    """The requests of a file; it knows how many there are."""

    path: Path
    total: int

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Json]:
        with self.path.open("rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield _request(self.path, number, line)


def lines(path: str) -> Lines:
    """
    The requests of a file, all looked at before the first is asked.

    Raises ConfigError for a file that cannot be read, InvalidRequest for a line that is no request, by its number.
    """
    place = Path(path)
    try:
        with place.open("rb") as file:
            total = 0
            for number, line in enumerate(file, 1):
                if line.strip():
                    given = _request(place, number, line)
                    try:
                        item(given, total)
                    except InvalidRequest as error:
                        raise InvalidRequest(f"{place}, line {number}: {error}") from None
                    total += 1
    except OSError as error:
        raise ConfigError(f"{place} cannot be read: {error.strerror}") from None
    return Lines(place, total)


def _request(path: Path, number: int, line: bytes) -> Json:
    try:
        given = exact.read(line)
    except ValueError:
        raise InvalidRequest(f"{path}, line {number}: not JSON") from None
    if not exact.is_object(given):
        raise InvalidRequest(f"{path}, line {number}: no object; write it as one, with `model` and `messages`")
    return given
