"""Tokens: what is let in, and everything that is not."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given, strategies as st

from llm_edge.config import ServeJwtConfig
from llm_edge.errors import ConfigError
from llm_edge.runtime import FakeClock
from llm_edge.serve.callers import Caller
from llm_edge.serve.problems import Unauthenticated
from llm_edge.serve.tokens import FRESH, LARGEST, REFRESH, STALE, Issuer, fetched
from llm_edge.testing import Provider, json_body

SECRET = "s" * 32
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS: dict[str, tuple[Any, str]] = {
    "rsa": (RSA, "RS256"),
    "ec": (ec.generate_private_key(ec.SECP256R1()), "ES256"),
    "ed": (ed25519.Ed25519PrivateKey.generate(), "EdDSA"),
}
CONFIG = ServeJwtConfig(issuer="https://login.example", audience="edge", jwks_url="https://login.example/jwks")


def claims(**changes: Any) -> dict[str, Any]:
    now = time.time()
    whole = {"iss": "https://login.example", "aud": "edge", "sub": "ada", "iat": now, "exp": now + 60, **changes}
    return {name: value for name, value in whole.items() if value is not None}


def signed(said: Mapping[str, Any], key: Any = SECRET, algorithm: str = "HS256", **head: Any) -> str:
    return jwt.encode(dict(said), key, algorithm=algorithm, headers=head or None)


def shared(**more: Any) -> Issuer:
    return Issuer(CONFIG.model_copy(update={"jwks_url": None, **more}), FakeClock(), SECRET)


def caller(issuer: Issuer, token: str) -> Caller:
    return asyncio.run(issuer.caller(token))


def refused(issuer: Issuer, token: str) -> bool:
    with pytest.raises(Unauthenticated, match=r"^the token is not valid here$"):
        caller(issuer, token)
    return True


def test_a_token_says_who_calls_and_what_they_may() -> None:
    told = claims(tenant="acme", tier="pro", permissions=["call", "admin", "fly"], models=["fast"])
    found = caller(shared(), signed(told))
    assert (found.name, found.scope, found.tenant, found.tier) == ("ada", "jwt:ada", "acme", "pro")
    assert (found.permissions, found.models) == (frozenset({"call", "admin"}), ("fast",))
    plain = caller(shared(), signed(claims()))
    assert (plain.tenant, plain.permissions) == ("jwt:ada", {"call"})


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None}, {"iss": None}, {"aud": None}, {"sub": None},
        {"exp": 1}, {"exp": "soon"}, {"exp": -1},
        {"nbf": 9_999_999_999}, {"iss": "https://other.example"}, {"aud": "other"}, {"sub": 5}, {"sub": ""},
        {"iss": ["https://login.example"]}, {"tenant": ["a"]}, {"tier": 3}, {"permissions": "admin"},
        {"permissions": [1]}, {"models": {"a": 1}},
        {"sub": "a\nb"}, {"tenant": "a\ud800"}, {"tier": "a\x00"},
    ],
    ids=str,
)  # fmt: skip
def test_a_claim_that_is_missing_or_wrong_is_refused(changes: dict[str, Any]) -> None:
    # PyJWT itself will not write some of these.
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').rstrip(b"=")
    said = base64.urlsafe_b64encode(json.dumps(claims(**changes)).encode()).rstrip(b"=")
    assert refused(shared(), _sealed(head, said))


def _sealed(head: bytes, said: bytes, key: str = SECRET) -> str:
    seal = jwt.get_algorithm_by_name("HS256").sign(head + b"." + said, key.encode())
    return b".".join([head, said, base64.urlsafe_b64encode(seal).rstrip(b"=")]).decode()


def _part(text: str) -> bytes:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=")


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ('{"alg":"HS256","alg":"none"}', None),
        ('{"alg":"HS256"}', '{"iss":"https://login.example","iss":"x","aud":"edge","sub":"ada","exp":9999999999}'),
        ('{"alg":"HS256","crit":["b64"],"b64":false}', None),
        ('{"alg":"HS256","typ":"refresh"}', None),
        ('{"alg":"HS384"}', None),
        ('{"alg":"HS256"}', "[]"),
        ('{"alg":"HS256"}', '{"exp":NaN}'),
        ('{"alg":"HS256"}', '{"a":' * 100 + "1" + "}" * 100),
    ],
)
def test_a_token_with_an_odd_shape_is_refused(head: str, said: str | None) -> None:
    assert refused(shared(), _sealed(_part(head), _part(said or json.dumps(claims()))))


def test_a_token_without_a_seal_or_with_another_is_refused() -> None:
    assert refused(shared(), jwt.encode(claims(), "", algorithm="none"))
    assert refused(shared(), signed(claims(), "t" * 32))
    assert refused(shared(), signed(claims())[:-2])
    assert refused(shared(), "x" * (LARGEST + 1))
    assert refused(shared(), _part('{"alg":"HS256"}').decode())
    assert refused(shared(), signed(claims(more="x" * LARGEST)))


@given(st.text(max_size=60))
def test_any_text_is_no_token(text: str) -> None:
    assert refused(shared(), text)


def test_a_public_key_is_no_secret(tmp_path: Path) -> None:
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pem").write_bytes(pem)
    issuer = Issuer(CONFIG.model_copy(update={"public_key_file": tmp_path / "key.pem"}), FakeClock())
    assert caller(issuer, signed(claims(), RSA, "RS256")).name == "ada"
    assert caller(issuer, signed(claims(), RSA, "PS256")).name == "ada"
    head, said = _part('{"alg":"HS256"}'), _part(json.dumps(claims()))
    assert refused(issuer, _sealed(head, said, pem.decode()))


@pytest.mark.parametrize("name", KEYS)
def test_keys_of_each_kind_check(name: str, tmp_path: Path) -> None:
    key, algorithm = KEYS[name]
    (tmp_path / "key.pem").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    issuer = Issuer(CONFIG.model_copy(update={"public_key_file": tmp_path / "key.pem"}), FakeClock())
    assert caller(issuer, signed(claims(), key, algorithm)).name == "ada"


def test_a_file_that_is_no_public_key_is_refused(tmp_path: Path) -> None:
    private = RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    small = weak.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for wrong in (b"no key", private, small):
        (tmp_path / "key.pem").write_bytes(wrong)
        with pytest.raises(ConfigError, match="public_key_file"):
            Issuer(CONFIG.model_copy(update={"public_key_file": tmp_path / "key.pem"}), FakeClock())


# ---- the issuer's own list of keys


class Site:
    """An issuer's pages."""

    def __init__(self, *names: str, **more: Any) -> None:
        self.asked: list[str] = []
        self.down = False
        self.keys = [self._jwk(name) for name in names]
        self.more = more

    def _jwk(self, name: str) -> dict[str, Any]:
        key, algorithm = KEYS[name]
        made = jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True)
        return {**made, "kid": name, "use": "sig", "alg": algorithm}

    def __call__(self, url: str) -> Mapping[str, Any]:
        self.asked.append(url)
        if self.down:
            raise OSError("down")
        if url.endswith("openid-configuration"):
            return {"issuer": "https://login.example", "jwks_uri": "https://login.example/found", **self.more}
        return {"keys": [*self.keys, {"kty": "oct", "kid": "sym", "k": "AAAA"}, 5, {"kty": "RSA", "use": "enc"}]}


