"""The four dashboards: requests, cache, cost, system health."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from .panels import Json, Panel, board, variable

_WHICH = 'provider=~"$provider",model=~"$model"'
_EACH = "[$__rate_interval]"
_MODEL = "{{provider}}/{{model}}"
_BAD: Final = ((0.01, "yellow"), (0.05, "red"))

PROVIDER = variable("provider", "Provider", "label_values(llm_edge_requests_total, provider)")
MODEL = variable("model", "Model", 'label_values(llm_edge_requests_total{provider=~"$provider"}, model)')


def per_second(name: str, *by: str, which: str = _WHICH, span: str = _EACH) -> str:
    """How fast a counter grows, added up."""
    return f"{_sum(by)}(rate({name}{_those(which)}{span}))"


def within(share: float, name: str, *by: str, which: str = _WHICH) -> str:
    """The time within which so many of a histogram's are."""
    return f"histogram_quantile({share}, {per_second(f'{name}_bucket', 'le', *by, which=which)})"


def in_all(name: str, *by: str, which: str = _WHICH) -> str:
    """How much a counter grew in the time that is shown."""
    return f"{_sum(by)}(increase({name}{_those(which)}[$__range]))"


def or_nothing(query: str) -> str:
    """A counter that never counted is not there, and would leave no sum at all."""
    return f"({query} or vector(0))"


def _sum(by: Sequence[str]) -> str:
    return f"sum by ({', '.join(by)}) " if by else "sum"


def _those(which: str) -> str:
    return f"{{{which}}}" if which else ""


_REQUESTS = "llm_edge_requests_total"
_DURATION = "llm_edge_request_duration_seconds"
_FIRST = "llm_edge_time_to_first_token_seconds"
_FAILED = per_second(_REQUESTS, which=f'{_WHICH},status=~"5.."')


def requests() -> Json:
    """How many, how fast, how well."""
    says = "Calls: how many, how fast, how well."
    return board("llm-edge-requests", "llm_edge / Requests", says, [PROVIDER, MODEL], [
        Panel(title="Calls", says="Calls that ended, each second.", unit="reqps", look="stat", width=6, height=4,
              queries={"calls": per_second(_REQUESTS)}),
        Panel(title="Failed", says="The share that ended with a 5xx.", unit="percentunit", look="stat", width=6,
              height=4, steps=_BAD, queries={"failed": f"{or_nothing(_FAILED)} / {per_second(_REQUESTS)}"}),
        Panel(title="Time of a call, p95", says="From its beginning to its answer's end.", unit="s", look="stat",
              width=6, height=4, queries={"p95": within(0.95, _DURATION)}),
        Panel(title="Under way", says="Calls at this moment.", look="stat", width=6, height=4,
              queries={"calls": "sum(llm_edge_active_requests)", "streams": "sum(llm_edge_active_streams)"}),
        Panel(title="Calls by model", says="Each second.", unit="reqps", stacked=True,
              queries={_MODEL: per_second(_REQUESTS, "provider", "model")}),
        Panel(title="Calls by status", says="Each second; 499: the caller left.", unit="reqps", stacked=True,
              queries={"{{status}}": per_second(_REQUESTS, "status")}),
        Panel(title="Time of a call", says="From its beginning to its answer's end.", unit="s",
              queries={f"p{int(share * 100)}": within(share, _DURATION) for share in (0.5, 0.95, 0.99)}),
        Panel(title="Time of a call by model, p95", says="From its beginning to its answer's end.", unit="s",
              queries={_MODEL: within(0.95, _DURATION, "provider", "model")}),
        Panel(title="Time to first token", says="Until a stream's first event.", unit="s",
              queries={f"{_MODEL} p{int(share * 100)}": within(share, _FIRST, "provider", "model")
                       for share in (0.5, 0.95)}),
        Panel(title="Time per output token, p50", says="Of a stream, after its first event.", unit="s",
              queries={_MODEL: within(0.5, "llm_edge_time_per_output_token_seconds", "provider", "model")}),
        Panel(title="Waits within a stream, p99", says="Between two reads.", unit="s", width=8,
              queries={_MODEL: within(0.99, "llm_edge_stream_chunk_delay_seconds", "provider", "model")}),
        Panel(title="Attempts again, and elsewhere", says="Each second.", unit="reqps", width=8, queries={
            "retry {{reason}}": per_second("llm_edge_retries_total", "reason"),
            "fallback {{reason}}": per_second("llm_edge_fallbacks_total", "reason"),
            "hedge {{reason}}": per_second("llm_edge_hedges_total", "reason"),
        }),
        Panel(title="Refused here", says="By a limit or a budget, each second.", unit="reqps", width=8, queries={
            "limit {{scope}}": per_second("llm_edge_rate_limited_total", "scope", which=""),
            "budget {{scope}}": per_second("llm_edge_budget_rejected_total", "scope", which=""),
        }),
    ])  # fmt: skip


