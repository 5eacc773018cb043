"""A cassette keeps an exchange without its secrets and plays it back, on both libraries and in both colours."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import openai
import pytest
from hypothesis import example, given, strategies as st

from llm_edge.testing import Cassette, Headers, Provider, answer, events, json_body, raw, status, stream
from llm_edge.testing.cassette import CassetteMiss
from llm_edge.testing.scrub import Scrubber

KEY = "sk-proj-abcdefghijklmnop"
CHAT = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
PATH = "/v1/chat/completions"


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(answer("hi"), answer("again")) as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "tape.json"


@pytest.fixture(params=["httpx2", "httpx"])
def library(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param)


def post(tape: Cassette, library: Any, colour: str, url: str, **options: Any) -> Any:
    """One POST through the cassette's transport; the network lies behind it."""
    options = {"json": CHAT, "headers": {"authorization": f"Bearer {KEY}"}} | options
    if colour == "sync":
        with library.Client(transport=tape.transport(library=library.__name__)) as client:  # type: ignore[call-overload]
            return client.post(url, **options)

    async def apost() -> Any:
        async with library.AsyncClient(transport=tape.async_transport(library=library.__name__)) as client:  # type: ignore[call-overload]
            return await client.post(url, **options)

    return asyncio.run(apost())


def text_of(got: Any) -> str:
    return str(got.json()["choices"][0]["message"]["content"])


def test_what_was_recorded_is_replayed_without_the_provider(
    provider: Provider, file: Path, library: Any, colour: str
) -> None:
    tape = Cassette(file, record="all")
    recorded = [text_of(post(tape, library, colour, provider.url + PATH)) for _ in range(2)]
    provider.close()
    replayed = Cassette(file)
    assert recorded == ["hi", "again"]
    assert [text_of(post(replayed, library, colour, "http://nobody.test" + PATH)) for _ in range(2)] == recorded


def test_a_stream_is_replayed_in_its_events(provider: Provider, file: Path, library: Any, colour: str) -> None:
    provider.script(stream("a", "b"))
    fields = CHAT | {"stream": True}
    first = post(Cassette(file, record="all"), library, colour, provider.url + PATH, json=fields)
    again = post(Cassette(file), library, colour, "http://nobody.test" + PATH, json=fields)
    assert again.content == first.content
    assert again.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_an_sdk_gets_from_a_cassette_what_it_got_from_the_provider(provider: Provider, file: Path) -> None:
    provider.script(stream("a", "b"))

    def ask(tape: Cassette, base_url: str, key: str) -> list[str | None]:
        with openai.OpenAI(
            base_url=base_url, api_key=key, http_client=httpx2.Client(transport=tape.transport())
        ) as client:
            chunks = client.chat.completions.create(model="m", messages=[], stream=True)
            return [chunk.choices[0].delta.content for chunk in chunks]

    recorded = ask(Cassette(file, record="missing"), provider.url + "/v1", KEY)
    assert ask(Cassette(file), "http://nobody.test/v1", "another key") == recorded == ["", "a", "b", None]


def test_the_same_json_spelled_otherwise_is_the_same_request(provider: Provider, file: Path, library: Any) -> None:
    post(Cassette(file, record="all"), library, "sync", provider.url + PATH, content=b'{"a": 1, "b": 2}', json=None)
    got = post(Cassette(file), library, "sync", "http://nobody.test" + PATH, content=b'{"b":2,"a":1}', json=None)
    assert got.status_code == 200


def test_only_what_is_missing_is_recorded(provider: Provider, file: Path, library: Any, colour: str) -> None:
    post(Cassette(file, record="missing"), library, colour, provider.url + PATH)
    tape = Cassette(file, record="missing")
    assert text_of(post(tape, library, colour, provider.url + PATH)) == "hi"
    provider.asked(1)
    assert text_of(post(tape, library, colour, provider.url + PATH)) == "again"
    provider.asked(2)
    assert len(json.loads(file.read_bytes())["exchanges"]) == 2


def test_recording_all_forgets_the_old_tape(provider: Provider, file: Path, library: Any) -> None:
    post(Cassette(file, record="all"), library, "sync", provider.url + PATH)
    post(Cassette(file, record="all"), library, "sync", provider.url + PATH)
    assert len(json.loads(file.read_bytes())["exchanges"]) == 1


