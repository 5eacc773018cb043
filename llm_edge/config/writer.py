"""A configuration as TOML: for people (`llm-edge check`), for tests, for the example file. Secrets stay hidden."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from pydantic import BaseModel, BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from . import keys, values
from .edge import EdgeConfig
from .routes import TargetConfig
from .trees import Path, is_list, is_table, quoted

Say = Callable[[SecretStr], str]


def to_toml(config: EdgeConfig, *, secret: Say = keys.shown, note: Callable[[Path], str] | None = None) -> str:
    """Every setting with its value, defaults too. `note` may add a word after each, such as where it came from."""
    blocks = ["\n".join(lines) for lines in _tables(config, (), secret, note or (lambda _: ""))]
    return "\n\n".join(blocks) + "\n"


def literal(value: object, field: FieldInfo | None = None, secret: Say = keys.shown) -> str:
    """One value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, SecretStr):
        return text(secret(value))
    if isinstance(value, int) and field is not None and is_size(field):
        return size(value)
    if isinstance(value, float) and value.is_integer() and value < values.YEAR * 10:
        return str(int(value))
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, TargetConfig):
        name = text(value.target)
        return name if value.weight == 1.0 else f"{{ target = {name}, weight = {literal(value.weight)} }}"
    if callable(value):
        return text(f"a function: {getattr(value, '__qualname__', type(value).__name__)}")
    if is_list(value):
        return "[" + ", ".join(literal(each, None, secret) for each in value) + "]"
    if is_table(value):
        inner = ", ".join(f"{quoted(key)} = {literal(each, None, secret)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    return text(str(value))


def text(value: str) -> str:
    """A text in quotes."""
    # JSON's escapes are TOML's too, but for DEL, which only TOML escapes.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def size(value: int) -> str:
    """Bytes in the largest unit that fits exactly."""
    for unit in ("GiB", "MiB", "KiB"):
        if value and value % values.UNITS[unit.upper()] == 0:
            return text(f"{value // values.UNITS[unit.upper()]}{unit}")
    return str(value)


def is_size(field: FieldInfo) -> bool:
    """Whether the field is a number of bytes."""
    return any(isinstance(each, BeforeValidator) and each.func is values.size for each in field.metadata)


def _tables(section: BaseModel, path: Path, secret: Say, note: Callable[[Path], str]) -> Iterator[list[str]]:
    """The tables of a section, each as its lines, the section's own settings first."""
    lines: list[str] = []
    below: list[list[str]] = []
    for name, field in type(section).model_fields.items():
        value: object = getattr(section, name)
        here = (*path, name)
        if isinstance(value, BaseModel):
            below += [table for table in _tables(value, here, secret, note) if len(table) > 1]
        elif is_table(value):
            below += _named(value, here, secret, note)
        elif value is not None and value != ():
            one = value[0] if name == "api_key" and is_list(value) and len(value) == 1 else value
            lines.append(f"{name} = {literal(one, field, secret)}{_comment(note(here))}")
    if path:
        yield [header(path), *lines]
    elif lines:
        yield lines  # what stands in no table comes first
    yield from below


def _named(table: Mapping[str, object], path: Path, secret: Say, note: Callable[[Path], str]) -> Iterator[list[str]]:
    plain = [
        f"{quoted(key)} = {literal(value, None, secret)}{_comment(note((*path, key)))}"
        for key, value in table.items()
        if not isinstance(value, BaseModel)
    ]
    if plain:
        yield [header(path), *plain]
    for key, value in table.items():
        if isinstance(value, BaseModel):
            yield from _tables(value, (*path, key), secret, note)


def header(path: Path) -> str:
    """The line that opens a table."""
    return "[" + ".".join(quoted(str(part)) for part in path) + "]"


def _comment(words: str) -> str:
    return f"  # {words}" if words else ""
