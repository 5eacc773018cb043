"""Which budgets a call is under, and what guesses learn."""

from __future__ import annotations

from hypothesis import given, strategies as st

from llm_edge.policy.budget import MOST, Budget, Budgets, Lessons

ACME = Budget(limits={"day": 5, "month": 50})
ANY = Budget(limits={"day": 1}, hard=False)


def test_a_subject_with_a_budget_of_its_own_has_that_one_alone() -> None:
    budgets = Budgets({"tenant": ANY, "tenant:acme": ACME})
    assert [(line.row.period, line.limit) for line in budgets.lines((("tenant", "acme"),))] == [
        ("day", 5),
        ("month", 50),
    ]
    assert [line.limit for line in budgets.lines((("tenant", "other"),))] == [1]
    assert budgets.lines((("user", "u"),)) == []


def test_a_soft_budget_never_refuses_and_a_hard_one_is_closed_without_its_store() -> None:
    (soft,) = Budgets({"global": ANY}).lines((("global", ""),))
    (hard, _) = Budgets({"global": ACME}).lines((("global", ""),))
    assert (soft.row.limit, soft.row.on_failure, hard.row.limit, hard.row.on_failure) == (MOST, "open", 5, "closed")


def test_keys_hold_no_names() -> None:
    budgets = Budgets({"tenant": ACME})
    rows = [line.row.key for who in ("acme", "other") for line in budgets.lines((("tenant", who),))]
    assert len(set(rows)) == 4
    assert not any("acme" in key for key in rows)


def test_a_model_is_known_with_and_without_its_provider() -> None:
    budgets = Budgets({"model:gpt-x": ACME})
    assert len(budgets.lines((("model", "openai/gpt-x"),))) == 2
    assert budgets.scopes() == ("model",)


def test_memory_does_not_grow_with_subjects() -> None:
    budgets = Budgets({"tenant": ACME})
    for number in range(10_000):
        budgets.lines((("tenant", str(number)),))
    assert len(budgets._known) <= 4096


@given(guessed=st.integers(1, 10**6), share=st.floats(0.2, 5.0))
def test_guesses_come_near_what_calls_really_use(guessed: int, share: float) -> None:
    lessons, real = Lessons(), max(round(guessed * share), 1)
    assert lessons.better("m", guessed) == guessed
    for _ in range(30):
        lessons.learn("m", guessed, real)
    assert abs(lessons.better("m", guessed) - real) <= max(real * 0.02, 1) or real < 10
    assert lessons.better("other", guessed) == guessed


def test_nonsense_teaches_nothing() -> None:
    lessons = Lessons()
    for guessed, real in ((0, 5), (5, 0), (-1, 5), (5, -1)):
        lessons.learn("m", guessed, real)
    assert lessons.better("m", 100) == 100
    lessons.learn("m", 1, 10**9)
    assert lessons.better("m", 100) <= 1000
    for number in range(10_000):
        lessons.learn(str(number), 1, 1)
    assert len(lessons._shares) <= 4096
