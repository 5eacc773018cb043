"""Where callers come from, and how often one address may ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge import EdgeClient
from llm_edge.config import ServeAddressesConfig
from llm_edge.errors import ConfigError, RateLimited
from llm_edge.runtime import FakeClock
from llm_edge.serve import addresses
from llm_edge.serve.addresses import Addresses
from llm_edge.testing import Provider, answer

from .conftest import App
from .kit import CHAT, question

Make = Callable[..., App]
PROXIES = ("10.0.0.0/8", "::1")


def scope(client: str, **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {"client": (client, 5), "headers": pairs}


def made(clock: FakeClock | None = None, **settings: Any) -> Addresses:
    return Addresses(ServeAddressesConfig(**settings), clock or FakeClock())


@pytest.mark.parametrize(
    ("near", "told", "found"),
    [
        ("192.0.2.1", "203.0.113.9", "192.0.2.1"),  # no proxy of ours: whatever it says
        ("10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),  # what stands further left may be made up
        ("10.0.0.1", "203.0.113.9, 10.0.0.2", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9:4711", "203.0.113.9"),
        ("::1", "[2001:db8::1]:80", "2001:db8::1"),
        ("10.0.0.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.9, unknown, 10.0.0.2", "10.0.0.2"),
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.3", "10.0.0.3"),
    ],
)
def test_the_right_most_stranger_is_the_caller(near: str, told: str, found: str) -> None:
    assert made(trusted_proxies=PROXIES).of(scope(near, x_forwarded_for=told)) == found


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ('for=203.0.113.9;host="a,for=1.1.1.1"', "203.0.113.9"),  # what the caller chose, as its proxy quotes it
        ('host="a;for=1.1.1.1";for=203.0.113.9', "203.0.113.9"),
        ('for=", for=203.0.113.9', "203.0.113.9"),
        ('x=", for=203.0.113.9;host="b"', "203.0.113.9"),
        ('for="203.0.113.9:80"; proto=https , for=10.0.0.2', "203.0.113.9"),
        ('proto=https;For="[2001:db8::1]"', "2001:db8::1"),
        ('for=1.1.1.1;x="', "10.0.0.1"),
        ("proto=https", "10.0.0.1"),
    ],
)
def test_what_a_caller_may_choose_moves_nobody(told: str, found: str) -> None:
    assert made(trusted_proxies=PROXIES, header="forwarded").of(scope("10.0.0.1", forwarded=told)) == found


def test_the_other_header_is_not_read() -> None:
    forged = scope("10.0.0.1", x_forwarded_for="1.1.1.1", forwarded='for="[2001:db8::1]:4711";proto=https, by=x;for=a')
    assert made(trusted_proxies=PROXIES).of(forged) == "1.1.1.1"
    told = scope("10.0.0.1", x_forwarded_for="1.1.1.1", forwarded='by=10.0.0.1;for="[2001:db8::1]:4711"')
    assert made(trusted_proxies=PROXIES, header="forwarded").of(told) == "2001:db8::1"
    assert made(trusted_proxies=PROXIES, header="forwarded").of(forged) == "10.0.0.1"


@given(st.text(st.characters(max_codepoint=255), max_size=80))
def test_whatever_a_header_says_there_is_an_address(told: str) -> None:
    found = made(trusted_proxies=PROXIES).of(scope("10.0.0.1", x_forwarded_for=told))
    assert found
    assert found != "192.0.2.1"


def test_without_a_connection_of_ip_nobody_is_counted() -> None:
    unknown = made(requests_per_minute=1)
    for _ in range(3):
        unknown.admit({"client": None, "headers": []})
    assert unknown.of({"client": None, "headers": []}) == ""


def test_an_address_is_held_to_its_pace() -> None:
    clock = FakeClock()
    held = made(clock, requests_per_minute=60, burst=3)
    for _ in range(3):
        held.admit(scope("192.0.2.1"))
    with pytest.raises(RateLimited) as caught:
        held.admit(scope("192.0.2.1"))
    assert caught.value.retry_after == pytest.approx(1.0)
    held.admit(scope("192.0.2.2"))  # others are not
    clock.advance(1.0)
    held.admit(scope("192.0.2.1"))
    with pytest.raises(RateLimited):
        held.admit(scope("192.0.2.1"))


def test_one_line_has_all_addresses_of_its_network() -> None:
    held = made(requests_per_minute=60, burst=1)
    held.admit(scope("2001:db8::1"))
    with pytest.raises(RateLimited):
        held.admit(scope("2001:db8::ffff:2"))
    held.admit(scope("2001:db8:0:1::1"))


def test_memory_does_not_grow_with_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addresses, "MOST", 50)
    held = made(requests_per_minute=60)
    for number in range(200):
        held.admit(scope(f"192.0.2.{number}"))
    assert len(held._due) == 50


def test_a_refusal_is_told_in_the_callers_dialect(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    app = sidecar(serve={"addresses": {"requests_per_minute": 1}})
    assert app("POST", CHAT, question("paced?")).status == 200
    said = app("POST", CHAT, question("paced again?"))
    assert said.status == 429
    assert 0 < int(said.headers["retry-after"]) <= 60
    assert "1 times a minute" in said.json["error"]["message"]
    assert app("POST", "/v1/messages", b"").json["type"] == "error"
    assert app("GET", "/v1/models").status == 429
    assert app("GET", "/health/live").status == 200  # or its keepers would end it


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"trusted_proxies": ["10.0.0.1/8"]}, "neither an IP address nor a network"),
        ({"trusted_proxies": "proxy.internal"}, "neither an IP address nor a network"),
        ({"burst": 3}, "no rate to go with"),
    ],
)
def test_what_cannot_be_used_is_told(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        EdgeClient(env={}, serve={"addresses": settings})
