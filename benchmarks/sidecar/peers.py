"""
Other gateways that serve over HTTP, where they are installed in the folder that `--peers` names:

    python -m venv DIR/litellm && DIR/litellm/bin/pip install 'litellm[proxy]'
    npm install --prefix DIR @portkey-ai/gateway
    python -m venv DIR/vllm-router && DIR/vllm-router/bin/pip install vllm-router
    DIR/tensorzero/gateway    TensorZero's, from wherever you have it: no registry has it as a program
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..peers import TENSORZERO
from ..provider import MODEL
from .servers import PATH, Server, free_port, started

_LITELLM = """
model_list:
  - model_name: bench
    litellm_params: {{model: openai/{model}, api_base: "{url}/v1", api_key: sk-bench}}
"""
_TENSORZERO = TENSORZERO.replace("[gateway]", '[gateway]\nbind_address = "127.0.0.1:{port}"')


def _portkey(url: str) -> dict[str, str]:
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{url}/v1", "authorization": "Bearer sk-bench"}


@dataclass(frozen=True, slots=True)
class Peer:
    """Another gateway, and how it is started."""

    name: str
    program: str
    """Where it is inside the folder."""
    options: Callable[[int, Path, str], list[str]]
    """Of its port, its file, and the provider's address."""
    config: str = ""
    file: str = "peer.json"
    """What its configuration must be called."""
    model: str = "bench"
    path: str = PATH
    headers: Callable[[str], Mapping[str, str]] = lambda url: {}
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    promised: bool = True
    """Whether we say that we are ahead of it; one that only passes calls on stands in the table without that."""

    @contextmanager
    def running(self, folder: Path | None, url: str, scratch: Path) -> Iterator[Server]:
        """The gateway, answering. Raises RuntimeError when it is not installed or does not start."""
        program = folder / self.program if folder is not None else None
        if program is None or not program.exists():
            raise RuntimeError("not installed")
        port, file = free_port(), scratch / self.file
        file.write_text(self.config.format(url=url, port=port, model=MODEL))
        with started(
            [str(program.resolve()), *self.options(port, file, url)], port, patience=180.0, env=dict(self.env)
        ) as process:
            yield Server(
                self.name, f"http://127.0.0.1:{port}", process,
                model=self.model, path=self.path, headers=dict(self.headers(url)),
            )  # fmt: skip


PEERS = (
    Peer(
        "litellm's proxy", "litellm/bin/litellm",
        lambda port, file, url: ["--config", str(file), "--host", "127.0.0.1", "--port", str(port)],
        _LITELLM, "config.yaml", env={
            "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR",
            "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",  # it starts for nobody without a key else
        },
    ),
    Peer(
        "Portkey's gateway", "node_modules/@portkey-ai/gateway/build/start-server.js",
        lambda port, file, url: ["--headless", f"--port={port}"], model=MODEL, headers=_portkey,
    ),
    Peer(
        "vLLM's router, in Rust", "vllm-router/bin/vllm-router",
        lambda port, file, url: ["--worker-urls", url, "--host", "127.0.0.1", "--port", str(port)],
        model=MODEL, promised=False,
    ),
    Peer(
        "TensorZero's gateway", "tensorzero/gateway", lambda port, file, url: ["--config-file", str(file)],
        _TENSORZERO, "tensorzero.toml", model="tensorzero::model_name::bench", path="/openai/v1/chat/completions",
    ),
)  # fmt: skip
"""TensorZero's takes two threads by itself, Portkey's is one process by design."""
