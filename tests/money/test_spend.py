"""Who spent what, from memory, and from logs that outlive their process."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge import ConfigError, EdgeClient
from llm_edge.cli import main
from llm_edge.message import Body, Controls, Request
from llm_edge.money.spend import MOST, Question, asked, iso, moment, summed
from llm_edge.money.tab import Tab
from llm_edge.money.usage_log import Lines, UsageLog, read
from llm_edge.notes import Notes
from llm_edge.runtime import FakeClock
from llm_edge.testing import Provider, answer, status, stream
from tests.forks import in_child

from ..conftest import Colour

Edges = Callable[..., EdgeClient]
USED = {"prompt_tokens": 1000, "completion_tokens": 100}
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC).timestamp()
NOON_OF_NOWHERE = datetime(2026, 11, 21, 12)  # noqa: DTZ001  as apps write it
LOGS = ["usage.jsonl", "usage.db"]


@pytest.fixture(params=LOGS)
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path: Path = tmp_path / request.param
    return path


@pytest.fixture
def make(edges: Edges, provider: Provider) -> Callable[..., EdgeClient]:
    def made(**sections: Any) -> EdgeClient:
        return edges(**{
            "providers": {"gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "sk-secret-value"}},
            "prices": {"models": {"gpt/m": {"input": 2.5, "output": 10}}}, "retry": {"attempts": 1}, **sections,
        })  # fmt: skip

    return made


def day_of_work(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    """Two calls of acme's, one of them from the cache; a stream without a price; a call that fails."""
    provider.script(answer("a private answer", usage=USED), stream("a", usage=USED), status(400))
    colour.chat(edge, "gpt/m", "a private question", edge={"tenant": "acme", "user": "ada"})
    colour.chat(edge, "gpt/m", "a private question", edge={"tenant": "acme", "user": "ada"})
    colour.items(colour.finish((edge.chat if colour.name == "sync" else edge.achat)("gpt/other", "Hi", stream=True)))
    with pytest.raises(Exception, match="400"):
        colour.chat(edge, "gpt/m", "bad")


def spend(colour: Colour, edge: EdgeClient, *given: Any, **named: Any) -> Any:
    return colour.finish((edge.spend if colour.name == "sync" else edge.aspend)(*given, **named))


@pytest.mark.parametrize("log", [None, *LOGS])
def test_a_client_tells_who_spent_what(
    colour: Colour, make: Callable[..., EdgeClient], provider: Provider, tmp_path: Path, log: str | None
) -> None:
    edge = make(telemetry={"usage_log": str(tmp_path / log)} if log else {})
    day_of_work(colour, edge, provider)
    rows = {row.name: row for row in spend(colour, edge)}
    acme, nobody = rows["acme"], rows[""]
    assert (acme.calls, acme.hits, acme.usd, acme.saved_usd) == (2, 1, 0.0035, 0.0035)
    assert (acme.input_tokens, acme.output_tokens) == (1000, 100)
    assert (nobody.calls, nobody.failed, nobody.unpriced) == (2, 1, 1)
    assert [row.name for row in spend(colour, edge, "target", tenant="acme")] == ["gpt/m"]
    assert [row.calls for row in spend(colour, edge, "provider")] == [4]
    assert [row.calls for row in spend(colour, edge, "user", user="ada", since="2h")] == [2]
    assert spend(colour, edge, until="2h") == spend(colour, edge, tenant="nobody") == []
    assert [row.calls for row in spend(colour, edge, "month", source="memory")] == [4]
    (today,) = spend(colour, edge, "day")
    assert datetime.now(UTC).date() - date.fromisoformat(today.name) <= timedelta(days=1)


@pytest.mark.parametrize("log", [None, "usage.jsonl"])
def test_a_stream_that_its_caller_left_has_not_failed(
    colour: Colour, make: Callable[..., EdgeClient], provider: Provider, tmp_path: Path, log: str | None
) -> None:
    provider.script(stream("a", "b", usage=USED))
    edge = make(telemetry={"usage_log": str(tmp_path / log)} if log else {})
    left = colour.finish((edge.chat if colour.name == "sync" else edge.achat)("gpt/m", "Hi", stream=True))
    colour.finish((left.close if colour.name == "sync" else left.aclose)())
    assert left.explain()["error"] == "Abandoned"
    assert [(row.calls, row.failed) for row in spend(colour, edge)] == [(1, 0)]


