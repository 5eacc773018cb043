"""The app inside another one, which runs no lifespan for what it mounts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from llm_edge import EdgeClient
from llm_edge.errors import ConfigError
from llm_edge.runtime import ThreadClock
from llm_edge.serve import create_app
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import KeyStore

from .kit import CHAT, Said, called, question

KEY = "k" * 24


class Mounted:
    def __init__(self, runner: asyncio.Runner, edge: EdgeClient) -> None:
        self._runner, self.app = runner, Starlette(routes=[Mount("/llm", app=create_app(edge))])

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Said:
        return self._runner.run(called(self.app, method, f"/llm{path}", body, headers))


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as made:
        yield made


def edge_of(upstream: str, **auth: Any) -> EdgeClient:
    providers = {"openai": {"api_key": "sk-house", "base_url": f"{upstream}/v1"}}
    return EdgeClient(
        env={}, providers=providers, routes={"fast": {"targets": "openai/gpt-5.4-mini"}}, serve={"auth": auth}
    )


def test_who_is_let_in_is_as_configured(runner: asyncio.Runner, upstream: str) -> None:
    with edge_of(upstream, keys=[KEY]) as edge:
        app = Mounted(runner, edge)
        assert app("POST", CHAT, question("mounted?")).status == 401
        assert app("POST", CHAT, question("mounted?"), **{"x-api-key": KEY}).status == 200


def test_everybody_is_let_in_where_nothing_is_configured_or_that_is_said(runner: asyncio.Runner, upstream: str) -> None:
    for auth in ({}, {"enabled": False, "keys": [KEY]}):
        with edge_of(upstream, **auth) as edge:
            assert Mounted(runner, edge)("POST", CHAT, question("open?")).status == 200


def test_a_door_that_cannot_be_built_is_told_at_once(upstream: str, tmp_path: Path) -> None:
    (tmp_path / "keys.db").write_text("no database, whatever it is called, and long enough for one")
    with edge_of(upstream, database=tmp_path / "keys.db") as edge:
        with pytest.raises(ConfigError, match=r"serve\.auth\.database"):
            create_app(edge)


def test_what_an_admin_set_before_holds(runner: asyncio.Runner, upstream: str, tmp_path: Path) -> None:
    with closing(KeyStore(KeyFile(tmp_path / "keys.db"), ThreadClock())) as keys:
        mine, _ = keys.create("test", tenant="acme")
        keys.set("test", "limits/tenant:acme", {"requests_per_minute": 1})
    with edge_of(upstream, database=tmp_path / "keys.db") as edge:
        app = Mounted(runner, edge)
        said = [app("POST", CHAT, question(text), **{"x-api-key": mine}) for text in ("one", "two")]
        assert [each.status for each in said] == [200, 429]


def test_the_description_says_where_it_is_mounted(runner: asyncio.Runner, upstream: str) -> None:
    with edge_of(upstream) as edge:
        assert Mounted(runner, edge)("GET", "/openapi.json").json["servers"] == [{"url": "/llm"}]
