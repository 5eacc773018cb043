"""What comes in: sizes, codings, framing, and JSON that every reader reads alike."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import tracemalloc
import zlib
from typing import Any

import brotli
import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import InvalidRequest
from llm_edge.message import Headers
from llm_edge.serve import intake
from llm_edge.serve.coding import inflated
from llm_edge.serve.intake import Gone, body_of, headers_of, json_object, kind_is_json
from llm_edge.serve.problems import HeadersTooLarge, Refused, TooLarge, TooSlow, WrongKind

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_an_object_is_read_as_it_was_written(value: dict[str, Any]) -> None:
    assert json_object(json.dumps(value).encode()) == value


@given(st.dictionaries(st.text(), JSON, max_size=5), st.booleans(), st.sampled_from([(",", ":"), (", ", ": ")]))
def test_however_it_is_written_it_is_the_same_object(
    value: dict[str, Any], escaped: bool, separators: tuple[str, str]
) -> None:
    raw = json.dumps(value, ensure_ascii=escaped, separators=separators).encode("utf-8", "surrogatepass")
    try:
        found = json_object(raw)
    except InvalidRequest:
        assert not escaped  # a lone surrogate cannot be said in UTF-8
    else:
        assert json.dumps(found) == json.dumps(json.loads(raw))


@given(st.dictionaries(st.text(min_size=1), JSON, min_size=1, max_size=4))
def test_a_key_that_stands_twice_is_always_found(value: dict[str, Any]) -> None:
    inner = json.dumps(value, separators=(",", ":"))[1:-1]
    with pytest.raises(InvalidRequest, match="names a key twice"):
        json_object(b"{%b,%b}" % (inner.encode(), inner.encode()))


@given(st.binary(max_size=200))
def test_any_bytes_are_an_object_or_refused(raw: bytes) -> None:
    try:
        assert isinstance(json_object(raw), dict)
    except InvalidRequest as error:
        assert error.status == 400


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "is empty"),
        (b" \r\n", "is empty"),
        (b"{", "not JSON"),
        (b"[]", "not an object"),
        (b'"text"', "not an object"),
        (b"{} {}", "not JSON"),
        (b"\xef\xbb\xbf{}", "begins with a byte order mark"),
        ("{}".encode("utf-16"), "not UTF-8"),
        ("{}".encode("utf-16-be"), "not UTF-8"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":-Infinity}', "not JSON"),
        (b'{"a":1e999}', "not JSON"),
        (b'{"a":' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"a":"\xff"}', "not UTF-8"),
        (b'{"a":1,"a":2}', "names a key twice"),
        (b'{"a":{"b":1,"\\u0062":2}}', "names a key twice"),
        (b'{"a":' + b"[" * 70 + b"]" * 70 + b"}", "nested more than 64"),
        (b'{"a":' * 100_000, "nested more than 64"),
        (b'{"a":[' + b"1," * 600_000 + b"1]}", "more than 500000 values"),
    ],
)
def test_what_readers_could_read_differently_is_refused(raw: bytes, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        json_object(raw)


def test_brackets_in_texts_are_no_depth() -> None:
    assert json_object(json.dumps({"a": "[" * 500 + '\\"{' * 50, "b": [{}] * 80}).encode())["a"][:2] == "[["


def test_long_numbers_keep_all_their_digits() -> None:
    assert json_object(b'{"a":18446744073709551617}')["a"] == 2**64 + 1


def read(*pieces: bytes, largest: int = 1000, seconds: float = 5, gone: bool = False, **headers: str) -> bytes:
    coming = list(pieces)

    async def receive() -> dict[str, Any]:
        if not coming:
            if gone:
                return {"type": "http.disconnect"}
            await asyncio.get_running_loop().create_future()
        piece = coming.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(coming) or gone or seconds < 1}

    named = Headers([(name.replace("_", "-"), value) for name, value in headers.items()])
    return asyncio.run(body_of(receive, named, largest=largest, seconds=seconds))


def test_a_body_is_put_together() -> None:
    assert read(b"ab", b"", b"cd") == b"abcd"
    assert read(b"x" * 1000) == b"x" * 1000


def test_a_body_that_is_all_here_is_not_waited_for() -> None:
    # `gone`: the server says that more comes, and the next thing to hear would be that the caller left
    assert read(b"abcd", gone=True, content_length="4") == b"abcd"


@pytest.mark.parametrize("length", ["5", "0", "", "²"])
def test_a_body_is_read_on_until_all_is_here(length: str) -> None:
    assert read(b"", b"ab", b"cd", b"e", content_length=length) == b"abcde"
    assert read(b"ab", b"cd", b"e", content_length=length) == b"abcde"


def test_where_a_body_comes_in_chunks_no_length_says_that_all_is_here() -> None:
    assert read(b"ab", b"cd", content_length="2", transfer_encoding="chunked") == b"abcd"


@pytest.mark.parametrize("pieces", [[b"x" * 1001], [b"x" * 600, b"x" * 600, b"x" * 600]])
def test_a_body_that_is_too_large_is_refused(pieces: list[bytes]) -> None:
    with pytest.raises(TooLarge, match="larger than the 1000 bytes"):
        read(*pieces)


def test_a_length_that_is_too_large_is_refused_before_a_byte_is_read() -> None:
    with pytest.raises(TooLarge):
        read(content_length="1001")


def test_a_body_that_does_not_come_is_refused() -> None:
    with pytest.raises(TooSlow, match=r"within 0\.01 s"):
        read(b"ab", seconds=0.01)


def test_a_body_that_breaks_off_is_told_from_a_whole_one() -> None:
    with pytest.raises(Gone):
        read(b"ab", gone=True)


PACKED = {
    "gzip": gzip.compress, "deflate": zlib.compress, "br": brotli.compress, "zstd": zstd.compress,
}  # fmt: skip


@given(st.binary(max_size=900), st.sampled_from(sorted(PACKED)))
def test_compressed_bodies_come_out_as_they_went_in(raw: bytes, coding: str) -> None:
    assert read(PACKED[coding](raw), content_encoding=coding) == raw


@given(st.binary(max_size=300), st.sampled_from(sorted(PACKED)))
def test_any_bytes_are_inflated_or_refused(raw: bytes, coding: str) -> None:
    try:
        assert len(inflated(raw, coding, 1000)) <= 1000
    except (InvalidRequest, TooLarge) as error:
        assert 400 <= error.status < 500


@pytest.mark.parametrize("coding", PACKED)
def test_a_bomb_is_not_unpacked(coding: str) -> None:
    bomb = PACKED[coding](b"\0" * 50_000_000)
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            inflated(bomb, coding, 10_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_zstd_body_that_asks_for_much_memory_is_refused() -> None:
    raw = b"".join(number.to_bytes(4, "big") for number in range(100))
    wide = zstd.compress(raw * 10, options={zstd.CompressionParameter.window_log: 27})
    packer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    streamed = packer.compress(raw) + packer.flush()  # of unknown length: its reader must believe the window
    assert inflated(wide, "zstd", 10_000) == raw * 10
    with pytest.raises(InvalidRequest, match="content-encoding"):
        inflated(streamed, "zstd", 10_000)


@pytest.mark.parametrize("coding", PACKED)
@pytest.mark.parametrize("spoil", ["plain", "cut short", "more behind it"])
def test_a_body_that_is_not_what_it_says_is_refused(coding: str, spoil: str) -> None:
    whole = PACKED[coding](b"x" * 50)
    raw = {"plain": b"plain", "cut short": whole[:-3], "more behind it": whole + b"more"}[spoil]
    with pytest.raises(InvalidRequest, match="content-encoding"):
        inflated(raw, coding, 1000)


def test_a_coding_we_do_not_undo_is_refused() -> None:
    with pytest.raises(WrongKind, match="send it plain, or as gzip"):
        read(b"x", content_encoding="compress")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/x+json", ""])
def test_json_may_call_itself_so(kind: str) -> None:
    kind_is_json(Headers([("content-type", kind)]))


@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "image/png", "application/xml"])
def test_another_kind_is_refused(kind: str) -> None:
    with pytest.raises(WrongKind):
        kind_is_json(Headers([("content-type", kind)]))


def test_headers_are_read() -> None:
    assert headers_of([(b"host", b"a:80"), (b"x-a", b"\xe9")])["x-a"] == "\xe9"


@pytest.mark.parametrize(
    "pairs",
    [
        [(b"host", b"a"), (b"host", b"b")],
        [(b"host", b"")],
        [(b"host", b"a/b")],
        [(b"host", b"user@a")],
        [(b"host", b"[::1")],
        [(b"x-a", b"b\r\nc")],
        [(b"x-a", b"b\0")],
    ],
)
def test_headers_that_could_mislead_are_refused(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Refused):
        headers_of(pairs)


@pytest.mark.parametrize(
    "pairs", [[(b"x", b"y")] * (intake.HEADER_COUNT + 1), [(b"x", b"y" * intake.HEADER_BYTES)]], ids=["many", "large"]
)
def test_too_many_or_too_large_headers_are_refused(pairs: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(HeadersTooLarge):
        headers_of(pairs)
