"""What a newcomer meets first: two commands, the tasks behind them, the changelog."""

from __future__ import annotations

import ast
import os
import re
import sys
import tomllib
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAIN_JOB = "python3 noxfile.py -s quickstart"
ALL_TESTS = "python3 noxfile.py -s tests"


def sessions() -> set[str]:
    """The names of the sessions in noxfile.py, read without running it."""
    names: set[str] = set()
    for node in ast.parse((ROOT / "noxfile.py").read_text()).body:
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                named = re.search(r"name='([^']+)'", ast.unparse(decorator))
                names.add(named[1] if named else node.name)
    return names


@pytest.mark.parametrize("command", [MAIN_JOB, ALL_TESTS])
def test_the_first_screen_of_the_readme_has_the_command(command: str) -> None:
    first_screen = (ROOT / "README.md").read_text().splitlines()[:50]
    assert command in [line.split("#")[0].strip() for line in first_screen]


def test_ci_runs_the_readmes_test_command() -> None:
    last = (ROOT / ".ci/run").read_text().splitlines()[-1]
    assert last.replace('"$python"', "python3") == ALL_TESTS


def test_ci_can_be_run() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)


@pytest.mark.parametrize(
    "name", ["quickstart", "tests", "lint", "types", "docs", "bench", "bench-peers", "build", "tests-lowest"]
)
def test_a_session_is_there(name: str) -> None:
    assert name in sessions()


def test_the_test_command_runs_lint_types_and_tests() -> None:
    noxfile = ast.parse((ROOT / "noxfile.py").read_text())
    (tests,) = [node for node in noxfile.body if isinstance(node, ast.FunctionDef) and node.name == "tests"]
    said = ast.unparse(tests)
    assert "session.notify('lint')" in said
    assert "session.notify('types')" in said


def test_the_serve_extra_brings_the_fast_hop() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert "llm_edge[fast]" in extras["serve"]


WITH_OTHERS = {"pydantic_core": "pydantic", "httpcore2": "httpx2"}
"""Modules that come along with a package, and are pinned by it."""
NEVER_INSTALLED = {"pytest", "openai"}
"""What only `llm_edge.testing` looks for: it runs where they are."""


def imported(files: Iterable[Path]) -> set[str]:
    """The packages of others that these files import, wherever in the file."""
    found: set[str] = set()
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module is not None:
                found.add(node.module.partition(".")[0])
    return found - sys.stdlib_module_names - NEVER_INSTALLED - {"llm_edge"}


def distributions(requirements: Iterable[str]) -> set[str]:
    """The names of these requirements, as they are compared."""
    names = (re.match(r"[\w.-]+", each) for each in requirements)
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name is not None}


@pytest.mark.parametrize("room", ["serve", ""])
def test_what_is_imported_is_installed(room: str) -> None:
    """With the extra `serve` alone the sidecar has all it imports; the package with all its extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = [*extras["serve"], *extras["fast"]] if room else [each for extra in extras.values() for each in extra]
    asked_for = distributions([*project["dependencies"], *listed])
    brings = packages_distributions()
    for name in imported((ROOT / "llm_edge" / room).rglob("*.py")):
        module = WITH_OTHERS.get(name, name)
        assert distributions(brings.get(module, [module])) & asked_for, f"{name}: in no list of pyproject.toml"


def test_the_changelog_keeps_its_form() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("##")]
    kept = re.compile(
        r"## \[(Unreleased|\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d)\]?|### (Added|Changed|Deprecated|Removed|Fixed|Security)"
        r"|#### [A-Z].+"
    )
    assert headings[0] == "## [Unreleased]"
    assert [heading for heading in headings if not kept.fullmatch(heading)] == []
