"""What `import llm_edge` offers: few names, each documented, each loaded when it is first used."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path

import pytest

import llm_edge
import llm_edge.errors

ROOT = Path(__file__).resolve().parent.parent
NAMES = sorted(llm_edge.__all__)


def test_there_are_about_twenty_names() -> None:
    assert 10 <= len(NAMES) <= 32


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_is_there_and_listed(name: str) -> None:
    assert getattr(llm_edge, name) is not None
    assert name in dir(llm_edge)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_says_what_it_is_for(name: str) -> None:
    thing = getattr(llm_edge, name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        said = inspect.cleandoc(thing.__dict__["__doc__"] or "" if inspect.isclass(thing) else thing.__doc__ or "")
        # A dataclass without words of its own repeats its signature.
        assert re.match(rf"(?!{name}\()\S", said)


@pytest.mark.parametrize("name", NAMES)
def test_a_public_name_lives_in_this_package(name: str) -> None:
    thing = getattr(llm_edge, name)
    assert getattr(thing, "__module__", "llm_edge").split(".")[0] in {"llm_edge", "typing", "collections"}


def test_type_checkers_see_the_same_names() -> None:
    """The names are loaded when first used, so the file lists them twice: for type checkers and for Python."""
    tree = ast.parse(Path(llm_edge.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    seen = [alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted([*map(str, seen), "__version__"]) == NAMES


@pytest.mark.parametrize("name", ["EdgeClient", "EdgeConfig", "EdgeTransport", "AsyncEdgeTransport", "EdgeError"])
def test_the_names_every_app_needs_are_public(name: str) -> None:
    assert name in NAMES


def test_every_error_is_public() -> None:
    errors = [thing for thing in vars(llm_edge.errors).values() if inspect.isclass(thing)]
    ours = [error.__name__ for error in errors if issubclass(error, llm_edge.EdgeError)]
    assert [name for name in ours if name not in NAMES] == []


def test_the_front_door_says_what_it_will_not_do() -> None:
    assert llm_edge.__doc__


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="EdgeCleint"):
        llm_edge.EdgeCleint  # type: ignore[attr-defined] # noqa: B018 - a slip of the pen, on purpose


def test_the_version_is_the_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert llm_edge.__version__ == project["version"]


def test_the_package_is_typed() -> None:
    assert Path(llm_edge.__file__).with_name("py.typed").exists()