def test_a_miss_names_the_request_and_what_there_is(provider: Provider, file: Path, library: Any, colour: str) -> None:
    post(Cassette(file, record="all"), library, colour, provider.url + PATH)
    with pytest.raises(CassetteMiss) as caught:
        post(Cassette(file), library, colour, "http://nobody.test/v1/other", json={"model": "x"})
    assert "tape.json has no answer for POST http://nobody.test/v1/other" in str(caught.value)
    assert f"It has: POST {provider.url}{PATH}" in str(caught.value)
    assert "record it with --edge-record" in str(caught.value)


def test_an_answer_is_given_once_for_each_time_it_was_recorded(provider: Provider, file: Path, library: Any) -> None:
    post(Cassette(file, record="all"), library, "sync", provider.url + PATH)
    tape = Cassette(file)
    post(tape, library, "sync", provider.url + PATH)
    with pytest.raises(CassetteMiss, match=r"has 1 answer\(s\) for POST .* asks once more"):
        post(tape, library, "sync", provider.url + PATH)


def test_no_secret_reaches_the_tape(provider: Provider, file: Path, library: Any, colour: str) -> None:
    leaked = {"echo": f"you sent {KEY}", "api_key": "plain-words-secret", "nested": json.dumps({"password": "hunter2"})}
    provider.script(json_body(leaked).headers({"set-cookie": "session=cookie-secret", "x-organization": "org-secret"}))
    got = post(
        Cassette(file, record="all"),
        library,
        colour,
        provider.url.replace("://", "://user:password-1@") + PATH + "?key=query-secret-1&alt=sse",
        json={"model": "m", "note": "AIzaSyA1234567890abcdefghijklmnopqrstuv", "client_secret": "body-secret-1"},
        headers={"x-api-key": "header-secret-1", "authorization": f"Bearer {KEY}", "cookie": "a=cookie-secret-2"},
    )
    tape = file.read_text()
    for secret in (KEY, "query-secret-1", "header-secret-1", "cookie-secret", "password-1", "body-secret-1"):
        assert secret not in tape
    for secret in ("AIzaSy", "plain-words-secret", "hunter2", "org-secret"):
        assert secret not in tape
    assert json.loads(got.content)["echo"] == "you sent ***"
    assert "alt=sse" in tape


def test_secrets_are_found_in_packed_answers_too(provider: Provider, file: Path) -> None:
    provider.script(json_body({"token_of": KEY}).gzip())
    with httpx2.Client(transport=Cassette(file, record="all").transport(provider.transport())) as client:
        got = client.post("http://scripted.test" + PATH, json=CHAT)
    assert got.json() == {"token_of": "***"}
    assert KEY not in file.read_text()


def test_an_answer_packed_in_an_unknown_way_is_not_kept(provider: Provider, file: Path) -> None:
    provider.script(raw(b"abc").headers({"content-encoding": "br"}))
    with httpx2.Client(transport=Cassette(file, record="all").transport(provider.transport())) as client:
        with pytest.raises(ValueError, match="packed as 'br'"):
            client.post("http://scripted.test" + PATH, json=CHAT)
    assert not file.exists()


def test_a_broken_exchange_is_not_kept(provider: Provider, file: Path, library: Any, colour: str) -> None:
    provider.script(events("a", "b").cut(after_events=1))
    with pytest.raises(library.RemoteProtocolError):
        post(Cassette(file, record="all"), library, colour, provider.url + PATH)
    assert not file.exists()


def test_errors_are_recorded_with_the_headers_that_matter(provider: Provider, file: Path, library: Any) -> None:
    provider.script(
        status(429, headers={"retry-after": "7", "x-ratelimit-remaining-requests": "0", "via": "secret-proxy"})
    )
    post(Cassette(file, record="all"), library, "sync", provider.url + PATH)
    got = post(Cassette(file), library, "sync", "http://nobody.test" + PATH)
    assert (got.status_code, got.headers["retry-after"]) == (429, "7")
    assert got.headers["x-ratelimit-remaining-requests"] == "0"
    assert "via" not in got.headers


