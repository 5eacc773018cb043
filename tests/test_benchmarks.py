"""The benchmark's own arithmetic: what it promises is read from what it measured."""

import json

import pytest

from benchmarks import dialects, report, traffic
from benchmarks.dialects import Cost
from benchmarks.footprint import Footprint
from benchmarks.promises import Promise, kept, promises, translating
from benchmarks.provider import ANSWER, EVENTS, TEXT, WORDS
from benchmarks.rounds import Cell, Results, Series, added, ratio

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


def test_the_layers_on_the_way_have_their_own_promises() -> None:
    rows = traffic.measure(calls=20, seconds=0.1)
    assert len({row.what for row in rows}) == len(rows) == 7
    for row in rows:
        measured, target = (
            float(words.split()[0 if words is row.measured else 1]) for words in (row.measured, row.target)
        )
        assert row.kept == (measured <= target)
