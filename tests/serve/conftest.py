from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.serve import Sidecar, create_app
from llm_edge.testing import Provider
from tests.stores.valkey import Valkey, valkey as a_valkey

from .kit import Process, Said, called, running


@pytest.fixture(scope="module")
def provider() -> Provider:
    return Provider(models=("gpt-5.4-mini",))


@pytest.fixture(scope="module")
def upstream(provider: Provider) -> Iterator[str]:
    with provider.serve() as server:
        yield server.url


def toml(url: str, more: str = "") -> str:
    return (
        f'[providers.openai]\napi_key = "sk-house"\nbase_url = "{url}/v1"\n'
        f'[providers.anthropic]\napi_key = "sk-ant-house"\nbase_url = "{url}"\n'
        f'[providers.gemini]\napi_key = "AIza-house"\nbase_url = "{url}"\n'
        '[routes.fast]\ntargets = ["openai/gpt-5.4-mini"]\n[retry]\nbase = 0\ncap = 0\n' + more
    )


@pytest.fixture(scope="module")
def server(upstream: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A sidecar in a process of its own."""
    more = "[serve]\nbody_timeout = 1\nheader_timeout = 1\nmax_body = 100000\n[breaker]\nenabled = false\n"
    with running(tmp_path_factory.mktemp("serve"), toml(upstream, more)) as process:
        yield process


class App:
    """A sidecar in this process."""

    def __init__(self, runner: asyncio.Runner, edge: EdgeClient, app: Sidecar) -> None:
        self.runner, self.edge, self.app = runner, edge, app

    def __call__(self, method: str, path: str, *given: Any, **named: Any) -> Said:
        return self.runner.run(called(self.app, method, path, *given, **named))


@pytest.fixture
def sidecar(upstream: str) -> Iterator[Callable[..., App]]:
    """Makes sidecars in this process."""
    made: list[EdgeClient] = []
    with asyncio.Runner() as runner:

        def make(*, door: Any = None, **sections: Any) -> App:
            settings: dict[str, Any] = {
                "providers": {
                    "openai": {"api_key": "sk-house", "base_url": f"{upstream}/v1"},
                    "anthropic": {"api_key": "sk-ant-house", "base_url": upstream},
                    "gemini": {"api_key": "AIza-house", "base_url": upstream},
                },
                "routes": {"fast": {"targets": "openai/gpt-5.4-mini"}},
                "retry": {"attempts": 1},
                **sections,
            }
            edge = EdgeClient(env={}, **settings)
            made.append(edge)
            return App(runner, edge, create_app(edge, door=door))

        yield make
        for edge in made:
            runner.run(edge.aclose())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture(scope="module")
def valkey() -> Iterator[Valkey]:
    with a_valkey() as server:
        yield server
