"""Spans of time as OpenAI's header fields write them: `12ms`, `1s`, `6m0s`, `1h2m3s`."""

from __future__ import annotations

import re

_PARTS = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)(h|ms|us|µs|ns|m|s)")
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def written(seconds: float) -> str:
    """Whole seconds from a minute up, milliseconds below a second; rounded up, so that nobody comes too early."""
    milliseconds = int(seconds * 1e3 + 0.999_999)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1e3:g}s"
    whole = (milliseconds + 999) // 1000
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes}m{rest}s" if hours else f"{minutes}m{rest}s"


def seconds(text: str) -> float | None:
    """What is written there; a bare number is seconds. None for anything else."""
    text = text.strip(" \t")
    if not 0 < len(text) <= 40:
        return None
    if text.replace(".", "", 1).isdecimal() and text.isascii():
        return float(text)
    total, at = 0.0, 0
    for part in _PARTS.finditer(text):
        if part.start() != at:
            return None
        at = part.end()
        total += float(part[1]) * _UNITS[part[2]]
    return total if at == len(text) and at else None
