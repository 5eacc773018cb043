"""What is wrong with a configuration, in words: which setting, where it was set, what is wrong, how to mend it.

Values are never repeated, because any of them may be a secret in the wrong place.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticUndefined

from ..errors import ConfigError
from .trees import Path, dotted

_PLAIN: Mapping[str, tuple[str, str]] = {
    "missing": ("is missing", "Set it."),
    "greater_than": ("must be more than {gt:g}", ""),
    "greater_than_equal": ("must be at least {ge:g}", ""),
    "less_than": ("must be less than {lt:g}", ""),
    "less_than_equal": ("must be at most {le:g}", ""),
    "finite_number": ("must be a finite number", ""),
    "literal_error": ("must be {expected}", ""),
    "extra_forbidden": ("is not a setting", "Remove it."),
}
_KINDS: Sequence[tuple[tuple[str, ...], str]] = (
    (("int_",), "must be a whole number"),
    (("float_",), "must be a number"),
    (("bool_",), "must be true or false"),
    (("string_", "path_"), "must be a text"),
    (("tuple_", "list_"), "must be a list"),
    (("model_", "mapping_", "dict_"), "must be a table of settings"),
)


@dataclass(frozen=True, slots=True)
class Problem:
    """One setting that cannot be used."""

    path: Path
    what: str
    fix: str

    def line(self, place: Callable[[Path], str]) -> str:
        return f"{dotted(self.path)} ({place(self.path)}): {self.what}. {self.fix}".rstrip()


def failure(problems: Iterable[Problem], place: Callable[[Path], str]) -> ConfigError:
    """One error that lists them all."""
    lines = [problem.line(place) for problem in problems]
    if len(lines) == 1:
        return ConfigError(lines[0])
    return ConfigError("\n  ".join([f"{len(lines)} settings cannot be used:", *lines]))


def explain(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """The problems that pydantic found, in our words."""
    return [_problem(details, model) for details in error.errors(include_url=False, include_input=False)]


def _problem(details: ErrorDetails, model: type[BaseModel]) -> Problem:
    path = tuple(part for part in details["loc"] if part != "[key]")
    facts = details.get("ctx", {})
    if details["type"] == "edge":
        field = str(facts["field"])
        return Problem((*path, field) if field else path, str(facts["what"]), str(facts["fix"]))
    what, fix = _words(details["type"], facts)
    if details["type"] == "extra_forbidden":
        return Problem(path, what, _nearest(path, model) or fix)
    return Problem(path, what, fix or _inside(path, details["type"], model) or _default_of(path, model))


def _words(kind: str, facts: Mapping[str, Any]) -> tuple[str, str]:
    if kind in _PLAIN:
        what, fix = _PLAIN[kind]
        return what.format(**facts), fix
    for starts, what in _KINDS:
        if kind.startswith(starts):
            return what, ""
    return "is not usable here", ""


def _inside(path: Path, kind: str, model: type[BaseModel]) -> str:
    """What may stand in the section for which something else was given."""
    section = model_at(path, model) if kind.startswith("model_") else None
    return f"In it may stand {', '.join(section.model_fields)}." if section else ""


def _default_of(path: Path, model: type[BaseModel]) -> str:
    owner = model_at(path[:-1], model)
    field = owner.model_fields.get(str(path[-1])) if owner and path else None
    if field is None or field.default in (PydanticUndefined, None):
        return "Change it or leave it out." if field is not None and not field.is_required() else "Change it."
    return f"Change it, or leave it out for the default, {json.dumps(field.default, default=str)}."


def _nearest(path: Path, model: type[BaseModel]) -> str:
    """The setting that was probably meant: a close name here, or the same name elsewhere."""
    owner = model_at(path[:-1], model)
    here = list(owner.model_fields) if owner else []
    wanted = str(path[-1]).lower().replace("-", "_")
    if close := difflib.get_close_matches(wanted, here, n=1, cutoff=0.6):
        return f"Did you mean {dotted((*path[:-1], close[0]))}?"
    everywhere = [each for each in all_paths(model) if each[-1] == wanted]
    if everywhere:
        return f"Did you mean {dotted(everywhere[0])}?"
    return f"Remove it; here may stand {', '.join(here)}." if here else ""


def all_paths(model: type[BaseModel], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every setting that has one fixed full name."""
    for name, field in model.model_fields.items():
        yield (*above, name)
        inner = inner_model(field)
        if inner is not None and not is_named(field):
            yield from all_paths(inner, (*above, name))


def model_at(path: Path, model: type[BaseModel]) -> type[BaseModel] | None:
    """The model whose settings stand under this path; None when settings do not stand there."""
    at: type[BaseModel] | None = model
    parts = iter(path)
    for part in parts:
        field = at.model_fields.get(str(part)) if at else None
        if field is None:
            return None
        at = inner_model(field)
        if at is not None and is_named(field) and next(parts, None) is None:
            return None
    return at


def is_named(field: FieldInfo) -> bool:
    """Whether the field is a table of named sections, or a list of them."""
    return get_origin(field.annotation) in (Mapping, tuple)


def inner_model(field: FieldInfo) -> type[BaseModel] | None:
    """The section that stands under a field, if it is one."""
    return _model_in(field.annotation)


def _model_in(annotation: Any) -> type[BaseModel] | None:  # a type expression has no narrower type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Mapping, tuple, Union, Annotated):
        return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
    return None
