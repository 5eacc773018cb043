"""Entra's tokens, got by the real azure-identity from an authority of this test, over TLS."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import ConfigError, EdgeClient, NetworkFailed, Unauthorized
from llm_edge.clouds import entra
from llm_edge.clouds.credentials import Bearer
from llm_edge.message import Headers
from llm_edge.providers.base import Wire
from llm_edge.testing import Call, Provider, answer, json_body, status
from llm_edge.testing.certificates import Certificates
from llm_edge.testing.steps import Step
from tests.conftest import Colour

Edges = Callable[..., EdgeClient]
TENANT = "00000000-0000-0000-0000-000000000001"


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("entra"))


class Authority:
    """Plays Entra: where its endpoints are, and numbered tokens."""

    def __init__(self, provider: Provider) -> None:
        self.provider, self.given, self.scopes = provider, 0, list[bytes]()
        self.refusal: Step | None = None
        provider.script(self.answer)

    def answer(self, call: Call) -> Step:
        base = f"{self.provider.url}/{TENANT}"
        if "openid-configuration" in call.path:
            return json_body({
                "token_endpoint": f"{base}/oauth2/v2.0/token", "authorization_endpoint": f"{base}/authorize",
                "issuer": f"{base}/v2.0",
            })  # fmt: skip
        if self.refusal is not None:
            return self.refusal
        self.given += 1
        self.scopes.append(call.body)
        return json_body({"access_token": f"token-{self.given}", "expires_in": 3600, "token_type": "Bearer"})


@pytest.fixture
def authority(certificates: Certificates) -> Any:
    provider = Provider()
    with provider.serve(tls=certificates.server_context()):
        yield Authority(provider)


@pytest.fixture
def principal(authority: Authority, certificates: Certificates) -> Any:
    """A service principal of azure-identity's own making."""
    from azure.identity import ClientSecretCredential

    return ClientSecretCredential(
        TENANT, "client", "secret-canary", authority=authority.provider.url, disable_instance_discovery=True,
        connection_verify=str(certificates.ca_file), retry_total=0,
    )  # fmt: skip


SCOPE = "https://cognitiveservices.azure.com/.default"


def shown(colour: Colour, identity: Any) -> str:
    bearer = Bearer(entra.tokens(lambda: identity, SCOPE))
    wire = Wire(url="https://r.openai.azure.com", headers=Headers())
    return str(colour.run(bearer.show(wire, colour.runtime(), 20.0)).headers["authorization"])


def test_a_service_principal_gets_a_token_for_azures_models(
    colour: Colour, principal: Any, authority: Authority
) -> None:
    assert shown(colour, principal) == "Bearer token-1"
    assert b"cognitiveservices.azure.com" in authority.scopes[0]


def test_a_refused_principal_is_told_by_entras_code(colour: Colour, principal: Any, authority: Authority) -> None:
    said = "AADSTS7000215: Invalid client secret provided: secret-canary. Trace ID: 1"
    authority.refusal = json_body({"error": "invalid_client", "error_description": said}, status=401)
    with pytest.raises(Unauthorized, match=r"Entra gave no token \(AADSTS7000215\); set api_key; or sign in") as told:
        shown(colour, principal)
    assert "canary" not in str(told.value)


def test_an_authority_that_is_not_there_is_a_matter_of_the_network(colour: Colour) -> None:
    from azure.identity import ClientSecretCredential

    nowhere = ClientSecretCredential(
        TENANT, "c", "s", authority="https://127.0.0.1:9", disable_instance_discovery=True, retry_total=0
    )
    with pytest.raises(NetworkFailed, match="Entra could not be asked for a token") as told:
        shown(colour, nowhere)
    assert told.value.retryable


