"""The sections that say what happens when a provider fails: asking again, and leaving it alone."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from . import values
from .sections import Section
from .values import refuse


class RetryConfig(Section):
    """Asking again after a failure that may pass."""

    attempts: values.Attempts = Field(
        default=3, description="Calls to one target at most, the first included; 1 never retries."
    )
    base: values.SecondsOrNone = Field(
        default=0.1, description="The longest first wait, in seconds; it doubles each time."
    )
    cap: values.SecondsOrNone = Field(default=8.0, description="The longest wait of all, in seconds.")
    share: values.Share = Field(
        default=0.2, description="Retries and hedges of one target at most, as a share of its calls in ten seconds."
    )
    per_second: values.RateOrNone = Field(default=3.0, description="So many a second are allowed besides.")

    continuation: bool = Field(
        default=False,
        description="Whether a stream that breaks off in the middle is gone on with, by a target whose model can"
        " continue an answer; a comment in the stream marks the place.",
    )

    @model_validator(mode="after")
    def _cap_above_base(self) -> Self:
        if self.cap < self.base:
            raise refuse("is smaller than base", "Raise cap or lower base.", field="cap")
        return self


class HedgeConfig(Section):
    """Asking a second time when an answer takes longer than usual, and taking whichever comes first."""

    enabled: bool = Field(default=False, description="Whether there are second asks.")
    share: values.Share = Field(default=0.05, description="Second asks at most, as a share of the calls.")
    usual: values.Share = Field(
        default=0.95,
        description="A second ask is made after the time in which this share of the answers comes; of streams, their"
        " first events.",
    )
    least: values.SecondsOrNone = Field(default=0.05, description="How long is waited in any case, in seconds.")


class BreakerConfig(Section):
    """Leaving a target alone for a while when it fails or hangs."""

    enabled: bool = Field(default=True, description="Whether failing targets are left alone.")
    failures: values.Count = Field(default=5, description="Failures in a row that open the breaker.")
    failed_share: values.Share = Field(
        default=0.5, description="It opens, too, when this share of at least `outcomes` calls in `window` failed."
    )
    slow_share: values.Share = Field(default=0.8, description="It opens, too, when this share of them was slow.")
    slow_after: values.SecondsOrNone = Field(
        default=10.0,
        description="A stream is slow when its first event takes longer, in seconds; models that think have three times"
        " as long. 0 for never.",
    )
    outcomes: values.Count = Field(default=20, description="Calls that must have ended before a share counts.")
    window: values.Seconds = Field(default=60.0, description="How long calls count, in seconds.")
    open_for: values.Seconds = Field(default=30.0, description="How long it stays open, in seconds.")
    growing: bool = Field(
        default=False, description="Whether it opens for 0.1 s first, doubled each time up to `open_for`."
    )
    probes: values.Count = Field(default=1, description="Calls that may try at once whether it goes well again.")
    concurrency: values.Count = Field(default=512, description="Calls under way at one target at most.")
    waiting: values.CountOrNone = Field(default=512, description="Calls that may wait for a place among those.")
