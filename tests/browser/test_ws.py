"""What the documentation shows for `/v1/ws`, as it stands there: in a page."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from llm_edge.testing import Provider, status, stream
from tests.browser.traffic import sidecar
from tests.docs.examples import ROOT, examples
from tests.serve.kit import Process

SHOWN = {example.title or example.language: example.text for example in examples(ROOT / "docs" / "sidecar.md")}


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[tuple[str, dict[str, str]]]:
    """A web server of another origin than the sidecar's, and what it serves."""
    pages: dict[str, str] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = pages.get(self.path, "").encode()
            self.send_response(200 if body else 204)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *given: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", pages
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def talking(elsewhere: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Provider, str]]:
    provider = Provider(models=("gpt-5.4-mini",))
    more = f'[serve.cors]\norigins = "{elsewhere[0]}"\n'
    with sidecar(tmp_path_factory.mktemp("ws"), provider, more, page="free") as (process, keys):
        yield process, provider, keys["page"]


@pytest.mark.parametrize("good", [True, False])
def test_the_page_that_is_shown_shows_the_answer(
    good: bool, talking: Any, elsewhere: Any, opened: Callable[..., Page]
) -> None:
    process, provider, key = talking
    provider.script(stream("Par", "is.") if good else status(400, "no such thing"))
    written = SHOWN["chat.html"].replace("127.0.0.1:8080", f"127.0.0.1:{process.port}").replace("KEY", key)
    elsewhere[1]["/chat.html"] = written if good else written.replace('"Hi"', '"Ho"')
    page = opened(f"{elsewhere[0]}/chat.html")
    expect(page.locator("#answer")).to_have_text("Paris." if good else "no such thing")
