"""`llm-edge import`: another gateway's configuration as an `edge.toml`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .codes import BAD, GOOD


def add(commands: Any) -> None:
    """The options of the command."""
    imports = commands.add_parser(
        "import",
        help="write another gateway's configuration as an edge.toml",
        description="Reads a configuration of LiteLLM's proxy (YAML) or of Portkey's gateway (JSON), and writes what it"
        " comes to. What could not be carried over is listed. Secrets are never written: they become variables.",
    )
    imports.add_argument("file", help="a LiteLLM config.yaml, or a Portkey config.json")
    imports.add_argument("--kind", choices=("litellm", "portkey"), help="whose it is (default: what it looks like)")
    imports.add_argument("--out", metavar="FILE", help="where it is written (default: standard output)")
    imports.add_argument("--force", action="store_true", help="write over a file that is there")
    imports.add_argument(
        "--route", default="portkey", metavar="NAME", help="the model name of a Portkey config (default: portkey)"
    )


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Reads, writes and lists."""
    try:
        import yaml

        from ..importing import from_litellm, from_portkey
    except ImportError as error:
        print(f"llm-edge: importing needs more packages ({error}): pip install 'llm_edge[import]'", file=sys.stderr)
        return BAD
    try:
        document: Any = yaml.safe_load(Path(options.file).read_text(encoding="utf-8"))  # JSON is YAML, too
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        print(f"llm-edge: {options.file}: cannot be read: {_brief(error)}", file=sys.stderr)
        return BAD
    kind = options.kind or _looks_like(document)
    if not kind:
        print(f"llm-edge: {options.file}: looks like neither; say --kind litellm or --kind portkey", file=sys.stderr)
        return BAD
    found = from_litellm(document) if kind == "litellm" else from_portkey(document, options.route)
    text = found.text()
    if options.out is None:
        print(text, end="")
    elif Path(options.out).exists() and not options.force:
        print(f"llm-edge: {options.out}: is there already; --force writes over it", file=sys.stderr)
        return BAD
    else:
        Path(options.out).write_text(text, encoding="utf-8")
    for title, lines in (("See to this:", found.remarks), ("Not carried over:", found.lost)):
        if lines:
            print(title, *[f"  {line}" for line in lines], sep="\n", file=sys.stderr)
    return GOOD


def _looks_like(document: Any) -> str:
    if not isinstance(document, dict):
        return ""
    if document.keys() & {"model_list", "litellm_settings", "router_settings", "general_settings"}:
        return "litellm"
    return "portkey" if document.keys() & {"targets", "strategy", "provider", "virtual_key", "virtualKey"} else ""


def _brief(error: Exception) -> str:
    """What is wrong and where; never a line of the file, which may hold secrets."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'not YAML'}"
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else type(error).__name__
