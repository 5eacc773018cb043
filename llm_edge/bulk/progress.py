"""A bar that shows how far a long job is: rich's or tqdm's where one is installed, else a line now and then."""

from __future__ import annotations

import sys
import time
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol, TextIO

_EVERY = 5.0  # seconds between plain lines


class Progress(Protocol):
    """Hears of each request that is done."""

    def done(self, *, failed: bool) -> None: ...
    def close(self) -> None: ...


def progress(shown: bool, total: int | None) -> Progress:
    """What shows a job of so many requests; nothing when it is not wanted."""
    if not shown:
        return _Silent()
    if find_spec("rich") is not None:
        return _Rich(total)
    if find_spec("tqdm") is not None:
        return _Tqdm(total)
    return Plain(total)


class _Silent:
    def done(self, *, failed: bool) -> None: ...
    def close(self) -> None: ...


class _Rich:
    def __init__(self, total: int | None) -> None:
        rich: Any = import_module("rich.progress")  # not installed for type checkers
        columns = [rich.BarColumn(), rich.MofNCompleteColumn(), rich.TimeElapsedColumn(), rich.TimeRemainingColumn()]
        self._bar: Any = rich.Progress(*columns, rich.TextColumn("{task.fields[failed]} failed"))
        self._task: Any = self._bar.add_task("", total=total, failed=0)
        self._failed = 0
        self._bar.start()

    def done(self, *, failed: bool) -> None:
        self._failed += failed
        self._bar.update(self._task, advance=1, failed=self._failed)

    def close(self) -> None:
        self._bar.stop()


class _Tqdm:
    def __init__(self, total: int | None) -> None:
        tqdm: Any = import_module("tqdm")  # likewise
        self._bar: Any = tqdm.tqdm(total=total)
        self._failed = 0

    def done(self, *, failed: bool) -> None:
        self._failed += failed
        if failed:
            self._bar.set_postfix(failed=self._failed)
        self._bar.update(1)

    def close(self) -> None:
        self._bar.close()


class Plain:
    """A line now and then, and one at the end."""

    def __init__(self, total: int | None, out: TextIO | None = None) -> None:
        self._total, self._out = total, out or sys.stderr
        self._done = self._failed = 0
        self._next = time.monotonic() + _EVERY

    def done(self, *, failed: bool) -> None:
        self._done += 1
        self._failed += failed
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + _EVERY
            self._say()

    def _say(self) -> None:
        of = "" if self._total is None else f" of {self._total}"
        print(f"{self._done}{of} done, {self._failed} failed", file=self._out, flush=True)

    def close(self) -> None:
        self._say()
