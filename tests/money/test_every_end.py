"""However a call ends, it ends with usage and cost, or with the reason why not: for listeners and in the usage log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.errors import CallError
from llm_edge.message import Request
from llm_edge.testing import Provider, answer, hang_up, html, json_body, refused, status, stream

from ..conftest import Colour

Edges = Callable[..., EdgeClient]
USED = {"prompt_tokens": 1000, "completion_tokens": 100}
PRICES = {"models": {"gpt/m": {"input": 2.5, "output": 10}, "spare/m": {"input": 1, "output": 1}}}


class Ends:
    """A listener that remembers the calls that are over."""

    def __init__(self) -> None:
        self.calls: list[Request] = []

    def begin(self, request: Request, /) -> Ends:
        return self

    def answered(self, response: Any, /) -> None: ...

    def over(self, request: Request, error: BaseException | None, /) -> None:
        self.calls.append(request)


@pytest.fixture
def make(edges: Edges, provider: Provider, tmp_path: Path) -> Callable[..., tuple[EdgeClient, Ends]]:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}

    def made(**sections: Any) -> tuple[EdgeClient, Ends]:
        edge, ends = edges(**{
            "providers": {"gpt": place, "spare": place}, "prices": PRICES, "retry": {"attempts": 1},
            "telemetry": {"usage_log": str(tmp_path / "usage.jsonl")}, **sections,
        }), Ends()  # fmt: skip
        edge.listen(ends)
        return edge, ends

    return made


@pytest.mark.parametrize(
    ("script", "free"),
    [
        (answer("Hi", usage=USED), False), (answer("Hi", usage=None), False), (stream("Hi", usage=USED), False),
        (stream("Hi", "Ho", "He", usage=USED).cut(after_events=2), False), (status(400), True), (status(503), True),
        (json_body({"error": {"message": "no"}}), True), (html(), False), (hang_up(), False), (refused(), False),
    ],
    ids=["answer", "no usage", "stream", "cut stream", "400", "503", "error under 200", "html", "hung up", "refused"],
)  # fmt: skip
def test_however_it_ends_there_is_a_cost(
    colour: Colour, make: Any, provider: Provider, tmp_path: Path, script: Any, free: bool
) -> None:
    edge, ends = make()
    provider.script(script)
    ask = edge.chat if colour.name == "sync" else edge.achat
    for streaming in (False, True):
        try:
            reply = colour.finish(ask("gpt/m", f"Hi {streaming}", max_tokens=50, stream=streaming))
            if streaming:
                colour.items(reply)
        except CallError:
            pass
    records = [json.loads(line) for line in (tmp_path / "usage.jsonl").read_text().splitlines()]
    assert len(ends.calls) == len(records) == 2
    for request, record in zip(ends.calls, records, strict=True):
        assert request.notes.explain()["cost_unknown"] is None
        assert record["nano_usd"] is not None
        assert record["nano_usd"] == 0 if free else record["nano_usd"] > 0
        assert free or record["usage"]["total_tokens"] > 0


def test_a_call_that_is_given_up_is_estimated(provider: Provider) -> None:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    edge, ends = EdgeClient(providers={"gpt": place}, prices=PRICES, env={}), Ends()
    edge.listen(ends)
    provider.script(answer("Hi", usage=USED).stall())

    async def give_up() -> None:
        async with asyncio.timeout(60), edge:
            task = asyncio.ensure_future(edge.achat("gpt/m", "Hi", max_tokens=50))
            while not provider.calls:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(give_up())
    (request,) = ends.calls
    notes = request.notes
    assert notes.usage is not None
    assert notes.usage["estimated"] is True
    assert notes.usage["completion_tokens"] == 50
    assert notes.cost is not None
    assert notes.cost >= 50 * 10_000


def test_a_kind_of_call_nobody_understands_says_so(make: Any, provider: Provider, colour: Colour) -> None:
    edge, ends = make()
    provider.script(json_body({"id": "file"}))
    client = colour.http_client(edge)
    try:
        colour.finish(client.post(f"{provider.url}/v1/files", content=b"x"))
    finally:
        colour.close(client)
    (request,) = ends.calls
    assert request.notes.explain()["cost_unknown"] == "what a call of this kind uses is not understood"
