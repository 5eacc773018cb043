"""
The pytest plugin: scripted providers, a fake clock and cassettes as fixtures.

It is loaded in every test run of every project that has llm_edge installed: so it imports
pytest and nothing else until a test asks for one of its fixtures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from llm_edge.runtime import FakeClock

    from .cassette import Cassette, Mode
    from .provider import Provider


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--edge-record`."""
    parser.getgroup("llm_edge").addoption(
        "--edge-record",
        choices=("none", "missing", "all"),
        default="none",
        nargs="?",
        const="missing",
        help="cassettes: 'none' replays only (default), 'missing' also records what no cassette has, "
        "'all' records everything anew",
    )


@pytest.fixture
def fake_clock() -> FakeClock:
    """Time that passes only when someone waits or the test says so."""
    from llm_edge.runtime import FakeClock

    return FakeClock()


@pytest.fixture
def providers(fake_clock: FakeClock) -> Iterator[Callable[..., Provider]]:
    """Makes scripted providers: `providers(answer("hi"), status(429))`. All are closed with the test."""
    from .provider import Provider

    made: list[Provider] = []

    def make(*steps: object, **options: object) -> Provider:
        # The same parameters as Provider, checked by it; the fixture only adds the clock.
        provider = Provider(*steps, **{"clock": fake_clock, **options})  # type: ignore[arg-type]
        made.append(provider)
        return provider

    yield make
    for provider in made:
        provider.close()


@pytest.fixture
def provider(providers: Callable[..., Provider]) -> Provider:
    """One scripted provider: `provider.script(answer("hi"))`. Its transports wait on `fake_clock`."""
    return providers()


@pytest.fixture
def refused_url() -> Iterator[str]:
    """An address where nobody listens."""
    from .server import nobody_listens

    with nobody_listens() as url:
        yield url


@pytest.fixture
def cassette(request: pytest.FixtureRequest) -> Cassette:
    """A recording beside the test file, `cassettes/<file>/<test>.json`: replayed, or made with `--edge-record`."""
    from .cassette import Cassette

    folder = request.path.parent / "cassettes" / request.path.stem
    mode: Mode = request.config.getoption("--edge-record") or "none"
    return Cassette(folder / f"{_file_name(request.node.nodeid)}.json", record=mode)


def _file_name(test: str) -> str:
    """A name for each test of a file, its classes and parameters included, that every file system takes."""
    test = test.partition("::")[2]
    name, _, parameters = test.partition("[")
    wanted = "-".join(filter(None, (name.replace("::", "."), parameters.removesuffix("]"))))
    taken = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in wanted)
    if taken == wanted and len(taken) <= 100:
        return taken
    import hashlib

    # What was taken out or cut off may be all in which two tests differ: questions as parameters, for example.
    return f"{taken[:50]}-{hashlib.sha256(test.encode()).hexdigest()[:10]}"
