"""`edge.cache`: counted, emptied, filled."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge import ConfigError, EdgeClient
from llm_edge.cli import main
from llm_edge.errors import InvalidRequest
from llm_edge.testing import Provider, answer
from tests.stores.kit import Ticking
from tests.stores.valkey import valkey

if TYPE_CHECKING:
    from tests.conftest import Colour

ASK = {"model": "p/m", "messages": [{"role": "user", "content": "Hi"}]}


@pytest.fixture
def edge(edges: Callable[..., EdgeClient], provider: Provider) -> EdgeClient:
    provider.script(answer("Hello"))
    return edges(providers={"p": {"kind": "openai", "base_url": f"{provider.url}/v1"}})


def clear(colour: Colour, edge: EdgeClient, **named: str) -> bool:
    done: bool = colour.finish((edge.cache.clear if colour.name == "sync" else edge.cache.aclear)(**named))
    return done


def test_what_happened_is_counted(colour: Colour, edge: EdgeClient) -> None:
    for question in ("a", "b", "a", "a"):
        colour.chat(edge, "p/m", question)
    report = edge.cache.stats()
    assert (report.hits, report.misses, report.coalesced, report.stale, report.entries) == (2, 2, 0, 0, 2)
    assert report.bytes > 0
    assert report.saved_seconds > 0
    assert report.second is None


@pytest.mark.parametrize(
    ("named", "left"),
    [({}, []), ({"tenant": "ada"}, ["bob", "n"]), ({"namespace": "n"}, ["ada", "bob"]), ({"model": "p/m"}, []),
     ({"model": "other"}, ["ada", "bob", "n"]), ({"tenant": "ada", "namespace": "n"}, ["ada", "bob", "n"])],
)  # fmt: skip
def test_what_is_named_is_forgotten_and_nothing_else(
    colour: Colour, edge: EdgeClient, named: dict[str, str], left: list[str]
) -> None:
    kinds: dict[str, Any] = {"ada": {"tenant": "ada"}, "bob": {"tenant": "bob"}, "n": {"namespace": "n"}}
    for asked in kinds.values():
        colour.chat(edge, "p/m", "Hi", edge=asked)
    assert clear(colour, edge, **named)
    again = {name: colour.chat(edge, "p/m", "Hi", edge=asked).cache for name, asked in kinds.items()}
    assert [name for name, status in again.items() if status == "HIT"] == left


def test_of_the_questions_too_nothing_is_left(colour: Colour, edge: EdgeClient) -> None:
    for _ in range(3):
        colour.chat(edge, "p/m", "my secret question")
    sights = edge._house.answers.sights  # pyright: ignore[reportPrivateUsage]  # no caller can see them
    assert len(sights) == 1
    assert clear(colour, edge)
    assert len(sights) == 0


def test_one_key_is_forgotten(colour: Colour, edge: EdgeClient) -> None:
    key = colour.chat(edge, "p/m", "Hi").explain()["cache"]["key"]
    colour.chat(edge, "p/m", "Ho")
    assert clear(colour, edge, key=key)
    assert [colour.chat(edge, "p/m", question).cache for question in ("Hi", "Ho")] == ["MISS", "HIT"]


def test_a_clock_that_was_set_back_keeps_nothing_from_being_forgotten(
    colour: Colour, edges: Callable[..., EdgeClient], provider: Provider
) -> None:
    provider.script(answer("Hello"))
    clock = Ticking()
    edge = edges(providers={"p": {"kind": "openai", "base_url": f"{provider.url}/v1"}}, clock=clock)
    colour.chat(edge, "p/m", "Hi", edge={"tenant": "ada"})
    clock._offset -= 3600.0  # pyright: ignore[reportPrivateUsage]
    assert clear(colour, edge, tenant="ada")
    assert colour.chat(edge, "p/m", "Hi", edge={"tenant": "ada"}).cache == "MISS"


def test_requests_asked_beforehand_are_hits(colour: Colour, edge: EdgeClient) -> None:
    warm = edge.cache.warm if colour.name == "sync" else edge.cache.awarm
    assert colour.finish(warm([ASK])) == (1, 0)
    assert colour.chat(edge, "p/m", "Hi").cache == "HIT"


def test_a_second_tier_is_counted_and_emptied_too(colour: Colour, provider: Provider, tmp_path: Path) -> None:
    provider.script(answer("Hello"))
    place = {"kind": "openai", "base_url": f"{provider.url}/v1"}
    edge = EdgeClient(providers={"p": place}, cache={"disk": {"directory": str(tmp_path / "kept")}}, env={})
    colour.chat(edge, "p/m", "Hi")
    clear(colour, edge)
    assert colour.chat(edge, "p/m", "Hi").cache == "MISS"
    second = edge.cache.stats().second
    assert second is not None
    assert second["hits"] == 0
    colour.close(edge)


def test_litellms_cache_keyword_is_understood_by_a_direct_call(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    assert colour.chat(edge, "p/m", "Hi").cache == "MISS"
    assert colour.chat(edge, "p/m", "Hi", cache={"no-cache": True}).cache == "MISS"
    assert "cache" not in provider.last.json
    assert colour.chat(edge, "p/m", "Hi", cache={"namespace": "b"}).cache == "MISS"
    assert colour.chat(edge, "p/m", "Hi").cache == "HIT"


# ---- carried elsewhere, and looked into from the command line


def settings(provider: Provider, folder: Path, **more: str) -> str:
    place = f'[providers.p]\nkind = "openai"\nbase_url = "{provider.url}/v1"\napi_key = "sk-test"\n'
    cache = "".join(f'{name} = "{value}"\n' for name, value in more.items())
    file = folder.with_suffix(".toml")
    file.write_text(f'{place}[cache]\n{cache}[cache.disk]\ndirectory = "{folder}"\n')
    return str(file)


def patient(edge: EdgeClient) -> EdgeClient:
    """A busy machine may need longer for the disk than a call would wait."""
    second: Any = edge._house.answers.second  # pyright: ignore[reportPrivateUsage]
    second._shelf._patience = 20.0
    return edge


def test_a_pipe_or_a_link_that_answers_are_written_to_stays_what_it_is(provider: Provider, tmp_path: Path) -> None:
    """`export /dev/stdout`: whoever may replace a device must not."""
    provider.script(answer("Hello"))
    file = settings(provider, tmp_path / "one", secret="0123456789abcdef" * 2)
    with EdgeClient.from_file(file, {}) as edge:
        edge.chat("p/m", "a")
    pipe, link, copy = tmp_path / "pipe", tmp_path / "link", tmp_path / "copy"
    os.mkfifo(pipe)
    copy.touch()
    link.symlink_to(copy)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with EdgeClient.from_file(file, {}) as edge:
            assert (edge.cache.export(pipe), edge.cache.export(link)) == (1, 1)
        assert os.read(reader, 2**16) == copy.read_bytes() != b""
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert link.is_symlink()


def test_answers_are_carried_to_another_machine(provider: Provider, tmp_path: Path) -> None:
    provider.script(answer("Hello"))
    files = [settings(provider, tmp_path / name, secret="0123456789abcdef" * 2) for name in ("one", "other")]
    with EdgeClient.from_file(files[0], {}) as edge:
        for question in ("a", "b"):
            edge.chat("p/m", question)
        edge.chat("p/m", "c", edge={"tenant": "ada"})
        edge.cache.clear(tenant="ada")
    with EdgeClient.from_file(files[0], {}) as edge:
        assert edge.cache.export(tmp_path / "answers") == 2
    assert (tmp_path / "answers").stat().st_mode & 0o777 == 0o600
    with patient(EdgeClient.from_file(files[1], {})) as edge:
        assert edge.cache.load(tmp_path / "answers") == 2
        assert [edge.chat("p/m", question).cache for question in ("a", "b", "c")] == ["HIT", "HIT", "MISS"]
    memory = EdgeClient(cache={"secret": "0123456789abcdef" * 2}, env={})
    with memory:
        assert memory.cache.load(tmp_path / "answers") == 2
        assert memory.cache.stats().entries == 2


@pytest.mark.parametrize("spoilt", ["another secret", "a changed byte", "no entry", "another key"])
def test_what_is_not_sound_is_not_taken_in(provider: Provider, tmp_path: Path, spoilt: str) -> None:
    provider.script(answer("Hello"))
    with EdgeClient.from_file(settings(provider, tmp_path / "one", secret="0123456789abcdef" * 2), {}) as edge:
        edge.chat("p/m", "a")
    with EdgeClient.from_file(settings(provider, tmp_path / "one", secret="0123456789abcdef" * 2), {}) as edge:
        edge.cache.export(tmp_path / "answers")
    line = (tmp_path / "answers").read_bytes()
    half = len(line) // 2
    if spoilt == "a changed byte":
        line = line[:half] + (b"A" if line[half : half + 1] != b"A" else b"B") + line[half + 1 :]
    elif spoilt == "no entry":
        line = b"nothing of the kind"
    elif spoilt == "another key":
        line = b"0" * 64 + line[64:]
    (tmp_path / "answers").write_bytes(line)
    secret = ("fedcba9876543210" if spoilt == "another secret" else "0123456789abcdef") * 2
    with EdgeClient(cache={"secret": secret}, env={}) as edge, pytest.raises(InvalidRequest, match="line 1"):
        edge.cache.load(tmp_path / "answers")


def test_a_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with EdgeClient(env={}, cache={"disk": {"directory": str(tmp_path / "kept")}}) as edge:
        with pytest.raises(ConfigError, match="nowhere"):
            edge.cache.load(tmp_path / "nowhere")
        with pytest.raises(ConfigError, match="nowhere"):
            edge.cache.export(tmp_path / "nowhere" / "file")
    with EdgeClient(env={}) as edge, pytest.raises(ConfigError, match="second tier"):
        edge.cache.export(tmp_path / "answers")


def test_the_command_fills_tells_copies_and_empties(
    provider: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    provider.script(answer("Hello"))
    file, requests, copy = settings(provider, tmp_path / "kept"), tmp_path / "requests", str(tmp_path / "copy")
    requests.write_text("".join(json.dumps({**ASK, "seed": seed}) + "\n" for seed in range(3)))

    def does(*words: str) -> str:
        assert main(["cache", "--config", file, *words], {}) == 0
        printed = capsys.readouterr()
        return printed.out + printed.err

    assert "3 answered, 0 failed" in does("warm", str(requests), "--quiet")
    assert json.loads(does("stats", "--json"))["models"] == {"p/m": 3}
    assert main(["cache", "stats", "--config", file], {}) == 0
    assert "3 answers" in capsys.readouterr().out
    assert "3 answers" in does("stats")
    assert does("export", copy) == "3 answers written\n"
    assert does("import", copy) == "3 answers taken in\n"
    assert does("clear", "--model", "p/m") == ""
    assert json.loads(does("stats", "--json"))["entries"] == 0
    assert does("import", copy) == "0 answers taken in\n"  # what was purged stays so


def test_the_command_needs_a_second_tier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "stats"], {}) == 2
    assert "cache.disk" in capsys.readouterr().err


def test_a_store_that_takes_nothing_in_is_told_of(
    provider: Provider, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What could not be forgotten or taken in is never said to be."""
    provider.script(answer("Hello"))
    secret, copy, file = "0123456789abcdef" * 2, str(tmp_path / "copy"), tmp_path / "edge.toml"
    with EdgeClient.from_file(settings(provider, tmp_path / "one", secret=secret), {}) as edge:
        key = edge.chat("p/m", "a").explain()["cache"]["key"]
    with EdgeClient.from_file(settings(provider, tmp_path / "one", secret=secret), {}) as edge:
        assert edge.cache.export(copy) == 1
    with valkey() as server:
        file.write_text(f'[cache]\nsecret = "{secret}"\n[cache.redis]\nurl = "{server.url}"\n')
        raw = server.client()
        raw.config_set("maxmemory-policy", "noeviction")
        raw.config_set("maxmemory", 1)
        assert main(["cache", "--config", str(file), "import", copy], {}) == 2
        assert "did not take in 1 of 1 answers" in capsys.readouterr().err
        raw.config_set("maxmemory", 0)
        assert main(["cache", "--config", str(file), "import", copy], {}) == 0
        assert main(["cache", "--config", str(file), "clear", "--key", key], {}) == 0
    assert main(["cache", "--config", str(file), "clear", "--key", key], {}) == 1
    assert "nothing was forgotten" in capsys.readouterr().err


def test_a_store_that_is_far_away_is_read_all_the_same(provider: Provider, tmp_path: Path) -> None:
    """A call gives up on it after 50 ms. Nobody's call waits for who carries answers from one store to another."""
    provider.script(answer("Hello"))
    secret, copy = "0123456789abcdef" * 2, str(tmp_path / "copy")
    with EdgeClient.from_file(settings(provider, tmp_path / "one", secret=secret), {}) as edge:
        edge.chat("p/m", "a")
    with EdgeClient.from_file(settings(provider, tmp_path / "one", secret=secret), {}) as edge:
        assert edge.cache.export(copy) == 1
    with valkey() as server, EdgeClient(env={}, cache={"secret": secret, "redis": {"url": server.url}}) as edge:
        server.client().client_pause(300)
        assert edge.cache.load(copy) == 1
        server.client().client_pause(300)
        assert edge.cache.export(copy) == 1
