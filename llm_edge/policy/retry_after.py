"""How long the other side asks us to wait, read from its answer's header fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST = 1e9
"""Seconds; a longer wait is a mistake of the other side's, not a request."""
_NUMBER = re.compile(r"[0-9]{1,16}(?:\.[0-9]{0,16})?|\.[0-9]{1,16}")


def retry_after(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """
    Seconds to wait by `retry-after-ms` or `retry-after` (seconds or an HTTP date); None when
    neither says anything sensible. A date is held against `now` (seconds since 1970), or against
    the answer's own `date` when `now` is not given: then our clock need not be right.
    """
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1e3
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is not None:
        return seconds
    until = _moment(value)
    moment = now if now is not None else _moment(headers.get("date", ""))
    if until is None or moment is None:
        return None
    wait = max(until - moment, 0.0)
    return wait if wait <= LONGEST else None


def _number(text: str) -> float | None:
    text = text.strip(" \t")
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if value <= LONGEST else None


def _moment(text: str) -> float | None:
    if not 20 <= len(text) <= 64:
        return None
    try:
        date = parsedate_to_datetime(text.strip())
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
