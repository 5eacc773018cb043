"""
A scripted server on the command line: `python -m llm_edge.testing --port 0`.

Prints its address as the first line and answers every call alike until it is stopped; made for
benchmarks, where the provider should have a process of its own.
"""

from __future__ import annotations

import argparse
import signal
import threading

import orjson

from .acts import Act
from .call import Asked, Call, as_list, as_object
from .provider import Provider
from .server import Server
from .steps import Step, stream


class Alike:
    """
    A stage that says the same to every request of one shape, whatever its words.

    It says it from memory, to leave the processor to whoever measures. A shape is the path and
    the body without its prompts; there are as many as kinds of calls in a benchmark.
    """

    def __init__(self, step: Step) -> None:
        self._provider = Provider(step, remember=0)
        self._known: dict[tuple[str, bytes], tuple[Call, list[Act]]] = {}

    def open(self, asked: Asked, connection: int, /) -> tuple[Call, list[Act]]:
        """The answer for this shape of request."""
        shape = f"{asked.method} {asked.target}", _shape(asked.body)
        found = self._known.get(shape)
        if found is None:
            found = self._known[shape] = self._provider.open(asked, connection)
        return found


def _shape(body: bytes) -> bytes:
    """The body with every prompt replaced by the number of its parts."""
    try:
        fields = as_object(orjson.loads(body))
    except orjson.JSONDecodeError:
        return b""
    words = {name: len(as_list(fields[name])) for name in _WORDS if name in fields}
    return orjson.dumps({**fields, **words})


_WORDS = ("messages", "input", "prompt", "contents", "requests", "system", "instructions")


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal comes. Exits with 2 on unknown options."""
    parser = argparse.ArgumentParser(prog="python -m llm_edge.testing", description="A scripted LLM provider.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--text", default="Hello! How can I help you today?", help="what every answer says")
    parser.add_argument("--parts", type=int, default=8, help="into how many events a stream is cut")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds before the headers")
    parser.add_argument("--every", type=float, default=0.0, help="seconds between the events of a stream")
    options = parser.parse_args(arguments)
    size = max(1, -(-len(options.text) // max(1, options.parts)))
    parts = [options.text[start : start + size] for start in range(0, len(options.text), size)]
    step = stream(*parts).delay(options.delay).pace(options.every)
    stopped = threading.Event()

    def stop(number: int, frame: object) -> None:
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    with Server(Alike(step), host=options.host, port=options.port) as server:
        print(server.url, flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
