"""Settings of the cache's second tier: one at most, a secret for what others can write, and no address in a message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from llm_edge import ConfigError
from llm_edge.config import EdgeConfig
from llm_edge.config.keys import resolve
from llm_edge.config.writer import to_toml

CANARY = "canary-canary-canary"
REDIS = {"url": f"rediss://user:{CANARY}@redis.example:6380/1"}


def refusal(cache: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        EdgeConfig(cache=cache)
    assert CANARY not in str(caught.value)
    return str(caught.value)


def test_without_settings_there_is_no_second_tier() -> None:
    cache = EdgeConfig().cache
    assert (cache.disk.directory, cache.redis.url, cache.secret, cache.idle) == (None, None, None, None)
    assert (cache.disk.ttl, cache.disk.bytes, cache.redis.ttl, cache.redis.prefix) == (
        3600, 2**30, 3600, "llm-edge:cache:",
    )  # fmt: skip


def test_a_directory_needs_nothing_else() -> None:
    cache = EdgeConfig(cache={"disk": {"directory": "~/kept", "bytes": "2GiB", "ttl": 60}}).cache
    assert cache.disk.directory == Path("~/kept").expanduser()
    assert (cache.disk.bytes, cache.disk.ttl) == (2**31, 60)


def test_a_directory_and_a_redis_do_not_go_together() -> None:
    assert "cache.redis (keyword cache): stands beside cache.disk.directory. Keep one of the two." in refusal(
        {"disk": {"directory": "/kept"}, "redis": REDIS, "secret": "x" * 16}
    )


def test_a_redis_needs_a_secret_and_the_line_to_add_is_told() -> None:
    text = refusal({"redis": REDIS})
    assert "cache.secret" in text
    assert 'secret = "env:LLM_EDGE_CACHE_SECRET"' in text


@pytest.mark.parametrize(
    ("cache", "words"),
    [
        ({"secret": "short"}, "cache.secret (keyword cache): is shorter than 16 characters"),
        ({"secret": "with spaces and so on"}, "cache.secret (keyword cache): holds"),
        ({"redis": {"url": f"http://{CANARY}"}}, "cache.redis.url (keyword cache): is not the address of a Redis"),
        ({"redis": {"url": f"redis://{CANARY}@h"}}, "cache.redis.url (keyword cache): is not the address of a Redis"),
        ({"redis": {"prefix": "a b"}}, "cache.redis.prefix (keyword cache): is not a prefix"),
        ({"redis": {"ttl": 0}}, "cache.redis.ttl (keyword cache): must be more than 0"),
        ({"disk": {"directory": ""}}, "cache.disk.directory (keyword cache): is not a path"),
        ({"disk": {"bytes": 0}}, "cache.disk.bytes (keyword cache): must be at least 1"),
        ({"disk": {"directori": "/x"}}, "Did you mean cache.disk.directory?"),
        ({"idle": -1}, "cache.idle (keyword cache): must be more than 0"),
    ],
)
def test_what_cannot_work_is_named(cache: dict[str, Any], words: str) -> None:
    assert words in refusal(cache)


def test_secret_and_address_may_be_references() -> None:
    config = EdgeConfig(cache={"secret": "env:CACHE_SECRET", "redis": {"url": "env:REDIS_URL"}})
    found = resolve(config, {"CACHE_SECRET": CANARY, "REDIS_URL": REDIS["url"]})
    assert found.cache_secret is not None
    assert found.redis_url is not None
    assert (found.cache_secret.get_secret_value(), found.redis_url.get_secret_value()) == (CANARY, REDIS["url"])
    assert CANARY not in repr(found)


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"CACHE_SECRET": "x" * 16}, "cache.redis.url (keyword cache): the variable REDIS_URL is not set"),
        ({"CACHE_SECRET": CANARY[:9], "REDIS_URL": "redis://h"}, "the variable CACHE_SECRET is shorter than 16"),
        ({"CACHE_SECRET": "x" * 16, "REDIS_URL": f"ftp://{CANARY}"}, "the variable REDIS_URL is not the address"),
    ],
)
def test_a_reference_to_nothing_usable_is_named(env: dict[str, str], words: str) -> None:
    config = EdgeConfig(cache={"secret": "env:CACHE_SECRET", "redis": {"url": "env:REDIS_URL"}})
    with pytest.raises(ConfigError) as caught:
        resolve(config, env)
    assert words in str(caught.value)
    assert CANARY[:9] not in str(caught.value)


def test_a_certificate_that_is_not_there_is_named() -> None:
    config = EdgeConfig(cache={"secret": "x" * 16, "redis": {**REDIS, "ca_file": "/nowhere/ca.pem"}})
    with pytest.raises(ConfigError, match=r"cache\.redis\.ca_file"):
        resolve(config)


def test_a_route_keeps_the_second_tier_of_all() -> None:
    config = EdgeConfig(
        cache={"secret": CANARY, "redis": REDIS}, routes={"fast": {"targets": "a/b", "cache": {"ttl": 5}}}
    )
    cache = config.for_route("fast").cache
    assert (cache.ttl, cache.redis, cache.secret) == (5, config.cache.redis, config.cache.secret)


def test_printed_settings_hide_them() -> None:
    text = to_toml(EdgeConfig(cache={"secret": CANARY, "redis": REDIS}))
    assert CANARY not in text
    assert "[cache.redis]" in text
