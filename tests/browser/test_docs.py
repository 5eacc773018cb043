"""The description of what can be asked, in a real Chromium."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from llm_edge.testing import stream
from tests.serve.kit import question

from .conftest import Stage

Open = Callable[..., Page]


def test_every_operation_is_shown_and_one_is_tried(stage: Stage, opened: Open) -> None:
    stage.provider.script(stream("Par", "is."))
    page = opened("/docs")
    expect(page.locator("details.card")).not_to_have_count(0)
    page.get_by_label("Key", exact=True).fill(stage.keys["acme"])
    chat = page.locator("#post_v_chat_completions")
    chat.locator("summary").click()
    expect(chat.get_by_role("row").filter(has_text="messages")).to_contain_text("needed")
    chat.get_by_label("Body").first.fill(json.dumps(question("docs?", stream=True)))
    chat.get_by_role("button", name="Send").click()
    expect(chat.locator("pre")).to_contain_text("data: [DONE]")
    expect(chat).to_contain_text("target openai/gpt-5.4-mini")
    models = page.locator("#get_v_models")
    models.locator("summary").first.click()
    models.get_by_role("button", name="Send").click()
    expect(models.locator("pre")).to_contain_text('"fast"')


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(scheme: Literal["light", "dark"], opened: Open) -> None:
    page = opened("/docs", size=(360, 740), color_scheme=scheme, is_mobile=True)
    page.locator("#post_v_chat_completions summary").click()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