_HITS, _SHARED, _MISSES = (
    or_nothing(per_second(f"llm_edge_{name}_total", which="")) for name in ("cache_hits", "coalesced", "cache_misses")
)
_HIT_RATE = f"({_HITS} + {_SHARED}) / ({_HITS} + {_SHARED} + {_MISSES})"


def cache() -> Json:
    """What the cache does, and what it saves."""
    says = "What the cache does, and what it saves."
    return board("llm-edge-cache", "llm_edge / Cache", says, [], [
        Panel(title="Hit rate", says="Answers without a call of their own, of all the cache was asked for.",
              unit="percentunit", look="stat", width=6, height=4, most=1, queries={"hit rate": _HIT_RATE}),
        Panel(title="Saved", says="What cached answers would have cost, in the time shown.", unit="currencyUSD",
              look="stat", width=6, height=4,
              queries={"saved": or_nothing(in_all("llm_edge_saved_usd_total", which=""))}),
        Panel(title="Answers kept", says="In memory, of all processes.", look="stat", width=6, height=4,
              queries={"{{tier}}": "sum by (tier) (llm_edge_cache_entries)"}),
        Panel(title="Room taken", says="In memory, of all processes; each takes its share of cache.bytes at least.",
              unit="bytes", look="stat", width=6, height=4,
              queries={"{{tier}}": "sum by (tier) (llm_edge_cache_bytes)"}),
        Panel(title="Hit rate", says="The same over time.", unit="percentunit", most=1,
              queries={"hit rate": _HIT_RATE}),
        Panel(title="What the cache said", says="Each second.", unit="reqps", stacked=True, queries={
            "hit {{tier}}": per_second("llm_edge_cache_hits_total", "tier", which=""),
            "shared with another call": per_second("llm_edge_coalesced_total", which=""),
            "miss": per_second("llm_edge_cache_misses_total", which=""),
        }),
        Panel(title="Saved by model", says="US dollars an hour.", unit="currencyUSD", queries={
            _MODEL: f"{per_second('llm_edge_saved_usd_total', 'provider', 'model', which='')} * 3600",
        }),
        Panel(title="Time inside llm_edge by what the cache said, p95", says="Providers and waits left out.", unit="s",
              queries={"{{cache}}": within(0.95, "llm_edge_overhead_seconds", "cache", which="")}),
    ])  # fmt: skip


_COST = "llm_edge_cost_usd_total"


def cost() -> Json:
    """What is spent, on what, and how budgets stand."""
    says = "What is spent, on what, and how budgets stand."
    return board("llm-edge-cost", "llm_edge / Cost", says, [PROVIDER, MODEL], [
        Panel(title="Spent", says="In the time shown.", unit="currencyUSD", look="stat", width=6, height=4,
              queries={"spent": in_all(_COST)}),
        Panel(title="A month at this pace", says="What 30 days like the time shown would cost.", unit="currencyUSD",
              look="stat", width=6, height=4, queries={"month": f"{per_second(_COST, span='[$__range]')} * 2592000"}),
        Panel(title="Saved by the cache", says="In the time shown.", unit="currencyUSD", look="stat", width=6, height=4,
              queries={"saved": or_nothing(in_all("llm_edge_saved_usd_total"))}),
        Panel(title="Calls without a price", says="In the time shown; their cost is in no sum here.", look="stat",
              width=6, height=4, steps=((1, "yellow"),),
              queries={"calls": or_nothing(in_all("llm_edge_unpriced_total"))}),
        Panel(title="Spent by model", says="US dollars an hour.", unit="currencyUSD", stacked=True,
              queries={_MODEL: f"{per_second(_COST, 'provider', 'model')} * 3600"}),
        Panel(title="Tokens by type", says="Each second.", unit="cps", stacked=True,
              queries={"{{type}}": per_second("llm_edge_tokens_total", "type")}),
        Panel(title="Budgets", says="The share that is used; of many subjects the highest.", unit="percentunit",
              look="bargauge", most=1, steps=((0.8, "yellow"), (1.0, "red")),
              queries={"{{budget}} / {{period}}": "max by (budget, period) (llm_edge_budget_used_ratio)"}),
        Panel(title="Refused for money", says="By a budget, each second.", unit="reqps",
              queries={"{{scope}}": per_second("llm_edge_budget_rejected_total", "scope", which="")}),
        Panel(title="The dearest models", says="In the time shown.", unit="currencyUSD", look="table",
              queries={"spent": f"topk(10, {in_all(_COST, 'provider', 'model')})"}),
        Panel(title="Cost of a call", says="US dollars, by model.", unit="currencyUSD", queries={
            _MODEL: f"{per_second(_COST, 'provider', 'model')} / {per_second(_REQUESTS, 'provider', 'model')}",
        }),
    ])  # fmt: skip


