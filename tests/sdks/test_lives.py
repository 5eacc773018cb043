"""One client in many places: threads, loops, forked children; and nothing left open behind it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest

from llm_edge import ConfigError, EdgeClient, InvalidRequest
from llm_edge.testing import Provider, stream

ASK: Any = {"messages": [{"role": "user", "content": "hello"}]}
ROOT = Path(__file__).resolve().parents[2]


def test_threads_and_loops_share_one_client(edges: Callable[..., EdgeClient], provider: Provider, engine: str) -> None:
    edge = edges(http={"engine": engine})
    provider.script(stream("a", "b"))
    base = provider.url + "/v1"

    def in_a_thread(number: int) -> list[str]:
        with openai.OpenAI(api_key="k", base_url=base, http_client=edge.http_client()) as client:
            told: list[str] = []
            for turn in range(5):
                whole = client.chat.completions.create(model=f"m{number}-{turn}", **ASK)
                parts = client.chat.completions.create(model=f"s{number}-{turn}", **ASK, stream=True)
                told += [str(whole.choices[0].message.content)]
                told += ["".join(part.choices[0].delta.content or "" for part in parts)]
            return told

    async def in_a_loop(number: int) -> list[str]:
        async with openai.AsyncOpenAI(api_key="k", base_url=base, http_client=edge.async_http_client()) as client:

            async def ask(turn: int) -> list[str]:
                whole = await client.chat.completions.create(model=f"m{number}-{turn}", **ASK)
                parts = await client.chat.completions.create(model=f"s{number}-{turn}", **ASK, stream=True)
                return [
                    str(whole.choices[0].message.content),
                    "".join([part.choices[0].delta.content or "" async for part in parts]),
                ]

            return [each for told in await asyncio.gather(*map(ask, range(5))) for each in told]

    with ThreadPoolExecutor(12) as pool:
        threads = [pool.submit(in_a_thread, number) for number in range(6)]
        loops = [pool.submit(asyncio.run, in_a_loop(number)) for number in range(6, 12)]
        told = [future.result() for future in [*threads, *loops]]
    assert told == [["ab"] * 10] * 12
    provider.asked(12 * 10)
    assert set(edge.breakers.values()) == {"closed"}


def test_a_client_closed_in_one_thread_leaves_direct_calls_alone(
    edges: Callable[..., EdgeClient], provider: Provider, engine: str
) -> None:
    edge = edges(http={"engine": engine}, providers={"p": {"kind": "openai", "base_url": provider.url + "/v1"}})
    provider.script(stream("a", "b").pace(0.01))
    got = edge.chat("p/m", "hello", stream=True)
    first = next(iter(got))
    with edge.http_client() as other:
        other.get(provider.url + "/v1/models")
    assert first
    assert "".join(chunk.text for chunk in got) == "ab"


def test_a_client_serves_one_loop_after_the_other(
    edges: Callable[..., EdgeClient], provider: Provider, engine: str
) -> None:
    edge = edges(http={"engine": engine}, cache={"policy": "off"})

    async def ask(client: openai.AsyncOpenAI) -> str:
        return str((await client.chat.completions.create(model="m", **ASK)).choices[0].message.content)

    client = openai.AsyncOpenAI(api_key="k", base_url=provider.url + "/v1", http_client=edge.async_http_client())
    assert [asyncio.run(ask(client)) for _ in range(3)] == ["Hello!"] * 3
    asyncio.run(client.close())


def python(program: str, *arguments: str) -> str:
    """What a Python of its own prints, every warning an error and nothing said on the side."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program), *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.returncode == 0
    return done.stdout


