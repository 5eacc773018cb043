"""Pages in browsers, with the SDKs that they use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .conftest import App
from .kit import CHAT

Make = Callable[..., App]
PAGE = {"origin": "https://app.example.com"}
SDKS = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,anthropic-dangerous-direct-browser-access"


@pytest.fixture
def app(sidecar: Make) -> App:
    return sidecar(serve={"cors": {"origins": [PAGE["origin"]]}})


def test_a_page_may_send_what_its_sdk_sends(app: App) -> None:
    before = app("OPTIONS", CHAT, headers={**PAGE, "access-control-request-headers": SDKS})
    assert before.headers["access-control-allow-headers"] == SDKS


@pytest.mark.parametrize("names", ["a b", "x-ok, é", "x" * 65, ",".join(["x-a"] * 65), ""])
def test_names_that_no_header_has_are_not_said_back(app: App, names: str) -> None:
    before = app("OPTIONS", CHAT, headers={**PAGE, "access-control-request-headers": names})
    assert before.headers["access-control-allow-headers"].startswith("authorization, content-type")


def test_a_page_may_take_back_what_it_made(app: App) -> None:
    assert "DELETE" in app("OPTIONS", "/v1/files/f-1", headers=PAGE).headers["access-control-allow-methods"]


def test_a_page_reads_that_it_should_not_try_again(app: App) -> None:
    """SDKs in pages see a field only where they may: without `x-should-retry` they would try again on top of us."""
    said = app("POST", CHAT, b"{", PAGE)
    assert said.headers["x-should-retry"] == "false"
    assert said.headers["access-control-expose-headers"] == "*"


def test_other_pages_are_told_nothing(app: App) -> None:
    before = app("OPTIONS", CHAT, headers={"origin": "https://evil.example", "access-control-request-headers": SDKS})
    assert before.status == 403
    assert not [name for name in before.headers if name.startswith("access-control")]