@pytest.mark.parametrize(
    ("asked", "says"),
    [({"source": "zzz"}, '"memory" or "log"'), ({"tennant": "acme"}, "tennant: .*tenant"), ({"tenant": 5}, "no text")],
    ids=["source", "name", "value"],
)
def test_a_question_misspelt_is_not_answered_for_all(
    colour: Colour, make: Callable[..., EdgeClient], asked: Any, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        spend(colour, make(), **asked)


def test_a_log_that_is_not_there_cannot_be_asked(colour: Colour, make: Callable[..., EdgeClient]) -> None:
    with pytest.raises(ConfigError, match=r"set telemetry\.usage_log"):
        spend(colour, make(), source="log")


def test_every_call_leaves_a_record_without_content(
    colour: Colour, make: Callable[..., EdgeClient], provider: Provider, file: Path
) -> None:
    edge = make(telemetry={"usage_log": str(file)})
    day_of_work(colour, edge, provider)
    assert [each["nano_usd"] for each in read(file)] == [3_500_000, 0, None, 0]
    assert [each["usage"] is None for each in read(file)] == [False, False, False, True]
    edge.close()
    for each in file.parent.iterdir():
        assert b"private" not in each.read_bytes()
        assert b"sk-secret" not in each.read_bytes()
        assert stat.S_IMODE(each.stat().st_mode) == 0o600


@pytest.mark.parametrize("log", LOGS)
def test_the_folder_of_a_log_is_made(colour: Colour, make: Callable[..., EdgeClient], tmp_path: Path, log: str) -> None:
    path = tmp_path / "not" / "there" / log
    edge = make(telemetry={"usage_log": str(path)})
    colour.chat(edge, "gpt/m", "Hi")
    edge.close()
    assert len([*read(path)]) == 1
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_the_command_adds_a_log_up(
    colour: Colour, make: Callable[..., EdgeClient], provider: Provider, file: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    edge = make(telemetry={"usage_log": str(file)})
    day_of_work(colour, edge, provider)
    assert main(["spend", str(file), "--by", "model"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["model", "calls", "hits", "failed", "input", "output", "usd", "unpriced"]
    assert shown[1].split()[:2] == ["gpt/m", "3"]
    assert shown[-1].split()[:2] == ["(all)", "4"]
    assert main(["spend", str(file), "--json", "--tenant", "acme", "--since", "1h"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == ["acme"]
    (tmp_path / "edge.toml").write_text(f'[telemetry]\nusage_log = "{file}"\n')
    monkeypatch.chdir(tmp_path)
    assert main(["spend", "--since", "2030-01-01", "--json"], {}) == 0
    assert json.loads(capsys.readouterr().out) == []


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


def test_the_log_of_killed_processes_holds_every_call_that_ended(provider: Provider, file: Path) -> None:
    provider.script(answer("Hi"))
    children = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(CHILD), provider.url, str(file)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ended: list[str] = []
    for child in children:
        assert child.stdout is not None
        ended += [child.stdout.readline().strip() for _ in range(20)]
    for child in children:
        child.send_signal(signal.SIGKILL)
        ended += [line.strip() for line in child.stdout or () if line.endswith("\n")]
        if child.stdout is not None:
            child.stdout.close()
        child.wait()
    assert len(ended) >= 40
    assert set(ended) <= {each["id"] for each in read(file)}


def over(log: UsageLog, **fields: object) -> None:
    log.over(Request(body=Body(b"{}"), **fields), None)  # type: ignore[arg-type]  # fields of Request, as given here


def sums(file: Path, by: Any) -> Any:
    return summed(read(file), Question(by=by))


def test_a_torn_line_costs_itself_alone(tmp_path: Path) -> None:
    file = tmp_path / "usage.jsonl"
    log = UsageLog(file, FakeClock())
    over(log, model="a")
    with file.open("ab") as other:
        other.write(b'{"model": "tor')
    assert isinstance(log._place, Lines)
    log._place.torn = True
    over(log, model="b")
    log.close()
    log.close()
    assert [each["model"] for each in read(file)] == ["a", "b"]


def test_a_log_that_is_moved_away_is_begun_anew(tmp_path: Path) -> None:
    """As logrotate does, with or without a copy; and one that is deleted does not swallow calls."""
    file, clock = tmp_path / "usage.jsonl", FakeClock()
    log = UsageLog(file, clock)
    over(log, model="a")
    file.rename(tmp_path / "usage.1")
    clock.advance(1)
    over(log, model="b")
    assert [each["model"] for each in read(tmp_path / "usage.1")] == ["a"]
    assert [each["model"] for each in read(file)] == ["b"]
    file.unlink()
    clock.advance(1)
    over(log, model="c")
    file.write_bytes(b"")  # what `copytruncate` leaves
    clock.advance(1)
    over(log, model="d")
    log.close()
    assert [each["model"] for each in read(file)] == ["d"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_log_that_cannot_be_written_is_told_once_and_costs_nobody_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for name in LOGS:
        caplog.clear()
        folder = tmp_path / "folder"
        folder.write_text("a file")
        log = UsageLog(folder / name, FakeClock())
        over(log)
        over(log)
        trouble = "the usage log cannot be written: Not a directory"
        assert [record.getMessage() for record in caplog.records] == [trouble]
        folder.unlink()
        over(log)
        log.close()
        shutil.rmtree(folder)
        folder.write_text("a file")
        over(log)
        assert [record.getMessage() for record in caplog.records] == [trouble] * 2
        folder.unlink()


def test_a_link_is_not_followed(file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "target").write_text("")
    file.symlink_to(tmp_path / "target")
    over(UsageLog(file, FakeClock()))
    assert (tmp_path / "target").read_text() == ""
    assert "cannot be written" in caplog.text


def test_sums_go_by_what_is_asked_and_stay_bounded(file: Path, tmp_path: Path) -> None:
    log = UsageLog(file, FakeClock())
    over(log, model="m", controls=Controls(tenant="t", user="u"), scope="k")
    log.close()
    names = {by: sums(file, by)[0].name for by in ("tenant", "user", "key", "model", "route", "provider")}
    assert names == {"tenant": "t", "user": "u", "key": "k", "model": "m", "route": "", "provider": ""}
    many = ({"at": "2026", "tenant": str(number)} for number in range(2 * MOST))
    assert len(summed(many, Question())) == MOST + 1
    with pytest.raises(ConfigError, match=r"cannot be read.*usage_log"):
        sums(tmp_path / f"none{file.suffix}", "tenant")
    assert main(["spend", str(tmp_path / "none")]) == 2


def test_what_makes_no_sense_is_told() -> None:
    for wrong in (
        {"by": "colour"}, {"since": "yesterday"}, {"until": "12"}, {"only": {"colour": "red"}},
    ):  # fmt: skip
        given: Any = {"by": "tenant", "since": None, "until": None, "only": {}, **wrong}
        with pytest.raises(ConfigError):
            asked(**given, now=NOON)
    with pytest.raises(ConfigError, match="beyond the calendar"):
        summed([], Question(since=1e30))


@pytest.mark.parametrize(
    ("when", "ago"),
    [
        ("24h", 86_400), ("30m", 1800), ("7d", 604_800), ("1w", 604_800), ("2026-11-21", 43_200),
        ("2026-11-21T11:00", 3600), ("2026-11-21T12:00+01:00", 3600), (date(2026, 11, 21), 43_200),
        (NOON_OF_NOWHERE, 0), (datetime(2026, 11, 21, 12, tzinfo=timezone(timedelta(hours=1))), 3600),
        (NOON - 5, 5),
    ],
    ids=str,
)  # fmt: skip
def test_moments_are_said_in_many_ways(when: Any, ago: float) -> None:
    assert moment(when, "since", NOON) == NOON - ago


def test_forked_children_write_to_the_same_log(file: Path) -> None:
    log = UsageLog(file, FakeClock())
    over(log, model="parent")

    def child() -> bool:
        over(log, model="child")
        log.close()
        return True

    assert in_child(child)
    over(log, model="parent again")
    log.close()
    assert [each["model"] for each in read(file)] == ["parent", "child", "parent again"]


# ---------------------------------------------------------------- a database


def test_a_database_can_be_asked_in_sql(tmp_path: Path) -> None:
    log = UsageLog(tmp_path / "usage.sqlite3", FakeClock())
    for number in range(3):
        over(log, model=f"m{number}", controls=Controls(tenant="\udc80 odd"), notes=Notes(usage={"prompt_tokens": 7}))
    log.close()
    with closing(sqlite3.connect(tmp_path / "usage.sqlite3")) as database:
        told = database.execute("select count(*), sum(usage ->> 'prompt_tokens'), max(tenant) from usage").fetchone()
    assert told == (3, 21, "? odd")


def test_a_database_that_somebody_holds_is_written_later(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "usage.db"
    log = UsageLog(file, FakeClock())
    over(log, model="before")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("begin immediate")
        over(log, model="meanwhile")
        other.execute("rollback")
    assert "locked" in caplog.text
    over(log, model="after")
    log.close()
    assert [each["model"] for each in read(file)] == ["before", "meanwhile", "after"]


def test_what_is_no_database_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "usage.db"
    file.write_bytes(b"not a database at all, but a long enough text to be taken for one" * 20)
    log = UsageLog(file, FakeClock())
    over(log)
    log.close()
    assert "cannot be written" in caplog.text
    with pytest.raises(ConfigError, match="cannot be read"):
        list(read(file))


# ---------------------------------------------------------------- in memory


def call(tab: Tab, time: float, tenant: str, cost: int | None) -> None:
    notes = Notes(cost=cost, usage={"prompt_tokens": 1, "completion_tokens": 2})
    tab.call(Request(body=Body(b"{}"), controls=Controls(tenant=tenant), notes=notes), None, time)


def test_memory_counts_by_whole_hours() -> None:
    tab = Tab()
    for hour in range(3):
        call(tab, NOON + hour * 3600 + 1800, "t", 10**hour)
    assert [row.nano_usd for row in tab.spent(Question(since=NOON + 3600))] == [110]
    assert [row.nano_usd for row in tab.spent(Question(until=NOON + 3600))] == [1]
    assert [row.name for row in tab.spent(Question(by="hour"))] == ["2026-11-21T14", "2026-11-21T13", "2026-11-21T12"]


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(0, 30), st.none() | st.integers(0, 1000)), max_size=200))
def test_memory_stays_bounded_and_its_sums_whole(calls: list[tuple[int, int, int | None]]) -> None:
    tab = Tab(most=20)
    for hour, tenant, cost in calls:
        call(tab, hour * 3600, str(tenant), cost)
    rows = tab.spent(Question())
    assert sum(row.calls for row in rows) == len(calls)
    assert sum(row.nano_usd for row in rows) == sum(cost or 0 for _, _, cost in calls)
    assert sum(row.unpriced for row in rows) == sum(cost is None for _, _, cost in calls)
    assert len(tab._rows) <= 21


def test_calls_are_added_up_as_they_come() -> None:
    tab = Tab()
    for _ in range(2000):
        call(tab, NOON, "t", 1)
    assert len(tab._calls) < 512
    assert tab.spent(Question())[0].nano_usd == 2000


def test_a_forked_child_has_spent_nothing_yet() -> None:
    tab = Tab()
    call(tab, NOON, "t", 1)
    assert in_child(lambda: tab.spent(Question()) == [])
    assert len(tab.spent(Question())) == 1


def test_of_a_long_log_only_the_time_asked_for_is_read(tmp_path: Path) -> None:
    file, hours, each = tmp_path / "usage.jsonl", 24 * 30, 20
    padding = "x" * 300
    with file.open("w") as log:
        for number in range(hours * each):
            told = {"at": iso(NOON + number * 3600 / each), "tenant": f"h{number // each}", "route": padding}
            log.write(json.dumps(told) + "\n" + ("{torn\n" if number % 50 == 0 else ""))
    question = Question(since=NOON + (hours - 2) * 3600)
    found = list(read(file, question))
    assert len(found) < hours * each / 5
    assert {row.name: row.calls for row in summed(found, question)} == {f"h{hours - 2}": each, f"h{hours - 1}": each}
    assert len(list(read(file, Question(since=NOON - 9)))) == hours * each
    assert len(list(read(file, Question(since=NOON + hours * 7200)))) < hours * each / 5
