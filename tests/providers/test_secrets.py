"""Nothing that looks like a key is repeated."""

from __future__ import annotations

import pytest

from llm_edge.providers.secrets import hide


@pytest.mark.parametrize(
    "key",
    [
        "sk-madeup1234567890",
        "sk-proj-Ab_9-xyzxyzxyz",
        "sk-ant-api03-AbC_dEf-123",
        "sk-or-v1-0123abcd0123abcd",
        "sk-ab***************wxyz",
        "gsk_madeupMADEUP123",
        "xai-madeup123456",
        "hf_madeupmadeup",
        "AIzaSyMadeUpMadeUpMadeUp-_12",
        "AKIAMADEUPMADEUP1234",
        "pplx-madeup12345",
        "nvapi-madeup-1234567",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "0123456789abcdef0123456789abcdef",
        "Ab1Ab2Ab3Ab4Ab5Ab6Ab7Ab8Ab9Ab0Abc",
    ],
)
@pytest.mark.parametrize("sentence", ["Incorrect API key provided: {}.", "key={}", '{{"key":"{}"}}', "{}", "({})"])
def test_a_key_in_a_sentence_is_hidden(key: str, sentence: str) -> None:
    told = hide(sentence.format(key))
    assert key.rstrip(".") not in told
    assert key[-6:] not in told
    assert "[hidden]" in told


def test_a_bearer_token_and_a_key_in_an_address_are_hidden() -> None:
    assert hide("bad header: Bearer abcdefghij") == "bad header: Bearer [hidden]"
    assert hide("GET https://x.test/v1?alt=sse&key=short") == "GET https://x.test/v1?alt=sse&key=[hidden]"


@pytest.mark.parametrize(
    "text",
    [
        "The model `meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8` does not exist",
        "Rate limit reached for gpt-5.4-mini in organization org-abc on tokens per min",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
        "skeletons and skills are no keys; sk-learn neither",
    ],
)
def test_an_ordinary_message_is_left_alone(text: str) -> None:
    assert hide(text) == text
