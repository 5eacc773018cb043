"""Secrets kept elsewhere: which one is used, and that none is ever told."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from llm_edge.config import EdgeConfig, Resolved, resolve
from llm_edge.config.keys import HIDDEN, shown
from llm_edge.errors import ConfigError

CANARY = "sk-canary-7f3a"
KNOWN = {"openai": ["OPENAI_API_KEY"], "gemini": ["GEMINI_API_KEY", "GOOGLE_API_KEY"]}


def keys(resolved: Resolved, provider: str) -> list[str]:
    return [key.get_secret_value() for key in resolved.providers[provider].keys]


def refusal(config: EdgeConfig, env: dict[str, str] | None = None, known: dict[str, list[str]] | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(config, env, known)
    everything = "".join(traceback.format_exception(caught.value))
    assert "canary" not in everything
    assert caught.value.__context__ is None
    return str(caught.value)


def provider(**settings: Any) -> EdgeConfig:
    return EdgeConfig(providers={"openai": settings})


def test_a_key_is_itself_a_variable_or_a_file(tmp_path: Path):
    file = tmp_path / "key"
    file.write_text("from-file\n")
    config = provider(api_key=["plain", "env:SOME_KEY", f"file:{file}"], headers={"x-a": "env:SOME_KEY", "x-b": "b c"})
    resolved = resolve(config, {"SOME_KEY": "from-env"})
    assert keys(resolved, "openai") == ["plain", "from-env", "from-file"]
    headers = {name: value.get_secret_value() for name, value in resolved.providers["openai"].headers.items()}
    assert headers == {"x-a": "from-env", "x-b": "b c"}
    assert "from-" not in repr(resolved)
    assert "plain" not in repr(resolved)


@pytest.mark.parametrize("content", [b"key", b"key\n", b"key\r\n"])
def test_the_line_break_that_ends_a_file_is_no_part_of_its_secret(tmp_path: Path, content: bytes):
    (tmp_path / "key").write_bytes(content)
    assert keys(resolve(provider(api_key=f"file:{tmp_path}/key")), "openai") == ["key"]


def test_a_file_may_stand_in_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    (tmp_path / "key").write_text("at-home")
    assert keys(resolve(provider(api_key="file:~/key")), "openai") == ["at-home"]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"canary\n\n",
        b" canary",
        b"canary\x00",
        b"canary\nsecond",
        "canaryé".encode(),
        b"\xff",
        b"x" * 70_000,
    ],
    ids=ascii,
)
def test_a_file_that_holds_no_key_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "key").write_bytes(content)
    text = refusal(provider(api_key=f"file:{tmp_path}/key"))
    assert text.startswith(f"providers.openai.api_key (keyword providers): the file {tmp_path}/key ")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path):
    text = refusal(provider(api_key=f"file:{tmp_path}/none"))
    assert text == (
        f"providers.openai.api_key (keyword providers): the file {tmp_path}/none cannot be read."
        " Check the path and its permissions."
    )


@pytest.mark.parametrize("value", ["", CANARY + "\n", CANARY + "\x00", f" {CANARY}"], ids=ascii)
def test_a_variable_that_holds_no_key_is_refused(value: str):
    text = refusal(provider(api_key="env:SOME_KEY"), {"SOME_KEY": value})
    assert text.startswith("providers.openai.api_key (keyword providers): the variable SOME_KEY ")


def test_a_variable_that_is_not_set_is_refused():
    assert refusal(provider(api_key=["k", "env:SOME_KEY"]), {}) == (
        "providers.openai.api_key[1] (keyword providers): the variable SOME_KEY is not set."
        " Set it, or change the reference."
    )
    assert "the variable SOME_KEY is not set" in refusal(provider(headers={"x-a": "env:SOME_KEY"}))


@pytest.mark.parametrize("key", ["env:gsk_canary123", "file:sk-canary", "env:CANARY"])
def test_a_key_written_where_its_name_belongs_is_not_told(key: str):
    assert refusal(provider(api_key=key)).startswith("providers.openai.api_key (keyword providers): the ")
    assert shown(SecretStr(key)) == HIDDEN


@pytest.mark.parametrize("reference", ["env:OPENAI_API_KEY", "file:/run/secrets/openai", "file:~/key", "file:../key"])
def test_a_reference_may_be_shown(reference: str):
    assert shown(SecretStr(reference)) == reference


# ---- the variables that providers are known by


def test_a_provider_without_a_key_takes_the_variable_it_is_known_by():
    env = {"OPENAI_API_KEY": "o", "GOOGLE_API_KEY": "g"}
    resolved = resolve(EdgeConfig(providers={"openai": {}, "second": {"kind": "openai"}}), env, KNOWN)
    assert (keys(resolved, "openai"), keys(resolved, "second"), keys(resolved, "gemini")) == (["o"], ["o"], ["g"])


def test_a_key_of_its_own_counts_for_more_than_the_variable():
    assert keys(resolve(provider(api_key="own"), {"OPENAI_API_KEY": "o"}, KNOWN), "openai") == ["own"]


def test_an_address_of_ones_own_gets_no_key_that_was_not_meant_for_it():
    config = EdgeConfig(providers={"local": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}})
    assert keys(resolve(config, {"OPENAI_API_KEY": "o"}, KNOWN), "local") == []


def test_without_a_variable_a_provider_has_no_key():
    resolved = resolve(provider(), {"OPENAI_API_KEY": ""}, KNOWN)
    assert keys(resolved, "openai") == []
    assert set(resolved.providers) == {"openai"}


WRONG = "providers.openai.api_key (default): the variable OPENAI_API_KEY starts or ends with a space"


def test_a_known_variable_that_holds_no_key_is_refused():
    told = refusal(provider(), {"OPENAI_API_KEY": CANARY + "\n"}, KNOWN)
    assert told.startswith(WRONG.replace("default", "keyword providers"))


def test_a_known_variable_of_a_provider_nobody_configured_stops_nothing_until_it_is_asked_for():
    resolved = resolve(EdgeConfig(), {"OPENAI_API_KEY": CANARY + "\n"}, KNOWN)
    assert resolved.providers == {}
    assert str(resolved.unusable["openai"]).startswith(WRONG)
    assert CANARY not in str(resolved.unusable["openai"])


# ---- the rest that lies outside


def test_a_proxy_may_be_a_reference():
    config = EdgeConfig(http={"proxy": "env:LLM_PROXY"})
    proxy = resolve(config, {"LLM_PROXY": f"http://u:{CANARY}@proxy:3128"}).proxy
    assert proxy is not None
    assert proxy.get_secret_value() == f"http://u:{CANARY}@proxy:3128"
    assert refusal(config, {"LLM_PROXY": CANARY}).startswith(
        "http.proxy (keyword http): the variable LLM_PROXY is not the"
    )
    assert resolve(EdgeConfig()).proxy is None


def test_files_of_certificates_must_be_there(tmp_path: Path):
    there = tmp_path / "ca.pem"
    there.write_text("pem")
    assert resolve(EdgeConfig(http={"ca_file": str(there)})).providers == {}
    missing = {"ca_file": str(there), "cert_file": str(tmp_path), "key_file": str(tmp_path / "none")}
    text = refusal(EdgeConfig(http=missing))
    assert "http.cert_file (keyword http): there is no such file, or it cannot be read." in text
    assert "http.key_file (keyword http): there is no such file, or it cannot be read." in text
    assert "ca_file" not in text


def test_all_missing_secrets_are_told_at_once():
    text = refusal(provider(api_key=["env:FIRST_KEY", "env:SECOND_KEY"], headers={"x": "env:THIRD_KEY"}))
    assert text.startswith("3 settings cannot be used:")


def test_nothing_is_read_unless_asked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(os.environ, "SOME_KEY", "x")
    assert "SOME_KEY is not set" in refusal(provider(api_key="env:SOME_KEY"))


@pytest.mark.parametrize("written", ["$OPENAI_API_KEY", "${OPENAI_API_KEY}", "os.environ/OPENAI_API_KEY", "env.MY_KEY"])
def test_a_reference_as_others_write_it_is_not_sent_as_a_key(written: str):
    with pytest.raises(ConfigError, match=r'a reference as others write it\. Write it as in "env:OPENAI_API_KEY"'):
        provider(api_key=written)


@pytest.mark.parametrize(("given", "words"), [(None, "is None"), (b"sk-canary", "is not a key"), (3, "is not a key")])
def test_what_is_no_key_is_told_apart_from_a_missing_one(given: object, words: str):
    """`os.environ.get("OPENAI_API_KEY")`, where nobody set it."""
    with pytest.raises(ConfigError, match=f"providers.openai.api_key .*{words}") as caught:
        provider(api_key=given)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "path", ["/v1/chat/completions", "/v1/messages/", "/v1/embeddings", "/openai/chat/completions"]
)
def test_an_address_that_names_an_operation_is_refused(path: str):
    with pytest.raises(ConfigError, match=r"base_url .*names an operation\. Leave its path out"):
        provider(base_url=f"http://localhost:8000{path}")


@pytest.mark.parametrize("path", ["", "/v1", "/openai/v1", "/messages", "/v1/messages/proxy"])
def test_an_address_may_hold_a_path(path: str):
    assert provider(base_url=f"http://localhost:8000{path}").providers["openai"].base_url is not None
