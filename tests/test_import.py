"""Importing llm_edge does nothing: no file, socket, thread, process or environment variable is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent

# Loaded only when they are used: they are what would make the import slow.
LATER = [
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "pyreqwest",
    "httptools",
    "pydantic",
    "redis",
    "diskcache",
    "asyncio",
    "ssl",
]

# Runs in a new interpreter. Python's own import machinery may open files and list directories, and a module of the
# standard library may look at the environment when it is itself imported; nothing else may.
WATCH = """
import _thread, importlib, json, os, sys, sysconfig, threading

STANDARD = sysconfig.get_path("stdlib")
LOUD = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.system", "urllib.", "sqlite3.")
FILES = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.remove", "os.rename", "shutil.rmtree"}
seen = []
watching = False

def frames():
    frame = sys._getframe(1)
    while frame:
        if frame.f_code.co_filename != __file__:
            yield frame.f_code.co_filename
        frame = frame.f_back

def blamed():
    '''The first file outside the standard library on the way up to the import that is going on.'''
    for name in frames():
        if name.startswith("<frozen importlib"):
            return None
        if not name.startswith("<") and (not name.startswith(STANDARD) or "site-packages" in name):
            return name
    return None

def note(event, what):
    if watching:
        seen.append([event, repr(what), blamed()])

def watch(event, args):
    if event.startswith(LOUD) or (event in FILES and "importlib._bootstrap" not in next(frames(), "")):
        note(event, args)

def noted(start):
    def starting(*args, **kwargs):
        note("thread", args)
        return start(*args, **kwargs)
    return starting

threading.Thread.start = noted(threading.Thread.start)
_thread.start_new_thread = noted(_thread.start_new_thread)

class Environment(dict):
    def read(self, key):
        if blamed():
            note("environment", key)
    def __getitem__(self, key):
        self.read(key)
        return super().__getitem__(key)
    def get(self, key, default=None):
        self.read(key)
        return super().get(key, default)
    def __contains__(self, key):
        self.read(key)
        return super().__contains__(key)
    def __iter__(self):
        self.read("*")
        return super().__iter__()
    def keys(self):
        self.read("*")
        return super().keys()
    def items(self):
        self.read("*")
        return super().items()
    def copy(self):
        self.read("*")
        return super().copy()

os.environ = Environment(os.environ)
before = set(sys.modules)
sys.addaudithook(watch)
watching = True
for name in sys.argv[1:]:
    importlib.import_module(name)
watching = False
print(json.dumps({
    "seen": seen,
    "modules": sorted({name.split(".")[0] for name in set(sys.modules) - before}),
    "threads": len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else threading.active_count(),
}))
"""


@pytest.fixture
def importing(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Imports modules in a new interpreter and tells what happened."""
    script = tmp_path / "watch.py"

    def run(*modules: str) -> dict[str, Any]:
        script.write_text(WATCH)
        # Coverage started in the child would be seen doing its own work.
        quiet = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
        quiet["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(tmp_path)])
        done = subprocess.run(
            [sys.executable, "-B", str(script), *modules], capture_output=True, text=True, env=quiet, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def modules_of_the_package() -> list[str]:
    files = [file.relative_to(ROOT) for file in sorted((ROOT / "llm_edge").rglob("*.py"))]
    return [".".join(file.with_suffix("").parts) for file in files if file.name not in {"__init__.py", "__main__.py"}]


def test_importing_touches_nothing(importing: Callable[..., dict[str, Any]]) -> None:
    assert importing("llm_edge")["seen"] == []


def test_importing_starts_no_thread(importing: Callable[..., dict[str, Any]]) -> None:
    assert importing("llm_edge")["threads"] == 1


@pytest.mark.parametrize("library", LATER)
def test_importing_loads_no_library_before_it_is_used(library: str, importing: Callable[..., dict[str, Any]]) -> None:
    assert library not in importing("llm_edge")["modules"]


def test_a_client_without_settings_loads_nothing_that_reads_them(
    importing: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "an_app.py").write_text("from llm_edge import EdgeClient\nEdgeClient(env={})\n")
    loaded = importing("an_app")["modules"]
    assert "llm_edge" in loaded
    assert {"pydantic", "diskcache", "redis", "asyncio", "ssl"}.isdisjoint(loaded)


def test_the_pytest_plugin_loads_no_http_library(importing: Callable[..., dict[str, Any]]) -> None:
    """It is loaded in every pytest run of every project that has llm_edge installed."""
    loaded = importing("llm_edge.testing.plugin")["modules"]
    assert [library for library in loaded if "http" in library or library in {"pyreqwest", "pydantic", "redis"}] == []


def test_no_module_of_ours_does_anything_when_imported(importing: Callable[..., dict[str, Any]]) -> None:
    """The libraries we wrap may look around; code of ours may not."""
    seen = importing(*modules_of_the_package())["seen"]
    assert [what for what in seen if (what[2] or "").startswith(str(ROOT / "llm_edge"))] == []


@pytest.mark.parametrize(
    ("event", "source"),
    [
        ("open", "open(__file__).close()"),
        ("socket.__new__", "import socket; socket.socket().close()"),
        ("thread", "import threading; threading.Thread(target=print).start()"),
        ("environment", "import os; os.environ.get('HOME')"),
        ("environment", "import os; os.getenv('HOME')"),
        ("environment", "from os import environ; environ['HOME']"),
        ("environment", "from pathlib import Path; Path.home()"),
        ("environment", "import os; 'HOME' in os.environ"),
        ("environment", "import os; dict(os.environ)"),
        ("subprocess.Popen", "import subprocess, sys; subprocess.run([sys.executable, '-V'], capture_output=True)"),
    ],
)
def test_the_watch_sees_a_busy_import(
    event: str, source: str, tmp_path: Path, importing: Callable[..., dict[str, Any]]
) -> None:
    (tmp_path / "busy.py").write_text(source)
    seen = importing("busy")["seen"]
    assert event in [what[0] for what in seen]
