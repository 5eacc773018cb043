"""Memory and a directory behind it: what is written there, what is found there, and that it is never in the way."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge import EdgeClient
from llm_edge.errors import NotCached, Overloaded
from llm_edge.layers.answers import Answers
from llm_edge.layers.cache import Cache, Keeping
from llm_edge.layers.kept import Held
from llm_edge.layers.rules import Rules
from llm_edge.message import Request, Response
from llm_edge.runtime import FakeClock
from llm_edge.stores.disk import disk_tier
from llm_edge.stores.memory import MemoryStore
from llm_edge.stores.tier import SecondTier
from llm_edge.stores.tombstones import tag
from llm_edge.testing import Provider, stream
from tests.conftest import Sync
from tests.stores.kit import BOUND, Ticking

from .kit import Script, answer, call, failed, read_all, streamed
from .test_cache import UNDERSTOOD, asked
from .test_cache_fresh import settled
from .test_cache_inputs import embedded
from .test_flight import until

if TYPE_CHECKING:
    from tests.conftest import Colour


class Process:
    """One process's cache over a shared directory; its memory is its own."""

    def __init__(self, colour: Colour, directory: Path, clock: FakeClock, *steps: Any, **rule: Any) -> None:
        self.colour, self.clock, self.script = colour, clock, Script(*(steps or [lambda request: answer()]))
        stale = max(rule.get("stale_if_error", 0.0), rule.get("stale_while_revalidate", 0.0))
        self.tier: SecondTier = disk_tier(directory, ttl=3600.0, stale=stale, patience=BOUND, clock=clock)
        self.memory: MemoryStore[Held] = MemoryStore()
        self.answers = Answers(self.memory, self.tier)
        rules = Rules(Keeping(**{"ttl": 300.0, "second_ttl": 3600.0, "early": False, **rule}))
        runtime = colour.runtime(clock)
        self.layer = Cache(self.answers, runtime, rules, lambda dialect: UNDERSTOOD, chance=lambda: 0.0)

    def ask(self, request: Request | None = None, **fields: Any) -> tuple[str, bytes]:
        request = request or call(**fields)
        response = self.colour.run(self.layer(request, self.script))
        if response.stream is not None:
            return request.notes.cache, b"".join(self.colour.run(read_all(response)))
        assert response.body is not None
        return request.notes.cache, response.body.raw

    def written(self) -> None:
        self.colour.run(self.tier.view(self.colour.runtime(self.clock)).drain(BOUND))

    def close(self) -> None:
        self.tier.close()
        self.tier.join(BOUND)


@pytest.fixture
def processes(colour: Colour, tmp_path: Path) -> Iterator[Any]:
    yield from beside_one_another(colour, tmp_path)


def beside_one_another(colour: Colour, tmp_path: Path) -> Iterator[Any]:
    """Makes caches that share a directory and a clock."""
    made: list[Process] = []
    clock = Ticking()

    def make(*steps: Any, **rule: Any) -> Process:
        made.append(Process(colour, tmp_path / "kept", clock, *steps, **rule))
        return made[-1]

    yield make
    for process in made:
        process.close()


@pytest.mark.parametrize("streaming", [False, True])
def test_what_one_process_kept_another_finds(processes: Any, streaming: bool) -> None:
    step = (lambda request: streamed()) if streaming else (lambda request: answer())
    one, other = processes(step), processes(step)
    first = one.ask(streaming=streaming)
    one.written()
    again = other.ask(streaming=streaming)
    assert (first[0], again[0]) == ("MISS", "HIT")
    assert first[1] == again[1]
    assert other.script.asked == []


def test_who_keeps_nothing_may_read_there_and_who_wants_nothing_that_is_kept_does_not(processes: Any) -> None:
    one, reader, doubter = processes(), processes(), processes()
    one.ask()
    one.written()
    assert reader.ask(**asked(no_store=True))[0] == "HIT"
    with pytest.raises(NotCached):
        doubter.ask(**asked(no_cache=True, only_if_cached=True))
    assert doubter.ask(**asked(no_cache=True))[0] == "MISS"
    assert (len(reader.script.asked), len(doubter.script.asked)) == (0, 1)


def test_what_is_found_there_goes_into_memory(processes: Any) -> None:
    one, other = processes(), processes()
    one.ask()
    one.written()
    assert other.ask()[0] == "HIT"
    other.tier.close()
    assert other.ask()[0] == "HIT"


