"""What the documentation says is so: examples run, files load, commands exist, tables are the code's."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from llm_edge import cli
from llm_edge.config import EdgeConfig
from llm_edge.config.layers import SHORT_NAMES
from llm_edge.policy import controls

from .examples import PAGES, ROOT, Example, examples
from .run_page import KEYS, SCENES
from .tables import renewed

RUN_ELSEWHERE = {"testing.md"}
"""Its examples are tests themselves; tests/testing runs them."""

WITH_PYTHON = [page for page in PAGES if examples(page, "python") and page.name not in RUN_ELSEWHERE]
TOML = [example for page in PAGES for example in examples(page, "toml")]
SHELL = [
    (example, line.split(" #")[0].strip())
    for page in PAGES
    for example in examples(page, "sh")
    for line in example.text.splitlines()
]
EVERYTHING = "\n".join(page.read_text() for page in PAGES)


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", WITH_PYTHON, ids=named)
def test_the_examples_of_a_page_run_as_they_stand(page: Path) -> None:
    command = [sys.executable, "-m", "tests.docs.run_page", named(page)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stdout + done.stderr


@pytest.mark.parametrize("example", TOML, ids=lambda example: example.place)
def test_a_configuration_that_is_shown_loads(example: Example, tmp_path: Path) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(example.text)
    assert EdgeConfig.from_file(file) != EdgeConfig()


@pytest.mark.parametrize(("example", "command"), SHELL, ids=lambda given: given if isinstance(given, str) else "")
def test_a_command_that_is_shown_exists(
    example: Example, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = shlex.split(command)
    if words[:3] == ["python3", "noxfile.py", "-s"]:
        assert words[3] in sessions()
    elif words[:4] == ["python3", "-m", "pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        (extra,) = re.findall(r"\.\[(\w+)\]", words[4])
        assert extra in extras
    elif words[:2] == ["llm-edge", "serve"]:  # it would go on for ever
        assert cli.parser().parse_args(words[1:]).command == "serve"
    else:
        (config,) = [each.text for each in examples(example.page, "toml") if each.title == "edge.toml"]
        (tmp_path / "edge.toml").write_text(config)
        (tmp_path / "edge.production.toml").touch()
        monkeypatch.chdir(tmp_path)
        assert words[0] == "llm-edge"
        assert cli.main(words[1:], env=KEYS) == 0


def sessions() -> set[str]:
    tree = ast.parse((ROOT / "noxfile.py").read_text())
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_is_of_a_kind_that_is_checked(page: Path) -> None:
    fences = len(re.findall(r"^```", page.read_text(), re.MULTILINE))
    found = examples(page)
    assert len(found) * 2 == fences
    assert {example.language for example in found} <= {"python", "toml", "sh", "text", "html"}
    assert {example.scene for example in found} <= SCENES.keys()


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_generated_table_is_what_the_code_says(page: Path) -> None:
    text = page.read_text()
    assert renewed(text) == text, "run `python -m tests.docs.tables`"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if link.startswith("https://"):
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in [heading.lower().replace(" ", "-") for heading in headings], link


def test_every_page_is_in_the_sites_menu() -> None:
    menu = tomllib.loads((ROOT / "zensical.toml").read_text())["project"]["nav"]
    listed = [path for entry in menu for path in entry.values()]
    assert sorted(listed) == sorted(page.name for page in (ROOT / "docs").glob("*.md"))


@pytest.mark.parametrize("first", ["README.md", "docs/index.md"])
def test_every_page_can_be_found_from_the_first_one(first: str) -> None:
    linked = {Path(link).name.lower() for link in re.findall(r"\]\(([^)#\s]+)", (ROOT / first).read_text())}
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {"index.md"} - linked == set()


def test_every_extra_is_told_where_it_is_installed() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    install = (ROOT / "docs" / "quickstart.md").read_text().partition("## Under an SDK")[0]
    rows = re.findall(r"^\| (`[^|]*) \|", install, re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(extras)


def test_every_header_of_ours_is_told_and_no_other() -> None:
    ours = re.findall(r'"(x-llm-edge-[a-z-]+)"', (ROOT / "llm_edge" / "http" / "face.py").read_text())
    ours += [name for name in controls._HEADERS if name.startswith(controls.PREFIX)]
    assert set(re.findall(r"x-llm-edge-[a-z]+(?:-[a-z]+)*", EVERYTHING)) == set(ours) - {controls.PREFIX}


def test_every_key_of_the_edge_keyword_is_told() -> None:
    page = (ROOT / "docs" / "direct-calls.md").read_text()
    told = set(re.findall(r"^\| `(\w+)`(?: \(\w+\))? \| `(?:cache-control|x-llm-edge-)", page, re.MULTILINE))
    assert told == set(controls._KEYWORDS)


def test_every_short_name_is_told() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    assert [name for name in SHORT_NAMES if f"`{name}`" not in page] == []


def test_the_defaults_of_the_first_screen_are_the_defaults() -> None:
    first_screen = "\n".join((ROOT / "README.md").read_text().splitlines()[:50])
    config = EdgeConfig()
    cache, times = config.cache, config.deadline
    assert (
        f"for {cache.ttl:g} s, in memory (policy `{cache.policy}`, {cache.entries} answers, {cache.bytes >> 20} MiB)"
        in first_screen
    )
    assert (
        f"{times.chat:g} s for an answer, {times.stream:g} s for a stream, {times.embeddings:g} s for embeddings"
        in first_screen
    )
    assert f"{config.retry.attempts} attempts" in first_screen
    breaker = config.breaker
    assert f"failed {breaker.failures} times in a row, or half of the time" in first_screen
    assert f"is left alone for {breaker.open_for:g} s" in first_screen
    assert (config.breaker.enabled, dict(config.limits), dict(config.routes)) == (True, {}, {})


def test_the_architecture_names_every_room() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    package = ROOT / "llm_edge"
    rooms = [f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()]
    rooms += [path.name for path in package.glob("*.py")]
    assert [room for room in rooms if f"`{room}`" not in page] == []
