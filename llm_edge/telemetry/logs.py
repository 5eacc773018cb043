"""
Log lines for people or for programs, with secrets and personal data taken out.

llm_edge logs under the names `llm_edge.…` and leaves the rest to the app, as libraries do. `show()` is for apps, and
the sidecar, that want its lines as they are: it touches these loggers only, never the root.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TextIO, TypeAlias, cast

from .. import exact

if TYPE_CHECKING:
    from .redaction import Redactor

Format: TypeAlias = Literal["human", "json"]
NAME: Final = "llm_edge"


def serve(level: str, format: Format, redactor: Redactor) -> None:  # noqa: A002
    """Writes the lines of a process that is ours alone; a second time it replaces what was set up first."""
    for handler in list(logging.getLogger(NAME).handlers):
        if isinstance(handler.formatter, (Human, Json)):
            hide(handler)
    show("CRITICAL" if level == "off" else level, format=format, redactor=redactor)


def keep_quiet() -> None:
    """Says nothing on stderr where the app has set up no logging at all; what every library should do."""
    logger = logging.getLogger(NAME)
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def show(
    level: str | int = "INFO",
    *,
    format: Format = "human",  # noqa: A002  the word people look for
    stream: TextIO | None = None,
    redactor: Redactor | None = None,
) -> logging.Handler:
    """
    Writes the lines of llm_edge to `stream` (stderr), in place of the app's own handlers, until `hide(handler)`.

    `redactor=edge.redactor` takes out a client's secrets by their value; keys of known kinds go without it too.
    ValueError for a level that logging does not know.
    """
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter(format, redactor))
    logger = logging.getLogger(NAME)
    logger.setLevel(level.upper() if isinstance(level, str) else level)
    logger.addHandler(handler)
    logger.propagate = False  # or lines would come twice where the root has a handler
    return handler


def hide(handler: logging.Handler) -> None:
    """Undoes `show()`."""
    logger = logging.getLogger(NAME)
    logger.removeHandler(handler)
    handler.close()
    if not any(isinstance(each.formatter, (Human, Json)) for each in logger.handlers):
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


def formatter(format: Format = "human", redactor: Redactor | None = None) -> logging.Formatter:  # noqa: A002
    """A formatter for handlers of the app's own: `handler.setFormatter(formatter("json", edge.redactor))`."""
    from .redaction import Redactor

    return (Json if format == "json" else Human)(redactor or Redactor())


class Human(logging.Formatter):
    """One line to read: time, level, logger, words, and the id of the call it is about."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        said = record.getMessage()
        about = getattr(record, "request_id", "")
        if about:
            said += f" [{about}]"
        trouble = _trouble(record)
        said = self._redactor.text(said if not trouble else f"{said}\n{trouble}")
        return f"{_time(record)} {record.levelname:<7} {record.name}: {_one_line(said, keep=bool(trouble))}"


class Json(logging.Formatter):
    """One JSON object a line: `time`, `level`, `logger`, `message`, `request_id`, `trace_id`, and the event's facts."""

    def __init__(self, redactor: Redactor) -> None:
        super().__init__()
        self._redactor = redactor

    def format(self, record: logging.LogRecord) -> str:
        told: dict[str, Any] = {"message": record.getMessage()}
        for name in _ABOUT:
            if about := getattr(record, name, ""):
                told[name] = about
        facts = getattr(record, "facts", None)
        if isinstance(facts, Mapping):
            given = cast("Mapping[object, Any]", facts)  # whatever was given as `extra`
            told |= {str(name): value for name, value in given.items() if name not in _TAKEN}
        trouble = _trouble(record)
        if trouble:
            told["exception"] = trouble
        whole = {"time": _time(record), "level": record.levelname, "logger": record.name, **self._redactor.value(told)}
        return exact.write(whole).decode()


_ABOUT = ("request_id", "trace_id")
"""Which call it is about, as records of ours say."""
_TAKEN = frozenset({"time", "level", "logger", "message", *_ABOUT, "exception"})


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trouble(record: logging.LogRecord) -> str:
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")


def _one_line(text: str, *, keep: bool) -> str:
    """Without line breaks of somebody else's, which could pass for lines of ours."""
    return text if keep else text.replace("\r", "\\r").replace("\n", "\\n")
