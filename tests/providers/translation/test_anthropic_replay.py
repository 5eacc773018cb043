"""Anthropic's streams kept as whole answers, and answers told as streams: what is told is what was kept."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given, settings, strategies as st

from llm_edge.providers.translation.anthropic import REPLAY

from .test_anthropic_answers import answered
from .test_anthropic_callers import NAMES, TEXT, VALUES
from .test_anthropic_streams import STREAMS, WHOLE, event, read, through_sdk, told, whole, written


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_only_a_whole_stream_is_kept(name: str) -> None:
    raw = STREAMS[name]
    kept = whole(raw)
    assert (kept is not None) == (name in WHOLE)
    if kept is not None:
        Message.model_validate(kept)
        assert whole(told(kept)) == kept
        end = raw.index(b"event: message_stop")
        for cut in range(0, end, 3):
            assert whole(raw[:cut]) is None


@pytest.mark.parametrize(
    "odd",
    [
        event("brand_new"),
        event("content_block_delta", index=0, delta={"type": "brand_new_delta"}),
        event("content_block_start", index=7, content_block={"type": "text", "text": ""}),
        event("error", error={"type": "overloaded_error", "message": "busy"}),
        b"data: {oops\n\n",
    ],
)
def test_a_stream_with_something_odd_in_it_is_not_kept(odd: bytes) -> None:
    raw = told(answered({"type": "text", "text": "a"}))
    assert whole(raw) is not None
    at = raw.index(b"event: content_block_stop")
    assert whole(raw[:at] + odd + raw[at:]) is None


def test_a_stream_whose_arguments_are_no_object_is_not_kept() -> None:
    raw = told(answered({"type": "tool_use", "id": "t", "name": "w", "input": {"x": 1}}))
    assert whole(raw.replace(b'{\\"x\\":1}', b'{\\"x\\":')) is None


BLOCKS = st.lists(
    st.one_of(
        st.builds(lambda text: {"type": "text", "text": text}, TEXT),
        st.builds(lambda text, name: {"type": "thinking", "thinking": text, "signature": name}, st.text(), NAMES),
        st.builds(lambda data: {"type": "redacted_thinking", "data": data}, NAMES),
        st.builds(
            lambda name, given: {"type": "tool_use", "id": name, "name": name, "input": given},
            NAMES,
            st.dictionaries(st.text(), VALUES),
        ),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(BLOCKS, st.integers(1, 50))
def test_any_answer_told_as_a_stream_is_that_answer_again(blocks: list[dict[str, Any]], size: int) -> None:
    answer = answered(*blocks, stop_details=None)
    raw = told(answer)
    assembler = REPLAY.assembler()
    for start in range(0, len(raw), size):
        assembler.feed(raw[start : start + size])
    assert assembler.whole() == answer


@settings(max_examples=15, deadline=None)
@given(BLOCKS)
def test_anthropics_sdk_hears_the_replayed_answer_as_it_was(blocks: list[dict[str, Any]]) -> None:
    answer = answered(*blocks, stop_details=None)
    expected = Message.model_validate(answer)
    assert through_sdk(told(answer)).model_dump() == expected.model_dump()


ORDER = {"thinking": 0, "redacted_thinking": 0, "text": 1, "tool_use": 2}


@settings(max_examples=60, deadline=None)
@given(BLOCKS)
def test_an_answer_is_the_same_through_the_chat_form_whole_and_streamed(blocks: list[dict[str, Any]]) -> None:
    blocks = sorted(blocks, key=lambda block: ORDER[block["type"]])
    texts = [block for block in blocks if block["type"] == "text"]
    for extra in texts[1:]:
        blocks.remove(extra)
    streamed = whole(written(read([told(answered(*blocks))])))
    assert streamed is not None
    assert streamed["content"] == blocks
