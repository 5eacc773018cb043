"""A call that showed no key is told where one would have to stand."""

from __future__ import annotations

import pytest

from llm_edge.errors import NotFound, Unauthorized
from llm_edge.message import Headers
from llm_edge.providers.base import Target, Wire
from llm_edge.providers.keyless import KEY_HEADERS, told

OPENAI = Target(provider="openai", model="m", base_url="https://api.openai.com/v1")
BARE = Wire(url="https://x.test", headers=Headers({"content-type": "application/json"}))


def test_the_variable_is_named_at_the_providers_own_address() -> None:
    said = str(told(Unauthorized("no."), OPENAI, BARE))
    assert said == "no. (no key was sent; set the variable OPENAI_API_KEY, or providers.openai.api_key)"


@pytest.mark.parametrize("provider", ["openai", "mine"])
def test_no_variable_is_named_for_an_address_of_its_own(provider: str) -> None:
    target = Target(provider=provider, model="m", base_url="http://127.0.0.1:1/v1", kind="openai")
    assert str(told(Unauthorized("no."), target, BARE)).endswith(f"(no key was sent; set providers.{provider}.api_key)")


@pytest.mark.parametrize("header", KEY_HEADERS)
def test_nothing_is_said_where_a_key_was_shown(header: str) -> None:
    wire = Wire(url="https://x.test", headers=Headers({header: "k"}))
    assert str(told(Unauthorized("no."), OPENAI, wire)) == "no."


def test_nothing_is_said_of_other_failures_nor_of_the_apps_own_calls() -> None:
    addressed = Target(provider="openai", model="m", addressed=True)
    assert str(told(NotFound("no."), OPENAI, BARE)) == "no."
    assert str(told(Unauthorized("no."), addressed, BARE)) == "no."
