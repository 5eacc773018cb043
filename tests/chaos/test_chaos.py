"""A short run of what `nox -s chaos` does at length."""

from __future__ import annotations

import pytest

from .memory import everybody_is_new
from .scenes import SCENES, play
from .simulation import INVARIANTS, simulate
from .virtual import Stuck, run


@pytest.mark.parametrize("first", range(0, 200, 25))
def test_whatever_happens_the_invariants_hold(first: int) -> None:
    report = simulate(range(first, first + 25))
    assert report.breaches == []
    assert all(report.checked[name] for name in INVARIANTS)


@pytest.mark.parametrize("seed", [532, 2240, 2431])
def test_who_joined_a_stream_of_somebody_more_patient_keeps_a_deadline_of_its_own(seed: int) -> None:
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
def test_a_bad_day_is_lived_through(scene: object) -> None:
    assert play(scene, 0.1).breaches == []  # type: ignore[arg-type]  # one of the scenes
