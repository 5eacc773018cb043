"""
The SDKs' own test suites, run twice: as they are, and over our transport with all layers off.

    python -m tests.sdks.suites [openai anthropic google-genai mistralai] [--work DIRECTORY]

Each test that ends differently over us is a fault of ours. Suites are those of the versions installed
here, from the source archives on the package index. Left out is what needs a server of theirs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Suite:
    """Where a suite stands in its archive, and how it is run."""

    package: str
    tests: str
    options: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    """Loaded before ours."""


SUITES = (
    # api_resources asks a mock server made from the provider's private API description.
    Suite("openai", "tests", ("--ignore=tests/api_resources",)),
    Suite("anthropic", "tests", ("--ignore=tests/api_resources",), ("tests._alias_httpx",)),
    # Nearly all of it replays recordings that are not in the archive; the client's own tests need none.
    Suite("google-genai", "google/genai/tests/client", ("--import-mode=importlib",)),
    Suite("mistralai", "src/mistralai/extra/tests"),
)


def fetched(suite: Suite, work: Path) -> Path:
    """The unpacked source archive of the version installed here."""
    version = importlib.metadata.version(suite.package)
    stem = f"{suite.package.replace('-', '_')}-{version}"
    home = work / stem
    if not home.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", suite.package]
        subprocess.run([*pip, "--dest", str(work), f"{suite.package}=={version}"], check=True)
        with tarfile.open(work / f"{stem}.tar.gz") as archive:
            archive.extractall(work, filter="data")
    return home


def run(suite: Suite, home: Path, *, over: bool, only: list[str] | None = None) -> dict[str, str]:
    """How each test ended, by its name."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        plugins = [*suite.plugins, *(["over_edge"] if over else [])]
        command = [sys.executable, "-m", "pytest", "-q", "-o", "addopts=", "-p", "no:llm_edge", "--timeout=60"]
        command += [part for plugin in plugins for part in ("-p", plugin)]
        command += ["--junitxml", str(report), "-o", "junit_family=xunit1", *suite.options]
        command += only if only is not None else ["-n", "2", suite.tests]
        path = os.pathsep.join([str(HERE), str(home), os.environ.get("PYTHONPATH", "")])
        environment = {**os.environ, "PYTHONPATH": path.rstrip(os.pathsep)}
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
        if not report.exists():
            sys.exit(f"{suite.package}: its tests did not run\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
        return outcomes(report)


def outcomes(report: Path) -> dict[str, str]:
    ended: dict[str, str] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        worse = [child.tag for child in case if child.tag in ("failure", "error", "skipped")]
        name = f"{case.get('file')}::{case.get('classname')}::{case.get('name')}"
        if ended.get(name) in (None, "passed"):  # a test that failed and then its tear-down too is told twice
            ended[name] = worse[0] if worse else "passed"
    return ended


def different(plain: dict[str, str], over: dict[str, str]) -> list[str]:
    return sorted(name for name in plain.keys() | over.keys() if plain.get(name) != over.get(name))


def compared(suite: Suite, work: Path) -> bool:
    """Print how the suite went; whether it went alike."""
    home = fetched(suite, work)
    plain, over = run(suite, home, over=False), run(suite, home, over=True)
    unlike = different(plain, over)
    if unlike:
        # Some are not steady by themselves: those files once more, each way, with nothing beside them.
        files = sorted({name.partition("::")[0] for name in unlike})
        again, again_over = run(suite, home, over=False, only=files), run(suite, home, over=True, only=files)
        steady = set(different(again, again_over))
        unlike = [name for name in unlike if name in steady]
    for how, ended in (("as it is", plain), ("over us", over)):
        told = ", ".join(f"{count} {what}" for what, count in sorted(Counter(ended.values()).items()))
        print(f"{suite.package:14}{how:10}{told}")
    for name in unlike:
        print(f"  differs: {name}: {plain.get(name)} as it is, {over.get(name)} over us")
    return not unlike


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.sdks.suites", description=__doc__)
    parser.add_argument("packages", nargs="*", help="which; all of them without a word")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "llm_edge-sdk-suites")
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    chosen = [suite for suite in SUITES if not asked.packages or suite.package in asked.packages]
    alike = [compared(suite, asked.work) for suite in chosen]
    return 0 if all(alike) else 1


if __name__ == "__main__":
    sys.exit(main())
