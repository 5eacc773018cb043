"""
Runs the Python examples of one page, as a reader would: `python -m tests.docs.run_page README.md`.

Each example is a file of its own, run as a program in an empty folder, with the page's titled TOML blocks beside it.
All providers' public addresses lead to a scripted one on loopback. Prints what went wrong, and exits with 1 then.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from llm_edge.testing import Provider, answer, status, stream, tool_call
from llm_edge.testing.call import Call
from llm_edge.testing.provider import Script
from llm_edge.testing.steps import Step

from .examples import ROOT, Example, examples
from .loopback_internet import loopback_internet

PRINTS = "prints"
"""The title of a text block that shows what the example before it prints."""

KEYS = {
    name: f"scripted-{name.split('_')[0].lower()}"
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "MISTRAL_API_KEY", "GROQ_API_KEY")
}


def _everyday(call: Call) -> Step:
    return stream("Par", "is.") if call.streamed else answer("Paris.")


def _down(*hosts: str) -> Callable[[Call], Step]:
    return lambda call: status(503) if call.headers.get("host") in hosts else _everyday(call)


def _tools(call: Call) -> Step:
    return answer(tool_calls=[tool_call("weather", {"city": "Oslo"})]) if call.field("tools") else _everyday(call)


SCENES: dict[str, list[Script]] = {
    "": [_everyday],
    "openai-down": [_down("api.openai.com")],
    "everything-down": [status(503)],
    "busy-once": [status(429, headers={"retry-after": "0"}), _everyday],
    "wrong-key": [status(401)],
    "cut": [stream("Par", "is.").cut(after_events=2)],
    "tools": [_tools],
    "json": [answer('{"city": "Paris"}')],
}


def run(example: Example, shown: str, folder: Path) -> str:
    """What went wrong; empty when all is well. `shown` is what the page shows it to print, beside its comments."""
    file = folder / f"example_{example.line}.py"
    file.write_text(example.text)
    if "def test_" in example.text:
        return _as_tests(file)
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            runpy.run_path(str(file), run_name="__main__")
    except BaseException:
        return f"{traceback.format_exc(limit=-6)}\nIt had printed:\n{out.getvalue()}"
    position = 0
    for said in example.printed:
        found = out.getvalue().find(said, position)
        if found < 0:
            return f"The page says that it prints {said!r}. It printed:\n{out.getvalue()}"
        position = found + len(said)
    if shown and _bare(shown) not in _bare(out.getvalue()):
        return f"The page shows that it prints\n{shown}It printed:\n{out.getvalue()}"
    return ""


def _bare(text: str) -> str:
    """A text without what differs from run to run: numbers, ids, the spaces that line them up."""
    return re.sub(r"\b[0-9a-f]{32}\b|\d+(\.\d+)?|[ \t]+", "~", text)


def _as_tests(file: Path) -> str:
    named = file.rename(file.with_name(f"test_{file.name}"))
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "llm_edge.testing.plugin",
        "--rootdir",
        str(file.parent),
        str(named),
    ]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def main(page: Path) -> int:
    provider = Provider()
    wrong: list[str] = []
    with tempfile.TemporaryDirectory() as scratch, loopback_internet(provider, Path(scratch)) as variables:
        os.environ.update(variables, **KEYS)
        folder = Path(scratch) / "app"
        folder.mkdir()
        os.chdir(folder)
        blocks = examples(page, "python", "toml", "text")
        for example, following in zip(blocks, [*blocks[1:], None], strict=True):
            if example.language == "toml":
                (folder / (example.title or "unnamed.toml")).write_text(example.text)
            if example.language != "python":
                continue
            provider.script(*SCENES[example.scene])
            shown = following.text if following is not None and following.title == PRINTS else ""
            if fault := run(example, shown, folder):
                wrong.append(f"--- {example.place}\n{fault}")
        os.chdir(ROOT)
    print("\n".join(wrong))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main((ROOT / sys.argv[1]).resolve()))
