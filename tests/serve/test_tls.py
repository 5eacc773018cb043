"""HTTPS: which versions, which protocols, whose certificates."""

from __future__ import annotations

import datetime
import json
import shutil
import signal
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from llm_edge.config import EdgeConfig
from llm_edge.errors import ConfigError
from llm_edge.serve.run import check
from llm_edge.testing import Provider, answer
from llm_edge.testing.certificates import Certificates

from .conftest import toml
from .kit import CHAT, Process, everything, post, running, until
from .test_server import body


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def settings(certificates: Certificates, more: str = "") -> str:
    return (
        f'[serve.tls]\ncert_file = "{certificates.server_file}"\nkey_file = "{certificates.server_file}"\n{more}'
        "[breaker]\nenabled = false\n"
    )


@pytest.fixture(scope="module")
def secured(upstream: str, certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with running(tmp_path_factory.mktemp("tls"), toml(upstream, settings(certificates))) as process:
        yield process


def over_tls(process: Process, context: ssl.SSLContext, text: str) -> tuple[bytes, str | None]:
    with process.connected() as sock, context.wrap_socket(sock, server_hostname="localhost") as secure:
        secure.sendall(post(CHAT, body(text)))
        return everything(secure), secure.version()


def test_it_speaks_the_newest_tls_by_itself(secured: Process, certificates: Certificates, provider: Provider) -> None:
    provider.script(answer("Paris."))
    said, version = over_tls(secured, certificates.client_context(), "tls?")
    assert b"Paris." in said
    assert b"strict-transport-security" in said
    assert version == "TLSv1.3"


def test_it_speaks_1_2_and_nothing_older(secured: Process, certificates: Certificates, provider: Provider) -> None:
    provider.script(answer("Paris."))
    context = certificates.client_context()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    assert over_tls(secured, context, "older tls?")[1] == "TLSv1.2"


def test_http_2_is_agreed_on_in_the_handshake(secured: Process, certificates: Certificates, provider: Provider) -> None:
    provider.script(answer("Paris."))
    curl = shutil.which("curl")
    assert curl is not None, "curl is part of every test machine"
    url = f"https://localhost:{secured.port}{CHAT}"
    given = ["--http2", "--cacert", str(certificates.ca_file), "-d", body("h2?").decode(), url]
    done = subprocess.run(
        [curl, "-sS", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", *given],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout == "2 200"


def test_plain_http_gets_nothing_where_tls_is_spoken(secured: Process) -> None:
    assert b" 200 " not in secured.raw(post(CHAT, body()))


def test_callers_without_a_certificate_stay_out(
    upstream: str, certificates: Certificates, provider: Provider, tmp_path: Path
) -> None:
    provider.script(answer("Paris."))
    asks = settings(certificates, f'client_ca_file = "{certificates.ca_file}"\nminimum = "1.3"\n')
    with running(tmp_path, toml(upstream, asks)) as process:
        assert b"Paris." in over_tls(process, certificates.client_context(certificate=True), "who?")[0]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            over_tls(process, certificates.client_context(), "nobody?")
        older = certificates.client_context(certificate=True)
        older.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises((ssl.SSLError, ConnectionError)):
            over_tls(process, older, "old?")


def test_a_renewed_certificate_is_taken_at_a_reload(upstream: str, tmp_path: Path) -> None:
    """Names lead elsewhere after a renewal, as certbot and Kubernetes have it; one without its key is refused."""
    old, new = Certificates(tmp_path / "old"), Certificates(tmp_path / "new")
    name = tmp_path / "live.pem"
    name.symlink_to(old.server_file)
    asks = f'[serve.tls]\ncert_file = "{name}"\nkey_file = "{name}"\n'
    with running(tmp_path, toml(upstream, asks)) as process:
        assert _trusted(process, old)
        name.unlink()
        name.symlink_to(new.ca_file.with_name("nothing.pem"))
        new.ca_file.with_name("nothing.pem").write_text("no certificate")
        process.signal(signal.SIGHUP)
        process.printed("the old one goes on")
        name.unlink()
        name.symlink_to(new.server_file)
        process.signal(signal.SIGHUP)
        assert until(lambda: _trusted(process, new), process)


def _trusted(process: Process, certificates: Certificates) -> bool:
    try:
        with process.connected() as sock, certificates.client_context().wrap_socket(sock, server_hostname="localhost"):
            return True
    except OSError:
        return False


@pytest.fixture(scope="module")
def odd(certificates: Certificates, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that are not what they should be."""
    folder = tmp_path_factory.mktemp("odd")
    other = Certificates(folder / "other").server_file.read_text()
    (folder / "other.pem").write_text(other)
    (folder / "text.pem").write_text("nothing of the kind")
    (folder / "empty.pem").write_text("")
    key = load_pem_private_key(certificates.server_file.read_bytes(), None)
    words = BestAvailableEncryption(b"open sesame")
    (folder / "locked.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, words))
    return folder


@pytest.mark.parametrize(
    ("setting", "file", "says"),
    [
        ("key_file", "other.pem", r"key_file .*is not the key of serve\.tls\.cert_file"),
        ("key_file", "text.pem", r"key_file .*holds no key"),
        ("key_file", "locked.pem", r"key_file .*pass phrase"),
        ("cert_file", "text.pem", r"cert_file .*holds no certificate"),
        ("cert_file", "empty.pem", r"cert_file .*holds no certificate"),
        ("client_ca_file", "text.pem", r"client_ca_file .*holds no certificate"),
        ("client_ca_file", "empty.pem", r"client_ca_file .*holds no certificate"),
    ],
)
def test_files_that_tls_cannot_be_spoken_with_are_named(
    certificates: Certificates, odd: Path, setting: str, file: str, says: str
) -> None:
    """A worker that was given them would end, be replaced, and end again; who asks for a pass phrase waits for ever."""
    tls = {"cert_file": certificates.server_file, "key_file": certificates.server_file, setting: odd / file}
    with pytest.raises(ConfigError, match=says):
        check(EdgeConfig(serve={"tls": tls}))


def issued(key: Any, *, begins: int = -1, ends: int = 30) -> bytes:
    """A certificate that vouches for itself, good between these days from now, and its key, of whatever kind."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now, digest = (
        datetime.datetime.now(datetime.UTC),
        None if key.__class__.__name__.startswith("Ed") else hashes.SHA256(),
    )
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=begins)).not_valid_after(now + datetime.timedelta(days=ends))
        .sign(key, digest)
    )  # fmt: skip
    return made.public_bytes(Encoding.PEM) + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def checked(folder: Path, pem: bytes) -> None:
    file = folder / "pair.pem"
    file.write_bytes(pem)
    check(EdgeConfig(serve={"tls": {"cert_file": file, "key_file": file}}))


