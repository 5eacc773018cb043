"""
Every provider's public address, played on loopback, so that an example can be run as a reader would run it.

A proxy takes each `CONNECT host:443` to one scripted server, whose certificate is good for all the hosts in the
table of providers. An example is told of both by the variables any HTTP library honours: HTTPS_PROXY and SSL_CERT_FILE.
"""

from __future__ import annotations

import contextlib
import datetime
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from llm_edge.providers.table import ROWS
from llm_edge.testing.provider import Provider

HOSTS = sorted({urlsplit(row.base_url).hostname or "" for row in ROWS.values()})


@contextlib.contextmanager
def loopback_internet(provider: Provider, folder: Path) -> Iterator[dict[str, str]]:
    """The variables under which all providers' addresses lead to this scripted one."""
    authority, server = folder / "ca.pem", folder / "server.pem"
    _certificates(authority, server)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(server)
    with provider.serve(tls=tls) as served, _Proxy(served.port) as proxy:
        yield {
            "HTTPS_PROXY": proxy.url,
            "ALL_PROXY": proxy.url,
            "NO_PROXY": "127.0.0.1",
            "SSL_CERT_FILE": str(authority),
        }


class _Proxy(socketserver.ThreadingTCPServer):
    """Takes every tunnel to one port of this machine."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Tunnel)
        self.leads_to = port
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *args: object) -> None:
        self.shutdown()
        self.thread.join()
        self.server_close()


class _Tunnel(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        asked = b""
        while not asked.endswith(b"\r\n\r\n"):
            if not (data := self.request.recv(65536)):
                return
            asked += data
        assert isinstance(self.server, _Proxy)
        with socket.create_connection(("127.0.0.1", self.server.leads_to)) as there:
            self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_pump, args=(there, self.request), daemon=True)
            back.start()
            _pump(self.request, there)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):  # either end may be gone
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


def _certificates(authority: Path, server: Path) -> None:
    root = ec.generate_private_key(ec.SECP256R1())
    issued = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback internet")])
    names = x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS])
    leaf = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOSTS[0])])
    top = _builder(name, name, root.public_key()).add_extension(_usage(signs=True), critical=True)
    top = top.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    below = _builder(leaf, name, issued.public_key()).add_extension(names, critical=False)
    identity = x509.AuthorityKeyIdentifier.from_issuer_public_key(root.public_key())
    below = below.add_extension(identity, critical=False).add_extension(_usage(signs=False), critical=True)
    pem = serialization.Encoding.PEM
    key = issued.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    authority.write_bytes(top.sign(root, hashes.SHA256()).public_bytes(pem))
    server.write_bytes(below.sign(root, hashes.SHA256()).public_bytes(pem) + key)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    made = made.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=30))
    return made.serial_number(x509.random_serial_number())


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip
