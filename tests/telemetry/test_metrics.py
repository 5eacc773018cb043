"""Metrics: every name, right counts, bounded labels, one process and many."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from llm_edge import EdgeClient, RateLimited
from llm_edge.message import Body, Request, Response, Saved, Stream
from llm_edge.notes import Attempt
from llm_edge.runtime import FakeClock
from llm_edge.telemetry.families import FAMILIES
from llm_edge.telemetry.metrics import MOST_MODELS, OTHER, Metrics, breaker_readings
from llm_edge.testing import Provider, answer, status, stream

from ..conftest import Colour

Edges = Callable[..., EdgeClient]
USED = {"prompt_tokens": 1000, "completion_tokens": 100, "cached_tokens": 50}


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Each sample by its name and labels' values, in the order of the family's labels."""

    def values(sample: Any) -> list[str]:
        family = next(family for name, family in FAMILIES.items() if sample.name.startswith(name))
        return [sample.labels[label] for label in family.labels]

    return {
        (sample.name, *values(sample)): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if not sample.name.endswith(("_bucket", "_created"))
    }


@pytest.fixture
def edge(edges: Edges, provider: Provider) -> EdgeClient:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    return edges(
        providers={"gpt": place, "spare": place},
        routes={"r": {"targets": ["gpt/m", "spare/m"]}},
        prices={"models": {"gpt/m": {"input": 2.5, "output": 10}}},
        telemetry={"metrics": True},
        retry={"base": 0, "attempts": 2},
    )


def ask_stream(colour: Colour, edge: EdgeClient, model: str) -> Any:
    reply = colour.finish((edge.chat if colour.name == "sync" else edge.achat)(model, "Hi", stream=True))
    return colour.items(reply)


def test_hits_and_misses_are_counted_by_the_furthest_tier_that_was_asked() -> None:
    metrics = Metrics(FakeClock())
    ways = [("HIT", ""), ("HIT", "l2"), ("STALE", "l2"), ("MISS", ""), ("MISS", "l2"), ("MISS", "semantic")]
    for cache, further in [*ways, ("SEMANTIC HIT", "semantic"), ("COALESCED", "l2")]:
        request = Request(body=Body(b"{}"))
        request.notes.cache, request.notes.further = cache, further
        metrics.begin(request).over(request, None)
    seen = samples(metrics.text())
    hits = {tier: seen["llm_edge_cache_hits_total", tier] for tier in ("l1", "l2", "semantic")}
    misses = {tier: seen["llm_edge_cache_misses_total", tier] for tier in ("l1", "l2", "semantic")}
    assert (hits, misses) == ({"l1": 2, "l2": 1, "semantic": 1}, {"l1": 1, "l2": 1, "semantic": 1})
    assert seen["llm_edge_coalesced_total", "l1"] == 1


def test_a_call_is_counted_with_its_tokens_and_its_cost(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED))
    for _ in range(3):
        colour.chat(edge, "gpt/m", "Hi")
    seen = samples(edge.metrics.text())
    assert seen["llm_edge_requests_total", "gpt", "m", "chat", "200"] == 3
    assert seen["llm_edge_request_duration_seconds_count", "gpt", "m", "chat"] == 3
    assert seen["llm_edge_cache_hits_total", "l1"] == 2
    assert seen["llm_edge_cache_misses_total", "l1"] == 1
    assert seen["llm_edge_tokens_total", "gpt", "m", "input"] == 1000
    assert seen["llm_edge_tokens_total", "gpt", "m", "output"] == 100
    assert seen["llm_edge_tokens_total", "gpt", "m", "cached"] == 50
    assert seen["llm_edge_cost_usd_total", "gpt", "m"] == pytest.approx(0.0035)
    assert seen["llm_edge_saved_usd_total", "gpt", "m"] == pytest.approx(0.007)
    assert seen["llm_edge_overhead_seconds_count", "chat", "HIT"] == 2
    assert seen["llm_edge_active_requests", "chat"] == 0
    assert seen["llm_edge_cache_entries", "l1"] == 1
    assert seen["llm_edge_cache_bytes", "l1"] > 0