@pytest.mark.parametrize(
    "made",
    [
        lambda: ec.generate_private_key(ec.SECP521R1()),
        lambda: ec.generate_private_key(ec.SECP256K1()),
        ed448.Ed448PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 1024),
        lambda: rsa.generate_private_key(65537, 2560),
        lambda: rsa.generate_private_key(3, 2048),
    ],
    ids=["P-521", "secp256k1", "Ed448", "RSA 1024", "RSA 2560", "RSA of exponent 3"],
)
def test_keys_that_nobody_here_signs_with_are_refused(made: Callable[[], Any], tmp_path: Path) -> None:
    """OpenSSL takes most of them; a worker that is given one ends, is replaced, and ends again."""
    with pytest.raises(ConfigError, match=r"key_file .*of a kind that TLS is not spoken with.* P-256"):
        checked(tmp_path, issued(made()))


@pytest.mark.parametrize(
    "made",
    [
        lambda: ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate,
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["P-384", "Ed25519", "RSA 2048"],
)
def test_keys_in_use_everywhere_are_taken(made: Callable[[], Any], tmp_path: Path) -> None:
    pem = issued(made())
    checked(tmp_path, pem)
    with pytest.raises(ConfigError, match=r"cert_file .*BEGIN CERTIFICATE"):
        checked(tmp_path, pem.replace(b" CERTIFICATE-", b" TRUSTED CERTIFICATE-"))


def test_a_key_without_its_public_half_is_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    bare = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    der = ssl.PEM_cert_to_DER_cert(bare.decode().replace("EC PRIVATE KEY", "CERTIFICATE"))
    cut = bytes((0x30, 49)) + der[2:51]  # the number and the curve; the public half would follow
    pem = ssl.DER_cert_to_PEM_cert(cut).replace("CERTIFICATE", "EC PRIVATE KEY").encode()
    certificate = issued(key).partition(b"-----BEGIN PRIVATE")[0]
    with pytest.raises(ConfigError, match=r"key_file .*of a kind"):
        checked(tmp_path, certificate + pem)


def test_a_certificate_that_is_not_valid_now_is_served_and_told_of(upstream: str, tmp_path: Path) -> None:
    key, file = ec.generate_private_key(ec.SECP256R1()), tmp_path / "live.pem"
    file.write_bytes(issued(key, begins=-9, ends=-2))
    asks = f'[serve]\nauth.health = false\n[serve.tls]\ncert_file = "{file}"\nkey_file = "{file}"\n'
    with running(tmp_path, toml(upstream, asks)) as process:
        assert "live.pem has expired on 20" in process.printed("serve.tls.cert_file")
        assert until(lambda: _certificate(process)["status"] == "expired", process)
        file.write_bytes(issued(key, begins=2, ends=9))
        process.signal(signal.SIGHUP)
        process.printed("live.pem is not valid before 20")
        assert until(lambda: _certificate(process)["status"] == "not yet valid", process)
        file.write_bytes(issued(key))
        process.signal(signal.SIGHUP)
        assert until(lambda: _certificate(process)["status"] == "ok", process)
        assert _certificate(process)["until"].startswith("20")


def _certificate(process: Process) -> Any:
    """What /health says of it, to a caller who takes any."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with process.connected() as sock, context.wrap_socket(sock) as secure:
            secure.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            told = json.loads(everything(secure).partition(b"\r\n\r\n")[2])
    except (OSError, ValueError):
        return {"status": "nobody there"}  # one worker has gone, and the next is about to come
    assert (told["status"] == "ok") == (told["certificate"]["status"] == "ok")
    return told["certificate"]


def test_authorities_that_cannot_be_read_are_refused_at_a_reload(
    upstream: str, certificates: Certificates, odd: Path, tmp_path: Path
) -> None:
    more = settings(certificates, f'client_ca_file = "{certificates.ca_file}"\n')
    with running(tmp_path, toml(upstream, more)) as process:
        process.file.write_text(process.file.read_text().replace(str(certificates.ca_file), str(odd / "empty.pem")))
        process.signal(signal.SIGHUP)
        process.printed("the old one goes on")
        with process.connected() as sock:
            context = certificates.client_context(certificate=True)
            with context.wrap_socket(sock, server_hostname="localhost") as secure:
                secure.sendall(b"GET /health/live HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                assert b" 200 " in everything(secure)
