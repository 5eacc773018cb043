"""The HTTP clients SDKs are given: to whoever looks, they are the library's own."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.cookies import SimpleCookie
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given, strategies as st

from llm_edge.http import _clients_httpx, _clients_httpx2, _messages_httpx, _messages_httpx2
from llm_edge.message import Headers
from llm_edge.testing import Provider, answer, status

URL = "http://given.test/v1/chat/completions"
FAMILIES: Any = {"httpx2": (httpx2, _clients_httpx2), "httpx": (httpx, _clients_httpx)}
MESSAGES: Any = {"httpx2": _messages_httpx2, "httpx": _messages_httpx}
SENT: Any = {"content": b'{"a":1}', "headers": [("Authorization", "Bearer k"), ("X-Other", "1"), ("x-other", "2")]}


@pytest.fixture(params=["httpx2", "httpx"])
def family(request: pytest.FixtureRequest) -> Any:
    return FAMILIES[request.param]


class Pair:
    """A client of ours and one of the library's, over the same transport; what each is asked, the other is, too."""

    def __init__(self, family: Any, colour: Any, answer: Callable[[Any], Any], **options: Any) -> None:
        self.library, ours = family
        self.colour, kind = colour, "Client" if colour.name == "sync" else "AsyncClient"
        transport = self.library.MockTransport(answer)
        self.ours: Any = getattr(ours, kind)(transport, **options)
        self.theirs: Any = getattr(self.library, kind)(transport=transport, **options)
        self.kind: Any = getattr(self.library, kind)
        colour.opened += [self.ours, self.theirs]

    def __iter__(self) -> Iterator[Any]:
        return iter((self.ours, self.theirs))

    def built(self, *given: Any, **named: Any) -> list[Any]:
        return [seen(client.build_request(*given, **named)) for client in self]

    def sent(self, **named: Any) -> list[Any]:
        return [self.colour.finish(client.send(client.build_request("POST", URL, **SENT), **named)) for client in self]


def seen(request: Any) -> Any:
    return (
        request.method, request.url, request.headers.raw, request.headers.encoding, request.content,
        request.extensions, type(request.stream), b"".join(request.stream),
    )  # fmt: skip


def told(response: Any) -> Any:
    return (
        response.status_code, response.headers.raw, response.content, response.text, response.encoding,
        response.http_version, response.reason_phrase, response.is_closed, response.is_stream_consumed,
        response.num_bytes_downloaded, response.history, response.next_request, response.url, response.extensions,
        list(response.iter_bytes(2)), list(response.iter_lines()), response.links, response.is_success,
        response.default_encoding, response.cookies.get("a"),
    )  # fmt: skip


def canned(family: Any, **given: Any) -> Callable[[Any], Any]:
    return lambda request: family[0].Response(200, **{"json": {"id": "1"}, **given})


names = st.sampled_from(["Accept", "user-agent", "X-A", "x-a", "Connection", "Host", "Content-Length", "Content-Type"])
fields = st.lists(st.tuples(names, st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=5)), max_size=6)


@given(
    headers=st.one_of(st.none(), fields, fields.map(dict)),
    content=st.one_of(st.none(), st.binary(max_size=20), st.text(max_size=5)),
    method=st.sampled_from(["POST", "post", "GET", "PUT"]),
    path=st.sampled_from(["/v1/x", "/v1/x?key=1", "", "/a%20b", "/é"]),
    more=st.sampled_from([
        {}, {"timeout": None}, {"timeout": 3.5}, {"params": {"a": "1"}}, {"params": {}}, {"cookies": {"c": "d"}},
        {"extensions": {"sni_hostname": "x"}}, {"files": None, "json": None},
    ]),
)  # fmt: skip
@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_a_request_is_built_as_the_library_builds_it(
    library: str, headers: Any, content: Any, method: str, path: str, more: Any
) -> None:
    theirs, ours = FAMILIES[library]
    given: Any = {"headers": headers, "content": content, **more}
    nowhere = theirs.MockTransport(canned(FAMILIES[library]))  # a real one would read certificates for each example
    with theirs.Client(transport=nowhere) as plain, ours.Client(nowhere) as edge:
        url = f"http://given.test{path}"
        for _ in range(2):  # addresses are remembered
            assert seen(edge.build_request(method, url, **given)) == seen(plain.build_request(method, url, **given))


