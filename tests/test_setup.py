"""What a newcomer meets first: two commands, the tasks behind them, the changelog."""

from __future__ import annotations

import ast
import os
import re
import tomllib
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


def test_the_changelog_keeps_its_form() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("##")]
    kept = re.compile(
        r"## \[(Unreleased|\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d)\]?|### (Added|Changed|Deprecated|Removed|Fixed|Security)"
    )
    assert headings[0] == "## [Unreleased]"
    assert [heading for heading in headings if not kept.fullmatch(heading)] == []
