"""When listeners hear of a call: once its answer is on its way, and whatever becomes of that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Generator
from typing import Any

import pytest

from llm_edge.testing import Provider, answer

from .conftest import App
from .kit import CHAT, question

Make = Callable[..., App]


class Begun:
    """What granian's `send` gives: sending has begun when it is there, awaited or not."""

    def __init__(self, fails: BaseException | None) -> None:
        self._fails = fails

    def __await__(self) -> Generator[None, None, None]:
        if self._fails is not None:
            raise self._fails
        return
        yield


class Server:
    """Asks the app once, as granian does, and notes how many calls were counted at each step."""

    def __init__(self, sidecar: App, *, fails: str = "") -> None:
        self._sidecar, self._fails = sidecar, fails
        self.steps: list[tuple[str, int]] = []

    def counted(self) -> int:
        assert self._sidecar.app.counts is not None
        lines = self._sidecar.app.counts.text().decode().splitlines()
        return sum(int(float(line.split()[-1])) for line in lines if line.startswith("llm_edge_requests_total{"))

    async def ask(self) -> None:
        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": json.dumps(question(self._fails)).encode(), "more_body": False}

        def send(message: Any) -> Begun:
            step = message["type"].removeprefix("http.response.")
            self.steps.append((step, self.counted()))
            broken = ConnectionError("the caller is gone")
            if self._fails == f"{step} at once":
                raise broken
            return Begun({step: broken, f"{step} cancelled": asyncio.CancelledError()}.get(self._fails))

        scope = {"type": "http", "method": "POST", "path": CHAT, "headers": [(b"host", b"127.0.0.1")]}
        await self._sidecar.app(scope, receive, send)


def test_an_answer_is_sent_before_its_call_is_counted_and_it_is_counted_before_anybody_elses_turn(
    sidecar: Make, provider: Provider
) -> None:
    provider.script(answer("Paris."))
    here = sidecar()
    server = Server(here)
    turns: list[int] = []

    async def asked() -> None:
        asking = asyncio.ensure_future(server.ask())
        while len(server.steps) < 2:
            await asyncio.sleep(0)
        turns.append(server.counted())  # the first turn of somebody else since the answer went
        await asking

    here.runner.run(asked())
    assert server.steps == [("start", 0), ("body", 0)]
    assert turns == [1]


@pytest.mark.parametrize("fails", ["start", "body", "body at once", "body cancelled"])
def test_a_call_is_counted_whatever_becomes_of_its_answer(fails: str, sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    here = sidecar()
    server = Server(here, fails=fails)
    with pytest.raises((Exception, asyncio.CancelledError)):
        here.runner.run(server.ask())
    assert server.counted() == 1
    assert here.app.calls.active == 0


def test_the_answer_tells_the_cost_that_is_counted_later(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    here = sidecar(prices={"models": {"openai/gpt-5.4-mini": {"input": 1.0, "output": 2.0}}})
    said = here("POST", CHAT, question("what does it cost?"))
    [spent] = here.edge.spend()
    assert float(said.headers["x-llm-edge-cost"]) == spent.nano_usd / 1e9 > 0
