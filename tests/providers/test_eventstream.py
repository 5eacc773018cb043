"""Amazon's frames: read however they are cut, never believed when a checksum does not fit."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from botocore.eventstream import EventStreamBuffer
from hypothesis import given, strategies as st

from llm_edge.providers.eventstream import LARGEST, Frame, Frames, event, exception, message

from .exchanges import RECORDED

STREAMS = sorted(RECORDED.glob("bedrock/*.eventstream"))
FIRST = event("messageStart", b'{"role":"assistant"}')
SECOND = event("metadata", b"{}")
THREE = FIRST + SECOND + exception("throttlingException", b"{}")
NAMES = st.text(min_size=1, max_size=20)
HEADERS = st.dictionaries(NAMES, st.text(max_size=40), max_size=5)


def read(chunks: Iterable[bytes]) -> tuple[list[Frame], str]:
    frames = Frames()
    found = [frame for chunk in chunks for frame in frames.feed(chunk)]
    return found, frames.garbled


def by_amazon(raw: bytes) -> list[tuple[dict[str, Any], bytes]]:
    """The same bytes as botocore reads them."""
    buffer = EventStreamBuffer()
    buffer.add_data(raw)
    return [(dict(each.headers), each.payload) for each in buffer]


@given(HEADERS, st.binary(max_size=300))
def test_what_is_written_reads_back_the_same_to_us_and_to_botocore(headers: dict[str, str], payload: bytes) -> None:
    raw = message(headers, payload)
    assert [(dict(frame.headers), frame.payload) for frame in read([raw])[0]] == [(headers, payload)]
    assert by_amazon(raw) == [(headers, payload)]


@pytest.mark.parametrize("size", range(1, len(THREE)))
def test_the_network_may_cut_anywhere(size: int) -> None:
    pieces = [THREE[at : at + size] for at in range(0, len(THREE), size)]
    assert read(pieces) == read([THREE])
    assert [frame.event or frame.error for frame in read(pieces)[0]] == [
        "messageStart",
        "metadata",
        "throttlingException",
    ]


@pytest.mark.parametrize("at", range(len(THREE)))
def test_a_byte_gone_wrong_ends_the_reading(at: int) -> None:
    raw = bytearray(THREE)
    raw[at] ^= 0x10
    whole, _ = read([THREE])
    found, garbled = read([bytes(raw)])
    assert garbled
    assert found == whole[: len(found)]
    assert len(found) < len(whole)
    assert read(bytes([byte]) for byte in raw) == (found, garbled)


@pytest.mark.parametrize("at", range(len(THREE)))
def test_a_stream_cut_short_gives_the_whole_messages_and_knows_of_the_half(at: int) -> None:
    frames = Frames()
    found = frames.feed(THREE[:at])
    ends = [len(FIRST), len(FIRST) + len(SECOND)]
    assert len(found) == sum(end <= at for end in ends)
    assert frames.pending is (at not in (0, *ends))
    assert not frames.garbled


@pytest.mark.parametrize(("total", "headers"), [(15, 0), (20, 5), (LARGEST + 17, 0), (2**32 - 1, 2**31)])
def test_impossible_lengths_are_not_waited_for(total: int, headers: int) -> None:
    lengths = struct.pack(">II", total, headers)
    assert "impossible" in read([lengths + struct.pack(">I", crc32(lengths))])[1]


def block(kind: int, value: bytes) -> bytes:
    headers = b"\x01x" + bytes([kind]) + value
    lengths = struct.pack(">II", len(headers) + 16, len(headers))
    raw = lengths + struct.pack(">I", crc32(lengths)) + headers
    return raw + struct.pack(">I", crc32(raw))


@pytest.mark.parametrize(
    ("kind", "value", "means"),
    [
        (0, b"", True),
        (1, b"", False),
        (2, b"\xff", -1),
        (3, b"\x01\x00", 256),
        (4, b"\xff\xff\xff\xfe", -2),
        (5, b"\x00" * 7 + b"\x09", 9),
        (6, b"\x00\x02ab", b"ab"),
        (7, b"\x00\x03\xe2\x82\xac", "€"),
        (8, b"\x00" * 7 + b"\x05", 5),
        (9, bytes(range(16)), bytes(range(16))),
    ],
)
def test_every_type_of_header_is_read_as_botocore_reads_it(kind: int, value: bytes, means: Any) -> None:
    raw = block(kind, value)
    (frame,), _ = read([raw])
    assert frame.headers == {"x": means}
    assert str(by_amazon(raw)[0][0]["x"]) == str(means)


@pytest.mark.parametrize(
    ("kind", "value"), [(10, b""), (4, b"\x00"), (7, b"\x00\x09ab"), (6, b"\x00"), (7, b"\x00\x01\xff"), (9, b"short")]
)
def test_headers_that_make_no_sense_are_garbled(kind: int, value: bytes) -> None:
    assert "header" in read([block(kind, value)])[1]


@given(st.binary(max_size=200))
def test_anything_may_come_and_nothing_is_raised(raw: bytes) -> None:
    found, _ = read([raw])
    assert found == []


def test_an_error_without_an_exception_is_one_too() -> None:
    raw = message({":message-type": "error", ":error-code": "InternalError", ":error-message": "broken"}, b"")
    (frame,), _ = read([raw])
    assert (frame.event, frame.error, frame.text(":error-message")) == ("", "InternalError", "broken")


@pytest.mark.parametrize("file", STREAMS, ids=lambda file: file.name.partition(".")[0])
def test_a_recorded_stream_is_read_as_it_was_decoded_then(file: Path) -> None:
    raw = file.read_bytes()
    decoded = file.with_name(file.name.replace(".eventstream", ".events.jsonl")).read_text()
    told = [json.loads(line) for line in decoded.split("\n") if line]
    found, garbled = read(bytes([byte]) for byte in raw)
    assert not garbled
    assert [(dict(frame.headers), json.loads(frame.payload)) for frame in found] == [
        (each["headers"], each["payload"]) for each in told
    ]
