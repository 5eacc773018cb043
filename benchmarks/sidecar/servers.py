"""The servers that are measured: how each is started, and what its processes use."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from ..provider import MODEL

PATH = "/v1/chat/completions"
EDGE = """
[providers.openai]
api_key = "sk-bench"
base_url = "{url}/v1"
[routes.bench]
targets = ["openai/{model}"]
[serve]
workers = {workers}
connections = 4096
"""
OFF = '[cache]\npolicy = "off"\n'


@dataclass(frozen=True, slots=True)
class Server:
    """A server under measurement."""

    name: str
    url: str
    process: psutil.Process
    model: str = "bench"
    path: str = PATH
    headers: dict[str, str] = field(default_factory=dict[str, str])

    def family(self) -> list[psutil.Process]:
        return [self.process, *self.process.children(recursive=True)]

    def cpu(self) -> float:
        """Seconds of CPU that all its processes have used."""
        total = 0.0
        for each in self.family():
            used = each.cpu_times()
            total += used.user + used.system
        return total

    def memory(self) -> list[float]:
        """MB of each worker (of the only process, where there is one)."""
        family = self.family()
        return [each.memory_info().rss / 1e6 for each in (family[1:] or family)]


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def started(
    command: Sequence[str], port: int, *, patience: float = 60.0, env: dict[str, str] | None = None
) -> Iterator[psutil.Process]:
    """A process that answers on a port while the block lasts. Raises RuntimeError when it never does."""
    quiet, words = subprocess.DEVNULL, {**os.environ, **(env or {})}
    running = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=words)
    try:
        until = time.monotonic() + patience
        while not _answers(port):
            if running.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"{command[0]} does not answer")
            time.sleep(0.1)
        time.sleep(0.5)  # the other workers
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


def _answers(port: int) -> bool:
    with closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def ours(url: str, folder: Path, workers: int, *, cached: bool) -> Iterator[Server]:
    port = free_port()
    file = folder / f"edge-{port}.toml"
    file.write_text((("" if cached else OFF) + EDGE).format(url=url, model=MODEL, workers=workers))
    command = [sys.executable, "-m", "llm_edge.serve", "--config", str(file), "--port", str(port)]
    with started(command, port) as process:
        yield Server("llm_edge" if cached else "llm_edge, cache off", f"http://127.0.0.1:{port}", process)


@contextmanager
def bare(which: str, workers: int) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.sidecar.bare", str(port), str(workers), which]
    with started(command, port) as process:
        yield Server(which, f"http://127.0.0.1:{port}", process)


@contextmanager
def provider() -> Iterator[Server]:
    port = free_port()
    with started([sys.executable, "-m", "benchmarks.sidecar.provider", str(port)], port) as process:
        yield Server("provider", f"http://127.0.0.1:{port}", process, model=MODEL)
