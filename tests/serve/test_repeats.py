"""What was understood before is not read twice; and nobody profits from it who should not."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.config import EdgeConfig
from llm_edge.runtime import ThreadClock
from llm_edge.serve.auth import LockedDoor, door_of
from llm_edge.serve.lookout import Lookout
from llm_edge.serve.repeats import BYTES, LARGEST, Recent
from llm_edge.serve.run import Plan
from llm_edge.testing import Provider, answer

from .conftest import App
from .kit import CHAT, called, question

Make = Callable[..., App]


@pytest.fixture(autouse=True)
def scripted(provider: Provider) -> None:
    provider.script(answer("Paris."))


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[LockedDoor]:
    made = door_of(EdgeConfig(serve={"auth": {"database": tmp_path / "keys.db"}}), {}, ThreadClock())
    assert isinstance(made, LockedDoor)
    assert made.keys is not None
    yield made
    made.keys.close()


def test_a_call_asked_again_and_again_is_answered_with_the_same_bytes(sidecar: Make, provider: Provider) -> None:
    app = sidecar()
    before = len(provider.calls)
    said = [app("POST", CHAT, question("again?")) for _ in range(5)]
    assert len(provider.calls) == before + 1
    assert len({each.body for each in said}) == 1
    assert [each.headers["x-llm-edge-cache"] for each in said] == ["MISS", *["HIT"] * 4]
    assert len({each.headers["x-llm-edge-request-id"] for each in said}) == 5
    assert len(app.app.calls.repeats) == 1


def test_each_of_them_is_counted(sidecar: Make) -> None:
    app = sidecar()
    for _ in range(4):
        app("POST", CHAT, question("counted?"))
    text = app("GET", "/metrics").body.decode()
    total = sum(
        float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith("llm_edge_requests_total")
    )
    assert total == 4


def test_the_same_bytes_from_another_caller_are_another_call(sidecar: Make, provider: Provider, keys: Any) -> None:
    app = sidecar(door=keys)
    ada, bob = (keys.keys.create(name, tenant=name)[0] for name in ("ada", "bob"))
    before = len(provider.calls)
    for key in (ada, ada, ada, bob):
        said = app("POST", CHAT, question("whose?"), headers={"x-api-key": key})
    assert said.headers["x-llm-edge-cache"] == "MISS"
    assert len(provider.calls) == before + 2


def test_a_key_that_changed_is_read_anew(sidecar: Make, keys: Any) -> None:
    app = sidecar(door=keys)
    text, made = keys.keys.create("ada", models=["fast"])
    shown = {"x-api-key": text}
    assert [app("POST", CHAT, question("still?"), headers=shown).status for _ in range(3)] == [200] * 3
    keys.keys.revoke("me", made.id)
    assert app("POST", CHAT, question("still?"), headers=shown).status == 401


def test_other_header_fields_are_another_call(sidecar: Make) -> None:
    app = sidecar()
    for _ in range(3):
        app("POST", CHAT, question("fields?"))
    said = app("POST", CHAT, question("fields?"), headers={"cache-control": "no-cache", "x-request-id": "mine"})
    assert said.headers["x-llm-edge-cache"] == "MISS"
    assert said.headers["x-llm-edge-request-id"] == "mine"


def test_what_is_asked_once_is_not_remembered(sidecar: Make) -> None:
    app = sidecar()
    for number in range(5):
        app("POST", CHAT, question(f"number {number}"))
    app("POST", CHAT, question("long" * LARGEST))
    app("POST", CHAT, question("long" * LARGEST))
    assert len(app.app.calls.repeats) == 0


def test_a_server_that_gives_pairs_as_lists_is_understood(sidecar: Make) -> None:
    app = sidecar()

    async def listed(scope: Any, receive: Any, send: Any) -> None:
        await app.app({**scope, "headers": [list(pair) for pair in scope["headers"]]}, receive, send)

    assert app.runner.run(called(listed, "POST", CHAT, question("listed?"))).status == 200


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, BYTES)), max_size=60), st.integers(1, 5))
def test_it_never_holds_more_than_it_may(puts: list[tuple[int, int]], most: int) -> None:
    recent: Recent[int, int] = Recent(most)
    sizes: dict[int, int] = {}
    for key, size in puts:
        recent.put(key, size, size)
        sizes[key] = size
        held = [number for number in range(10) if recent.get(number) is not None]
        assert recent.get(key) == size
        assert len(held) == len(recent) <= most
        assert sum(sizes[number] for number in held) <= BYTES


def test_a_body_that_comes_too_late_ends_its_call_and_nothing_else(sidecar: Make) -> None:
    app = sidecar(serve={"body_timeout": 0.05})
    raw = json.dumps(question("late?")).encode()

    async def late() -> list[int]:
        statuses: list[int] = []

        async def receive() -> dict[str, Any]:
            return await asyncio.get_running_loop().create_future()

        async def send(message: Any) -> None:
            statuses.append(message.get("status", 0))

        async def stuck(scope: Any, _: Any, __: Any) -> None:
            await app.app(scope, receive, send)

        await called(stuck, "POST", CHAT, raw)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        return statuses

    assert app.runner.run(late()) == [408, 0]
    assert app("POST", CHAT, raw).status == 200


def test_the_lookout_rests_when_nobody_calls() -> None:
    async def run() -> bool:
        lookout = Lookout(asyncio.get_running_loop())

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        watch = lookout.watch(receive, 60)
        watch.over()
        while lookout.busy:
            await asyncio.sleep(0)
        return True

    assert asyncio.run(asyncio.wait_for(run(), 10))


@pytest.mark.parametrize(
    ("more", "pool", "calls"),
    [
        ("", 1024, 1024), ("[serve]\nconnections = 300\n", 300, 512),
        ("[http]\npool = 7\n[breaker]\nconcurrency = 9\n", 7, 9),
    ],
)  # fmt: skip
def test_as_many_calls_lead_on_as_come_in(more: str, pool: int, calls: int, tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(more)
    config = Plan(str(file)).config()
    assert (config.http.pool, config.breaker.concurrency) == (pool, calls)