ONE_LINE = """
    import sys
    from openai import OpenAI
    from llm_edge import EdgeClient
    http = {"engine": sys.argv[2]}
    with OpenAI(api_key="k", base_url=sys.argv[1], http_client=EdgeClient(http=http).http_client()) as client:
        ask = dict(model="m", messages=[{"role": "user", "content": "hello"}])
        print(client.chat.completions.create(**ask).choices[0].message.content)
        print(sum(1 for _ in client.chat.completions.create(**ask, stream=True)) > 0)
        print(len(client.models.list().data))
"""
ONE_LINE_ASYNC = """
    import asyncio, sys
    from openai import AsyncOpenAI
    from llm_edge import EdgeClient
    async def main():
        edge = EdgeClient(http={"engine": sys.argv[2]})
        async with AsyncOpenAI(api_key="k", base_url=sys.argv[1], http_client=edge.async_http_client()) as client:
            ask = dict(model="m", messages=[{"role": "user", "content": "hello"}])
            print((await client.chat.completions.create(**ask)).choices[0].message.content)
            print(len([part async for part in await client.chat.completions.create(**ask, stream=True)]) > 0)
            print(len((await client.models.list()).data))
    asyncio.run(main())
"""
FORKED = """
    import os, sys
    from openai import OpenAI
    from llm_edge import EdgeClient
    edge = EdgeClient(http={"engine": sys.argv[2]}, cache={"policy": "off"})
    client = OpenAI(api_key="k", base_url=sys.argv[1], http_client=edge.http_client())
    def ask(model):
        asked = dict(model=model, messages=[{"role": "user", "content": "hello"}])
        parts = client.chat.completions.create(**asked, stream=True)
        assert "".join(part.choices[0].delta.content or "" for part in parts) == "Hello!"
        return client.chat.completions.create(**asked).choices[0].message.content
    if sys.argv[3] == "used":
        ask("parent")
    children = []
    for number in range(4):
        child = os.fork()
        if not child:
            for turn in range(3):
                assert ask(f"child-{number}") == "Hello!"
            client.close()
            sys.stdout.flush()
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(codes, ask("parent"))
    client.close()
"""
POOLED = """
    import multiprocessing, sys
    from openai import OpenAI
    from llm_edge import EdgeClient
    edge = EdgeClient(http={"engine": sys.argv[2]})
    client = OpenAI(api_key="k", base_url=sys.argv[1], http_client=edge.http_client())
    def ask(model):
        asked = dict(model=model, messages=[{"role": "user", "content": "hello"}])
        return client.chat.completions.create(**asked).choices[0].message.content
    ask("kept")
    with multiprocessing.get_context("fork").Pool(2) as pool:
        print(pool.map(ask, ["kept", "a", "b", "c"]))
        pool.close()
        pool.join()
    client.close()
"""


@pytest.mark.parametrize("program", [ONE_LINE, ONE_LINE_ASYNC], ids=["sync", "async"])
def test_one_line_leaves_nothing_open(provider: Provider, engine: str, program: str) -> None:
    assert python(program, provider.url + "/v1", engine).split() == ["Hello!", "True", "1"]


@pytest.mark.parametrize("before", ["used", "fresh"])
def test_forked_children_call_with_the_parents_client(provider: Provider, engine: str, before: str) -> None:
    assert python(FORKED, provider.url + "/v1", engine, before).strip() == "[0, 0, 0, 0] Hello!"
    children = {call.model: call.connection for call in provider.calls if call.model != "parent"}
    parents = {call.connection for call in provider.calls if call.model == "parent"}
    assert len(set(children.values())) == 4
    assert parents.isdisjoint(children.values())


def test_a_pool_of_processes_calls_with_the_parents_client(provider: Provider, engine: str) -> None:
    assert python(POOLED, provider.url + "/v1", engine).strip() == "['Hello!', 'Hello!', 'Hello!', 'Hello!']"
    # Each child begins with an empty memory of its own: the parent's may be locked by a thread that is not there.
    assert {call.model for call in provider.calls} == {"kept", "a", "b", "c"}


def test_a_client_without_settings_is_put_together_at_its_first_use_and_once() -> None:
    edge = EdgeClient(env={})
    with ThreadPoolExecutor(16) as pool:
        seen = [future.result() for future in [pool.submit(lambda: edge.breakers) for _ in range(64)]]
    assert len({id(each) for each in seen}) == 1
    edge.close()


def test_a_client_that_was_never_used_is_closed_like_any_other(colour: Any) -> None:
    edge = EdgeClient(env={})
    assert repr(edge) == "<EdgeClient without routes>"
    edge.close()
    colour.run(edge.aclose())
    with pytest.raises(InvalidRequest, match="closed"):
        edge.chat("openai/m", "hello")


def test_what_cannot_be_used_is_refused_when_the_client_is_made() -> None:
    wrong: Any = {"ttl": "soon"}
    with pytest.raises(ConfigError, match=r"cache\.ttl"):
        EdgeClient(cache=wrong, env={})
    with pytest.raises(ConfigError, match="nobody"):
        EdgeClient(credentials={"nobody": 1}, env={})


def test_the_environment_counts_as_it_was_when_the_client_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "then")
    edge = EdgeClient()
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "openai" in edge.keyed
    edge.close()
