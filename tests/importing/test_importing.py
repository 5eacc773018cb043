"""Other gateways' files: what they come to, what is listed, and that no secret gets out."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings, strategies as st

from llm_edge import EdgeClient, cli
from llm_edge.config import EdgeConfig
from llm_edge.importing import Imported, from_litellm, from_portkey
from llm_edge.importing.reading import Reading, spoken

SECRET = "sk-this-must-not-get-out"
LITELLM = yaml.safe_load((Path(__file__).parent / "litellm.yaml").read_text())
PORTKEY: dict[str, Any] = {
    "strategy": {"mode": "loadbalance", "on_status_codes": [429]},
    "retry": {"attempts": 5},
    "cache": {"mode": "simple", "max_age": 3600},
    "request_timeout": 20000,
    "targets": [
        {"provider": "openai", "api_key": SECRET, "weight": 0.7, "override_params": {"model": "gpt-4o"}},
        {"virtualKey": "azure-openai-7f", "weight": 0.3, "overrideParams": {"model": "gpt-4o", "temperature": 0}},
    ],
}


def loaded(found: Imported, folder: Path) -> EdgeConfig:
    file = folder / "edge.toml"
    file.write_text(found.text(), encoding="utf-8")
    return EdgeConfig.from_file(file, env={})


def test_a_litellm_configuration_is_carried_over(tmp_path: Path) -> None:
    found = from_litellm(LITELLM)
    config = loaded(found, tmp_path)
    route = config.routes["gpt-4o"]
    assert [(each.target, each.weight) for each in route.targets] == [("azure/gpt-4o-eu", 1.0), ("openai/gpt-4o", 2.0)]
    assert route.strategy == "least-latency"
    assert route.fallbacks == ("anthropic/claude-sonnet-4-5",)
    assert config.routes["gpt-4"].targets == route.targets
    assert config.providers["azure"].api_version == "2024-10-21"
    assert config.providers["openai-2"].base_url == "http://0.0.0.0:4000/v1"
    assert (config.retry.attempts, config.breaker.failures, config.breaker.open_for) == (4, 6, 60)
    assert (config.limits["model:azure/gpt-4o-eu"].requests_per_minute, config.limits["global"].concurrency) == (6, 200)
    assert config.limits["model:openai/gpt-4o"].tokens_per_minute == 100000
    assert (config.limits["model:openai/gpt-4o"].concurrency, config.limits["model"].concurrency) == (8, 20)
    assert config.prices.models["anthropic/claude-sonnet-4-5"].input == 3.0
    assert config.on_unsupported_param == "drop"
    assert config.cache.ttl == 600


def test_how_a_litellm_deployment_is_reached_is_carried_over(tmp_path: Path) -> None:
    config = loaded(from_litellm(LITELLM), tmp_path)
    headers = {name: value.get_secret_value() for name, value in config.providers["azure"].headers.items()}
    key = "env:AZURE_OCP_APIM_SUBSCRIPTION_KEY"
    assert headers == {"x-team": "search", "x-trace": "env:TRACE", "Ocp-Apim-Subscription-Key": key}
    assert config.providers["ollama"].base_url == "http://gpu:11434/v1"
    assert config.routes["named-apart"].targets[0].target == "mistral/large"
    assert config.routes["gpt-3.5"].targets == config.routes["claude"].targets
    assert config.serve.max_body == 5 * 2**20


def test_an_account_of_google_is_named_by_its_file() -> None:
    params = {"model": "vertex_ai/gemini-2.5-pro", "vertex_project": "p", "vertex_credentials": "/etc/account.json"}
    found = from_litellm({"model_list": [{"model_name": "m", "litellm_params": params}]})
    assert found.tree["providers"]["vertex"] == {"project": "p", "credentials_file": "/etc/account.json"}


def test_times_and_retries_hold_as_they_did(tmp_path: Path) -> None:
    """A deployment's own, though others say nothing of it; and what each try may take leaves room for the next."""
    config = loaded(from_litellm(LITELLM), tmp_path)
    assert config.routes["gpt-4o"].retry.attempts == 2
    for route, (attempt, total) in {"gpt-4o": (40, 80), "named-apart": (300, 600)}.items():
        assert (config.routes[route].deadline.attempt, config.routes[route].deadline.total) == (attempt, total)
    assert (config.deadline.attempt, config.deadline.total) == (60, 240)
    both = {"litellm_settings": {"request_timeout": 9}, "router_settings": {"timeout": 20}}
    assert from_litellm(both).tree["deadline"] == {"attempt": 9, "total": 20}


def test_answers_kept_on_request_alone_are_not_kept_for_all() -> None:
    found = from_litellm(
        {"litellm_settings": {"cache": True, "cache_params": {"type": "local", "mode": "default_off"}}}
    )
    assert found.tree["cache"] == {"policy": "off"}
    assert "only who asked" in str(found.lost)


