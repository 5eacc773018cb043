"""Settings that may differ by route."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Rules(Generic[T]):
    """One setting for every call, and another for some routes."""

    default: T
    routes: Mapping[str, T] = field(default_factory=dict[str, T])

    def __iter__(self) -> Iterator[T]:
        """All of them."""
        return iter((self.default, *self.routes.values()))

    def of(self, route: str) -> T:
        return self.routes.get(route, self.default) if route else self.default
