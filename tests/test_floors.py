"""Imports go down the stairs, never up; and a few parts are known to one room only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "llm_edge"
FILES = sorted(ROOT.rglob("*.py"))

FLOORS: list[set[str]] = [
    {"message", "notes", "runtime"},
    {"errors"},
    {"policy"},
    {"providers", "stores", "telemetry"},
    {"layers", "reply"},
    {"http"},
    {"config", "targets", "build"},
    {"client", "serve", "testing", "cli"},
    {"__init__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Rooms on one floor do not know each other, but for these.
NEIGHBOURS = {
    ("message", "notes"),
    ("targets", "config"),
    ("build", "config"),
    ("build", "targets"),
    ("cli", "client"),
    ("serve", "client"),
}

# A part that one room wraps for all the others.
ONLY_IN = {
    "httpx": {"http", "testing"},
    "httpx2": {"http", "testing"},
    "httpcore": {"http", "testing"},
    "httpcore2": {"http", "testing"},
    "pyreqwest": {"http", "testing"},
    "redis": {"stores"},
    "diskcache": {"stores"},
    "moka_py": {"stores"},
    "tenacity": {"layers", "reply"},
    "starlette": {"serve"},
    "granian": {"serve"},
}
# The client names the types it gives out; it imports them for type checkers only.
TYPES_ONLY = {("client", "httpx"), ("client", "httpx2")}

NEVER = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve"}
READS_ENVIRONMENT = {"config", "client", "cli", "serve", "testing"}


def room_of(file: Path) -> str:
    return file.parts[0].removesuffix(".py")


def imports(file: Path, tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each imported module by its full name, and whether only type checkers see the import."""
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING"
        for statement in node.body
        for inner in ast.walk(statement)
    }
    package = ["llm_edge", *file.parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, node.module or ""]).removesuffix(".")
            names = [f"{base}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            yield name, id(node) in for_types


def climbs(room: str, module: str) -> str | None:
    """What is wrong with a room importing this module of our own, if anything."""
    target = module.split(".")[1]
    if target == room or room == "__init__":
        return None
    if target not in FLOOR:
        return f"{room} imports {target}, which stands on no floor (or is a name of the front door)"
    if FLOOR[target] < FLOOR[room] or (room, target) in NEIGHBOURS:
        return None
    return f"{room} (floor {FLOOR[room]}) reaches for {target} (floor {FLOOR[target]})"


def problems(file: Path, source: str) -> list[str]:
    """Every rule of the house that a file, given by its path inside the package, breaks."""
    tree = ast.parse(source)
    room = room_of(file)
    if room not in FLOOR:
        return [f"{room} stands on no floor: give it one in FLOORS"]
    found: list[str] = []
    for name, types_only in imports(file, tree):
        top = name.split(".")[0]
        if top == "llm_edge":
            climb = climbs(room, name) if "." in name else f"{room} imports the front door"
            found += [climb] if climb else []
        if room not in ONLY_IN.get(top, {room}) and not (types_only and (room, top) in TYPES_ONLY):
            found.append(f"{room} imports {top}, which belongs to {', '.join(sorted(ONLY_IN[top]))}")
        if top in NEVER:
            found.append(f"{room} imports {top}: bytes from a store must never become code")
        if name in {"os.environ", "os.getenv", "os.environb", "os.getenvb"} and room not in READS_ENVIRONMENT:
            found.append(f"{room} reads the environment")
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"eval", "exec"}:
            found.append(f"{room} calls {node.func.id}")
        if isinstance(node, ast.Attribute) and ast.unparse(node).startswith(("os.environ", "os.getenv")):
            found += [] if room in READS_ENVIRONMENT else [f"{room} reads the environment"]
    return found


@pytest.mark.parametrize("file", [file.relative_to(ROOT) for file in FILES], ids=str)
def test_a_file_keeps_to_its_floor(file: Path) -> None:
    assert problems(file, (ROOT / file).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("policy/bucket.py", "from ..layers.cache import Cache"),
        ("policy/bucket.py", "def f():\n    from .. import layers"),
        ("policy/bucket.py", "from llm_edge.layers.cache import Cache"),
        ("policy/bucket.py", "import llm_edge.client"),
        ("policy/bucket.py", "import llm_edge"),
        ("policy/bucket.py", "from .. import EdgeClient"),
        ("policy/deep/er.py", "from ...layers import cache"),
        ("errors.py", "from .layers import cache"),
        ("errors.py", "from . import layers"),
        ("stores/disk.py", "from ..telemetry import names"),
        ("layers/cache.py", "import httpx"),
        ("layers/cache.py", "from httpx2 import Client"),
        ("layers/cache.py", "import redis.asyncio"),
        ("client.py", "import httpx2"),
        ("layers/cache.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import httpx2"),
        ("stores/redis.py", "import tenacity"),
        ("stores/disk.py", "import pickle"),
        ("stores/disk.py", "from marshal import loads"),
        ("stores/disk.py", "eval('1')"),
        ("layers/cache.py", "import os\nos.environ['A']"),
        ("layers/cache.py", "import os\nos.getenv('A')"),
        ("layers/cache.py", "from os import environ"),
        ("attic/box.py", "import os"),
    ],
)
def test_a_broken_rule_is_found(file: str, source: str) -> None:
    assert problems(Path(file), source)


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("policy/bucket.py", "from ..errors import EdgeError"),
        ("policy/bucket.py", "from .keys import key"),
        ("policy/bucket.py", "from . import keys"),
        ("policy/__init__.py", "from .keys import key"),
        ("policy/deep/er.py", "from ..keys import key"),
        ("message.py", "from .notes import Notes"),
        ("build.py", "from .config import EdgeConfig"),
        ("__init__.py", "from .client import EdgeClient"),
        ("http/_httpx.py", "import httpx"),
        ("client.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import httpx2"),
        ("config.py", "import os\nos.environ['A']"),
        ("policy/pii.py", "import re\nre.compile('a')"),
    ],
)
def test_an_allowed_import_is_not_a_problem(file: str, source: str) -> None:
    assert problems(Path(file), source) == []
