"""Many calls as one job: bounded, in order or not, each result its own, resumable."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_edge import ConfigError, EdgeClient, InvalidRequest
from llm_edge.cli import main
from llm_edge.testing import Provider, answer, embeddings, status
from tests.conftest import Colour

QUIET: dict[str, Any] = {"cache": {"policy": "off"}, "retry": {"attempts": 1}, "breaker": {"enabled": False}}


@pytest.fixture
def edge(provider: Provider) -> Iterator[EdgeClient]:
    with EdgeClient(env={}, providers={"p": {"kind": "openai", "base_url": provider.url + "/v1"}}, **QUIET) as one:
        yield one


def asks(count: int) -> list[dict[str, Any]]:
    return [{"model": "p/m", "messages": [{"role": "user", "content": f"{n}"}]} for n in range(count)]


def mapped(colour: Colour, edge: EdgeClient, requests: Any, **named: Any) -> list[Any]:
    return colour.items((edge.map if colour.name == "sync" else edge.amap)(requests, **named))


def echoing(provider: Provider) -> None:
    provider.script(lambda call: answer("to " + call.json["messages"][0]["content"]))


@pytest.mark.parametrize("ordered", [True, False])
def test_every_request_has_its_own_result(colour: Colour, edge: EdgeClient, provider: Provider, ordered: bool) -> None:
    echoing(provider)
    results = mapped(colour, edge, asks(40), concurrency=7, ordered=ordered)
    assert sorted(result.index for result in results) == list(range(40))
    assert all(result.text == f"to {result.index}" and result.id == str(result.index) for result in results)
    assert all(result.reply.explain()["attempts"] for result in results)
    provider.asked(40)


def test_results_come_in_order_whatever_is_answered_first(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    def slow_first(call: Any) -> Any:
        said = call.json["messages"][0]["content"]
        return answer(said).delay(0.1) if said == "0" else answer(said)

    provider.script(slow_first)
    results = mapped(colour, edge, asks(20), concurrency=4)
    assert [result.text for result in results] == [str(n) for n in range(20)]


def test_requests_are_drawn_as_there_is_room(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    echoing(provider)
    drawn: list[int] = []

    def endless() -> Iterator[dict[str, Any]]:
        for number in range(1_000_000):
            drawn.append(number)
            yield asks(1)[0] | {"user": str(number)}

    if colour.name == "sync":
        results = edge.map(endless(), concurrency=3)
        first = [next(results) for _ in range(5)]
        results.close()  # type: ignore[attr-defined]  # a generator, as users have it
    else:

        async def some() -> list[Any]:
            found = []
            async for result in (source := edge.amap(endless(), concurrency=3)):
                found.append(result)
                if len(found) == 5:
                    break
            await source.aclose()
            return found

        first = colour.run(some())
    assert [result.index for result in first] == [0, 1, 2, 3, 4]
    assert len(drawn) < 100


def test_a_failure_is_a_result_and_the_others_go_on(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(
        lambda call: status(400) if call.json["messages"][0]["content"] == "1" else answer("fine"),
    )
    results = mapped(colour, edge, asks(3), concurrency=1)
    assert [result.error is None for result in results] == [True, False, True]
    assert results[1].body is None
    assert results[1].error.status == 400


def test_embeddings_and_batch_lines_are_requests_too(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(embeddings([0.5, 1.0]), answer("Paris"))
    batch = {"custom_id": "capital", "method": "POST", "url": "/v1/chat/completions", "body": asks(1)[0]}
    results = mapped(colour, edge, [{"model": "p/e", "input": "x"}, batch], concurrency=1)
    assert results[0].reply.vectors == [[0.5, 1.0]]
    assert (results[1].id, results[1].text) == ("capital", "Paris")


BAD: list[tuple[Any, str]] = [
    (3, "request 1 is no object"),
    ({"model": "m"}, "request 1 has neither"),
    ({"messages": [1]}, "request 1 has no `model`"),
    ({"model": "m", "messages": []}, "request 1 has no `messages`"),
    ({"model": "m", "messages": [1], "stream": True}, "leave `stream` out"),
    ({"custom_id": 3, "body": {"model": "m", "messages": [1]}}, "`custom_id` of request 1"),
    ({"body": 3}, "`body` of request 1"),
    ({"body": {}, "modle": "m"}, "the field `modle`"),
    ({"url": "/v1/images", "body": {"model": "m", "messages": [1]}}, "`url` of request 1"),
    ({"method": "GET", "body": {"model": "m", "messages": [1]}}, "`method` of request 1"),
    ({"edge": 3, "body": {"model": "m", "messages": [1]}}, "`edge` of request 1"),
    ({"custom_id": "0", "body": {"model": "m", "messages": [1]}}, "was there before"),
]


@pytest.mark.parametrize(("wrong", "words"), BAD)
def test_a_request_that_makes_no_sense_ends_the_job_and_is_named(
    colour: Colour, edge: EdgeClient, provider: Provider, wrong: Any, words: str
) -> None:
    echoing(provider)
    with pytest.raises(InvalidRequest, match=words):
        mapped(colour, edge, [asks(1)[0], wrong], concurrency=1)


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"concurrency": 1.5}, {"rpm": 0}, {"rpm": -1}])
def test_a_setting_that_makes_no_sense_is_named(colour: Colour, edge: EdgeClient, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match=f"`{next(iter(wrong))}`"):
        mapped(colour, edge, [], **wrong)


def test_calls_at_once_are_bounded(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    at_once, most, lock = 0, 0, threading.Lock()
    asked = edge.achat

    async def counting(*given: Any, **named: Any) -> Any:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        try:
            await asyncio.sleep(0)
            return await asked(*given, **named)
        finally:
            with lock:
                at_once -= 1

    echoing(provider)
    edge.achat = counting  # type: ignore[method-assign, assignment]  # watched, not replaced
    assert len(mapped(colour, edge, asks(30), concurrency=5)) == 30
    assert 1 < most <= 5


def test_a_pace_is_kept(colour: Colour, edge: EdgeClient, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    began: list[float] = []
    asked = edge.achat

    async def noting(*given: Any, **named: Any) -> Any:
        began.append(asyncio.get_running_loop().time())
        return await asked(*given, **named)

    echoing(provider)
    edge.achat = noting  # type: ignore[method-assign, assignment]  # as above
    mapped(colour, edge, asks(15), rpm=600, concurrency=15)
    assert began[-1] - began[0] >= 0.4  # ten at once, then ten a second


# ---------------------------------------------------------------- going on after a crash


def test_what_is_answered_is_not_asked_again(
    colour: Colour, edge: EdgeClient, provider: Provider, tmp_path: Path
) -> None:
    echoing(provider)
    file = tmp_path / "answers.jsonl"
    mapped(colour, edge, asks(4), resume=file)
    results = mapped(colour, edge, asks(6), resume=file)
    assert [result.resumed for result in results] == [True] * 4 + [False] * 2
    assert [result.text for result in results] == [f"to {n}" for n in range(6)]
    provider.asked(6)


def test_a_failure_is_asked_again(colour: Colour, edge: EdgeClient, provider: Provider, tmp_path: Path) -> None:
    file = tmp_path / "answers.jsonl"
    provider.script(status(400), answer("fine"))
    assert mapped(colour, edge, asks(1), resume=file)[0].error is not None
    assert mapped(colour, edge, asks(1), resume=file)[0].text == "fine"
    assert mapped(colour, edge, asks(1), resume=file)[0].resumed
    assert json.loads(file.read_text().splitlines()[0])["error"]["message"]


def test_another_question_under_the_same_name_is_asked(
    colour: Colour, edge: EdgeClient, provider: Provider, tmp_path: Path
) -> None:
    echoing(provider)
    file = tmp_path / "answers.jsonl"
    mapped(colour, edge, asks(1), resume=file)
    other = {"model": "p/m", "messages": [{"role": "user", "content": "other"}]}
    assert mapped(colour, edge, [other], resume=file)[0].text == "to other"


def test_half_a_line_at_the_end_is_taken_off_wherever_it_was_cut(edge: EdgeClient, provider: Provider, tmp_path: Path):
    echoing(provider)
    file = tmp_path / "answers.jsonl"
    list(edge.map(asks(2), resume=file, concurrency=1))
    whole = file.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole), 7):
        file.write_bytes(whole[:cut])
        results = list(edge.map(asks(2), resume=file, concurrency=1))
        assert [result.resumed for result in results] == [True, False]
        assert [json.loads(line)["custom_id"] for line in file.read_text().splitlines()] == ["0", "1"]


def test_a_file_that_holds_something_else_is_left_alone(
    colour: Colour, edge: EdgeClient, provider: Provider, tmp_path: Path
) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("dear diary\n")
    with pytest.raises(ConfigError, match="line 1: no answer of a bulk job"):
        mapped(colour, edge, asks(1), resume=file)
    assert file.read_text() == "dear diary\n"
    with pytest.raises(ConfigError, match="cannot be used to keep answers"):
        mapped(colour, edge, asks(1), resume=tmp_path)
    provider.asked(0)


# ---------------------------------------------------------------- the command


@pytest.fixture
def place(tmp_path: Path, provider: Provider) -> Path:
    (tmp_path / "edge.toml").write_text(
        f'[providers.p]\nkind = "openai"\nbase_url = "{provider.url}/v1"\n'
        '[cache]\npolicy = "off"\n[retry]\nattempts = 1\n'
    )
    lines = [json.dumps({"custom_id": f"q{n}", "body": body}) for n, body in enumerate(asks(9))]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n\n")
    return tmp_path


def command(place: Path, *more: str) -> list[str]:
    return ["map", str(place / "in.jsonl"), str(place / "out.jsonl"), "--config", str(place / "edge.toml"), *more]


def test_the_command_answers_a_file(place: Path, provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    echoing(provider)
    assert main(command(place, "--quiet"), {}) == 0
    answers = [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]
    assert {one["custom_id"] for one in answers} == {f"q{n}" for n in range(9)}
    assert all(one["response"]["status_code"] == 200 and one["error"] is None for one in answers)
    assert "9 answered, 0 failed" in capsys.readouterr().err
    assert main(command(place), {}) == 0
    provider.asked(9)


def test_the_command_tells_of_failures_by_its_exit_code(place: Path, provider: Provider) -> None:
    provider.script(status(400), answer("fine"))
    assert main(command(place, "--quiet", "--concurrency", "1"), {}) == 1


@pytest.mark.parametrize(
    ("text", "words"), [("{", "line 1: not JSON"), ("[]", "line 1: no object"), ('{"model": "m"}', "line 1: request 0")]
)
def test_a_line_that_is_no_request_is_named_before_anything_is_asked(
    place: Path, provider: Provider, capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    (place / "in.jsonl").write_text(text + "\n")
    assert main(command(place), {}) == 2
    assert words in capsys.readouterr().err
    provider.asked(0)


def test_a_missing_file_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "in.jsonl").unlink()
    assert main(command(place), {}) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_killed_at_any_moment_it_goes_on_and_loses_no_answer(place: Path, provider: Provider) -> None:
    provider.script(lambda call: answer("to " + call.json["messages"][0]["content"]).delay(0.02))
    script = "import sys; from llm_edge.cli import main; sys.exit(main(sys.argv[1:], {}))"
    known: set[str] = set()
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", script, *command(place, "--quiet", "--concurrency", "1")], stderr=subprocess.PIPE
        ) as process:
            before = len(provider.calls)
            while len(provider.calls) < before + 2 and process.poll() is None:
                pass
            process.kill()  # or it has ended by itself, where this one stood still
        out = place / "out.jsonl"
        whole = [line for line in out.read_bytes().splitlines(keepends=True) if line.endswith(b"\n")]
        found = {json.loads(line)["custom_id"] for line in whole}
        assert known <= found
        known = found
    assert main(command(place, "--quiet"), {}) == 0
    lines = [json.loads(line) for line in (place / "out.jsonl").read_text().splitlines()]
    assert sorted(line["custom_id"] for line in lines) == [f"q{n}" for n in range(9)]
    # Each kill may cost the one call that was under way.
    assert 9 <= len(provider.calls) <= 9 + 3
