"""
What models take and refuse, as data with a date and a source: `data/capabilities.json`.

The file is read when the first question is asked. A model nobody has heard of gets values that
send what the caller asked for and let the provider judge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import orjson

Sampling: TypeAlias = Literal["yes", "no", "not_thinking"]
Thinking: TypeAlias = Literal["none", "budget", "adaptive", "both", "effort", "level", "any"]
ThinkingOff: TypeAlias = Literal["disabled", "between_tools", "effort", "zero", ""]


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """One model's, at one provider."""

    known: bool = False
    """Whether somebody looked; else these are guesses that refuse little."""
    max_output: int | None = None
    """The most tokens one answer may have, thinking included."""
    context: int | None = None
    """Tokens the model can take in."""
    sampling: Sampling = "yes"
    """Whether temperature, top_p and their like are taken; `not_thinking`: only with a reasoning effort of none."""
    prefill: bool = True
    """Whether a last assistant message is continued."""
    thinking: Thinking = "any"
    """How it is asked to think: Anthropic's budget or adaptive (or both), OpenAI's effort, Google's level."""
    thinks: bool = False
    """Whether it thinks when nothing is said."""
    thinking_off: ThinkingOff = ""
    """How thinking is switched off; empty: it cannot be, or nobody knows."""
    efforts: tuple[str, ...] = ()
    """The reasoning efforts it takes, weakest first; empty: none, or unknown."""
    tools: bool = True
    """Whether it can be given tools."""
    forced_tools: bool = True
    """Whether a tool call can be demanded."""
    json_schema: bool = True
    """Whether answers can be held to a schema."""
    schema_with_tools: bool = True
    """Whether that goes together with tools."""
    signed_calls: bool = False
    """Whether Google's API wants function calls back with their ids and the signature of the thought behind them."""
    penalties: bool = True
    """Whether presence and frequency penalties are taken."""
    old_schemas: bool = False
    """Whether only Google's older subset of OpenAPI is taken for schemas."""
    system_inline: bool = False
    """Whether Anthropic's API takes system messages in the middle."""
    responses_only: bool = False
    """Whether OpenAI offers it in the Responses API alone."""
    images: bool = True
    documents: bool = True
    audio: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Table:
    date: str
    source: str
    models: Mapping[str, Mapping[str, Any]]
    at: Mapping[str, Mapping[str, Mapping[str, Any]]]


_NAMES = frozenset(field.name for field in fields(Capabilities))
_PATH = re.compile(r"^.*/")  # publishers/…/models/, vendor/model, arn:…/
_REGION = re.compile(r"^(?:global|us-gov|us|eu|apac|jp|au|ca|sa|me|af|uk|in)\.(?=[a-z])")
_VENDOR = re.compile(r"^[a-z0-9-]+\.(?=[a-z])")
_AT = re.compile(r"@.*$")
_REVISION = re.compile(r"(?:-v\d+(?::\d+)?|:\d+)(?::[a-z0-9]+)?$")
_DATE = re.compile(r"-(?:20\d{6}|20\d\d-\d\d-\d\d)$")
_VERSION = re.compile(r"-\d{1,2}(?![0-9])|\.\d|\d")


@lru_cache(maxsize=1024)
def of(provider: str, model: str) -> Capabilities:
    """What this model takes and refuses at this provider."""
    table = _table()
    name = plain(model)
    row = {**_row(table.models, name), **_row(table.at.get(provider, {}), name)}
    return Capabilities(**row)


@lru_cache(maxsize=1024)
def plain(model: str) -> str:
    """
    The model's own name: region, vendor, path, date and revision taken off.

    `us.anthropic.claude-haiku-4-5-20251001-v1:0` is `claude-haiku-4-5`.
    """
    name = _PATH.sub("", model.strip().lower())
    name = _REGION.sub("", name)
    name = _VENDOR.sub("", name)
    name = _AT.sub("", name)
    name = _REVISION.sub("", name)
    return _DATE.sub("", name)


def source() -> tuple[str, str]:
    """The date of the data, and where it is from."""
    table = _table()
    return table.date, table.source


def _row(rows: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    found = ""
    for prefix in rows:
        if len(prefix) > len(found) and _belongs(name, prefix):
            found = prefix
    return _filled(rows, found) if found else {}


def _belongs(name: str, prefix: str) -> bool:
    """Whether it is this model, or a variant of it; another version is another model."""
    return name == prefix or (name.startswith(prefix) and not _VERSION.match(name, len(prefix)))


def _filled(rows: Mapping[str, Mapping[str, Any]], name: str) -> dict[str, Any]:
    row = dict(rows[name])
    base = row.pop("like", None)
    filled = {**(_filled(rows, base) if base else {"known": True}), **row}
    if "efforts" in row:
        filled["efforts"] = tuple(row["efforts"])
    return filled


@lru_cache(maxsize=1)
def _table() -> _Table:
    from importlib.resources import files

    loaded = orjson.loads(files("llm_edge").joinpath("data", "capabilities.json").read_bytes())
    table = _Table(date=loaded["date"], source=loaded["source"], models=loaded["models"], at=loaded["at"])
    for rows in (table.models, *table.at.values()):
        for name, row in rows.items():
            unknown = row.keys() - _NAMES - {"like"}
            if unknown:
                raise ValueError(f"capabilities.json: {name} has fields nobody reads: {', '.join(sorted(unknown))}")
    return table
