"""`llm-edge top` against a real sidecar, a file and a directory of metrics; in a terminal and in a pipe."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from llm_edge import EdgeClient
from llm_edge.cli import main
from llm_edge.testing import Provider, answer, status

from .serve.conftest import toml
from .serve.kit import Process, question, running

# Who runs tests in the background of a shell hands on that interrupts are not heard.
HEARING = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
TOP = [sys.executable, "-c", HEARING + "from llm_edge.cli import main; sys.exit(main())", "top"]


@pytest.fixture(scope="module")
def played() -> Iterator[Provider]:
    with Provider(answer("Hi"), models=("gpt-5.4-mini",)) as provider:
        yield provider


@pytest.fixture(scope="module")
def server(played: Provider, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A sidecar in a process of its own, that wants a key for its metrics."""
    with running(tmp_path_factory.mktemp("top"), toml(played.url)) as process:
        for text in ("one", "one", "two"):
            httpx2.post(f"{process.url}/v1/chat/completions", json=question(text, model="fast")).raise_for_status()
        yield process


def test_a_sidecar_is_shown(server: Process, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", server.url, "--once"], {}) == 0
    told = capsys.readouterr().out
    assert "3 in all, failed 0.0%" in told
    assert "hit rate 33.3%" in told
    (line,) = [line for line in told.splitlines() if line.startswith("openai/gpt-5.4-mini")]
    assert line.split()[2] == "3"


def until(terminal: int, words: bytes, times: int = 1) -> bytes:
    told = b""
    while told.count(words) < times:
        told += os.read(terminal, 65536)
    return told


@pytest.mark.parametrize("style", ["--plain", "--every=0.2"])
def test_a_terminal_shows_it_until_it_is_interrupted(server: Process, style: str) -> None:
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"}
    child = subprocess.Popen(
        [*TOP, server.url, "--every", "0.2", style], stdin=theirs, stdout=theirs, stderr=theirs, env=env
    )
    os.close(theirs)
    told = until(ours, b"in the last ")
    assert b"hit rate" in told
    assert (b"\x1b[H\x1b[J" in told) == (style == "--plain")
    assert (b"\x1b[?1049h" in told) == (style != "--plain")
    child.send_signal(signal.SIGINT)
    try:
        while os.read(ours, 65536):
            pass
    except OSError:
        pass  # the other end is closed
    os.close(ours)
    assert child.wait(60) == 0


def test_what_cannot_be_asked_is_told_with_the_way_out(
    server: Process, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "page").write_text("<html>")
    for arguments, said in (
        (["http://127.0.0.1:1"], "http://127.0.0.1:1/metrics cannot be asked: "),
        ([f"{server.url}/nowhere"], "/nowhere answered with 404."),
        ([str(tmp_path / "none")], "cannot be read: No such file or directory."),
        ([str(tmp_path / "page")], "that is no page of metrics"),
        ([server.url, "--every", "0"], "--every: must be from 0.1 to 3600 seconds."),
    ):
        assert main(["top", "--once", *arguments], {}) == 2
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(("code", "hint"), [(401, "A key goes into LLM_EDGE_KEY."), (403, "permission `metrics`")])
def test_a_sidecar_that_refuses_names_what_the_key_lacks(
    code: int, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Provider(status(code)) as sidecar:
        assert main(["top", sidecar.url, "--once"], {"LLM_EDGE_KEY": "k"}) == 2
    assert hint in capsys.readouterr().err


def test_a_file_of_metrics_is_shown(tmp_path: Path, played: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    place = {"kind": "openai", "base_url": f"{played.url}/v1", "api_key": "k"}
    with EdgeClient(
        env={}, providers={"gpt": place}, prices={"models": {"gpt/m": {"input": 2.5, "output": 10}}},
        budgets={"tenant": {"usd_total": 1}}, telemetry={"metrics": True},
    ) as edge:  # fmt: skip
        edge.chat("gpt/m", "Hi")
        (tmp_path / "metrics.prom").write_bytes(edge.metrics.text())
    assert main(["top", str(tmp_path / "metrics.prom"), "--once"], {}) == 0
    told = capsys.readouterr().out
    assert "tenant / total" in told
    assert "cost      $0.0" in told


CHILD = """
import sys
from llm_edge import EdgeClient
edge = EdgeClient(env={}, telemetry={"metrics": True}, retry={"attempts": 1},
                  providers={"gpt": {"kind": "openai", "base_url": sys.argv[1] + "/v1", "api_key": "k"}})
edge.chat("gpt/m", "Hi")
"""


def test_a_directory_that_processes_share_is_added_up(
    tmp_path: Path, played: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    subprocess.run([sys.executable, "-c", CHILD, played.url], env=env, check=True)
    assert main(["top", str(tmp_path), "--once"], {}) == 0
    assert "calls     -  1 in all" in capsys.readouterr().out