@pytest.fixture
def issuing() -> Iterator[Callable[..., tuple[Issuer, FakeClock, asyncio.Runner]]]:
    with asyncio.Runner() as runner:

        def make(site: Site, **changes: Any) -> tuple[Issuer, FakeClock, asyncio.Runner]:
            clock = FakeClock()
            return Issuer(CONFIG.model_copy(update=changes), clock, fetch=site), clock, runner

        yield make


def test_the_issuers_keys_are_asked_for_once(issuing: Callable[..., Any]) -> None:
    site = Site("rsa", "ec", "ed")
    issuer, clock, runner = issuing(site)
    clock.advance(STALE)
    for name in ("rsa", "ec", "ed"):
        key, algorithm = KEYS[name]
        clock.advance(REFRESH / 2)
        assert runner.run(issuer.caller(signed(claims(), key, algorithm, kid=name))).name == "ada"
    assert site.asked == ["https://login.example/jwks"]


@pytest.mark.filterwarnings("ignore:The RSA key is")
def test_a_weak_key_in_the_issuers_list_opens_nothing(issuing: Callable[..., Any]) -> None:
    weak, site = rsa.generate_private_key(public_exponent=65537, key_size=1024), Site()
    site.keys = [{**jwt.get_algorithm_by_name("RS256").to_jwk(weak.public_key(), as_dict=True), "kid": "weak"}]
    issuer, _, runner = issuing(site)
    with pytest.raises(Unauthenticated):
        runner.run(issuer.caller(signed(claims(), weak, "RS256", kid="weak")))


