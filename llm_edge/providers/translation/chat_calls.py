"""
Pieces of tool calls put in order: one number, one id and one name for each call, whatever the server sends.

Calls are told apart by their `index`. Servers that leave it out are understood by what else they
say: an id not seen before begins a call, so does a name, unless the last call has that name and its
arguments are not whole yet. Servers that number every call 0 are found out by a second id with a name.

A call is first told when its arguments begin, or when something else does: until then its name may
still grow, for some servers send names in pieces.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...message import Json
from ..cargo import mapping, objects, parse, string
from .frames import dump

_KNOWN = frozenset({"index", "id", "type", "function", "custom"})


class _Call:
    """One call as it comes in."""

    __slots__ = ("arguments", "extra", "id", "index", "kind", "name", "told")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self.name = ""
        self.kind = "function"
        self.arguments = ""
        """Only of calls that came without an index."""
        self.extra: dict[str, Any] = {}
        self.told = False

    @property
    def unfinished(self) -> bool:
        """Whether its arguments have begun and are not whole yet."""
        return bool(self.arguments) and parse(self.arguments.encode()) is None


class Calls:
    """The tool calls of one choice. `prefix` begins the ids of calls that have none."""

    __slots__ = ("_by_id", "_by_index", "_calls", "_held", "_names", "_prefix")

    def __init__(self, prefix: str, names: dict[str, str] | None = None) -> None:
        self._prefix = prefix
        self._names = names or {}
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._held: _Call | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def take(self, deltas: Any) -> list[Json]:
        """The same pieces in order; those that say nothing new are left out."""
        found: list[Json] = []
        for delta in objects(deltas):
            function = mapping(delta.get("function")) or mapping(delta.get("custom"))
            index = delta.get("index") if type(delta.get("index")) is int else None
            call = self._find(index, string(delta.get("id")), string(function.get("name")))
            if self._held is not None and self._held is not call:
                found += self.flush()
            if not call.told:
                self._learn(call, delta, function)
            piece = _text(function.get("input" if call.kind == "custom" else "arguments"))
            if index is None:
                call.arguments += piece
            extra = {name: delta[name] for name in delta if name not in _KNOWN}
            if call.told and (piece or extra):
                found.append({"index": call.index, **_body(call.kind, None, piece), **extra})
            elif not call.told:
                call.extra |= extra
                self._held = call
                if piece:
                    found += self.flush(piece)
        return found

    def flush(self, piece: str = "") -> list[Json]:
        """The call that has not been told of yet, with the first piece of its arguments."""
        call, self._held = self._held, None
        if call is None:
            return []
        call.told = True
        name = self._names.get(call.name, call.name)
        return [
            {
                "index": call.index,
                "id": call.id or f"{self._prefix}{call.index}",
                "type": call.kind,
                **_body(call.kind, name, piece),
                **call.extra,
            }
        ]

    def _find(self, index: int | None, known: str, name: str) -> _Call:
        last = self._calls[-1] if self._calls else None
        if index is not None:
            call = self._by_index.get(index)
            if call is None or (known and name and call.id and known != call.id):
                call = self._by_index[index] = self._new()
        elif known:
            call = self._by_id.get(known) or self._new()
        elif name:
            call = last if last is not None and last.name == name and last.unfinished else self._new()
        else:
            call = last or self._new()
        if known and not call.id:
            call.id = known
            self._by_id[known] = call
        return call

    def _new(self) -> _Call:
        call = _Call(len(self._calls))
        self._calls.append(call)
        return call

    def _learn(self, call: _Call, delta: Json, function: Json) -> None:
        name = string(function.get("name"))
        if delta.get("type") == "custom" or "custom" in delta:
            call.kind = "custom"
        if name.startswith(call.name):
            call.name = name  # the first of it, all of it again, or all so far
        elif name != call.name:
            call.name += name


def _body(kind: str, name: str | None, piece: str) -> dict[str, Any]:
    field = "input" if kind == "custom" else "arguments"
    return {kind: {field: piece} if name is None else {"name": name, field: piece}}


def _text(arguments: Any) -> str:
    """Arguments as text; some servers send the object itself."""
    if arguments is None or isinstance(arguments, str):
        return arguments or ""
    return dump(arguments).decode()


def whole_calls(calls: Iterable[Json], prefix: str, names: dict[str, str]) -> list[Json]:
    """The tool calls of a whole answer, each with an id and with its arguments as text."""
    found: list[Json] = []
    for position, call in enumerate(calls):
        kind = "custom" if "custom" in call else "function"
        body, field = mapping(call.get(kind)), "input" if kind == "custom" else "arguments"
        name = string(body.get("name"))
        text = _text(body.get(field)) or ("" if kind == "custom" else "{}")
        rest = {key: value for key, value in call.items() if key not in _KNOWN}
        found.append(
            {
                "id": string(call.get("id")) or f"{prefix}{position}",
                "type": kind,
                kind: {"name": names.get(name, name), field: text},
                **rest,
            }
        )
    return found
