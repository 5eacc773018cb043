"""A purge covers what was made up to its moment and carries its tag, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, strategies as st

from llm_edge.stores.tombstones import AHEAD, KINDS, MOST, Tombstones, tag

NOW = 1_795_000_000.0


@dataclass(frozen=True)
class Made:
    scope: str = "s"
    tenant: str = "t"
    namespace: str = "n"
    model: str = "m"
    made: float = NOW
    took: float = 0.0


names = st.sampled_from(["a", "b", "", "a,b", ":"])
things = st.builds(
    Made, names, names, names, names, st.sampled_from([NOW - 1, NOW, NOW + 1]), st.sampled_from([0.0, 1.0])
)
wanted = st.fixed_dictionaries({}, optional=dict.fromkeys(KINDS, names))


@given(st.lists(st.tuples(wanted, st.sampled_from([NOW - 1, NOW, NOW + 1])), max_size=4), things)
def test_a_purge_covers_what_has_all_it_names(purges: list[tuple[dict[str, str], float]], thing: Made) -> None:
    stones = Tombstones()
    for names, moment in purges:
        stones.purge(tag(**names), moment)
    assert stones.cover(thing) == any(
        thing.made - thing.took <= moment and all(getattr(thing, kind) == name for kind, name in names.items())
        for names, moment in purges
    )


def test_nothing_is_covered_before_the_first_purge() -> None:
    assert not Tombstones().cover(Made())


def test_a_purge_covers_an_answer_whose_clock_was_ahead_but_none_of_another_age() -> None:
    stones = Tombstones()
    stones.newest = NOW + AHEAD / 2
    assert stones.purge(tag(), NOW) == NOW + AHEAD / 2
    stones.newest = NOW + 10 * AHEAD
    assert stones.purge(tag(), NOW) == NOW + AHEAD
    assert stones.cover(Made(made=NOW + AHEAD))
    assert not stones.cover(Made(made=NOW + AHEAD + 1))


def test_a_tag_tells_no_names() -> None:
    assert "secret-tenant" not in tag(namespace="secret-tenant", model="gpt")


def test_what_a_store_knows_is_taken_in_and_what_it_lacks_is_told() -> None:
    stones = Tombstones()
    stones.purge(tag(model="a"), NOW)
    stones.purge(tag(model="b"), NOW)
    lacking = stones.merge({tag(model="a"): NOW + 1, tag(model="b"): NOW - 1, tag(model="c"): NOW}, NOW)
    assert lacking == {tag(model="b"): NOW}
    assert stones.cover(Made(model="a", made=NOW + 1))
    assert stones.cover(Made(model="b"))
    assert stones.cover(Made(model="c"))
    assert not stones.cover(Made(model="d"))


def test_a_store_that_knows_only_what_is_new_is_believed() -> None:
    stones, thing = Tombstones(), Made()
    every = {kind: getattr(thing, kind) for kind in KINDS}
    assert stones.merge({tag(**every): NOW}, NOW) == {}
    assert stones.cover(thing)
    assert not stones.cover(Made(tenant="another"))


@pytest.mark.parametrize(
    "found",
    [
        {tag(): NOW + AHEAD + 1}, {tag(): float("nan")}, {tag(): float("inf")}, {tag(): -1.0}, {tag(): 0.0},
        {tag(): 10**400}, {"": NOW}, {"nonsense": NOW}, {"flavour:" + "0" * 64: NOW}, {":short": NOW},
    ],
)  # fmt: skip
def test_what_makes_no_sense_in_a_store_covers_nothing(found: dict[str, float]) -> None:
    stones = Tombstones()
    assert stones.merge(found, NOW) == {}
    assert not stones.cover(Made())
    assert stones.marks == {}


def test_too_many_purges_become_one_that_covers_more_and_never_less() -> None:
    stones = Tombstones()
    for number in range(MOST + 10):
        stones.purge(tag(model=str(number)), NOW + number)
    assert len(stones.marks) <= MOST
    some = (MOST // 2 - 1, *range(0, MOST + 10, 97))
    assert all(stones.cover(Made(model=str(number), made=NOW + number)) for number in some)
    assert stones.cover(Made(model="another", made=NOW + MOST // 2 - 1))
    assert not stones.cover(Made(model="another", made=NOW + MOST // 2))
