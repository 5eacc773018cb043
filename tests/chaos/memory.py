"""Many callers, each of them new: what is remembered of them stays bounded, and memory flat."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import orjson

from llm_edge import EdgeClient
from llm_edge.http.sender import Answer, Patience
from llm_edge.message import Body, Controls, Request, Saved
from llm_edge.providers.base import Wire

from .crowd import Outcome
from .oracle import JSON, whole

_CALLS, _WARM = 25_000, 15_000
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MOST = 8 * 2**20
"""Bytes by which memory may differ for reasons of the allocator's own; a leak of 700 bytes a call is twice that."""


class Prompt:
    """A sender that answers at once, with the right words."""

    name = "prompt"

    async def __call__(self, wire: Wire, patience: Patience, /) -> Answer:
        question: str = orjson.loads(wire.content)["messages"][-1]["content"]
        return Answer(200, JSON, Saved([whole(question)]))

    async def aclose(self) -> None: ...


def resident() -> int:
    """Bytes of memory in use, as the system counts them."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


async def everybody_is_new(outcome: Outcome, scale: float) -> None:
    """Each call is of a new tenant and a new user, and a new question: memory does not grow with them."""
    warm, calls = int(_WARM * scale), int(_CALLS * scale)
    edge = EdgeClient(
        env={}, cache={"entries": 500}, providers={"p": {"kind": "openai", "base_url": "http://p.test/v1"}},
        limits={"tenant": {"requests_per_minute": 60}, "user": {"concurrency": 5}, "model": {"concurrency": 50}},
        budgets={"tenant": {"usd_per_day": 1}}, prices={"models": {"p/*": {"input": 1, "output": 1}}},
    )  # fmt: skip
    handler = edge.front("async", Prompt()).handler
    before = 0
    for number in range(warm + calls):
        if number == warm:
            before = resident()
        model, question = f"p/m{number % 20}", f"question {number}"
        body = Body(json={"model": model, "messages": [{"role": "user", "content": question}]})
        controls = Controls(tenant=f"tenant {number}", user=f"user {number}")
        response = await handler(Request(body=body, model=model, controls=controls))
        outcome.asked += 1
        outcome.ends["answered"] += response.status == 200
    grown = resident() - before
    # The tables of who was seen hold 4,096 to 20,000 each: in a short run they are still filling.
    room = _MOST if scale >= 1 else _MOST + 6000 * calls
    outcome.check("I12", grown <= room, f"{grown / 2**20:.1f} MiB more after {calls:,} calls")
    await edge.aclose()
