"""The story of one call, as data and as text."""

from __future__ import annotations

import json
import os

import pytest

from llm_edge.notes import Attempt, Notes, new_id


def a_call() -> Notes:
    notes = Notes(request_id="r-1", model="fast", operation="chat", started=100.0, route="fast", cache="MISS")
    notes.targets = ["openai/a", "local/b"]
    notes.attempts = [
        Attempt("openai/a", 100.001, 100.101, "Overloaded", 503, "httpx2"),
        Attempt("local/b", 100.201, 100.301, "ok", 200, "pyreqwest"),
    ]
    notes.say(100.15, "retry", after="Overloaded", wait_s=0.05)
    notes.target, notes.fallbacks = "local/b", 1
    notes.upstream, notes.waited, notes.first_byte, notes.ended = 0.2, 0.05, 100.25, 100.302
    notes.usage, notes.cost = {"prompt_tokens": 3, "total_tokens": 5, "details": {}}, 1_500
    notes.limits = [("requests", 10, 7, 18.0)]
    return notes


def test_the_story_is_plain_json() -> None:
    story = a_call().explain()
    assert json.loads(json.dumps(story)) == story
    assert story["attempts"][0] == {
        "target": "openai/a", "at_ms": 1.0, "ms": 100.0, "outcome": "Overloaded", "status": 503, "engine": "httpx2",
        "cost_usd": None, "usage": None,
    }  # fmt: skip
    assert story["events"] == [{"at_ms": 150.0, "layer": "retry", "after": "Overloaded", "wait_s": 0.05}]
    assert (story["duration_ms"], story["overhead_ms"], story["first_byte_ms"]) == (302.0, 52.0, 250.0)
    assert story["cost_usd"] == 1.5e-06
    assert story["limits"] == [
        {"scope": None, "unit": "requests", "limit": 10, "left": 7, "reset_s": 18.0, "says": None}
    ]


def test_printed_it_reads_in_the_order_things_happened() -> None:
    lines = str(a_call().explain()).splitlines()
    assert lines == [
        "chat fast  (r-1)",
        "  cache     MISS",
        "  limit     7 of 10 requests left",
        "  targets   route fast: openai/a, then local/b",
        "      1.0 ms  asked openai/a: Overloaded (503) after 100.0 ms",
        "    150.0 ms  retry: after=Overloaded, wait_s=0.05",
        "    201.0 ms  asked local/b: ok (200) after 100.0 ms",
        "  usage     prompt_tokens=3, total_tokens=5",
        "  cost      $0.0000015",
        "  took      302.000 ms, of which llm_edge 52.000 ms, providers 200.000 ms, waiting 50.000 ms",
    ]


def test_a_call_under_way_has_no_end_yet() -> None:
    notes = Notes(started=1.0)
    notes.attempts.append(Attempt("openai/a", 1.0))
    story = notes.explain()
    assert (story["duration_ms"], story["overhead_ms"], notes.overhead) == (None, None, None)
    assert "asked openai/a: in flight" in str(story)
    assert "took" not in str(story)


def test_an_unknown_cost_is_not_nothing() -> None:
    assert Notes().explain()["cost_usd"] is None


def test_a_hit_tells_its_age_and_a_bypass_its_reason() -> None:
    hit = Notes(cache="HIT", cache_age=12.34)
    bypass = Notes(cache="BYPASS", cache_reason="the cache is off", error="RateLimited")
    assert "cache     HIT, 12.3 s old" in str(hit.explain())
    assert "cache     BYPASS: the cache is off" in str(bypass.explain())
    assert "error     RateLimited" in str(bypass.explain())


def test_what_is_read_from_a_story_cannot_change_the_call() -> None:
    notes = a_call()
    story = notes.explain()
    story["targets"].clear()
    story["usage"].clear()
    assert notes.explain()["targets"] == ["openai/a", "local/b"]
    assert notes.explain()["usage"]


def test_what_a_call_cost_is_told_as_known_unknown_or_nothing() -> None:
    told = {
        str(Notes(started=0, ended=1, cost=cost, saved=saved).explain()).splitlines()[2]
        for cost, saved in ((None, None), (0, None), (0, 2_500_000), (12, None))
    }
    assert told == {
        "  cost      not known: what a call of this kind uses is not understood",
        "  cost      nothing", "  cost      nothing, saved $0.0025",
        "  cost      $0.000000012",
    }  # fmt: skip


def test_overhead_is_never_less_than_nothing() -> None:
    assert Notes(started=0.0, ended=1.0, upstream=2.0).overhead == 0.0


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_request_ids_differ_even_across_a_fork() -> None:
    first = new_id()  # others are made ahead now
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, "".join([new_id() for _ in range(100)]).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    told = os.read(reader, 3200).decode()
    ids = {first, *(told[at : at + 32] for at in range(0, 3200, 32)), *(new_id() for _ in range(899))}
    os.close(reader)
    os.close(writer)
    assert len(ids) == 1000
    assert {len(each) for each in ids} == {32}
