"""The tree of what can go wrong: facts, not words."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from llm_edge import errors
from llm_edge.errors import (
    CallError,
    CertificateRefused,
    NetworkFailed,
    Overloaded,
    ProviderFailed,
    StreamBroken,
    Throttled,
)
from llm_edge.message import Body, Response
from llm_edge.notes import Notes


def kinds(kind: type[CallError] = CallError) -> list[type[CallError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in kinds(child))]


ALL = [kind for kind in kinds() if kind.__module__ == "llm_edge.errors"]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_says_what_it_is_and_is_in_the_picture(kind: type[CallError]) -> None:
    assert kind.__doc__
    assert errors.__doc__
    assert kind.__name__ in errors.__doc__
    assert kind.status in {400, 401, 404, 429, 500, 502, 503, 504}


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("carry", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy], ids=["pickle", "copy"])
def test_words_and_facts_survive_a_process_border(kind: type[CallError], carry: object) -> None:
    error = kind("what happened")
    error.retry_after, error.target, error.attempts, error.notes = 2.5, "openai/a", 3, Notes()
    assert callable(carry)
    back = carry(error)
    assert type(back) is kind
    assert (str(back), back.message, back.retry_after, back.target, back.attempts) == (
        str(error),
        "what happened",
        2.5,
        "openai/a",
        3,
    )
    assert (back.status, back.retryable, back.elsewhere, back.code) == (
        error.status,
        error.retryable,
        error.elsewhere,
        error.code,
    )
    assert (back.response, back.notes, back.explain()) == (None, None, {})


@pytest.mark.parametrize("error", [NetworkFailed("late", kind="ReadTimeout"), StreamBroken("cut", kind="ReadError")])
def test_the_kind_of_trouble_survives_too(error: NetworkFailed | StreamBroken) -> None:
    back = pickle.loads(pickle.dumps(error))
    assert (back.kind, back.status) == (error.kind, error.status)


def test_what_an_app_hangs_on_an_error_need_not_be_fit_to_travel() -> None:
    error: Any = NetworkFailed("reset", kind="ReadError")
    error.original = error.__dict__["of the app's own"] = lambda: None
    error.add_note("seen on a Monday")
    back = pickle.loads(pickle.dumps(error))
    assert (back.original, back.kind, str(back)) == (None, "ReadError", "reset")


def test_the_providers_status_survives_without_its_answer() -> None:
    error = Overloaded("too much", response=Response(status=529, body=Body(b"{}")))
    assert error.status == 529
    assert pickle.loads(pickle.dumps(error)).status == 529


def test_an_error_under_status_200_keeps_the_status_of_its_class() -> None:
    assert Throttled("slow down", response=Response(status=200)).status == 429
    assert ProviderFailed("?", response=Response(status=200)).status == 502


@pytest.mark.parametrize(
    ("kind", "status", "retryable", "ours"),
    [
        ("ConnectError", 502, True, False), ("ConnectTimeout", 504, True, False), ("ReadTimeout", 504, True, False),
        ("PoolTimeout", 504, True, True), ("LocalProtocolError", 400, False, True),
        ("UnsupportedProtocol", 400, False, True),
    ],
)  # fmt: skip
def test_trouble_on_the_wire_says_whose_it_is(kind: str, status: int, retryable: bool, ours: bool) -> None:
    error = NetworkFailed("no answer", kind=kind)
    assert (error.status, error.retryable, error.ours, error.timed_out) == (
        status,
        retryable,
        ours,
        kind.endswith("Timeout"),
    )


def test_a_certificate_is_never_tried_again() -> None:
    error = CertificateRefused("not to be trusted", kind="ConnectError")
    assert (error.retryable, error.elsewhere) == (False, True)


def test_the_story_of_a_failed_call_hangs_on_its_error() -> None:
    error = CallError("no")
    error.notes = Notes(model="m")
    assert error.explain()["model"] == "m"