@pytest.mark.parametrize("fields", [asked(namespace="acme"), {"scope": "another"}, {"route": "other"}])
def test_bytes_found_there_are_known_by_sight_and_kept_apart_all_the_same(processes: Any, fields: Any) -> None:
    one, other = processes(), processes()
    one.ask()
    one.written()
    assert [other.ask()[0], other.ask(**fields)[0], other.ask()[0]] == ["HIT", "MISS", "HIT"]
    assert len(other.script.asked) == 1


def test_memory_forgets_sooner_and_the_directory_still_knows(processes: Any) -> None:
    one = processes()
    one.ask()
    one.written()
    one.clock.advance(301.0)
    request = call()
    assert one.ask(request)[0] == "HIT"
    assert request.notes.cache_age == pytest.approx(301.0)
    assert one.tier.counts().hits == 1
    one.clock.advance(3300.0)
    assert one.ask()[0] == "MISS"


def test_an_answer_past_its_end_is_not_found(processes: Any) -> None:
    one, other = processes(), processes()
    one.ask(**asked(ttl=10.0))
    one.written()
    one.clock.advance(11.0)
    assert other.ask()[0] == "MISS"


def test_max_age_counts_from_when_the_provider_answered(processes: Any) -> None:
    one, other = processes(), processes()
    one.ask()
    one.written()
    one.clock.advance(100.0)
    assert other.ask(**asked(max_age=99.0))[0] == "MISS"
    assert processes().ask(**asked(max_age=101.0))[0] == "HIT"


def test_tenants_and_credentials_find_only_their_own(processes: Any) -> None:
    one, other = processes(), processes()
    one.ask(scope="credential-1", **asked(tenant="a"))
    one.written()
    assert other.ask(scope="credential-2", **asked(tenant="a"))[0] == "MISS"
    assert other.ask(scope="credential-1", **asked(tenant="b"))[0] == "MISS"
    assert other.ask(scope="credential-1", **asked(tenant="a"))[0] == "HIT"


def test_a_stale_answer_of_the_directory_serves_when_nobody_answers(processes: Any) -> None:
    one, other = processes(stale_if_error=600.0), processes(failed(), stale_if_error=600.0)
    one.ask(**asked(ttl=10.0))
    one.written()
    one.clock.advance(100.0)
    assert other.ask()[0] == "STALE"


def test_only_if_cached_looks_there_too(processes: Any) -> None:
    one, other = processes(), processes()
    one.ask()
    one.written()
    assert other.ask(**asked(only_if_cached=True))[0] == "HIT"
    assert other.script.asked == []


def test_a_second_tier_that_is_closed_is_no_error(processes: Any) -> None:
    one = processes()
    one.ask()
    one.written()
    one.tier.close()
    one.clock.advance(301.0)
    assert one.ask()[0] == "MISS"


def test_while_the_second_tier_is_away_memory_knows_for_as_long_as_an_answer_is_fresh(processes: Any) -> None:
    one = processes()
    one.ask()
    one.written()
    for _ in range(5):
        one.tier._reading.bad(one.clock.now())  # it has failed five times in a row
    assert one.tier.failing
    for _ in range(3):
        one.clock.advance(301.0)
        assert one.ask()[0] == "HIT"
    until(lambda: not one.tier.failing)  # hits have it looked after
    assert one.ask()[0] == "HIT"
    assert len(one.script.asked) == 1


def test_an_answer_that_is_to_be_kept_for_ever_is_kept_for_a_year(processes: Any) -> None:
    one, other = processes(), processes()
    one.ask(**asked(ttl=9e8))
    one.written()
    one.clock.advance(3e7)
    assert other.ask(**asked(ttl=9e8))[0] == "HIT"


