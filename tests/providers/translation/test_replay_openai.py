"""One stored answer serves a stream and a whole ask: through the SDK nobody can tell which came first."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from llm_edge.providers.translation import chat, completions, responses
from llm_edge.providers.translation.core import Replay

from ..exchanges import OURS, THEIRS, WHOLE_STREAMS, Exchange
from .openai_kit import chat_of_sdk, cut, delta, plain, response_of_sdk, singly, sse, whole

REPLAYS: dict[str, Replay] = {each.dialect: each for each in (chat.REPLAY, responses.REPLAY, completions.REPLAY)}
KINDS = {"openai.chat": ChatCompletion, "openai.responses": Response, "openai.completions": Completion}
STREAMS = [each for each in WHOLE_STREAMS if each.dialect.name in REPLAYS]
ANSWERS = [
    each
    for each in OURS + THEIRS
    if not each.stream and each.status == 200 and each.dialect.name in REPLAYS and not each.expect.get("failure")
]
USAGE = {"stream_options": {"include_usage": True}}


def known(each: Exchange) -> Any:
    content = json.loads(each.content)
    return content if "choices" in content or "output" in content else None


@pytest.mark.parametrize("each", [each for each in STREAMS if "chat" in each.dialect.name and not each.expect], ids=str)
def test_a_replayed_chat_stream_is_put_together_as_the_original(each: Exchange) -> None:
    replay = REPLAYS[each.dialect.name]
    answer = whole(replay.assembler(), [each.content])
    assert answer is not None
    KINDS[each.dialect.name].model_validate(answer)
    again = b"".join(replay.events(answer, each.request))
    assert plain(chat_of_sdk(again)) == plain(chat_of_sdk(each.content))


@pytest.mark.parametrize("each", STREAMS, ids=str)
def test_a_stream_gives_the_same_answer_however_it_is_cut(each: Exchange) -> None:
    replay = REPLAYS[each.dialect.name]
    answer = whole(replay.assembler(), [each.content])
    assert answer is not None
    assert whole(replay.assembler(), singly(each.content)) == answer
    again = replay.events(answer, USAGE)
    assert whole(replay.assembler(), again) == answer


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_an_answer_kept_from_a_stream_cut_at_random_replays_the_same(data: st.DataObject) -> None:
    each = data.draw(st.sampled_from(STREAMS))
    places = data.draw(st.lists(st.integers(0, len(each.content)), max_size=20))
    replay = REPLAYS[each.dialect.name]
    answer = whole(replay.assembler(), cut(each.content, places))
    assert answer == whole(replay.assembler(), [each.content])
    content = b"".join(replay.events(answer, USAGE))
    again = data.draw(st.lists(st.integers(0, len(content)), max_size=20))
    assert whole(replay.assembler(), cut(content, again)) == answer


@pytest.mark.parametrize("each", STREAMS, ids=str)
def test_a_stream_cut_short_has_no_whole_answer(each: Exchange) -> None:
    replay = REPLAYS[each.dialect.name]
    end = re.search(rb'"finish_reason"\s*:\s*"|response\.(completed|incomplete)', each.content)
    assert end is not None
    half = each.content[: end.start()]
    assert whole(replay.assembler(), [half]) is None
    assert whole(replay.assembler(), []) is None


@pytest.mark.parametrize("each", [each for each in ANSWERS if known(each)], ids=str)
def test_a_recorded_answer_survives_being_streamed(each: Exchange) -> None:
    answer, name = known(each), each.dialect.name
    content = b"".join(REPLAYS[name].events(answer, USAGE))
    assert whole(REPLAYS[name].assembler(), [content]) == with_message(answer, name)
    if name == "openai.chat":
        assert plain(chat_of_sdk(content)) == plain(with_message(answer, name))
    elif name == "openai.responses":
        assert plain(response_of_sdk(content)) == plain(answer)


def with_message(answer: Any, name: str) -> Any:
    """Azure leaves the message of a filtered answer out; a stream cannot."""
    if name != "openai.chat":
        return answer
    empty = {"role": "assistant", "content": None}
    return {**answer, "choices": [{"message": empty, **choice} for choice in answer["choices"]]}


# ------------------------------------------------------------------ answers nobody recorded

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
WORD = st.text("abcdefgh_", min_size=1, max_size=8)
TOKEN = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
LOGPROB = st.builds(
    lambda token: {"token": token, "logprob": -0.5, "bytes": list(token.encode()), "top_logprobs": []}, TOKEN
)
CALL = st.builds(
    lambda name, arguments: {
        "id": f"call_{name}",
        "type": "function",
        "function": {"name": name, "arguments": arguments},
    },
    WORD,
    TEXT,
)
CITATION = st.builds(
    lambda end: {
        "type": "url_citation",
        "url_citation": {"url": "u", "title": "t", "start_index": 0, "end_index": end},
    },
    st.integers(0, 9),
)
OPTIONAL = {
    "refusal": st.none() | TEXT.filter(bool),
    "reasoning_content": TEXT.filter(bool),
    "annotations": st.lists(CITATION, max_size=3),
    "tool_calls": st.lists(CALL, min_size=1, max_size=4),
    "extension": st.fixed_dictionaries({"any": st.integers(0, 5)}),
}


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    choices = []
    for index in range(draw(st.integers(1, 3))):
        message = {"role": "assistant", "content": draw(st.none() | TEXT)}
        message |= draw(st.fixed_dictionaries({}, optional=OPTIONAL))
        choice = {"index": index, "message": message, "finish_reason": draw(st.sampled_from(["stop", "length"]))}
        tokens = draw(st.none() | st.lists(LOGPROB, min_size=1, max_size=4))
        if tokens:
            message["content"] = "".join(token["token"] for token in tokens)
            choice["logprobs"] = {"content": tokens, "refusal": None}
        choices.append(choice)
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": choices, "usage": usage}


@settings(max_examples=150, deadline=None)
@given(answers())
def test_any_answer_survives_being_streamed(answer: dict[str, Any]) -> None:
    content = b"".join(chat.REPLAY.events(answer, USAGE))
    assert whole(chat.REPLAY.assembler(), [content]) == answer
    assert plain(chat_of_sdk(content)) == plain(answer)


@given(answers())
def test_a_usage_chunk_comes_only_when_asked(answer: dict[str, Any]) -> None:
    asked, unasked = b"".join(chat.REPLAY.events(answer, USAGE)), b"".join(chat.REPLAY.events(answer, {}))
    assert asked.count(b'"usage":{') == 1
    assert b'"usage"' not in unasked


# ------------------------------------------------------------------ named truths


@pytest.mark.parametrize("number", [1, 2])
def test_choices_that_do_not_say_which_one_they_are_are_streamed_by_their_place(number: int) -> None:
    message = {"role": "assistant", "content": "Hi"}
    answer = {
        "id": "c1",
        "created": 1,
        "model": "m",
        "choices": [{"message": message, "finish_reason": "stop"}] * number,
    }
    found = chat_of_sdk(b"".join(chat.REPLAY.events(answer, {})))
    assert [(each["index"], each["message"]["content"]) for each in found["choices"]] == [
        (place, "Hi") for place in range(number)
    ]


def test_interleaved_tool_calls_are_put_together_one_by_one() -> None:
    content = sse(
        delta(role="assistant", content=None),
        delta(tool_calls=[{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]),
        delta(tool_calls=[{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": "{"}}]),
        delta(tool_calls=[{"index": 0, "function": {"arguments": "{}"}}, {"index": 1, "function": {"arguments": "}"}}]),
        delta(finish="tool_calls"),
    )
    answer = whole(chat.REPLAY.assembler(), singly(content))
    assert answer["choices"][0]["message"]["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_a_stream_that_told_of_an_error_has_no_whole_answer() -> None:
    content = sse(delta(content="Hi"), {"error": {"message": "no", "type": "server_error"}}, delta(finish="stop"))
    assert whole(chat.REPLAY.assembler(), [content]) is None


def test_a_stream_without_done_is_whole_when_every_choice_has_finished() -> None:
    one, both = sse(delta(finish="stop"), delta(1, content="x"), done=False), sse(delta(1, finish="stop"), done=False)
    assert whole(chat.REPLAY.assembler(), [one]) is None
    assert whole(chat.REPLAY.assembler(), [one, both])["choices"][1]["message"]["content"] == "x"


def test_an_event_too_large_to_keep_leaves_no_whole_answer() -> None:
    content = sse(delta(content="x" * (2 << 20)), delta(finish="stop"))
    assert whole(chat.REPLAY.assembler(), [content]) is None


def test_completions_come_back_with_their_logprobs() -> None:
    lists = {"tokens": ["Hi", "!"], "token_logprobs": [-0.1, -0.2], "top_logprobs": None, "text_offset": [0, 2]}
    choice = {"text": "Hi!", "index": 0, "logprobs": lists, "finish_reason": "stop"}
    answer = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m", "choices": [choice]}
    told = completions.REPLAY.events(answer, {})
    assert len(told) == 4
    assert whole(completions.REPLAY.assembler(), told) == answer


def test_a_failed_response_has_no_whole_answer() -> None:
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error"}}}
    assert whole(responses.REPLAY.assembler(), [sse(failed, done=False)]) is None


def test_a_response_whose_end_tells_no_output_has_the_items_told_before() -> None:
    item = {"id": "fc_1", "type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    done = {"type": "response.output_item.done", "output_index": 0, "item": item}
    end = {"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": None}}
    assert whole(responses.REPLAY.assembler(), [sse(done, end, done=False)])["output"] == [item]
