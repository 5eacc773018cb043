"""The section on telemetry: what leaves the house about its calls."""

from __future__ import annotations

from pydantic import Field

from . import values
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
    otlp_endpoint: values.Address | None = Field(
        default=None,
        description="A collector that spans are sent to over OTLP/HTTP, where the app sets up no OpenTelemetry of its"
        " own; needs the extra `otel`.",
        examples=["http://localhost:4318"],
    )
    usage_log: values.FilePath | None = Field(
        default=None,
        description="A file that gets a record of each call: who, what, how much. Lines of JSON, or a SQLite database"
        " where its name ends in .db, .sqlite or .sqlite3. `llm-edge spend` adds it up.",
        examples=["usage.jsonl"],
    )
    capture_content: bool = Field(
        default=False, description="Whether prompts and answers stand in spans. They may hold personal data."
    )
