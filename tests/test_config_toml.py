"""A configuration as text: what is written loads again, secrets stay hidden, the example is the models'."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st
from pydantic import BaseModel

from llm_edge.config import CacheConfig, EdgeConfig, RouteConfig
from llm_edge.config.example import example
from llm_edge.config.problems import all_paths, inner_model, model_at
from llm_edge.config.writer import literal, to_toml

ROOT = Path(__file__).resolve().parent.parent
VISIBLE = st.text(alphabet=[chr(code) for code in range(33, 127)], min_size=1, max_size=20)
SECRETS = VISIBLE.filter(lambda text: not text.startswith(("env:", "file:"))) | st.just("env:SOME_KEY")
NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,8}", fullmatch=True)
SECONDS = st.floats(min_value=0.001, max_value=31_536_000) | st.integers(1, 31_536_000)
TARGETS = st.builds("{}/{}".format, NAMES, st.from_regex(r"[!-+\--~]{1,12}", fullmatch=True))
PATHS = st.text(min_size=1, max_size=12).map(lambda text: f"/x/{text}").filter(str.isprintable)


def some(**settings: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Any of these settings, each with any of its values."""
    return st.fixed_dictionaries({}, optional=settings)


PROVIDERS = some(
    kind=NAMES,
    api_key=SECRETS | st.lists(SECRETS, max_size=3),
    base_url=st.just("https://example.com:8443/v1"),
    headers=st.dictionaries(st.from_regex(r"x-[a-z]{1,5}", fullmatch=True), SECRETS, max_size=3),
)
DEADLINES = some(total=SECONDS, chat=SECONDS, stream=SECONDS, embeddings=SECONDS, first_token=SECONDS, idle=SECONDS)
POLICIES = st.sampled_from(["all", "deterministic", "off"])
RETRIES = some(attempts=st.integers(1, 10), base=st.floats(0, 1), cap=st.floats(1, 100))
ROUTES = st.fixed_dictionaries(
    {
        "targets": st.lists(TARGETS, min_size=1, max_size=3, unique=True).flatmap(
            lambda names: st.tuples(
                *[
                    st.just(name)
                    | st.builds(lambda weight, name=name: {"target": name, "weight": weight}, st.floats(0, 9))
                    for name in names
                ]
            ).map(list)
        )
    },
    optional={
        "deadline": DEADLINES,
        "cache": some(policy=POLICIES, ttl=SECONDS),
        "retry": RETRIES,
        "strategy": st.sampled_from(["failover", "weighted", "p2c", "sticky"]),
        "fallbacks": st.lists(TARGETS, max_size=2),
        "context_window_fallbacks": st.lists(TARGETS, max_size=2),
    },
)
LIMITS = st.fixed_dictionaries(
    {"concurrency": st.integers(1, 1000), "requests_per_second": st.floats(0.01, 1e6)},
    optional={
        "burst": st.integers(1, 1000), "patience": st.floats(0, 100), "enabled": st.booleans(),
        "requests_per_day": st.integers(1, 10**9), "tokens_per_minute": st.integers(1, 10**9),
        "tier": st.sampled_from(["free", "pro"]), "on_store_failure": st.sampled_from(["local", "open", "closed"]),
    },
)  # fmt: skip
TIERS = st.fixed_dictionaries({}, optional={"concurrency": st.integers(1, 9), "requests_per_minute": st.integers(1, 9)})
CONFIGS = some(
    providers=st.dictionaries(NAMES, PROVIDERS, max_size=3),
    routes=st.dictionaries(VISIBLE.filter(lambda name: "/" not in name), ROUTES, max_size=3),
    deadline=DEADLINES,
    cache=some(policy=POLICIES, ttl=SECONDS, entries=st.integers(0, 10**6), bytes=st.integers(0, 2**40)),
    limits=some(**{"global": LIMITS, "tenant": LIMITS, "tenant:acme & sons": LIMITS}),
    tiers=some(gold=TIERS, free=TIERS),
    store=st.just({"kind": "redis", "url": "redis://user:password@h/0", "prefix": "x"}) | st.just({"kind": "memory"}),
    retry=RETRIES,
    breaker=some(enabled=st.booleans(), failures=st.integers(1, 100), open_for=SECONDS),
    http=some(
        engine=st.sampled_from(["auto", "httpx2", "httptools", "pyreqwest"]),
        proxy=st.just("http://user:password@proxy:3128"),
        ca_file=PATHS,
        http2=st.booleans(),
        trust_env=st.booleans(),
        tls_minimum=st.sampled_from(["1.2", "1.3"]),
        max_body=st.sampled_from(["64MiB", "1.5GiB", 12345]),
    ),
)


