"""Log lines: one for each call, its id in every record, and nothing in them that nobody should read."""

from __future__ import annotations

import ast
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import llm_edge
from llm_edge import EdgeClient
from llm_edge.errors import Overloaded, Unauthorized
from llm_edge.stores.fuse import Fuse
from llm_edge.telemetry import logs
from llm_edge.telemetry.redaction import Redactor
from llm_edge.testing import Provider, answer, status, stream

from ..conftest import Colour

Edges = Callable[..., EdgeClient]
KEY, USED = "a-key-of-no-known-kind", {"prompt_tokens": 1000, "completion_tokens": 100}


@pytest.fixture
def make(edges: Edges, provider: Provider) -> Callable[..., EdgeClient]:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": KEY}

    def made(**sections: Any) -> EdgeClient:
        return edges(
            providers={"gpt": place}, retry={"base": 0, "attempts": 1},
            prices={"models": {"gpt/m": {"input": 2.5, "output": 10}}}, **sections,
        )  # fmt: skip

    return made


@pytest.fixture
def shown() -> Iterator[Callable[..., Callable[[], list[Any]]]]:
    """Turns lines on, and gives what was written so far."""
    handlers: list[logging.Handler] = []

    def show(**options: Any) -> Callable[[], list[Any]]:
        written = io.StringIO()
        handlers.append(logs.show(stream=written, **{"level": "DEBUG", **options}))
        as_json = options.get("format") == "json"
        return lambda: [json.loads(line) if as_json else line for line in written.getvalue().splitlines()]

    yield show
    for handler in handlers:
        logs.hide(handler)


def calls(lines: list[Any]) -> list[Any]:
    return [line for line in lines if line["logger"] == "llm_edge.calls"]


def test_each_call_is_one_line_with_its_id(colour: Colour, make: Any, shown: Any, provider: Provider) -> None:
    written = shown(format="json")
    provider.script(answer("Hi", usage=USED))
    edge = make()
    replies = [colour.chat(edge, "gpt/m", "Hi", edge={"tenant": "acme"}) for _ in range(2)]
    first, second = calls(written())
    assert [line["request_id"] for line in (first, second)] == [reply.request_id for reply in replies]
    expected = {
        "level": "INFO", "operation": "chat", "model": "gpt/m", "target": "gpt/m", "status": 200, "cache": "MISS",
        "streamed": False, "tenant": "acme", "attempts": 1, "input_tokens": 1000, "output_tokens": 100,
        "cost_usd": 0.0035,
    }  # fmt: skip
    assert {name: first.get(name) for name in expected} == expected
    assert (second["cache"], second["cost_usd"], second["saved_usd"]) == ("HIT", 0, 0.0035)
    assert first["duration_ms"] >= first["overhead_ms"] >= 0
    assert first["time"].endswith("Z")


def test_a_line_for_people_reads_well(colour: Colour, make: Any, shown: Any, provider: Provider) -> None:
    written = shown(level="info")
    provider.script(answer("Hi", usage=USED))
    reply = colour.chat(make(), "gpt/m", "Hi")
    (line,) = written()
    assert " INFO    llm_edge.calls: chat gpt/m, 200, cache MISS, from gpt/m, " in line
    assert line.endswith(f"1000 + 100 tokens, $0.003500 [{reply.request_id}]")


def test_a_call_that_failed_is_a_warning(colour: Colour, make: Any, shown: Any, provider: Provider) -> None:
    written = shown(format="json")
    provider.script(status(503, "words of the provider"))
    with pytest.raises(Overloaded):
        colour.chat(make(), "gpt/m", "Hi")
    (line,) = calls(written())
    assert (line["level"], line["status"], line["error"]) == ("WARNING", 503, "Overloaded")
    assert "words of the provider" not in str(written())


@pytest.mark.parametrize("format", ["human", "json"])
def test_no_prompt_no_answer_and_no_key_unless_switched_on(
    colour: Colour, make: Any, shown: Any, provider: Provider, format: str
) -> None:
    written = shown(format=format)
    provider.script(answer("a private answer"))
    colour.chat(make(), "gpt/m", "a private question")
    assert written()
    assert not any(word in str(written()) for word in ("private", KEY))


