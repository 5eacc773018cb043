"""
Tokens counted by a vocabulary that lies in a directory, where the app has put one there and installed tiktoken.

A sample of a text is counted, never the whole: a call waits microseconds for it. The vocabulary is read by a thread of
its own, at the first count; until it is there nothing is counted. Nothing is ever downloaded.
"""

from __future__ import annotations

import logging
import threading
from base64 import b64decode
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from ..errors import ConfigError
from ..policy.estimate import Count
from ..runtime import mind_forks

log = logging.getLogger("llm_edge")

FILES: Final[Mapping[str, tuple[str, ...]]] = {
    "o200k_base": ("o200k_base.tiktoken", "fb374d419588a4632f3f557e76b4b70aebbca790"),
    "cl100k_base": ("cl100k_base.tiktoken", "9b5ad71b2ce5302211f9c61530b329a4922fc6a4"),
}
"""Under which names they lie: their own, and those that tiktoken keeps them by."""
_OLDER: Final = ("gpt-4-", "gpt-3.5", "text-embedding-3", "text-embedding-ada")
_WORDS: Final = r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+(?!\S)|\s+"
"""What a token never reaches across: words with the sign before them, a few digits, signs, spaces."""


def counting(directory: Path | None) -> Count | None:
    """What counts by the vocabularies of a directory; None without one. Raises ConfigError when it cannot."""
    if directory is None:
        return None
    try:
        # Now, and not in the thread that reads: a process forked meanwhile would have half of it for good.
        import_module("tiktoken")
    except ImportError:
        raise ConfigError("token_files: needs the package tiktoken: pip install 'llm_edge[tokens]'") from None
    found = {name: path for name in FILES if (path := _path(directory, name)) is not None}
    if not found:
        known = ", ".join(names[0] for names in FILES.values())
        raise ConfigError(f"token_files: {directory} holds none of {known}. Put one there: nothing is downloaded.")
    return Vocabularies(found)


def _path(directory: Path, name: str) -> Path | None:
    return next((path for each in FILES[name] if (path := directory / each).is_file()), None)


class Vocabularies:
    """Counts samples."""

    def __init__(self, paths: Mapping[str, Path]) -> None:
        self._paths = paths
        self._ready: dict[str, Any] = {}
        """By name; None while it is read, and for good when it cannot be."""
        self._lock = threading.Lock()
        mind_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()
        for name in [name for name, ready in self._ready.items() if ready is None]:
            del self._ready[name]  # whoever read it is a thread of the parent

    def __call__(self, model: str, text: str, /) -> int | None:
        name = self._name(model.rpartition("/")[2])
        encoding = self._ready.get(name)
        if encoding is None:
            self._begin(name)
            return None
        return len(encoding.encode_ordinary(text))

    def _name(self, model: str) -> str:
        """The model's own vocabulary; else one that is there: close enough, and the rest is learned."""
        own = "cl100k_base" if model == "gpt-4" or model.startswith(_OLDER) else "o200k_base"
        return own if own in self._paths else next(iter(self._paths))

    def _begin(self, name: str) -> None:
        with self._lock:
            if name in self._ready:
                return
            self._ready[name] = None
        threading.Thread(target=self._read, args=(name,), name="llm_edge vocabulary", daemon=True).start()

    def _read(self, name: str) -> None:
        import tiktoken

        try:
            ranks = {
                b64decode(token): int(rank)
                for token, rank in (line.split() for line in self._paths[name].read_bytes().splitlines() if line)
            }
            self._ready[name] = tiktoken.Encoding(
                f"llm_edge {name}", pat_str=_WORDS, mergeable_ranks=ranks, special_tokens={}
            )
        except (OSError, ValueError) as error:
            log.warning("token_files: %s cannot be read, and tokens are guessed: %s", self._paths[name].name, error)
