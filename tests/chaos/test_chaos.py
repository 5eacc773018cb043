"""A short run of what `nox -s chaos` does at length."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .crowd import Outcome
from .disks import DISKS, live_through
from .invariants import INVARIANTS, Tally
from .memory import everybody_is_new
from .scenes import SCENES, Scene, play
from .simulation import simulate
from .virtual import Stuck, run


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_whatever_happens_the_invariants_hold(first: int) -> None:
    report = simulate(range(first, first + 25))
    assert report.breaches == []
    assert set(report.checked) == INVARIANTS.keys() - {"I12"}


@pytest.mark.parametrize("seed", [532, 2240, 2431])
def test_who_joined_a_stream_of_somebody_more_patient_keeps_a_deadline_of_its_own(seed: int) -> None:
    assert simulate(range(seed, seed + 1)).breaches == []


@pytest.mark.parametrize("seed", [1795285557, 1795286598, 1795287060])
def test_who_waited_for_room_at_a_provider_arrives_at_the_pace_of_its_limit(seed: int) -> None:
    assert simulate(range(seed, seed + 1)).breaches == []


def test_the_same_seed_gives_the_same_run() -> None:
    first, second = (simulate(range(7, 12)) for _ in range(2))
    assert (first.outcomes, first.upstream) == (second.outcomes, second.upstream)


def test_a_run_in_which_nothing_can_go_on_is_found() -> None:
    async def wait_for_nothing() -> None:
        import asyncio

        await asyncio.get_running_loop().create_future()

    with pytest.raises(Stuck):
        run(wait_for_nothing())


def test_memory_does_not_grow_with_those_who_call() -> None:
    assert play(everybody_is_new, 0.08).breaches == []


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_bad_day_is_lived_through(scene: Scene) -> None:
    outcome = play(scene, 0.1)
    assert outcome.breaches == []
    assert {"I2", "I8", "I10", "I11"} <= outcome.checked.keys()


@pytest.mark.parametrize("scene", DISKS, ids=lambda scene: scene.__name__)
def test_what_is_done_to_a_disk_gives_no_wrong_answer(scene: Callable[[Outcome, float], None]) -> None:
    outcome = live_through(scene, 0.004)
    assert outcome.breaches == []
    assert outcome.checked["disk"]


def test_a_breach_is_counted_and_named() -> None:
    outcome, whole = Outcome(name="a scene"), Tally()
    outcome.check("I2", True, "fine")
    outcome.check("I2", False, "3 in, 2 out")
    whole.add(outcome)
    whole.add(outcome)
    assert (whole.checked["I2"], whole.broken["I2"]) == (4, 2)
    assert whole.breaches[0] == "a scene: I2 (every call in ends once: answered, failed, or given up): 3 in, 2 out"
    assert "checked        4  broken 2" in whole.table()