def test_a_stream_tells_its_times(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(stream("a", "b", "c", usage=USED))
    ask_stream(colour, edge, "gpt/m")
    seen = samples(edge.metrics.text())
    assert seen["llm_edge_time_to_first_token_seconds_count", "gpt", "m"] == 1
    assert seen["llm_edge_time_per_output_token_seconds_count", "gpt", "m"] == 1
    assert seen["llm_edge_active_streams", "chat"] == 0


def test_the_time_between_two_reads_of_a_stream_is_counted() -> None:
    clock = FakeClock()
    metrics, request = Metrics(clock), Request(body=Body(b"{}"))
    request.notes.target = "gpt/m"
    request.notes.attempts.append(Attempt("gpt/m", 0.0))
    call = metrics.begin(request)
    call.answered(Response(status=200, stream=Stream(Saved([]))))
    for seconds in (1.0, 0.25, 0.5):
        clock.advance(seconds)
        call.heard(b"")
    seen = samples(metrics.text())
    assert seen["llm_edge_stream_chunk_delay_seconds_count", "gpt", "m"] == 2
    assert seen["llm_edge_stream_chunk_delay_seconds_sum", "gpt", "m"] == 0.75


def test_retries_fallbacks_and_failures_are_counted(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(status(503), status(503), answer("Hi", usage=USED))
    colour.chat(edge, "r", "Hi")
    seen = samples(edge.metrics.text())
    assert seen["llm_edge_retries_total", "gpt", "m", "Overloaded"] == 1
    assert seen["llm_edge_fallbacks_total", "spare", "m", "Overloaded"] == 1
    assert seen["llm_edge_unpriced_total", "spare", "m"] == 1
    assert seen["llm_edge_circuit_breaker_state", "gpt", "m"] == 0
    assert seen["llm_edge_provider_available", "spare"] == 1


def test_refusals_are_counted_by_scope(colour: Colour, edges: Edges, provider: Provider) -> None:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    edge = edges(providers={"gpt": place}, limits={"global": {"requests_per_minute": 1, "burst": 1}})
    assert edge.metrics is edge.metrics
    colour.chat(edge, "gpt/m", "one")
    with pytest.raises(RateLimited):
        colour.chat(edge, "gpt/m", "two")
    seen = samples(edge.metrics.text())
    assert seen["llm_edge_rate_limited_total", "global"] == 1
    assert seen["llm_edge_requests_total", "", "", "chat", "429"] == 1


def test_every_metric_has_a_name_a_help_and_its_labels() -> None:
    text = Metrics(FakeClock()).text().decode()
    for name in FAMILIES:
        assert f"# HELP {name} " in text


def test_models_that_callers_make_up_do_not_fill_the_memory() -> None:
    metrics = Metrics(FakeClock())
    pairs = {metrics.model(f"openai/{number}") for number in range(10 * MOST_MODELS)}
    assert len(pairs) == MOST_MODELS + 1
    assert (OTHER, OTHER) in pairs
    for number in range(30 * MOST_MODELS):
        metrics.series(f"openai/{number}", "chat", 200)
    assert len(metrics._series) <= 8 * MOST_MODELS


def test_a_model_that_nobody_can_write_down_is_counted_and_all_can_be_read() -> None:
    metrics = Metrics(FakeClock())
    metrics.series("gpt/\ud800\n", "chat", 404).requests(1.0)
    assert samples(metrics.text())["llm_edge_requests_total", "gpt", "\\ud800\\n", "chat", "404"] == 1


def test_clients_do_not_collide_and_can_be_read_together() -> None:
    first, second = Metrics(FakeClock()), Metrics(FakeClock())
    both = CollectorRegistry()
    first.count("llm_edge_guard_findings_total", "email", "redact")
    first.expose(both)
    assert samples(generate_latest(both))["llm_edge_guard_findings_total", "email", "redact"] == 1
    assert ("llm_edge_guard_findings_total", "email", "redact") not in samples(second.text())
    before = len(list(REGISTRY.collect()))
    assert before == len(list(REGISTRY.collect()))


def test_what_layers_say_is_counted() -> None:
    metrics = Metrics(FakeClock())
    request = Request(body=Body(b"{}"))
    for layer, facts in (
        ("hedge", {"asks": "a/m", "after_s": 0.1}), ("hedge", {"answered": "a/m"}),
        ("budget", {"scope": "tenant:acme", "refused": "spent"}),
        ("guard", {"found": {"email": 2}, "action": "redact"}),
        ("limit", {"scope": "global", "waited_s": 1}), ("retry", {"after": "Overloaded", "refused": "too many"}),
    ):  # fmt: skip
        request.notes.say(0.0, layer, **facts)
    call = metrics.begin(request)
    call.answered(None)
    call.over(request, None)
    seen = samples(metrics.text())
    assert seen["llm_edge_hedges_total", "a", "m", "slow"] == 1
    assert seen["llm_edge_budget_rejected_total", "tenant"] == 1
    assert seen["llm_edge_guard_findings_total", "email", "redact"] == 2
    assert not [key for key in seen if key[0] in {"llm_edge_rate_limited_total", "llm_edge_retries_total"}]


def test_breakers_as_gauges() -> None:
    seen = {
        (name, *labels): value
        for name, labels, value in breaker_readings({"a/x": "open", "a/y": "closed", "b/x": "open"})
    }
    assert seen["llm_edge_circuit_breaker_state", "a", "x"] == 2
    assert (seen["llm_edge_provider_health", "a"], seen["llm_edge_provider_available", "a"]) == (0.5, 1)
    assert (seen["llm_edge_provider_health", "b"], seen["llm_edge_provider_available", "b"]) == (0, 0)


@pytest.mark.parametrize(("state", "level"), [("open", 2), ("off", 0), ("closed", 0)])
def test_a_breaker_that_is_set_by_hand_is_open_where_nobody_is_asked(
    edge: EdgeClient, state: Literal["open", "off", "closed"], level: int
) -> None:
    edge.breakers.force("gpt/m", "open")
    edge.breakers.force("gpt/m", state)
    seen = samples(edge.metrics.text())
    assert seen.get(("llm_edge_circuit_breaker_state", "gpt", "m"), 0) == level


WORKER = """
import os
from llm_edge.message import Body, Request
from llm_edge.runtime import FakeClock
from llm_edge.telemetry.metrics import Metrics
metrics = Metrics(FakeClock())
for _ in range(3):
    request = Request(body=Body(b"{}"))
    request.notes.target, request.notes.ended = "gpt/m", request.notes.started + 1
    call = metrics.begin(request)
    call.answered(None)
    call.over(request, None)
print(metrics.text().decode())
"""


def test_many_processes_are_one_sum(tmp_path: Path) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    texts = [
        subprocess.run([sys.executable, "-c", textwrap.dedent(WORKER)], env=env, capture_output=True, check=True).stdout
        for _ in range(3)
    ]
    assert samples(texts[-1])["llm_edge_requests_total", "gpt", "m", "chat", "200"] == 9


GATHERING = WORKER.replace("for _", "metrics.gather()\nfor _").replace(
    "print(",
    """
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
shared = CollectorRegistry()
MultiProcessCollector(shared)
assert not [sample for family in shared.collect() for sample in family.samples if sample.value]
metrics.settle()
metrics.settle()
print(""",
)


def test_what_is_gathered_is_shared_when_it_is_settled_and_once(tmp_path: Path) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    texts = [
        subprocess.run([sys.executable, "-c", textwrap.dedent(each)], env=env, capture_output=True, check=True).stdout
        for each in (GATHERING, WORKER, WORKER)
    ]
    assert samples(texts[0])["llm_edge_requests_total", "gpt", "m", "chat", "200"] == 3
    together = samples(texts[-1])
    assert together["llm_edge_requests_total", "gpt", "m", "chat", "200"] == 9
    assert together["llm_edge_request_duration_seconds_count", "gpt", "m", "chat"] == 9
    assert together["llm_edge_request_duration_seconds_sum", "gpt", "m", "chat"] == pytest.approx(9)
    assert [line for line in texts[-1].decode().splitlines() if 'le="2.5"' in line and line.endswith(" 9.0")]


STANDING = """
import os
from llm_edge.runtime import FakeClock
from llm_edge.telemetry.metrics import Metrics

def metrics(entries, breaker):
    return Metrics(FakeClock(), lambda: [
        ("llm_edge_cache_entries", ("l1",), entries),
        ("llm_edge_cache_evictions_total", ("l1",), 3.0),
        ("llm_edge_circuit_breaker_state", ("gpt", "m"), breaker),
        ("llm_edge_provider_health", ("gpt",), 1 - breaker / 2),
    ])

def child(entries, breaker, gathers, until=None):
    told, tells = os.pipe()
    if os.fork() == 0:
        mine = metrics(entries, breaker)
        if gathers:
            mine.gather()
            mine.settle()
        else:
            mine.text()
        os.write(tells, b".")
        if until is not None:
            os.close(until[1])
            os.read(until[0], 1)
        os._exit(0)
    os.read(told, 1)
    if until is None:
        os.wait()
"""


def told_by_the_last(script: str, folder: Path) -> Any:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", STANDING + script], env=env, capture_output=True, check=True)
    return samples(done.stdout)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="these processes are forked")
def test_workers_tell_together_how_they_stand_and_those_that_have_ended_only_what_they_counted(tmp_path: Path) -> None:
    together = told_by_the_last(
        """
child(5, 0, gathers=True)
until = os.pipe()
child(2, 2, gathers=True, until=until)
mine = metrics(1, 0)
mine.gather()
mine.text()
print(mine.text().decode())
""",
        tmp_path,
    )
    assert together["llm_edge_cache_evictions_total", "l1"] == 9
    assert together["llm_edge_cache_entries", "l1"] == 3
    assert together["llm_edge_circuit_breaker_state", "gpt", "m"] == 2
    assert together["llm_edge_provider_health", "gpt"] == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="these processes are forked")
