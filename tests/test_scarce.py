"""When a process runs short of memory or of threads: calls fail one by one, typed, and nothing else breaks."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llm_edge.testing import Provider, answer

MIB = 2**20

# A process of its own, so that only the one who asks is short of anything. One place in all: a call that kept it would
# stop the next.
CHILD = """
import asyncio, resource, sys
from llm_edge import EdgeClient, NetworkFailed

colour, engine, room, first, *urls = sys.argv[1:]
places = {name: {"kind": "openai", "base_url": f"{url}/v1", "api_key": "k"} for name, url in zip("ab", [first, *urls])}
edge = EdgeClient(
    providers=places, limits={"global": {"concurrency": 1, "patience": 5}}, retry={"attempts": 1},
    http={"engine": engine}, env={},
)

async def ask(model):
    return edge.chat(model, "Hi.") if colour == "sync" else await edge.achat(model, "Hi.")

async def main():
    print((await ask("a/small")).text)
    pages = int(open("/proc/self/statm").read().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + int(room), before[1]))
    failed = []
    for number in range(3):
        try:
            await ask(f"{'b' if urls else 'a'}/large{number}")
        except (NetworkFailed, MemoryError) as error:
            failed.append(error)
    resource.setrlimit(resource.RLIMIT_AS, before)
    print(len(failed), (await ask("a/small")).cache, (await ask("a/other")).text, *{*edge.breakers.values()})

asyncio.run(main())
"""


def scarce(colour: str, engine: str, room: int, *urls: str) -> list[str]:
    """What a process says that has this much address space left for three of its calls."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD, colour, engine, str(room), *urls],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("engine", ["httptools", "httpx2"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_answers_that_memory_has_no_room_for_fail_alone(provider: Provider, colour: str, engine: str) -> None:
    provider.script(answer("A small one."), *[answer("y" * 40 * MIB)] * 3, answer("Another."))
    assert scarce(colour, engine, 24 * MIB, provider.url) == ["A small one.", "3 HIT Another. closed"]


@pytest.mark.parametrize("engine", ["httptools", "httpx2"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_names_that_no_thread_can_be_had_for_fail_alone(provider: Provider, colour: str, engine: str) -> None:
    provider.script(answer("A small one."), answer("Another."))
    named = provider.url.replace("127.0.0.1", "localhost")  # asked for in a thread, whose stack takes megabytes
    said = scarce(colour, engine, 3 * MIB, provider.url, named)
    # How many fail depends on what the C library has left of earlier threads; that no call fails otherwise does not.
    assert [line.lstrip("0123 ") for line in said] == ["A small one.", "HIT Another. closed"]
