"""What a configuration takes, and what it refuses."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import ValidationError

from llm_edge.config import (
    TIERS,
    CacheConfig,
    EdgeConfig,
    LimitConfig,
    RetryConfig,
    RouteConfig,
    TargetConfig,
    TierConfig,
)
from llm_edge.errors import ConfigError, EdgeError

CANARY = "sk-canary-7f3a"


def refusal(**sections: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        EdgeConfig(**sections)
    return str(caught.value)


def test_the_defaults_are_those_of_the_documentation():
    config = EdgeConfig()
    assert (config.deadline.chat, config.deadline.stream, config.deadline.embeddings) == (30, 120, 5)
    assert (config.deadline.first_token, config.deadline.idle, config.deadline.total) == (30, 30, None)
    assert (config.cache.policy, config.cache.ttl, config.cache.entries, config.cache.bytes) == (
        "all",
        300,
        1000,
        2**26,
    )
    assert (config.retry.attempts, config.retry.base, config.retry.cap) == (3, 0.1, 8)
    assert (config.breaker.enabled, config.breaker.failures, config.breaker.open_for) == (True, 5, 30)
    assert (config.http.engine, config.http.connect, config.http.pool, config.http.http2) == ("auto", 5, 100, False)
    assert (config.http.tls_minimum, config.http.max_body) == ("1.2", 2**26)
    assert not config.providers
    assert not config.routes
    assert not config.limits


def test_a_section_may_be_a_mapping_or_a_model():
    assert EdgeConfig(cache={"ttl": 3}) == EdgeConfig(cache=CacheConfig(ttl=3)) != EdgeConfig(cache={"ttl": 4})
    given = RouteConfig(targets=(TargetConfig(target="openai/a"),))
    assert EdgeConfig(routes={"fast": given}) == EdgeConfig(routes={"fast": {"targets": "openai/a"}})


def test_nothing_can_be_changed_afterwards():
    config = EdgeConfig()
    with pytest.raises(ValidationError):
        config.cache.ttl = 3  # type: ignore[misc]  # the point of the test
    with pytest.raises(ValidationError):
        config.cache = CacheConfig()  # type: ignore[misc]  # the point of the test


def test_changed_joins_sections_and_leaves_the_first_as_it_was():
    first = EdgeConfig(cache={"ttl": 3}, retry={"attempts": 1})
    second = first.changed(cache={"entries": 5}, http={"pool": 7})
    assert (second.cache.ttl, second.cache.entries, second.retry.attempts, second.http.pool) == (3, 5, 1, 7)
    assert (first.cache.entries, first.http.pool) == (1000, 100)
    assert second.place(("cache", "entries")) == "keyword cache"
    with pytest.raises(ConfigError, match=r"cache\.entries"):
        first.changed(cache={"entries": -1})


def test_a_copy_equals_its_original():
    config = EdgeConfig(providers={"openai": {"api_key": CANARY}}, cache={"ttl": 3})
    assert copy.deepcopy(config) == config
    assert copy.deepcopy(config).place(("cache", "ttl")) == "keyword cache"
    assert config != "something else"


@pytest.mark.parametrize(
    ("size", "count"),
    [("64MiB", 2**26), ("64 MiB", 2**26), ("1.5KiB", 1536), ("500kB", 500_000), ("2GB", 2 * 10**9), (7, 7), ("7", 7)],
)
def test_a_size_takes_units_and_plain_numbers(size: str | int, count: int):
    assert EdgeConfig(cache={"bytes": size}).cache.bytes == count


@pytest.mark.parametrize("size", ["64 parsecs", "MiB", "-1", "1e3", "", True, -5, "9999999GiB", "٣MiB"])
def test_what_is_no_size_is_refused(size: object):
    assert refusal(cache={"bytes": size}).startswith("cache.bytes (keyword cache): ")


def test_tls_may_be_written_as_a_number():
    assert EdgeConfig(http={"tls_minimum": 1.3}).http.tls_minimum == "1.3"


# ---- routes and limits


def test_targets_come_as_text_as_table_or_alone():
    many = EdgeConfig(routes={"fast": {"targets": ["openai/a", {"target": "local/org/b:7b"}]}}).routes["fast"]
    assert [each.target for each in many.targets] == ["openai/a", "local/org/b:7b"]
    alone = EdgeConfig(routes={"fast": {"targets": "openai/a"}}).routes["fast"]
    assert [each.target for each in alone.targets] == ["openai/a"]


def test_a_route_sees_its_own_rules_over_the_common_ones():
    config = EdgeConfig(
        routes={
            "fast": {"targets": "openai/a", "deadline": {"chat": 3}, "cache": {"ttl": 7}, "retry": {"attempts": 1}}
        },
        cache={"policy": "deterministic"},
    )
    fast = config.for_route("fast")
    assert (fast.deadline.chat, fast.deadline.stream) == (3, 120)
    assert (fast.cache.ttl, fast.cache.policy, fast.cache.entries) == (7, "deterministic", 1000)
    assert (fast.retry.attempts, fast.retry.cap) == (1, 8)
    assert config.for_route("unknown") is config


def test_what_a_route_says_of_one_operation_outweighs_the_common_total():
    config = EdgeConfig(routes={"fast": {"targets": "openai/a", "deadline": {"chat": 3}}}, deadline={"total": 60})
    fast = config.for_route("fast").deadline
    assert (fast.total, fast.chat, fast.stream, fast.embeddings) == (None, 3, 60, 60)


def test_a_route_that_fits_only_without_the_common_rules_is_refused():
    text = refusal(routes={"fast": {"targets": "openai/a", "retry": {"base": 10}}})
    assert text == "routes.fast.retry.cap (keyword routes): is smaller than base. Raise cap or lower base."


def test_a_limit_knows_its_rate_and_burst():
    per_minute = LimitConfig(requests_per_minute=1000)
    assert (per_minute.rate, per_minute.burst_size) == (1000 / 60, 200)
    per_second = LimitConfig(requests_per_second=0.5, burst=3)
    assert (per_second.rate, per_second.burst_size) == (0.5, 3)
    assert LimitConfig(requests_per_second=0.5).burst_size == 1
    assert (LimitConfig(concurrency=3).rate, LimitConfig(concurrency=3).burst_size) == (None, 1)


def test_a_limit_that_is_off_may_be_half_written():
    assert EdgeConfig(limits={"global": {"enabled": False, "burst": 3}}).limits["global"].enabled is False


# ---- refusals


REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"cahce": {}}, "cahce (keyword cahce): is not a setting. Did you mean cache?"),
    ({"cache": {"tll": 3}}, "cache.tll (keyword cache): is not a setting. Did you mean cache.ttl?"),
    ({"ttl": 3}, "ttl (keyword ttl): is not a setting. Did you mean cache.ttl?"),
    ({"nonsense": 3}, "nonsense (keyword nonsense): is not a setting. Remove it; here may stand providers, routes,"),
    ({"routes": {"f": {"targets": "a/b", "stratgy": "x"}}}, "Did you mean routes.f.strategy?"),
    (
        {"cache": {"ttl": 0}},
        "cache.ttl (keyword cache): must be more than 0. Change it, or leave it out for the default",
    ),
    ({"cache": {"ttl": True}}, "cache.ttl (keyword cache): must be a number, not true or false."),
    ({"cache": {"ttl": float("nan")}}, "cache.ttl (keyword cache): must be a finite number"),
    ({"cache": {"ttl": float("inf")}}, "cache.ttl"),
    ({"cache": {"entries": -1}}, "cache.entries (keyword cache): must be at least 0"),
    ({"cache": {"entries": 1.5}}, "cache.entries (keyword cache): must be a whole number"),
    ({"cache": {"policy": "some"}}, "cache.policy (keyword cache): must be 'all', 'deterministic' or 'off'."),
    ({"cache": 3}, "cache (keyword cache): must be a table of settings. In it may stand policy, ttl,"),
    ({"retry": 3}, "retry (keyword retry): must be a table of settings. In it may stand attempts,"),
    ({"providers": []}, "providers (keyword providers): must be a table of settings"),
    ({"cache": {3: 4}}, "cache.3 (keyword cache): is not a setting."),
    ({"retry": {"attempts": 0}}, "retry.attempts (keyword retry): must be at least 1"),
    ({"retry": {"attempts": 11}}, "retry.attempts (keyword retry): must be at most 10"),
    ({"retry": {"base": 9}}, "retry.cap (keyword retry): is smaller than base."),
    ({"breaker": {"enabled": "maybe"}}, "breaker.enabled (keyword breaker): must be true or false"),
    ({"deadline": {"chat": "soon"}}, "deadline.chat (keyword deadline): must be a number."),
    ({"http": {"cert_file": "/c.pem"}}, "http.key_file (keyword http): is missing. Set it to the key of cert_file"),
    ({"http": {"key_file": "/k.pem"}}, "http.cert_file (keyword http): is missing."),
    ({"http": {"ca_file": "a\nb"}}, "http.ca_file (keyword http): is not a path."),
    ({"http": {"ca_file": ""}}, "http.ca_file (keyword http): is not a path."),
    ({"http": {"ca_file": 3}}, "http.ca_file (keyword http): must be a text"),
    ({"http": {"verify": False}}, "http.verify (keyword http): cannot be switched off."),
    ({"http": {"tls_minimum": 1.1}}, "http.tls_minimum (keyword http): must be '1.2' or '1.3'."),
    ({"http": {"proxy": "proxy:3128"}}, "http.proxy (keyword http): is not the address of a proxy"),
    ({"http": {"ca_file": "~nobody-at-all/ca.pem"}}, "http.ca_file (keyword http): starts with ~ and there is no home"),
    (
        {"routes": {"f": 3}},
        "routes.f (keyword routes): must be a table of settings. In it may stand targets, strategy,",
    ),
    ({"routes": {"f": {}}}, "routes.f.targets (keyword routes): is missing. Set it."),
    ({"routes": {"f": {"targets": [{3: 4}]}}}, "routes.f.targets[0].target (keyword routes): is missing."),
    ({"routes": {"f": {"targets": []}}}, "routes.f.targets (keyword routes): must not be empty."),
    ({"routes": {"f": {"targets": 3}}}, "routes.f.targets (keyword routes): must be a list."),
    ({"routes": {"f": {"targets": ["a/b", "gpt"]}}}, "routes.f.targets[1] (keyword routes): is not a target. Write"),
    ({"routes": {"f": {"targets": "a/b", "strategy": "round_robin"}}}, "routes.f.strategy (keyword routes): is not a"),
    ({"routes": {"f": {"targets": "a/b", "fallbacks": "b"}}}, "routes.f.fallbacks (keyword routes): is not a target."),
    ({"routes": {"f": {"targets": [{"target": "a/b", "weight": -1}]}}}, "routes.f.targets[0].weight (keyword routes)"),
    ({"routes": {"f": {"targets": ["a/b", "a/b"]}}}, "routes.f.targets (keyword routes): names one target twice."),
    ({"routes": {"a/b": {"targets": ["a/b"]}}}, 'routes."a/b".targets (keyword routes): holds the route itself.'),
    ({"routes": {"a b": {"targets": ["a/b"]}}}, 'routes."a b" (keyword routes): is not a usable model name.'),
    (
        {"routes": {"f": {"targets": "a/b", "cache": {"entries": 3}}}},
        "routes.f.cache.entries (keyword routes): is not a",
    ),
    ({"providers": {"a/b": {}}}, 'providers."a/b" (keyword providers): is not a usable name.'),
    ({"providers": {"p": {"base_url": "example.com"}}}, "providers.p.base_url (keyword providers): is not an address."),
    ({"providers": {"p": {"base_url": "http://[::1"}}}, "providers.p.base_url (keyword providers): is not an address."),
    ({"providers": {"p": {"base_url": "http://a:x/"}}}, "providers.p.base_url (keyword providers): is not an address."),
    (
        {"providers": {"p": {"base_url": "http://u:p@h"}}},
        "providers.p.base_url (keyword providers): holds a credential.",
    ),
    ({"providers": {"p": {"base_url": "http://h/?k=v"}}}, "providers.p.base_url (keyword providers): holds a query"),
    ({"providers": {"p": {"headers": {"a b": "c"}}}}, 'providers.p.headers."a b" (keyword providers): is not a header'),
    ({"providers": {"p": {"headers": {"Host": "c"}}}}, "providers.p.headers.Host (keyword providers): belongs to the"),
    (
        {"providers": {"p": {"headers": {"A": "c", "a": "d"}}}},
        "providers.p.headers (keyword providers): holds one header",
    ),
    ({"providers": {"p": {"timeout": 3}}}, "providers.p.timeout (keyword providers): is not set per provider."),
    ({"limits": {"global": {"burst": 3}}}, "limits.global.burst (keyword limits): has no rate to go with."),
    ({"limits": {"global": {}}}, "limits.global (keyword limits): limits nothing."),
    (
        {"limits": {"global": {"requests_per_minute": 3, "requests_per_second": 3}}},
        "limits.global.requests_per_second (keyword limits): stands beside requests_per_minute.",
    ),
    (
        {"limits": {"team": {"concurrency": 3}}},
        "limits.team (keyword limits): is not a scope of limits. Use global, tenant,",
    ),
    ({"limits": {"tenant:": {"concurrency": 3}}}, "(keyword limits): names nobody after the colon."),
    ({"limits": {"global:a": {"concurrency": 3}}}, "(keyword limits): is not a scope of limits."),
    (
        {"limits": {"tenant": {"tier": "gold"}}},
        "limits.tenant.tier (keyword limits): is a tier nobody has set. Known are enterprise, free, pro.",
    ),
    ({"limits": {"route:a": {"concurrency": 3}}}, "(keyword limits): limits a route that is not there."),
    (
        {"limits": {"global": {"requests_per_second": 2000, "window": "strict"}}},
        "limits.global.window (keyword limits): is strict, which needs a whole number of calls up to 1000.",
    ),
    (
        {"tiers": {"gold": {"requests_per_second": 2, "window": "strict", "burst": 2}}},
        "tiers.gold.burst (keyword tiers): has no meaning in a strict window.",
    ),
    ({"store": {"kind": "redis"}}, "store.url (keyword store): is missing."),
    ({"store": {"kind": "redis", "url": "http://h"}}, "store.url (keyword store): is not the address of a Redis"),
    ({"store": {"prefix": "a{b}"}}, "store.prefix (keyword store): holds a brace."),
    ({"limits": {"global": {"tpm": 3}}}, "limits.global.tpm (keyword limits): is called tokens_per_minute here."),
    ({"routes": {"f": {"targets": "a/b", "limits": {}}}}, "routes.f.limits (keyword routes): is set elsewhere."),
    ({"api_key": "sk-canary-7f3a"}, "api_key (keyword api_key): belongs to a provider. Set providers.openai.api_key"),
    ({"cache": {"enabled": False}}, "cache.enabled (keyword cache): is called cache.policy here. Set cache.policy ="),
    ({"max_retries": 3}, "max_retries (keyword max_retries): is called retry.attempts here."),
]


@pytest.mark.parametrize(("sections", "words"), REFUSALS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_refusal_names_the_setting_its_place_and_the_fix(sections: dict[str, Any], words: str):
    text = refusal(**sections)
    assert words in text
    assert text.endswith((".", "?"))


LATER = [
    {"limits": {"global": {"requests_per_hour": 3}}},
    {"routes": {"f": {"targets": "a/b", "budgets": {}}}},
]


@pytest.mark.parametrize("sections", LATER, ids=str)
def test_what_this_version_cannot_do_is_never_accepted_in_silence(sections: dict[str, Any]):
    assert "does not work in this version yet" in refusal(**sections)


def test_all_problems_are_told_at_once():
    text = refusal(cache={"tll": 3, "ttl": -1}, guard={"pii": "hide"}, retry={"attempts": 0})
    assert text.startswith("4 settings cannot be used:\n  ")
    assert all(name in text for name in ("cache.tll", "cache.ttl", "guard.pii", "retry.attempts"))


def test_validating_a_mapping_says_the_same_as_keywords():
    with pytest.raises(ConfigError, match=r"cache\.ttl \(keyword cache\)"):
        EdgeConfig.model_validate({"cache": {"ttl": -1}})
    assert EdgeConfig.model_validate({"cache": {"ttl": 1}}) == EdgeConfig(cache={"ttl": 1})


def test_a_configuration_of_the_wrong_shape_altogether_is_refused():
    with pytest.raises(ValidationError):
        EdgeConfig.model_validate(3)
    with pytest.raises(ConfigError):
        EdgeConfig(retry=RetryConfig(attempts=1), limits=3)  # type: ignore[arg-type]  # the point of the test
    assert issubclass(ConfigError, EdgeError)


# ---- secrets


BAD_KEYS = [
    CANARY + "\n",
    CANARY + "\r\n",
    " " + CANARY,
    CANARY + "\x00",
    CANARY + "\x1b[31m",
    CANARY + "é",
    CANARY + "\x7f",
    CANARY + "\u2028",
    "",
    "env:" + CANARY,
    "env:",
    "file:",
    "file:" + CANARY + "\n",
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=ascii)
@pytest.mark.parametrize("where", ["key", "keys", "header"])
def test_a_key_that_cannot_be_sent_is_refused_and_never_told(key: str, where: str):
    given: Mapping[str, object] = {
        "key": {"api_key": key},
        "keys": {"api_key": ["good", key]},
        "header": {"headers": {"x-key": key}},
    }[where]
    with pytest.raises(ConfigError) as caught:
        EdgeConfig(providers={"p": given})
    everything = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
    setting = {"key": "providers.p.api_key ", "keys": "providers.p.api_key[1] ", "header": "providers.p.headers.x-key "}
    assert str(caught.value).startswith(setting[where])
    assert "canary" not in everything
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None


def test_secrets_do_not_show():
    config = EdgeConfig(
        providers={"p": {"api_key": [CANARY], "headers": {"authorization": f"Bearer {CANARY}"}}},
        http={"proxy": f"http://user:{CANARY}@proxy:3128"},
    )
    shown = [repr(config), str(config), config.model_dump_json(), repr(config.model_dump()), str(config.place(()))]
    shown += [repr(vars(config)), repr(config.__pydantic_private__)]
    assert not any("canary" in text for text in shown)
    assert config.providers["p"].api_key[0].get_secret_value() == CANARY


SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.just(CANARY), st.text(max_size=5))
KEYS = st.sampled_from(
    [
        "providers",
        "routes",
        "cache",
        "limits",
        "http",
        "retry",
        "ttl",
        "targets",
        "api_key",
        "headers",
        "global",
        "p",
        "x",
    ]
) | st.text(max_size=4)
TREES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=20
)


def test_a_key_may_hold_no_space_and_a_header_may():
    assert refusal(providers={"p": {"api_key": f"{CANARY} x"}}).startswith(
        "providers.p.api_key (keyword providers): holds"
    )
    assert EdgeConfig(providers={"p": {"headers": {"authorization": f"Bearer {CANARY}"}}}).providers["p"].headers


@settings(deadline=None)
@given(tree=st.dictionaries(KEYS, TREES, max_size=5))
def test_whatever_is_passed_becomes_a_configuration_or_a_config_error(tree: dict[str, Any]):
    told = ""
    try:
        told = repr(EdgeConfig(**tree).providers)
    except ConfigError as error:
        told = str(error)
    assert CANARY not in told
    assert all(line.isprintable() for line in told.split("\n"))


def test_what_is_there_by_default_would_stand_its_own_check() -> None:
    """The defaults are put together unchecked, so that a client without settings need not load what checks them."""
    unchecked = EdgeConfig.unset()
    assert unchecked == EdgeConfig()
    assert unchecked.model_dump() == EdgeConfig().model_dump()
    assert EdgeConfig.model_validate(unchecked.model_dump()) == unchecked
    for tier in TIERS.values():
        checked = TierConfig(**tier.model_dump(exclude_unset=True))
        assert repr(checked) == repr(tier)
        assert checked.model_fields_set == tier.model_fields_set