@settings(deadline=None)
@given(sections=CONFIGS)
def test_what_is_written_loads_as_the_same_configuration(sections: dict[str, Any]):
    config = EdgeConfig(**sections)
    text = to_toml(config, secret=lambda secret: secret.get_secret_value())
    assert EdgeConfig(**tomllib.loads(text)) == config


@settings(deadline=None)
@given(sections=CONFIGS)
def test_a_note_never_breaks_the_text(sections: dict[str, Any]):
    config = EdgeConfig(**sections)
    text = to_toml(config, secret=lambda secret: secret.get_secret_value(), note=config.place)
    assert EdgeConfig(**tomllib.loads(text)) == config


def test_secrets_are_not_written():
    config = EdgeConfig(
        providers={"p": {"api_key": ["sk-canary", "env:SOME_KEY"], "headers": {"x-a": "canary"}}},
        http={"proxy": "http://u:canary@proxy"},
    )
    text = to_toml(config)
    assert "canary" not in text
    assert 'api_key = ["**********", "env:SOME_KEY"]' in text
    assert text.count("**********") == 3


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (30.0, "30"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        ({}, "{}"),
        ({"a b": 1}, '{ "a b" = 1 }'),
        (Path("/a"), '"/a"'),
        ('a"\x7f\n', '"a\\"\\u007f\\n"'),
    ],
    ids=str,
)
def test_values_are_written_as_toml_reads_them(value: object, text: str):
    assert literal(value) == text
    assert tomllib.loads(f"x = {text}")["x"] == (str(value) if isinstance(value, Path) else value)


# ---- the example


def test_the_example_on_disk_is_the_one_the_models_make():
    made = subprocess.run(
        [sys.executable, "-m", "llm_edge.config"], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert made.stdout == example()
    assert (ROOT / "docs" / "edge.example.toml").read_text(encoding="utf-8") == example(), (
        "make it again: python -m llm_edge.config > docs/edge.example.toml"
    )


def test_the_example_is_the_defaults():
    assert EdgeConfig.load(ROOT / "docs" / "edge.example.toml") == EdgeConfig()


@pytest.mark.parametrize(
    "without",
    [
        "(requests_per_second|directory|api_key|profile|public_key_file|jwks_url|database)",
        "(requests_per_minute|burst|url|access_key_id|secret_access_key|session_token|public_key_file|jwks_url|redis)",
    ],
)
def test_the_example_loads_with_every_line_in_use(without: str):
    used = re.sub(r"(?m)^#(?=[a-z\[])", "", example())
    used = re.sub(rf"(?m)^{without} = .*$", "", used)  # of some settings only one of two may be used
    config = EdgeConfig(**tomllib.loads(used))
    assert set(config.providers) == {"local"}
    assert config.http.key_file is not None
    assert config.for_route("fast").deadline.chat == 20


def test_the_example_names_every_setting():
    text = example()
    assert all(
        re.search(rf"(?m)^#?{path[-1]} = |^#?\[{path[-1]}[.\]]|^#?\[.*\.{path[-1]}[.\]]", text)
        for path in every_setting()
    )


def test_every_setting_says_what_it_is_for():
    for path in every_setting():
        model: type[BaseModel] = EdgeConfig
        for part in path[:-1]:
            model = inner_model(model.model_fields[part]) or model
        assert (model.model_fields[path[-1]].description or "").endswith((".", '".')), path


def every_setting(model: type[BaseModel] = EdgeConfig, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = []
    for name, field in model.model_fields.items():
        inner = inner_model(field)
        found.append((*above, name))
        if inner is not None and name != "targets":
            found += every_setting(inner, (*above, name))
    return found


def test_only_settings_with_one_fixed_name_are_suggested():
    paths = list(all_paths(EdgeConfig))
    assert ("cache", "ttl") in paths
    assert ("routes", "targets") not in paths
    assert model_at(("cache",), EdgeConfig) is CacheConfig
    assert model_at(("routes", "any"), EdgeConfig) is RouteConfig
    assert model_at(("routes",), EdgeConfig) is None
    assert model_at(("nonsense", "x"), EdgeConfig) is None
