"""The wheel holds the package and nothing else, and installs and imports with the network blocked."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
VERSION = PROJECT["version"]
ALLOWED = re.compile(
    rf"llm_edge/([a-z0-9_]+/)*([a-z0-9_]+\.py|py\.typed|[a-z0-9_-]+\.(json|toml|lua))"
    rf"|llm_edge/serve/assets/[a-z0-9_-]+\.(html|js|css|svg|LICENSE\.txt)"
    rf"|llm_edge-{re.escape(VERSION)}\.dist-info/(METADATA|RECORD|WHEEL|entry_points\.txt|licenses/(LICENSE|NOTICE))"
)

# Put on PYTHONPATH, Python runs it first: in the child, and in every child of the child.
NO_NETWORK = """
import sys

def refuse(event, args):
    if event in {"socket.__new__", "socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.bind"}:
        raise OSError("the network is blocked in this test")

sys.addaudithook(refuse)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    run([sys.executable, "-m", "flit_core.wheel", str(ROOT), "--outdir", str(out)], cwd=out)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def no_network(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which no child can open a socket."""
    place = tmp_path_factory.mktemp("no_network")
    (place / "sitecustomize.py").write_text(NO_NETWORK)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE_", "PIP_"))}
    return kept | {"PYTHONPATH": str(place), "PIP_CONFIG_FILE": os.devnull}


@pytest.fixture(scope="module")
def installed(wheel: Path, no_network: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment with the wheel, and nothing else, in it."""
    home = tmp_path_factory.mktemp("fresh")
    venv.create(home, with_pip=False)
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], env=no_network, cwd=home)
    return python


def run(command: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=env, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_dependencies(statement: str) -> str:
    """A program that finds the dependencies where this test runs, after everything of its own environment."""
    places = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    return f"import sys; sys.path += {places!r}; {statement}"


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return Parser().parsestr(archive.read(f"llm_edge-{VERSION}.dist-info/METADATA").decode())


def test_the_wheel_is_for_every_platform(wheel: Path) -> None:
    assert wheel.name == f"llm_edge-{VERSION}-py3-none-any.whl"


def test_the_wheel_holds_only_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if not ALLOWED.fullmatch(name)] == []


def test_the_wheel_holds_the_whole_package(wheel: Path) -> None:
    sources = {str(file.relative_to(ROOT).as_posix()) for file in (ROOT / "llm_edge").rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        assert sources | {"llm_edge/py.typed"} <= set(archive.namelist())


def test_nothing_runs_when_python_starts(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in archive.namelist() if name.endswith(".pth") or "customize" in name] == []


def test_the_metadata_says_what_it_is(wheel: Path) -> None:
    said = metadata(wheel)
    assert (said["Version"], said["License-Expression"], said["Requires-Python"]) == (VERSION, "Apache-2.0", ">=3.11")


def test_the_extras_are_named(wheel: Path) -> None:
    extras = {"fast", "serve", "semantic", "aws", "gcp", "azure", "otel"}
    assert extras <= set(metadata(wheel).get_all("Provides-Extra") or [])


def test_no_dependency_comes_from_an_address(wheel: Path) -> None:
    assert [needed for needed in metadata(wheel).get_all("Requires-Dist") or [] if "@" in needed] == []


def test_the_block_really_blocks(no_network: dict[str, str], tmp_path: Path) -> None:
    attempt = [sys.executable, "-c", "import socket; socket.create_connection(('127.0.0.1', 9))"]
    done = subprocess.run(attempt, capture_output=True, text=True, env=no_network, cwd=tmp_path, check=False)
    assert "the network is blocked" in done.stderr


def test_it_imports_with_the_network_blocked(installed: Path, no_network: dict[str, str], tmp_path: Path) -> None:
    statement = with_dependencies("import llm_edge; print(llm_edge.__file__)")
    place = run([str(installed), "-c", statement], env=no_network, cwd=tmp_path)
    assert Path(place.strip()).is_relative_to(installed.parent.parent)


def test_a_client_is_made_with_the_network_blocked(installed: Path, no_network: dict[str, str], tmp_path: Path) -> None:
    statement = with_dependencies("import llm_edge; llm_edge.EdgeClient().close(); print('made')")
    assert run([str(installed), "-c", statement], env=no_network, cwd=tmp_path) == "made\n"


def test_it_works_from_inside_an_archive(wheel: Path, no_network: dict[str, str], tmp_path: Path) -> None:
    """As in a zipapp: what it ships beside its code is found there, too."""
    statement = with_dependencies(
        f"sys.path.insert(0, {str(wheel)!r}); from llm_edge import EdgeClient; from llm_edge.money import book; "
        "from llm_edge.providers import bedrock_models, capabilities; "
        "print(bool(book.about()), book.Book({}).price('openai/gpt-4o') is not None, EdgeClient().config.cache.ttl); "
        "print(book.__file__)"
    )
    said = run([sys.executable, "-I", "-c", statement], env=no_network, cwd=tmp_path).splitlines()
    assert said[0] == "True True 300.0"
    assert said[1].startswith(str(wheel))


def test_its_entry_points_are_found(installed: Path, no_network: dict[str, str], tmp_path: Path) -> None:
    found = "from importlib.metadata import distribution; found = distribution('llm_edge').entry_points; "
    printed = run([str(installed), "-c", found + "print(*sorted(found), sep='\\n')"], env=no_network, cwd=tmp_path)
    assert printed.splitlines() == [
        "EntryPoint(name='llm-edge', value='llm_edge.cli:main', group='console_scripts')",
        "EntryPoint(name='llm_edge', value='llm_edge.testing.plugin', group='pytest11')",
    ]


def test_each_entry_point_can_be_loaded(installed: Path, no_network: dict[str, str], tmp_path: Path) -> None:
    statement = with_dependencies(
        "from importlib.metadata import distribution; "
        "print(*sorted(entry.load().__name__ for entry in distribution('llm_edge').entry_points))"
    )
    assert run([str(installed), "-c", statement], env=no_network, cwd=tmp_path) == "llm_edge.testing.plugin main\n"
