"""Spans sent to a collector over OTLP, for apps that set up no OpenTelemetry of their own: the sidecar above all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_PATH: Final = "/v1/traces"
_PATIENCE: Final = 3.0
"""Seconds that one batch may take, and the last one of a client that is closed."""


def exporting(endpoint: str) -> TracerProvider:
    """
    A provider of its own whose spans go to the collector at `endpoint` (`http://localhost:4318`), in batches and behind
    the callers' backs. Resource, batches and headers are set by the `OTEL_…` variables of OpenTelemetry's own
    specification; the service is called `llm_edge` unless they say otherwise.

    Raises ConfigError when the extra `otel` is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigError(
            f"telemetry.otlp_endpoint needs more packages ({error.name}): pip install 'llm_edge[otel]'"
        ) from None
    resource = Resource.create({SERVICE_NAME: "llm_edge"}).merge(OTELResourceDetector().detect())
    exporter = OTLPSpanExporter(endpoint=_whole(endpoint), timeout=_PATIENCE)
    # At the interpreter's end nobody waits for a collector: who closes the client sends what is left.
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, export_timeout_millis=_PATIENCE * 1e3))
    return provider


def _whole(endpoint: str) -> str:
    """The address of the traces, where only the collector's own is given."""
    return endpoint.rstrip("/") + _PATH if urlsplit(endpoint).path in {"", "/"} else endpoint