def test_bytes_that_are_no_text_survive(provider: Provider, file: Path, library: Any) -> None:
    provider.script(raw(b"\x00\xff\xfe audio", content_type="audio/wav"))
    post(Cassette(file, record="all"), library, "sync", provider.url + "/v1/audio", content=b"\xff", json=None)
    got = post(Cassette(file), library, "sync", "http://nobody.test/v1/audio", content=b"\xff", json=None)
    assert got.content == b"\x00\xff\xfe audio"
    assert base64.b64encode(got.content).decode() in file.read_text()


def test_an_upload_is_recognised_whatever_its_boundary(provider: Provider, file: Path, library: Any) -> None:
    upload = {"json": None, "files": {"file": ("a.txt", b"words")}}
    post(Cassette(file, record="all"), library, "sync", provider.url + PATH, **upload)
    assert post(Cassette(file), library, "sync", "http://nobody.test" + PATH, **upload).status_code == 200


def test_what_is_no_cassette_is_refused_by_name(tmp_path: Path) -> None:
    for content in ("{", "[]", "{}"):
        (tmp_path / "odd.json").write_text(content)
        with pytest.raises(ValueError, match=r"odd\.json is no cassette"):
            Cassette(tmp_path / "odd.json")


@pytest.mark.parametrize(
    "harmless",
    [
        '{"key": "value", "token": " Hello", "signature": "c2lnbmVkIHRob3VnaHQ=", "max_tokens": 5}',
        "ask-someone-else, risk-assessment and task-force-12345678",
        '{"tokens": ["a"], "finish_reason": "stop"}',
    ],
)
def test_words_of_the_dialects_are_left_alone(harmless: str) -> None:
    assert Scrubber(Headers(), "http://x").text(harmless) == harmless


@given(secret=st.from_regex(r"\A[A-Za-z0-9_.-]{8,40}\Z"), around=st.text(max_size=10))
@example(secret="Bearer.x", around='"')
def test_the_credential_of_a_request_is_taken_out_wherever_it_stands(secret: str, around: str) -> None:
    scrubber = Scrubber(Headers([("Authorization", f"Bearer {secret}")]), f"http://x/?key={secret}")
    assert secret not in scrubber.text(around + secret + around)
    assert secret not in scrubber.url(f"http://x/?key={secret}&q={secret}")


def test_the_credential_is_taken_out_of_bytes_that_are_no_text(provider: Provider, file: Path, library: Any) -> None:
    provider.script(raw(b"\xff\xfe" + KEY.encode() + b"\x00"))
    upload = {"data": {"key": KEY}, "files": {"f": ("a.bin", b"\xff\xfe")}}
    post(Cassette(file, record="missing"), library, "sync", provider.url + "/v1/x", json=None, **upload)
    request, response = (
        json.loads(file.read_bytes())["exchanges"][0][side]["base64"] for side in ("request", "response")
    )
    assert b'name="key"\r\n\r\n***\r\n' in base64.b64decode(request)
    assert base64.b64decode(response) == b"\xff\xfe***\x00"


SECRET = "ab/cd+ef==0123456789"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("authorization", f"Bearer {SECRET}"),
        ("authorization", f"Basic {base64.b64encode(f'somebody:{SECRET}'.encode()).decode()}"),
        ("cookie", f"theme=dark; session={SECRET}; a=b"),
        ("x-amz-security-token", SECRET),
        ("ocp-apim-subscription-key", SECRET),
    ],
)
@pytest.mark.parametrize("written", [SECRET, quote(SECRET, safe=""), SECRET.replace("/", "\\/")])
def test_a_credential_is_known_again_however_it_came_and_is_written(header: str, value: str, written: str) -> None:
    headers = Headers([(header, value)])
    assert Scrubber(headers, "http://x").text(f"I got {written}.") == "I got ***."
    assert value not in repr(headers)


def test_a_number_too_long_for_a_float_comes_back_as_it_was(file: Path, provider: Provider) -> None:
    provider.script(json_body({"seed": 10**30 + 1, "half": "\ud83d"}))
    url = provider.url + PATH
    got = [post(Cassette(file, record=record), httpx2, "sync", url) for record in ("missing", "none")]
    assert [json.loads(each.content)["seed"] for each in got] == [10**30 + 1] * 2
    provider.asked(1)
