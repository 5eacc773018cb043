"""The plugin as a user's test run sees it, the command line, and the twins."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

import llm_edge.testing
from llm_edge.testing import Provider, answer

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> object:
    """Run test code in a pytest of its own, with this plugin and no other."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def once(code: str, *options: str) -> pytest.RunResult:
        pytester.makepyfile(code)
        return pytester.runpytest_subprocess("-p", "llm_edge.testing.plugin", *options)

    return once


def test_the_fixtures_are_there(run: object) -> None:
    result = run(  # type: ignore[operator] - a fixture's function
        """
        import httpx2
        import pytest
        from llm_edge.testing import Provider, answer

        def test_provider(provider, fake_clock):
            provider.script(answer("hi").delay(3))
            with provider.http_client() as client:
                assert client.post("http://x/v1/chat/completions", json={"model": "m"}).status_code == 200
            assert fake_clock.slept == [3]

        def test_providers(providers):
            a, b = providers(answer("a")), providers(answer("b"), models=("m",))
            assert a.url != b.url
            assert isinstance(a, Provider)

        def test_refused_url(refused_url):
            with pytest.raises(httpx2.ConnectError):
                httpx2.get(refused_url)
        """
    )
    result.assert_outcomes(passed=3)


def test_servers_end_with_the_test(run: object) -> None:
    result = run(  # type: ignore[operator] - a fixture's function
        """
        import threading
        import httpx2

        def test_one(provider):
            assert httpx2.get(provider.url + "/v1/models").status_code == 200

        def test_two():
            assert [thread.name for thread in threading.enumerate()] == ["MainThread"]
        """,
        "-W",
        "error",
    )
    result.assert_outcomes(passed=2)


def test_a_cassette_is_recorded_once_and_replayed_without_a_provider(run: object, pytester: pytest.Pytester) -> None:
    code = """
    import httpx2

    def test_it(cassette):
        with httpx2.Client(transport=cassette.transport()) as client:
            got = client.post("ADDRESS/v1/chat/completions", json={"model": "m"})
        assert got.json()["choices"][0]["message"]["content"] == "hi"
    """
    with Provider(answer("hi")) as provider:
        code = code.replace("ADDRESS", provider.url)
        run(code).assert_outcomes(failed=1)  # type: ignore[operator] - a fixture's function
        provider.never_asked()
        run(code, "--edge-record").assert_outcomes(passed=1)  # type: ignore[operator] - a fixture's function
        provider.asked(1)
    run(code).assert_outcomes(passed=1)  # type: ignore[operator] - a fixture's function
    (tape,) = (pytester.path / "cassettes").rglob("*.json")
    assert tape.parent.name.startswith("test_a_cassette_is_recorded")
    assert tape.name == "test_it.json"


def test_each_test_has_a_cassette_of_its_own(run: object, pytester: pytest.Pytester) -> None:
    """By class and by parameters, such as questions: long, with signs that are no part of a file's name."""
    code = """
    import httpx2
    import pytest

    QUESTIONS = ["a b", "a/b", "a?b", "a_b", "..", "é" * 100, "x" * 300, "x" * 301, "a::b", "a[b]"]

    def ask(cassette, question):
        with httpx2.Client(transport=cassette.transport()) as client:
            client.post("ADDRESS/v1/chat/completions", json={"model": question})

    class TestOne:
        def test_it(self, cassette):
            ask(cassette, "one")

    class TestTwo:
        def test_it(self, cassette):
            ask(cassette, "two")

    @pytest.mark.parametrize("question", QUESTIONS)
    def test_it(cassette, question):
        ask(cassette, question)
    """
    with Provider(answer("hi")) as provider:
        code = code.replace("ADDRESS", provider.url)
        run(code, "--edge-record").assert_outcomes(passed=12)  # type: ignore[operator] - a fixture's function
    run(code).assert_outcomes(passed=12)  # type: ignore[operator] - a fixture's function
    names = {tape.name for tape in (pytester.path / "cassettes").rglob("*.json")}
    assert len(names) == 12
    assert {"TestOne.test_it.json", "TestTwo.test_it.json", "test_it-a_b.json"} <= names


def test_the_plugin_loads_no_http_library(run: object) -> None:
    result = run(  # type: ignore[operator] - a fixture's function
        """
        import sys

        def test_it():
            loaded = {name.partition(".")[0] for name in sys.modules}
            assert not loaded & {"httpx", "httpx2", "httpcore", "httpcore2", "orjson", "pydantic"}
            assert "llm_edge.testing.provider" not in sys.modules
        """
    )
    result.assert_outcomes(passed=1)


def test_an_unknown_mode_is_refused(run: object) -> None:
    result = run("def test_it(): pass", "--edge-record=sometimes")  # type: ignore[operator] - a fixture's function
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*--edge-record*invalid choice: 'sometimes'*"])


@pytest.mark.parametrize("stopped_by", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_stopped(stopped_by: signal.Signals) -> None:
    command = [sys.executable, "-m", "llm_edge.testing", "--text", "abcdef", "--parts", "3"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx2.Client(base_url=url) as client:
            whole = client.post("/v1/chat/completions", json={"model": "m"})
            parts = client.post("/v1/chat/completions", json={"model": "m", "stream": True})
        process.send_signal(stopped_by)
        assert process.wait(60) == 0
    assert whole.json()["choices"][0]["message"]["content"] == "abcdef"
    deltas = [json.loads(line[6:])["choices"][0]["delta"] for line in parts.text.split("\n\n")[:-2]]
    assert [delta.get("content") for delta in deltas] == ["", "ab", "cd", "ef", None]


def test_the_twins_are_equal() -> None:
    folder = ROOT / "llm_edge" / "testing"
    newer, older = (folder / "on_httpx2.py").read_text(), (folder / "on_httpx.py").read_text()
    assert newer.replace("httpx2", "httpx") == older


def test_every_public_name_is_there() -> None:
    assert sorted(llm_edge.testing.__all__) == dir(llm_edge.testing)
    for name in llm_edge.testing.__all__:
        assert getattr(llm_edge.testing, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        llm_edge.testing.nothing  # noqa: B018 - reading it is the test