def test_a_process_that_nobody_has_settle_tells_all_counts_and_how_itself_stands(tmp_path: Path) -> None:
    script = "child(2, 2, gathers=False)\nmine = metrics(1, 0)\nmine.text()\nprint(mine.text().decode())"
    told = told_by_the_last(script, tmp_path)
    assert told["llm_edge_cache_evictions_total", "l1"] == 6
    assert told["llm_edge_cache_entries", "l1"] == 1
    assert told["llm_edge_circuit_breaker_state", "gpt", "m"] == 0


def test_in_one_process_there_is_nothing_to_share() -> None:
    assert Metrics(FakeClock()).gather() is False


NAMES = """
    llm_edge_requests_total llm_edge_request_duration_seconds llm_edge_overhead_seconds
    llm_edge_time_to_first_token_seconds llm_edge_time_per_output_token_seconds llm_edge_stream_chunk_delay_seconds
    llm_edge_cache_hits_total llm_edge_cache_misses_total llm_edge_cache_entries llm_edge_cache_bytes
    llm_edge_cache_evictions_total llm_edge_coalesced_total llm_edge_tokens_total llm_edge_cost_usd_total
    llm_edge_saved_usd_total llm_edge_provider_health llm_edge_provider_available llm_edge_circuit_breaker_state
    llm_edge_retries_total llm_edge_fallbacks_total llm_edge_hedges_total llm_edge_rate_limited_total
    llm_edge_budget_rejected_total llm_edge_active_requests llm_edge_active_streams llm_edge_store_errors_total
    llm_edge_guard_findings_total
"""
"""What dashboards out there ask for."""


