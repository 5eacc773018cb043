"""The section on telemetry: what leaves the house about its calls."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from . import values
from .sections import Section

_WORDS = {"warn": "warning", "critical": "error", "fatal": "error", "trace": "debug", "none": "off"}


def _level(value: object) -> object:
    """Levels are written in many ways."""
    word = value.lower() if isinstance(value, str) else value
    return _WORDS.get(word, word) if isinstance(word, str) else word


def _format(value: object) -> object:
    word = value.lower() if isinstance(value, str) else value
    return "human" if word in {"text", "plain", "console"} else word


LogLevel = Annotated[Literal["debug", "info", "warning", "error", "off"], BeforeValidator(_level)]
LogFormat = Annotated[Literal["human", "json"], BeforeValidator(_format)]


class TelemetryConfig(Section):
    """What is told about calls: metrics for Prometheus, spans for OpenTelemetry."""

    metrics: bool = Field(
        default=False,
        description="Whether calls are counted from the start; `edge.metrics` counts from its first use on anyway.",
    )
    exemplars: bool = Field(
        default=False,
        description="Whether durations name traces to look up, for readers of metrics who ask for OpenMetrics; in a"
        " sidecar with one worker.",
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
    log_level: LogLevel = Field(
        default="warning",
        description='What the sidecar logs: "info" has a line for each call; "off" nothing. In an app of your own'
        " `llm_edge.telemetry.logs.show()`, or the app's own logging, decides.",
    )
    log_format: LogFormat = Field(default="human", description='How the sidecar writes its log: "human" or "json".')
    log_content: bool = Field(
        default=False,
        description="Whether prompts and answers stand in the log lines of calls, without keys, e-mail addresses,"
        " telephone numbers and so on. Names and what else people write stay.",
    )
