"""Where settings come from: files, variables, keywords, and which of them counts."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from llm_edge.config import CacheConfig, EdgeConfig
from llm_edge.config.layers import line_numbers
from llm_edge.errors import ConfigError

CANARY = "sk-canary-7f3a"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "edge.toml"


def refusal(file: Path | None = None, env: dict[str, str] | None = None, **more: object) -> str:
    with pytest.raises(ConfigError) as caught:
        EdgeConfig.load(file, env=env, **more)  # type: ignore[arg-type]  # passed through as they come
    everything = "".join(traceback.format_exception(caught.value))
    assert "canary" not in everything
    assert caught.value.__context__ is None
    return str(caught.value)


def test_each_layer_counts_for_more_than_the_one_before(file: Path):
    file.write_text("[cache]\nttl = 1\nentries = 1\nbytes = 1\npolicy = 'off'\n[retry]\nattempts = 2\n")
    file.with_name("edge.production.toml").write_text("[cache]\nttl = 2\nentries = 2\nbytes = 2\n")
    env = {
        "LLM_EDGE_ENV": "production",
        "L1_CACHE_SIZE": "3",
        "L1_TTL_SECONDS": "3",
        "LLM_EDGE__CACHE__TTL": "4",
        "OPENAI_API_KEY": "unread",
    }
    config = EdgeConfig.load(file, env=env, overrides={"http": {"pool": 5}, "retry": {"attempts": 5}})
    assert (config.cache.policy, config.cache.bytes, config.cache.entries, config.cache.ttl) == ("off", 2, 3, 4)
    assert (config.http.pool, config.retry.attempts) == (5, 5)
    assert config.place(("cache", "policy")) == f"{file}:5"
    assert config.place(("cache", "bytes")) == f"{file.with_name('edge.production.toml')}:4"
    assert config.place(("cache", "entries")) == "variable L1_CACHE_SIZE"
    assert config.place(("cache", "ttl")) == "variable LLM_EDGE__CACHE__TTL"
    assert config.place(("http", "pool")) == "keyword http"
    assert config.place(("http", "connect")) == "default"


SIGNED = {"LLM_EDGE__CACHE__SECRET": "0123456789abcdef0123456789abcdef", "REDIS_URL": "redis://127.0.0.1:1/0"}


def test_a_redis_of_the_apps_own_is_left_alone_until_the_second_tier_is_switched_on():
    assert EdgeConfig.load(env=SIGNED).cache.redis.url is None
    on = EdgeConfig.load(env={**SIGNED, "ENABLE_L2_CACHE": "true", "L2_TTL_SECONDS": "7"})
    assert on.cache.redis.url is not None
    assert on.cache.redis.url.get_secret_value() == "redis://127.0.0.1:1/0"
    assert (on.cache.redis.ttl, on.cache.disk.ttl) == (7, 7)
    assert on.place(("cache", "redis", "url")) == "variable REDIS_URL"


def test_a_second_tier_switched_off_by_a_variable_is_off_whatever_the_file_says(file: Path):
    file.write_text("[cache.disk]\ndirectory = '/nowhere/kept'\n")
    assert EdgeConfig.load(file, env={}).cache.disk.directory is not None
    assert EdgeConfig.load(file, env={"ENABLE_L2_CACHE": "false"}).cache.disk.directory is None


def test_a_second_tier_that_is_switched_on_has_to_be_somewhere(file: Path):
    with pytest.raises(ConfigError, match=r"cache\.redis\.url \(variable ENABLE_L2_CACHE\).*REDIS_URL"):
        EdgeConfig.load(env={"ENABLE_L2_CACHE": "true"})
    file.write_text("[cache.disk]\ndirectory = '/nowhere/kept'\n")
    assert EdgeConfig.load(file, env={"ENABLE_L2_CACHE": "true"}).cache.disk.directory is not None
    assert EdgeConfig.load(env={**SIGNED, "ENABLE_L2_CACHE": "true"}, overrides={"cache": {"ttl": 9}}).cache.redis.url


def test_the_environment_may_be_named_by_argument(file: Path):
    file.write_text("")
    file.with_name("edge.staging.toml").write_text("[cache]\nttl = 9\n")
    assert EdgeConfig.load(file, environment="staging", env={"LLM_EDGE_ENV": "production"}).cache.ttl == 9
    assert EdgeConfig.load(file).cache.ttl == 300
    assert EdgeConfig.load(file, env={"LLM_EDGE_ENV": ""}).cache.ttl == 300


def test_an_environment_without_a_file_is_refused(file: Path):
    file.write_text("")
    text = refusal(file, {"LLM_EDGE_ENV": "prodution"})
    assert text.startswith("environment (variable LLM_EDGE_ENV): there is no file ")
    assert "edge.prodution.toml" in text
    assert refusal(file, environment="../x").startswith("environment (the argument): is not a name.")


def test_a_list_is_replaced_and_a_table_is_joined(file: Path):
    file.write_text(
        '[routes.f]\ntargets = ["a/b", "c/d"]\n[routes.f.retry]\nattempts = 2\n[routes.g]\ntargets = "a/b"\n'
    )
    config = EdgeConfig.load(file, env={"LLM_EDGE__ROUTES__F__TARGETS": '["e/f"]'})
    assert [each.target for each in config.routes["f"].targets] == ["e/f"]
    assert config.routes["f"].retry.attempts == 2
    assert set(config.routes) == {"f", "g"}


def test_a_model_passed_as_keyword_changes_only_what_it_was_made_with(file: Path):
    file.write_text("[cache]\nttl = 1\nentries = 1\n")
    config = EdgeConfig.load(file, overrides={"cache": CacheConfig(ttl=7)})
    assert (config.cache.ttl, config.cache.entries) == (7, 1)


def test_from_file_and_from_env_are_the_short_ways(file: Path):
    file.write_text("[cache]\nttl = 1\n")
    assert EdgeConfig.from_file(str(file)).cache.ttl == 1
    assert EdgeConfig.from_file(file, {"LLM_EDGE__CACHE__TTL": "2"}).cache.ttl == 2
    assert EdgeConfig.from_env({"LLM_EDGE__CACHE__TTL": "3", "LLM_EDGE_ENV": "production"}).cache.ttl == 3


def test_the_real_environment_is_read_only_when_it_is_passed(monkeypatch: pytest.MonkeyPatch, file: Path):
    monkeypatch.setenv("LLM_EDGE__CACHE__TTL", "3")
    monkeypatch.setenv("LLM_EDGE_ENV", "production")
    file.write_text("")
    assert EdgeConfig().cache.ttl == EdgeConfig.load(file).cache.ttl == 300


# ---- variables


def test_variables_reach_every_kind_of_setting():
    config = EdgeConfig.from_env(
        {
            "LLM_EDGE__HTTP__HTTP2": "true",
            "LLM_EDGE__HTTP__MAX_BODY": "1MiB",
            "LLM_EDGE__PROVIDERS__LOCAL__BASE_URL": "http://127.0.0.1:1/v1",
            "LLM_EDGE__PROVIDERS__LOCAL__API_KEY": f'["{CANARY}", "env:OTHER_KEY"]',
            "LLM_EDGE__ROUTES": '{"f": {"targets": "local/x"}}',
            "LLM_EDGE__ROUTES__F__RETRY__ATTEMPTS": "1",
        }
    )
    assert (config.http.http2, config.http.max_body) == (True, 2**20)
    assert [key.get_secret_value() for key in config.providers["local"].api_key] == [CANARY, "env:OTHER_KEY"]
    assert config.routes["f"].retry.attempts == 1


def test_a_key_that_looks_like_a_list_stays_a_key():
    config = EdgeConfig.from_env({"LLM_EDGE__PROVIDERS__P__API_KEY": "[abc"})
    assert config.providers["p"].api_key[0].get_secret_value() == "[abc"


def test_the_short_names_of_rate_limits():
    config = EdgeConfig.from_env({"RATE_LIMIT_ENABLED": "true", "RATE_LIMIT_RPM": "60", "RATE_LIMIT_BURST": "7"})
    assert (config.limits["global"].rate, config.limits["global"].burst_size) == (1, 7)
    assert not EdgeConfig.from_env({"RATE_LIMIT_ENABLED": "false"}).limits["global"].enabled
    assert refusal(env={"RATE_LIMIT_ENABLED": "true"}).startswith("limits.global (variable RATE_LIMIT_ENABLED): limits")
    assert refusal(env={"RATE_LIMIT_RPM": "many"}).startswith(
        "limits.global.requests_per_minute (variable RATE_LIMIT_RPM)"
    )


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        (
            "LLM_EDGE__CACHE__TLL",
            "3",
            "cache.tll (variable LLM_EDGE__CACHE__TLL): is not a setting. Did you mean cache.ttl?",
        ),
        ("LLM_EDGE__CACHE__TTL", "", "cache.ttl (variable LLM_EDGE__CACHE__TTL): must be a number."),
        ("LLM_EDGE__CACHE__TTL", "inf", "cache.ttl (variable LLM_EDGE__CACHE__TTL): must be"),
        ("LLM_EDGE__CACHE", "3", "cache (variable LLM_EDGE__CACHE): must be a table of settings."),
        ("LLM_EDGE__CACHE__TTL__X", "3", "cache.ttl (variable LLM_EDGE__CACHE__TTL__X): must be a number."),
        (
            "LLM_EDGE__HTTP__VERIFY",
            "off",
            "http.verify (variable LLM_EDGE__HTTP__VERIFY): cannot be switched off.",
        ),
        ("LLM_EDGE__", "3", '"" (variable LLM_EDGE__): has an empty part in its name.'),
        (
            "LLM_EDGE__CACHE____TTL",
            "3",
            'cache."".ttl (variable LLM_EDGE__CACHE____TTL): has an empty part in its name.',
        ),
        (
            "LLM_EDGE_CACHE__TTL",
            "3",
            "LLM_EDGE_CACHE__TTL (variable LLM_EDGE_CACHE__TTL): is nearly a setting. Write LLM_",
        ),
        (
            "LLM_EDGE_CACHE_TTL",
            "3",
            "LLM_EDGE_CACHE_TTL (variable LLM_EDGE_CACHE_TTL): is nearly a setting. Write LLM_EDGE__",
        ),
        (
            "LLM_EDGE_ENVIRONMENT",
            "p",
            "LLM_EDGE_ENVIRONMENT (variable LLM_EDGE_ENVIRONMENT): is nearly a setting. Write LLM_",
        ),
        (
            "LLM_EDGE__PROVIDERS__P__API_KEY",
            CANARY + "\n",
            "providers.p.api_key (variable LLM_EDGE__PROVIDERS__P__API_KEY): ",
        ),
        (
            "LLM_EDGE__ROUTES__F__TARGETS",
            "a/b,c/d",
            "routes.f.targets (variable LLM_EDGE__ROUTES__F__TARGETS): is not a target.",
        ),
    ],
)
def test_a_wrong_variable_is_named(variable: str, value: str, words: str):
    assert refusal(env={variable: value}).startswith(words)


def test_variables_of_others_are_left_alone():
    assert EdgeConfig.from_env({"LLM_EDGE_SERVICE_HOST": "x", "REDIS_URL": "x", "CACHE__TTL": "3"}) == EdgeConfig()
    kubernetes = {"LLM_EDGE_SERVE_PORT": "tcp://10.0.0.1:80", "LLM_EDGE_SERVE_SERVICE_HOST": "10.0.0.1"}
    assert EdgeConfig.from_env(kubernetes) == EdgeConfig()


# ---- files


def test_a_refusal_names_the_line(file: Path):
    file.write_text(
        f'# keys\n[providers.openai]\napi_key = "{CANARY}\\n"\n\n[ routes . "gpt-5.4" ] # name\nstrategy = "failover"\n'
        '[http]\n"pool" = -1\ntls_minimum = "1.1" # old\n[cache]\nttl = 1\n[[limits]]\n'
    )
    lines = refusal(file).splitlines()
    assert any(line.startswith(f"  providers.openai.api_key ({file}:3): starts or ends") for line in lines)
    assert any(line.startswith(f'  routes."gpt-5.4".targets ({file}:6): is missing') for line in lines)
    assert any(line.startswith(f"  http.pool ({file}:8): must be at least 1") for line in lines)
    assert any(line.startswith(f"  http.tls_minimum ({file}:9): must be") for line in lines)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (f'api_key = "{CANARY}'.encode(), "is not TOML: a mistake at "),
        (f"{CANARY}\n".encode(), "is not TOML: a mistake at "),
        (f'a = "{CANARY}"\na = "{CANARY}"'.encode(), "is not TOML: a mistake at "),
        (f"a = {CANARY}".encode(), "is not TOML: a mistake at "),
        (b"a = " + b"[" * 100_000, "is not TOML: "),
        (b"a = " + b"1" * 5_000, "is not TOML: "),
        (b"\xff\xfe" + CANARY.encode(), "is not UTF-8 text."),
    ],
    ids=range(7),
)
def test_a_file_that_cannot_be_parsed_says_where_and_shows_nothing(file: Path, content: bytes, words: str):
    file.write_bytes(content)
    assert refusal(file).startswith(f"{file}: {words}")


def test_a_file_that_is_not_there_or_no_file_is_named(file: Path):
    assert refusal(file) == f"{file}: there is no such file. Check the path; it counts from the working directory."
    assert refusal(file.parent).startswith(f"{file.parent}: is a directory.")
    assert refusal(Path("a\0b")).startswith('"a\\u0000b": ')
    file.write_text("")
    assert refusal(file / "x").startswith(f"{file / 'x'}: cannot be read: ")


def test_a_byte_order_mark_and_foreign_line_ends_are_taken(file: Path):
    file.write_bytes(b"\xef\xbb\xbf[cache]\r\nttl = 3\r\n")
    assert EdgeConfig.from_file(file).cache.ttl == 3
    assert EdgeConfig.from_file(file).place(("cache", "ttl")) == f"{file}:2"


def test_lines_are_not_guessed_when_strings_run_over_them():
    assert line_numbers('[a]\nb = """\nc = 1\n"""\nd = 2\n') == {}


def test_lines_of_dotted_and_quoted_settings():
    assert line_numbers("a.b = 1\n[x]\n'y z'.\"w\" = 2\n = 3\n[bad..name]\n") == {
        ("a", "b"): 1,
        ("x",): 2,
        ("x", "y z", "w"): 3,
        (): 5,
    }


@settings(deadline=None)
@given(text=st.text(alphabet="[]a.\"'= \n#1\\", max_size=60))
def test_looking_for_lines_never_fails(text: str):
    lines = line_numbers(text)
    assert all(1 <= number <= text.count("\n") + 1 for number in lines.values())


def test_only_a_server_reads_the_names_that_a_shell_may_have_too():
    env = {"HOST": "0.0.0.0", "PORT": "9", "MAX_REQUEST_SIZE": "1MiB", "SERVER_TIMEOUT_SECONDS": "7"}
    assert EdgeConfig.load(env=env) == EdgeConfig()
    config = EdgeConfig.load(env=env, serving=True)
    assert (config.serve.host, config.serve.port, config.serve.max_body) == ("0.0.0.0", 9, 2**20)
    assert config.deadline.total == 7
    assert config.place(("serve", "port")) == "variable PORT"


def test_a_servers_address_is_host_and_port():
    serve = EdgeConfig.load(env={"SERVER_ADDRESS": "[::1]:81"}, serving=True).serve
    assert (serve.host, serve.port) == ("::1", 81)
    with pytest.raises(ConfigError, match=r"serve.host \(variable SERVER_ADDRESS\): is not an address"):
        EdgeConfig.load(env={"SERVER_ADDRESS": "nowhere"}, serving=True)


def test_tls_can_be_left_out_by_a_switch():
    env = {"TLS_CERT_PATH": "/c", "TLS_KEY_PATH": "/k"}
    assert EdgeConfig.load(env=env, serving=True).serve.tls.cert_file == Path("/c")
    assert EdgeConfig.load(env={**env, "ENABLE_TLS": "false"}, serving=True).serve.tls.cert_file is None


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"cert_file": "/c"}, "serve.tls.key_file"),
        ({"key_file": "/k"}, "serve.tls.cert_file"),
        ({"client_ca_file": "/a"}, "serve.tls.cert_file"),
    ],
)
def test_half_a_certificate_is_refused(tls: dict[str, str], words: str):
    with pytest.raises(ConfigError, match=words):
        EdgeConfig(serve={"tls": tls})
