"""A foreign document, read key by key: what nobody has taken is left over, and is told."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeGuard, TypeVar

from ..exact import is_list, is_object

Path: TypeAlias = tuple[str | int, ...]

T = TypeVar("T")

_BARE = re.compile(r"[A-Za-z0-9_*/.-]+")


def spoken(path: Path) -> str:
    """A place in a document, as `model_list[0].litellm_params.model`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            word = step if _BARE.fullmatch(step) else repr(step)
            text += f".{word}" if text else word
    return text or "the file"


def fields(value: Any) -> Mapping[str, Any]:
    """The fields of a mapping; none where it is something else."""
    return value if is_object(value) else {}


def items(value: Any) -> Sequence[Any]:
    """The items of a list; none where it is something else."""
    return value if is_list(value) else ()


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _is_flag(value: Any) -> TypeGuard[bool]:
    return isinstance(value, bool)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


class Reading:
    """A mapping inside the document. Asking for a value takes it, when it is of the kind that was asked for."""

    def __init__(self, document: Any, path: Path = (), taken: set[Path] | None = None) -> None:
        self.value: Any = document
        self.path = path
        self._taken: set[Path] = set() if taken is None else taken

    def __contains__(self, key: str) -> bool:
        return key in fields(self.value)

    def raw(self, key: str) -> Any:
        """The value, not taken."""
        return self.value[key] if key in self else None

    def at(self, key: str) -> Path:
        return (*self.path, key)

    def take(self, key: str) -> None:
        """It is dealt with, with all that is inside."""
        self._taken.add(self.at(key))

    def give_back(self, key: str) -> None:
        """It could not be carried over after all."""
        self._taken.discard(self.at(key))

    def text(self, *keys: str) -> str | None:
        """The first of these that is a text with something in it."""
        return self._first(keys, _is_text)

    def flag(self, *keys: str) -> bool | None:
        """The first of these that is true or false."""
        return self._first(keys, _is_flag)

    def number(self, *keys: str) -> float | None:
        """The first of these that is a number."""
        return self._first(keys, _is_number)

    def count(self, *keys: str) -> int | None:
        """The first of these that is a whole number."""
        return self._first(keys, _is_count)

    def _first(self, keys: Sequence[str], fits: Callable[[Any], TypeGuard[T]]) -> T | None:
        for key in keys:
            value = self.raw(key)
            if fits(value):
                self.take(key)
                return value
        return None

    def section(self, key: str) -> Reading:
        """What is inside; nothing where it is no mapping."""
        return Reading(self.raw(key), self.at(key), self._taken)

    def each(self, key: str) -> list[Reading]:
        """The mappings of a list."""
        found = items(self.raw(key))
        return [Reading(item, (*self.at(key), at), self._taken) for at, item in enumerate(found)]

    def left(self) -> Iterator[Path]:
        """The places of all values that nobody has taken."""
        yield from self._left(self.value, self.path)

    def _left(self, value: Any, path: Path) -> Iterator[Path]:
        if path in self._taken:
            return
        inner: list[tuple[str | int, Any]] = [(str(key), item) for key, item in fields(value).items()]
        inner += enumerate(items(value))
        if not inner:
            yield path
        for step, item in inner:
            yield from self._left(item, (*path, step))
