"""The sections on limits: what each allows, the tiers, and where the counts live."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, Self

from pydantic import Field, model_validator

from . import values
from .sections import Section
from .values import refuse

MOST_STRICT = 1000


class TierConfig(Section):
    """A set of limits by name, for many tenants, keys or users alike."""

    requests_per_minute: values.Count | None = Field(default=None, description="Calls in a minute.", examples=[1000])
    requests_per_second: values.Rate | None = Field(
        default=None, description="Calls in a second, in place of requests_per_minute.", examples=[10.0]
    )
    burst: values.Count | None = Field(
        default=None,
        description="Calls that may come at once. Default: a fifth of the rate, at least 1.",
        examples=[100],
    )
    window: Literal["gcra", "strict"] | None = Field(
        default=None,
        description='How the rate is held: "gcra", a steady pace with room for a burst; "strict", never more than'
        " that many in any window, for up to 1000 calls.",
        examples=["gcra"],
    )
    requests_per_day: values.Count | None = Field(
        default=None, description="Calls in a day, by UTC.", examples=[100_000]
    )
    tokens_per_minute: values.Count | None = Field(
        default=None, description="Tokens in a minute, prompts and answers together.", examples=[200_000]
    )
    concurrency: values.Count | None = Field(
        default=None, description="Calls under way at the same time.", examples=[100]
    )

    @property
    def rate(self) -> float | None:
        """Calls in a second; None when they are not limited."""
        return self.requests_per_minute / 60 if self.requests_per_minute else self.requests_per_second

    @property
    def burst_size(self) -> int:
        """`burst`, or its default."""
        return self.burst or max(1, math.ceil((self.requests_per_minute or self.requests_per_second or 0) / 5))

    @property
    def limits_something(self) -> bool:
        return bool(self.rate or self.requests_per_day or self.tokens_per_minute or self.concurrency)

    @model_validator(mode="after")
    def _one_rate(self) -> Self:
        if self.requests_per_minute and self.requests_per_second:
            raise refuse("stands beside requests_per_minute", "Keep one of the two.", field="requests_per_second")
        if self.window == "strict" and self.rate:
            if self.burst:
                raise refuse("has no meaning in a strict window", "Leave one of the two out.", field="burst")
            most = self.requests_per_minute or self.requests_per_second or 0
            if most > MOST_STRICT or most < 1 or most != int(most):
                raise refuse(
                    f"is strict, which needs a whole number of calls up to {MOST_STRICT}",
                    'Use window = "gcra", or another rate.', field="window",
                )  # fmt: skip
        return self


class LimitConfig(TierConfig):
    """A limit on calls; those beyond it are refused, or wait for `patience` seconds."""

    enabled: bool = Field(default=True, description="Whether the limit counts.")
    tier: values.Name | None = Field(
        default=None,
        description="A tier whose settings fill what is not set here. A call that names a tier of its own"
        " (x-llm-edge-tier, or edge={'tier': ...}) is held to that one.",
        examples=["free"],
    )
    patience: values.SecondsOrNone = Field(
        default=0.0, description="How long a call may wait for room, in seconds; 0 refuses it at once."
    )
    on_store_failure: Literal["local", "open", "closed"] = Field(
        default="local",
        description='While the shared store cannot be asked: "local" holds this process to its share, "open" lets'
        ' all pass, "closed" refuses all.',
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Self:
        if not self.enabled or self.tier:
            return self
        if self.burst and not self.rate:
            raise refuse("has no rate to go with", "Set requests_per_minute or requests_per_second.", field="burst")
        if not self.limits_something:
            raise refuse(
                "limits nothing",
                "Set requests_per_minute, requests_per_second, requests_per_day, tokens_per_minute, concurrency"
                " or tier.",
            )
        return self


TIERS: Mapping[str, TierConfig] = MappingProxyType(
    {
        # Known to be right, so not checked: that would take megabytes of every process.
        "free": TierConfig.model_construct(
            requests_per_second=10.0, requests_per_day=1000, concurrency=5, window="strict"
        ),
        "pro": TierConfig.model_construct(requests_per_second=100.0, requests_per_day=100_000, concurrency=50),
        "enterprise": TierConfig.model_construct(requests_per_second=1000.0, concurrency=500),
    }
)
"""Tiers that are there without being configured; one of the same name takes their place."""


class StoreConfig(Section):
    """Where limits count: in this process, or in a Redis or Valkey for all processes that share it."""

    kind: Literal["memory", "redis"] = Field(
        default="memory", description='"memory": each process counts for itself; "redis": all that share it together.'
    )
    url: values.RedisAddress | None = Field(
        default=None,
        description="Where, as for cache.redis.url; may be a reference, and is treated as a secret.",
        examples=["redis://127.0.0.1:6379/0"],
    )
    prefix: values.StorePrefix = Field(
        default="llm-edge:limits", description="What the names of its keys begin with, in braces: they are of one slot."
    )
    ca_file: values.FilePath | None = Field(
        default=None,
        description="Certificates to trust besides the system's, as PEM; for an address with TLS.",
        examples=["/etc/ssl/own-ca.pem"],
    )
    timeout: values.Seconds = Field(
        default=0.05,
        description="Seconds a call waits for it; one that is slower is left alone for a while. More for a far one.",
    )

    @model_validator(mode="after")
    def _url_for_redis(self) -> Self:
        if self.kind == "redis" and not self.url:
            raise refuse("is missing", 'Write it as in "redis://127.0.0.1:6379/0".', field="url")
        return self
