"""Imports go down the stairs, never up; and a few parts are known to one room only."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "llm_edge"
FILES = sorted(ROOT.rglob("*.py"))

FLOORS: list[set[str]] = [
    {"__version__"},  # a word of the front door's, and no room
    {"message", "stream", "notes", "runtime", "signals", "driving", "homes", "alarms", "exact", "lasting", "story"},
    {"errors"},
    {"policy"},
    {"providers", "stores", "telemetry", "money"},
    {"layers", "reply"},
    {"http"},
    {"config", "clouds", "targets", "build", "answers", "breakers", "choosing", "places", "limits", "budgets"},
    {
        "accounting",
        "bulk",
        "chains",
        "client",
        "direct",
        "given",
        "hearing",
        "inside",
        "tools",
        "serve",
        "testing",
        "doctor",
        "importing",
        "transports",
        "under_sdks",
        "httpx",
    },
    {"commands"},
    {"cli"},
    {"__init__", "__main__"},
]
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# Rooms on one floor do not know each other, but for these.
NEIGHBOURS = {
    ("message", "notes"),
    ("message", "stream"),
    ("message", "exact"),
    ("notes", "story"),
    ("notes", "signals"),  # its types
    ("story", "notes"),  # its types
    ("runtime", "signals"),
    ("runtime", "driving"),
    ("runtime", "homes"),
    ("runtime", "alarms"),
    ("homes", "driving"),
    ("targets", "config"),
    ("targets", "clouds"),
    ("clouds", "config"),
    ("build", "config"),
    ("build", "breakers"),
    ("breakers", "config"),
    ("build", "choosing"),
    ("build", "places"),
    ("places", "breakers"),
    ("places", "config"),
    ("choosing", "config"),
    ("choosing", "targets"),
    ("build", "targets"),
    ("build", "limits"),
    ("build", "budgets"),
    ("budgets", "config"),
    ("build", "answers"),
    ("answers", "config"),
    ("limits", "config"),
    ("places", "targets"),
    ("doctor", "client"),
    ("client", "direct"),
    ("client", "bulk"),  # inside `map` and `amap`
    ("serve", "client"),
    ("client", "tools"),
    ("client", "accounting"),
    ("transports", "client"),
    ("httpx", "client"),
    ("client", "given"),
    ("client", "inside"),
    ("client", "chains"),  # its types
    ("inside", "given"),
    ("inside", "chains"),
    ("inside", "direct"),
    ("inside", "hearing"),
    ("client", "under_sdks"),
    ("under_sdks", "transports"),  # inside `http_client`, which makes one
    ("under_sdks", "httpx"),
    ("under_sdks", "client"),  # its type
}

# A part that one room wraps for all the others.
ONLY_IN = {
    "httpx": {"http", "testing", "httpx"},  # `llm_edge.httpx` and `llm_edge.transports` are the public names
    "httpx2": {"http", "testing", "transports"},  # of what http/ holds
    "httpcore": {"http", "testing"},
    "httpcore2": {"http", "testing"},
    "pyreqwest": {"http", "testing"},
    "httptools": {"http"},
    "redis": {"stores"},
    "botocore": {"clouds"},
    "diskcache": {"stores"},
    "moka_py": {"stores"},
    "numpy": {"stores"},
    "tenacity": {"layers", "reply"},
    "azure": {"clouds"},
    "google": {"clouds"},
    "aiolimiter": {"bulk"},
    "starlette": {"serve"},
    "granian": {"serve"},
}
# `EdgeClient.http_client` gives these out: imported there and for type checkers, never with the module.
LATE = {("client", "httpx"), ("client", "httpx2"), ("under_sdks", "httpx"), ("under_sdks", "httpx2")}
# What a user would write comes in by the front door, like a user's.
USERS = {Path("testing/quickstart.py")}

NEVER = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve"}
READS_ENVIRONMENT = {"config", "client", "cli", "serve", "testing"}


def room_of(file: Path) -> str:
    return file.parts[0].removesuffix(".py")


def imports(file: Path, tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """Each imported module by its full name, and whether importing the file leaves it alone."""
    late = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        or (isinstance(node, ast.If) and ast.unparse(node.test).removeprefix("typing.") == "TYPE_CHECKING")
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
            yield name, id(node) in late


def climbs(file: Path, module: str) -> str | None:
    """What is wrong with a file importing this module of our own, if anything."""
    room, target = room_of(file), module.partition(".")[2].split(".")[0]
    if room in {"__init__", target} or (file in USERS and target not in FLOOR):
        return None
    if target not in FLOOR:
        return f"{room} imports {target or 'the front door'}, which stands on no floor below"
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
    for name, late in imports(file, tree):
        top = name.split(".")[0]
        if top == "llm_edge":
            climb = climbs(file, name)
            found += [climb] if climb else []
        if room not in ONLY_IN.get(top, {room}) and not (late and (room, top) in LATE):
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
        ("httpx.py", "import httpx2"),
        ("transports.py", "import httpx"),
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
        ("client.py", "def http_client():\n    import httpx2"),
        ("testing/quickstart.py", "from llm_edge import EdgeClient"),
        ("config.py", "import os\nos.environ['A']"),
        ("policy/pii.py", "import re\nre.compile('a')"),
    ],
)
def test_an_allowed_import_is_not_a_problem(file: str, source: str) -> None:
    assert problems(Path(file), source) == []
