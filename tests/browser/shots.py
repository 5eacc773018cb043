"""Pictures of the pages, as people see them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Page, sync_playwright

from .browsers import FLAGS, executable

WIDE, PHONE = (1280, 900), (390, 844)


@contextmanager
def opened(
    browser: Browser, url: str, key: str, size: tuple[int, int], scheme: Literal["light", "dark"]
) -> Iterator[Page]:
    """The dashboard as this key sees it."""
    options: dict[str, Any] = {"is_mobile": True, "device_scale_factor": 2} if size == PHONE else {}
    context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, **options)
    page = context.new_page()
    page.goto(f"{url}/dashboard")
    page.get_by_label("Admin key").fill(key)
    page.get_by_role("button", name="Open").click()
    page.get_by_role("region", name="Figures").wait_for()
    yield page
    context.close()


def take(url: str, key: str, folder: Path) -> None:
    """All pictures that the documentation shows."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=executable(), args=FLAGS)
        for name, size, scheme in (("light", WIDE, "light"), ("dark", WIDE, "dark"), ("phone", PHONE, "light")):
            with opened(browser, url, key, size, scheme) as page:  # type: ignore[arg-type]  # a literal in a tuple
                page.wait_for_timeout(2500)
                page.screenshot(path=folder / f"dashboard-{name}.png")
                if name != "phone":
                    page.get_by_role("link", name="Calls").click()
                    page.locator("tbody tr").nth(1).click()
                    page.get_by_text("explain()").wait_for()
                    page.screenshot(path=folder / f"dashboard-call-{name}.png")
        browser.close()