def test_an_edge_client_keeps_answers_for_the_next_one(colour: Colour, tmp_path: Path, provider: Provider) -> None:
    provider.script(stream("ke", "pt"))
    place: Any = {"kind": "openai", "base_url": f"{provider.url}/v1"}
    told: list[tuple[str, str]] = []
    for _ in range(2):
        edge = EdgeClient(providers={"p": place}, cache={"disk": {"directory": str(tmp_path / "kept")}}, env={})
        second: Any = edge._house.answers.second  # pyright: ignore[reportPrivateUsage]
        second._shelf._patience = BOUND  # a busy machine may need longer than a call would wait
        reply = colour.chat(edge, "p/m", "Hi", stream=True)
        told.append((reply.cache, "".join(chunk.text for chunk in colour.items(reply))))
        whole = colour.chat(edge, "p/m", "Hi")
        told.append((whole.cache, whole.text))
        colour.close(edge)
    assert told == [("MISS", "kept"), ("HIT", "kept"), ("HIT", "kept"), ("HIT", "kept")]
    provider.asked(1)


# ---------------------------------------------------------------------- one call for several processes


def on_threads(*work: Any) -> list[Any]:
    with ThreadPoolExecutor(len(work)) as pool:
        return [each.result() for each in [pool.submit(each) for each in work]]


BATCH: Any = {
    "operation": "embeddings", "dialect": "openai.embeddings", "body": {"model": "e", "input": ["a", "bb"]}
}  # fmt: skip


@pytest.mark.parametrize("fields", [{"streaming": False}, {"streaming": True}, BATCH])
def test_processes_that_ask_the_same_share_one_call(tmp_path: Path, fields: Any) -> None:
    clock, gate, asked_once = Ticking(), threading.Event(), threading.Event()

    def slow(request: Request) -> Response:
        asked_once.set()
        assert gate.wait(BOUND)
        return embedded(request) if fields is BATCH else streamed() if request.streaming else answer()

    one, other = (Process(Sync(), tmp_path / "kept", clock, slow, lease=1e6) for _ in range(2))
    for each in (one, other):
        if fields is BATCH:
            each.layer.understand = lambda dialect: type(UNDERSTOOD)(UNDERSTOOD.watcher, lambda body, usage: ())

    def second() -> tuple[str, bytes]:
        assert asked_once.wait(BOUND)
        return other.ask(**fields)

    def third() -> None:
        assert asked_once.wait(BOUND)
        end = time.monotonic() + BOUND
        while len(clock.slept) < 3 and time.monotonic() < end:
            os.sched_yield()
        gate.set()

    first, again, _ = on_threads(lambda: one.ask(**fields), second, third)
    assert (first[0], again[0]) == ("MISS", "HIT")
    assert fields is BATCH or first[1] == again[1]
    assert len(one.script.asked) + len(other.script.asked) == 1
    one.close()
    other.close()


def test_a_process_that_died_with_the_lease_holds_nobody_up_for_longer_than_that(processes: Any) -> None:
    one, other = processes(lease=30.0), processes(lease=30.0)

    async def die() -> None:
        name = f"{key_of(one, call())} "
        assert await one.tier.view(one.colour.runtime(one.clock)).claim(name, "dead", 30.0)

    one.colour.run(die())
    assert other.ask()[0] == "MISS"
    assert 0 < sum(other.clock.slept) <= 31.0


def test_while_answers_are_written_too_slowly_nobody_waits_for_anothers(processes: Any) -> None:
    one = processes(lease=30.0)
    begun, writes = threading.Event(), threading.Event()
    one.tier._behind.add(lambda: (begun.set(), writes.wait(BOUND)))
    assert begun.wait(BOUND)
    for number in range(100):
        one.ask(body={"model": "m", "messages": [number]})
    one.answers.memory.clear()
    again = one.ask(body={"model": "m", "messages": [1]})
    writes.set()
    assert (again[0], one.clock.slept) == ("MISS", [])


def test_where_nothing_can_be_written_nobody_waits_for_anothers(processes: Any) -> None:
    """Nor could the right to ask be given back: a full disk takes no such change either."""
    one = processes(lease=30.0)

    async def hold() -> None:
        assert await one.tier.view(one.colour.runtime(one.clock)).claim(f"{key_of(one, call())} ", "held", 1e4)

    one.colour.run(hold())
    one.tier._writing.bad(one.clock.now())
    assert (one.ask()[0], one.clock.slept) == ("MISS", [])


def test_who_has_little_time_waits_half_of_it_and_asks_by_itself(processes: Any) -> None:
    one = processes(lease=30.0)

    async def hold() -> None:
        assert await one.tier.view(one.colour.runtime(one.clock)).claim(f"{key_of(one, call())} ", "held", 1e4)

    one.colour.run(hold())
    assert one.ask(deadline=one.clock.now() + 4.0)[0] == "MISS"
    assert 2.0 <= sum(one.clock.slept) <= 2.5


