"""The annotated example of a configuration file, made from the models so that it cannot grow old."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .edge import EdgeConfig
from .problems import inner_model, is_named
from .trees import Path
from .writer import header, literal

NAMES = {
    "models": "local/*",
    "providers": "local",
    "routes": "fast",
    "limits": "global",
    "budgets": "global",
    "tiers": "free",
}
"""What the named tables are called in the example."""
INNER = {"tiers": "priority"}
"""And those within others."""

INTRODUCTION = """\
# edge.toml: every setting of llm_edge, with its default.
#
# A line that starts with # and no space is an example: remove the # to use it. Times are in seconds.
# With LLM_EDGE_ENV=production the file edge.production.toml beside this one is laid over it.
# Over both lie variables, as LLM_EDGE__CACHE__TTL=300, and over these the keywords of EdgeClient.
# `llm-edge check edge.toml` checks a file and prints what it comes to.
# This file is made by `python -m llm_edge.config`.
"""


def example() -> str:
    """The text of `docs/edge.example.toml`."""
    blocks = [*_settings(EdgeConfig, live=True), *_blocks(EdgeConfig, (), live=True)]
    return INTRODUCTION + "".join(f"\n{block}\n" for block in blocks)


def _settings(model: type[BaseModel], *, live: bool) -> Iterator[str]:
    """What stands in no table, which TOML wants first."""
    for name, field in model.model_fields.items():
        if inner_model(field) is None:
            yield "\n".join([*_prose(field.description), _setting(name, field, live=live)])


def _blocks(model: type[BaseModel], path: Path, *, live: bool) -> Iterator[str]:
    for name, field in model.model_fields.items():
        inner = inner_model(field)
        if inner is None or name == "targets":
            continue
        named = is_named(field)
        here: Path = (*path, name, (INNER if path and name in INNER else NAMES)[name]) if named else (*path, name)
        yield _block(inner, here, field, live=live and not named)
        yield from _blocks(inner, here, live=live and not named)


def _block(model: type[BaseModel], path: Path, field: FieldInfo, *, live: bool) -> str:
    lines = [*_prose(field.description), ("" if live else "#") + header(path)]
    said: str | None = None
    for name, setting in model.model_fields.items():
        if inner_model(setting) is None or name == "targets":
            lines += _prose(setting.description) if setting.description != said else []
            lines.append(_setting(name, setting, live=live))
            said = setting.description
    return "\n".join(lines)


def _setting(name: str, field: FieldInfo, *, live: bool) -> str:
    value: object = field.default
    if field.examples and value in (None, (), PydanticUndefined):
        return f"#{name} = {literal(field.examples[0], field)}"
    return ("" if live else "#") + f"{name} = {literal(value, field)}"


def _prose(words: str | None) -> list[str]:
    return textwrap.wrap(words or "", 110, initial_indent="# ", subsequent_indent="# ", break_long_words=False)
