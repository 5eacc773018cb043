"""The public transports: twins of one another, over a transport of the app's own, closed with their client."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import httpx2
import openai
import pytest

import llm_edge
import llm_edge.httpx
from llm_edge import ConfigError, EdgeClient
from llm_edge.testing import Provider, answer, status, stream

ASK: Any = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}]}
ROOM = Path(llm_edge.__file__).parent
FAMILIES: Any = {"httpx2": (httpx2, llm_edge), "httpx": (httpx, llm_edge.httpx)}

TWINS = [
    ("http/_httpx2.py", "http/_httpx.py"),
    ("http/_clients_httpx2.py", "http/_clients_httpx.py"),
    ("http/_messages_httpx2.py", "http/_messages_httpx.py"),
    ("transports.py", "httpx.py"),
]


@pytest.mark.parametrize(("newer", "older"), TWINS)
def test_the_twins_differ_in_the_librarys_name_alone(newer: str, older: str) -> None:
    def told(name: str) -> str:
        tree = ast.parse((ROOM / name).read_text())
        tree.body = tree.body[1:]  # each says in its first line which one it is
        return ast.unparse(tree)

    assert told(newer).replace("httpx2", "httpx") == told(older)


@pytest.fixture(params=["httpx2", "httpx"])
def family(request: pytest.FixtureRequest) -> Any:
    return FAMILIES[request.param]


@pytest.fixture
def over(family: Any, colour: Any) -> Callable[..., Any]:
    """A client of the family over a transport of the app's own."""
    library, edges = family

    def make(edge: EdgeClient | None, given: Any) -> Any:
        if colour.name == "sync":
            client = library.Client(transport=edges.EdgeTransport(edge, transport=given))
        else:
            client = library.AsyncClient(transport=edges.AsyncEdgeTransport(edge, transport=given))
        colour.opened.append(client)
        return client

    return make


def scripted(provider: Provider, family: Any, colour: Any) -> Any:
    made: Any = provider.transport if colour.name == "sync" else provider.async_transport
    return made(family[0].__name__)


def openai_over(http: Any, colour: Any, base_url: str = "http://given.test/v1") -> Any:
    kind: Any = openai.OpenAI if colour.name == "sync" else openai.AsyncOpenAI
    return kind(api_key="sk-test", base_url=base_url, http_client=http)


def test_a_given_transport_becomes_the_hop(over: Any, family: Any, colour: Any, edges: Any, provider: Provider) -> None:
    client = openai_over(over(edges(), scripted(provider, family, colour)), colour)
    first, second = (colour.finish(client.chat.completions.create(**ASK)) for _ in range(2))
    assert first == second
    provider.script(stream("a", "b"))
    other = {**ASK, "model": "another", "stream": True}
    chunks, again = (colour.items(colour.finish(client.chat.completions.create(**other))) for _ in range(2))
    assert chunks == again
    assert [call.origin for call in provider.calls] == ["http://given.test"] * 2


def test_a_given_transport_is_tried_again_and_told_apart(
    over: Any, family: Any, colour: Any, edges: Any, provider: Provider
) -> None:
    provider.script(status(503), answer("then"))
    client = openai_over(over(edges(retry={"base": 0.0}), scripted(provider, family, colour)), colour)
    assert colour.finish(client.chat.completions.create(**ASK)).choices[0].message.content == "then"
    provider.asked(2)


def test_an_app_in_the_same_process_answers(family: Any, edges: Any) -> None:
    import asyncio

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        body = b'{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"from the app"}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'  # noqa: E501
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
        await send({"type": "http.response.body", "body": body})

    async def ask() -> list[Any]:
        library, ours = family
        transport = ours.AsyncEdgeTransport(edges(), transport=library.ASGITransport(app=app))
        async with openai.AsyncOpenAI(
            api_key="k", base_url="http://app.test/v1", http_client=library.AsyncClient(transport=transport)
        ) as client:
            return [await client.chat.completions.create(**ASK) for _ in range(2)]

    first, second = asyncio.run(ask())
    assert first.choices[0].message.content == "from the app"
    assert first == second


