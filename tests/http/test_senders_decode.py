"""Compressed answers are undone without trusting them: bombs, layers, cut and broken data."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import NetworkFailed
from llm_edge.http.senders.decode import decoded
from llm_edge.message import Saved
from llm_edge.runtime import drive

LARGEST = 1 << 20


class Source(Saved):
    closed = False

    async def aclose(self) -> None:
        self.closed = True


async def _all(chunks: list[bytes], encoding: str | None, largest: int = LARGEST) -> bytes:
    source = decoded(Source(chunks), encoding, largest=largest)
    data = b""
    while True:
        try:
            data += await source.__anext__()
        except StopAsyncIteration:
            return data


def undo(chunks: list[bytes], encoding: str | None, largest: int = LARGEST) -> bytes:
    return drive(_all(chunks, encoding, largest))


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "x-gzip": gzip.compress,
    "Deflate": raw_deflate,
}


@given(st.binary(max_size=5000), st.sampled_from(sorted(PACK)), st.integers(1, 300))
def test_what_was_packed_comes_out(data: bytes, encoding: str, size: int) -> None:
    assert undo(pieces(PACK[encoding](data), size), encoding) == data


@given(st.binary(max_size=2000), st.integers(1, 99))
def test_layers_are_undone_from_the_last_to_the_first(data: bytes, size: int) -> None:
    assert undo(pieces(gzip.compress(zlib.compress(data)), size), "deflate, gzip") == data


@pytest.mark.parametrize("encoding", [None, "", "identity", " identity , "])
def test_what_is_not_packed_passes(encoding: str | None) -> None:
    assert undo([b"a", b"b"], encoding) == b"ab"


@given(st.binary(min_size=1, max_size=3000), st.sampled_from(["gzip", "deflate"]), st.data())
def test_data_that_is_cut_is_an_error(data: bytes, encoding: str, choice: st.DataObject) -> None:
    packed = PACK[encoding](data)
    cut = choice.draw(st.integers(1, len(packed) - 1))
    with pytest.raises(NetworkFailed) as caught:
        undo([packed[:cut]], encoding)
    assert caught.value.kind == "DecodingError"


@given(st.binary(min_size=3, max_size=200), st.sampled_from(["gzip", "deflate"]))
def test_garbage_is_an_error_or_nothing_but_never_a_crash(data: bytes, encoding: str) -> None:
    try:
        undo([data], encoding)
    except NetworkFailed as error:
        assert error.kind == "DecodingError"


def test_several_gzip_files_in_a_row_are_one() -> None:
    assert undo([gzip.compress(b"one ") + gzip.compress(b"two")], "gzip") == b"one two"


def test_bytes_after_the_end_of_deflate_are_an_error() -> None:
    with pytest.raises(NetworkFailed):
        undo([zlib.compress(b"one") + b"more"], "deflate")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "gzip, gzip", "gzip, gzip, gzip"])
def test_a_bomb_does_not_go_off(encoding: str) -> None:
    bomb = gzip.compress(bytes(100 << 20)) if encoding != "deflate" else zlib.compress(bytes(100 << 20))
    for _ in range(encoding.count(",")):
        bomb = gzip.compress(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(NetworkFailed) as caught:
            undo([bomb], encoding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert caught.value.kind == "DecodingError"
    assert "http.max_body" in str(caught.value)
    assert peak < 3 * LARGEST + (1 << 20)


def test_the_limit_holds_for_plain_bytes_too() -> None:
    assert undo([b"12345"], None, 5) == b"12345"
    with pytest.raises(NetworkFailed):
        undo([b"123", b"456"], None, 5)


def test_the_limit_is_the_last_byte_that_fits() -> None:
    assert undo([gzip.compress(b"12345")], "gzip", 5) == b"12345"
    with pytest.raises(NetworkFailed):
        undo([gzip.compress(b"123456")], "gzip", 5)


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, br", "compress", "gzip, gzip, gzip, gzip", "x\r\ny"])
def test_an_encoding_nobody_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(NetworkFailed) as caught:
        undo([b""], encoding)
    assert caught.value.kind == "DecodingError"


def test_what_is_refused_is_closed() -> None:
    source = Source([b"no gzip at all"])

    async def read() -> None:
        await decoded(source, "gzip", largest=LARGEST).__anext__()

    with pytest.raises(NetworkFailed):
        drive(read())
    assert source.closed