def test_what_litellm_has_and_we_have_not_is_listed_with_the_reason() -> None:
    lost = dict(line.split(": ", 1) for line in from_litellm(LITELLM).lost)
    assert "provider is not known here" in lost["model_list[8]"]
    assert "is not a header name" in lost["model_list[0].litellm_params.extra_headers.'AI Group'"]
    assert "not in the list" in lost["litellm_settings.context_window_fallbacks[0].gpt-4o"]
    assert set(lost) >= {
        "general_settings.database_url",
        "litellm_settings.success_callback[0]",
        "environment_variables.FOO",
    }


def test_the_configuration_answers_calls(tmp_path: Path) -> None:
    config = loaded(from_litellm(LITELLM), tmp_path)
    env = dict.fromkeys(
        (
            "AZURE_API_KEY_EU", "OPENAI_ORG", "OPENAI_API_KEY", "OPENAI_API_KEY_2", "ANTHROPIC_API_KEY", "TRACE",
            "AZURE_OCP_APIM_SUBSCRIPTION_KEY",
        ), "sk-" + "x" * 20,
    )  # fmt: skip
    env |= {"REDIS_URL": "redis://127.0.0.1:1/0", "LLM_EDGE_CACHE_SECRET": "s" * 32, "LITELLM_MASTER_KEY": "k" * 24}
    with EdgeClient(config, env=env) as edge:
        assert {"azure", "openai", "anthropic"} <= set(edge.keyed)


def test_a_portkey_config_is_one_route(tmp_path: Path) -> None:
    found = from_portkey(PORTKEY, "best")
    config = loaded(found, tmp_path)
    route = config.routes["best"]
    assert [(each.target, each.weight) for each in route.targets] == [("openai/gpt-4o", 0.7), ("azure/gpt-4o", 0.3)]
    assert route.strategy == "weighted"
    assert (config.retry.attempts, config.deadline.total, config.cache.ttl) == (6, 20, 3600)
    assert [line.partition(":")[0] for line in found.lost] == [
        "strategy.on_status_codes[0]", "targets[1].overrideParams.temperature"
    ]  # fmt: skip


def test_a_portkey_target_is_asked_where_it_was() -> None:
    found = from_portkey(
        {
            "targets": [
                {"override_params": {"model": "@anthropic-prod/claude-3"}},
                {"provider": "ollama", "custom_host": "http://gpu:11434", "override_params": {"model": "llama3"}},
                {
                    "provider": "azure-openai", "resource_name": "r", "deployment_id": "mine", "api_key": SECRET,
                    "override_params": {"model": "gpt-4o"},
                },
                {"provider": "openai", "openai_organization": "org-1", "override_params": {"model": "gpt-4o"}},
            ]
        }
    )  # fmt: skip
    assert [each["target"] for each in found.tree["routes"]["portkey"]["targets"]] == [
        "anthropic/claude-3", "ollama/llama3", "azure/mine", "openai/gpt-4o"
    ]  # fmt: skip
    assert found.tree["providers"]["ollama"] == {"base_url": "http://gpu:11434/v1"}
    assert found.tree["providers"]["openai"] == {"headers": {"openai-organization": "org-1"}}


def test_targets_within_targets_become_one_list() -> None:
    inner = {"strategy": {"mode": "fallback"}, "targets": deepcopy(PORTKEY["targets"])}
    found = from_portkey({"strategy": {"mode": "conditional"}, "targets": [inner, {"provider": "nobody"}]})
    assert len(found.tree["routes"]["portkey"]["targets"]) == 2
    assert any("became one list" in line for line in found.lost)
    assert any("no such strategy" in line for line in found.lost)
    assert "targets[1]: its provider is not known here" in found.lost


def test_one_provider_without_targets_is_a_route_of_one() -> None:
    found = from_portkey({"provider": "anthropic", "api_key": "x", "override_params": {"model": "claude"}})
    assert found.tree["routes"]["portkey"] == {"targets": [{"target": "anthropic/claude"}]}
    assert "provider" not in str(found.lost)
    assert from_portkey({"provider": "openai"}).tree["providers"] == {"openai": {}}


def test_two_secrets_never_share_a_variable() -> None:
    keys = ("sk-one", "sk-two", "sk-one", "os.environ/OPENAI_API_KEY_2")
    entries = [
        {
            "model_name": f"m{at}",
            "litellm_params": {"model": "openai/m", "api_key": key, "api_base": f"http://h{at}/v1"},
        }
        for at, key in enumerate(keys)
    ]
    providers = from_litellm({"model_list": entries}).tree["providers"].values()
    assert [each["api_key"] for each in providers] == [
        "env:OPENAI_API_KEY", "env:OPENAI_API_KEY_3", "env:OPENAI_API_KEY", "env:OPENAI_API_KEY_2"
    ]  # fmt: skip


# ---------------------------------------------------------------- whatever the file holds

JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 10**12), st.floats(allow_nan=True), st.text(max_size=8),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text(max_size=4), st.integers(), max_size=2),
)  # fmt: skip


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every place in a document, containers too."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, item in inner:
        yield from places(item, (*path, step))


def parent(document: Any, path: tuple[str | int, ...]) -> Any:
    for step in path[:-1]:
        document = document[step]
    return document


