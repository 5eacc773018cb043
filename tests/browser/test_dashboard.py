"""The dashboard in a real Chromium, over the real sidecar: what it shows, what its forms do, how it looks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from llm_edge.testing import answer, status, stream
from tests.serve.kit import question

from .conftest import Stage, Watched
from .traffic import ask

Open = Callable[..., Page]


def figure(page: Page, name: str) -> Locator:
    figures = page.get_by_role("region", name="Figures").locator(".figure")
    return figures.filter(has=page.get_by_text(name, exact=True)).locator(".value")


def go(page: Page, view: str) -> None:
    page.get_by_role("link", name=view, exact=True).click()


def test_real_calls_show_with_their_stories(stage: Stage, dashboard: Open) -> None:
    stage.provider.script(answer("Paris."), stream("Par", "is."), status(400, "no such thing"))
    for body in (question("one?"), question("one?"), question("two?", stream=True), question("three?")):
        ask(stage.process, stage.keys["acme"], body)
    page = dashboard()
    expect(figure(page, "Calls")).to_have_text(re.compile(r"^([4-9]|\d{2,})$"))
    expect(figure(page, "Cache hits")).to_have_text(re.compile(r"^[1-9].* %$"))
    expect(figure(page, "Tokens")).to_have_text(re.compile(r"^[1-9]"))
    targets = page.get_by_role("region", name="Targets")
    expect(targets.get_by_role("row").filter(has_text="openai/gpt-5.4-mini")).to_contain_text("closed")
    expect(page.locator("canvas")).to_have_count(4)

    go(page, "Calls")
    rows = page.locator("tbody tr")
    expect(rows.first).to_contain_text("400")
    expect(rows.filter(has_text="HIT").first).to_contain_text("acme")
    rows.filter(has_text="stream").first.click()
    story = page.get_by_role("dialog")
    expect(story).to_contain_text("openai/gpt-5.4-mini: ok")
    expect(story).to_contain_text("of which llm_edge")
    expect(story).not_to_contain_text("two?")
    story.get_by_label("Close").click()
    page.get_by_role("button", name="failed").click()
    expect(rows.filter(has_text="200")).to_have_count(0)
    page.get_by_label("Search calls").fill("nobody asked this")
    expect(page.get_by_text("No calls to show")).to_be_visible()


def test_new_calls_come_in_by_themselves(stage: Stage, dashboard: Open) -> None:
    stage.provider.script(answer("Paris."))
    page = dashboard()
    go(page, "Calls")
    here = page.locator("tbody tr").filter(has_text="openai/gpt-5.4-nano")
    expect(here).to_have_count(0)
    ask(stage.process, stage.keys["acme"], question("new?", model="openai/gpt-5.4-nano"))
    expect(here).to_have_count(1)


def test_a_call_under_way_shows_while_it_runs(stage: Stage, dashboard: Open) -> None:
    import threading

    from llm_edge.runtime import Signal

    go_on = Signal()
    stage.provider.script(answer("Paris.").stall(until=go_on))
    page = dashboard()
    running = threading.Thread(target=ask, args=(stage.process, stage.keys["acme"], question("slow?")))
    running.start()
    under_way = page.get_by_role("region", name="Under way")
    try:
        expect(under_way.get_by_role("row").filter(has_text="openai/gpt-5.4-mini")).to_be_visible()
    finally:
        go_on.set()
        running.join()
    expect(under_way.get_by_text("Nothing under way")).to_be_visible()


def test_a_key_is_made_shown_once_rotated_and_revoked(stage: Stage, dashboard: Open) -> None:
    stage.provider.script(answer("Paris."))
    page = dashboard()
    go(page, "Keys")
    page.get_by_label("Name").fill("night shift")
    page.get_by_label("Tenant").fill("night")
    page.get_by_role("button", name="Create key").click()
    key = page.get_by_role("dialog").locator("code").inner_text()
    assert key.startswith("sk-edge-")
    page.get_by_role("button", name="I have it").click()
    expect(page.locator("dialog")).to_have_count(0)
    assert key not in page.content()
    assert b"Paris." in ask(stage.process, key, question("mine?"))

    row = page.get_by_role("row").filter(has_text="night shift")
    row.get_by_role("button", name="Rotate").click()
    page.get_by_label("Hours the old key stays open").fill("0")
    page.get_by_role("dialog").get_by_role("button", name="Rotate key").click()
    fresh = page.get_by_role("dialog").locator("code").inner_text()
    page.get_by_role("button", name="I have it").click()
    assert ask(stage.process, key, question("mine?")) == b""
    assert b"Paris." in ask(stage.process, fresh, question("mine?"))

    row.filter(has_text="active").get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke key").click()
    expect(row.filter(has_text="revoked")).to_have_count(1)
    assert ask(stage.process, fresh, question("mine?")) == b""
    go(page, "Trail")
    for what in ("keys.create", "keys.rotate", "keys.revoke"):
        expect(page.get_by_role("row").filter(has_text=what).first).to_be_visible()


def test_a_form_says_what_is_wrong_beside_itself(dashboard: Open, watched: Watched) -> None:
    page = dashboard()
    go(page, "Keys")
    page.get_by_label("Days until it ends").fill("-1")
    page.get_by_role("button", name="Create key").click()
    expect(page.get_by_role("alert").filter(has_text="`days` must be more than 0")).to_be_visible()
    assert len(watched.errors) == 1  # the browser's own line on the refusal
    watched.errors.clear()


def test_a_target_is_taken_out_and_put_back(stage: Stage, dashboard: Open) -> None:
    stage.provider.script(answer("Paris."))
    ask(stage.process, stage.keys["acme"], question("known?"))
    page = dashboard()
    row = page.get_by_role("region", name="Targets").get_by_role("row").filter(has_text="openai/gpt-5.4-mini")
    row.get_by_role("button", name="Take out").click()
    page.get_by_role("button", name="Open breaker").click()
    expect(row).to_contain_text("forced-open")
    ask(stage.process, stage.keys["acme"], question("elsewhere?"))
    assert stage.provider.last.model == "gemini-3-flash"
    row.get_by_role("button", name="Put back").click()
    page.get_by_role("button", name="Close breaker").click()
    expect(row).to_contain_text("closed")


def test_answers_are_forgotten(stage: Stage, dashboard: Open) -> None:
    stage.provider.script(answer("Paris."))
    page = dashboard()
    for _ in range(2):
        ask(stage.process, stage.keys["acme"], question("forgotten?"))
    before = len(stage.provider.calls)
    go(page, "Cache")
    page.get_by_label("Tenant").fill("acme")
    page.get_by_role("button", name="Forget").click()
    expect(page.get_by_text("Answers that have all of these are forgotten.")).to_be_visible()
    ask(stage.process, stage.keys["acme"], question("forgotten?"))
    assert len(stage.provider.calls) == before + 1


def test_nobody_sees_it_without_an_admins_key(opened: Open, stage: Stage, watched: Watched) -> None:
    page = opened("/dashboard")
    field = page.get_by_label("Admin key")
    for key, words in (("wrong", "the key is not valid here"), (stage.keys["acme"], "lacks the permission `admin`")):
        field.fill(key)
        page.get_by_role("button", name="Open").click()
        expect(page.get_by_role("alert")).to_contain_text(words)
    assert page.evaluate("sessionStorage.length") == 0
    assert all(re.search("status of 40[13]", error) for error in watched.errors)
    watched.errors.clear()


def test_the_key_stays_in_its_tab(dashboard: Open) -> None:
    page = dashboard()
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length") == 0
    other = page.context.new_page()
    other.goto(page.url)
    expect(other.get_by_label("Admin key")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Admin key")).to_be_visible()
    assert page.evaluate("sessionStorage.length") == 0


def test_what_a_caller_names_is_text_and_nothing_else(stage: Stage, dashboard: Open, watched: Watched) -> None:
    stage.provider.script(answer("Paris."))
    name = "<img src=x onerror=alert(1)>"
    ask(stage.process, stage.keys["acme"], question("markup?", model=f"openai/{name}"))
    page = dashboard()
    go(page, "Calls")
    expect(page.get_by_role("row").filter(has_text=name).first).to_be_visible()
    assert page.locator("main img").count() == 0
    made = page.evaluate("() => { try { document.body.innerHTML = '<b>x</b>'; return true } catch { return false } }")
    assert made is False, "the page's policy lets nothing make markup of text"
    assert all("TrustedHTML" in error for error in watched.errors)
    watched.errors.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("view", ["Overview", "Calls", "Keys", "Cache", "Trail"])
def test_it_fits_a_phone(view: str, scheme: Literal["light", "dark"], stage: Stage, dashboard: Open) -> None:
    stage.provider.script(answer("Paris."))
    ask(stage.process, stage.keys["acme"], question("phone?"))
    page = dashboard(size=(360, 740), color_scheme=scheme, is_mobile=True, has_touch=True)
    go(page, view)
    page.wait_for_function("document.querySelectorAll('main > *').length > 1")
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert back == {"light": "rgb(246, 246, 248)", "dark": "rgb(13, 15, 19)"}[scheme]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_its_words_can_be_read(scheme: Literal["light", "dark"], dashboard: Open) -> None:
    """The contrast that WCAG asks of text, for every colour of ours that text has."""
    page = dashboard(color_scheme=scheme)
    ratios = page.evaluate(CONTRAST)
    assert min(ratios.values()) >= 3.0, ratios
    assert min(ratio for pair, ratio in ratios.items() if "faint" not in pair) >= 4.5, ratios


CONTRAST = """() => {
  const style = getComputedStyle(document.documentElement);
  const part = (hex, at) => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  };
  const light = (name) => {
    const hex = style.getPropertyValue(`--${name}`).trim().slice(1);
    return 0.2126 * part(hex, 0) + 0.7152 * part(hex, 2) + 0.0722 * part(hex, 4);
  };
  const ratio = (pair) => {
    const [more, less] = pair.split(" on ").map(light).sort((one, other) => other - one);
    return (more + 0.05) / (less + 0.05);
  };
  const pairs = ["text on face", "text on back", "soft on face", "soft on sunk", "faint on face", "mark on face",
    "mark on mark-face", "good on good-face", "warn on warn-face", "bad on bad-face"];
  return Object.fromEntries(pairs.map((pair) => [pair, ratio(pair)]));
}"""