some = st.permutations([("X-A", "1"), ("x-b", "2"), ("x-a", "1")]).map(lambda fields: fields[:2])
paths = st.sampled_from(["/v1/x", "/V1/x", "/v1/x?key=1"])


@given(asked=st.lists(st.tuples(paths, st.one_of(some, some.map(dict), some.map(tuple))), max_size=5))
@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_requests_that_are_much_alike_are_not_mixed_up(library: str, asked: list[tuple[str, Any]]) -> None:
    theirs, ours = FAMILIES[library]
    nowhere = theirs.MockTransport(canned(FAMILIES[library]))
    with theirs.Client(transport=nowhere) as plain, ours.Client(nowhere) as edge:
        for path, headers in asked:
            given: Any = {"headers": headers, "content": b"{}"}
            url = f"http://given.test{path}"
            assert seen(edge.build_request("POST", url, **given)) == seen(plain.build_request("POST", url, **given))


CHANGES: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "a field of the caller's list": lambda client, given: given["headers"].append(("X-New", "1")),
    "a value of the caller's list": lambda client, given: given["headers"].__setitem__(
        0, ("Authorization", "Bearer l")
    ),
    "the order of a dict": lambda client, given: given.update(headers={"X-B": "2", "X-A": "1"}),
    "the library's own fields": lambda client, given: given.update(
        headers=type(client.headers)({"x-b": "2", "x-a": "1"})
    ),
    "the client's fields": lambda client, given: client.headers.update({"X-New": "1"}),
    "the client's fields, all": lambda client, given: setattr(client, "headers", {"X-New": "1"}),
    "the client's cookies": lambda client, given: client.cookies.set("c", "d"),
    "the client's parameters": lambda client, given: setattr(client, "params", {"p": "1"}),
    "the client's timeout": lambda client, given: setattr(client, "timeout", 7.0),
    "a timeout": lambda client, given: given.update(timeout=3.0),
    "parameters": lambda client, given: given.update(params={"p": "1"}),
    "what is sent": lambda client, given: given.update(content=b"{}"),
}


OF_A_DICT = ("the order of a dict", "the library's own fields")


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_between_two_requests_is_in_the_second(change: str, family: Any, colour: Any) -> None:
    told: list[Any] = []
    for client in Pair(family, colour, canned(family)):
        fields: Any = {"X-A": "1", "X-B": "2"} if change in OF_A_DICT else list(SENT["headers"])
        given = {**SENT, "headers": fields}
        client.build_request("POST", URL, **given)
        CHANGES[change](client, given)
        told.append(seen(client.build_request("POST", URL, **given)))
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "options",
    [
        {"headers": {"X-Ours": "always", "authorization": "Bearer other"}},
        {"headers": {"X-Ours": "é".encode()}},
        {"params": {"p": "1"}},
        {"cookies": {"c": "d"}},
        {"base_url": "http://base.test/v2"},
        {"timeout": 7.0},
    ],
    ids=["headers", "headers that are not ASCII", "params", "cookies", "base_url", "timeout"],
)
def test_what_the_client_was_given_goes_into_every_request(options: Any, family: Any, colour: Any) -> None:
    pair = Pair(family, colour, canned(family), **options)
    for url in (URL, pair.library.URL(URL), *(["/relative"] if "base_url" in options else [])):
        ours, theirs = pair.built("POST", url, **SENT)
        assert ours == theirs


