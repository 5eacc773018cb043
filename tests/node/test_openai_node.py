"""OpenAI's client for Node.js against the real server; run by `nox -s node`, which fetches it from npm."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

from llm_edge.testing import Provider, answer
from tests.serve.conftest import toml
from tests.serve.kit import running

HERE = Path(__file__).parent


def test_openai_for_node_is_answered(tmp_path: Path) -> None:
    folder = Path(os.environ["NODE_FOLDER"])  # where npm has put the package
    shutil.copy(HERE / "ask.mjs", folder)
    provider = Provider(answer("Paris."), models=("gpt-5.4-mini",))
    with provider.serve() as upstream, running(tmp_path, toml(upstream.url)) as process:
        done = subprocess.run(
            ["node", "ask.mjs", process.url], cwd=folder, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["whole"], told["streamed"], told["response"]) == ("Paris.", "Paris.", "Paris.")
    assert "fast" in told["models"]
    assert told["refused"] == ["NotFoundError", 404, "not_found"]