def test_discovery_says_where_the_keys_are(issuing: Callable[..., Any]) -> None:
    site = Site("rsa")
    issuer, _, runner = issuing(site, jwks_url=None)
    assert runner.run(issuer.caller(signed(claims(), RSA, "RS256", kid="rsa"))).name == "ada"
    assert site.asked == ["https://login.example/.well-known/openid-configuration", "https://login.example/found"]
    other, _, _ = issuing(Site("rsa", issuer="https://evil.example"), jwks_url=None)
    with pytest.raises(Unauthenticated):
        runner.run(other.caller(signed(claims(), RSA, "RS256", kid="rsa")))


def test_unknown_keys_do_not_flood_the_issuer(issuing: Callable[..., Any]) -> None:
    site = Site("rsa")
    issuer, clock, runner = issuing(site)

    def tried(kid: str) -> bool:
        with pytest.raises(Unauthenticated):
            runner.run(issuer.caller(signed(claims(), RSA, "RS256", kid=kid)))
        return True

    assert all(tried(f"unknown-{at}") for at in range(20))
    assert len(site.asked) == 1
    clock.advance(REFRESH)
    assert tried("unknown")
    assert len(site.asked) == 2


def test_old_keys_are_believed_for_a_while_when_the_issuer_is_down(issuing: Callable[..., Any]) -> None:
    site = Site("rsa")
    issuer, clock, runner = issuing(site)
    token = signed(claims(), RSA, "RS256", kid="rsa")
    assert runner.run(issuer.caller(token)).name == "ada"
    site.down = True
    clock.advance(STALE)
    assert runner.run(issuer.caller(token)).name == "ada"
    clock.advance(1)
    with pytest.raises(Unauthenticated):
        runner.run(issuer.caller(token))
    site.down = False
    clock.advance(REFRESH)
    assert runner.run(issuer.caller(token)).name == "ada"


@pytest.mark.parametrize("head", [{"kid": "sym"}, {}, {"kid": "rsa", "jku": "https://evil"}, {"kid": "ec"}])
def test_where_a_token_says_its_key_is_does_not_count(head: dict[str, Any], issuing: Callable[..., Any]) -> None:
    site = Site("rsa", "ec")
    issuer, _, runner = issuing(site)
    strange = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    with pytest.raises(Unauthenticated):
        runner.run(issuer.caller(signed(claims(), strange, "RS256", **head)))
    assert "https://evil" not in site.asked


def test_pages_are_fetched_over_https_whole_and_without_redirects() -> None:
    from llm_edge.testing import raw, redirect

    provider = Provider(json_body({"keys": []}))
    with provider.serve() as server:
        url = f"http://127.0.0.1:{server.port}/jwks"
        assert fetched(url) == {"keys": []}
        for step in (json_body([1]), raw(b"{"), raw(b'{"keys": []}' + b" " * 300_000)):
            provider.script(step)
            with pytest.raises((OSError, ValueError)):
                fetched(url)
        for status in (301, 302, 303, 307, 308):
            provider.script(redirect(url, status=status), json_body({"keys": []}))
            with pytest.raises(OSError, match=str(status)):
                fetched(url)
        provider.script(json_body({"keys": []}))
        with pytest.raises(TimeoutError):
            fetched(url, seconds=0)
    with pytest.raises(ValueError, match="https only"):
        fetched("http://login.example/jwks")


