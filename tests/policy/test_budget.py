"""Which budgets a call is under."""

from __future__ import annotations

import pytest

from llm_edge.policy.budget import MOST, Budget, Budgets

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


@pytest.mark.parametrize(
    ("nano", "dollars"),
    [(5_000_000, "0.005"), (100, "0.0000001"), (123_456_780_000_000, "123456.78"), (2_000_000_000_000_000, "2000000")],
)
def test_a_refusal_names_the_very_amount(nano: int, dollars: str) -> None:
    (line,) = Budgets({"global": Budget(limits={"month": nano})}).lines((("global", ""),))
    assert line.row.says == f"more than ${dollars} in a month"


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
