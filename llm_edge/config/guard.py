"""The section on the guard: what may not go further than this process."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from . import values
from .sections import Section

Kind = Literal["api_key", "email", "iban", "card", "ssn", "ip", "phone"]
Kinds = Annotated[tuple[Kind, ...], BeforeValidator(values.one_or_many), Field(min_length=1)]
Action = Literal["off", "detect", "redact", "block"]
_ALL: tuple[Kind, ...] = ("api_key", "email", "iban", "card", "ssn", "ip", "phone")


class GuardConfig(Section):
    """Personal data in what is asked."""

    pii: Action = Field(
        default="off",
        description='What happens to personal data and keys in what is asked: "detect" tells of them in explain() and'
        ' the metrics; "redact" puts placeholders in their place, for cache and providers; "block" refuses the call.',
    )
    kinds: Kinds = Field(default=_ALL, description="What is looked for. Names of people and streets are not found.")
    restore: bool = Field(
        default=True, description="Whether answers have the values again in place of the placeholders."
    )
