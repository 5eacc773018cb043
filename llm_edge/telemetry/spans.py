"""Spans as OpenTelemetry's API makes them, with as few steps as it allows: every call pays for each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import baggage, context, propagate, trace

from ..message import Headers

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.trace import Span, SpanContext, Tracer

_W3C: Final = frozenset({"traceparent", "tracestate", "baggage"})
"""The fields of the usual propagators."""
_CARRIED: Final = ("traceparent", "tracestate")


class Spans:
    """What one tracer makes. It is loaded only where the app has set up OpenTelemetry's SDK."""

    def __init__(self, tracer: Tracer) -> None:
        self._start = tracer.start_span
        self.attach, self.detach = context.attach, context.detach
        self._textmap: Any = None
        self._usual = False

    def call(
        self, name: str, headers: Headers, facts: Mapping[str, Any], moment: int
    ) -> tuple[Span, Context, SpanContext]:
        """The span of a call, the context that it makes, and what it is known by."""
        span = self._start(name, _parent(headers), trace.SpanKind.CLIENT, facts, start_time=moment)
        return span, trace.set_span_in_context(span), span.get_span_context()

    def attempt(self, above: Context, moment: int) -> tuple[Span, Mapping[str, str]]:
        """The span of an attempt, and the headers that show it to the provider."""
        span = self._start("edge.attempt", above, start_time=moment)
        textmap = propagate.get_global_textmap()
        if textmap is not self._textmap:
            self._textmap, self._usual = textmap, "traceparent" in textmap.fields and textmap.fields <= _W3C
        shown = span.get_span_context()
        if self._usual and shown.is_valid and not shown.trace_state and not baggage.get_all(above):
            # What the usual propagators write, without the way there.
            return span, {"traceparent": f"00-{shown.trace_id:032x}-{shown.span_id:016x}-{shown.trace_flags:02x}"}
        carried: dict[str, str] = {}
        propagate.inject(carried, trace.set_span_in_context(span, above))
        return span, carried

    def child(self, name: str, above: Context, facts: Mapping[str, Any], moment: int) -> Span:
        """A span below a call's."""
        return self._start(name, above, attributes=facts, start_time=moment)


def _parent(headers: Headers) -> Context | None:
    """The app's own span; or, where there is none, the one that the caller's header names."""
    if "traceparent" not in headers or trace.get_current_span().get_span_context().is_valid:
        return None
    return propagate.extract({name: headers[name] for name in _CARRIED if name in headers})