def test_a_mistake_in_a_given_transport_is_seen_as_it_is(over: Any, family: Any, colour: Any, edges: Any) -> None:
    def broken(request: Any) -> Any:
        raise LookupError("a mistake of the app's own")

    http = over(edges(), family[0].MockTransport(broken))
    for path in ("/v1/chat/completions", "/v1/files"):
        with pytest.raises(LookupError, match="of the app's own"):
            colour.finish(http.post("http://given.test" + path, json=ASK))


def test_an_untouched_call_hands_the_very_request_through(over: Any, family: Any, colour: Any, edges: Any) -> None:
    library, _ = family
    seen: list[Any] = []
    given = library.Response(200, json={"data": []}, extensions={"http_version": b"HTTP/2"})

    def handler(request: Any) -> Any:
        seen.append(request)
        return given

    http = over(edges(), library.MockTransport(handler))
    asked = http.build_request("GET", "http://given.test/v1/files", extensions={"sni_hostname": "sni.test"})
    got = colour.finish(http.send(asked))
    assert seen[0] is asked
    assert got is given
    assert (asked.extensions["sni_hostname"], got.http_version, got.json()) == ("sni.test", "HTTP/2", {"data": []})
    assert got.is_closed


def test_with_all_layers_off_failures_are_the_transports_own(over: Any, family: Any, colour: Any, edges: Any) -> None:
    library, _ = family
    mishap = library.ConnectTimeout("slow to connect")

    def handler(request: Any) -> Any:
        raise mishap

    off = edges(cache={"policy": "off"}, retry={"attempts": 1}, breaker={"enabled": False})
    http = over(off, library.MockTransport(handler))
    with pytest.raises(library.ConnectTimeout) as caught:
        colour.finish(http.post("http://given.test/v1/chat/completions", json=ASK))
    assert caught.value is mishap


def test_closing_a_client_closes_the_given_transport_once(family: Any, colour: Any, edges: Any, over: Any) -> None:
    library, _ = family
    closed: list[str] = []

    class Given(library.MockTransport):  # type: ignore[misc]  # of one family or the other
        def close(self) -> None:
            closed.append("closed")

        async def aclose(self) -> None:
            closed.append("closed")

    http = over(edges(), Given(lambda request: library.Response(200, json={})))
    colour.close(http)
    assert closed == ["closed"]


def test_a_transport_without_an_edge_makes_its_own(family: Any, colour: Any, provider: Provider, over: Any) -> None:
    client = openai_over(over(None, None), colour, provider.url + "/v1")
    first, second = (colour.finish(client.chat.completions.create(**ASK)) for _ in range(2))
    assert first == second
    provider.asked(1)


@pytest.mark.parametrize("wrong", [object(), "transport"])
def test_what_is_no_transport_is_refused_at_once(family: Any, edges: Any, wrong: Any) -> None:
    with pytest.raises(TypeError, match="a transport of httpx2 or httpx is needed"):
        family[1].EdgeTransport(edges(), transport=wrong)


def test_what_is_mixed_up_is_told_at_once(family: Any, edges: Any) -> None:
    library, ours = family
    with pytest.raises(TypeError, match="comes first, not MockTransport; a transport goes in as transport="):
        ours.EdgeTransport(library.MockTransport(lambda request: library.Response(200)))
    with pytest.raises(TypeError, match="AsyncHTTPTransport has no handle_request: it is a transport for AsyncEdgeTra"):
        ours.EdgeTransport(edges(), transport=library.AsyncHTTPTransport())
    with pytest.raises(TypeError, match="HTTPTransport has no handle_async_request: it is a transport for Edge"):
        ours.AsyncEdgeTransport(edges(), transport=library.HTTPTransport())


@pytest.mark.parametrize(
    ("option", "setting"),
    [
        ({"verify": False}, "http.ca_file"),
        ({"cert": "client.pem"}, "http.cert_file"),
        ({"proxy": "http://127.0.0.1:1"}, "http.proxy"),
        ({"http2": True}, "http.http2"),
        ({"limits": httpx2.Limits(max_connections=1)}, "http.pool"),
        ({"transport": httpx2.HTTPTransport()}, "transport=EdgeTransport"),
    ],
)
@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_an_option_of_a_client_that_nobody_would_heed_is_refused(
    option: dict[str, Any], setting: str, library: str, edges: Any, colour: Any
) -> None:
    with pytest.raises(ConfigError, match=setting):
        colour.http_client(edges(), library, **option)


