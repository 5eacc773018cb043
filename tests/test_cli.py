"""The `llm-edge` command."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import llm_edge
from llm_edge import ConfigError, EdgeClient
from llm_edge.cli import main
from llm_edge.config import EdgeConfig

CANARY = "sk-canary-7f3a"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "edge.toml"
    file.write_text(
        f'[providers.openai]\napi_key = "{CANARY}"\nheaders = {{ x-team = "{CANARY}" }}\n'
        '[providers.groq]\napi_key = "env:OTHER_KEY"\n[cache]\nttl = 60\n'
    )
    return file


def test_check_prints_every_setting_with_its_place_and_no_secret(file: Path, capsys: pytest.CaptureFixture[str]):
    env = {"OTHER_KEY": CANARY, "LLM_EDGE__RETRY__ATTEMPTS": "2"}
    assert main(["check", str(file)], env) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "canary" not in printed.out
    lines = printed.out.splitlines()
    assert f'api_key = "**********"  # {file}:2' in lines
    assert f'x-team = "**********"  # {file}:3' in lines
    assert f'api_key = "env:OTHER_KEY"  # {file}:5' in lines
    assert f"ttl = 60  # {file}:7" in lines
    assert "attempts = 2  # variable LLM_EDGE__RETRY__ATTEMPTS" in lines
    assert "entries = 1000" in lines


def test_what_check_prints_loads_as_the_same_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "edge.toml"
    file.write_text('[routes."gpt-5.4"]\ntargets = "openai/x"\n[routes."gpt-5.4".retry]\nattempts = 1\n')
    assert main(["check", str(file)], {}) == 0
    assert EdgeConfig(**tomllib.loads(capsys.readouterr().out)) == EdgeConfig.from_file(file)


def test_check_takes_the_environment_by_option_or_variable(file: Path, capsys: pytest.CaptureFixture[str]):
    file.with_name("edge.production.toml").write_text("[cache]\nttl = 90\n")
    assert main(["check", str(file), "--environment", "production"], {"OTHER_KEY": "x"}) == 0
    assert "ttl = 90" in capsys.readouterr().out
    assert main(["check", str(file)], {"OTHER_KEY": "x", "LLM_EDGE_ENV": "production"}) == 0
    assert "ttl = 90" in capsys.readouterr().out


def test_a_configuration_that_cannot_be_used_ends_with_2(file: Path, capsys: pytest.CaptureFixture[str]):
    file.write_text(f'[providers.openai]\napi_key = "{CANARY}\\n"\n[cache]\ntll = 3\n')
    assert main(["check", str(file)], {}) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "canary" not in printed.err
    assert printed.err.startswith("llm-edge: 2 settings cannot be used:\n")
    assert f"cache.tll ({file}:4): is not a setting. Did you mean cache.ttl?" in printed.err


def test_a_missing_secret_ends_with_2_unless_secrets_are_left_out(file: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", str(file)], {}) == 2
    assert "the variable OTHER_KEY is not set" in capsys.readouterr().err
    assert main(["check", str(file), "--without-secrets"], {}) == 0
    assert 'api_key = "env:OTHER_KEY"' in capsys.readouterr().out


def test_check_refuses_a_known_key_that_cannot_be_sent(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "edge.toml"
    file.write_text("[providers.openai]")
    assert main(["check", str(file)], {"OPENAI_API_KEY": CANARY + "\n"}) == 2
    told = capsys.readouterr().err
    assert f"providers.openai.api_key ({file}:1): the variable OPENAI_API_KEY starts or ends" in told
    assert "canary" not in told


def test_check_tells_of_a_known_key_that_nothing_uses(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "edge.toml"
    file.write_text("")
    assert main(["check", str(file)], {"OPENAI_API_KEY": CANARY + "\n"}) == 0
    assert "the variable OPENAI_API_KEY starts or ends" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ('[providers.mine]\nkind = "antropic"\n', "providers.mine.kind ({file}:2): nobody knows a provider"),
        ('[providers.mine]\napi_key = "sk-x"\n', "providers.mine ({file}:2): nobody knows a provider"),
        ('[routes.fast]\ntargets = ["openai/m", "opnai/m"]\n', "routes.fast.targets[1] ({file}:2): nobody knows"),
        ('[providers.bedrock]\nkind = "bedrock"\n', "providers.bedrock has no region; set `region`"),
    ],
)
def test_check_refuses_what_no_client_can_be_made_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, told: str
):
    file = tmp_path / "edge.toml"
    file.write_text(wrong)
    with pytest.raises(ConfigError) as refused:
        EdgeClient.from_file(file, env={})
    assert main(["check", str(file)], {}) == 2
    printed = capsys.readouterr()
    assert printed == ("", f"llm-edge: {refused.value}\n")
    assert told.replace("{file}", str(file)) in printed.err


def test_a_missing_file_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["check", str(tmp_path / "none.toml")], {}) == 2
    assert capsys.readouterr().err.startswith(f"llm-edge: {tmp_path / 'none.toml'}: there is no such file.")


def test_check_reads_the_real_environment_and_edge_toml_by_default(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(file.parent)
    monkeypatch.setenv("OTHER_KEY", "x")
    monkeypatch.delenv("LLM_EDGE_ENV", raising=False)
    assert main(["check"]) == 0
    assert "ttl = 60  # edge.toml:7" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["chek"], ["check", "a", "b"]])
def test_a_command_that_is_not_understood_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(arguments, {})
    assert caught.value.code == 2
    assert "usage: llm-edge" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (["serve", "edge.toml"], "usage: llm-edge serve [-h] [--config FILE]"),
        (
            ["check", "--config", "edge.toml"],
            "usage: llm-edge check [-h] [--environment NAME]",
        ),
        (["cache", "stats", "edge.toml"], "usage: llm-edge cache stats [-h] [--json] [--config FILE]"),
    ],
)
def test_what_a_command_does_not_take_is_told_with_what_it_takes(
    arguments: list[str], usage: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("COLUMNS", "120")
    with pytest.raises(SystemExit) as caught:
        main(arguments, {})
    assert caught.value.code == 2
    assert usage in capsys.readouterr().err


def test_help_says_what_there_is(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--help"], {})
    assert caught.value.code == 0
    assert "check a configuration" in capsys.readouterr().out


def test_the_command_is_installed_under_its_name():
    project = tomllib.loads((Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["scripts"] == {"llm-edge": f"{main.__module__}:{main.__name__}"}


def test_without_a_command_it_says_what_there_is(capsys: pytest.CaptureFixture[str]):
    assert main([], {}) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "ask each provider one tiny question" in printed.err


def test_it_knows_its_version(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        main(["--version"], {})
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"llm-edge {llm_edge.__version__}\n"


def test_it_can_be_run_as_a_module():
    command = [sys.executable, "-m", "llm_edge", "check", "not-there.toml"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("llm-edge: not-there.toml: there is no such file.")


@pytest.mark.parametrize(
    ("arguments", "gone", "extra"),
    [
        (["serve"], ["granian"], "serve"),
        (["keys", "list"], ["jwt", "argon2"], "serve"),
        (["import", "litellm.yaml"], ["yaml"], "import"),
    ],
)
def test_a_command_that_lacks_its_packages_names_the_extra_with_them(arguments: list[str], gone: list[str], extra: str):
    begun = f"import sys; sys.modules.update(dict.fromkeys({gone})); from llm_edge.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", begun, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("llm-edge: ")
    assert f"pip install 'llm_edge[{extra}]'" in done.stderr
