"""What people get wrong in their first hour: each mistake is told at once, by its name and with the fix."""

from __future__ import annotations

import asyncio
import copy
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llm_edge import ConfigError, EdgeClient, NetworkFailed, Unauthorized
from llm_edge.message import Handler, Request, Response
from llm_edge.reply import AsyncReplyStream, ReplyStream
from llm_edge.testing import Provider, status

from .conftest import Colour

Edges = Callable[..., EdgeClient]
CANARY = "sk-canary-7f3a"


@pytest.mark.parametrize(
    ("sections", "package", "extra"),
    [
        ({"http": {"http2": True}}, "h2", "http2"),
        ({"http": {"proxy": "socks5://127.0.0.1:9"}}, "socksio", "socks"),
        ({"http": {"engine": "pyreqwest"}}, "pyreqwest", "fast"),
        ({"prices": {"source": "installed"}}, "genai_prices", "prices"),
    ],
    ids=["http2", "socks", "engine", "prices"],
)
def test_a_setting_whose_package_is_not_there_is_refused_when_the_client_is_made(
    sections: Any, package: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"pip install 'llm_edge\[{extra}\]'"):
        EdgeClient(env={}, **sections)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("edge.toml", "not a str. Read a file with EdgeClient.from_file(path)"),
        (CANARY, "a key goes into the provider's variable"),
        (Path("edge.toml"), "Read a file with EdgeClient.from_file(path)"),
        ({"cache": {"ttl": 60}}, "not a dict. Give a mapping of sections as keywords: EdgeClient(**settings)"),
        (3, "not a int. Give sections by keyword"),
    ],
    ids=["file", "key", "path", "mapping", "number"],
)
def test_what_is_no_configuration_is_refused_with_what_to_write_and_never_repeated(given: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EdgeClient(given, env={})
    assert words in str(caught.value)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "words"),
    [(3, "layers must be a list of functions"), ([print, 3], r"layers\[1\] is a int, not a function `async def")],
)
def test_what_is_no_layer_is_refused_at_the_start(layers: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        EdgeClient(layers=layers, env={})


def test_a_layer_that_sleeps_by_asyncio_is_told_so_in_a_sync_call(provider: Provider) -> None:
    async def slow(request: Request, handler: Handler) -> Response:
        await asyncio.sleep(0.01)
        return await handler(request)

    with (
        EdgeClient(layers=[slow], providers={"a": {"base_url": f"{provider.url}/v1"}}, env={}) as edge,
        pytest.raises(RuntimeError, match="layers may wait only through the clock"),
    ):
        edge.chat("a/m", "hi")


def test_a_provider_that_was_shown_no_key_is_told_with_the_place_for_one(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    provider.script(status(401, "who are you?"))
    edge = edges(providers={"openai": {"base_url": f"{provider.url}/v1"}})
    with pytest.raises(Unauthorized) as caught:
        colour.chat(edge, "openai/m", "hi")
    assert str(caught.value) == caught.value.message == "who are you? (no key was sent; set providers.openai.api_key)"


def test_a_key_that_is_not_taken_is_not_said_to_be_missing(colour: Colour, edges: Edges, provider: Provider) -> None:
    provider.script(status(401, "who are you?"))
    edge = edges(providers={"openai": {"base_url": f"{provider.url}/v1", "api_key": CANARY}})
    with pytest.raises(Unauthorized) as caught:
        colour.chat(edge, "openai/m", "hi")
    assert str(caught.value) == "who are you?"


def test_a_connection_that_fails_says_to_whom(colour: Colour, edges: Edges, refused_url: str) -> None:
    edge = edges(providers={"local": {"base_url": refused_url}}, retry={"attempts": 1})
    with pytest.raises(NetworkFailed) as caught:
        colour.chat(edge, "local/m", "hi")
    assert str(caught.value) == "local/m: could not connect to the provider (Connection refused)"


@pytest.mark.parametrize("carry", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
def test_a_client_that_is_sent_to_another_process_says_that_it_cannot(carry: Callable[[EdgeClient], object]) -> None:
    with EdgeClient(env={}) as edge, pytest.raises(TypeError, match="Make one in each place"):
        carry(edge)


def test_a_stream_shows_whose_it_is_and_nothing_of_its_content(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    edge = edges(providers={"a": {"base_url": f"{provider.url}/v1"}})
    with edge.chat("a/m", "hi", stream=True) as stream:
        assert repr(stream).startswith("<ReplyStream a/m MISS ")


@pytest.mark.parametrize("flag", [True, False])
def test_a_flag_may_say_whether_an_answer_is_streamed(
    flag: bool, colour: Colour, edges: Edges, provider: Provider
) -> None:
    """That type checkers take it is part of this test: they check it, too."""
    edge = edges(providers={"a": {"base_url": f"{provider.url}/v1"}})
    if colour.name == "sync":
        assert isinstance(edge.chat("a/m", "hi", stream=flag), ReplyStream) is flag
    else:
        assert isinstance(colour.finish(edge.achat("a/m", "hi", stream=flag)), AsyncReplyStream) is flag


@pytest.mark.parametrize("nothing", [None, "", 3, b"edge.toml"])
def test_a_path_that_is_none_is_not_taken_for_no_configuration(nothing: Any) -> None:
    """`os.environ.get("EDGE_FILE")`, where nobody set it, would leave all limits off."""
    with pytest.raises(ConfigError, match="takes the path of a TOML file"):
        EdgeClient.from_file(nothing, env={})
