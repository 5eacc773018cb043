"""Pictures named by addresses, for providers that fetch none: fetched with care, or refused in words."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge import EdgeClient
from llm_edge.errors import InvalidRequest
from llm_edge.http.fetching import LARGEST, STEPS
from llm_edge.http.senders.names import all_public
from llm_edge.providers.base import Target
from llm_edge.providers.pictures import Picture, brought, kind_of, named, takes_data_alone
from llm_edge.testing import Provider, answer

from .conftest import Colour

Edges = Callable[..., EdgeClient]
PNG = b"\x89PNG\r\n\x1a\n" + b"the rest of a picture"
AS_DATA = "data:image/png;base64," + base64.b64encode(PNG).decode()
ADDRESS = "https://pictures.test/cat.png?signature=hidden"


class Gallery(ThreadingHTTPServer):
    """A server of pictures, good and bad."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.over = threading.Event()
        super().__init__(("127.0.0.1", 0), _Visit)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def at(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class _Visit(BaseHTTPRequestHandler):
    server: Gallery

    def do_GET(self) -> None:
        path = self.path.lstrip("/")
        self.server.asked.append(path)
        moved, _, to = path.partition("-to-")
        body = {"cat": PNG, "note": b"<html>no picture</html>", "huge": b"x" * (LARGEST + 1)}.get(path, b"")
        if path == "silent":
            self.server.over.wait(20)
        self.send_response(302 if moved == "moved" else 200 if body else 404)
        self.send_header("content-length", str(len(body)))
        if moved == "moved":
            self.send_header("location", "http://[no-address" if to == "nowhere" else f"/{to}")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...  # as the base class calls it


@pytest.fixture
def gallery() -> Iterator[Gallery]:
    server = Gallery()
    yield server
    server.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def make(edges: Edges, provider: Provider) -> Callable[..., EdgeClient]:
    places = {
        "local": {"kind": "ollama", "base_url": f"{provider.url}/v1"},
        "gpt": {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"},
    }

    def made(pictures: str = "any", **sections: Any) -> EdgeClient:
        return edges(providers=places, http={"pictures": pictures}, **sections)

    return made


def shown(*addresses: str) -> list[dict[str, Any]]:
    parts = [{"type": "image_url", "image_url": {"url": address, "detail": "low"}} for address in addresses]
    return [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, *parts]}]


def test_30_a_picture_is_brought_along_where_nobody_fetches_it(
    colour: Colour, make: Any, provider: Provider, gallery: Gallery
) -> None:
    provider.script(answer("A cat."))
    reply = colour.chat(make(), "local/llava", shown(gallery.at("cat"), gallery.at("cat"), gallery.at("moved-to-cat")))
    assert reply.text == "A cat."
    parts = provider.last.json["messages"][0]["content"]
    assert [part["image_url"] for part in parts[1:]] == [{"url": AS_DATA, "detail": "low"}] * 3
    assert gallery.asked == ["cat", "moved-to-cat", "cat"]
    (event,) = [each for each in reply.explain()["events"] if each["layer"] == "pictures"]
    assert (event["fetched"], event["bytes"]) == (2, 2 * len(PNG))


def test_an_anthropic_sdks_picture_is_brought_too(
    colour: Colour, make: Any, provider: Provider, gallery: Gallery
) -> None:
    import anthropic

    provider.script(answer("A cat."))
    kind: Any = anthropic.Anthropic if colour.name == "sync" else anthropic.AsyncAnthropic
    client = kind(api_key="k", base_url="http://127.0.0.1:9", http_client=colour.http_client(make()))
    colour.opened.append(client)
    picture = {"type": "image", "source": {"type": "url", "url": gallery.at("cat")}}
    asked = [{"role": "user", "content": [picture, {"type": "text", "text": "What is it?"}]}]
    said = colour.finish(client.messages.create(model="local/llava", max_tokens=9, messages=asked))
    assert said.content[0].text == "A cat."
    assert AS_DATA in provider.last.body.decode()


def test_who_fetches_by_itself_gets_the_address(
    colour: Colour, make: Any, provider: Provider, gallery: Gallery
) -> None:
    provider.script(answer("A cat."))
    colour.chat(make(), "gpt/m", shown(gallery.at("cat")))
    assert gallery.at("cat") in provider.last.body.decode()
    assert gallery.asked == []


HERE = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"]


@pytest.mark.parametrize("host", HERE)
def test_nothing_is_fetched_from_the_network_around_this_process(
    colour: Colour, make: Any, provider: Provider, gallery: Gallery, host: str
) -> None:
    address = gallery.at("cat").replace("127.0.0.1", host)
    with pytest.raises(InvalidRequest, match="public internet"):
        colour.chat(make("public"), "local/llava", shown(address))
    assert gallery.asked == []
    provider.asked(0)


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("missing", "answered 404"),
        ("note", "no PNG, JPEG, GIF or WebP"),
        ("huge", "holds more than"),
        ("moved-to-" * (STEPS + 1) + "cat", "led on and on"),
        ("moved-to-nowhere", "no address"),
    ],
)
def test_what_is_no_picture_is_refused_in_words(
    colour: Colour, make: Any, provider: Provider, gallery: Gallery, path: str, why: str
) -> None:
    edge = make()
    with pytest.raises(InvalidRequest, match=why) as caught:
        colour.chat(edge, "local/llava", shown(f"{gallery.at(path)}"))
    assert path not in str(caught.value)  # an address may hold a secret
    provider.asked(0)
    assert set(edge.breakers.values()) <= {"closed"}


