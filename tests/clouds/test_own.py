"""Credentials the app brings itself, of the kinds that the clouds' own SDKs take."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from llm_edge import ConfigError, EdgeClient, NetworkFailed, Unauthorized
from llm_edge.clouds.own import Place, own
from llm_edge.config import ResolvedProvider
from llm_edge.message import Headers
from llm_edge.providers.base import Credential, Wire
from llm_edge.runtime import FakeClock
from llm_edge.testing import Provider, answer, status, stream
from tests.conftest import Colour

Edges = Callable[..., EdgeClient]
PLACES: dict[str, Any] = {
    "azure": ("azure/my-gpt", {}),
    "azure-anthropic": ("azure-anthropic/claude-opus-4-8", {}),
    "vertex": ("vertex/gemini-3.8-flash", {"project": "p"}),
    "bedrock": ("bedrock/us.amazon.nova-micro-v1:0", {"region": "us-east-1"}),
    "openai": ("openai/gpt-5.4", {}),
    "mine": ("mine/any", {}),
}


class Tokens:
    """A function of the app's that gives numbered tokens."""

    def __init__(self) -> None:
        self.given = 0
        self.threads = set[str]()

    def __call__(self) -> str:
        self.given += 1
        self.threads.add(threading.current_thread().name)
        return f"token-{self.given}"


@dataclass
class Entras:
    """What azure-identity's credentials can do."""

    scopes: tuple[str, ...] = ()

    def get_token(self, *scopes: str, **options: Any) -> Any:
        self.scopes = scopes

        @dataclass
        class Token:
            token: str = "entra-token"
            expires_on: int = 4_000_000_000

        return Token()


def google_credentials() -> Any:
    """Credentials of google-auth's own kind that need no server."""
    from google.auth import credentials

    kind: Any = credentials.Credentials

    class Own(kind):  # type: ignore[misc]  # google-auth has no types
        quota_project_id = "payer"

        def refresh(self, request: Any) -> None:
            self.token = "google-token"
            self.expiry = datetime.now(UTC).replace(tzinfo=None) + timedelta(hours=1)

    return Own()


def aws_session() -> Any:
    import botocore.session

    session: Any = botocore.session.Session()
    session.set_credentials("AKIDOWN", "s3cr3t", "t-1")
    return session


def edge_of(edges: Edges, provider: Provider, name: str, given: object, **more: Any) -> EdgeClient:
    place = {"base_url": provider.url, **PLACES[name][1]}
    return edges(providers={name: place}, credentials={name: given}, retry={"attempts": 2, "base": 0}, **more)


@pytest.mark.parametrize("name", PLACES)
def test_a_function_gives_the_token_of_any_provider(
    colour: Colour, edges: Edges, provider: Provider, name: str
) -> None:
    give = Tokens()
    edge = edge_of(edges, provider, name, give, cache={"policy": "off"})
    for _ in range(2):
        colour.chat(edge, PLACES[name][0], "hi")
    assert {call.headers["authorization"] for call in provider.asked(2)} == {"Bearer token-1"}
    assert not {"api-key", "x-api-key", "x-goog-api-key"} & set(provider.last.headers)
    assert threading.current_thread().name not in give.threads


def test_a_credential_of_azures_is_asked_for_azures_models(colour: Colour, edges: Edges, provider: Provider) -> None:
    given = Entras()
    provider.script(stream("a", "b"))
    got = colour.items(colour.chat(edge_of(edges, provider, "azure", given), "azure/my-gpt", "hi", stream=True))
    assert "".join(each.text for each in got) == "ab"
    assert provider.last.headers["authorization"] == "Bearer entra-token"
    assert given.scopes == ("https://cognitiveservices.azure.com/.default",)


def test_credentials_of_googles_say_who_pays(colour: Colour, edges: Edges, provider: Provider) -> None:
    colour.chat(edge_of(edges, provider, "vertex", google_credentials()), "vertex/gemini-3.8-flash", "hi")
    assert provider.last.headers["authorization"] == "Bearer google-token"
    assert provider.last.headers["x-goog-user-project"] == "payer"


@pytest.mark.parametrize("of", ["session", "credentials"])
def test_a_session_of_aws_signs(colour: Colour, edges: Edges, provider: Provider, of: str) -> None:
    session = aws_session()
    given = session if of == "session" else session.get_credentials()
    colour.chat(edge_of(edges, provider, "bedrock", given), PLACES["bedrock"][0], "hi")
    assert "Credential=AKIDOWN/" in provider.last.headers["authorization"]
    assert provider.last.headers["x-amz-security-token"] == "t-1"


def test_a_variable_with_a_key_gives_way(colour: Colour, edges: Edges, provider: Provider) -> None:
    edge = edges(
        providers={"azure": {}}, credentials={"azure": Tokens()},
        env={"AZURE_OPENAI_ENDPOINT": provider.url, "AZURE_OPENAI_API_KEY": "from-a-variable"},
    )  # fmt: skip
    colour.chat(edge, "azure/my-gpt", "hi")
    assert provider.last.headers["authorization"] == "Bearer token-1"
    assert "from-a-variable" not in str(provider.last.headers)


