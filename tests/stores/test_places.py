"""The address of a Redis is read exactly, and never repeated when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from llm_edge import ConfigError
from llm_edge.stores.places import Place, place

CANARY = "canary"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://h", Place(shape="server", hosts=(("h", 6379),))),
        ("redis://127.0.0.1:6380/3", Place(shape="server", hosts=(("127.0.0.1", 6380),), database=3)),
        ("rediss://[::1]:1/", Place(shape="server", hosts=(("::1", 1),), tls=True)),
        ("redis://:p%40s@h", Place(shape="server", hosts=(("h", 6379),), password="p@s")),
        ("redis://u%3A:p:q@h", Place(shape="server", hosts=(("h", 6379),), username="u:", password="p:q")),
        ("unix:///run/r%20s.sock", Place(shape="socket", path="/run/r s.sock")),
        ("unix://:p@/run/r.sock", Place(shape="socket", path="/run/r.sock", password="p")),
        (
            "redis+sentinel://a,b:5/mymaster/2",
            Place(shape="sentinel", hosts=(("a", 26379), ("b", 5)), service="mymaster", database=2),
        ),
        ("rediss+sentinel://a/m", Place(shape="sentinel", hosts=(("a", 26379),), service="m", tls=True)),
        ("redis+cluster://a:7000,b:7001", Place(shape="cluster", hosts=(("a", 7000), ("b", 7001)))),
        ("rediss+cluster://a/0", Place(shape="cluster", hosts=(("a", 6379),), tls=True)),
    ],
)
def test_an_address_is_read(url: str, expected: Place) -> None:
    assert place(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "", "h", "http://h", "redis:/h", "redis://", "redis://h:0", "redis://h:65536", "redis://h:x", "redis://a,b",
        "redis://h/x", "redis://h/0/1", "redis://h?db=1", "redis://h#1", "redis://canary@h", "redis://a b",
        "redis://h\n", "redis+sentinel://a", "redis+sentinel://a/", "redis+cluster://a/1", "redis+canary://a",
        "redis://user:canary@h:port", "unix://", "unix://relative", "redis://[::1", "redis://h,",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        place(url)
    assert str(caught.value).startswith("cache.redis.url: ")
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None


@given(st.text())
def test_any_text_is_an_address_or_a_refusal(text: str) -> None:
    for url in (text, f"redis://{text}", f"redis+sentinel://{text}", f"unix://{text}"):
        try:
            assert place(url).shape
        except ConfigError as error:
            assert str(error).startswith("cache.redis.url: ")


def test_a_password_does_not_show() -> None:
    assert CANARY not in repr(place(f"redis://u:{CANARY}@h"))


def test_a_certificate_without_tls_is_refused() -> None:
    assert place("rediss://h", ca_file=Path("/ca.pem")).ca_file == Path("/ca.pem")
    with pytest.raises(ConfigError, match="ca_file"):
        place("redis://h", ca_file=Path("/ca.pem"))
