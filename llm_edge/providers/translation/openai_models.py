"""What OpenAI's models take, as far as translated requests depend on it."""

from __future__ import annotations

from .. import capabilities
from ..capabilities import Capabilities

OWN = frozenset({"openai", "azure", "azure-openai"})
"""Providers that are OpenAI's own servers, and refuse fields they do not know."""
SAMPLING = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "stop",
)
"""Refused while a model reasons."""
_ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def _of(model: str) -> Capabilities:
    # Azure's and Bedrock's are the same models; a deployment may have any name, and is unknown then.
    return capabilities.of("openai", model)


def reasons(model: str, effort: str) -> bool:
    """Whether the model refuses sampling fields when asked with this effort (empty: none named)."""
    known = _of(model)
    if known.sampling != "not_thinking":
        return known.sampling == "no"
    return effort != "none" if effort else known.thinks


def can_reason(model: str) -> bool:
    """Whether the model is known to reason at all."""
    known = _of(model)
    return known.known and known.thinking != "none"


def closest_effort(model: str, effort: str, *, chat: bool) -> str | None:
    """The nearest effort the model has; None when it has none. Unknown models are believed to have it."""
    known = _of(model)
    if known.thinking == "none":
        return None
    efforts = known.efforts or _ORDER
    if chat:
        efforts = tuple(each for each in efforts if each != "max")  # chat refuses it on every model
    if effort not in _ORDER or effort in efforts:
        return effort
    wanted = _ORDER.index(effort)
    return min(efforts, key=lambda each: (abs(_ORDER.index(each) - wanted), -_ORDER.index(each)))


def takes_breakpoints(model: str) -> bool:
    """Whether its prompt cache can be told where to end."""
    return capabilities.plain(model).startswith(("gpt-5.6", "gpt-6"))
