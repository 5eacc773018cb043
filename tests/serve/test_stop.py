"""SIGTERM under load: what has begun is finished, what it used is settled, and what is to be kept of it is kept."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from llm_edge import EdgeClient
from llm_edge.budgets import BudgetStanding
from llm_edge.config import EdgeConfig
from llm_edge.runtime import Signal
from llm_edge.serve import create_app
from llm_edge.testing import Provider, stream
from tests.stores.valkey import Valkey

from .conftest import toml
from .kit import CHAT, Process, called, everything, post, question, running, until

STREAMS = 20


def asked(number: int) -> dict[str, object]:
    return question(f"stopped {number}?", stream=True)


def settings(store: Valkey, folder: Path) -> str:
    return (
        f'[store]\nkind = "redis"\nurl = "{store.url}"\n[budgets.global]\nusd_total = 100\n'
        '[prices.models."openai/gpt-5.4-mini"]\ninput = 1\noutput = 1\n'
        f'[cache.disk]\ndirectory = "{folder / "kept"}"\n'
    )


def test_told_to_stop_under_load_it_loses_nothing(
    upstream: str, provider: Provider, valkey: Valkey, tmp_path: Path
) -> None:
    go_on = Signal()
    provider.script(stream("Par", "is.").stall(after_events=2, until=go_on))
    config = toml(upstream, settings(valkey, tmp_path))
    with running(tmp_path, config, "--workers", "2") as process, ExitStack() as sockets:
        callers = [sockets.enter_context(begun(process, number)) for number in range(STREAMS)]
        assert standing(process.file).reserved_nano_usd > 0
        process.signal(signal.SIGTERM)
        assert until(lambda: refused(process))
        go_on.set()
        assert all(b"[DONE]" in everything(caller) for caller in callers)
        assert process.ended() == 0
    after = standing(process.file)
    assert (after.reserved_nano_usd, after.unconfirmed_nano_usd) == (0, 0)
    assert after.spent_nano_usd > 0
    missing = set(range(STREAMS))
    for _ in range(
        100
    ):  # a disk that is slow on a slow machine is a miss; nobody else is asked, and so nothing is added
        missing -= asyncio.run(kept(process.file, missing))
        if not missing:
            break
    assert not missing


def test_told_to_stop_while_it_begins_it_stops(tmp_path: Path) -> None:
    for _ in range(2):
        process = Process(tmp_path, "[serve]\nworkers = 2\ndrain = 1000\n")
        try:
            process.up().signal(signal.SIGTERM)  # it listens before its workers can hear
            assert process.ended() == 0
        finally:
            process.close()


BORN = """
import asyncio, os, signal
import uvloop
from llm_edge.serve import births

words = [signal.SIGTERM, signal.SIGINT]
signal.pthread_sigmask(signal.SIG_BLOCK, words)  # as a worker is born
loop, heard = uvloop.new_event_loop(), []
for word in words:
    loop.add_signal_handler(word, heard.append, "heard")

async def begin():
    births.over(loop, lambda: print("stopping"))

async def go_on():
    while not heard:
        await asyncio.sleep(0)

MOMENT
loop.run_until_complete(go_on())
print(*heard)
"""
MOMENTS = {
    "while it begins": """
os.kill(os.getpid(), signal.SIGTERM)
loop.run_until_complete(begin())
""",
    "while its loop rests": """
loop.run_until_complete(begin())
os.kill(os.getpid(), signal.SIGTERM)
""",
    "while its loop wakes": """
async def wake():
    awake = signal.set_wakeup_fd(-1)  # as it is until the loop has set it
    os.kill(os.getpid(), signal.SIGTERM)
    signal.set_wakeup_fd(awake)

loop.run_until_complete(begin())
loop.run_until_complete(wake())
""",
    "twice while it begins, and then again": """
for word in words:
    os.kill(os.getpid(), word)
loop.run_until_complete(begin())
loop.run_until_complete(go_on())
for word in words:
    os.kill(os.getpid(), word)
for _ in range(100):
    loop.run_until_complete(asyncio.sleep(0))
""",
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_word_is_heard_once_whenever_it_comes(moment: str) -> None:
    born = [sys.executable, "-c", BORN.replace("MOMENT", MOMENTS[moment])]
    done = subprocess.run(born, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["stopping", "heard"]


def begun(process: Process, number: int) -> socket.socket:
    """A stream under way. A store that is slow on a slow machine is one that a budget refuses for: then once more."""
    while True:
        caller = process.connected()
        caller.sendall(post(CHAT, json.dumps(asked(number)).encode()))
        if b" 200 " in caller.recv(65536):
            return caller
        caller.close()


def standing(file: Path) -> BudgetStanding:
    """How the budget stands in the store, as a client of the same configuration sees it."""
    with EdgeClient(EdgeConfig.load(file, env={}), env={}) as edge:
        (one,) = edge.budgets()
        return one


async def kept(file: Path, numbers: set[int]) -> set[int]:
    """Those of the same questions that another sidecar of the same configuration finds answered on the disk."""
    async with EdgeClient(EdgeConfig.load(file, env={}), env={}) as edge:
        app, control = create_app(edge), {"cache-control": "only-if-cached"}
        said = {number: await called(app, "POST", CHAT, asked(number), control) for number in numbers}
    return {number for number, answer in said.items() if answer.headers.get("x-llm-edge-cache") == "HIT"}


def refused(process: Process) -> bool:
    try:
        process.connected().close()
    except OSError:
        return True
    return False
