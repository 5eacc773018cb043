"""The metrics by name: what each counts, and its labels. Labels never hold what callers may choose without bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "histogram", "gauge"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_OVERHEAD = (0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.25)
_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Family:
    """One metric. A counter's name ends in `_total`."""

    kind: Kind
    name: str
    says: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...] = ()

    @property
    def counted(self) -> bool:
        """Whether calls change it; the others are asked for when somebody reads."""
        return "active" in self.name if self.kind == "gauge" else self.name not in _READ


_MODEL = ("provider", "model")
_READ = frozenset({"llm_edge_cache_evictions_total", "llm_edge_store_errors_total"})
"""Counters that their parts keep."""

FAMILIES: Final = {
    family.name: family
    for family in (
        Family("counter", "llm_edge_requests_total", "Calls that ended.", (*_MODEL, "operation", "status")),
        Family(
            "histogram", "llm_edge_request_duration_seconds", "From a call's beginning to its answer's end.",
            (*_MODEL, "operation"), _SECONDS,
        ),
        Family(
            "histogram", "llm_edge_overhead_seconds", "Time inside llm_edge, providers and waits left out.",
            ("operation", "cache"), _OVERHEAD,
        ),
        Family(
            "histogram", "llm_edge_time_to_first_token_seconds", "Until a stream's first event.", _MODEL, _SECONDS
        ),
        Family(
            "histogram", "llm_edge_time_per_output_token_seconds", "Of a stream, after its first event.", _MODEL, _TOKEN
        ),
        Family("histogram", "llm_edge_stream_chunk_delay_seconds", "Between two reads of a stream.", _MODEL, _TOKEN),
        Family("counter", "llm_edge_cache_hits_total", "Answers from the cache, by where they were found.", ("tier",)),
        Family("counter", "llm_edge_cache_misses_total", "Calls without one, by where was looked last.", ("tier",)),
        Family("counter", "llm_edge_coalesced_total", "Calls answered by another's.", ("tier",)),
        Family("gauge", "llm_edge_cache_entries", "Answers kept.", ("tier",)),
        Family("gauge", "llm_edge_cache_bytes", "Room they take; each at least its share.", ("tier",)),
        Family("counter", "llm_edge_cache_evictions_total", "Answers that had to make room for others.", ("tier",)),
        Family("counter", "llm_edge_tokens_total", "Tokens used.", (*_MODEL, "type")),
        Family("counter", "llm_edge_cost_usd_total", "US dollars spent, where the price is known.", _MODEL),
        Family("counter", "llm_edge_saved_usd_total", "US dollars that cached answers would have cost.", _MODEL),
        Family("counter", "llm_edge_unpriced_total", "Calls whose cost is not known.", _MODEL),
        Family("gauge", "llm_edge_provider_health", "1 while all its models do well, 0 when none.", ("provider",)),
        Family("gauge", "llm_edge_provider_available", "1 while a model of the provider is asked.", ("provider",)),
        Family("gauge", "llm_edge_circuit_breaker_state", "0 closed, 1 half-open, 2 open.", _MODEL),
        Family("counter", "llm_edge_retries_total", "Attempts made again.", (*_MODEL, "reason")),
        Family("counter", "llm_edge_fallbacks_total", "Calls that went on to a next target.", (*_MODEL, "reason")),
        Family("counter", "llm_edge_hedges_total", "Second attempts beside a slow first.", (*_MODEL, "reason")),
        Family("counter", "llm_edge_rate_limited_total", "Calls a limit refused.", ("scope",)),
        Family("counter", "llm_edge_budget_rejected_total", "Calls a budget refused.", ("scope",)),
        Family(
            "gauge", "llm_edge_budget_used_ratio", "The share of a budget that is used; of many subjects the highest.",
            ("budget", "period"),
        ),
        Family("gauge", "llm_edge_active_requests", "Calls under way.", ("operation",)),
        Family("gauge", "llm_edge_active_streams", "Streams under way.", ("operation",)),
        Family("counter", "llm_edge_store_errors_total", "Trouble with a shared store.", ("store", "operation")),
        Family("counter", "llm_edge_guard_findings_total", "What the guard found.", ("kind", "action")),
    )
}  # fmt: skip
