"""What the dashboard reads: counts, stories and who may see them; and what its files are allowed to do."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies

from llm_edge import EdgeClient
from llm_edge.message import Body, Headers, Request
from llm_edge.notes import Attempt, Notes
from llm_edge.policy.sketch import Sketch
from llm_edge.runtime import FakeClock, ThreadClock
from llm_edge.serve import Sidecar
from llm_edge.serve.auth import LockedDoor
from llm_edge.serve.callers import ADMIN, CALL, OpenDoor
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import KeyStore
from llm_edge.serve.live import COARSE, FINE, SLICES, STORIES, Live
from llm_edge.serve.origins import here, own_page
from llm_edge.serve.sums import summed
from llm_edge.serve.workers import Workers
from llm_edge.testing import Provider, answer, status, stream

from .conftest import App, toml
from .kit import CHAT, question, running, until

Make = Callable[..., App]
ASSETS = Path(__file__).resolve().parents[2] / "llm_edge" / "serve" / "assets"
OURS = sorted(file.name for file in ASSETS.iterdir() if not file.name.startswith("uplot"))


# -------------------------------------------------------------------- how amounts are spread


@given(strategies.lists(strategies.floats(1e-6, 1e6), min_size=1), strategies.sampled_from([0.5, 0.95, 0.99, 1.0]))
def test_a_percentile_is_within_some_percent_of_the_true_one(amounts: list[float], share: float) -> None:
    sketch = Sketch()
    for amount in amounts:
        sketch.add(amount)
    true = sorted(amounts)[max(0, -int(-share * len(amounts) // 1) - 1)]
    (found,) = sketch.within(share)
    assert found is not None
    assert found == pytest.approx(true, rel=0.026)


@given(strategies.lists(strategies.floats(0, 1e3)), strategies.lists(strategies.floats(0, 1e3)))
def test_two_sketches_added_are_one_of_both(one: list[float], other: list[float]) -> None:
    both, parts = Sketch(), [Sketch(), Sketch()]
    for part, amounts in zip(parts, (one, other), strict=True):
        for amount in amounts:
            part.add(amount)
            both.add(amount)
    parts[0].join(parts[1].counts)
    assert parts[0].counts == both.counts
    assert parts[0].within(0.5, 0.99) == both.within(0.5, 0.99)


def test_of_nothing_there_is_no_percentile() -> None:
    assert Sketch().within(0.5, 0.99) == [None, None]


# -------------------------------------------------------------------- what is counted


def call(clock: FakeClock, live: Live, seconds: float = 0.5, *, cache: str = "MISS", code: int = 200) -> Request:
    notes = Notes(model="fast", operation="chat", started=clock.now())
    request = Request(operation="chat", dialect="openai.chat", body=Body(b"{}"), model="fast", notes=notes)
    live.begin(request)
    clock.advance(seconds)
    notes.ended, notes.status, notes.cache = clock.now(), code, cache
    if cache == "MISS":
        notes.attempts.append(Attempt("openai/x", notes.started, notes.ended, "ok" if code == 200 else "Overloaded"))
        notes.usage, notes.cost = {"prompt_tokens": 10, "completion_tokens": 5}, 2_000_000
    else:
        notes.saved = 2_000_000
    live.over(request, None)
    return request


def shown(live: Live, seconds: int, clock: FakeClock) -> dict[str, Any]:
    return summed([live.told(seconds)], seconds, clock.time())


@pytest.mark.parametrize("seconds", [FINE, COARSE])
def test_calls_money_tokens_and_times_add_up_in_both_windows(seconds: int, fake_clock: FakeClock) -> None:
    live = Live(fake_clock)
    for code, cache in ((200, "MISS"), (200, "HIT"), (503, "MISS"), (499, "MISS")):
        call(fake_clock, live, 4.0, code=code, cache=cache)
    told = shown(live, seconds, fake_clock)
    totals = told["totals"]
    assert (totals["calls"], totals["failed"], totals["hits"], totals["asked"]) == (4, 1, 1, 3)
    assert (totals["input_tokens"], totals["output_tokens"]) == (30, 15)
    assert (totals["cost_usd"], totals["saved_usd"]) == (pytest.approx(0.006), pytest.approx(0.002))
    assert totals["took_ms"]["p50"] == pytest.approx(4000, rel=0.03)
    assert sum(told["series"]["calls"]) == 4
    assert {len(column) for column in told["series"].values()} == {SLICES}
    (target,) = told["targets"]
    assert (target["target"], target["attempts"], target["failed"]) == ("openai/x", 3, 2)


def test_what_is_older_than_the_window_is_forgotten(fake_clock: FakeClock) -> None:
    live = Live(fake_clock)
    call(fake_clock, live)
    fake_clock.advance(FINE * SLICES)
    call(fake_clock, live)
    assert shown(live, FINE, fake_clock)["totals"]["calls"] == 1
    assert shown(live, COARSE, fake_clock)["totals"]["calls"] == 2
    fake_clock.advance(COARSE * SLICES)
    assert shown(live, COARSE, fake_clock)["totals"]["calls"] == 0
    for _ in range(3 * SLICES):
        call(fake_clock, live, FINE)
    assert len(live.told(FINE)["slices"]) <= SLICES


def test_under_load_calls_are_counted_and_not_all_told(fake_clock: FakeClock) -> None:
    live = Live(fake_clock)
    for _ in range(100):
        call(fake_clock, live, 0.0)
    assert shown(live, FINE, fake_clock)["totals"]["calls"] == 100
    assert len(live.told(FINE)["stories"]) == 20
    for _ in range(STORIES):
        call(fake_clock, live, 1.0)
    assert len(live.told(FINE)["stories"]) == STORIES


def test_on_a_loop_a_story_is_told_when_the_answer_is_on_its_way(fake_clock: FakeClock) -> None:
    live = Live(fake_clock)

    async def stories() -> list[int]:
        call(fake_clock, live)
        call(fake_clock, live)
        at_once = len(live.told(FINE)["stories"])
        await asyncio.sleep(0)
        return [at_once, *[story["at"] == fake_clock.time() for story in live.told(FINE)["stories"]]]

    assert asyncio.run(stories()) == [0, False, True]  # in their order; each call takes a while


def test_targets_beyond_many_are_counted_together(fake_clock: FakeClock) -> None:
    live = Live(fake_clock)
    for number in range(80):
        call(fake_clock, live, 0.0).notes.attempts[0].target = f"openai/{number}"
        request = call(fake_clock, live, 0.0, cache="HIT")
        request.notes.cache, request.notes.saved = "MISS", None
        request.notes.attempts.append(Attempt(f"openai/{number}", 0.0, 1.0, "ok"))
        live.over(request, None)
    targets = shown(live, FINE, fake_clock)["targets"]
    assert len(targets) <= 52
    assert "other" in {each["target"] for each in targets}


# -------------------------------------------------------------------- several workers


def test_workers_tell_each_other_while_somebody_looks(fake_clock: FakeClock, tmp_path: Path) -> None:
    lives = [Live(fake_clock), Live(fake_clock)]
    for live in lives:
        call(fake_clock, live)
    mine, other = Workers(lives[0], tmp_path), Workers(lives[1], tmp_path)
    other.write(tmp_path)
    assert not list(tmp_path.glob("live-*")), "nobody looks yet"
    assert len(mine.told(FINE)) == 1
    other.write(tmp_path)
    (written,) = tmp_path.glob("live-*.json")
    written.rename(tmp_path / "live-1.json")  # as another process would have called it
    told = mine.told(FINE)
    assert summed(told, FINE, fake_clock.time())["totals"]["calls"] == 2
    assert summed(told, FINE, fake_clock.time())["totals"]["took_ms"]["p50"] == pytest.approx(500, rel=0.03)
    assert summed(mine.told(COARSE), COARSE, fake_clock.time())["totals"]["calls"] == 2


def test_a_worker_that_is_gone_is_not_counted(fake_clock: FakeClock, tmp_path: Path) -> None:
    import os

    (tmp_path / "live-1.json").write_text("{}")
    os.utime(tmp_path / "live-1.json", (0, 0))
    assert len(Workers(Live(fake_clock), tmp_path).told(FINE)) == 1


# -------------------------------------------------------------------- over the app


@pytest.fixture
def locked(sidecar: Make, tmp_path: Path) -> Iterator[tuple[App, KeyStore]]:
    keys = KeyStore(KeyFile(tmp_path / "keys.db"), ThreadClock())
    yield sidecar(door=LockedDoor({}, keys, None)), keys
    keys.close()


def test_calls_show_with_their_stories(sidecar: Make, provider: Provider) -> None:
    provider.script(answer("Paris."), status(400, "no such thing"), stream("Par", "is."))
    app = sidecar()
    app("POST", CHAT, question("one?"))
    app("POST", CHAT, question("one?"))
    app("POST", CHAT, question("bad?"))
    app("POST", CHAT, question("three?", stream=True))
    live = app("GET", "/admin/live").json
    assert (live["totals"]["calls"], live["totals"]["hits"], live["totals"]["failed"]) == (4, 1, 1)
    assert [each["status"] for each in live["calls"]] == [200, 400, 200, 200]
    assert [each["cache"] for each in live["calls"]] == ["MISS", "MISS", "HIT", "MISS"]
    assert live["calls"][0]["stream"]
    assert live["health"]["status"] == "ok"
    assert live["cache"]["hits"] == 1
    story = app("GET", f"/admin/calls/{live['calls'][0]['n']}").json
    assert story["story"]["attempts"][0]["target"] == "openai/gpt-5.4-mini"
    assert story["text"].startswith("chat fast")
    assert "three?" not in str(story), "a story holds no content"
    assert app("GET", "/admin/live", query="window=21600").json["totals"]["calls"] == 4


def test_a_window_that_is_not_kept_and_a_call_that_is_forgotten_are_refused(sidecar: Make) -> None:
    app = sidecar()
    assert app("GET", "/admin/live", query="window=7").status == 400
    assert app("GET", "/admin/calls/1-1").status == 404


def test_only_who_may_admin_sees_it(locked: tuple[App, KeyStore]) -> None:
    app, keys = locked
    for path in ("/admin/live", "/admin/calls/1-1"):
        assert app("GET", path).status == 401
        caller = {"authorization": f"Bearer {keys.create('test', permissions=[CALL])[0]}"}
        assert app("GET", path, headers=caller).status == 403
    admin = {"authorization": f"Bearer {keys.create('test', permissions=[ADMIN])[0]}"}
    assert app("GET", "/admin/live", headers=admin).status == 200


def test_the_page_is_off_with_one_setting(sidecar: Make) -> None:
    app = sidecar(serve={"dashboard": False})
    assert app("GET", "/dashboard").status == 404
    assert app("GET", "/admin/live").status == 404
    assert app("GET", "/docs").status == 200
    app = sidecar(serve={"dashboard": False, "docs": False})
    assert app("GET", "/assets/page.css").status == 404


def test_the_page_may_do_nothing_but_what_it_needs(sidecar: Make) -> None:
    said = sidecar()("GET", "/dashboard")
    assert said.status == 200
    policy = said.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert said.headers["x-frame-options"] == "DENY"
    assert said.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", OURS)
def test_every_file_is_served_and_nothing_in_it_comes_from_elsewhere(name: str, sidecar: Make) -> None:
    said = sidecar()("GET", f"/assets/{name}")
    assert said.status == 200
    words = said.body.decode().replace("http://www.w3.org/2000/svg", "")
    assert not re.search(r"https?://|innerHTML|insertAdjacentHTML|document\.write|\beval\(|\son\w+=\"| style=\"", words)


@pytest.mark.parametrize("name", ["nothing.js", "..%2fapp.py", "../app.py", "", "dashboard"])
def test_no_other_file_is_served(name: str, sidecar: Make) -> None:
    assert sidecar()("GET", f"/assets/{name}").status == 404


def test_what_is_bundled_comes_with_its_licence() -> None:
    assert "MIT License" in (ASSETS / "uplot.LICENSE.txt").read_text()
    assert "uPlot" in (ASSETS / "uplot.js").read_text()[:80]


# -------------------------------------------------------------------- whose page asks


@pytest.mark.parametrize(
    ("origin", "host", "open_door", "ours"),
    [
        ("http://127.0.0.1:8080", "127.0.0.1:8080", True, True),
        ("http://[::1]:8080", "[::1]:8080", True, True),
        ("http://localhost:8080", "localhost:8080", True, True),
        ("https://edge.example.com", "edge.example.com", False, True),
        ("http://evil.example.com:8080", "evil.example.com:8080", True, False),  # led here by its name server
        ("http://127.0.0.1:3000", "127.0.0.1:8080", True, False),
        ("http://evil.example.com", "127.0.0.1:8080", False, False),
        ("null", "null", False, False),
        ("file://", "", False, False),
    ],
)
def test_which_pages_are_ours(origin: str, host: str, open_door: bool, ours: bool) -> None:
    assert own_page(origin, Headers([("host", host)]), open_door=open_door) is ours


def test_where_everybody_is_let_in_a_foreign_name_sees_nothing(sidecar: Make) -> None:
    app = sidecar()
    assert app("GET", "/admin/live", headers={"host": "evil.example.com"}).status == 403
    assert app("GET", "/admin/live", headers={"host": "[::1]:8080"}).status == 200
    assert not here(Headers())


def test_our_own_page_may_change_things_and_others_may_not(locked: tuple[App, KeyStore]) -> None:
    app, keys = locked
    admin = {"authorization": f"Bearer {keys.create('test', permissions=[ADMIN])[0]}", "host": "127.0.0.1:8080"}
    ours = {**admin, "origin": "http://127.0.0.1:8080"}
    assert app("POST", "/admin/keys", {"name": "made"}, ours).status == 201
    assert app("POST", "/admin/keys", {"name": "made"}, {**admin, "origin": "http://127.0.0.1:3000"}).status == 403


def test_a_door_and_a_clock_may_be_given(upstream: str) -> None:
    edge = EdgeClient(env={}, providers={"openai": {"api_key": "k", "base_url": f"{upstream}/v1"}})
    clock = FakeClock()
    app = Sidecar(edge, edge.config.serve, OpenDoor(), clock=clock)
    assert app.dashboard is not None
    assert app.dashboard.live.clock is clock
    edge.close()


# -------------------------------------------------------------------- answers forgotten


def test_answers_are_forgotten_by_hand_and_the_trail_says_so(locked: tuple[App, KeyStore], provider: Provider) -> None:
    app, keys = locked
    provider.script(answer("Paris."))
    text, made = keys.create("test", tenant="acme", permissions=[CALL, ADMIN])
    mine = {"authorization": f"Bearer {text}"}

    def cached() -> str:
        return app("POST", CHAT, question("kept?"), mine).headers["x-llm-edge-cache"]

    assert (cached(), cached()) == ("MISS", "HIT")
    other = app("POST", "/admin/cache/purge", {"tenant": "others"}, mine)
    assert other.json == {"purged": {"tenant": "others"}, "second_tier_told": True}
    assert cached() == "HIT"
    assert app("POST", "/admin/cache/purge", {"tenant": "acme"}, mine).status == 200
    assert cached() == "MISS"
    assert app("POST", "/admin/cache/purge", {}, mine).status == 200
    assert cached() == "MISS"
    assert app("POST", "/admin/cache/purge", {"tenant": ""}, mine).status == 400
    assert [line["what"] for line in keys.trail(3)] == ["cache.purge"] * 3
    assert keys.trail(1)[0]["who"] == made.caller().name


def test_two_workers_of_a_server_add_up(upstream: str, provider: Provider, tmp_path: Path) -> None:
    provider.script(answer("Paris."))

    def ask(path: str, body: bytes | None = None) -> Any:
        asked = urllib.request.Request(process.url + path, body, {"content-type": "application/json"})
        with urllib.request.urlopen(asked, timeout=20) as said:
            return json.loads(said.read())

    def all_told() -> bool:
        live.update(ask("/admin/live"))  # each worker hears of the others once a second
        return bool(live["workers"]["told"] == 2 and live["totals"]["calls"] == 6)

    def a_story_is_told() -> bool:
        try:
            text: str = ask(f"/admin/calls/{live['calls'][-1]['n']}")["text"]
        except urllib.error.HTTPError:
            return False  # this worker has not heard of it yet
        return text.startswith("chat fast")

    live: dict[str, Any] = {}

    with running(tmp_path, toml(upstream), "--workers", "2") as process:
        for number in range(6):
            ask(CHAT, json.dumps(question(f"shared {number}?")).encode())
        assert until(all_told)
        assert live["workers"]["all"] == 2
        assert until(a_story_is_told)