@pytest.mark.parametrize("wrong", [{"headers": [("a", 1)]}, {"headers": [("a", "é")]}, {"timeout": "soon"}])
def test_what_the_library_refuses_is_refused(wrong: Any, family: Any, colour: Any) -> None:
    refusals: list[str] = []
    for client in Pair(family, colour, canned(family)):
        try:
            client.build_request("POST", URL, **{**SENT, **wrong})
            refusals.append("none")
        except Exception as error:
            refusals.append(repr(error))
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"content": b"", "status_code": 204, "json": None},
        {"text": "déjà", "json": None},
        {"headers": {"content-encoding": "gzip"}, "content": b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00", "json": None},  # noqa: E501
        {"status_code": 302, "headers": {"location": "/there"}},
        {"status_code": 500},
        {"headers": [("set-cookie", "a=b"), ("x", "é".encode())]},
    ],
    ids=["json", "nothing", "text", "gzip", "redirect", "failure", "cookie"],
)  # fmt: skip
def test_an_answer_is_what_the_library_gives(answer: Any, family: Any, colour: Any) -> None:
    code, rest = (
        answer.get("status_code", 200),
        {name: value for name, value in answer.items() if name != "status_code"},
    )
    pair = Pair(family, colour, lambda request: family[0].Response(code, **{"json": {"id": "1"}, **rest}))
    ours, theirs = pair.sent()
    followed = theirs.next_request
    assert (ours.next_request is None) == (followed is None)
    ours.next_request = theirs.next_request = None
    assert told(ours) == told(theirs)
    assert ours.request.url == theirs.request.url
    assert dict(pair.ours.cookies) == dict(pair.theirs.cookies)


def test_redirects_are_followed_with_their_history(family: Any, colour: Any) -> None:
    def answer(request: Any) -> Any:
        if request.url.path.endswith("there"):
            return family[0].Response(200, json={"method": request.method, "body": request.content.decode()})
        return family[0].Response(307, headers={"location": "/there"})

    ours, theirs = Pair(family, colour, answer, follow_redirects=True).sent()
    assert [each.status_code for each in ours.history] == [each.status_code for each in theirs.history] == [307]
    assert (ours.json(), ours.url) == (theirs.json(), theirs.url)
    assert ours.json() == {"method": "POST", "body": '{"a":1}'}


def test_cookies_come_back_with_the_next_call(family: Any, colour: Any) -> None:
    asked: list[str] = []

    def answer(request: Any) -> Any:
        asked.append(SimpleCookie(request.headers.get("cookie", "")).output())
        return family[0].Response(200, headers={"set-cookie": "seen=yes; Path=/"}, json={})

    pair = Pair(family, colour, answer)
    pair.sent()
    pair.sent()
    assert asked == ["", "", "Set-Cookie: seen=yes", "Set-Cookie: seen=yes"]


def test_hooks_see_every_call(family: Any, colour: Any) -> None:
    heard: list[str] = []

    def told(what: Any) -> None:
        heard.append(type(what).__name__)

    async def atold(what: Any) -> None:
        told(what)

    hook = told if colour.name == "sync" else atold
    pair = Pair(family, colour, canned(family))
    for client in pair:
        client.event_hooks = {"request": [hook], "response": [hook]}
    pair.sent()
    assert heard == ["Request", "Response"] * 2


@pytest.mark.parametrize("place", ["client", "call", "address"])
def test_credentials_of_the_client_are_put_on(place: str, family: Any, colour: Any) -> None:
    asked: list[str] = []

    def answer(request: Any) -> Any:
        asked.append(request.headers.get("authorization", ""))
        return family[0].Response(200, json={})

    pair = Pair(family, colour, answer)
    url, sending = URL, {}
    if place == "client":
        for client in pair:
            client.auth = ("me", "secret")
    elif place == "call":
        sending = {"auth": ("me", "secret")}
    else:
        url = "http://me:secret@given.test/v1/x"
    for client in pair:
        request = client.build_request("POST", url, content=b"{}", headers=[("x-other", "1")])
        colour.finish(client.send(request, **sending))
    assert asked == ["Basic bWU6c2VjcmV0"] * 2


def test_each_call_is_logged_as_the_library_logs_it(family: Any, colour: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger=family[0].__name__):
        Pair(family, colour, canned(family)).sent()
    lines = [record.getMessage() for record in caplog.records if record.name == family[0].__name__]
    assert lines == [f'HTTP Request: POST {URL} "HTTP/1.1 200 OK"'] * 2


