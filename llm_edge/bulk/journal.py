"""
The file of a job: one line for each answer, written as it comes, in the format of OpenAI's batch results.

A process may die at any moment: what stands in whole lines is kept, half a line at the end is taken off. Answers found
there are not asked for again; failures are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from .. import exact
from ..errors import ConfigError, EdgeError
from ..message import Json
from ..providers.cargo import mapping, string
from .items import Item, Result


class Journal:
    """The answers of earlier runs, and a place for those to come. Raises ConfigError when the file cannot be used."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self._known: dict[str, tuple[str, Json]] = {}
        try:
            self._file = self._path.open("a+b")
            self._read()
        except OSError as error:
            raise ConfigError(f"{self._path} cannot be used to keep answers: {error.strerror}") from None

    def _read(self) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, 1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            if line.strip():
                self._remember(line, number)
        self._file.truncate(whole)

    def _remember(self, line: bytes, number: int) -> None:
        try:
            entry: Json = mapping(exact.read(line))
        except ValueError:
            entry = mapping(None)
        name = string(entry.get("custom_id"))
        if not name:
            self._file.close()
            raise ConfigError(f"{self._path}, line {number}: no answer of a bulk job; name another file")
        body = mapping(mapping(entry.get("response")).get("body"))
        if body and entry.get("error") is None:
            self._known[name] = (string(entry.get("digest")), body)

    def answered(self, item: Item) -> Result | None:
        """The answer of an earlier run to the very same request."""
        digest, body = self._known.get(item.id, ("", None))
        if body is None or digest != item.digest:
            return None
        return Result(item.index, item.id, item.body, body=body)

    def write(self, item: Item, result: Result) -> None:
        """Put down what became of a request, before anybody is told."""
        self._file.write(exact.write(line(item, result)) + b"\n")
        self._file.flush()

    def close(self) -> None:
        """Have it on the disk."""
        if not self._file.closed:
            os.fsync(self._file.fileno())
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def line(item: Item, result: Result) -> Mapping[str, Any]:
    """A result in the format of OpenAI's batch output, and the request's digest."""
    answered = None
    if result.body is not None:
        request_id = result.reply.request_id if result.reply is not None else ""
        answered = {"status_code": 200, "request_id": request_id, "body": result.body}
    return {
        "id": f"edge_{item.digest[:24]}",
        "custom_id": result.id,
        "response": answered,
        "error": None if result.error is None else _failure(result.error),
        "digest": item.digest,
    }


def _failure(error: EdgeError) -> Mapping[str, Any]:
    return {"code": string(getattr(error, "code", "")) or type(error).__name__, "message": str(error)}
