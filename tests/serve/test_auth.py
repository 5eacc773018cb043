"""Who is let in, what they may do, and whose answers they get."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from hypothesis import given, strategies as st

from llm_edge import cli
from llm_edge.config import EdgeConfig
from llm_edge.errors import ConfigError
from llm_edge.message import Body, Controls, Headers, Request
from llm_edge.runtime import FakeClock
from llm_edge.serve.auth import LockedDoor, door_of
from llm_edge.serve.callers import ANYBODY, Caller, OpenDoor
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import KeyStore
from llm_edge.serve.problems import Forbidden, NoKeysNow, Unauthenticated
from llm_edge.serve.run import check
from llm_edge.testing import Provider, answer

from .conftest import App, toml
from .kit import CHAT, Process, post, question, running
from .test_server import body

KEY = "k" * 24
DIGEST = "sha256:" + hashlib.sha256(b"from-a-digest-only").hexdigest()
SECRET = "s" * 32
Make = Callable[..., App]


def configured(database: Path | None = None, **auth: Any) -> EdgeConfig:
    more = {"database": database} if database else {}
    return EdgeConfig(serve={"auth": {**more, **auth}})


def door(config: EdgeConfig, env: dict[str, str] | None = None) -> Any:
    return door_of(config, env or {}, FakeClock(time=time.time()))


def admitted(at: Any, **headers: str) -> Caller:
    named = Headers([(name.replace("_", "-"), value) for name, value in headers.items()])
    return asyncio.run(at.admit(named))


@pytest.fixture
def keys(tmp_path: Path) -> Iterator[LockedDoor]:
    """A door with a database, and keys and an issuer besides."""
    made = door(
        configured(tmp_path / "keys.db", keys=[KEY, DIGEST], jwt={"issuer": "i", "audience": "a", "secret": SECRET})
    )
    yield made
    made.keys.close()


def test_nothing_configured_lets_everybody_in() -> None:
    assert isinstance(door(EdgeConfig()), OpenDoor)
    assert admitted(OpenDoor()) is ANYBODY


@pytest.mark.parametrize("header", ["x_api_key", "api_key", "x_goog_api_key", "authorization"])
def test_a_key_is_taken_wherever_an_sdk_puts_it(header: str, keys: LockedDoor) -> None:
    shown = f"Bearer {KEY}" if header == "authorization" else KEY
    assert admitted(keys, **{header: shown}).name.startswith("fixed-")


def test_keys_digests_database_and_tokens_open_the_same_door(keys: LockedDoor) -> None:
    assert keys.keys is not None
    text, made = keys.keys.create("me", tenant="acme")
    token = jwt.encode({"iss": "i", "aud": "a", "sub": "ada", "exp": time.time() + 60}, SECRET)
    assert admitted(keys, x_api_key="from-a-digest-only").tenant.startswith("fixed-")
    assert admitted(keys, x_api_key=text).scope == made.id
    assert admitted(keys, authorization=f"bearer {token}").scope == "jwt:ada"


def test_tokens_need_no_database(keys: LockedDoor, tmp_path: Path) -> None:
    """They were refused for as long as the database was away."""
    assert keys.keys is not None
    keys.keys.close()
    (tmp_path / "keys.db").unlink()
    config = configured(tmp_path / "keys.db", jwt={"issuer": "i", "audience": "a", "secret": SECRET})
    away = door_of(config, {}, FakeClock(time=time.time()), patient=True)
    token = jwt.encode({"iss": "i", "aud": "a", "sub": "ada", "exp": time.time() + 60}, SECRET)
    assert admitted(away, x_api_key=token).scope == "jwt:ada"
    with pytest.raises(NoKeysNow):
        admitted(away, x_api_key="sk-edge-any")


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer "}, {"x_api_key": ""},
        {"authorization": f"Basic {KEY}"}, {"authorization": KEY}, {"authorization": f"Bearer{KEY}"},
        {"x_api_key": KEY + " "}, {"x_api_key": KEY[:-1]}, {"x_api_key": "caf\xe9"}, {"x_api_key": "\U0001f511"},
        {"x_api_key": "x" * 1_000_000}, {"x_api_key": "' or 1=1 --"}, {"x_api_key": DIGEST}, {"x_api_key": "a.b.c"},
        {"x_api_key": KEY, "authorization": "Bearer another"}, {"x_api_key": "\ud800"},
    ],
    ids=lambda headers: str(headers)[:40],
)  # fmt: skip
def test_nobody_else_is_let_in(headers: dict[str, str], keys: LockedDoor) -> None:
    with pytest.raises(Unauthenticated) as caught:
        admitted(keys, **headers)
    assert KEY not in str(caught.value)


@given(st.text(max_size=80))
def test_no_text_is_more_than_refused(text: str) -> None:
    with pytest.raises(Unauthenticated):
        admitted(_FIXED, authorization=f"Bearer {text}")


_FIXED = LockedDoor({}, None, None)


def test_keys_come_from_variables_by_their_usual_names() -> None:
    config = EdgeConfig.load(env={"API_KEYS": f"{KEY}, {DIGEST}", "AUTH_HEALTH_CHECK": "true"}, serving=True)
    assert config.serve.auth.on
    assert config.serve.auth.health
    assert admitted(door(config), x_api_key=KEY)
    assert EdgeConfig.load(env={"API_KEYS": KEY, "AUTH_ENABLED": "false"}, serving=True).serve.auth.on is False
    referred = configured(keys=["env:EDGE_KEY"])
    assert admitted(door(referred, {"EDGE_KEY": KEY}), x_api_key=KEY)
    with pytest.raises(ConfigError, match=r"serve.auth.keys\[0\].*EDGE_KEY"):
        door(referred)


@pytest.mark.parametrize(
    "auth",
    [
        {"keys": ["short"]}, {"keys": ["sha256:zz"]}, {"keys": ["a b" * 10]}, {"enabled": True},
        {"jwt": {"issuer": "i"}}, {"jwt": {"secret": SECRET}}, {"jwt": {"secret": "short"}}, {"jwt": {"leeway": 61}},
        {"jwt": {"issuer": "i", "audience": "a", "secret": SECRET, "public_key_file": "/k"}},
    ],
    ids=str,
)  # fmt: skip
def test_a_door_that_would_be_weak_is_refused(auth: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"serve.auth") as caught:
        configured(**auth)
    assert SECRET not in str(caught.value)


def test_an_address_that_others_reach_needs_a_door() -> None:
    with pytest.raises(ConfigError, match="everybody would be let in"):
        check(EdgeConfig(serve={"host": "0.0.0.0"}))
    check(EdgeConfig(serve={"host": "0.0.0.0", "auth": {"enabled": False}}))
    check(EdgeConfig(serve={"host": "0.0.0.0", "auth": {"keys": [KEY]}}))


def test_a_caller_may_ask_what_its_key_says() -> None:
    one = Caller(models=("fast", "openai/*"))
    one.need_model("openai/gpt-5.4")
    with pytest.raises(Forbidden, match="may not ask that model"):
        one.need_model("anthropic/claude")
    with pytest.raises(Forbidden, match="lacks the permission `admin`"):
        one.need("admin")


def test_a_call_goes_under_its_callers_name_whatever_it_says_itself() -> None:
    known = [(scope, tenant, tier) for scope in ("", "s") for tenant in ("", "t") for tier in ("", "gold")]
    for said, true in itertools.product(known, known):
        one = Caller(scope=true[0], tenant=true[1], tier=true[2])
        request = Request(
            body=Body(b"{}"), scope=said[0], controls=Controls(tenant=said[1], tier=said[2], no_cache=True)
        )
        signed = one.signed(request)
        assert (signed.scope, signed.controls.tenant, signed.controls.tier) == true
        assert signed.controls.no_cache
        assert (signed is request) == (said == true)


# ---- through the app


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_only_those_who_are_known_are_answered(sidecar: Make, provider: Provider, keys: LockedDoor) -> None:
    provider.script(answer("Paris."))
    app = sidecar(door=keys)
    assert app("POST", CHAT, question(), bearer(KEY)).status == 200
    nobody = app("POST", CHAT, question())
    assert nobody.status == 401
    assert nobody.headers["www-authenticate"] == "Bearer"
    assert nobody.json["error"]["code"] == "invalid_api_key"
    assert app("POST", "/v1/messages", question(max_tokens=5)).json["error"]["type"] == "authentication_error"
    assert {app("GET", path).status for path in ("/v1/models", "/v1/x", "/admin/keys", "/admin/trail")} == {401}


def test_health_says_little_to_strangers(sidecar: Make, keys: LockedDoor) -> None:
    app = sidecar(door=keys)
    assert app("GET", "/health").json == {"status": "ok"}
    assert app("GET", "/health/ready").status == 200
    closed = sidecar(door=keys, serve={"auth": {"keys": [KEY], "health": True}})
    assert closed("GET", "/health").status == 401
    assert keys.keys is not None
    text, _ = keys.keys.create("me", permissions=["health"])
    assert "breakers" in closed("GET", "/health", headers=bearer(text)).json


def test_metrics_need_their_permission_unless_told_otherwise(
    sidecar: Make, provider: Provider, keys: LockedDoor
) -> None:
    provider.script(answer("Paris."))
    app = sidecar(door=keys)
    assert keys.keys is not None
    reader = bearer(keys.keys.create("me", permissions=["metrics"])[0])
    assert app("GET", "/metrics").status == 401
    assert app("GET", "/metrics", headers=bearer(KEY)).status == 403
    app("POST", CHAT, question("counted?"), bearer(KEY))
    told = app("GET", "/metrics", headers=reader)
    assert told.headers["content-type"].startswith("text/plain")
    counted = [line for line in told.body.decode().splitlines() if line.startswith("llm_edge_requests_total{")]
    assert [line.split()[-1] for line in counted] == ["1.0"]
    assert sidecar(door=keys, serve={"auth": {"keys": [KEY], "metrics": False}})("GET", "/metrics").status == 200
    assert sidecar(serve={"metrics": False})("GET", "/metrics").status == 404


def test_answers_are_kept_apart_by_caller(sidecar: Make, provider: Provider, keys: LockedDoor) -> None:
    provider.script(answer("Paris."))
    app, store = sidecar(door=keys), keys.keys
    assert store is not None
    one, other = store.create("me")[0], store.create("me")[0]

    def cached(key: str, **headers: str) -> str:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return app("POST", CHAT, question("whose?"), {**bearer(key), **named}).headers["x-llm-edge-cache"]

    assert [cached(one), cached(one)] == ["MISS", "HIT"]
    assert cached(other) == "MISS"
    assert cached(other, x_llm_edge_tenant=store.every()[0].tenant) == "HIT"  # its own: the claim counts for nothing


def test_a_key_is_held_to_its_models_and_permissions(sidecar: Make, provider: Provider, keys: LockedDoor) -> None:
    provider.script(answer("Paris."))
    app, store = sidecar(door=keys, serve={"pass_through": "openai"}), keys.keys
    assert store is not None
    narrow = bearer(store.create("me", models=["fast"])[0])
    assert app("POST", CHAT, question(), narrow).status == 200
    assert app("POST", CHAT, {**question(), "model": "openai/gpt-5.4-mini"}, narrow).status == 403
    assert app("POST", CHAT, question(), {**narrow, "x-llm-edge-route": "other"}).status == 403
    assert [row["id"] for row in app("GET", "/v1/models", headers=narrow).json["data"]] == ["fast"]
    assert app("GET", "/v1/models/openai/gpt-5.4-mini", headers=narrow).status == 404
    assert app("POST", "/v1/images", {}, narrow).status == 403
    useless = bearer(store.create("me", permissions=["metrics"])[0])
    assert app("POST", CHAT, question(), useless).status == 403


def test_a_tier_of_a_key_binds_its_calls(sidecar: Make, provider: Provider, keys: LockedDoor) -> None:
    provider.script(answer("Paris."))
    limits = {"limits": {"tenant": {"tier": "pro"}}, "tiers": {"tiny": {"requests_per_day": 1}}}
    app, store = sidecar(door=keys, **limits), keys.keys
    assert store is not None
    tiny, free = store.create("me", tier="tiny")[0], store.create("me")[0]
    said = [app("POST", CHAT, question(f"tier {at}?"), bearer(tiny)).status for at in range(2)]
    assert said == [200, 429]
    assert app("POST", CHAT, question("tier?"), bearer(free)).status == 200


def test_pages_of_named_origins_may_ask(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."))
    app = sidecar(serve={"cors": {"origins": ["https://app.example.com"]}})
    from_page = {"origin": "https://app.example.com"}
    before = app("OPTIONS", CHAT, headers=from_page)
    assert before.status == 204
    assert "authorization" in before.headers["access-control-allow-headers"]
    said = app("POST", CHAT, question("page?"), from_page)
    assert said.headers["access-control-allow-origin"] == "https://app.example.com"
    assert said.headers["vary"] == "origin"
    other = app("POST", CHAT, question("page?"), {"origin": "https://app.example.com.evil"})
    assert other.status == 403
    assert "access-control-allow-origin" not in other.headers
    assert app("GET", "/health", headers={"origin": "null"}).status == 403
    with pytest.raises(ConfigError, match=r"serve.cors.origins"):
        EdgeConfig(serve={"cors": {"origins": ["*"]}})


# ---- the admin's paths


def test_an_admin_makes_rotates_and_ends_keys(sidecar: Make, provider: Provider, keys: LockedDoor) -> None:
    provider.script(answer("Paris."))
    app, store = sidecar(door=keys), keys.keys
    assert store is not None
    admin = bearer(store.create("cli:me", permissions=["admin"])[0])
    made = app("POST", "/admin/keys", {"name": "app", "tenant": "acme", "days": 3}, admin)
    assert made.status == 201
    assert app("POST", CHAT, question(), bearer(made.json["key"])).status == 200
    fresh = app("POST", f"/admin/keys/{made.json['id']}/rotate", {"overlap": 0}, admin)
    assert app("POST", CHAT, question(), bearer(made.json["key"])).status == 401
    assert app("POST", CHAT, question(), bearer(fresh.json["key"])).status == 200
    assert app("DELETE", f"/admin/keys/{fresh.json['id']}", headers=admin).status == 200
    assert app("POST", CHAT, question(), bearer(fresh.json["key"])).status == 401
    listed = app("GET", "/admin/keys", headers=admin)
    assert [key["state"] for key in listed.json["keys"]] == ["active", "expired", "revoked"]
    assert fresh.json["key"] not in listed.body.decode()
    trail = app("GET", "/admin/trail", headers=admin, query="limit=3").json["trail"]
    assert [line["what"] for line in trail] == ["keys.revoke", "keys.rotate", "keys.create"]
    assert {line["who"] for line in trail} == {store.every()[0].id}


def test_an_admin_sets_breakers_by_hand(sidecar: Make, keys: LockedDoor) -> None:
    app, store = sidecar(door=keys), keys.keys
    assert store is not None
    admin = bearer(store.create("me", permissions=["admin", "call"])[0])
    assert app("PUT", "/admin/breakers/openai/gpt-5.4-mini", {"state": "open"}, admin).status == 200
    assert app("POST", CHAT, question("open?"), admin).status == 503
    assert "openai/gpt-5.4-mini" in app("GET", "/admin/breakers", headers=admin).json["breakers"]
    assert app("PUT", "/admin/breakers/openai/gpt-5.4-mini", {"state": "ajar"}, admin).status == 400
    assert store.trail()[0]["on"] == "openai/gpt-5.4-mini"


PATHS = [
    ("GET", "/admin/keys"), ("POST", "/admin/keys"), ("DELETE", "/admin/keys/x"), ("POST", "/admin/keys/x/rotate"),
    ("GET", "/admin/breakers"), ("PUT", "/admin/breakers/a/b"), ("GET", "/admin/trail"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), PATHS)
def test_every_path_of_the_admin_needs_the_permission(method: str, path: str, sidecar: Make, keys: LockedDoor) -> None:
    app = sidecar(door=keys)
    assert app(method, path, {}).status == 401
    assert app(method, path, {}, bearer(KEY)).status == 403


@pytest.mark.parametrize(
    ("method", "path", "asked"),
    [
        ("POST", "/admin/keys", {"nonsense": 1}), ("POST", "/admin/keys", {"name": 5}),
        ("POST", "/admin/keys", {"permissions": "admin"}), ("POST", "/admin/keys", {"days": True}),
        ("POST", "/admin/keys", {"permissions": ["all"]}), ("DELETE", "/admin/keys/none", {}),
        ("GET", "/admin/trail?limit=x", {}), ("POST", "/admin/keys", b"[]"),
        ("GET", "/admin/trail?limit=-1", {}),
        pytest.param("GET", f"/admin/trail?limit={'9' * 5000}", {}, id="a limit of many digits"),

        ("GET", "/admin/trail?last=5", {}), ("GET", "/admin/trail?limit=5&limit=6", {}),
        ("GET", "/admin/spend?source=zzz", {}), ("GET", "/admin/spend?since=yesterday", {}),
        ("GET", "/admin/spend?since=2026-13-01", {}), ("GET", "/admin/spend?until=", {}),
        ("GET", "/admin/keys?tenant=acme", {}), ("GET", "/admin/live?window=5", {}), ("GET", "/admin/tenants?a", b""),
        ("POST", "/admin/cache/purge?tenant=acme", {}), ("POST", "/admin/keys?tenant=acme", {}),
        ("GET", "/admin/limits?a=b", {}), ("GET", "/admin/budgets?a=b", {}), ("GET", "/admin/breakers?a=b", {}),
    ],
    ids=str,
)  # fmt: skip
def test_an_admin_who_errs_is_told(method: str, path: str, asked: Any, sidecar: Make, keys: LockedDoor) -> None:
    assert keys.keys is not None
    admin = bearer(keys.keys.create("me", permissions=["admin"])[0])
    place, _, query = path.partition("?")
    assert sidecar(door=keys)(method, place, asked, admin, query=query).status == 400


def test_without_a_database_there_are_no_keys_to_change(sidecar: Make) -> None:
    assert sidecar()("GET", "/admin/keys").status == 404


# ---- by command, and over sockets


def test_keys_are_made_by_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(f'[serve.auth]\ndatabase = "{tmp_path}/keys.db"\n[limits.key]\ntier = "free"\n')

    def ran(*words: str) -> list[str]:
        assert cli.main(["keys", "--config", str(file), *words], env={}) == 0
        return capsys.readouterr().out.splitlines()

    made = ("--name", "app", "--tenant", "acme", "--tier", "pro", "--permission", "call", "--model", "fast")
    key, told = ran("create", *made, "--days", "3")
    assert re.fullmatch(
        rf"{told.split()[1].strip(',')}  active    tenant acme  tier pro  call  models fast  until 20[0-9-]{{8}}  app",
        ran("list")[0],
    )
    fresh = ran("rotate", told.split()[1].strip(","), "--overlap", "0")
    ran("revoke", fresh[1].split()[1].strip(","))
    listed = ran("list")
    assert [line.split()[1] for line in listed] == ["expired", "revoked"]
    assert "tenant acme" in listed[0]
    assert key not in "".join(listed)
    assert cli.main(["keys", "--config", str(file), "revoke", "none"], env={}) == 2
    assert cli.main(["keys", "list"], env={}) == 2
    assert "database =" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("limits", "tier", "why"),
    [
        ('[limits.key]\ntier = "free"\n', "gold", "Known are enterprise, free, pro"),
        ("[limits.key]\nrequests_per_minute = 5\n", "pro", "no limit has a tier"),
    ],
)
def test_whoever_gives_a_key_a_tier_that_counts_for_nothing_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], limits: str, tier: str, why: str
) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(f'[serve.auth]\ndatabase = "{tmp_path}/keys.db"\n{limits}')
    assert cli.main(["keys", "--config", str(file), "create", "--tier", tier], env={}) == 0
    made = capsys.readouterr()
    assert why in made.err
    assert made.out.startswith("sk-edge-")


def test_a_key_made_beside_a_running_sidecar_opens_and_ends_at_once(
    upstream: str, provider: Provider, tmp_path: Path
) -> None:
    provider.script(answer("Paris."))
    settings = f'[serve.auth]\ndatabase = "{tmp_path}/keys.db"\n'
    with running(tmp_path, toml(upstream, settings)) as process:
        store = KeyStore(KeyFile(tmp_path / "keys.db"), FakeClock(time=time.time()))
        text, made = store.create("me")

        def said() -> bytes:
            return process.raw(post(CHAT, body("beside?"), f"Authorization: Bearer {text}")).split(b" ")[1]

        assert _becomes(said, b"200")
        store.revoke("me", made.id)
        assert _becomes(said, b"401")
        store.close()


def _becomes(said: Callable[[], bytes], wanted: bytes) -> bool:
    until = time.monotonic() + 20  # by the time, for a quick machine asks thousands of times before anybody looks again
    while said() != wanted:
        if time.monotonic() > until:
            return False
    return True


def test_a_door_that_cannot_be_is_told_at_the_start(tmp_path: Path) -> None:
    process = Process(tmp_path, '[serve]\nhost = "0.0.0.0"\n')
    try:
        assert process.ended() == 2
        process.printed("everybody would be let in")
    finally:
        process.close()


def test_secrets_stay_hidden_where_settings_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "edge.toml"
    file.write_text(f'[serve.auth]\nkeys = ["{KEY}"]\n[serve.auth.jwt]\nissuer="i"\naudience="a"\nsecret="{SECRET}"\n')
    assert cli.main(["check", str(file)], env={}) == 0
    shown = capsys.readouterr().out
    assert KEY not in shown
    assert SECRET not in shown
    assert json.dumps(KEY) not in repr(EdgeConfig.from_file(file))
