"""Each engine in each colour it serves: `wires` runs a test in all of them, `engine` is its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .senders_kit import Wires, opened

WAYS = [("sync", "httpx2"), ("async", "httpx2"), ("sync", "pyreqwest"), ("async", "pyreqwest"), ("async", "aiohttp")]


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Not every engine against every colour: aiohttp has event loops only."""
    if "wires" in metafunc.fixturenames:
        # As a mark, which goes before the parameters `colour` has of its own.
        metafunc.definition.add_marker(pytest.mark.parametrize(("colour", "engine"), WAYS, indirect=["colour"]))


@pytest.fixture
def wires(colour: Any, engine: str) -> Iterator[Wires]:
    with opened(Wires(engine, colour)) as one:
        yield one
