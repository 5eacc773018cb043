"""The price of every model: the user's own first, then the shipped file, a dated copy of `genai-prices`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import orjson

from ..policy.price import ALWAYS, Price, Rate, Variant, When, cost

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

Source: TypeAlias = Literal["shipped", "installed", "none"]
_MOST = 4096
"""Models remembered at once; their names come from callers."""

_LISTED_AS: Final[Mapping[str, str]] = {
    "gemini": "google", "gemini-openai": "google", "vertex": "google", "xai": "x-ai", "moonshot": "moonshotai",
    "bedrock": "aws",
}  # fmt: skip
"""Providers that the list calls otherwise."""


class Book:
    """
    Prices by target, `provider/model`.

    `own` are the user's, by target or pattern (`local/*`); `place` says what a configured provider really is.
    Nothing is read before the first price is asked for.
    """

    def __init__(
        self,
        own: Mapping[str, Price] | None = None,
        *,
        source: Source = "shipped",
        place: Callable[[str], str] = lambda provider: provider,
    ) -> None:
        self._own, self._place = dict(own or {}), place
        self._source: Source = source
        self._known: dict[tuple[str, str], Price | None] = {}

    def price(self, target: str, answered: str = "") -> Price | None:
        """The price of a target; by the model that `answered` where its own name is not known. None when unknown."""
        key = (target, answered)
        if key not in self._known:
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = self._found(target, answered)
        return self._known[key]

    def cost(self, target: str, usage: Mapping[str, Any] | None, now: float, answered: str = "") -> int | None:
        """Nano-dollars; None when usage or price is unknown. `now` is in seconds since 1970."""
        if usage is None:
            return None
        price = self.price(target, answered)
        return None if price is None else cost(usage, price, now)

    def _found(self, target: str, answered: str) -> Price | None:
        provider, _, model = target.partition("/")
        names = [target, f"{provider}/{answered}"] if answered and answered != model else [target]
        for name in names:
            own = self._own.get(name) or next((self._own[each] for each in self._own if fnmatchcase(name, each)), None)
            if own is not None:
                return own
        if self._source == "none":
            return None
        place = self._place(provider)
        place = _LISTED_AS.get(place, place)
        models = [name.partition("/")[2].lower() for name in names]
        return next(filter(None, (_listed(self._source, place, each) for each in models)), None)


def _listed(source: Source, place: str, model: str) -> Price | None:
    row = _provider(source, place)
    if row is None or not model:
        return None
    for listed in row["models"]:
        if _fits(listed["is"], model):
            return _price(listed)
    return next(filter(None, (_of(source, other, model) for other in row["also"])), None)


def _of(source: Source, place: str, model: str) -> Price | None:
    row = _provider(source, place)
    return next((_price(each) for each in row["models"] if _fits(each["is"], model)), None) if row else None


def _file() -> Traversable:
    """The list, wherever the package lies: in a folder, or in an archive that it is imported from."""
    from importlib.resources import files

    return files("llm_edge").joinpath("data", "prices.json")


def about() -> dict[str, str]:
    """Where the shipped prices come from, and of what date they are."""
    with _file().open("rb") as file:
        told: dict[str, str] = orjson.loads(file.readline().rstrip().removesuffix(b',"providers":{') + b"}")["about"]
    return told


@cache
def _provider(source: Source, place: str) -> Any:
    """One provider's list; None when there is none. Of the file, only its own line is parsed."""
    if source == "installed":
        return _live().get(place)
    head = orjson.dumps(place) + b":"
    with _file().open("rb") as file:
        for line in file:
            if line.startswith(head):
                return orjson.loads(line[len(head) :].rstrip().removesuffix(b","))
    return None


@cache
def _live() -> dict[str, Any]:
    from .convert import live

    return live()


def _fits(clause: list[Any], model: str) -> bool:
    sign, *rest = clause
    match sign:
        case "or":
            return any(_fits(each, model) for each in rest)
        case "and":
            return all(_fits(each, model) for each in rest)
        case "=":
            return bool(model == rest[0])
        case "^":
            return model.startswith(rest[0])
        case "$":
            return model.endswith(rest[0])
        case "~":
            return rest[0] in model
        case _:
            return re.search(rest[0], model) is not None


def _price(row: Mapping[str, Any]) -> Price:
    return Price(
        standard=[(_when(when), _rates(rates)) for when, rates in row["prices"]],
        variants=[
            Variant(asked=asked, when=_when(when), rates=_rates(rates))
            for asked, when, rates in row.get("variants", ())
        ],
    )


def _rates(rates: Mapping[str, Any]) -> dict[str, Rate]:
    return {
        name: rate if isinstance(rate, int) else tuple((above, each) for above, each in rate)
        for name, rate in rates.items()
    }


def _when(value: Any) -> When:
    if value is None:
        return ALWAYS
    if isinstance(value, str):
        return When(since=datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp())
    return When(hours=(value[0], value[1]))
