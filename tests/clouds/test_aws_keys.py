"""AWS's keys as botocore finds them: in variables, in a profile, at a container's address; renewed before they end."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from llm_edge import ConfigError, EdgeClient
from llm_edge.errors import Unauthorized
from llm_edge.testing import Provider, answer, json_body, status
from tests.conftest import Colour

Edges = Callable[..., EdgeClient]
MODEL = "bedrock/us.amazon.nova-micro-v1:0"


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """botocore reads the real environment and the user's files: here there are none."""
    import os

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path


def key_of(provider: Provider) -> str:
    """The id of the key that signed the newest call."""
    return provider.last.headers["authorization"].partition("Credential=")[2].partition("/")[0]


def tokens(identity: str, lasts: timedelta) -> dict[str, str]:
    """What a container's address answers."""
    ends = (datetime.now(UTC) + lasts).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"AccessKeyId": identity, "SecretAccessKey": "s", "Token": "t-1", "Expiration": ends}


def bedrock(edges: Edges, provider: Provider, env: dict[str, str] | None = None, **settings: object) -> EdgeClient:
    given = {"base_url": provider.url, "region": "us-east-1", **settings}
    return edges(providers={"bedrock": given}, retry={"attempts": 2, "base": 0}, env=env or {})


def test_keys_in_variables_sign(colour: Colour, edges: Edges, provider: Provider) -> None:
    provider.script(answer("Hi"))
    env = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"}
    assert colour.chat(bedrock(edges, provider, env), MODEL, "hi").text == "Hi"
    assert key_of(provider) == "AKIDENV"
    assert provider.last.headers["x-amz-security-token"] == "t"


