"""A caller's credential goes to the host the caller addressed, and to no other, ever."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import httpx2
import openai
import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer, redirect, status

CANARY = "sk-canary-4f1d"
ASK: Any = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}]}
SHOWN = {
    "authorization": f"Bearer {CANARY}",
    "x-api-key": CANARY,
    "x-goog-api-key": CANARY,
    "api-key": CANARY,
    "x-company-token": CANARY,
    "cookie": f"session={CANARY}",
}


def told(provider: Provider) -> str:
    """Everything a provider was told, as one text."""
    return "\n".join(
        f"{call.path} {call.query} {dict(call.headers)['host']} {list(call.headers.values())} {call.body!r}"
        for call in provider.calls
    )


def test_with_no_configuration_the_key_goes_where_the_sdk_pointed(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any
) -> None:
    client = sdks.openai(edge, provider, api_key=CANARY)
    colour.finish(client.chat.completions.create(**ASK))
    assert provider.asked(1)[0].headers["authorization"] == f"Bearer {CANARY}"


def test_a_route_to_other_hosts_uses_their_keys_alone(
    sdks: Any, edges: Callable[..., EdgeClient], providers: Callable[..., Provider], colour: Any, engine: str
) -> None:
    pointed_at, first, second = providers(), providers(status(503)), providers(answer("second"))
    edge = edges(
        http={"engine": engine},
        retry={"attempts": 1},
        providers={
            "first": {"kind": "openai", "base_url": first.url + "/v1", "api_key": "sk-first"},
            "second": {"kind": "openai", "base_url": second.url + "/v1"},
        },
        routes={"fast": {"targets": ["first/a", "second/b"]}},
    )
    client = sdks.openai(edge, pointed_at, api_key=CANARY, default_headers={**SHOWN, "host": "evil.example"})
    got = colour.finish(client.chat.completions.create(**{**ASK, "model": "fast"}, extra_query={"key": CANARY}))
    assert got.choices[0].message.content == "second"
    pointed_at.never_asked()
    assert first.last.key == "sk-first"
    assert CANARY not in told(first) + told(second)
    assert "evil.example" not in told(first) + told(second)


def test_a_place_that_is_configured_without_a_key_takes_the_callers_and_no_other_place_does(
    sdks: Any, edges: Callable[..., EdgeClient], providers: Callable[..., Provider], colour: Any, engine: str
) -> None:
    here, there = providers(status(503)), providers(answer("there"))
    edge = edges(
        http={"engine": engine},
        retry={"attempts": 1},
        providers={
            "here": {"kind": "openai", "base_url": here.url + "/v1"},
            "there": {"kind": "openai", "base_url": there.url + "/v1"},
        },
        routes={"fast": {"targets": ["here/a", "there/b"]}},
    )
    client = sdks.openai(edge, here, api_key=CANARY)
    colour.finish(client.chat.completions.create(**{**ASK, "model": "fast"}))
    assert here.last.key == CANARY
    assert CANARY not in told(there)


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/files"])
def test_a_redirect_to_another_host_is_followed_without_the_key(
    edge: EdgeClient, providers: Callable[..., Provider], colour: Any, library: str, code: int, path: str
) -> None:
    away = providers(answer("followed"))
    here = providers(redirect(away.url + path, status=code))
    http = colour.http_client(edge, library)
    colour.opened.append(http)
    colour.finish(http.post(here.url + path, json=ASK, headers=SHOWN))
    assert {name: here.last.headers[name] for name in SHOWN} == SHOWN
    assert len(away.calls) == 1
    assert CANARY not in told(away)


def test_a_redirect_within_the_host_keeps_the_key(edge: EdgeClient, provider: Provider, colour: Any, sdks: Any) -> None:
    provider.script(redirect("/v1/elsewhere/chat/completions"), answer("moved"))
    client = sdks.openai(edge, provider, api_key=CANARY)
    got = colour.finish(client.chat.completions.create(**ASK))
    assert got.choices[0].message.content == "moved"
    assert [call.key for call in provider.calls] == [CANARY, CANARY]


def test_a_configured_target_that_redirects_is_refused(
    sdks: Any, edges: Callable[..., EdgeClient], providers: Callable[..., Provider], colour: Any, engine: str
) -> None:
    away = providers()
    here = providers(redirect(away.url + "/v1/chat/completions"))
    edge = edges(
        http={"engine": engine},
        retry={"attempts": 1},
        providers={"here": {"kind": "openai", "base_url": here.url + "/v1", "api_key": CANARY}},
    )
    client = sdks.openai(edge, away, api_key="sk-own")
    with pytest.raises(openai.InternalServerError, match="a credential is never redirected") as caught:
        colour.finish(client.chat.completions.create(**{**ASK, "model": "here/m"}))
    assert caught.value.status_code == 502
    away.never_asked()


def test_a_user_and_password_in_the_address_are_shown_to_nobody_else(
    edge: EdgeClient, provider: Provider, colour: Any
) -> None:
    http = colour.http_client(edge)
    colour.opened.append(http)
    url = provider.url.replace("http://", f"http://user:{CANARY}@") + "/v1/chat/completions"
    got = colour.finish(http.post(url, json=ASK))
    assert provider.last.headers["authorization"].startswith("Basic ")
    assert "x-llm-edge-target" in got.headers
    assert CANARY not in str(got.headers)


def test_an_answer_kept_for_one_key_is_not_given_to_another(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any
) -> None:
    for key in (CANARY, "sk-other"):
        colour.finish(sdks.openai(edge, provider, api_key=key).chat.completions.create(**ASK))
    assert [call.key for call in provider.calls] == [CANARY, "sk-other"]


@pytest.mark.parametrize("family", [httpx2, httpx], ids=["httpx2", "httpx"])
def test_a_key_that_cannot_be_sent_is_not_shown_in_the_error(
    edge: EdgeClient, provider: Provider, colour: Any, family: Any
) -> None:
    http = colour.http_client(edge, family.__name__)
    colour.opened.append(http)
    got = colour.finish(
        http.post(provider.url + "/v1/chat/completions", json=ASK, headers={"authorization": f"Bearer {CANARY}\n"})
    )
    assert got.status_code == 400
    assert CANARY not in got.text + str(got.headers)
    provider.never_asked()


@pytest.mark.parametrize("base_url", ["localhost:1/v1", "127.0.0.1/v1", "api.mine.test/v1", "//api.mine.test/v1"])
def test_a_call_to_an_address_without_http_goes_to_nobody(
    base_url: str, sdks: Any, edges: Callable[..., EdgeClient], provider: Provider, colour: Any
) -> None:
    """It was meant for a host of the app's: not for the provider whose model it names, with a key of ours."""
    edge = edges(providers={"openai": {"base_url": provider.url + "/v1", "api_key": "sk-ours"}})
    client = colour.openai(edge, base_url)
    with pytest.raises(openai.APIStatusError, match="must begin with http") as caught:
        colour.finish(client.chat.completions.create(**{**ASK, "model": "gpt-5.4-mini"}))
    assert caught.value.response.headers["x-should-retry"] == "false"
    with pytest.raises(openai.APIConnectionError):
        colour.finish(client.files.retrieve("f"))
    provider.never_asked()
