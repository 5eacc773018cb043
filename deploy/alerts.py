"""When somebody should be woken, as rules for Prometheus."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Alert:
    """One rule."""

    name: str
    when: str
    lasts: str
    severity: str
    summary: str
    advice: str


def _rate(name: str, by: str, which: str = "") -> str:
    return f"sum by ({by}) (rate({name}{which}[5m]))"


_REQUESTS = "llm_edge_requests_total"
_FAILED = _rate(_REQUESTS, "provider", '{status=~"5.."}')


def _hit_rate(span: str) -> str:
    # A counter that never counted is not there, and would leave no sum at all.
    hits, shared, misses = (
        f"(sum(rate(llm_edge_{name}_total[{span}])) or vector(0))"
        for name in ("cache_hits", "coalesced", "cache_misses")
    )
    return f"({hits} + {shared}) / ({hits} + {shared} + {misses})"


RECORDS: Final = {f"llm_edge:cache_hit_ratio:{span}": _hit_rate(span) for span in ("30m", "1d")}
"""What is worked out beforehand, by name."""

ALERTS: Final = (
    Alert(
        name="LlmEdgeErrorRate", lasts="5m", severity="critical",
        when=f"{_FAILED} / {_rate(_REQUESTS, 'provider')} > 0.05 and {_rate(_REQUESTS, 'provider')} > 0.1",
        summary="{{ $value | humanizePercentage }} of the calls to {{ $labels.provider }} fail",
        advice="See the dashboard System health, and what the provider says. A route with a second target goes on.",
    ),
    Alert(
        name="LlmEdgeOverhead", lasts="10m", severity="warning",
        when=f"histogram_quantile(0.95, {_rate('llm_edge_overhead_seconds_bucket', 'le')}) > 0.005",
        summary="llm_edge itself takes {{ $value | humanizeDuration }} of a call (p95)",
        advice="Usually the machine or the event loop is busy, or a shared store is slow.",
    ),
    Alert(
        name="LlmEdgeBreakerOpen", lasts="1m", severity="warning",
        when="max by (provider, model) (llm_edge_circuit_breaker_state) == 2",
        summary="{{ $labels.provider }}/{{ $labels.model }} fails, and is left alone",
        advice="It is asked again by itself. `llm-edge doctor` says what is wrong.",
    ),
    Alert(
        name="LlmEdgeProviderDown", lasts="2m", severity="critical",
        when="max by (provider) (llm_edge_provider_available) == 0",
        summary="no model of {{ $labels.provider }} is asked any more",
        advice="All its breakers are open. `llm-edge doctor` says what is wrong.",
    ),
    Alert(
        name="LlmEdgeHitRateFell", lasts="15m", severity="warning",
        when="llm_edge:cache_hit_ratio:30m < 0.5 * llm_edge:cache_hit_ratio:1d and llm_edge:cache_hit_ratio:1d > 0.1",
        summary="the cache answers {{ $value | humanizePercentage }} of the calls, not half of what it did in a day",
        advice="Prompts may have changed (a time or an id in them), or the cache lost its store.",
    ),
    Alert(
        name="LlmEdgeBudgetLow", lasts="0m", severity="warning",
        when="max by (budget, period) (llm_edge_budget_used_ratio) >= 0.8",
        summary="{{ $value | humanizePercentage }} of the budget {{ $labels.budget }} ({{ $labels.period }}) is used",
        advice="`llm-edge spend --budgets` says whose; `llm-edge spend` who spent it.",
    ),
    Alert(
        name="LlmEdgeBudgetUsedUp", lasts="0m", severity="critical",
        when=f"{_rate('llm_edge_budget_rejected_total', 'scope')} > 0",
        summary="calls are refused for money: {{ $labels.scope }}",
        advice="Raise the budget, or let the route go on to a cheaper target (on_budget).",
    ),
    Alert(
        name="LlmEdgeStoreErrors", lasts="5m", severity="warning",
        when=f"{_rate('llm_edge_store_errors_total', 'store, operation')} > 0",
        summary="trouble with the store {{ $labels.store }} ({{ $labels.operation }})",
        advice="Calls go on: the cache misses, limits count in each process alone, hard budgets refuse.",
    ),
    Alert(
        name="LlmEdgeUnpriced", lasts="15m", severity="info",
        when="sum by (provider, model) (increase(llm_edge_unpriced_total[1h])) > 0",
        summary="calls to {{ $labels.provider }}/{{ $labels.model }} have no price",
        advice="Set it in [prices.models]; until then they are in no sum. Calls of a kind that llm_edge does not"
        " understand (sounds, pictures) have none.",
    ),
)  # fmt: skip


def rules() -> str:
    """The file."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Made by `python -m deploy`. The thresholds are where a small service begins to care; set your own."
    yield "groups:"
    yield "  - name: llm_edge"
    yield "    rules:"
    for name, query in RECORDS.items():
        yield f"      - record: {name}"
        yield f"        expr: {json.dumps(query)}"
    for alert in ALERTS:
        yield f"      - alert: {alert.name}"
        yield f"        expr: {json.dumps(alert.when)}"
        yield f"        for: {alert.lasts}"
        yield f"        labels: {{severity: {alert.severity}}}"
        yield "        annotations:"
        yield f"          summary: {json.dumps(alert.summary)}"
        yield f"          description: {json.dumps(alert.advice)}"
