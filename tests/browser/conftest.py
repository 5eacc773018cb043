"""One Chromium and one sidecar for all of these tests, which `nox -s browser` runs and `nox -s tests` does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from llm_edge.testing import Provider
from tests.browser.browsers import FLAGS, executable
from tests.browser.traffic import sidecar
from tests.serve.kit import Process


@dataclass
class Stage:
    """What a test plays on."""

    process: Process
    provider: Provider
    keys: dict[str, str]

    @property
    def url(self) -> str:
        return self.process.url


@dataclass
class Watched:
    """What went wrong in a page, and where it asked."""

    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def at(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda said: self.errors.append(said.text) if said.type in {"error", "warning"} else None)
        page.on("request", lambda asked: self.hosts.add(urlsplit(asked.url).hostname or ""))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        launched = play.chromium.launch(executable_path=executable(), args=FLAGS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    provider = Provider(models=("gpt-5.4-mini",))
    with sidecar(tmp_path_factory.mktemp("stage"), provider, acme="pro") as (process, keys):
        yield Stage(process, provider, keys)


@pytest.fixture
def watched() -> Watched:
    return Watched()


@pytest.fixture
def opened(browser: Browser, stage: Stage, watched: Watched) -> Iterator[Callable[..., Page]]:
    """Opens pages; what they complained of fails the test."""
    contexts = []

    def open_(path: str, *, size: tuple[int, int] = (1280, 900), **options: Any) -> Page:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, **options)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        watched.at(page)
        page.goto(stage.url + path if path.startswith("/") else path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert watched.errors == []
    assert watched.hosts <= {"127.0.0.1"}


@pytest.fixture
def dashboard(opened: Callable[..., Page], stage: Stage) -> Callable[..., Page]:
    """The dashboard, signed in."""

    def open_(**options: Any) -> Page:
        page = opened("/dashboard", **options)
        page.get_by_label("Admin key").fill(stage.keys["admin"])
        page.get_by_role("button", name="Open").click()
        page.get_by_role("region", name="Figures").wait_for()
        return page

    return open_
