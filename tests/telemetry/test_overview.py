"""Metrics read back: what two readings say of the time between."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from llm_edge.telemetry.families import FAMILIES
from llm_edge.telemetry.overview import Snapshot, overview, parsed

PAGE = """
# TYPE llm_edge_requests_total counter
llm_edge_requests_total{{provider="openai",model="m",operation="chat",status="200"}} {good}
llm_edge_requests_total{{provider="openai",model="m",operation="chat",status="502"}} {bad}
llm_edge_requests_total{{provider="groq",model="m",operation="chat",status="200"}} 5
# TYPE llm_edge_request_duration_seconds histogram
llm_edge_request_duration_seconds_bucket{{provider="openai",model="m",operation="chat",le="0.5"}} {good}
llm_edge_request_duration_seconds_bucket{{provider="openai",model="m",operation="chat",le="1.0"}} {both}
llm_edge_request_duration_seconds_bucket{{provider="openai",model="m",operation="chat",le="+Inf"}} {both}
# TYPE llm_edge_tokens_total counter
llm_edge_tokens_total{{provider="openai",model="m",type="input"}} 100
llm_edge_tokens_total{{provider="openai",model="m",type="cached"}} 40
llm_edge_cost_usd_total{{provider="openai",model="m"}} {usd}
llm_edge_cache_hits_total{{tier="l1"}} {hits}
llm_edge_cache_misses_total{{tier="l1"}} 10
llm_edge_circuit_breaker_state{{provider="openai",model="m"}} 2
llm_edge_circuit_breaker_state{{provider="idle",model="n"}} 1
llm_edge_budget_used_ratio{{budget="tenant",period="day"}} 0.4
llm_edge_budget_used_ratio{{budget="global",period="month"}} 0.9
process_open_fds 7
"""


def page(at: float, *, good: int = 10, bad: int = 0, usd: float = 1.0, hits: int = 10) -> Snapshot:
    return parsed(PAGE.format(good=good, bad=bad, both=good + bad, usd=usd, hits=hits), at)


def test_one_reading_tells_of_all_the_time() -> None:
    found = overview(page(5.0))
    assert (found.seconds, found.rate, found.usd_an_hour) == (None, None, None)
    assert (found.calls, found.failed, found.hit_rate, found.usd) == (15, 0.0, 0.5, 1.0)


def test_two_readings_tell_of_the_time_between() -> None:
    found = overview(page(15.0, good=25, bad=5, usd=1.5, hits=40), page(5.0))
    assert (found.seconds, found.rate, found.failed) == (10.0, 2.0, 0.25)
    assert found.usd_an_hour == pytest.approx(180)
    assert found.hit_rate == 1.0
    busy, idle, other = found.models
    assert (busy.name, busy.calls, busy.rate, busy.failed, busy.breaker) == ("openai/m", 30, 2.0, 0.25, "open")
    assert busy.tokens == 100
    assert busy.p95 == pytest.approx(0.9)
    assert (idle.name, idle.rate, idle.failed, idle.p95) == ("groq/m", 0.0, None, None)
    assert (other.name, other.breaker) == ("idle/n", "half-open")
    assert found.budgets == (("global / month", 0.9), ("tenant / day", 0.4))


def test_a_process_that_began_anew_counts_from_nothing() -> None:
    found = overview(page(15.0, good=4), page(5.0, good=1000))
    assert found.rate == 0.4


def test_what_is_no_page_is_told() -> None:
    for text in ("<html>", 'llm_edge_x{a="', "llm_edge_requests_total many"):
        with pytest.raises(ValueError, match="no page of metrics"):
            parsed(text, 0.0)
    assert overview(parsed("", 0.0)).models == ()


@given(st.lists(st.floats(0.0001, 250.0), min_size=1, max_size=50))
def test_a_share_lies_within_the_bounds_it_was_counted_in(seconds: list[float]) -> None:
    name = "llm_edge_request_duration_seconds"
    bounds = FAMILIES[name].buckets
    text = ""
    for bound in (*bounds, float("inf")):
        le, count = str(bound).replace("inf", "+Inf"), sum(each <= bound for each in seconds)
        text += f'{name}_bucket{{provider="p",model="m",operation="chat",le="{le}"}} {count}\n'
    found = overview(parsed(text, 0.0)).p95
    assert found is not None
    exact = sorted(seconds)[-(-len(seconds) * 95 // 100) - 1]
    above = next(bound for bound in bounds if bound >= exact)
    below = max((bound for bound in bounds if bound < exact), default=0.0)
    assert below <= found <= above
