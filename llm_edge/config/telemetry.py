"""The section on telemetry: what leaves the house about its calls."""

from __future__ import annotations

from pydantic import Field

from .sections import Section


class TelemetryConfig(Section):
    """What is told about calls: metrics for Prometheus, spans for OpenTelemetry."""

    metrics: bool = Field(
        default=False,
        description="Whether calls are counted from the start; `edge.metrics` counts from its first use on anyway.",
    )
    traces: bool = Field(
        default=True,
        description="Whether calls leave spans, and metrics of OpenTelemetry, once the app has set up its SDK.",
    )
    capture_content: bool = Field(
        default=False, description="Whether prompts and answers stand in spans. They may hold personal data."
    )
