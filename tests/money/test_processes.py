"""One budget for real processes over a real server: what is documented holds, whoever is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from llm_edge import EdgeClient
from llm_edge.cli import main
from llm_edge.testing import Provider, answer

from ..stores.valkey import Valkey, valkey

ROOT = Path(__file__).resolve().parents[2]
COUNT, KILLED = 8, 3
EXACT = {"prompt_tokens": 1, "completion_tokens": 100}
BEYOND = {"prompt_tokens": 1, "completion_tokens": 150}
"""More than `max_tokens` allows: what the bound is for."""


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    with valkey() as running:
        yield running


@dataclass
class Worker:
    """What one process wrote down."""

    pid: int
    killed: bool = False
    costs: list[int] = field(default_factory=list[int])
    full: bool = False


def run(server: Valkey, provider: Provider, usd: float, kill: int) -> list[Worker]:
    """So many processes that spend until there is nothing left; some are killed on the way."""
    command = [sys.executable, "-m", "tests.money.worker", server.url, provider.url, str(usd), str(COUNT)]
    family = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert family.stdin is not None
    assert family.stdout is not None
    workers: dict[str, Worker] = {}
    while len(workers) < COUNT:
        number, _, pid = family.stdout.readline().split()
        workers[number] = Worker(int(pid))
    family.stdin.write("g" * COUNT)
    family.stdin.flush()
    seen = 0
    for line in family.stdout:
        number, sign, *value = line.split()
        if sign == "ok":
            seen += 1
            workers[number].costs.append(int(value[0]))
        workers[number].full = workers[number].full or sign == "full"
        if kill and seen == 30:
            for worker in list(workers.values())[:kill]:
                worker.killed = not worker.full
                with suppress(ProcessLookupError):  # done already, and nobody has read it yet
                    os.kill(worker.pid, signal.SIGKILL)
            kill = 0
    family.communicate()
    return list(workers.values())


def client(server: Valkey, usd: float) -> EdgeClient:
    return EdgeClient(env={}, budgets={"global": {"usd_total": usd}}, store={"kind": "redis", "url": server.url})


@pytest.mark.parametrize(("usage", "kill"), [(EXACT, 0), (BEYOND, KILLED)], ids=["as guessed", "beyond the guess"])
def test_processes_overdraw_a_budget_by_no_more_than_is_documented(
    server: Valkey, provider: Provider, usage: dict[str, int], kill: int
) -> None:
    server.client().flushall()
    provider.script(answer("Hi", usage=usage))
    cost = usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 10_000
    least = 100 * 10_000  # what is reserved for the answer alone
    usd = 80 * cost / 1e9
    workers = run(server, provider, usd, kill)
    limit, really = round(usd * 1e9), len(provider.calls) * cost
    # A call under way may cost more than it was guessed; so may the one before it, whose end is just being told.
    assert really <= limit + 2 * COUNT * max(cost - least, 0)
    assert really >= limit - (COUNT + 1) * 2 * cost
    assert all(worker.full for worker in workers if not worker.killed)
    told = sum(sum(worker.costs) for worker in workers)
    with client(server, usd) as edge:
        (standing,) = edge.budgets()
    assert told <= really
    # What nobody settled, a process that had to go too early, stands there as it was guessed.
    assert told <= standing.spent_nano_usd + standing.reserved_nano_usd + COUNT * max(cost - least, 0)
    assert kill or standing.reserved_nano_usd or standing.spent_nano_usd == told == really


def test_what_the_dead_had_reserved_becomes_unconfirmed_and_is_seen(
    server: Valkey, provider: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.client().flushall()
    usd = 0.01
    provider.script(answer("Hi", usage=EXACT).stall())
    command = [sys.executable, "-m", "tests.money.worker", server.url, provider.url, str(usd), "1"]
    family = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert family.stdin is not None
    assert family.stdout is not None
    pid = int(family.stdout.readline().split()[2])
    family.stdin.write("g")
    family.stdin.flush()
    end = time.monotonic() + 30
    while not provider.calls:
        assert time.monotonic() < end
    os.kill(pid, signal.SIGKILL)
    family.communicate()
    with client(server, usd) as edge:
        (before,) = edge.budgets()
        assert (before.spent_nano_usd, before.unconfirmed_nano_usd) == (0, 0)
        assert before.reserved_nano_usd > 1_000_000
        # Its lease runs out; the server's clock cannot be moved, so the moment is.
        redis = server.client()
        (open_calls,) = redis.keys("*:budget:global:total:o")
        for member, _ in redis.zrange(open_calls, 0, -1, withscores=True):
            redis.zadd(open_calls, {member: 1})
        (after,) = edge.budgets()
        assert after.unconfirmed_nano_usd == after.spent_nano_usd == before.reserved_nano_usd
        assert after.reserved_nano_usd == 0
    config = tmp_path / "edge.toml"
    config.write_text(f'[budgets.global]\nusd_total = {usd}\n[store]\nkind = "redis"\nurl = "{server.url}"\n')
    assert main(["spend", "--budgets", "--config", str(config), "--json"], {}) == 0
    assert json.loads(capsys.readouterr().out)[0]["unconfirmed_nano_usd"] == after.unconfirmed_nano_usd
    assert main(["spend", "--budgets", "--config", str(config)], {}) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[:2] == ["global", "total"]
