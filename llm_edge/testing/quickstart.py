"""
The main job, shown: `python -m llm_edge.testing.quickstart`.

Without a key and without a network it plays two providers on loopback sockets. With `--live` it
asks a real one, whose key it finds where the SDK would. What it prints behind `>` is the whole of
the user's code: the source of the function that runs next.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from .provider import Provider
from .steps import answer, status, stream

LIVE: Mapping[str, tuple[str, str]] = {
    "OPENAI_API_KEY": ("openai", "gpt-5.4-nano"),
    "MISTRAL_API_KEY": ("mistral", "mistral-small-latest"),
    "GROQ_API_KEY": ("groq", "openai/gpt-oss-20b"),
    "DEEPSEEK_API_KEY": ("deepseek", "deepseek-chat"),
    "OPENROUTER_API_KEY": ("openrouter", "openai/gpt-5.4-nano"),
}
"""Variables in which `--live` looks for a key, and what it then asks."""


QUESTION: Any = [{"role": "user", "content": "In one short sentence: what is a gateway?"}]
IN_PIECES: Any = [{"role": "user", "content": "And what is a route? One short sentence."}]
"""Another one, for the kept answer of the first would be told as a stream, too."""


def connect(config: Any, address: Any) -> Any:
    from openai import OpenAI

    from llm_edge import EdgeClient

    edge = EdgeClient(**config)
    client = OpenAI(http_client=edge.http_client(), **address)
    return edge, client


def ask(client: Any, model: Any, question: Any) -> None:
    raw = client.chat.completions.with_raw_response.create(model=model, messages=question)
    print(raw.headers["x-llm-edge-cache"], raw.parse().choices[0].message.content)


def ask_in_pieces(client: Any, model: Any, question: Any) -> None:
    for chunk in client.chat.completions.create(model=model, messages=question, stream=True):
        print(chunk.choices[0].delta.content or "" if chunk.choices else "", end="", flush=True)
    print()


def fail_over(client: Any, question: Any) -> None:
    answer = client.chat.completions.create(model="fast", messages=question, extra_body={"seed": 2})
    print(answer.choices[0].message.content)


def explain(edge: Any, question: Any) -> None:
    reply = edge.chat("fast", question, seed=3)
    print(reply.explain())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the show; 0 when all of it worked."""
    parser = argparse.ArgumentParser(prog="quickstart", description="llm_edge in five short acts")
    parser.add_argument("--live", action="store_true", help=f"ask a real provider; needs one of {', '.join(LIVE)}")
    if parser.parse_args(arguments).live:
        return _live(os.environ)
    with ExitStack() as stack:
        main_provider = Provider(
            answer("A gateway is a door that knows where everything goes.").delay(0.4),
            stream("A route ", "is a name ", "behind which ", "several models ", "stand.").pace(0.08),
            status(503, message="the main provider is down"),
        )
        backup = Provider(answer("A gateway is a door. (said by the backup)").delay(0.2))
        places = [stack.enter_context(provider.serve()) for provider in (main_provider, backup)]
        first, second = ({"kind": "openai", "base_url": f"{place.url}/v1", "api_key": "not-a-key"} for place in places)
        config = {
            "providers": {"main": first, "backup": second},
            "routes": {"fast": {"targets": ["main/model-a", "backup/model-b"]}},
        }
        print("Two scripted providers play on this machine: nothing leaves it, and no key is needed.\n")
        return _play(stack, config, {"base_url": f"{places[0].url}/v1", "api_key": "not-a-key"}, "model-a")


def _live(env: Mapping[str, str]) -> int:
    from llm_edge.providers.table import ROWS

    for variable, (provider, model) in LIVE.items():
        if env.get(variable):
            # The first target is a port where nobody listens: a provider that is down, at no cost.
            config: dict[str, Any] = {
                "providers": {"nowhere": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}, provider: {}},
                "routes": {"fast": {"targets": [f"nowhere/{model}", f"{provider}/{model}"]}},
            }
            print(f"Asking {provider} with the key in {variable}.\n")
            with ExitStack() as stack:
                return _play(stack, config, {"base_url": ROWS[provider].base_url, "api_key": env[variable]}, model)
    print(f"--live needs a provider's key in one of {', '.join(LIVE)}; none of them is set.", file=sys.stderr)
    return 2


def _play(stack: ExitStack, config: dict[str, Any], address: dict[str, str], model: str) -> int:
    edge, client = _show("Put llm_edge under the SDK.", connect, config, address)
    stack.enter_context(edge)
    stack.enter_context(client)
    _show("Ask. The provider answers.", ask, client, model, QUESTION)
    _show("Ask again. Memory answers.", ask, client, model, QUESTION)
    _show("Ask for a stream.", ask_in_pieces, client, model, IN_PIECES)
    _show("Again: the same stream, from memory.", ask_in_pieces, client, model, IN_PIECES)
    _show("Ask a route whose first provider is down. The app does not notice.", fail_over, client, QUESTION)
    _show("And what happened there?", explain, edge, QUESTION)
    return 0


def _show(title: str, act: Callable[..., Any], *given: Any) -> Any:
    print(f"\033[1m{title}\033[0m" if sys.stdout.isatty() else title)
    body = textwrap.dedent("".join(inspect.getsourcelines(act)[0][1:]))
    for line in body.splitlines():
        if line and not line.startswith("return"):
            print(f"  > {line}")
    began = time.perf_counter()
    result = act(*given)
    took = time.perf_counter() - began
    print(f"  ({took * 1e3:.1f} ms)\n" if took > 0.01 else f"  ({took * 1e6:.0f} µs)\n")
    return result


if __name__ == "__main__":
    sys.exit(main())
