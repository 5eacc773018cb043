"""Each engine in each colour it serves: `wires` runs a test in all of them, `engine` is its name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .senders_kit import Wires, opened

WAYS = [(colour, engine) for engine in ("httpx2", "httptools", "pyreqwest") for colour in ("sync", "async")]


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A mark on each test that asks for `wires`."""
    if "wires" in metafunc.fixturenames:
        # As a mark, which goes before the parameters `colour` has of its own.
        metafunc.definition.add_marker(pytest.mark.parametrize(("colour", "engine"), WAYS, indirect=["colour"]))


@pytest.fixture
def wires(colour: Any, engine: str) -> Iterator[Wires]:
    with opened(Wires(engine, colour)) as one:
        yield one
