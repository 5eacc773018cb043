"""JSON objects outside any event."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

from hypothesis import given, strategies as st

from llm_edge.providers.bare import LIMIT, BareObjects

VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='{}"\\[]x\n é'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(alphabet='{}"\\a', max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECT = st.dictionaries(st.text(alphabet='{}"\\ab', max_size=3), VALUE, max_size=3)


@given(st.lists(OBJECT, max_size=4), st.sampled_from([None, 1]), st.booleans())
def test_objects_are_found_however_they_are_laid_out(
    objects: list[dict[str, Any]], indent: int | None, listed: bool
) -> None:
    text = (
        json.dumps(objects, indent=indent) if listed else "\n".join(json.dumps(each, indent=indent) for each in objects)
    )
    finder, found = BareObjects(), list[Any]()
    for line in text.encode().splitlines():
        found += [json.loads(data) for data in finder.feed(line)]
    assert found == objects
    assert not finder.pending


def test_an_object_under_way_is_pending() -> None:
    finder = BareObjects()
    assert finder.feed(b'{"a": "}"') == []
    assert finder.pending


def test_an_object_too_large_is_passed_over_and_the_next_is_found() -> None:
    finder, line = BareObjects(), b"x" * 65536
    tracemalloc.start()
    try:
        finder.feed(b'{"a": "')
        for _ in range(200):
            finder.feed(line)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * LIMIT
    assert finder.feed(b'"}') == []
    assert finder.feed(b'{"b": 1}') == [b'{"b": 1}']