def test_a_token_that_is_not_taken_is_asked_for_anew(colour: Colour, edges: Edges, provider: Provider) -> None:
    provider.script(status(401), answer("ok"))
    colour.chat(edge_of(edges, provider, "openai", Tokens()), "openai/gpt-5.4", "hi")
    assert [call.headers["authorization"] for call in provider.asked(2)] == ["Bearer token-1", "Bearer token-2"]


# ------------------------------------------------------------------ kept fresh


def made(given: object, name: str = "p", kind: str = "openai") -> Credential:
    return own(Place(name, kind, ResolvedProvider(), "https://api.example.test/v1"), given)


def shown(colour: Colour, credential: Credential, clock: FakeClock) -> str:
    wire = Wire(url="https://api.example.test", headers=Headers())
    return colour.run(credential.show(wire, colour.runtime(clock), 5.0)).headers["authorization"]


def settled() -> None:
    """Nothing is being fetched any more."""
    for thread in threading.enumerate():
        if thread.name.startswith("llm_edge: a token for"):
            thread.join(5)


def test_a_token_without_an_end_is_asked_for_again_behind_the_callers_backs(colour: Colour) -> None:
    give, clock = Tokens(), FakeClock()
    credential = made(give)
    assert [shown(colour, credential, clock) for _ in range(3)] == ["Bearer token-1"] * 3
    clock.advance(61)
    assert shown(colour, credential, clock) == "Bearer token-1"
    settled()
    assert shown(colour, credential, clock) == "Bearer token-2"
    assert give.given == 2


def test_an_old_token_serves_while_no_newer_one_is_to_be_had_but_not_for_ever(colour: Colour) -> None:
    answers: list[Any] = ["token-1"]

    def give() -> str:
        if not answers:
            raise ConnectionError("no route to sk-canary")
        return str(answers.pop())

    clock, credential = FakeClock(), made(give)
    assert shown(colour, credential, clock) == "Bearer token-1"
    clock.advance(1800)
    assert shown(colour, credential, clock) == "Bearer token-1"
    settled()
    clock.advance(1800)
    with pytest.raises(NetworkFailed, match=r"a token for p could not be had \(ConnectionError\)") as told:
        shown(colour, credential, clock)
    assert "canary" not in str(told.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [(None, "a NoneType"), ("", "an empty text"), ("a\nb", "a text that cannot stand in a header"), (b"x", "a bytes")],
)
def test_what_is_no_token_is_told_and_not_shown(colour: Colour, given: object, said: str) -> None:
    with pytest.raises(Unauthorized, match=rf"credentials\['p'\] gave no token, but {said}"):
        shown(colour, made(lambda: given), FakeClock())


def test_a_function_that_fails_is_told_by_its_kind_alone(colour: Colour) -> None:
    def give() -> str:
        raise KeyError("sk-canary-123")

    with pytest.raises(Unauthorized, match="KeyError") as told:
        shown(colour, made(give), FakeClock())
    assert "canary" not in str(told.value)


# ------------------------------------------------------------------ mistakes


async def later() -> str:
    return "token"


class Loopish:
    async def get_token(self, *scopes: str) -> str:
        return "token"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (later, "is for event loops only; give its blocking twin"),
        (Loopish(), "is for event loops only"),
        ("sk-1", "is no credential; give a function"),
        (7, "is no credential"),
        (Entras(), r"is Entra's, which needs a scope; give a function: azure\.identity\.get_bearer_token_provider"),
    ],
    ids=["async function", "async credential", "text", "number", "Entra elsewhere"],
)
def test_what_cannot_be_used_is_told_at_the_start(edges: Edges, given: object, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"credentials\['mine'\] {said}") as told:
        edges(providers={"mine": {"base_url": "http://127.0.0.1:9/v1"}}, credentials={"mine": given})
    assert "sk-1" not in str(told.value)


def test_keys_of_aws_sign_for_nobody_else(edges: Edges) -> None:
    with pytest.raises(ConfigError, match="is no provider of the kind 'bedrock'"):
        edges(providers={"mine": {"base_url": "http://127.0.0.1:9/v1"}}, credentials={"mine": aws_session()})


def test_a_key_beside_a_credential_is_one_too_many(edges: Edges) -> None:
    with pytest.raises(
        ConfigError, match=r"credentials\['openai'\] stands beside providers\.openai\.api_key; keep one"
    ):
        edges(providers={"openai": {"api_key": "k"}}, credentials={"openai": Tokens()})


def test_a_credential_for_nobody_is_told(edges: Edges) -> None:
    with pytest.raises(ConfigError, match="nobody knows a provider of the kind 'opneai'"):
        edges(credentials={"opneai": Tokens()})
