"""Limits, budgets, tenants and spending, changed and told while it runs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_edge.runtime import FakeClock, ThreadClock
from llm_edge.serve.auth import LockedDoor
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import KeyStore
from llm_edge.testing import Provider, answer

from .conftest import App, toml
from .kit import CHAT, Process, post, question, running, until
from .test_server import body

Make = Callable[..., App]


class Desk:
    """A sidecar with its admin, and a caller of the tenant acme."""

    def __init__(self, make: Make, folder: Path, **settings: Any) -> None:
        self.keys = KeyStore(KeyFile(folder / "keys.db"), ThreadClock())
        prices = {"models": {"openai/gpt-5.4-mini": {"input": 1.0, "output": 2.0}}}
        self.app = make(door=LockedDoor({}, self.keys, None), cache={"policy": "off"}, prices=prices, **settings)
        self.boss = self.keys.create("me", permissions=["admin"])[0]
        self.caller = self.keys.create("me", tenant="acme")[0]
        self.app.app.changes.apply()

    def admin(self, method: str, path: str, given: object = None) -> Any:
        said = self.app(
            method, f"/admin/{path}", None if given is None else json.dumps(given).encode(), {"x-api-key": self.boss}
        )
        return said.status, said.json

    def call(self) -> int:
        said = self.app("POST", CHAT, question(), {"x-api-key": self.caller})
        return said.status


@pytest.fixture
def desk(sidecar: Make, tmp_path: Path, provider: Provider) -> Iterator[Desk]:
    provider.script(answer("Paris."))
    made = Desk(sidecar, tmp_path)
    yield made
    made.keys.close()


def test_a_limit_holds_from_the_next_call_on_and_is_taken_back(desk: Desk) -> None:
    assert [desk.call() for _ in range(3)] == [200, 200, 200]
    status, said = desk.admin("PUT", "limits/tenant:acme", {"requests_per_day": 2})
    assert (status, said) == (200, {"limits": {"tenant:acme": {"requests_per_day": 2}}})
    assert [desk.call() for _ in range(3)] == [200, 200, 429]
    desk.admin("PUT", "limits/tenant:acme", {"requests_per_day": 4})
    assert [desk.call() for _ in range(3)] == [200, 200, 429]  # what was counted stays counted
    assert desk.admin("GET", "limits")[1]["limits"]["tenant:acme"] == {"requests_per_day": 4, "set_by": "admin"}
    assert desk.admin("DELETE", "limits/tenant:acme")[0] == 200
    assert desk.call() == 200
    assert desk.admin("DELETE", "limits/tenant:acme")[0] == 400


def test_a_configured_limit_is_changed_whole_and_comes_back(sidecar: Make, tmp_path: Path, provider: Provider) -> None:
    provider.script(answer("Paris."))
    desk = Desk(sidecar, tmp_path, limits={"tenant": {"requests_per_day": 1}})
    assert [desk.call() for _ in range(2)] == [200, 429]
    desk.admin("PUT", "limits/tenant", {"enabled": False})
    assert desk.call() == 200
    desk.admin("DELETE", "limits/tenant")
    assert desk.call() == 429
    assert desk.admin("GET", "limits")[1]["limits"]["tenant"]["set_by"] == "configuration"
    desk.keys.close()


def test_a_budget_holds_from_the_next_call_on(desk: Desk) -> None:
    assert desk.admin("PUT", "budgets/tenant:acme", {"usd_total": 0.0000001})[0] == 200
    assert desk.call() == 429
    assert desk.admin("PUT", "budgets/tenant:acme", {"usd_total": 10})[0] == 200
    assert desk.call() == 200
    told = desk.admin("GET", "budgets")[1]
    assert told["budgets"]["tenant:acme"] == {"usd_total": 10, "set_by": "admin"}
    (standing,) = told["standings"]
    assert (standing["subject"], standing["limit_usd"]) == ("acme", 10)
    assert 0 < standing["spent_usd"] < 0.01


@pytest.mark.parametrize(
    ("path", "given", "words"),
    [
        ("limits/nobody", {"requests_per_day": 1}, "not a scope of limits"),
        ("limits/tenant:acme", {"requests_per_day": -1}, "requests_per_day"),
        ("limits/tenant:acme", {"requests_per_dya": 1}, "requests_per_dya"),
        ("limits/tenant:acme", {"tier": "gold"}, "tier"),
        ("limits/tenant:acme", {}, "must hold the settings"),
        ("budgets/tenant:acme", {"usd_per_day": "much"}, "usd_per_day"),
        ("budgets/tenant:acme", {"hard": True}, "bounds nothing"),
    ],
)
def test_a_change_that_cannot_be_made_is_refused_in_words(path: str, given: Any, words: str, desk: Desk) -> None:
    status, said = desk.admin("PUT", path, given)
    assert status == 400
    assert words in said["error"]["message"]
    assert desk.keys.settings() == {}
    assert desk.call() == 200


def test_every_change_is_in_the_trail(desk: Desk) -> None:
    desk.admin("PUT", "limits/tenant:acme", {"requests_per_day": 2})
    desk.admin("DELETE", "limits/tenant:acme")
    desk.admin("PUT", "tenants/acme", {"tier": "pro"})
    told = [(each["what"], each["on"]) for each in desk.admin("GET", "trail")[1]["trail"][:3]]
    assert told == [
        ("tenants.change", "acme"), ("settings.reset", "limits/tenant:acme"), ("settings.change", "limits/tenant:acme"),
    ]  # fmt: skip


def test_tenants_are_listed_moved_and_ended(desk: Desk) -> None:
    desk.admin("PUT", "budgets/tenant:globex", {"usd_total": 5})
    assert desk.admin("PUT", "tenants/acme", {"tier": "pro"}) == (200, {"tenant": "acme", "keys": 1, "tier": "pro"})
    listed = {each["tenant"]: each for each in desk.admin("GET", "tenants")[1]["tenants"]}
    assert listed["acme"] == {"tenant": "acme", "keys": 1, "tiers": ["pro"], "limits": False, "budgets": False}
    assert listed["globex"] == {"tenant": "globex", "keys": 0, "tiers": [], "limits": False, "budgets": True}
    assert desk.admin("DELETE", "tenants/acme") == (200, {"tenant": "acme", "keys": 1, "state": "revoked"})
    assert desk.call() == 401
    assert desk.admin("DELETE", "tenants/acme")[0] == 400
    assert desk.admin("PUT", "tenants/nobody", {"tier": 5})[0] == 400


def test_a_tier_that_nobody_knows_is_refused_for_it_would_count_as_none(desk: Desk) -> None:
    for method, path, given in (
        ("PUT", "tenants/acme", {"tier": "prro"}),
        ("POST", "keys", {"name": "app", "tier": "prro"}),
    ):
        status, said = desk.admin(method, path, given)
        assert status == 400
        assert "`tier` is 'prro'" in said["error"]["message"]
        assert "pro" in said["error"]["message"].partition("there are")[2]
    assert desk.admin("PUT", "tenants/acme", {})[0] == 400
    assert desk.admin("PUT", "tenants/acme", {"tier": ""}) == (200, {"tenant": "acme", "keys": 1, "tier": ""})


def test_spending_is_told_by_whatever_is_asked(desk: Desk) -> None:
    assert desk.call() == 200
    status, told = desk.admin("GET", "spend")
    assert status == 200
    (row,) = told["spend"]
    assert (row["name"], row["calls"], told["source"]) == ("acme", 1, "memory")
    assert row["usd"] > 0
    for query, words in (
        ("by=nobody", "`by` must be"),
        ("until=soon", "until"),
        ("form=x", "`form`"),
        ("source=log", "usage log"),
    ):
        said = desk.app("GET", "/admin/spend", headers={"x-api-key": desk.boss}, query=query)
        assert said.status == 400
        assert words in said.json["error"]["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize(
    "path", ["limits", "limits/global", "budgets", "budgets/global", "spend", "tenants", "tenants/a"]
)
def test_only_an_admin_may(method: str, path: str, desk: Desk) -> None:
    said = desk.app(method, f"/admin/{path}", b"{}", {"x-api-key": desk.caller})
    assert said.status in {403, 405}


def test_what_was_set_under_another_configuration_and_fits_no_more_is_left_out(
    sidecar: Make, tmp_path: Path, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    provider.script(answer("Paris."))
    keys = KeyStore(KeyFile(tmp_path / "keys.db"), FakeClock(time=time.time()))
    keys.set("me", "limits/tenant:acme", {"tier": "gone"})
    keys.close()
    desk = Desk(sidecar, tmp_path)
    assert desk.call() == 200
    assert "do not go with this configuration" in caplog.text
    desk.keys.close()


def test_all_workers_hold_to_a_change(upstream: str, provider: Provider, tmp_path: Path, valkey: Any) -> None:
    provider.script(answer("Paris."))
    more = (
        f'[serve.auth]\ndatabase = "{tmp_path / "keys.db"}"\n[store]\nkind = "redis"\nurl = "{valkey.url}"\n'
        '[cache]\npolicy = "off"\n'
    )
    with KeyStores(tmp_path) as keys:
        boss, caller = keys.create("me", permissions=["admin"])[0], keys.create("me", tenant="acme")[0]
    with running(tmp_path, toml(upstream, more), "--workers", "2") as process:
        given = json.dumps({"requests_per_day": 3}).encode()
        put = post("/admin/limits/tenant:acme", given, f"x-api-key: {boss}").replace(b"POST", b"PUT", 1)
        assert until(lambda: process.raw(put).startswith(b"HTTP/1.1 200"))
        told = [_status(process, caller) for _ in range(30)]
        assert until(lambda: {_status(process, caller) for _ in range(6)} == {429})  # each worker within a second
        assert told.count(200) < 30


def _status(process: Process, key: str) -> int:
    return int(process.raw(post(CHAT, body("shared?"), f"x-api-key: {key}"))[9:12])


class KeyStores:
    """Keys made before the sidecar runs."""

    def __init__(self, folder: Path) -> None:
        self._store = KeyStore(KeyFile(folder / "keys.db"), ThreadClock())

    def __enter__(self) -> KeyStore:
        return self._store

    def __exit__(self, *_: object) -> None:
        self._store.close()
