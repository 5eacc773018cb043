"""Who spent what, from a file that outlives its process."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from llm_edge import ConfigError, EdgeClient
from llm_edge.cli import main
from llm_edge.message import Body, Controls, Request
from llm_edge.money.spend import MOST, UsageLog, read, summed
from llm_edge.runtime import FakeClock
from llm_edge.testing import Provider, answer, status, stream

from ..conftest import Colour

Edges = Callable[..., EdgeClient]
USED = {"prompt_tokens": 1000, "completion_tokens": 100}


@pytest.fixture
def edge(edges: Edges, provider: Provider, tmp_path: Path) -> EdgeClient:
    return edges(
        providers={"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "sk-secret-value"}},
        prices={"models": {"gpt/m": {"input": 2.5, "output": 10}}},
        telemetry={"usage_log": str(tmp_path / "usage.jsonl")}, retry={"attempts": 1},
    )  # fmt: skip


def test_every_call_leaves_a_line(
    colour: Colour, edge: EdgeClient, provider: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.script(answer("a private answer", usage=USED), stream("a", usage=USED), status(400))
    colour.chat(edge, "gpt/m", "a private question", edge={"tenant": "acme"})
    colour.chat(edge, "gpt/m", "a private question", edge={"tenant": "acme"})
    colour.items(colour.finish((edge.chat if colour.name == "sync" else edge.achat)("gpt/other", "Hi", stream=True)))
    with pytest.raises(Exception, match="400"):
        colour.chat(edge, "gpt/m", "bad")
    file = tmp_path / "usage.jsonl"
    text = file.read_text()
    assert [json.loads(line)["nano_usd"] for line in text.splitlines()] == [3_500_000, 0, None, 0]
    assert "private" not in text
    assert "sk-secret" not in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    rows = {row.name: row for row in summed(read(file), "tenant")}
    assert (rows["acme"].calls, rows["acme"].hits, rows["acme"].usd) == (2, 1, 0.0035)
    assert (rows[""].calls, rows[""].failed, rows[""].unpriced) == (2, 1, 1)
    assert main(["spend", str(file), "--by", "model"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["model", "calls", "hits", "failed", "input", "output", "usd", "unpriced"]
    assert shown[1].split()[:2] == ["gpt/m", "3"]
    assert main(["spend", str(file), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "acme"


CHILD = """
import sys
from llm_edge import EdgeClient
url, path = sys.argv[1:]
edge = EdgeClient(
    providers={"gpt": {"kind": "openai", "base_url": url + "/v1", "api_key": "k"}}, env={},
    telemetry={"usage_log": path}, cache={"policy": "off"},
)
for number in range(10**6):
    print(edge.chat("gpt/m", f"{number}").request_id, flush=True)
"""


def test_the_log_of_a_killed_process_holds_every_call_that_ended(provider: Provider, tmp_path: Path) -> None:
    provider.script(answer("Hi"))
    file = tmp_path / "usage.jsonl"
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), provider.url, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    ended = [child.stdout.readline().strip() for _ in range(20)]
    child.send_signal(signal.SIGKILL)
    ended += [line.strip() for line in child.stdout if line.endswith("\n")]
    child.stdout.close()
    child.wait()
    assert set(ended) <= {each["id"] for each in read(file)}


def over(log: UsageLog, **fields: object) -> None:
    log.over(Request(body=Body(b"{}"), **fields), None)  # type: ignore[arg-type]  # fields of Request, as given here


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    file = tmp_path / "usage.jsonl"
    log = UsageLog(file, FakeClock())
    over(log, model="a")
    with file.open("ab") as other:
        other.write(b'{"model": "tor')
    log._torn = True
    over(log, model="b")
    log.close()
    log.close()
    assert [each["model"] for each in read(file)] == ["a", "b"]


def test_a_log_that_cannot_be_written_is_told_once_and_costs_nobody_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = UsageLog(tmp_path / "nowhere" / "usage.jsonl", FakeClock())
    over(log)
    over(log)
    assert [record.getMessage() for record in caplog.records] == [
        "the usage log cannot be written: No such file or directory"
    ]


def test_a_link_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "target").write_text("")
    (tmp_path / "usage.jsonl").symlink_to(tmp_path / "target")
    over(UsageLog(tmp_path / "usage.jsonl", FakeClock()))
    assert (tmp_path / "target").read_text() == ""
    assert "cannot be written" in caplog.text


def test_sums_go_by_what_is_asked_and_stay_bounded(tmp_path: Path) -> None:
    file = tmp_path / "usage.jsonl"
    log = UsageLog(file, FakeClock())
    over(log, model="m", controls=Controls(tenant="t", user="u"), scope="k")
    log.close()
    names = {by: summed(read(file), by)[0].name for by in ("tenant", "user", "key", "model", "route")}  # type: ignore[arg-type]  # each is a By
    assert names == {"tenant": "t", "user": "u", "key": "k", "model": "m", "route": ""}
    assert len(summed(({"tenant": str(number)} for number in range(2 * MOST)), "tenant")) == MOST + 1
    with pytest.raises(ConfigError, match="by: 'colour' is none"):
        summed([], "colour")  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(ConfigError, match="cannot be read"):
        list(read(tmp_path / "none"))
    assert main(["spend", str(tmp_path / "none")]) == 2


def test_forked_children_write_to_the_same_file(tmp_path: Path) -> None:
    log = UsageLog(tmp_path / "usage.jsonl", FakeClock())
    over(log, model="parent")
    pid = os.fork()
    if pid == 0:
        over(log, model="child")
        os._exit(0)
    os.waitpid(pid, 0)
    log.close()
    assert [each["model"] for each in read(tmp_path / "usage.jsonl")] == ["parent", "child"]
