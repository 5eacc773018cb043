"""Trust, certificates and proxies: the same on all engines, and never a byte in the clear."""

from __future__ import annotations

import asyncio
import datetime
import gc
import ssl
import threading
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import CertificateRefused, ConfigError, NetworkFailed
from llm_edge.http.senders import HttpSettings, choose
from llm_edge.http.senders.proxies import bypassed, proxy_for
from llm_edge.runtime import Awaiting
from llm_edge.testing.certificates import Certificates

from .senders_kit import CHUNKED, OK, Peer, Upstream, Wires, answering, chunk, patient, post, rest, then_silent


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def trusting(certificates: Certificates) -> dict[str, str]:
    return {"ca_file": str(certificates.ca_file)}


# ---------------------------------------------------------------- TLS


def test_a_private_authority_is_trusted_when_named(
    wires: Wires, certificates: Certificates, trusting: dict[str, str]
) -> None:
    with Upstream(answering, tls=certificates.server_context()) as upstream:
        assert wires.get(wires.sender(**trusting), upstream.url)[0] == 200


def test_a_stream_over_tls_is_hung_up_on_early(
    wires: Wires, certificates: Certificates, trusting: dict[str, str]
) -> None:
    async def talk(url: str) -> None:
        answer = await send(post(url), patient(silence=5.0))
        assert await answer.source.__anext__() == b"data: 1\n\n"
        await answer.source.aclose()

    with Upstream(then_silent(CHUNKED + chunk(b"data: 1\n\n")), tls=certificates.server_context()) as upstream:
        send = wires.sender(**trusting)
        wires.run(talk(upstream.url))
        assert upstream.peers[0].gone.wait(60)


@pytest.mark.parametrize("engine", ["httpx2", "httptools"])
def test_a_loop_closed_without_warning_lets_go_of_tls_too(
    engine: Any, certificates: Certificates, trusting: dict[str, str]
) -> None:
    async def talk(url: str) -> int:
        answer = await send(post(url), patient())
        await rest(answer.source, runtime.alarm(), patient())
        await answer.source.aclose()
        return answer.status

    runtime = Awaiting()
    with Upstream(answering, tls=certificates.server_context()) as upstream:
        send = choose(HttpSettings(engine=engine, trust_env=False, **trusting))[1]  # type: ignore[arg-type]  # paths
        for _ in range(2):
            loop = asyncio.new_event_loop()
            assert loop.run_until_complete(talk(upstream.url)) == 200
            loop.close()
        assert asyncio.run(talk(upstream.url)) == 200
        gc.collect()
        assert all(peer.gone.wait(60) for peer in upstream.peers)


def test_a_certificate_nobody_vouches_for_is_refused(wires: Wires, certificates: Certificates) -> None:
    with Upstream(answering, tls=certificates.server_context()) as upstream:
        with pytest.raises(CertificateRefused) as caught:
            wires.get(wires.sender(), upstream.url)
        assert (caught.value.retryable, upstream.requests) == (False, 0)


def test_a_certificate_for_another_host_is_refused(
    wires: Wires, certificates: Certificates, trusting: dict[str, str]
) -> None:
    with Upstream(answering, tls=certificates.server_context(), host="127.0.0.2") as upstream:
        with pytest.raises(CertificateRefused):
            wires.get(wires.sender(**trusting), upstream.url.replace("localhost", "127.0.0.2"))