def test_switched_on_they_come_without_personal_data_and_keys(
    colour: Colour, make: Any, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llm_edge")
    provider.script(answer("Write to bob@example.com"))
    edge = make(telemetry={"log_content": True})
    colour.chat(edge, "gpt/m", f"I am ada@example.com, key {KEY}, card 4111 1111 1111 1111")
    facts = caplog.records[-1].__dict__["facts"]  # the app's own formatter sees no more
    assert facts["request"][0]["content"] == "I am [EMAIL], key [SECRET], card [CARD]"
    assert facts["answer"]["choices"][0]["message"]["content"] == "Write to [EMAIL]"


def test_a_streams_answer_is_put_together(
    colour: Colour, make: Any, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llm_edge")
    provider.script(stream("bob@exam", "ple.com ", "says hello", usage=USED))
    edge = make(telemetry={"log_content": True})
    colour.items(colour.finish((edge.chat if colour.name == "sync" else edge.achat)("gpt/m", "Hi", stream=True)))
    facts = caplog.records[-1].__dict__["facts"]
    assert facts["answer"]["choices"][0]["message"]["content"] == "[EMAIL] says hello"


def test_the_callers_own_key_is_taken_out_of_its_words(
    colour: Colour, make: Any, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "llm_edge")
    client = colour.openai(make(telemetry={"log_content": True}), f"{provider.url}/v1", api_key="mine-and-odd")
    messages: Any = [{"role": "user", "content": "my key is mine-and-odd"}]
    colour.finish(client.chat.completions.create(model="m", messages=messages))
    assert caplog.records[-1].__dict__["facts"]["request"][0]["content"] == "my key is [SECRET]"


def test_what_is_worth_a_line_is_told_with_the_id_of_the_call(
    colour: Colour, make: Any, shown: Any, provider: Provider
) -> None:
    written = shown(format="json")
    provider.script(status(503), status(503), answer("Hi"))
    edge = make(breaker={"failures": 2, "open_for": 0.001}, cache={"policy": "off"})
    for _ in range(2):
        with pytest.raises(Overloaded):
            colour.chat(edge, "gpt/m", "Hi")
    opened = [line for line in written() if line["logger"] == "llm_edge.breakers"]
    assert [(line["level"], line["message"]) for line in opened] == [("WARNING", "the breaker of gpt/m is open")]
    assert opened[0]["request_id"] == calls(written())[-1]["request_id"]
    edge.breakers.reset()
    colour.chat(edge, "gpt/m", "Hi")
    assert [line["message"] for line in written() if line["logger"] == "llm_edge.breakers"][1:] == [
        "the breaker of gpt/m is closed"
    ]


def test_a_key_that_is_set_aside_is_told(colour: Colour, edges: Edges, shown: Any, provider: Provider) -> None:
    written = shown(format="json")
    provider.script(*[status(401)] * 2)
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": ["first-key-12", "second-key-12"]}
    with pytest.raises(Unauthorized):
        colour.chat(edges(providers={"gpt": place}), "gpt/m", "Hi")
    told = [line for line in written() if line["logger"] == "llm_edge.keys"]
    assert [line["message"] for line in told] == [
        f"key {number} of gpt is set aside after Unauthorized" for number in (1, 2)
    ]
    assert all(line["request_id"] for line in told)
    assert "-key-12" not in str(written())


def test_a_store_that_is_lost_and_back_is_told_once(shown: Any) -> None:
    written = shown(format="json")
    fuse = Fuse(lambda: 0.5, name="the store")
    for _ in range(3):
        fuse.bad(0.0, at_once=True)
    fuse.probed(5.0, good=False)
    fuse.probed(9.0, good=True)
    fuse.good()
    assert [line["message"] for line in written()] == [
        "the store does not answer, and is left alone; calls go on without it", "the store is back",
    ]  # fmt: skip


def test_nothing_is_written_where_nobody_asked(
    colour: Colour, make: Any, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.script(status(503))
    root = list(logging.getLogger().handlers)
    with pytest.raises(Overloaded):
        colour.chat(make(), "gpt/m", "Hi")
    assert capsys.readouterr().err == ""
    assert logging.getLogger().handlers == root
    assert any(isinstance(handler, logging.NullHandler) for handler in logging.getLogger("llm_edge").handlers)


def test_what_was_shown_can_be_hidden() -> None:
    logger = logging.getLogger("llm_edge")
    before = (list(logger.handlers), logger.level, logger.propagate)
    written = io.StringIO()
    handler = logs.show("warning", stream=written)
    logger.info("quiet")
    logger.warning("loud")
    logs.hide(handler)
    logger.warning("gone")
    assert [line.split("Z ")[1] for line in written.getvalue().splitlines()] == ["WARNING llm_edge: loud"]
    assert (list(logger.handlers), logger.level, logger.propagate) == before


def test_our_own_process_sets_its_lines_up_once(capsys: pytest.CaptureFixture[str]) -> None:
    for level in ("info", "off", "info"):
        logs.serve(level, "json", Redactor(["hunter2-hunter2"]))
        logging.getLogger("llm_edge").warning("the word is hunter2-hunter2")
    (handler,) = [each for each in logging.getLogger("llm_edge").handlers if isinstance(each.formatter, logs.Json)]
    logs.hide(handler)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == ["the word is [SECRET]"] * 2


def test_a_line_break_of_somebody_elses_makes_no_line(shown: Any) -> None:
    written = shown()
    logging.getLogger("llm_edge").warning("one\n2026-01-01 INFO forged")
    assert len(written()) == 1


def test_an_exception_is_told_without_its_secrets(shown: Any) -> None:
    written = shown(format="json", redactor=Redactor(["hunter2-hunter2"]))
    try:
        raise ValueError("hunter2-hunter2 of ada@example.com")
    except ValueError:
        logging.getLogger("llm_edge").exception("it failed")
    (line,) = written()
    assert "ValueError: [SECRET] of [EMAIL]" in line["exception"]


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("pass word/1", "pass word/1"), ("pass word/1", "pass%20word%2F1"),
        ("redis://:hunter2-x@host:6379/0", "hunter2-x"), ("redis://:hunter2-x@host:6379/0", "redis://:hunter2-x@host:6379/0"),
        ("https://hooks.test/a/b", "https://hooks.test/a/b"), ("https://[odd", "https://[odd"), ("sixsix", "sixsix"),
    ],
)  # fmt: skip
def test_a_secret_is_known_in_each_of_its_forms(secret: str, text: str) -> None:
    redactor = Redactor([secret, "abcde"])
    assert redactor.text(f"it is {text}, abcde") == "it is [SECRET], abcde"
    assert redactor.value({"a": [text, 1, None, True, ValueError(text)], text: ("x",)}) == {
        "a": ["[SECRET]", 1, None, True, "[SECRET]"],
        "[SECRET]": ["x"],
    }
    assert secret not in repr(redactor)


def test_a_clients_redactor_knows_its_secrets(edges: Edges) -> None:
    edge = edges(
        providers={"openai": {"api_key": ["env:MINE", "written-here"], "headers": {"x-a": "header-value"}}},
        cache={"redis": {"url": "redis://:cache-pw@127.0.0.1:1/0"}, "secret": "a-secret-for-signing"},
        env={"MINE": "from-a-variable", "ANTHROPIC_API_KEY": "from-another-one"},
    )  # fmt: skip
    told = "from-a-variable written-here header-value cache-pw a-secret-for-signing from-another-one"
    assert edge.redactor.text(told) == " ".join(["[SECRET]"] * 6)
    assert "from-a-variable" not in repr(edge.redactor)


ROOT = Path(llm_edge.__file__).parent
ABOUT_CALLS = (
    "layers/", "http/", "telemetry/", "message.py", "choosing.py", "money/usage_log.py", "serve/calls.py",
    "serve/paths.py", "serve/ws.py", "serve/passing.py",
)  # fmt: skip
"""Where every record is about a call; elsewhere some are about stores, files and configurations."""


def records_without_an_id(file: Path) -> int:
    text = file.read_text(encoding="utf-8")
    if "getLogger" not in text:
        return 0
    tree = ast.parse(text)
    logged = [
        node for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name) and node.func.value.id in {"log", "logger"}
        and node.func.attr in {"debug", "info", "warning", "error", "exception", "critical", "log"}
    ]  # fmt: skip
    return sum(all(keyword.arg != "extra" for keyword in node.keywords) for node in logged)


def test_every_record_that_is_about_a_call_says_which() -> None:
    files = [file for file in ROOT.rglob("*.py") if file.relative_to(ROOT).as_posix().startswith(ABOUT_CALLS)]
    assert len(files) > 40
    assert {str(file): count for file in files if (count := records_without_an_id(file))} == {}
