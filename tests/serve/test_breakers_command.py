"""`llm-edge breakers`: a running sidecar's breakers, looked at and set by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_edge.cli import main
from llm_edge.runtime import ThreadClock
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import KeyStore
from tests.stores.valkey import valkey

from .conftest import toml
from .kit import CHAT, Process, post, question, running, until

TARGET = "openai/gpt-5.4-mini"


class Run:
    """The command, with the key of an admin."""

    def __init__(self, url: str, key: str, capsys: pytest.CaptureFixture[str]) -> None:
        self._url, self._env, self._capsys = url, {"LLM_EDGE_KEY": key}, capsys

    def __call__(self, *words: str, env: dict[str, str] | None = None) -> tuple[int, str]:
        code = main(["breakers", "--url", self._url, *words], self._env if env is None else env)
        printed = self._capsys.readouterr()
        return code, (printed.out + printed.err).strip()


@pytest.fixture(scope="module")
def door(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, str]]:
    """A sidecar of two workers that share a store, and an admin's key."""
    folder: Path = tmp_path_factory.mktemp("breakers")
    file = folder / "keys.db"
    store = KeyStore(KeyFile(file), ThreadClock())
    key, _ = store.create("test", permissions=["admin", "call"])
    store.close()
    with valkey() as server:
        more = (
            f'[store]\nkind = "redis"\nurl = "{server.url}"\n[serve]\nworkers = 2\n[serve.auth]\ndatabase = "{file}"\n'
        )
        with running(folder, toml(upstream, more)) as process:
            yield process, key


@pytest.fixture
def run(door: tuple[Process, str], capsys: pytest.CaptureFixture[str]) -> Run:
    process, key = door
    return Run(process.url, key, capsys)


def asked(door: tuple[Process, str]) -> int:
    process, key = door
    body = json.dumps(question("once more")).encode()
    headers = (f"Authorization: Bearer {key}", "Content-Type: application/json", "Cache-Control: no-store, no-cache")
    return int(process.raw(post(CHAT, body, *headers)).split()[1])


def test_a_target_is_taken_out_of_service_in_every_worker_and_brought_back(run: Run, door: tuple[Process, str]) -> None:
    assert run(TARGET, "open") == (0, f"{TARGET}  forced-open")
    for status in (503, 200):
        # One worker after the other hears of it.
        until(lambda status=status: all(asked(door) == status for _ in range(20)))  # type: ignore[misc]  # as a default
        if status == 503:
            assert run(TARGET, "closed")[0] == 0
    assert json.loads(run("--json")[1]).keys() <= {TARGET}


def test_a_target_nobody_asked_is_closed(run: Run) -> None:
    assert run("groq/llama") == (0, "llm-edge: groq/llama has not been asked yet; its breaker is closed")


@pytest.mark.parametrize("env", [{}, {"LLM_EDGE_KEY": "llmedge-canary"}])
def test_who_is_no_admin_is_refused_and_no_key_is_repeated(env: dict[str, str], run: Run) -> None:
    code, said = run(env=env)
    assert code == 1
    assert said.startswith("llm-edge: the sidecar refuses (401): ")
    assert "canary" not in said


def test_where_no_sidecar_answers_the_address_is_named(run: Run, upstream: str) -> None:
    assert run("--url", "gopher://x")[0] == 2
    code, said = run("--url", "http://127.0.0.1:1")
    assert (code, "http://127.0.0.1:1/admin/breakers cannot be asked" in said) == (2, True)
