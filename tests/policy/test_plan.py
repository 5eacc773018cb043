"""Which rows a call must pass."""

from __future__ import annotations

from llm_edge.policy.plan import BRANCH, TRUNK, Bounds, Limiting, Plan, Subjects, joined

FREE = Bounds(requests=10, strict=True, requests_per_day=1000, concurrency=5)
PRO = Bounds(requests=100, burst=20, requests_per_day=100_000, concurrency=50)


def plan(**limits: Limiting) -> Plan:
    named = {name.replace("__", ":"): limit for name, limit in limits.items()}
    return Plan(named, {"free": FREE, "pro": PRO})


def limits_of(plan: Plan, subjects: Subjects, tier: str = "") -> list[tuple[str, str, int]]:
    passage = plan.passage(subjects, tier)
    return [(row.scope, row.kind, row.limit) for row, _ in passage.asks(7)]


def test_places_come_first_then_pace_then_day_then_tokens() -> None:
    bounds = Bounds(requests=10, burst=2, requests_per_day=100, tokens_per_minute=600, concurrency=3)
    rows = plan(**{"global": Limiting(bounds=bounds)}).passage((("global", ""),))
    assert [(row.kind, row.unit, amount) for row, amount in rows.asks(77)] == [
        ("places", "places", 1), ("pace", "requests", 1), ("tally", "requests", 1), ("pace", "tokens", 77),
    ]  # fmt: skip
    pace, tokens = rows.rows[1][0], rows.tokens[0]
    assert (pace.limit, pace.rate, tokens.limit, tokens.rate) == (2, 10.0, 600, 10.0)


def test_each_subject_has_rows_of_its_own_and_one_named_has_a_limit_of_its_own() -> None:
    some = plan(tenant=Limiting(bounds=FREE), tenant__acme=Limiting(bounds=Bounds(concurrency=500)))
    assert limits_of(some, (("tenant", "acme"),)) == [("tenant", "places", 500)]
    one, other = (some.passage((("tenant", name),)).rows for name in ("x", "y"))
    assert one[0][0].key != other[0][0].key
    assert {row.limit for row, _ in one} == {row.limit for row, _ in other}


def test_no_name_of_a_subject_is_in_a_key() -> None:
    rows = plan(tenant=Limiting(bounds=FREE)).passage((("tenant", "acme"),)).rows
    assert not any("acme" in row.key for row, _ in rows)


def test_a_model_is_known_with_its_provider_and_without() -> None:
    some = plan(model__gpt=Limiting(bounds=Bounds(concurrency=1)))
    assert limits_of(some, (("model", "openai/gpt"),)) == [("model", "places", 1)]
    assert limits_of(some, (("model", "openai/other"),)) == []
    assert some.scopes(TRUNK) == ()
    assert some.scopes(BRANCH) == ("model",)


def test_a_call_that_names_a_tier_is_held_to_it() -> None:
    some = plan(tenant=Limiting(bounds=FREE, tiered=True), user=Limiting(bounds=Bounds(concurrency=1)))
    who: Subjects = (("tenant", "acme"), ("user", "u"))
    assert ("tenant", "places", 5) in limits_of(some, who)
    assert ("tenant", "places", 50) in limits_of(some, who, "pro")
    assert ("user", "places", 1) in limits_of(some, who, "pro")  # without a tier nothing changes
    assert limits_of(some, who, "unheard of") == limits_of(some, who)


def test_what_stands_beside_a_tier_takes_its_place() -> None:
    own = Bounds(concurrency=7)
    assert joined(FREE, own) == Bounds(requests=10, strict=True, requests_per_day=1000, concurrency=7)
    assert joined(FREE, Bounds(requests=3, per=60.0)).strict is False
    some = plan(tenant=Limiting(bounds=joined(FREE, own), own=own, tiered=True))
    assert ("tenant", "places", 7) in limits_of(some, (("tenant", "a"),), "pro")


def test_subjects_without_number_do_not_fill_the_memory() -> None:
    some = plan(tenant=Limiting(bounds=FREE))
    for number in range(10_000):
        some.passage((("tenant", str(number)),))
    assert len(some._known) <= 4096  # pyright: ignore[reportPrivateUsage]  # there is no other way to see it
