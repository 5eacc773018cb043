"""What callers may use, in the dashboard: limits and budgets seen and set, and who spent what."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from llm_edge.testing import answer
from tests.serve.kit import question

from .conftest import Stage
from .test_dashboard import go
from .traffic import ask

Open = Callable[..., Page]


def test_a_budget_is_set_and_taken_back(stage: Stage, dashboard: Open) -> None:
    stage.provider.script(answer("Paris."))
    page = dashboard()
    go(page, "Money")
    page.get_by_label("For whom").fill("tenant:acme")
    page.get_by_label("Dollars a day").fill("0.000001")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.get_by_text("It holds for tenant:acme from now on.")).to_be_visible()
    assert ask(stage.process, stage.keys["acme"], question("too dear?")) == b""
    page.reload()
    row = page.get_by_role("region", name="Budgets").get_by_role("row").filter(has_text="tenant:acme")
    row.get_by_role("button", name="Take back").click()
    page.get_by_role("dialog").get_by_role("button", name="Take back").click()
    expect(page.locator("dialog")).to_have_count(0)
    assert b"Paris." in ask(stage.process, stage.keys["acme"], question("paid for?"))
    page.reload()
    expect(page.get_by_role("region", name="Who spent what").get_by_role("row").filter(has_text="acme")).to_be_visible()


def test_a_limit_is_set_and_taken_back(stage: Stage, dashboard: Open) -> None:
    stage.provider.script(answer("Paris."))
    page = dashboard()
    go(page, "Limits")
    page.get_by_label("For whom").fill("tenant:acme")
    page.get_by_label("Calls a day").fill("1")
    page.get_by_role("button", name="Set", exact=True).click()
    row = page.get_by_role("region", name="Limits").get_by_role("row").filter(has_text="tenant:acme")
    expect(row).to_contain_text("admin")
    said = [ask(stage.process, stage.keys["acme"], question(f"limited {number}?")) for number in range(2)]
    assert said[1] == b""
    row.get_by_role("button", name="Take back").click()
    page.get_by_role("dialog").get_by_role("button", name="Take back").click()
    expect(row).to_have_count(0)
    assert b"Paris." in ask(stage.process, stage.keys["acme"], question("free again?"))


def test_money_is_that_of_a_week_until_more_is_asked_for(dashboard: Open) -> None:
    """A usage log of years was read whole for the page."""
    page = dashboard()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url.partition("?")[2]) if "/admin/spend" in one.url else None)
    go(page, "Money")
    card = page.get_by_role("region", name="Who spent what")
    expect(card.get_by_role("button", name="7 days", pressed=True)).to_be_visible()
    with page.expect_response("**/admin/spend?by=tenant"):
        card.get_by_role("button", name="all").click()
    expect(card.get_by_role("button", pressed=True)).to_have_text("all")
    assert asked == ["by=tenant&since=7d", "by=tenant"]
