"""The section on budgets: what may be spent, and by whom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from ..policy.periods import Period
from . import values
from .sections import Section
from .values import refuse

Dollars = Annotated[float, BeforeValidator(values.not_a_switch), Field(ge=0, le=9e6, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(values.not_a_switch), Field(gt=0, le=1, allow_inf_nan=False)]


class BudgetConfig(Section):
    """What may be spent, in US dollars, by UTC. Answers from the cache cost nothing."""

    usd_per_minute: Dollars | None = Field(default=None, description="In a minute.", examples=[1.0])
    usd_per_hour: Dollars | None = Field(default=None, description="In an hour.", examples=[10.0])
    usd_per_day: Dollars | None = Field(default=None, description="In a day.", examples=[50.0])
    usd_per_month: Dollars | None = Field(default=None, description="In a month.", examples=[500.0])
    usd_total: Dollars | None = Field(default=None, description="For ever.", examples=[1000.0])
    hard: bool = Field(
        default=True,
        description="Whether calls beyond it are refused, and calls whose price is not known; else there is a warning.",
    )
    warn_at: Share = Field(default=0.8, description="The share of it that is worth a warning in the log.")

    @property
    def nano_dollars(self) -> Mapping[Period, int]:
        """The limits by period."""
        given: dict[Period, float | None] = {
            "minute": self.usd_per_minute, "hour": self.usd_per_hour, "day": self.usd_per_day,
            "month": self.usd_per_month, "total": self.usd_total,
        }  # fmt: skip
        return {period: round(usd * 10**9) for period, usd in given.items() if usd is not None}

    @model_validator(mode="after")
    def _bounds_something(self) -> Self:
        if not self.nano_dollars:
            raise refuse("bounds nothing", "Set usd_per_minute, usd_per_hour, usd_per_day, usd_per_month or usd_total.")
        return self
