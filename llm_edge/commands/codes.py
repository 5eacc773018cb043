"""What a command says when it exits."""

from __future__ import annotations

GOOD = 0
FAILED = 1
"""It ran, and calls failed."""
BAD = 2
"""It could not begin."""
STOPPED = 130
"""Somebody pressed Ctrl-C."""
