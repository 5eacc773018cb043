"""The configuration that is being written: each piece goes in only when the whole can still be loaded with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import tomli_w

from ..config import EdgeConfig
from ..errors import ConfigError
from .reading import Path, Reading, fields, items, spoken

REFERENCE = "os.environ/"
"""How LiteLLM names a variable."""
_PLAIN = re.compile(r"[^A-Za-z0-9]+")


@dataclass(frozen=True, slots=True)
class Imported:
    """What came of it."""

    tree: Mapping[str, Any]
    """The settings."""
    remarks: tuple[str, ...]
    """What to see to: variables to set, and what means something a little different here."""
    lost: tuple[str, ...]
    """What could not be carried over, place by place, with the reason."""

    def text(self) -> str:
        """The `edge.toml`."""
        head = ["# Written by `llm-edge import`.", *_comment("See to this:", self.remarks)]
        head += _comment("Not carried over:", self.lost)
        return "\n".join(head) + "\n\n" + tomli_w.dumps(dict(self.tree))


def _named(document: Any) -> Iterator[str]:
    """The variables that a document refers to."""
    if isinstance(document, str) and document.startswith(REFERENCE):
        yield document.removeprefix(REFERENCE)
    for each in [*fields(document).values(), *items(document)]:
        yield from _named(each)


def _comment(title: str, lines: Iterable[str]) -> list[str]:
    return [f"# {title}", *(f"#   {_one_line(line)}" for line in lines)] if lines else []


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


class Draft:
    """Settings put together one by one."""

    def __init__(self, document: Any) -> None:
        self.tree: dict[str, Any] = {}
        # Variables that mean something already, and those that stand for a secret of the old file.
        self._variables: dict[str, str | None] = dict.fromkeys(_named(document))
        self.remarks: list[str] = []
        self._lost: dict[Path, str] = {}
        self._providers: dict[str, Mapping[str, Any]] = {}

    def put(self, value: Any, *where: str) -> str:
        """Put a setting in its place; why it cannot stand there, or nothing when it can."""
        changed = deepcopy(self.tree)
        place: dict[str, Any] = changed
        for step in where[:-1]:
            place = place.setdefault(step, {})
        place[where[-1]] = value
        try:
            EdgeConfig(**changed)
        except ConfigError as error:
            return str(error).partition("\n")[0]
        self.tree = changed
        return ""

    def refuses(self, value: Any, *where: str) -> str:
        """Why a setting could not stand there; it is not put."""
        before = self.tree
        wrong = self.put(value, *where)
        self.tree = before
        return wrong

    def carry(self, old: Reading, key: str, value: Any, *where: str) -> bool:
        """Put a setting that came from this key; when it cannot stand there, the key is listed."""
        if value is None:
            return False
        wrong = "it is set already, by another key" if self._holds(where) else self.put(value, *where)
        if wrong:
            old.give_back(key)
            self.lose(old.at(key), f"its value cannot be used here: {wrong}")
        return not wrong

    def _holds(self, where: tuple[str, ...]) -> bool:
        place: Any = self.tree
        for step in where:
            if step not in fields(place):
                return False
            place = place[step]
        return True

    def lose(self, path: Path, why: str) -> None:
        """Something that has no place here."""
        self._lost.setdefault(path, why)

    def remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)

    def provider(self, kind: str, settings: Mapping[str, Any]) -> tuple[str, str]:
        """The name of the provider with these settings, made when there is none; and why it cannot be made."""
        for name, known in self._providers.items():
            if known == {"kind": kind, **settings}:
                return name, ""
        name, number = kind, 1
        while name in self._providers:
            number += 1
            name = f"{kind}-{number}"
        wrong = self.put({**({} if name == kind else {"kind": kind}), **settings}, "providers", name)
        if not wrong:
            self._providers[name] = {"kind": kind, **settings}
        return name, wrong

    def secret(self, value: str, name: str, path: Path) -> str:
        """A reference to a secret: what it refers to already, or a variable to be set."""
        if value.startswith(REFERENCE):
            return f"env:{value.removeprefix(REFERENCE)}"
        first = variable = _PLAIN.sub("_", name).strip("_").upper() or "LLM_EDGE_SECRET"
        number = 1
        while variable in self._variables and self._variables[variable] != value:
            number += 1
            variable = f"{first}_{number}"
        self._variables[variable] = value
        self.remark(f"{spoken(path)} held a secret; it was left out: set the variable {variable} to it")
        return f"env:{variable}"

    def done(self, old: Reading) -> Imported:
        """All of it; what nobody has looked at is listed as well."""
        lost = dict(self._lost)
        for path in old.left():
            if not any(path[:depth] in lost for depth in range(len(path) + 1)):
                lost[path] = "there is no such setting here"
        return Imported(self.tree, tuple(self.remarks), tuple(f"{spoken(path)}: {why}" for path, why in lost.items()))