def test_keys_of_a_profile_sign(
    colour: Colour, edges: Edges, provider: Provider, nothing_of_this_machine: Path
) -> None:
    (nothing_of_this_machine / "credentials").write_text(
        "[research]\naws_access_key_id = AKIDPROFILE\naws_secret_access_key = s\n"
    )
    edge = bedrock(edges, provider, {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s"}, profile="research")
    colour.chat(edge, MODEL, "hi")
    assert key_of(provider) == "AKIDPROFILE"


def test_a_profile_that_does_not_exist_is_told(colour: Colour, edges: Edges, provider: Provider) -> None:
    with pytest.raises(Unauthorized, match=r"ProfileNotFound.*AWS_BEARER_TOKEN_BEDROCK"):
        colour.chat(bedrock(edges, provider, profile="nobody"), MODEL, "hi")
    provider.never_asked()


def test_without_any_keys_the_call_says_what_to_set(colour: Colour, edges: Edges, provider: Provider) -> None:
    with pytest.raises(Unauthorized, match="finds no AWS credentials; set AWS_BEARER_TOKEN_BEDROCK"):
        colour.chat(bedrock(edges, provider), MODEL, "hi")
    provider.never_asked()


def test_keys_of_a_container_are_asked_for_once(
    colour: Colour, edges: Edges, providers: Callable[..., Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    house, model = providers(json_body(tokens("AKIDROLE", timedelta(hours=6)))), providers(answer("Hi"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{house.url}/role")
    edge = bedrock(edges, model)
    for number in range(3):
        colour.chat(edge, MODEL, f"question {number}")
    assert key_of(model) == "AKIDROLE"
    house.asked(1, path="/role")


def test_keys_about_to_run_out_are_renewed_while_calls_go_on(
    colour: Colour, edges: Edges, providers: Callable[..., Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = providers(
        json_body(tokens("AKIDOLD", timedelta(minutes=12))), json_body(tokens("AKIDNEW", timedelta(hours=6)))
    )
    model = providers(answer("Hi"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{house.url}/role")
    edge = bedrock(edges, model)
    colour.chat(edge, MODEL, "first")
    seen = [key_of(model)]
    while seen[-1] != "AKIDNEW":
        colour.chat(edge, MODEL, f"question {len(seen)}")
        seen.append(key_of(model))
        assert len(seen) < 2000
    assert set(seen) <= {"AKIDOLD", "AKIDNEW"}


def test_keys_that_are_refused_are_got_anew_once(
    colour: Colour, edges: Edges, providers: Callable[..., Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    house = providers(
        json_body(tokens("AKIDONE", timedelta(hours=6))), json_body(tokens("AKIDTWO", timedelta(hours=6)))
    )
    model = providers(status(403, "The security token included in the request is expired").times(1), answer("Hi"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{house.url}/role")
    assert colour.chat(bedrock(edges, model), MODEL, "hi").text == "Hi"
    assert key_of(model) == "AKIDTWO"
    model.asked(2)


def test_written_keys_that_are_refused_are_not_tried_again(colour: Colour, edges: Edges, provider: Provider) -> None:
    provider.script(status(403))
    env = {"AWS_ACCESS_KEY_ID": "AKIDENV", "AWS_SECRET_ACCESS_KEY": "s"}
    with pytest.raises(Unauthorized):
        colour.chat(bedrock(edges, provider, env), MODEL, "hi")
    provider.asked(1)


def test_nobody_at_the_containers_address_is_no_matter_of_the_key(
    colour: Colour, edges: Edges, providers: Callable[..., Provider], monkeypatch: pytest.MonkeyPatch
) -> None:
    house, model = providers(status(500)), providers(answer("Hi"))
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{house.url}/role")
    with pytest.raises(Unauthorized, match=r"could not be had \(CredentialRetrievalError\)"):
        colour.chat(bedrock(edges, model), MODEL, "hi")
    model.never_asked()


def test_a_bearer_token_needs_no_signature(colour: Colour, edges: Edges, provider: Provider) -> None:
    colour.chat(bedrock(edges, provider, api_key="bedrock-token"), MODEL, "hi")
    assert provider.last.key == "bedrock-token"
    assert "x-amz-date" not in provider.last.headers


def test_the_region_may_stand_in_awss_own_files(nothing_of_this_machine: Path) -> None:
    (nothing_of_this_machine / "config").write_text("[profile research]\nregion = eu-central-1\n")
    with EdgeClient(providers={"bedrock": {"profile": "research"}}, routes={"r": {"targets": [MODEL]}}, env={}) as edge:
        assert edge.config.providers["bedrock"].region is None
        adapter: object = edge._house.targets._adapters["bedrock"]
        assert getattr(adapter, "base_url", "") == "https://bedrock-runtime.eu-central-1.amazonaws.com"


def test_without_a_region_bedrock_cannot_be_configured() -> None:
    with pytest.raises(ConfigError, match=r"providers\.bedrock has no region; set `region`"):
        EdgeClient(providers={"bedrock": {}}, env={})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"access_key_id": "a"}, r"secret_access_key"),
        ({"secret_access_key": "a"}, r"access_key_id"),
        ({"session_token": "a"}, r"access_key_id"),
        ({"access_key_id": "a", "secret_access_key": "b", "profile": "p"}, r"stands beside profile"),
        ({"access_key_id": "a", "secret_access_key": "b", "api_key": "k"}, r"stands beside api_key"),
        ({"region": "Frankfurt"}, r"is not a region of AWS's"),
        ({"api": "chat"}, r"api"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        EdgeClient(providers={"bedrock": {"region": "us-east-1", **settings}}, env={})


def test_a_secret_is_followed_and_shown_nowhere(colour: Colour, edges: Edges, provider: Provider) -> None:
    env = {"ID": "AKIDREF", "SECRET": "the-very-secret"}
    edge = bedrock(edges, provider, env, access_key_id="env:ID", secret_access_key="env:SECRET")
    reply = colour.chat(edge, MODEL, "hi")
    assert key_of(provider) == "AKIDREF"
    assert "the-very-secret" not in f"{edge} {edge.config} {reply.explain()} {edge._house.targets.__dict__}"
