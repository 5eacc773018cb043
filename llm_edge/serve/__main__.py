"""`python -m llm_edge.serve`, which is `llm-edge serve`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from ..errors import ConfigError

GOOD, BAD = 0, 2


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("--config", metavar="FILE", help="the configuration, an edge.toml (default: none)")
    parser.add_argument("--environment", metavar="NAME", help="the environment (default: $LLM_EDGE_ENV)")
    parser.add_argument("--host", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", help="the port to listen on (default: 8080)")
    parser.add_argument("--workers", help="processes that answer (default: 1)")
    parser.add_argument(
        "--share-port",
        action="store_true",
        default=None,
        help="listen where another sidecar does, which is to be stopped when this one answers",
    )
    parser.add_argument(
        "--reload-config",
        action="store_true",
        help="reload when the configuration or a certificate changes, as SIGHUP does",
    )


def serve(options: argparse.Namespace) -> int:
    """Serves until told to stop; gives the exit code."""
    try:
        from . import certificates
        from .banner import banner
        from .run import Plan, Server, check, claim, serve_logs, share_counts
    except ImportError as error:
        print(f"llm-edge: the sidecar needs more packages ({error}): pip install 'llm_edge[serve]'", file=sys.stderr)
        return BAD
    named = ("host", "port", "workers", "share_port")
    given = {name: value for name in named if (value := getattr(options, name)) is not None}
    plan = Plan(options.config, options.environment, {"serve": given} if given else None)
    try:
        with share_counts(plan.config()):
            edge = plan.edge()
            check(edge.config)
            claim(edge.config)
            server = Server(plan, edge.config.serve)
            words = banner(edge, options.config)
            serve_logs(edge)
            certificates.warn(edge.config.serve.tls)
            edge.close()
            print(words, flush=True)
            server.run(watch=options.reload_config)
    except ConfigError as error:
        print(f"llm-edge: {error}", file=sys.stderr)
        return BAD
    return GOOD


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m llm_edge.serve", description="The gateway over HTTP.")
    add_options(parser)
    return serve(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
