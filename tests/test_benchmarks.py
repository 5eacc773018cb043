"""The benchmark's own arithmetic: what it promises is read from what it measured."""

import json
from collections.abc import Callable

import pytest

from benchmarks import dialects, report, telling, traffic
from benchmarks.dialects import Cost
from benchmarks.footprint import Footprint
from benchmarks.promises import Promise, kept, promises, translating
from benchmarks.provider import ANSWER, EVENTS, TEXT, WORDS
from benchmarks.rounds import Cell, Results, Series, added, ratio
from benchmarks.sidecar import load
from benchmarks.sidecar.__main__ import page
from benchmarks.sidecar.provider import CHUNKS, HELD, STREAM
from benchmarks.sidecar.rows import Measured, promises as sidecar

FOOT = Footprint(import_ms=10.0, client_ms=300.0, libraries="", memory_mib=25.0)
COST = Cost(
    whole={"Gemini": 40.0, "Anthropic": 70.0},
    chunk={"Gemini": 5.0},
    read={"Gemini": 10.0},
    watched={"Gemini": 1.0},
    peer={"Gemini": 500.0},
)
RESULTS: Results = {
    Cell("sync", 1): {"openai": Series([100.0], [100.0]), "openai+edge": Series([80.0], [90.0])},
    Cell("async", 1): {"httpx2": Series([600.0], [500.0]), "edge": Series([90.0], [100.0])},
}


@pytest.fixture
def rows() -> list[Promise]:
    inside = promises(RESULTS, {"sync": 14.0, "async": 30.0}, {"sync": 2.0, "async": 2.0}, FOOT)
    return [*inside, *translating(COST)]


def test_a_ratio_is_the_median_of_the_rounds_and_not_of_their_sums() -> None:
    assert ratio([2.0, 30.0, 4.0], [1.0, 10.0, 4.0]) == 2.0
    assert added([2.0, 30.0, 4.0], [1.0, 10.0, 4.0]) == 1.0


def test_a_promise_is_kept_only_when_time_and_cpu_both_keep_it(rows: list[Promise]) -> None:
    [row] = [row for row in rows if "SDK alone" in row.what]
    assert (row.measured, row.kept) == ("0.80 and 0.90", False)


def test_each_promise_is_judged_by_its_own_target(rows: list[Promise]) -> None:
    by_words = {row.what: row.kept for row in rows}
    assert by_words["`achat` to a bare httpx2 call, CPU, 1 at once"]
    assert by_words["a hit inside the chain, 1 KB, sync"]
    assert not by_words["a hit inside the chain, 1 KB, async"]
    assert not by_words["memory after `EdgeClient()`"]
    assert by_words["OpenAI chat to Gemini and back, 1 KB"]
    assert not by_words["OpenAI chat to Anthropic and back, 1 KB"]
    assert not kept(rows)


def test_a_peer_is_told_beside_what_it_does_too(rows: list[Promise]) -> None:
    [row] = [row for row in rows if "to Gemini and back" in row.what]
    assert row.measured == "40.0 µs (litellm 500 µs)"


@pytest.mark.parametrize("vendor", dialects.VENDORS, ids=lambda vendor: vendor.name)
def test_what_is_measured_of_dialects_is_their_work(vendor: dialects.Vendor) -> None:
    sent, told = dialects.there_and_back(vendor)()
    assert b"weather" in sent
    assert b"three below zero" in told
    assert b" piece by" in dialects.one_chunk(vendor)()


def test_the_page_and_the_data_say_the_same(rows: list[Promise]) -> None:
    page, data = report.page(rows, RESULTS, FOOT), json.loads(report.data(rows, RESULTS, FOOT))
    for row in data["promises"]:
        assert f"| {row['what']} | {row['target']} | {row['measured']} | {'yes' if row['kept'] else 'no'} |" in page


def test_the_provider_says_the_same_whole_and_in_pieces() -> None:
    whole = json.loads(ANSWER.partition(b"\r\n\r\n")[2])
    pieces = [json.loads(event[6:]) for event in EVENTS if event.startswith(b"data: {")]
    said = [choice["delta"].get("content", "") for piece in pieces for choice in piece["choices"]]
    assert whole["choices"][0]["message"]["content"] == "".join(said) == TEXT == "".join(WORDS)


@pytest.mark.parametrize(
    ("measure", "many"),
    [(lambda: traffic.measure(calls=20, seconds=0.1), 7), (lambda: telling.measure(calls=5, rounds=3), 3)],
    ids=["traffic", "telling"],
)
def test_what_is_measured_apart_has_promises_of_its_own(measure: Callable[[], list[Promise]], many: int) -> None:
    rows = measure()
    assert len({row.what for row in rows}) == len(rows) == many
    for row in rows:
        measured, target = (
            float(words.split()[0 if words is row.measured else 1]) for words in (row.measured, row.target)
        )
        assert row.kept == (measured <= target)


WRK = """Running 2s test @ http://127.0.0.1:1/
  1 threads and 32 connections
  41234 requests in 2.00s, 10.00MB read
%sRequests/sec:  20617.00
"""
H2LOAD = """finished in 2.00s, 9950.50 req/s, 2.1MB/s
requests: 19901 total, 19901 started, 19901 done, 19901 succeeded, 3 failed, 0 errored, 0 timeout
"""


def test_what_a_load_generator_says_is_read() -> None:
    assert load.read_wrk(WRK % "") == (41234, 20617.0, 0)
    assert load.read_wrk(WRK % "  Socket errors: connect 0, read 2, write 1, timeout 5\n") == (41234, 20617.0, 3)
    assert load.read_wrk(WRK % "  Non-2xx or 3xx responses: 7\n") == (41234, 20617.0, 7)
    assert load.read_h2load(H2LOAD) == (19901, 9950.5, 3)


def test_the_sidecars_promises_are_judged_by_the_rounds() -> None:
    rates = {
        "/health": 21e3, "cached": 12e3, "bare ASGI": 19e3, "a Starlette route": 10e3, "uncached": 3000.0,
        "streams of 50 chunks": 1600.0, "litellm's proxy": 75.0,
    }  # fmt: skip
    took = {name: [load.Took(rate, 90.0)] * 3 for name, rate in rates.items()}
    found = Measured(took, [0.9], [1.2], 62.0, 35.0, shared_p95=[1.4], shared_first=[1.3])
    rows = {row.what.removeprefix("sidecar: "): row for row in sidecar(found)}
    assert rows["/health"].kept
    assert rows["cached, to a bare ASGI app on the same server"].measured == "0.63"
    assert rows["both, with all workers of this run"].measured == "1.40 and 1.30 ms"
    assert rows["uncached, to litellm's proxy"].measured == "40.0 times its 75 a second"
    assert [what for what, row in rows.items() if not row.kept] == [
        "uncached", "uncached, to the 3,300 a second once measured of TensorZero's gateway",
        "added to a stream's first byte, one worker",
    ]  # fmt: skip
    text = page(found, list(rows.values()), 2)
    assert "| cached | 12,000 | 90 |" in text
    assert "memory of an open stream | ≤ 100 KB | 35 KB | yes |" in text


def test_a_stream_under_load_has_fifty_events_and_a_held_one_never_ends() -> None:
    whole, held = STREAM, HELD
    assert whole.count(b"data: ") == CHUNKS == 50
    assert whole.endswith(b"0\r\n\r\n")
    assert held.count(b"data: ") == 2
    assert not held.endswith(b"0\r\n\r\n")
