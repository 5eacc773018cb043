"""
What the workers of one sidecar tell each other for the dashboard: a file of each in a directory they share.

Only while somebody looks: whoever is asked by a browser leaves a mark there, and the others then write down each
second what they know. A worker that is gone is no longer counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .. import exact
from .live import COARSE, FINE, Live

log = logging.getLogger("llm_edge.serve")

EVERY = 1.0
"""Seconds between two times of writing."""
_LOOKED, _FRESH = 15.0, 5.0


class Workers:
    """This worker among its fellows; `folder` is None when it is alone, or does not know where they meet."""

    def __init__(self, live: Live, folder: Path | None) -> None:
        self._live, self._folder = live, folder
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """To be called when the loop runs."""
        if self._folder is not None and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._go_on(self._folder))

    async def stop(self) -> None:
        """Writes no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._folder is not None:
            _mine(self._folder).unlink(missing_ok=True)

    async def _go_on(self, folder: Path) -> None:
        while True:
            await asyncio.sleep(EVERY)
            with contextlib.suppress(OSError):  # the directory may be gone: the server is going, too
                self.write(folder)

    def write(self, folder: Path) -> None:
        """What this worker knows, for the others, if somebody looks."""
        if _age(folder / "looked") > _LOOKED:
            return
        told = {str(seconds): self._live.told(seconds) for seconds in (FINE, COARSE)}
        beside = _mine(folder).with_suffix(".new")
        beside.write_bytes(exact.write(told))
        beside.replace(_mine(folder))

    def told(self, seconds: int) -> list[Mapping[str, Any]]:
        """What each worker knows, this one first."""
        found: list[Mapping[str, Any]] = [self._live.told(seconds)]
        if self._folder is None:
            return found
        with contextlib.suppress(OSError):
            (self._folder / "looked").touch()
            others = [file for file in self._folder.glob("live-*.json") if file != _mine(self._folder)]
            found += [_read(file, seconds) for file in others if _age(file) < _FRESH]
        return found


def _mine(folder: Path) -> Path:
    return folder / f"live-{os.getpid()}.json"


def _age(file: Path) -> float:
    """Seconds since a file was written; files have the system's clock, whatever ours is."""
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return float("inf")


def _read(file: Path, seconds: int) -> Mapping[str, Any]:
    told: dict[str, Any] = exact.read(file.read_bytes())[str(seconds)]
    slices: dict[str, Any] = told["slices"]
    told["slices"] = {int(number): _counted(part) for number, part in slices.items()}
    return told


def _counted(part: dict[str, Any]) -> dict[str, Any]:
    """A slice as it was before JSON made its numbers names."""
    return {
        **part,
        "spreads": {name: _numbers(counts) for name, counts in part["spreads"].items()},
        "targets": {name: (counts, _numbers(spread)) for name, (counts, spread) in part["targets"].items()},
    }


def _numbers(counts: Mapping[str, int]) -> dict[int, int]:
    return {int(at): count for at, count in counts.items()}