def test_an_expired_certificate_is_refused(wires: Wires, tmp_path: Path) -> None:
    expired = _expired(tmp_path / "expired.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(expired)
    with Upstream(answering, tls=context) as upstream, pytest.raises(CertificateRefused):
        wires.get(wires.sender(ca_file=str(expired)), upstream.url)


def _expired(file: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=9))
        .not_valid_after(now - datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    secret = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.write_bytes(certificate.public_bytes(form) + secret)
    return file


def test_a_server_that_asks_for_our_certificate_gets_it(
    wires: Wires, certificates: Certificates, trusting: dict[str, str]
) -> None:
    with Upstream(answering, tls=certificates.server_context(ask_client=True)) as upstream:
        ours = wires.sender(**trusting, cert_file=str(certificates.client_file))
        assert wires.get(ours, upstream.url)[0] == 200
        with pytest.raises(NetworkFailed):
            wires.get(wires.sender(**trusting), upstream.url)


def test_certificate_and_key_may_be_in_two_files(
    wires: Wires, certificates: Certificates, trusting: dict[str, str], tmp_path: Path
) -> None:
    text = certificates.client_file.read_text()
    cut = text.index("-----BEGIN PRIVATE KEY-----")
    (tmp_path / "cert.pem").write_text(text[:cut])
    (tmp_path / "key.pem").write_text(text[cut:])
    files = {"cert_file": str(tmp_path / "cert.pem"), "key_file": str(tmp_path / "key.pem")}
    with Upstream(answering, tls=certificates.server_context(ask_client=True)) as upstream:
        assert wires.get(wires.sender(**trusting, **files), upstream.url)[0] == 200


def test_a_tls_version_below_the_minimum_is_refused(
    wires: Wires, certificates: Certificates, trusting: dict[str, str]
) -> None:
    context = certificates.server_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with Upstream(answering, tls=context) as upstream:
        assert wires.get(wires.sender(**trusting), upstream.url)[0] == 200
        with pytest.raises(NetworkFailed) as caught:
            wires.get(wires.sender(**trusting, tls_minimum="1.3"), upstream.url)
        assert caught.value.kind == "ConnectError"


@pytest.mark.parametrize("words", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_that_speaks_no_tls_never_sees_the_request(wires: Wires, words: bytes) -> None:
    seen: list[bytes] = []

    def script(peer: Peer) -> None:
        seen.append(peer.sock.recv(65536))
        peer.send(words)

    with Upstream(script) as upstream:
        with pytest.raises(NetworkFailed) as caught:
            wires.get(wires.sender(), upstream.url.replace("http:", "https:"))
        assert caught.value.kind == "ConnectError"
    assert all(b"canary" not in data for data in seen)


@pytest.mark.parametrize("name", ["ca_file", "cert_file", "key_file"])
def test_a_file_that_is_not_there_is_said_before_any_call(name: str) -> None:
    files = {"cert_file": __file__, name: "no/such/file.pem"} if name == "key_file" else {name: "no/such/file.pem"}
    with pytest.raises(ConfigError, match=rf"http\.{name}"):
        choose(HttpSettings(**files))  # type: ignore[arg-type]  # names from the list above


@pytest.mark.parametrize("name", ["ca_file", "cert_file"])
def test_a_file_that_is_no_certificate_is_said(wires: Wires, name: str, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    with pytest.raises(ConfigError, match=rf"http\.{name}"):
        wires.get(wires.sender(**{name: str(tmp_path / "x.pem")}), "https://127.0.0.1:1/")


# ---------------------------------------------------------------- HTTP/2


class _H2:
    """Answers every request over HTTP/2 and remembers what was spoken."""

    def __init__(self) -> None:
        self.spoken: list[str | None] = []

    def __call__(self, peer: Peer) -> None:
        sock = peer.sock
        assert isinstance(sock, ssl.SSLSocket)
        self.spoken.append(sock.selected_alpn_protocol())
        if self.spoken[-1] != "h2":
            return answering(peer)
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        while True:
            try:
                sock.sendall(connection.data_to_send())
                data = sock.recv(65536)
            except OSError:  # a client may go while something is being sent to it, too
                return None
            if not data:
                return None
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.StreamEnded) and event.stream_id is not None:
                    connection.send_headers(event.stream_id, [(":status", "200"), ("content-type", "text/plain")])
                    connection.send_data(event.stream_id, b"over h2", end_stream=True)


def test_http2_is_spoken_only_when_asked_for(
    wires: Wires, certificates: Certificates, trusting: dict[str, str]
) -> None:
    context = certificates.server_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = _H2()
    with Upstream(server, tls=context) as upstream:
        plain, modern = wires.sender(**trusting), wires.sender(**trusting, http2=True)
        assert wires.get(plain, upstream.url)[2] == b'{"ok":true}'
        assert [wires.get(modern, upstream.url)[2] for _ in range(2)] == [b"over h2"] * 2
        assert wires.get(modern, upstream.url, patient(silence=5.0))[2] == b"over h2"
    assert server.spoken[:2] == ["http/1.1", "h2"]


# ---------------------------------------------------------------- proxies


class Proxy:
    """A proxy that tunnels what it is asked to and answers what it could forward."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []

    def __call__(self, peer: Peer) -> None:
        while (head := peer.request()) is not None:
            self.heads.append(head)
            if not head.startswith(b"CONNECT "):
                peer.send(OK)
                continue
            import socket

            host, _, port = head.split(b" ")[1].decode().rpartition(":")
            with socket.create_connection((host, int(port))) as behind:
                peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
                back = threading.Thread(target=_pipe, args=(behind, peer.sock), daemon=True)
                back.start()
                _pipe(peer.sock, behind)
                back.join(5)
            return


def _pipe(source: Any, target: Any) -> None:
    import contextlib
    import socket

    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


def test_a_plain_call_goes_through_the_proxy(wires: Wires) -> None:
    proxy = Proxy()
    with Upstream(proxy) as at:
        send = wires.sender(proxy=f"http://me:p%40ss@127.0.0.1:{at.port}")
        assert wires.get(send, "http://provider.invalid/v1/chat?x=1")[0] == 200
    assert proxy.heads[0].startswith(b"POST http://provider.invalid/v1/chat?x=1 HTTP/1.1\r\n")
    assert b"proxy-authorization: basic bwu6cebzcw==" in proxy.heads[0].lower()


def test_a_tls_call_is_tunnelled_and_the_proxy_sees_nothing_of_it(
    wires: Wires, certificates: Certificates, trusting: dict[str, str]
) -> None:
    proxy = Proxy()
    with Upstream(answering, tls=certificates.server_context()) as upstream, Upstream(proxy) as at:
        send = wires.sender(**trusting, proxy=f"http://me:pass@127.0.0.1:{at.port}")
        assert wires.get(send, upstream.url)[0] == 200
        wires.run(send.aclose())
        assert b"proxy-authorization" not in upstream.peers[0].heads[0].lower()
    assert proxy.heads[0].startswith(f"CONNECT localhost:{upstream.port} HTTP/1.1\r\n".encode())
    assert b"proxy-authorization: basic" in proxy.heads[0].lower()
    assert b"canary" not in proxy.heads[0]


def test_a_proxy_that_refuses_is_named_as_the_trouble(wires: Wires) -> None:
    def refusing(peer: Peer) -> None:
        peer.request()
        peer.send(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")

    with Upstream(refusing) as at:
        send = wires.sender(proxy=f"http://me:secret-canary@127.0.0.1:{at.port}")
        with pytest.raises(NetworkFailed) as caught:
            wires.get(send, "https://provider.invalid/")
    assert caught.value.kind == "ProxyError"
    assert "canary" not in str(caught.value)


def test_a_proxy_that_is_not_there_is_a_failed_connection(wires: Wires) -> None:
    with pytest.raises(NetworkFailed) as caught:
        wires.get(wires.sender(proxy="http://127.0.0.1:1"), "https://provider.invalid/")
    assert caught.value.kind in ("ConnectError", "ProxyError")


def test_the_proxy_of_the_environment_is_taken_unless_told_otherwise(
    wires: Wires, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy()
    with Upstream(proxy) as at, Upstream(answering) as upstream:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{at.port}")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        send = wires.sender(trust_env=True)
        assert wires.get(send, "http://provider.invalid/")[0] == 200
        assert wires.get(send, upstream.url)[0] == 200
        assert (len(proxy.heads), upstream.requests) == (1, 1)
        with pytest.raises(NetworkFailed):
            wires.get(wires.sender(), "http://provider.invalid/")


@pytest.mark.parametrize("proxy", ["ftp://x", "nonsense", "http://", "http://x:99999"])
def test_a_proxy_that_makes_no_sense_is_said_before_any_call(proxy: str) -> None:
    with pytest.raises(ConfigError, match=r"http\.proxy"):
        choose(HttpSettings(proxy=proxy))


def test_a_proxys_password_is_not_shown() -> None:
    settings = HttpSettings(proxy="http://me:secret-canary@127.0.0.1:1")
    assert "canary" not in repr(settings)
    with pytest.raises(ConfigError) as caught:
        choose(HttpSettings(proxy="ftp://me:secret-canary@127.0.0.1:1"))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port", "answer"),
    [
        ("", "a.example", 80, False),
        ("*", "a.example", 80, True),
        ("example", "example", 80, True),
        ("example", "a.example", 80, True),
        (".example", "a.example", 80, True),
        ("*.example", "a.example", 80, True),
        ("example", "notexample", 80, False),
        ("x, a.EXAMPLE ,y", "A.example.", 80, True),
        ("a.example:8080", "a.example", 8080, True),
        ("a.example:8080", "a.example", 80, False),
        ("10.0.0.0/8", "10.1.2.3", 80, True),
        ("10.0.0.0/8", "11.1.2.3", 80, False),
        ("::1", "[::1]", 80, True),
        ("fd00::/8", "fd00::1", 80, True),
        ("10.0.0.0/99", "10.1.2.3", 80, False),
    ],
)
def test_no_proxy_names_hosts_domains_and_networks(no_proxy: str, host: str, port: int, answer: bool) -> None:
    assert bypassed(no_proxy, host, port) is answer


def test_the_scheme_decides_between_proxies() -> None:
    named = {"http": "one:1", "all": "socks5://all:2"}
    assert proxy_for(named, "http", "a", 80) == "http://one:1"
    assert proxy_for(named, "https", "a", 443) == "socks5://all:2"
    assert proxy_for({}, "https", "a", 443) is None


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_environment_can_break_the_choice_of_a_proxy(no_proxy: str, host: str) -> None:
    assert bypassed(no_proxy, host, 443) in (True, False)
