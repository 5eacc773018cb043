"""Google's tokens, got by the real google-auth from a token server of this test."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from llm_edge import ConfigError, EdgeClient, NetworkFailed, Unauthorized
from llm_edge.clouds.google import GoogleBearer
from llm_edge.message import Headers
from llm_edge.testing import Call, Provider, answer, json_body, status
from llm_edge.testing.steps import Step
from tests.conftest import Colour

Edges = Callable[..., EdgeClient]


@pytest.fixture(scope="module")
def private_key() -> str:
    """A key that was made for this test and opens nothing."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, kind = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(form, kind, serialization.NoEncryption()).decode()


class Tokens:
    """A token server: numbered tokens, good for so many seconds."""

    def __init__(self, provider: Provider) -> None:
        self.provider, self.lives, self.given = provider, 3600, 0
        provider.script(self.answer)

    def answer(self, call: Call) -> Step:
        self.given += 1
        assert b"grant_type=" in call.body
        return json_body({"access_token": f"token-{self.given}", "expires_in": self.lives, "token_type": "Bearer"})


@pytest.fixture
def tokens(providers: Callable[..., Provider]) -> Tokens:
    return Tokens(providers())


@pytest.fixture
def file(tmp_path: Path, private_key: str, tokens: Tokens) -> Path:
    """The credentials of a service account, as Google's console gives them out."""
    account = {
        "type": "service_account", "project_id": "p", "private_key_id": "1", "private_key": private_key,
        "client_email": "robot@p.iam.gserviceaccount.com", "client_id": "1",
        "token_uri": f"{tokens.provider.url}/token", "universe_domain": "googleapis.com",
    }  # fmt: skip
    file = tmp_path / "account.json"
    file.write_text(json.dumps(account))
    return file


@pytest.fixture
def edge(edges: Edges, provider: Provider, file: Path) -> EdgeClient:
    place = {"kind": "vertex", "project": "p", "base_url": provider.url, "credentials_file": str(file)}
    return edges(providers={"vertex": place}, retry={"base": 0.0})


def test_a_service_account_gets_a_token_once_for_all_calls(
    colour: Colour, edge: EdgeClient, provider: Provider, tokens: Tokens
) -> None:
    for number in range(3):
        assert colour.chat(edge, "vertex/gemini-3.8-flash", f"question {number}").text == "Hello!"
    assert [call.key for call in provider.asked(3)] == ["token-1"] * 3
    assert "x-goog-user-project" not in provider.last.headers
    assert tokens.given == 1


def test_nothing_is_asked_of_google_before_the_first_call(edge: EdgeClient, tokens: Tokens) -> None:
    assert repr(edge)
    assert tokens.given == 0


def test_a_token_that_is_not_taken_is_got_anew_and_the_call_goes_well(
    colour: Colour, edge: EdgeClient, provider: Provider, tokens: Tokens
) -> None:
    provider.script(status(401), answer("at last"))
    assert colour.chat(edge, "vertex/claude-sonnet-5-5", "hi").text == "at last"
    assert [call.key for call in provider.asked(2)] == ["token-1", "token-2"]


def test_a_short_lived_token_is_renewed_while_it_is_used(
    colour: Colour, edge: EdgeClient, provider: Provider, tokens: Tokens
) -> None:
    tokens.lives = 100  # less than the time before its end at which a new one is got
    for number in range(3):
        colour.chat(edge, "vertex/gemini-3.8-flash", f"question {number}")
    assert [call.key for call in provider.asked(3)] == ["token-1"] * 3
    assert tokens.given == 1


def test_a_refused_account_is_told_with_the_fix(colour: Colour, edge: EdgeClient, tokens: Tokens) -> None:
    tokens.provider.script(json_body({"error": "invalid_grant", "error_description": "canary"}, status=400))
    with pytest.raises(Unauthorized, match=r"Google gave no token \(invalid_grant\); sign in with `gcloud") as told:
        colour.chat(edge, "vertex/gemini-3.8-flash", "hi")
    assert "canary" not in str(told.value)
    assert told.value.elsewhere


