"""Answers that go out compressed, for who asks for it."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import brotli
import pytest

from llm_edge.serve.coding import SMALLEST, coding_for
from llm_edge.testing import Provider, answer, stream

from .conftest import App
from .kit import CHAT, Said, question
from .test_intake import zstd

Make = Callable[..., App]
UNPACK = {"gzip": gzip.decompress, "br": brotli.decompress, "zstd": zstd.decompress}
LONG = "A long answer. " * 400


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip, deflate", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("zstd;q=0, *", "br"),
        ("*", "zstd"),
        ("gzip;q=0", ""),
        ("identity", ""),
        ("gzip;q=no", ""),
        ("GZIP ; q=0.3", "gzip"),
        ("", ""),
    ],
)
def test_the_callers_wish_decides(accepted: str, coding: str) -> None:
    assert coding_for(accepted) == coding


def whole(said: Said) -> bytes:
    coding = said.headers.get("content-encoding")
    return UNPACK[coding](said.body) if coding else said.body


@pytest.mark.parametrize("coding", UNPACK)
def test_a_long_answer_is_compressed(coding: str, sidecar: Make, provider: Provider) -> None:
    provider.script(answer(LONG))
    app, asked = sidecar(), question(f"long {coding}?")
    for _ in range(2):  # from the provider, and from the cache
        said = app("POST", CHAT, asked, {"accept-encoding": coding})
        assert said.headers["content-encoding"] == coding
        assert said.headers["vary"] == "accept-encoding"
        assert json.loads(whole(said))["choices"][0]["message"]["content"] == LONG
        assert len(said.body) < len(LONG)


def test_a_very_long_answer_is_compressed_beside_the_loop(sidecar: Make, provider: Provider) -> None:
    provider.script(answer(LONG * 60))
    said = sidecar()("POST", CHAT, question("very long?"), {"accept-encoding": "gzip"})
    assert json.loads(whole(said))["choices"][0]["message"]["content"] == LONG * 60


def test_a_short_answer_goes_out_as_it_is(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    said = sidecar()("POST", CHAT, question("short?"), {"accept-encoding": "gzip"})
    assert "content-encoding" not in said.headers
    assert len(said.body) < SMALLEST


def test_a_stream_is_never_compressed(sidecar: Make, provider: Provider) -> None:
    provider.script(stream(*["A long answer. "] * 400))
    said = sidecar()("POST", CHAT, question("streamed?", stream=True), {"accept-encoding": "gzip"})
    assert "content-encoding" not in said.headers
    assert b"A long answer." in said.body


def test_nobody_gets_what_they_did_not_ask_for(sidecar: Make, provider: Provider) -> None:
    provider.script(answer(LONG))
    assert "content-encoding" not in sidecar()("POST", CHAT, question("plain?")).headers
    off = sidecar(serve={"compress": False})("POST", CHAT, question("off?"), {"accept-encoding": "gzip"})
    assert "content-encoding" not in off.headers
    assert "vary" not in off.headers


def test_pages_are_compressed_too(sidecar: Make) -> None:
    routes = {f"route-{number}": {"targets": "openai/gpt-5.4-mini"} for number in range(60)}
    said = sidecar(routes=routes)("GET", "/v1/models", headers={"accept-encoding": "br"})
    assert said.headers["content-encoding"] == "br"
    assert int(said.headers["content-length"]) == len(said.body)
    assert "route-59" in {row["id"] for row in json.loads(whole(said))["data"]}
