"""Who hears of a client's calls by its configuration: spans, the usage log, metrics."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .answers import put_together
from .build import House, finished, readings
from .runtime import Clock, ThreadClock, mind_forks

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider as Exporting
    from opentelemetry.trace import TracerProvider

    from .money.usage_log import UsageLog
    from .telemetry.metrics import Metrics


class Hearing:
    """The listeners of one house; each is loaded only where it is wanted."""

    def __init__(
        self,
        house: House,
        clock: Clock | None,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._house, self._clock = house, clock or ThreadClock()
        self._lock = threading.Lock()
        self._exporting: Exporting | None = None
        self._usage: UsageLog | None = None
        self._metrics: Metrics | None = None
        if house.config.telemetry.traces:
            self._trace(tracer_provider, meter_provider)
        if house.config.telemetry.usage_log is not None:
            from .money.usage_log import UsageLog

            self._usage = UsageLog(house.config.telemetry.usage_log, self._clock)
            house.listeners.append(self._usage)
        if house.config.telemetry.metrics:
            _ = self.metrics
        mind_forks(self)

    def after_fork(self) -> None:
        self._lock = threading.Lock()

    def _trace(self, tracer_provider: TracerProvider | None, meter_provider: MeterProvider | None) -> None:
        from .telemetry.traces import Traces

        telemetry = self._house.config.telemetry
        if telemetry.otlp_endpoint is not None and tracer_provider is None:
            from .telemetry.otlp import exporting

            tracer_provider = self._exporting = exporting(telemetry.otlp_endpoint)
        self._house.listeners.append(
            Traces(
                self._clock, tracer_provider=tracer_provider, meter_provider=meter_provider,
                content=telemetry.capture_content, finished=finished, whole=put_together,
            )
        )  # fmt: skip

    @property
    def metrics(self) -> Metrics:
        """The counts for Prometheus, from the first time somebody wants them."""
        with self._lock:
            if self._metrics is None:
                from .telemetry.metrics import Metrics

                house = self._house
                kept = house.config.telemetry.exemplars
                self._metrics = Metrics(self._clock, lambda: readings(house), exemplars=kept)
                house.listeners.append(self._metrics)
            return self._metrics

    def close(self) -> None:
        """Write down what is still to be written."""
        if self._usage is not None:
            self._usage.close()
        if self._exporting is not None:
            self._exporting.shutdown()