def test_a_conversation_nested_deeply_is_passed_on(colour: Colour, make: Any, provider: Provider) -> None:
    provider.script(answer("Deep."))
    content: Any = "x"
    for _ in range(600):
        content = [content]
    colour.chat(make(), "local/llava", [{"role": "user", "content": content}])
    provider.asked(1)


def test_a_server_that_says_nothing_costs_no_more_than_the_call_may_take(
    colour: Colour, make: Any, gallery: Gallery
) -> None:
    began = time.monotonic()
    with pytest.raises(InvalidRequest, match=r"did not answer in time|took longer"):
        colour.chat(make(deadline={"chat": 0.3}), "local/llava", shown(gallery.at("silent")))
    assert time.monotonic() - began < 15  # it is silent for 20 s: a bound on behaviour, not on speed


def test_a_picture_that_cannot_be_had_goes_to_who_fetches_by_itself(
    colour: Colour, make: Any, provider: Provider, gallery: Gallery
) -> None:
    provider.script(answer("A cat."))
    edge = make(routes={"eyes": {"targets": ["local/llava", "gpt/m"]}})
    reply = colour.chat(edge, "eyes", shown(gallery.at("missing")))
    assert reply.target == "gpt/m"


def test_switched_off_nothing_is_fetched(colour: Colour, make: Any, provider: Provider, gallery: Gallery) -> None:
    provider.script(answer("?"))
    colour.chat(make("off"), "local/llava", shown(gallery.at("cat")))
    assert gallery.asked == []


# ---------------------------------------------------------------- the parts of it


FORMS: dict[str, tuple[Any, Any]] = {
    "chat": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": ADDRESS}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": AS_DATA}}]}]},
    ),
    "responses": (
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": ADDRESS}]}]},
        {"input": [{"role": "user", "content": [{"type": "input_image", "image_url": AS_DATA}]}]},
    ),
    "anthropic, in a tool's result": (
        {"messages": [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [
                {"type": "image", "source": {"type": "url", "url": ADDRESS}, "cache_control": {"type": "ephemeral"}}
            ]}
        ]}]},
        {"messages": [{"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "1", "content": [
                {
                    "type": "image", "cache_control": {"type": "ephemeral"},
                    "source": {"type": "base64", "media_type": "image/png", "data": AS_DATA.partition(",")[2]},
                }
            ]}
        ]}]},
    ),
    "gemini": (
        {"contents": [{"parts": [{"fileData": {"fileUri": ADDRESS, "mimeType": "image/jpeg"}}, {"text": "?"}]}]},
        {"contents": [{"parts": [
            {"inlineData": {"mimeType": "image/png", "data": AS_DATA.partition(",")[2]}}, {"text": "?"}
        ]}]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_takes_the_place_of_its_address_in_each_format(form: str) -> None:
    before, after = FORMS[form]
    assert named(before) == [ADDRESS]
    assert brought(before, {ADDRESS: Picture("image/png", AS_DATA.partition(",")[2])}) == after
    assert named(after) == []
    assert brought(before, {}) is before


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "parts", "type", "image_url", "source", "url", "text"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["messages", "input", "contents", "model"]), json))
def test_what_names_no_picture_stays_the_very_object_it_is(body: dict[str, Any]) -> None:
    assert named(body) == []
    assert brought(body, {}) is body


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (PNG, "image/png"), (b"\xff\xd8\xff\xe0", "image/jpeg"), (b"GIF89a...", "image/gif"),
        (b"RIFF1234WEBPVP8 ", "image/webp"), (b"RIFF1234WAVE", ""), (b"<svg/>", ""), (b"", ""),
    ],
)  # fmt: skip
def test_a_picture_is_what_its_first_bytes_say(raw: bytes, kind: str) -> None:
    assert kind_of(raw) == kind


@pytest.mark.parametrize(
    ("target", "alone"),
    [
        (Target(provider="bedrock", model="anthropic.claude"), True),
        (Target(provider="mine", model="m", kind="ollama"), True),
        (Target(provider="vertex", model="claude-opus-5"), True),
        (Target(provider="vertex", model="gemini-3.5-flash"), False),
        (Target(provider="openai", model="gpt-6-sol"), False),
    ],
)  # fmt: skip
def test_it_is_known_who_fetches_nothing(target: Target, alone: bool) -> None:
    assert takes_data_alone(target) is alone


@pytest.mark.parametrize(
    "address",
    [
        "10.0.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "::", "fe80::1%eth0", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1", "2002:a00:1::", "not an address",
    ],
)  # fmt: skip
def test_an_address_that_is_not_of_the_public_internet_spoils_the_name(address: str) -> None:
    assert all_public(["8.8.8.8", "2606:4700::1111"]) == ["8.8.8.8", "2606:4700::1111"]
    with pytest.raises(OSError, match="network of its own"):
        all_public(["8.8.8.8", address])
    with pytest.raises(OSError, match="network of its own"):
        all_public([])