@pytest.mark.parametrize(
    "odd",
    [
        {"kty": "RSA", "kid": "odd", "alg": "RSA-OAEP", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "kid": "odd", "n": "!", "e": 5},
        {"kty": "OKP", "kid": "odd", "crv": "X25519", "x": "AAAA"},
        {"kty": "EC", "kid": "odd", "crv": "P-999", "x": "AAAA", "y": "AAAA"},
        {"kty": ["RSA"], "kid": "odd"},
        {"kty": "RSA", "kid": "odd", "n": "AQAB", "e": "AQAB", "d": "AQAB"},
    ],
    ids=["for encryption", "broken", "of another use", "of another curve", "of no kind", "with its private half"],
)
def test_a_key_that_cannot_be_used_does_not_shut_out_the_others(odd: Any, issuing: Callable[..., Any]) -> None:
    site = Site("rsa")
    site.keys.insert(0, odd)
    issuer, _, runner = issuing(site)
    assert runner.run(issuer.caller(signed(claims(), RSA, "RS256", kid="rsa"))).name == "ada"


@pytest.mark.parametrize("changed", [{"use": "enc"}, {"kid": None}], ids=str)
def test_a_key_that_is_for_another_use_or_has_no_name_opens_nothing(
    changed: dict[str, Any], issuing: Callable[..., Any]
) -> None:
    site = Site("rsa")
    site.keys[0].update(changed)
    issuer, _, runner = issuing(site)
    with pytest.raises(Unauthenticated):
        runner.run(issuer.caller(signed(claims(), RSA, "RS256", kid=str(site.keys[0]["kid"]))))


@pytest.mark.parametrize("name", KEYS)
def test_a_key_the_issuer_lets_everybody_sign_with_opens_nothing(name: str, issuing: Callable[..., Any]) -> None:
    """Its private half stood among the public ones: of RSA each token was a 500, of others it was let in."""
    key, algorithm = KEYS[name]
    site = Site()
    site.keys.append({**jwt.get_algorithm_by_name(algorithm).to_jwk(key, as_dict=True), "kid": name})
    issuer, _, runner = issuing(site)
    with pytest.raises(Unauthenticated):
        runner.run(issuer.caller(signed(claims(), key, algorithm, kid=name)))


def test_a_key_the_issuer_takes_back_opens_no_more(issuing: Callable[..., Any]) -> None:
    site = Site("rsa")
    issuer, clock, runner = issuing(site)
    token = signed(claims(), RSA, "RS256", kid="rsa")
    assert runner.run(issuer.caller(token)).name == "ada"
    clock.advance(FRESH)

    async def looked() -> None:
        await issuer.caller(token)
        assert issuer._asks is not None
        await issuer._asks

    runner.run(looked())  # it is looked again and again
    site.keys.clear()
    clock.advance(FRESH)

    async def until_it_is_refused() -> None:
        while True:
            await issuer.caller(token)
            await asyncio.sleep(0)  # the look at the issuer goes on beside the calls

    with pytest.raises(Unauthenticated):
        runner.run(asyncio.wait_for(until_it_is_refused(), 60))


@pytest.mark.parametrize("page", [{"error": "try later"}, {"keys": None}, {"keys": ""}], ids=str)
def test_a_page_without_keys_takes_none_back(page: Any, issuing: Callable[..., Any]) -> None:
    site = Site("rsa")
    issuer, clock, runner = issuing(site)
    token = signed(claims(), RSA, "RS256", kid="rsa")
    assert runner.run(issuer.caller(token)).name == "ada"
    issuer.fetch = lambda url: page
    clock.advance(REFRESH)
    with pytest.raises(Unauthenticated):
        runner.run(issuer.caller(signed(claims(), RSA, "RS256", kid="another")))  # for this one the page is asked for
    assert runner.run(issuer.caller(token)).name == "ada"