ALL = {"litellm": LITELLM, "portkey": PORTKEY}
READ = {"litellm": from_litellm, "portkey": from_portkey}


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[str, Any]:
    """A real document with some of its values replaced, and keys added that nobody knows."""
    kind = draw(st.sampled_from(sorted(ALL)))
    document = deepcopy(ALL[kind])
    for _ in range(draw(st.integers(0, 5))):
        path = draw(st.sampled_from(list(places(document))))
        parent(document, path)[path[-1]] = draw(JUNK)
        inner = parent(document, path)
        if isinstance(inner, dict) and draw(st.booleans()):
            inner[draw(st.text(min_size=1, max_size=6))] = draw(JUNK)
    return kind, document


def says_the_same(leaf: Any) -> bool:
    """Values that are what holds here anyway."""
    return leaf in (False, "local", "fallback", "single", "default_on")


@settings(max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoiled())
def test_whatever_it_holds_the_result_can_be_loaded(given_: tuple[str, Any]) -> None:
    kind, document = given_
    text = READ[kind](document).text()
    EdgeConfig(**tomllib.loads(text))


@settings(max_examples=20, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(spoiled(), st.randoms(use_true_random=False))
def test_no_key_vanishes_silently(given_: tuple[str, Any], chance: Any) -> None:
    """A value is listed as lost, or the result would be another without it."""
    kind, document = given_
    found = READ[kind](document)
    listed = {line.partition(": ")[0] for line in found.lost}
    leaves = [path for path in places(document) if not isinstance(parent(document, path)[path[-1]], (dict, list))]
    for path in chance.sample(leaves, min(4, len(leaves))):
        if any(spoken(path[:depth]) in listed for depth in range(len(path) + 1)) or says_the_same(
            parent(document, path)[path[-1]]
        ):
            continue
        without = deepcopy(document)
        del parent(without, path)[path[-1]]
        assert READ[kind](without) != found, spoken(path)


@pytest.mark.parametrize(
    "path",
    [
        "litellm_params.api_key", "litellm_params.aws_secret_access_key", "litellm_params.aws_session_token",
        "litellm_params.client_secret", "litellm_params.vertex_credentials", "litellm_params.api_base",
        "general.master_key", "general.database_url", "router.redis_password", "router.redis_url", "cache.password",
        "environment_variables.KEY", "headers.x-api-key", "headers.authorization", "headers.x-mine",
    ],
)  # fmt: skip
def test_no_secret_gets_out(path: str) -> None:
    section, _, key = path.partition(".")
    value = f"https://me:{SECRET}@h/v1" if key == "api_base" else SECRET
    params: dict[str, Any] = {"model": "openai/m", **({key: value} if section == "litellm_params" else {})}
    if section == "headers":
        params["extra_headers"] = {key: value}
    kept = {key: value} if section == "cache" else {}
    document: dict[str, Any] = {
        "model_list": [{"model_name": "m", "litellm_params": params}],
        "general_settings": {key: value} if section == "general" else {},
        "router_settings": {"redis_host": "h", **({key: value} if section == "router" else {})},
        "litellm_settings": {
            "cache": True,
            "cache_params": {"type": "redis", **kept},
        },
        "environment_variables": {key: value} if section == "environment_variables" else {},
    }
    text = from_litellm(document).text()
    assert SECRET not in text
    assert "[" in text


def test_a_place_is_named_as_it_would_be_written() -> None:
    assert spoken(("a", 0, "b c", "gpt-4/x")) == "a[0].'b c'.gpt-4/x"
    assert list(Reading({"a": {"b": 1, "c": []}, "d": None}).left()) == [("a", "b"), ("a", "c"), ("d",)]


# ---------------------------------------------------------------- the command


def test_the_command_writes_a_file_and_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "portkey.json", tmp_path / "edge.toml"
    old.write_text(json.dumps(PORTKEY))
    asked = ["import", str(old), "--out", str(new), "--route", "best"]
    assert cli.main(asked, {}) == 0
    assert "best" in EdgeConfig.from_file(new, env={}).routes
    said = capsys.readouterr()
    assert said.out == ""
    assert "Not carried over:\n  strategy.on_status_codes[0]: " in said.err
    assert "OPENAI_API_KEY" in said.err
    assert SECRET not in said.err + new.read_text()
    assert cli.main(asked, {}) == 2
    assert "--force" in capsys.readouterr().err
    assert cli.main([*asked, "--force"], {}) == 0


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("- a\n- b\n", "looks like neither"),
        (f"model_list: [{SECRET}\n  x: y", "line 2: "),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_read_is_said_without_showing_it(
    text: str | None, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "old.yaml"
    if text is not None:
        file.write_text(text)
    assert cli.main(["import", str(file)], {}) == 2
    said = capsys.readouterr().err
    assert why in said
    assert SECRET not in said


def test_a_litellm_file_goes_to_standard_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(LITELLM))
    assert cli.main(["import", str(file)], {}) == 0
    assert "gpt-4o" in tomllib.loads(capsys.readouterr().out)["routes"]
