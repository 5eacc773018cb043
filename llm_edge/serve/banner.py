"""What is printed when the sidecar starts: where it is, what is on, how it is called."""

from __future__ import annotations

import os
from typing import Final

from ..client import EdgeClient

USUAL: Final = "edge.toml"


def banner(edge: EdgeClient, file: str | None) -> str:
    """A few lines for whoever started it, by this file of settings; no secret stands in them."""
    config, serve = edge.config, edge.config.serve
    scheme = "https" if serve.tls.cert_file else "http"
    host = f"[{serve.host}]" if ":" in serve.host else serve.host
    here = f"{scheme}://{'localhost' if host in {'0.0.0.0', '[::]'} else host}:{serve.port}"  # noqa: S104  only compared
    providers = ", ".join(edge.keyed) or "none yet: set OPENAI_API_KEY, ANTHROPIC_API_KEY or another provider's"
    model = next(iter(config.routes), "") or _example(edge)
    body = f'{{"model": "{model}", "messages": [{{"role": "user", "content": "Hi"}}]}}'
    shown = "$EDGE_KEY" if serve.auth.on else ""
    header = f" -H 'x-api-key: '\"{shown}\"" if shown else ""
    key = 'os.environ["EDGE_KEY"]' if shown else '"any"'
    lines = [
        f"llm_edge serves on {scheme}://{host}:{serve.port}",
        f"  settings   {file or _none_asked_for()}",
        f"  providers  {providers}",
        f"  routes     {', '.join(config.routes) or 'none'}",
        f"  callers    {'show a key or a token' if serve.auth.on else 'anybody who reaches this address'}",
        f"  cache      {config.cache.policy}",
        f"  limits     {', '.join(name for name, each in config.limits.items() if each.enabled) or 'none'}",
        f"  budgets    {', '.join(config.budgets) or 'none'}",
        f"  try it     curl {here}/v1/chat/completions{header} -H 'content-type: application/json' -d '{body}'",
        f'  OpenAI     OpenAI(base_url="{here}/v1", api_key={key})',
        f'  Anthropic  Anthropic(base_url="{here}", api_key={key})',
    ]
    return "\n".join(lines)


def _none_asked_for() -> str:
    """A file that somebody wrote, and that is not read, would be missed only when it counts."""
    return f"none; {USUAL} is read with --config {USUAL}" if os.access(USUAL, os.R_OK) else "none"


_EXAMPLES = {"openai": "gpt-5.4-mini", "anthropic": "claude-sonnet-5-5", "gemini": "gemini-3-flash"}


def _example(edge: EdgeClient) -> str:
    known = next((name for name in edge.keyed if name in _EXAMPLES), "openai")
    return f"{known}/{_EXAMPLES[known]}"
