"""Requests signed as AWS reads them: botocore signs the same to the same letter."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, strategies as st

from llm_edge.message import Headers
from llm_edge.providers.base import Wire
from llm_edge.providers.sigv4 import AccessKeys, signed, signed_names

MOMENT = datetime(2026, 11, 21, tzinfo=UTC)
KEYS = AccessKeys("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "TOKEN")
HOST = "https://bedrock-runtime.us-east-1.amazonaws.com"


def sign(wire: Wire, keys: AccessKeys = KEYS) -> Wire:
    return signed(wire, keys, region="us-east-1", service="bedrock", now=MOMENT.timestamp())


def by_botocore(wire: Wire, keys: AccessKeys) -> str:
    """The signature that botocore gives the same request."""
    vouched = {name: value for name, value in wire.headers.pairs if name.lower() == "content-type"}
    request = AWSRequest(method=wire.method, url=wire.url, headers=vouched, data=wire.content)
    credentials = Credentials(keys.access_key_id, keys.secret_access_key, keys.session_token or None)
    signer = botocore.auth.SigV4Auth(credentials, "bedrock", "us-east-1")
    # botocore reads its own clock; nothing of ours is put aside here.
    with mock.patch.object(botocore.auth, "get_current_datetime", return_value=MOMENT):
        signer.add_auth(request)
    return request.headers["Authorization"]


def test_the_published_example_has_its_signature() -> None:
    wire = Wire(
        url=f"{HOST}/model/us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse",
        headers=Headers({"Content-Type": "application/json"}),
        content=b'{"messages":[{"role":"user","content":[{"text":"hi"}]}]}',
    )
    shown = sign(wire).headers["authorization"]
    assert shown.endswith("Signature=db55413674013a8001053741c9d2359f90109d781b0d0d3f287f5e1cccdb8a68")
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token" in shown
    assert shown == by_botocore(wire, KEYS)


@given(
    path=st.text(st.sampled_from("abAB09-_.~:/%= +@€"), max_size=20),
    query=st.lists(st.tuples(st.text("ab =&+", min_size=1, max_size=4), st.text("xyz/~€ ", max_size=4)), max_size=3),
    content=st.binary(max_size=50),
    token=st.sampled_from(["", "TOKEN"]),
    method=st.sampled_from(["GET", "POST"]),
)
def test_any_request_is_signed_as_botocore_signs_it(
    path: str, query: list[tuple[str, str]], content: bytes, token: str, method: str
) -> None:
    from urllib.parse import quote, urlencode

    url = f"{HOST}/model/{quote(path, safe='')}/converse" + (f"?{urlencode(query)}" if query else "")
    wire = Wire(method=method, url=url, headers=Headers({"content-type": "application/json"}), content=content)
    keys = AccessKeys("AKID", "secret", token)
    assert sign(wire, keys).headers["authorization"] == by_botocore(wire, keys)


def test_headers_that_an_engine_may_touch_are_not_signed() -> None:
    headers = Headers({"accept-encoding": "gzip", "user-agent": "x", "x-amzn-bedrock-trace": "ENABLED"})
    shown = sign(Wire(url=f"{HOST}/x", headers=headers)).headers["authorization"]
    assert signed_names(shown) == {"host", "x-amz-date", "x-amz-security-token", "x-amzn-bedrock-trace"}


def test_a_signature_takes_the_place_of_an_older_one() -> None:
    once = sign(Wire(url=f"{HOST}/x", headers=Headers({"Authorization": "Bearer old", "X-Amz-Date": "1999"})))
    assert sign(once) == once
    assert [name.lower() for name, _ in once.headers.pairs].count("authorization") == 1


@pytest.mark.parametrize("shown", ["", "Bearer abc", "AWS4-HMAC-SHA256 nonsense"])
def test_other_credentials_vouch_for_nothing(shown: str) -> None:
    assert signed_names(shown) <= {""}


def test_the_secrets_are_not_shown() -> None:
    assert "wJalr" not in repr(KEYS)
    assert "TOKEN" not in repr(KEYS)