@pytest.mark.parametrize(("code", "kind"), [(503, NetworkFailed), (429, NetworkFailed), (400, Unauthorized)])
def test_a_status_tells_trouble_that_passes_from_trouble_that_does_not(
    colour: Colour, code: int, kind: type[Exception]
) -> None:
    from azure.core.exceptions import HttpResponseError

    class Identity:
        def get_token(self, scope: str) -> Any:
            error = HttpResponseError("canary")
            error.status_code = code
            raise error

    with pytest.raises(kind) as told:
        shown(colour, Identity())
    assert "canary" not in str(told.value)


def test_another_failure_is_told_by_its_name(colour: Colour) -> None:
    class Broken:
        def get_token(self, scope: str) -> Any:
            raise LookupError("canary")

    with pytest.raises(Unauthorized, match="LookupError") as told:
        shown(colour, Broken())
    assert "canary" not in str(told.value)


@pytest.mark.parametrize(
    ("base_url", "scope"),
    [
        ("https://r.openai.azure.com", "https://cognitiveservices.azure.com/.default"),
        ("https://r.openai.azure.us:443/x", "https://cognitiveservices.azure.us/.default"),
        ("https://r.openai.azure.cn", "https://cognitiveservices.azure.cn/.default"),
        ("https://gate.example.com/llm", "https://cognitiveservices.azure.com/.default"),
        ("https://notazure.us", "https://cognitiveservices.azure.com/.default"),
    ],
)
def test_each_azure_has_its_own_scope(base_url: str, scope: str) -> None:
    assert entra.scope_of(base_url) == scope


def test_a_configured_principal_is_who_azure_identity_signs_in(
    colour: Colour, edges: Edges, provider: Provider, principal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    def made(*given: Any, **options: Any) -> Any:
        asked.append(given)
        return principal

    monkeypatch.setattr("azure.identity.ClientSecretCredential", made)
    place = {"base_url": provider.url, "tenant_id": TENANT, "client_id": "client", "client_secret": "env:SECRET"}
    edge = edges(env={"SECRET": "secret-canary"}, providers={"azure": place}, retry={"base": 0.0})
    assert asked == []
    provider.script(answer("one"), status(401), answer("two"))
    assert colour.chat(edge, "azure/m", "1").text == "one"
    assert colour.chat(edge, "azure/m", "2").text == "two"
    assert asked == [(TENANT, "client", "secret-canary")]
    # azure-identity keeps tokens too: what it gives again has been refused, and is tried once more.
    assert [call.headers["authorization"] for call in provider.asked(3)] == ["Bearer token-1"] * 3
    assert "api-key" not in provider.last.headers


@pytest.mark.parametrize(("given", "options"), [({}, {}), ({"client_id": "m"}, {"managed_identity_client_id": "m"})])
def test_else_azure_identity_looks_for_itself(
    colour: Colour,
    edges: Edges,
    provider: Provider,
    principal: Any,
    monkeypatch: pytest.MonkeyPatch,
    given: dict[str, str],
    options: dict[str, str],
) -> None:
    asked: list[dict[str, Any]] = []

    def made(**named: Any) -> Any:
        asked.append(named)
        return principal

    monkeypatch.setattr("azure.identity.DefaultAzureCredential", made)
    edge = edges(providers={"azure-anthropic": {"base_url": provider.url, **given}})
    assert colour.chat(edge, "azure-anthropic/claude-sonnet-5-5", "hi").text == "Hello!"
    assert provider.last.headers["authorization"] == "Bearer token-1"
    assert asked == [options]


def test_a_header_of_ones_own_is_a_credential_too(
    colour: Colour, edges: Edges, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    edge = edges(providers={"azure": {"base_url": provider.url, "headers": {"Authorization": "Bearer own"}}})
    colour.chat(edge, "azure/m", "hi")
    assert provider.last.key == "own"


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity", None)
    with pytest.raises(ConfigError, match=r"set api_key .* or pip install 'llm_edge\[azure\]'"):
        EdgeClient(providers={"azure": {"resource": "r"}}, env={})
