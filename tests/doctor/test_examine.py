"""The doctor's questions to scripted providers, each with a fault of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from llm_edge import EdgeConfig
from llm_edge.cli import main
from llm_edge.doctor.examine import examine
from llm_edge.doctor.findings import Checkup
from llm_edge.runtime import Clock, FakeClock
from llm_edge.testing import Provider, answer, json_body, refused, status, stream
from llm_edge.testing.certificates import Certificates
from llm_edge.testing.steps import Step

Making = Callable[..., Provider]
CANARY = "sk-canary-1234567890"


def ask(
    provider: Provider | str, env: Mapping[str, str] | None = None, clock: Clock | None = None, **sections: Any
) -> Checkup:
    """One provider, `p`, asked for the model `m`."""
    url = provider if isinstance(provider, str) else provider.url
    place = {"base_url": f"{url}/v1", "api_key": CANARY, **sections.pop("place", {})}
    config = EdgeConfig(providers={"p": place}, **sections)
    (found,) = examine(config, env or {}, models=["p/m"], clock=clock)
    return found


def words(checkup: Checkup, check: str) -> str:
    """What was said of one thing, with its outcome before it."""
    (found,) = [each for each in checkup.findings if each.check == check]
    return f"{found.outcome}: {found.words}"


def test_a_provider_that_is_well(provider: Provider) -> None:
    provider.script(stream("o", "k"))
    found = ask(provider)
    assert found.well
    assert (found.target, found.address) == ("p/m", f"{provider.url}/v1")
    assert words(found, "key") == "good: the key is taken"
    assert words(found, "model") == "good: it answers"
    assert "events, the first after" in words(found, "streaming")
    (call,) = provider.asked(1)
    assert call.streamed
    assert call.field("max_completion_tokens") == 32


def test_a_key_that_is_not_taken(provider: Provider) -> None:
    provider.script(status(401, message=f"Incorrect API key provided: {CANARY}"))
    found = ask(provider)
    assert not found.well
    assert words(found, "key").startswith("bad: the key is not taken (401): ")
    assert "canary" not in str(found)
    provider.asked(1)


def test_a_key_without_money(provider: Provider) -> None:
    provider.script(json_body({"error": {"message": "pay", "code": "insufficient_quota"}}, status=429))
    assert words(ask(provider), "key").startswith("bad: the key is known, but its money or quota is used up")


def test_a_model_that_is_not_known(provider: Provider) -> None:
    provider.script(json_body({"error": {"message": "no such model", "code": "model_not_found"}}, status=404))
    found = ask(provider)
    assert words(found, "key") == "good: the key is taken"
    assert words(found, "model").startswith("bad: the provider does not know m, or not for this key: ")


def test_a_call_that_is_refused_as_wrong(provider: Provider) -> None:
    provider.script(status(400, message="stream_options is not known"))
    found = ask(provider)
    assert words(found, "model") == "bad: the provider refuses the simplest call: stream_options is not known"


def test_streaming_that_does_not_work(provider: Provider) -> None:
    whole = json_body({"choices": [{"message": {"content": "ok"}, "finish_reason": "stop"}], "model": "m"})
    provider.script(whole)
    found = ask(provider)
    assert "where a stream was asked" in words(found, "streaming")
    assert words(found, "streaming").startswith("bad")
    assert words(found, "model") == "good: it answers"
    assert [call.streamed for call in provider.asked(2)] == [True, False]


def test_a_stream_that_is_cut(provider: Provider) -> None:
    provider.script(stream("a", "b", "c").cut(after_events=2))
    found = ask(provider)
    assert words(found, "streaming").startswith("bad")
    assert words(found, "key") == "good: the key is taken"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "good: this machine's agrees with the provider's"),
        (-90, "note: this machine's is 89 s ahead of the provider's; set it, or"),
        (-900, "bad: this machine's is 899 s ahead of the provider's; set it, or"),
        (900, "bad: this machine's is 899 s behind the provider's; set it, or"),
    ],
)
@pytest.mark.parametrize("step", [answer("ok"), status(401)])
def test_clocks_that_do_not_agree(provider: Provider, seconds: int, said: str, step: Step) -> None:
    clock = FakeClock()
    provider.script(step.headers({"date": formatdate(clock.time() + seconds, usegmt=True)}))
    assert words(ask(provider, clock=clock), "clock").startswith(said)


@pytest.mark.parametrize("date", ["", "yesterday"])
def test_a_provider_that_does_not_tell_the_time_says_nothing_of_the_clock(provider: Provider, date: str) -> None:
    provider.script(answer("ok").headers({"date": date}))
    assert [each for each in ask(provider).findings if each.check == "clock"] == []


def test_nobody_there(refused_url: str) -> None:
    found = ask(refused_url)
    assert words(found, "network").startswith("bad")
    assert "look at the address, the network and the proxy" in words(found, "network")


def test_a_provider_that_hangs_up(provider: Provider) -> None:
    provider.script(refused())
    assert words(ask(provider), "network").startswith("bad")


def test_a_provider_in_trouble(provider: Provider) -> None:
    provider.script(status(503, message="down"))
    assert words(ask(provider), "network") == "bad: the provider is in trouble (503): down"


def test_a_provider_that_is_busy_is_not_ill(provider: Provider) -> None:
    provider.script(status(429, message="slow down"))
    found = ask(provider)
    assert found.well
    assert words(found, "model") == "note: too busy to answer right now: slow down"


def test_a_certificate_nobody_vouches_for(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path)
    provider = Provider()
    with provider.serve(tls=certificates.server_context()):
        assert words(ask(provider), "tls").startswith("bad")
        provider.never_asked()
        trusting = ask(provider, http={"ca_file": str(certificates.ca_file)})
        assert words(trusting, "tls") == "good: the certificate is trusted"
        assert trusting.well


def test_a_proxy_that_stands_between_is_named_without_its_password(provider: Provider) -> None:
    found = ask("http://models.test", http={"proxy": f"http://me:{CANARY}@{provider.url.removeprefix('http://')}"})
    assert words(found, "proxy") == f"note: calls go through {provider.url}"
    assert words(found, "tls").startswith("note: calls travel in the clear")
    assert found.well
    assert "canary" not in str(found)


def test_embeddings_are_asked_for_as_such(provider: Provider) -> None:
    config = EdgeConfig(
        providers={"p": {"base_url": f"{provider.url}/v1"}}, routes={"e": {"targets": ["p/text-embedding-3-small"]}}
    )
    (found,) = examine(config, {})
    assert found.well
    assert provider.last.path == "/v1/embeddings"
    assert words(found, "key") == "good: no key, as none is set, is taken"


def test_a_cloud_without_a_token_says_what_the_cloud_says(providers: Making, tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text('{"type": "service_account"}')
    place = {"project": "p", "base_url": providers().url, "credentials_file": str(file)}
    (found,) = examine(EdgeConfig(providers={"vertex": place}), {}, models=["vertex/gemini-3.8-flash"])
    assert "gcloud auth application-default login" in words(found, "key")


# ---------------------------------------------------------------- who is asked


def test_a_provider_without_a_key_is_told_where_one_belongs() -> None:
    (found,) = examine(EdgeConfig(routes={"r": {"targets": ["groq/m"]}}), {})
    assert words(found, "key") == "bad: there is none; set the variable GROQ_API_KEY, or providers.groq.api_key"
    assert found.target == ""


def test_a_variable_that_holds_no_key_is_told() -> None:
    (found,) = examine(EdgeConfig(), {"GROQ_API_KEY": CANARY + "\n"})
    assert words(found, "key").startswith("bad: providers.groq.api_key")
    assert "canary" not in str(found)


@pytest.mark.parametrize(
    "env",
    [
        {"GOOGLE_CLOUD_PROJECT": "p", "OPENAI_API_VERSION": "2024-10-21"},
        {"GOOGLE_CLOUD_PROJECT": "no/project"},
        {"AWS_REGION": "us-east-1"},
        {"AWS_REGION": "nowhere at all"},
        {"AWS_REGION": "us-east-1", "AWS_PROFILE": "work"},
        {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": CANARY},
        {"AZURE_OPENAI_ENDPOINT": "nonsense"},
    ],
    ids=str,
)
def test_variables_that_are_no_key_of_a_model_ask_for_nobody(env: dict[str, str]) -> None:
    assert examine(EdgeConfig(), env) == []


def test_a_key_beside_a_variable_that_cannot_be_used_is_told() -> None:
    (found,) = examine(EdgeConfig(), {"AWS_BEARER_TOKEN_BEDROCK": CANARY, "AWS_REGION": "nowhere at all"})
    assert words(found, "key").startswith("bad: providers.bedrock.region")
    assert "canary" not in str(found)


PLACES: dict[str, Any] = {
    "anthropic": ({"api_key": CANARY}, "claude-haiku-4-5"),
    "gemini": ({"api_key": CANARY}, "gemini-3.8-flash"),
    "azure": ({"api_key": CANARY}, "my-gpt"),
    "azure-anthropic": ({"api_key": CANARY}, "claude-haiku-4-5"),
    "vertex": ({"project": "p", "headers": {"authorization": f"Bearer {CANARY}"}}, "gemini-3.8-flash"),
    "bedrock": ({"api_key": CANARY, "region": "us-east-1"}, "us.amazon.nova-micro-v1:0"),
}


def found_at(provider: Provider, kind: str) -> Checkup:
    place, model = PLACES[kind]
    config = EdgeConfig(providers={kind: {"base_url": provider.url, **place}})
    (found,) = examine(config, {}, models=[f"{kind}/{model}"])
    return found


@pytest.mark.parametrize("kind", PLACES)
def test_every_kind_of_provider_is_looked_at_in_its_own_format(provider: Provider, kind: str) -> None:
    provider.script(stream("o", "k"))
    found = found_at(provider, kind)
    assert found.well
    assert words(found, "key").endswith("is taken")
    assert "events, the first after" in words(found, "streaming")
    assert provider.asked(1)[0].streamed


@pytest.mark.parametrize("kind", PLACES)
@pytest.mark.parametrize(("code", "check"), [(401, "key"), (404, "model"), (503, "network")])
def test_what_is_wrong_is_told_for_every_kind_of_provider(provider: Provider, kind: str, code: int, check: str) -> None:
    provider.script(status(code, message="it is so"))
    found = found_at(provider, kind)
    assert words(found, check).startswith("bad: ")
    assert "canary" not in str(found)


def test_a_signature_that_a_wrong_clock_spoils_is_told_with_the_clock(provider: Provider) -> None:
    late = json_body({"message": "Signature expired: 20261121T000000Z is now earlier than …"}, status=403)
    date = formatdate(FakeClock().time() + 3600, usegmt=True)
    provider.script(late.headers({"date": date, "x-amzn-errortype": "InvalidSignatureException"}))
    place = {
        "base_url": provider.url,
        "region": "us-east-1",
        "access_key_id": "AKIDEXAMPLE",
        "secret_access_key": CANARY,
    }
    config = EdgeConfig(providers={"bedrock": place})
    (found,) = examine(config, {}, models=["bedrock/us.amazon.nova-micro-v1:0"], clock=FakeClock())
    assert words(found, "key").startswith("bad: the token is not taken (403): Signature expired")
    assert words(found, "clock").startswith("bad: this machine's is 3599 s behind the provider's; set it")


def test_a_setting_of_a_cloud_that_cannot_work_is_told_where_it_is_asked_for() -> None:
    (found,) = examine(EdgeConfig(), {"AZURE_OPENAI_API_KEY": CANARY})
    assert words(found, "key").startswith("bad: providers.azure has no address")


def test_where_nobody_names_a_model_the_rest_is_looked_at(provider: Provider) -> None:
    config = EdgeConfig(providers={"local": {"kind": "openai", "base_url": f"{provider.url}/v1"}})
    provider.script(status(404, message="no such model"), answer("any name will do"))
    (found,) = examine(config, {})
    assert found.well
    assert words(found, "model").endswith("name one: llm-edge doctor --model local/NAME")
    (again,) = examine(config, {})
    assert words(again, "model") == "note: no route names one; whatever name is asked for is answered"


def test_routes_say_what_is_asked_for_and_every_asks_for_all(provider: Provider) -> None:
    config = EdgeConfig(
        providers={"p": {"base_url": f"{provider.url}/v1"}},
        routes={"r": {"targets": ["p/one", "p/two"]}, "s": {"targets": ["p/one", "p/three"]}},
        limits={"global": {"requests_per_minute": 1}},
    )
    assert [found.target for found in examine(config, {})] == ["p/one"]
    assert [found.target for found in examine(config, {}, every=True)] == ["p/one", "p/two", "p/three"]
    assert [found.target for found in examine(config, {}, models=["p/four"])] == ["p/four"]


# ---------------------------------------------------------------- the command


@pytest.fixture
def file(tmp_path: Path, provider: Provider) -> Path:
    file = tmp_path / "edge.toml"
    file.write_text(
        f'[providers.p]\nbase_url = "{provider.url}/v1"\napi_key = "{CANARY}"\n[routes]\nr.targets = "p/m"\n'
    )
    return file


def test_the_command_prints_what_was_found_and_ends_with_0(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(file)], {}) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert "p/m  http://127.0.0.1:" in printed.out
    assert "  key        ok     the key is taken" in printed.out
    assert printed.out.endswith("All well: 1 asked.\n")


def test_the_command_ends_with_1_when_one_is_ill(
    file: Path, provider: Provider, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.script(status(401))
    assert main(["doctor", str(file)], {}) == 1
    printed = capsys.readouterr().out
    assert "  key        WRONG  the key is not taken (401)" in printed
    assert printed.endswith("1 of 1 not well: p/m\n")
    assert "canary" not in printed


def test_the_command_speaks_json(file: Path, provider: Provider, capsys: pytest.CaptureFixture[str]) -> None:
    provider.script(status(401))
    assert main(["doctor", str(file), "--json"], {}) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["well"] is False
    (one,) = told["providers"]
    assert (one["provider"], one["target"], one["well"]) == ("p", "p/m", False)
    assert {(each["check"], each["outcome"]) for each in one["findings"]} >= {("key", "bad")}


def test_with_nothing_to_ask_the_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"], {}) == 1
    assert "no variable holds a key" in capsys.readouterr().out


def test_the_file_of_the_folder_is_taken(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(file.parent)
    assert main(["doctor", "--provider", "p"], {}) == 0
    assert "p/m" in capsys.readouterr().out


def test_a_provider_nobody_knows_ends_with_2(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(file), "--provider", "q"], {}) == 2
    assert "there is no provider 'q'; known here: p" in capsys.readouterr().err
