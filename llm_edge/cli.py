"""The `llm-edge` command. It prints and exits; what it knows, it asks of the library."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from .errors import ConfigError, InvalidRequest

GOOD, FAILED, BAD, STOPPED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Runs one command and gives the exit code: 0 when all is well, 1 when calls failed, 2 when it cannot begin."""
    options = _parser().parse_args(arguments)
    env = os.environ if env is None else env
    try:
        if options.command == "serve":
            from .serve.__main__ import serve

            return serve(options)
        if options.command == "keys":
            from .serve.keys_command import lines

            print("\n".join(lines(options, env)))
            return GOOD
        if options.command == "spend":
            return _spend(options)
        if options.command == "map":
            return _map(options, env)
        if options.command == "doctor":
            return _doctor(options, env)
        return _check(options.file, options.environment, env, options.without_secrets)
    except (ConfigError, InvalidRequest) as error:
        print(f"llm-edge: {error}", file=sys.stderr)
        return BAD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llm-edge", description="An LLM gateway inside the app's own process.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="check a configuration and print what it comes to, secrets hidden",
        description="Checks a configuration file together with the variables around it, and prints every setting,"
        " with secrets hidden and with the place of each one that is not a default.",
    )
    check.add_argument("file", nargs="?", default="edge.toml", help="the file to check (default: edge.toml)")
    check.add_argument("--environment", metavar="NAME", help="the environment to check (default: $LLM_EDGE_ENV)")
    check.add_argument(
        "--without-secrets", action="store_true", help="do not follow env: and file:, for machines without the secrets"
    )
    _add_doctor(commands)
    _add_map(commands)
    spend = commands.add_parser(
        "spend", help="add up a usage log: who spent what", description="Adds up a usage log: who spent what."
    )
    spend.add_argument("file", nargs="?", default="usage.jsonl", help="the usage log (default: usage.jsonl)")
    spend.add_argument(
        "--by", default="tenant", choices=["tenant", "key", "user", "route", "model", "target", "day"],
        help="whose sums (default: tenant)",
    )  # fmt: skip
    spend.add_argument("--json", action="store_true", help="print JSON")
    from .serve import keys_command
    from .serve.__main__ import add_options

    keys_command.add_options(commands)
    add_options(
        commands.add_parser("serve", help="run the sidecar", description="Serves the gateway over HTTP until stopped.")
    )
    return parser


def _add_map(commands: Any) -> None:  # argparse keeps the type to itself
    bulk = commands.add_parser(
        "map",
        help="ask every request of a JSONL file, and go on where an earlier run ended",
        description="Asks every request of a JSONL file and writes one line for each answer, as OpenAI's batches do."
        " Run again, it asks only for what is not answered yet.",
    )
    bulk.add_argument("requests", help='lines such as {"model": ..., "messages": [...]}, or those of OpenAI\'s batches')
    bulk.add_argument("answers", help="where the answers go; answers that stand there are not asked for again")
    bulk.add_argument("--config", metavar="FILE", help="the configuration (default: variables and defaults)")
    bulk.add_argument("--concurrency", type=int, default=16, metavar="N", help="calls at once (default: 16)")
    bulk.add_argument("--rpm", type=float, metavar="N", help="calls begun per minute, at most")
    bulk.add_argument("--quiet", action="store_true", help="show no bar")


def _add_doctor(commands: Any) -> None:  # argparse keeps the type to itself
    doctor = commands.add_parser(
        "doctor",
        help="ask each provider one tiny question and say what is wrong",
        description="Asks each provider that is configured, or has a key in its variable, one tiny question: whether"
        " the key is taken, the model known, streaming works, the clocks agree, and what stands between. It costs a"
        " few tokens each.",
    )
    doctor.add_argument("file", nargs="?", help="the configuration (default: edge.toml, where there is one)")
    doctor.add_argument("--environment", metavar="NAME", help="the environment to use (default: $LLM_EDGE_ENV)")
    doctor.add_argument(
        "--provider", action="append", default=[], metavar="NAME", help="only this one; may be repeated"
    )
    doctor.add_argument(
        "--model", action="append", default=[], metavar="PROVIDER/MODEL",
        help="the model to ask for, in place of the one that routes name; may be repeated",
    )  # fmt: skip
    doctor.add_argument("--every", action="store_true", help="ask for every model that a route names")
    doctor.add_argument("--json", action="store_true", help="print JSON")


def _map(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    from .bulk.lines import lines
    from .client import EdgeClient

    edge = EdgeClient.from_file(options.config, env) if options.config else EdgeClient.from_env(env)
    requests = lines(options.requests)
    answered = failed = 0
    with edge:
        try:
            for result in edge.map(
                requests, concurrency=options.concurrency, rpm=options.rpm, ordered=False,
                resume=options.answers, progress=not options.quiet,
            ):  # fmt: skip
                answered += result.error is None
                failed += result.error is not None
        except KeyboardInterrupt:
            print(f"llm-edge: stopped after {answered} answers; run it again to go on", file=sys.stderr)
            return STOPPED
    print(f"{answered} answered, {failed} failed", file=sys.stderr)
    return FAILED if failed else GOOD


def _spend(options: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict
    from pathlib import Path

    from .money.spend import read, summed, table

    rows = summed(read(Path(options.file)), options.by)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print("\n".join(table(rows, options.by)))
    return GOOD


def _check(file: str, environment: str | None, env: Mapping[str, str], without_secrets: bool) -> int:
    from .config import EdgeConfig, resolve
    from .config.trees import Path
    from .config.writer import to_toml
    from .providers.table import key_env, setting_env

    config = EdgeConfig.load(file, env=env, environment=environment)
    if not without_secrets:
        for unused in resolve(config, env, key_env(), setting_env()).unusable.values():
            print(f"llm-edge: {unused} Nothing here uses it yet.", file=sys.stderr)

    def place(path: Path) -> str:
        found = config.place(path)
        return "" if found == "default" else found

    print(to_toml(config, note=place), end="")
    return GOOD


def _doctor(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    from pathlib import Path

    from .config import EdgeConfig
    from .doctor.examine import examine
    from .doctor.findings import as_json, as_text

    file = options.file or ("edge.toml" if Path("edge.toml").is_file() else None)
    config = EdgeConfig.load(file, env=env, environment=options.environment)
    found = examine(config, env, only=options.provider, models=options.model, every=options.every)
    told = as_json(found)
    if options.json:
        import json

        print(json.dumps(told, indent=2))
    else:
        print("\n".join(as_text(found)))
    return GOOD if told["well"] else FAILED
