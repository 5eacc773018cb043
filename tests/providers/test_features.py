"""The tables of features are true: what is translated stands where it is looked for, the rest is told or refused."""

from __future__ import annotations

from typing import Any

import pytest

from llm_edge.errors import InvalidRequest
from llm_edge.providers.translation.core import Exchange

from .features import FEATURES, PLACES, RETURNS, Feature, Place, Returned

ELSEWHERE = [place for place in PLACES if place.dialect != "openai.chat"]


def at(value: Any, path: str) -> Any:
    for step in path.split("."):
        value = value[int(step)] if step.isdigit() else value[step]
    return value


@pytest.mark.parametrize("place", ELSEWHERE, ids=lambda place: place.title)
@pytest.mark.parametrize("feature", FEATURES, ids=lambda feature: feature.name)
def test_a_feature_has_the_fate_the_table_tells(feature: Feature, place: Place) -> None:
    fate, where = feature.fate(place), feature.where.get(place.dialect)
    assert (fate == "translated") is (where is not None)
    into = Exchange(model=place.model, provider=place.provider, request_id="r1", on_unsupported="reject")
    if where is not None:
        body = feature.told(place, into)
        assert at(body, where) is not None
    elif fate == "impossible":
        with pytest.raises(InvalidRequest, match="`"):
            feature.told(place, into)


def test_openais_own_servers_are_asked_as_the_caller_asked() -> None:
    openai = PLACES[0]
    for feature in FEATURES:
        assert feature.fate(openai) == "native"


@pytest.mark.parametrize("place", ELSEWHERE, ids=lambda place: place.title)
@pytest.mark.parametrize("returned", RETURNS, ids=lambda returned: returned.name)
def test_what_a_provider_tells_arrives_at_a_caller_of_openais_chat(returned: Returned, place: Place) -> None:
    tells = place.dialect in returned.told
    assert (returned.fate(place) == "translated") is tells
    if tells:
        assert at(returned.heard(place), returned.path)
