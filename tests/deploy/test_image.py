"""What the Dockerfile says, done here: a fresh environment, started by its CMD, asked by its HEALTHCHECK."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from llm_edge import cli
from llm_edge.testing import Provider, answer

from ..ports import free_port
from ..serve.kit import ROOT
from .test_files import copied, dockerfile, last_stage


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment like the image's; dependencies come from where the tests run."""
    home, wheels, sources = (tmp_path_factory.mktemp(name) for name in ("app", "wheels", "src"))
    for name in copied():
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, sources / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, sources)
    build = [sys.executable, "-m", "flit_core.wheel", str(sources), "--outdir", str(wheels)]
    subprocess.run(build, check=True, cwd=wheels)
    venv.create(home, with_pip=False)
    programs = home / ("Scripts" if os.name == "nt" else "bin")
    [wheel] = wheels.iterdir()
    pip = [sys.executable, "-m", "pip", "--python", str(programs / "python"), "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel)], check=True, cwd=home)
    [packages] = home.glob("lib/python*/site-packages")
    places = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    (packages / "dependencies.pth").write_text("\n".join(places))
    return programs


def command(word: str) -> list[str]:
    given = last_stage()[word]
    listed: list[str] = json.loads(given[given.index("[") :])
    return listed


@pytest.fixture(scope="module")
def container(programs: Path) -> Iterator[dict[str, str]]:
    """The sidecar as the image starts it, with what `docker run` would be given; its environment."""
    provider = Provider(models=("gpt-5.4-mini",)).script(answer("Hello!"))
    with provider.serve() as server:
        env = {
            "PATH": f"{programs}:/usr/bin:/bin", "HOST": "0.0.0.0", "PORT": str(free_port()), "API_KEYS": "k" * 24,
            "OPENAI_API_KEY": "sk-house", "LLM_EDGE__PROVIDERS__OPENAI__BASE_URL": f"{server.url}/v1",
        }  # fmt: skip
        asked = [*command("ENTRYPOINT"), *command("CMD")]
        with subprocess.Popen([programs / asked[0], *asked[1:]], env=env, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()
            yield env
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def checked(env: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    program, *rest = command("HEALTHCHECK")
    found = Path(env["PATH"].partition(":")[0]) / program
    return subprocess.run([found, *rest, *more], env=env, capture_output=True, text=True, check=False, timeout=60)


def test_the_image_serves_and_says_that_it_is_healthy(container: dict[str, str]) -> None:
    said = subprocess.CompletedProcess[str]([], 1)
    for _ in range(100):  # what Docker calls the start period
        said = checked(container)
        if said.returncode == 0:
            break
    assert json.loads(said.stdout) == {"status": "ok"}
    asked = subprocess.run(
        [Path(container["PATH"].partition(":")[0]) / "python", "-c", ASK],
        env=container, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Hello!" in asked.stdout


ASK = """
import json, os, urllib.request
body = json.dumps({"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": "Hi"}]}).encode()
headers = {"content-type": "application/json", "x-api-key": os.environ["API_KEYS"]}
address = f"http://127.0.0.1:{os.environ['PORT']}/v1/chat/completions"
print(urllib.request.urlopen(urllib.request.Request(address, body, headers)).read().decode())
"""


def test_where_nobody_answers_it_is_not_healthy(programs: Path) -> None:
    said = checked({"PATH": str(programs), "PORT": str(free_port())})
    assert said.returncode == 1
    assert "nobody answers at 127.0.0.1" in said.stderr


@pytest.mark.parametrize(
    ("env", "where"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"PORT": "9000"}, "http://127.0.0.1:9000"),
        ({"SERVER_ADDRESS": "0.0.0.0:7000"}, "http://127.0.0.1:7000"),
        ({"TLS_CERT_PATH": "/c.pem"}, "https://127.0.0.1:8080"),
        ({"TLS_CERT_PATH": "/c.pem", "ENABLE_TLS": "false"}, "http://127.0.0.1:8080"),
    ],
)
def test_it_asks_where_the_sidecar_would_be(env: dict[str, str], where: str) -> None:
    from llm_edge.commands.health import here

    assert here(env) == where


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:1", "http://127.0.0.1:port", "https://127.0.0.1:1"])
def test_an_address_that_is_none_is_said(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["health", "--url", url, "--timeout", "1"], {}) == 1
    assert capsys.readouterr().err


def test_the_image_installs_what_the_sidecar_needs() -> None:
    steps = dict(dockerfile())
    assert steps["ARG"]
    [extras] = [value for word, value in dockerfile() if word == "ARG" and value.startswith("EXTRAS=")]
    assert "serve" in extras.partition("=")[2].split(",")
    [install] = [value for word, value in dockerfile() if word == "RUN"]
    assert '".[${EXTRAS}]"' in install
