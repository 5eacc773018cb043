"""What is said to a shared store, and how: one script, its keys and its words."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple, cast

from ..policy.hand import Owed, Want
from ..policy.rows import Row
from . import scripts
from .lanes import Client, library

_ALIVE = 30_000_000
"""Microseconds for which a process that was heard of counts as alive."""
_KINDS = {"pace": b"string", "log": b"zset", "tally": b"hash", "places": b"zset"}


class Batch(NamedTuple):
    """One script with what belongs to it."""

    script: str
    keys: tuple[str, ...]
    words: tuple[str, ...]
    rows: tuple[Row, ...]


def taken(prefix: str, process: str, id: str, wants: Sequence[Want], lease: float) -> Batch:  # noqa: A002  its name in the store
    """Take what is wanted of every row, or nothing."""
    words = [id, str(int(lease * 1e6)), str(_ALIVE), process]
    for row, need, more in wants:
        words += [row.kind, row.unit, str(row.limit), repr(row.rate), _span(row), str(need), str(more)]
    rows = tuple(want.row for want in wants)
    keys = (f"{prefix}hold:{id}", f"{prefix}alive", *(prefix + row.key for row in rows))
    return Batch(scripts.TAKE, keys, tuple(words), rows)


def cancelled(batch: Batch) -> Batch:
    """Undo a take of which nobody knows whether it was made; and keep it from being made."""
    return batch._replace(script=scripts.CANCEL)


def settled(prefix: str, id: str, owed: Sequence[Owed]) -> Batch:  # noqa: A002  as above
    """Tell what was used, or was not."""
    words: list[str] = []
    for row, name, amount, used in owed:
        words += [row.kind, row.unit, repr(row.rate), _span(row), name, str(amount), str(used)]
    rows = tuple(each.row for each in owed)
    return Batch(scripts.SETTLE, (f"{prefix}told:{id}", *(prefix + row.key for row in rows)), tuple(words), rows)


def asked_for(prefix: str, rows: Sequence[Row]) -> Batch:
    """What stands under these tallies."""
    return Batch(scripts.ACCOUNTS, tuple(prefix + row.key for row in rows), tuple(map(_span, rows)), tuple(rows))


def ran(client: Client, batch: Batch) -> Sequence[int]:
    """What the script says. What stands in the place of a row and is none is put aside."""
    try:
        return _ran(client, batch)
    except library().ResponseError as error:
        if "WRONGTYPE" not in str(error):
            raise
        _put_aside(client, batch)
        return _ran(client, batch)


def _ran(client: Client, batch: Batch) -> Sequence[int]:
    asked: Any = client  # redis-py's own types are those of sync and async at once
    try:
        said = asked.evalsha(_digest(batch.script), len(batch.keys), *batch.keys, *batch.words)
    except library().exceptions.NoScriptError:
        said = client.eval(batch.script, len(batch.keys), *batch.keys, *batch.words)
    told = cast("list[object]", said if isinstance(said, list) else [said])
    if not all(isinstance(each, int) for each in told) or len(told) < _length(batch, told):
        raise library().InvalidResponse("what was said is no answer to this script")
    return cast("Sequence[int]", told)


def _length(batch: Batch, told: Sequence[object]) -> int:
    """How many numbers the script says."""
    if batch.script is scripts.TAKE:
        return 4 + 3 * len(batch.rows) if told and told[0] else 4
    return 3 * len(batch.rows) if batch.script is scripts.ACCOUNTS else 1


def hopeless(error: Exception) -> bool:
    """Whether the script itself failed, and would again: it is no use to say it once more."""
    script = str(error).startswith(("user_script", "Error running script"))
    return isinstance(error, library().ResponseError) and script


def _put_aside(client: Client, batch: Batch) -> None:
    asked: Any = client  # as above
    for row, key in zip(batch.rows, batch.keys[-len(batch.rows) :], strict=True):
        if asked.type(key) not in (_KINDS[row.kind], b"none"):
            aside = f"{key}:odd:{int(time.time())}"
            asked.rename(key, aside)
            asked.expire(aside, 86_400)


def _span(row: Row) -> str:
    return row.period if row.kind == "tally" else str(int(row.window * 1e6))


@cache
def _digest(script: str) -> str:
    return hashlib.sha1(script.encode(), usedforsecurity=False).hexdigest()