def test_a_failure_names_its_request(family: Any, colour: Any) -> None:
    def answer(request: Any) -> Any:
        raise family[0].ConnectError("nobody there")

    for client in Pair(family, colour, answer):
        request = client.build_request("POST", URL, **SENT)
        with pytest.raises(family[0].ConnectError) as caught:
            colour.finish(client.send(request))
        assert caught.value.request is request


def test_a_closed_client_sends_nothing(family: Any, colour: Any) -> None:
    for client in Pair(family, colour, canned(family)):
        request = client.build_request("POST", URL, **SENT)
        colour.finish(client.close() if colour.name == "sync" else client.aclose())
        with pytest.raises(RuntimeError, match="closed"):
            colour.finish(client.send(request))


@pytest.mark.parametrize("method", ["send", "_send_single_request", "_transport_for_url", "build_request"])
def test_who_puts_a_method_of_his_own_into_the_library_is_asked(
    method: str, family: Any, colour: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracers replace `send`, recorders `_send_single_request`."""
    pair = Pair(family, colour, canned(family))
    kept, heard = getattr(pair.kind, method), list[str]()

    def between(self: Any, *given: Any, **named: Any) -> Any:
        heard.append(method)
        return kept(self, *given, **named)

    monkeypatch.setattr(pair.kind, method, between)
    pair.sent()
    assert heard == [method] * 2


def test_a_transport_that_was_put_in_place_of_ours_is_asked(family: Any, colour: Any) -> None:
    client = Pair(family, colour, canned(family)).ours
    client._transport = family[0].MockTransport(canned(family, json={"id": "another"}))
    assert colour.finish(client.send(client.build_request("POST", URL, **SENT))).json() == {"id": "another"}


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_threads_that_say_different_things_are_not_mixed_up(library: str) -> None:
    theirs, ours = FAMILIES[library]
    said = theirs.MockTransport(lambda request: theirs.Response(200, text=request.headers["authorization"]))
    switched = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ours.Client(said) as client, ThreadPoolExecutor(4) as pool:

            def ask(who: int) -> set[str]:
                headers = [("Authorization", f"Bearer {who}")]
                asked = [client.build_request("POST", URL, content=b"{}", headers=headers) for _ in range(300)]
                return {client.send(request).text for request in asked}

            assert list(pool.map(ask, range(8))) == [{f"Bearer {who}"} for who in range(8)]
    finally:
        sys.setswitchinterval(switched)


def test_an_app_gets_such_a_client(family: Any, colour: Any, edges: Any, provider: Provider) -> None:
    client = colour.http_client(edges(), family[0].__name__)
    colour.opened.append(client)
    assert isinstance(client, family[1].Client if colour.name == "sync" else family[1].AsyncClient)
    asked: Any = {"model": "gpt-x", "messages": [{"role": "user", "content": "hello"}]}
    provider.script(status(404), answer("hello"))
    answers = [colour.finish(client.post(f"{provider.url}/v1/chat/completions", json=asked)) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [404, 200, 200]
    assert [answer.headers["x-llm-edge-cache"] for answer in answers] == ["MISS", "MISS", "HIT"]
    assert answers[1].json() == answers[2].json()
    assert answers[2].elapsed.total_seconds() >= 0
    assert asyncio.iscoroutinefunction(client.send) == (colour.name == "async")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ODD = [
    b'{"a": 1, "b": 2, "a": 3}', b"-0", b"-0.0", b"1e400", b"NaN", b"[Infinity]", b"123456789012345678901234567890",
    b'"\\ud800"', b"[" * 2000 + b"]" * 2000, '{"é": "ü"}'.encode("utf-16"), b"\xef\xbb\xbf{}", b"", b"not json",
    b"\xff", b"0.1000000000000000055511151231257827",
]  # fmt: skip


@given(content=json_values.map(json.dumps).map(str.encode) | st.sampled_from(ODD) | st.binary(max_size=8))
@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_json_is_read_as_the_library_reads_it(library: str, content: bytes) -> None:
    theirs = FAMILIES[library][0]
    whole: Any = MESSAGES[library].whole
    request = theirs.Request("POST", URL)
    readings: list[object] = []
    for response in (whole(200, Headers(), content, request), theirs.Response(200, content=content, request=request)):
        try:
            readings.append(repr(response.json()))
        except (ValueError, RecursionError) as error:
            readings.append(type(error))
    assert readings[0] == readings[1]


keys = st.sampled_from(["x-a", "X-A", "content-length", "Content-Length", "content-type", "nope", "é", "\u212a", ""])
texts = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), max_size=4)
acts = st.one_of(
    st.tuples(st.sampled_from(["get", "__getitem__", "__contains__", "__delitem__", "pop", "get_list"]), keys),
    st.tuples(st.sampled_from(["__setitem__", "setdefault"]), keys, texts),
    st.tuples(st.just("update"), st.dictionaries(keys.filter(str.isascii), texts.filter(str.isascii), max_size=2)),
    st.tuples(st.sampled_from(["__len__", "multi_items", "__repr__", "copy", "items"])),
)
ascii_fields = st.lists(
    st.tuples(
        st.sampled_from(["X-A", "x-a", "Content-Type", "Content-Length", "Set-Cookie", "K"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=4),
    ),
    max_size=5,
)


def outcome(act: Callable[..., Any], *given: Any) -> str:
    try:
        return repr(act(*given))
    except Exception as error:
        return repr(error)


@given(fields=ascii_fields, asked=st.lists(acts, max_size=6), content=st.binary(max_size=4))
@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_header_fields_are_found_and_changed_as_the_librarys_are(
    library: str, fields: list[tuple[str, str]], asked: list[Any], content: bytes
) -> None:
    theirs, messages = FAMILIES[library][0], MESSAGES[library]
    assert messages.FAMILIAR
    request = theirs.Request("POST", URL)
    one = messages.whole(200, Headers(fields), content, request).headers
    other = theirs.Response(200, headers=fields, content=content, request=request).headers
    assert one.encoding == other.encoding  # a client has found it out by now
    for name, *said in asked:
        assert outcome(getattr(one, name), *said) == outcome(getattr(other, name), *said)
    assert one.raw == other.raw
    assert one == other
    assert pickle.loads(pickle.dumps(one)) == other
    assert copy.deepcopy(one).raw == other.raw


@given(code=st.sampled_from([200, 204, 404, 500]), fields=ascii_fields, content=st.binary(max_size=9))
@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_a_whole_answer_is_what_the_library_makes_of_it(
    library: str, code: int, fields: list[tuple[str, str]], content: bytes
) -> None:
    theirs, messages = FAMILIES[library][0], MESSAGES[library]
    request = theirs.Request("POST", URL)
    named = {name.lower() for name, _ in fields}
    sized = [] if not content or "content-length" in named else [("Content-Length", str(len(content)))]
    stream = theirs.ByteStream(content)
    answers = [
        messages.whole(code, Headers(fields), content, request),
        theirs.Response(code, headers=[*fields, *sized], stream=stream, request=request),
    ]
    for response in answers:
        response.read()
    assert outcome(told, answers[0]) == outcome(told, answers[1])


def test_a_request_can_be_changed_before_it_is_sent(family: Any, colour: Any) -> None:
    heard: list[Any] = []

    def hear(request: Any) -> Any:
        heard.append(request)
        return family[0].Response(200, json={})

    for client in Pair(family, colour, hear):
        request = client.build_request("POST", URL, **SENT)
        request.headers["X-Other"] = "ü"
        del request.headers["Authorization"]
        request.headers.update({"X-More": "1"})
        colour.finish(client.send(request))
    assert heard[0].headers.raw == heard[1].headers.raw


def test_a_library_that_keeps_its_parts_another_way_goes_its_own_way(
    family: Any, colour: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, clients = family
    messages = MESSAGES[library.__name__]
    for module in (clients, messages):
        monkeypatch.setattr(module, "FAMILIAR", False)
    pair = Pair(family, colour, canned(family))
    ours, theirs = pair.built("POST", URL, **SENT)
    assert ours == theirs
    request = library.Request("POST", URL)
    whole = messages.whole(200, Headers([("X-A", "1")]), b"{}", request)
    assert type(whole.headers) is library.Headers
    assert told(whole) == told(library.Response(200, headers=[("X-A", "1")], content=b"{}", request=request))