def test_a_call_that_fails_gives_the_lease_back(processes: Any) -> None:
    one, other = processes(failed(), lease=30.0), processes(lease=30.0)
    with pytest.raises(Overloaded):
        one.ask()
    one.written()
    assert other.ask()[0] == "MISS"
    assert other.clock.slept == []


def key_of(process: Process, request: Request) -> str:
    return process.layer.key_of(request, request.body)


# ---------------------------------------------------------------------- stale ones, and purges


def renewing(processes: Any, *steps: Any, **rule: Any) -> Process:
    made: Process = processes(*steps, ttl=60.0, second_ttl=60.0, stale_while_revalidate=30.0, **rule)
    return made


@pytest.mark.parametrize("lease", [0.0, 30.0])
@pytest.mark.parametrize("streaming", [False, True])
def test_what_another_process_has_renewed_is_not_asked_for_again(processes: Any, lease: float, streaming: bool) -> None:
    one = renewing(processes, lambda request: streamed() if streaming else answer(), lease=lease)
    other = renewing(processes, lease=lease)
    one.ask(streaming=streaming)
    one.written()
    assert other.ask(streaming=streaming)[0] == "HIT"
    one.clock.advance(70.0)
    for process in (one, other):
        assert process.ask(streaming=streaming)[0] == "STALE"
        settled(process.colour)
        process.written()
        assert process.ask(streaming=streaming)[0] == "HIT"
    assert (len(one.script.asked), len(other.script.asked)) == (2, 0)
    assert (one.answers.stats.refreshed, other.answers.stats.refreshed) == (1, 0)


def test_who_renews_what_another_process_is_renewing_waits_for_it_behind_the_callers_back(processes: Any) -> None:
    one = renewing(processes, lease=30.0)
    one.ask()
    one.written()
    one.clock.advance(70.0)

    async def hold() -> None:
        assert await one.tier.view(one.colour.runtime(one.clock)).claim(f"{key_of(one, call())} ", "held", 1e4)

    one.colour.run(hold())
    assert one.ask()[0] == "STALE"
    settled(one.colour)
    assert 0 < sum(one.clock.slept) <= 31.0, "and asks by itself when that takes too long"
    assert len(one.script.asked) == 2


def test_an_answer_that_was_on_its_way_when_it_was_purged_is_kept_nowhere(processes: Any) -> None:
    def purged_meanwhile(request: Request) -> Response:
        one.clock.advance(1.0)
        one.tier.tombstones.purge(tag(model="m"), one.clock.time())
        one.clock.advance(1.0)
        return answer()

    one = processes(purged_meanwhile, lambda request: answer())
    assert [one.ask()[0], one.ask()[0], one.ask()[0]] == ["MISS", "MISS", "HIT"]
    one.written()
    assert processes().ask()[0] == "HIT", "the later one is"
    assert one.tier.counts().written == 1


def test_what_was_made_by_a_clock_that_was_ahead_is_purged_too(processes: Any) -> None:
    """Clocks are set back, and those of two machines differ."""
    one = processes(lambda request: answer())
    one.clock._offset += 30.0
    one.ask()
    one.written()
    one.clock._offset -= 30.0
    assert one.ask()[0] == "HIT"
    one.colour.run(one.tier.view(one.colour.runtime(one.clock)).purge(tag(model="m")))
    one.written()
    assert [one.ask()[0], processes(lambda request: answer()).ask()[0]] == ["MISS", "MISS"]
    one.clock.advance(31.0)
    assert [one.ask()[0], one.ask()[0]] == ["MISS", "HIT"]


def test_a_long_batch_of_embeddings_is_kept_whole_however_slowly_it_is_written(processes: Any) -> None:
    one = processes(embedded)
    one.layer.understand = lambda dialect: type(UNDERSTOOD)(UNDERSTOOD.watcher, lambda body, usage: ())
    fields: Any = {"operation": "embeddings", "dialect": "openai.embeddings"}
    writes = threading.Event()
    one.tier._behind.add(writes.wait)
    one.ask(**fields, body={"model": "e", "input": [f"text {number}" for number in range(1100)]})
    writes.set()
    one.written()
    assert (one.tier.counts().written, one.tier.counts().dropped) == (1100, 0)