_OVERHEAD = "llm_edge_overhead_seconds"
_STATES = {"0": "closed", "1": "half-open", "2": "open"}


def health() -> Json:
    """Whether all is well: providers, breakers, stores, and llm_edge itself."""
    says = "Providers, breakers, stores, and llm_edge itself."
    return board("llm-edge-health", "llm_edge / System health", says, [PROVIDER, MODEL], [
        Panel(title="Providers that are asked", says="0 while no model of a provider is.", look="stat", width=12,
              height=4, names={"0": "left alone", "1": "asked"},
              queries={"{{provider}}": 'min by (provider) (llm_edge_provider_available{provider=~"$provider"})'}),
        Panel(title="Time inside llm_edge, p95", says="Providers and waits left out.", unit="s", look="stat", width=6,
              height=4, steps=((0.005, "yellow"), (0.05, "red")), queries={"p95": within(0.95, _OVERHEAD, which="")}),
        Panel(title="Trouble with stores", says="Each second.", unit="ops", look="stat", width=6, height=4,
              steps=((0.001, "yellow"),),
              queries={"errors": or_nothing(per_second("llm_edge_store_errors_total", which=""))}),
        Panel(title="Breakers", says="By model.", look="state-timeline", names=_STATES, most=2,
              steps=((1, "yellow"), (2, "red")),
              queries={_MODEL: f"max by (provider, model) (llm_edge_circuit_breaker_state{{{_WHICH}}})"}),
        Panel(title="Health of providers", says="1 while all models do well, 0 when none.", most=1,
              queries={"{{provider}}": 'min by (provider) (llm_edge_provider_health{provider=~"$provider"})'}),
        Panel(title="Failed by provider", says="The share that ended with a 5xx.", unit="percentunit", most=1, queries={
            "{{provider}}": (
                per_second(_REQUESTS, "provider", which=f'{_WHICH},status=~"5.."')
                + f" / {per_second(_REQUESTS, 'provider')}"
            ),
        }),
        Panel(title="Time inside llm_edge", says="Providers and waits left out.", unit="s",
              queries={f"p{int(share * 100)}": within(share, _OVERHEAD, which="") for share in (0.5, 0.95, 0.99)}),
        Panel(title="Trouble with stores", says="Each second.", unit="ops", queries={
            "{{store}} {{operation}}": per_second("llm_edge_store_errors_total", "store", "operation", which=""),
        }),
        Panel(title="Under way", says="Calls and streams.", queries={
            "{{operation}}": "sum by (operation) (llm_edge_active_requests)",
            "{{operation}} streams": "sum by (operation) (llm_edge_active_streams)",
        }),
        Panel(title="Refused by limits", says="Each second.", unit="reqps",
              queries={"{{scope}}": per_second("llm_edge_rate_limited_total", "scope", which="")}),
        Panel(title="What the guard found", says="Each second.", unit="ops", queries={
            "{{kind}} {{action}}": per_second("llm_edge_guard_findings_total", "kind", "action", which=""),
        }),
    ])  # fmt: skip


DASHBOARDS: Final[Mapping[str, Callable[[], Json]]] = {
    "requests": requests, "cache": cache, "cost": cost, "health": health,
}  # fmt: skip
