"""Memory and a directory behind it: what is written there, what is found there, and that it is never in the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge import EdgeClient
from llm_edge.layers.answers import Answers
from llm_edge.layers.cache import Cache, Keeping
from llm_edge.layers.kept import Held
from llm_edge.layers.rules import Rules
from llm_edge.message import Request
from llm_edge.runtime import FakeClock
from llm_edge.stores.disk import disk_tier
from llm_edge.stores.memory import MemoryStore
from llm_edge.stores.tier import SecondTier
from llm_edge.testing import Provider, stream
from tests.stores.kit import BOUND, Ticking

from .kit import Script, answer, call, failed, read_all, streamed
from .test_cache import UNDERSTOOD, asked

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


def test_what_is_found_there_goes_into_memory(processes: Any) -> None:
    one, other = processes(), processes()
    one.ask()
    one.written()
    assert other.ask()[0] == "HIT"
    other.tier.close()
    assert other.ask()[0] == "HIT"


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