def test_every_promised_name_is_there() -> None:
    assert set(NAMES.split()) <= FAMILIES.keys()


def test_answers_that_make_room_are_counted(colour: Colour, edges: Edges, provider: Provider) -> None:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    edge = edges(providers={"gpt": place}, cache={"entries": 2}, telemetry={"metrics": True})
    for number in range(5):
        colour.chat(edge, "gpt/m", f"number {number}")
    counted = samples(edge.metrics.text())
    assert counted["llm_edge_cache_entries", "l1"] == 2
    assert counted["llm_edge_cache_evictions_total", "l1"] == 3
    edge.cache.clear()
    assert samples(edge.metrics.text())["llm_edge_cache_evictions_total", "l1"] == 3


def test_a_store_that_fails_is_counted(colour: Colour, edges: Edges, provider: Provider) -> None:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    nobody = {"url": "redis://127.0.0.1:1/0"}
    edge = edges(
        providers={"gpt": place}, cache={"redis": nobody, "secret": "0123456789abcdef0123456789abcdef"},
        store={"kind": "redis", **nobody}, limits={"global": {"requests_per_minute": 100}}, telemetry={"metrics": True},
    )  # fmt: skip
    for number in range(6):
        colour.chat(edge, "gpt/m", f"number {number}")
    counted = samples(edge.metrics.text())
    assert counted["llm_edge_store_errors_total", "cache", "read"] >= 5
    assert counted["llm_edge_store_errors_total", "limits", "count"] >= 1
