"""What we do not know passes untouched: any method, any path, any bytes, there and back."""

from __future__ import annotations

import gzip
import io
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer, json_body, raw, status

ODD = bytes(range(256)) * 9


@pytest.fixture(params=["httpx2", "httpx"])
def http(request: pytest.FixtureRequest, edge: EdgeClient, colour: Any) -> Any:
    client = colour.http_client(edge, request.param)
    colour.opened.append(client)
    return client


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"])
def test_any_method_and_path_passes(http: Any, provider: Provider, colour: Any, method: str) -> None:
    provider.script(raw(ODD, status=207).headers({"x-odd": "Kept As It Is"}))
    body = b"" if method in ("GET", "OPTIONS") else ODD
    got = colour.finish(http.request(method, provider.url + "/v9/odd%2Fpath?a=1&a=2&b=%20", content=body))
    assert (got.status_code, got.content, got.headers["X-ODD"]) == (207, ODD, "Kept As It Is")
    call = provider.asked(1)[0]
    assert (call.method, call.path, call.query, call.body) == (method, "/v9/odd/path", {"a": "2", "b": " "}, body)
    assert not any(name.startswith("x-llm-edge") for name in got.headers)


def test_a_head_request_keeps_its_length_and_has_no_body(http: Any, provider: Provider, colour: Any) -> None:
    provider.script(raw(b"").content_length(77), json_body({}))
    got = colour.finish(http.head(provider.url + "/v1/files/f/content"))
    assert (got.status_code, got.headers["content-length"], got.content) == (200, "77", b"")
    assert colour.finish(http.get(provider.url + "/v1/models")).status_code == 200


@pytest.mark.parametrize("code", [204, 304])
def test_an_answer_without_a_body_passes(http: Any, provider: Provider, colour: Any, code: int) -> None:
    provider.script(raw(b"", status=code))
    for _ in range(2):
        got = colour.finish(http.delete(provider.url + "/v1/files/f"))
        assert (got.status_code, got.content) == (code, b"")


def test_compressed_bytes_pass_as_they_came(http: Any, provider: Provider, colour: Any) -> None:
    packed = gzip.compress(b"hello" * 99, mtime=0)
    provider.script(raw(packed).headers({"content-encoding": "gzip"}))

    async def bare() -> bytes:
        async with http.stream("GET", provider.url + "/v1/files/f/content") as got:
            return b"".join([chunk async for chunk in got.aiter_raw()])

    if colour.name == "async":
        seen = colour.run(bare())
    else:
        with http.stream("GET", provider.url + "/v1/files/f/content") as got:
            seen = b"".join(got.iter_raw())
    assert seen == packed
    assert colour.finish(http.get(provider.url + "/v1/files/f/content")).content == b"hello" * 99
    assert provider.last.headers["accept-encoding"] == http.headers["accept-encoding"]


def test_headers_pass_in_order_and_repeated(http: Any, provider: Provider, colour: Any) -> None:
    provider.script(raw(b"x").headers({"x-one": "1"}).headers({"x-one": "2"}).headers({"x-name": "caf\xe9"}))
    sent = [("X-Many", "a"), ("x-many", "b"), ("X-Text", "caf\u00e9".encode())]
    got = colour.finish(http.get(provider.url + "/v1/files", headers=sent))
    assert got.headers.get_list("x-one") == ["1", "2"]
    assert provider.last.headers["x-many"] == "a, b"
    assert provider.last.headers["x-text"].encode("latin-1") == "caf\u00e9".encode()


def test_a_body_that_is_made_while_it_is_sent_passes(http: Any, provider: Provider, colour: Any) -> None:
    pieces = [b"a" * 70_000, b"", b"b"]

    def made() -> Iterator[bytes]:
        yield from pieces

    async def amade() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    body: Any = made() if colour.name == "sync" else amade()
    provider.script(json_body({}))
    colour.finish(http.post(provider.url + "/v1/audio/speech", content=body))
    assert provider.last.body == b"".join(pieces)
    assert provider.last.headers["transfer-encoding"] == "chunked"


def test_a_question_that_is_made_while_it_is_sent_is_understood(http: Any, provider: Provider, colour: Any) -> None:
    def made() -> Iterator[bytes]:
        yield b'{"model": "m", "messages": []'
        yield b"}"

    async def amade() -> AsyncIterator[bytes]:
        for piece in made():
            yield piece

    seen = [
        colour.finish(
            http.post(provider.url + "/v1/chat/completions", content=made() if colour.name == "sync" else amade())
        ).headers["x-llm-edge-cache"]
        for _ in range(2)
    ]
    assert seen == ["MISS", "HIT"]


def test_a_question_that_is_no_json_is_the_providers_to_judge(http: Any, provider: Provider, colour: Any) -> None:
    provider.script(status(400, "what?"))
    got = colour.finish(http.post(provider.url + "/v1/chat/completions", content=b"{not json"))
    assert (got.status_code, got.json()["error"]["message"]) == (400, "what?")
    assert provider.asked(1)[0].body == b"{not json"


def test_googles_stream_as_one_list_passes(http: Any, provider: Provider, colour: Any) -> None:
    provider.script(json_body([{"candidates": []}, {"candidates": []}]))
    for query in ("", "?alt=json"):
        url = f"{provider.url}/v1beta/models/m:streamGenerateContent{query}"
        assert colour.finish(http.post(url, json={"contents": []})).json() == [{"candidates": []}] * 2


@pytest.mark.parametrize("library", ["httpx2", "httpx"])
def test_files_audio_and_batches_pass_through_the_sdk(
    sdks: Any, edge: EdgeClient, provider: Provider, colour: Any, library: str
) -> None:
    client = sdks.openai(edge, provider, library=library)
    provider.script(json_body({"id": "file-1", "object": "file", "bytes": len(ODD), "filename": "odd.bin"}))
    made = colour.finish(client.files.create(file=("odd.bin", io.BytesIO(ODD)), purpose="batch"))
    assert made.id == "file-1"
    assert ODD in provider.last.body
    provider.script(raw(ODD, content_type="audio/mpeg"))
    assert colour.finish(client.audio.speech.create(model="tts", voice="alloy", input="hi")).content == ODD
    provider.script(json_body({"text": "hi"}))
    said = colour.finish(client.audio.transcriptions.create(model="w", file=("a.wav", io.BytesIO(ODD))))
    assert said.text == "hi"
    provider.script(json_body({"id": "batch-1", "object": "batch"}))
    batch = client.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert colour.finish(batch).id == "batch-1"
    provider.script(json_body({"id": "file-1", "object": "file", "deleted": True}))
    assert colour.finish(client.files.delete("file-1")).deleted
    assert provider.last.method == "DELETE"


def test_the_answer_after_an_unknown_call_comes_over_the_same_connection(
    http: Any, provider: Provider, colour: Any
) -> None:
    provider.script(json_body({"data": []}))
    for _ in range(3):
        colour.finish(http.get(provider.url + "/v1/files"))
    assert {call.connection for call in provider.calls} == {1}


def test_bytes_of_a_known_question_arrive_as_they_were_written(http: Any, provider: Provider, colour: Any) -> None:
    provider.script(answer("x"))
    odd = b'{ "messages" : [], "n": 1.0, "model":"m", "big": 123456789012345678901234567890, "n": 1 }\n'
    colour.finish(http.post(provider.url + "/v1/chat/completions", content=odd))
    assert provider.last.body == odd
