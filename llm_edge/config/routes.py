"""The part of a configuration that says who answers for a model name: routes, and what is theirs alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PlainValidator, model_validator

from . import values
from .guard import Action, Kinds
from .sections import Section
from .values import refuse


class TargetConfig(Section):
    """One target of a route."""

    target: values.TargetName = Field(description='"provider/model".', examples=["openai/gpt-5.4-mini"])
    weight: values.Weight = Field(
        default=1.0, description="How much of the calls it takes, against the others; for strategies that share them."
    )


def as_target(value: object) -> object:
    """A bare text counts as `{ target = text }`."""
    return {"target": value} if isinstance(value, str) else value


Target = Annotated[TargetConfig, BeforeValidator(as_target)]
Targets = Annotated[tuple[values.TargetName, ...], BeforeValidator(values.one_or_many)]
Strategy = Annotated[str | Callable[..., Any], PlainValidator(values.strategy)]


class RouteDeadline(Section):
    """The times of one route, where they differ from `[deadline]`."""

    total: values.Seconds | None = Field(default=None, description="As in [deadline].", examples=[20.0])
    chat: values.Seconds | None = Field(default=None, description="As in [deadline].", examples=[20.0])
    stream: values.Seconds | None = Field(default=None, description="As in [deadline].", examples=[60.0])
    embeddings: values.Seconds | None = Field(default=None, description="As in [deadline].", examples=[5.0])
    first_token: values.Seconds | None = Field(default=None, description="As in [deadline].", examples=[10.0])
    idle: values.Seconds | None = Field(default=None, description="As in [deadline].", examples=[10.0])
    attempt: values.Seconds | None = Field(default=None, description="As in [deadline].", examples=[10.0])


class RouteCache(Section):
    """The cache rules of one route, where they differ from `[cache]`."""

    policy: Literal["all", "deterministic", "off"] | None = Field(
        default=None, description="As in [cache].", examples=["deterministic"]
    )
    ttl: values.Seconds | None = Field(default=None, description="As in [cache].", examples=[60.0])
    stale_while_revalidate: values.SecondsOrNone | None = Field(
        default=None, description="As in [cache].", examples=[30.0]
    )
    stale_if_error: values.SecondsOrNone | None = Field(default=None, description="As in [cache].", examples=[600.0])
    coalesce: bool | None = Field(default=None, description="As in [cache].", examples=[False])


class RouteRetry(Section):
    """The retry rules of one route, where they differ from `[retry]`."""

    attempts: values.Attempts | None = Field(default=None, description="As in [retry].", examples=[2])
    base: values.SecondsOrNone | None = Field(default=None, description="As in [retry].", examples=[0.1])
    cap: values.SecondsOrNone | None = Field(default=None, description="As in [retry].", examples=[2.0])
    continuation: bool | None = Field(default=None, description="As in [retry].", examples=[True])


class RouteBreaker(Section):
    """The breaker's rules on one route, where they differ from `[breaker]`. Then the route has breakers of its own."""

    enabled: bool | None = Field(default=None, description="As in [breaker].", examples=[True])
    failures: values.Count | None = Field(default=None, description="As in [breaker].", examples=[3])
    failed_share: values.Share | None = Field(default=None, description="As in [breaker].", examples=[0.3])
    slow_share: values.Share | None = Field(default=None, description="As in [breaker].", examples=[0.5])
    slow_after: values.SecondsOrNone | None = Field(default=None, description="As in [breaker].", examples=[5.0])
    outcomes: values.Count | None = Field(default=None, description="As in [breaker].", examples=[10])
    window: values.Seconds | None = Field(default=None, description="As in [breaker].", examples=[30.0])
    open_for: values.Seconds | None = Field(default=None, description="As in [breaker].", examples=[10.0])
    growing: bool | None = Field(default=None, description="As in [breaker].", examples=[True])
    probes: values.Count | None = Field(default=None, description="As in [breaker].", examples=[2])


class RouteHedge(Section):
    """The rule on second asks of one route, where it differs from `[hedge]`."""

    enabled: bool | None = Field(default=None, description="As in [hedge].", examples=[True])


class RouteGuard(Section):
    """What the guard does on one route, where it differs from `[guard]`."""

    pii: Action | None = Field(default=None, description="As in [guard].", examples=["redact"])
    kinds: Kinds | None = Field(default=None, description="As in [guard].", examples=[("email", "phone")])
    restore: bool | None = Field(default=None, description="As in [guard].", examples=[False])


class RouteConfig(Section):
    """A model name that callers use, and the targets that answer for it."""

    targets: Annotated[tuple[Target, ...], BeforeValidator(values.one_or_many)] = Field(
        description='Who answers, as "provider/model" or { target = "provider/model" }, in order.',
        examples=[("openai/gpt-5.4-mini", "local/qwen3")],
    )
    strategy: Strategy = Field(
        default="failover",
        description='Who is asked first: "failover": as listed; "round-robin": each in turn; "weighted": by chance and'
        ' weight; "least-busy"; "least-latency"; "p2c": the better of two by chance; "cost": the cheapest; "usage":'
        ' most room left; "sticky": one for each conversation; "semantic": easy questions to the first, hard ones to'
        ' the last; "shadow": the first alone, with copies to the others. By keyword also a function: (request,'
        " targets) to ordered targets.",
    )
    fallbacks: Targets = Field(
        default=(), description="Who is asked when all targets have failed.", examples=[("groq/openai/gpt-oss-20b",)]
    )
    context_window_fallbacks: Targets = Field(
        default=(),
        description="Who is asked when the prompt is too long for the targets.",
        examples=[("anthropic/claude-sonnet-5-5",)],
    )
    content_policy_fallbacks: Targets = Field(
        default=(),
        description="Who is asked when a content policy has refused the prompt. Without it nobody is.",
        examples=[("local/qwen3",)],
    )
    on_budget: Literal["refuse", "downgrade"] = Field(
        default="refuse",
        description='What happens when a hard budget has no room for a call: "downgrade" tries the next targets, which'
        " may cost less.",
    )
    deadline: RouteDeadline = Field(default_factory=RouteDeadline.unset, description="Times of this route alone.")
    breaker: RouteBreaker = Field(
        default_factory=RouteBreaker.unset, description="The breaker's rules on this route alone."
    )
    cache: RouteCache = Field(default_factory=RouteCache.unset, description="Cache rules of this route alone.")
    guard: RouteGuard = Field(default_factory=RouteGuard.unset, description="What the guard does on this route alone.")
    hedge: RouteHedge = Field(default_factory=RouteHedge.unset, description="Second asks of this route alone.")
    retry: RouteRetry = Field(default_factory=RouteRetry.unset, description="Retry rules of this route alone.")

    @model_validator(mode="after")
    def _targets_once(self) -> Self:
        if not self.targets:
            raise refuse("must not be empty", "Name at least one target.", field="targets")
        if len({each.target for each in self.targets}) < len(self.targets):
            raise refuse("names one target twice", "Remove the second; retry.attempts asks again.", field="targets")
        return self