def test_an_option_that_changes_nothing_is_taken(edges: Any, colour: Any, provider: Provider) -> None:
    plain = {"verify": True, "cert": None, "proxy": None, "http1": True, "http2": False, "transport": None}
    http = colour.http_client(edges(), **plain)
    colour.opened.append(http)
    got = colour.finish(http.post(f"{provider.url}/v1/chat/completions", json=ASK))
    assert got.headers["x-llm-edge-cache"] == "MISS"


@pytest.fixture(params=["a client of ours", "a transport"])
def http(request: pytest.FixtureRequest, family: Any, edges: Any, colour: Any) -> Any:
    library, ours = family
    edge = edges()
    if request.param == "a client of ours":
        client = colour.http_client(edge, library.__name__)
    elif colour.name == "sync":
        client = library.Client(transport=ours.EdgeTransport(edge))
    else:
        client = library.AsyncClient(transport=ours.AsyncEdgeTransport(edge))
    colour.opened.append(client)
    return client


def test_an_answer_says_how_long_it_took_and_how_much_came(http: Any, colour: Any, provider: Provider) -> None:
    got = colour.finish(http.post(f"{provider.url}/v1/chat/completions", json=ASK))
    assert got.elapsed.total_seconds() > 0
    assert got.num_bytes_downloaded == len(got.content) > 0
    assert got.is_closed
    assert got.is_stream_consumed


def test_the_bytes_of_a_whole_answer_are_given_to_who_asks_for_a_stream(
    http: Any, colour: Any, provider: Provider
) -> None:
    """As proxies do, that pass on what they are given: `StreamingResponse(answer.aiter_raw())`."""
    url = f"{provider.url}/v1/chat/completions"
    whole = colour.finish(http.post(url, json=ASK)).content
    for _ in range(2):
        got = colour.finish(http.send(http.build_request("POST", url, json=ASK), stream=True))
        assert not got.is_closed
        assert b"".join(colour.items(got.iter_raw() if colour.name == "sync" else got.aiter_raw())) == whole
        assert got.num_bytes_downloaded == len(whole)
        assert got.is_closed
    got = colour.finish(http.send(http.build_request("POST", url, json=ASK), stream=True))
    assert colour.finish(got.read() if colour.name == "sync" else got.aread()) == whole
    assert got.is_closed


def test_the_bytes_of_a_failure_are_given_to_who_asks_for_a_stream(http: Any, colour: Any, provider: Provider) -> None:
    """The provider's own error, and a refusal of ours."""
    provider.script(status(400))
    for given, code in (({}, 400), ({"cache-control": "only-if-cached"}, 504)):
        asked = http.build_request("POST", f"{provider.url}/v1/chat/completions", json=ASK, headers=given)
        got = colour.finish(http.send(asked, stream=True))
        raw = b"".join(colour.items(got.iter_raw() if colour.name == "sync" else got.aiter_raw()))
        assert (got.status_code, set(json.loads(raw))) == (code, {"error"})
        assert got.elapsed.total_seconds() > 0


@pytest.mark.parametrize("where", ["first", "last"])
def test_what_a_layer_has_changed_is_sent_with_its_own_length(
    http: Any, colour: Any, provider: Provider, where: str
) -> None:
    """httpx puts the length before the type of `json=`, and behind one that is given, as SDKs give it."""
    headers = {"content-type": "application/json"} if where == "last" else {}
    for asked, known in ((["a", "b"], 0), (["b", "c", "d"], 1)):
        body = {"model": "e", "input": asked, "cache": {"ttl": 60}}
        got = colour.finish(http.post(f"{provider.url}/v1/embeddings", json=body, headers=headers))
        assert (got.status_code, len(got.json()["data"])) == (200, len(asked))
        assert provider.last.json == {"model": "e", "input": asked[known:]}