def test_a_token_server_that_is_not_there_is_a_matter_of_the_network(
    colour: Colour, edges: Edges, provider: Provider, file: Path
) -> None:
    account = json.loads(file.read_text()) | {"token_uri": "http://127.0.0.1:9/token"}
    file.write_text(json.dumps(account))
    place = {"kind": "vertex", "project": "p", "base_url": provider.url, "credentials_file": str(file)}
    edge = edges(providers={"vertex": place}, retry={"attempts": 1})
    with pytest.raises(NetworkFailed, match="Google could not be asked for a token"):
        colour.chat(edge, "vertex/gemini-3.8-flash", "hi")
    provider.never_asked()


def test_a_call_moves_on_when_google_gives_no_token(
    colour: Colour, edges: Edges, provider: Provider, file: Path, tokens: Tokens
) -> None:
    tokens.provider.script(json_body({"error": "invalid_grant"}, status=400))
    edge = edges(
        providers={
            "vertex": {"project": "p", "base_url": "http://127.0.0.1:9", "credentials_file": str(file)},
            "spare": {"base_url": f"{provider.url}/v1"},
        },
        routes={"r": {"targets": ["vertex/gemini-3.8-flash", "spare/m"]}},
    )
    assert colour.chat(edge, "r", "hi").target == "spare/m"


def test_credentials_that_pay_by_another_project_say_so(
    colour: Colour, edges: Edges, provider: Provider, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "GOOGLE_CLOUD_QUOTA_PROJECT", "who-pays")
    place = {"project": "p", "base_url": provider.url, "credentials_file": str(file)}
    assert colour.chat(edges(providers={"vertex": place}), "vertex/gemini-3.8-flash", "hi").text == "Hello!"
    assert provider.last.headers["x-goog-user-project"] == "who-pays"
    named = edges(providers={"vertex": {**place, "headers": {"X-Goog-User-Project": "mine"}}})
    colour.chat(named, "vertex/gemini-3.8-flash", "hi")
    assert provider.last.headers["x-goog-user-project"] == "mine"


def test_the_defaults_of_this_machine_are_taken_where_no_file_is_named(
    colour: Colour, edges: Edges, provider: Provider, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "GOOGLE_APPLICATION_CREDENTIALS", str(file))
    edge = edges(providers={"vertex": {"project": "p", "base_url": provider.url}})
    colour.chat(edge, "vertex/gemini-3.8-flash", "hi")
    assert provider.last.key == "token-1"


# The warning of google-auth is about files of strangers; this one is the app's own.
@pytest.mark.filterwarnings("ignore:The load_credentials_from_dict method:DeprecationWarning")
@pytest.mark.parametrize("held", ['{"type": "canary"}', "canary", '"canary"'])
def test_a_file_that_holds_no_credentials_is_told(
    colour: Colour, edges: Edges, provider: Provider, tmp_path: Path, held: str
) -> None:
    file = tmp_path / "other.json"
    file.write_text(held)
    place = {"project": "p", "base_url": provider.url, "credentials_file": str(file)}
    with pytest.raises(Unauthorized, match="sign in with `gcloud auth application-default login`") as told:
        colour.chat(edges(providers={"vertex": place}), "vertex/gemini-3.8-flash", "hi")
    assert "canary" not in str(told.value)


def test_what_is_no_failure_of_googles_is_told_by_its_name(colour: Colour, provider: Provider) -> None:
    def broken() -> Any:
        raise LookupError("canary")

    from llm_edge.providers.base import Wire

    wire = Wire(url=provider.url, headers=Headers())
    with pytest.raises(Unauthorized, match="LookupError") as told:
        colour.run(GoogleBearer(broken).show(wire, colour.runtime(), None))
    assert "canary" not in str(told.value)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    with pytest.raises(ConfigError, match=r"pip install 'llm_edge\[gcp\]'"):
        EdgeClient(providers={"vertex": {"project": "p"}}, env={})
