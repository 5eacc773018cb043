"""Throw-away certificates for TLS on loopback. Needs the `cryptography` package, in tests only."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey


class Certificates:
    """
    A certificate authority of one's own, with a certificate for a server and one for a client.

    Made in `folder`: `ca.pem`, `server.pem` and `client.pem`, the last two with their keys. The
    server's is good for `localhost`, 127.0.0.1 and ::1. Raises ImportError when `cryptography`
    is not installed.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.ca_file = folder / "ca.pem"
        self.server_file = folder / "server.pem"
        self.client_file = folder / "client.pem"
        authority = _issue("scripted CA", self.ca_file, None)
        _issue("localhost", self.server_file, authority)
        _issue("scripted client", self.client_file, authority)

    def server_context(self, *, ask_client: bool = False) -> ssl.SSLContext:
        """For `provider.serve(tls=…)`; with `ask_client` only clients with our certificate get in."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.server_file)
        if ask_client:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca_file)
        return context

    def client_context(self, *, certificate: bool = False) -> ssl.SSLContext:
        """For `httpx2.Client(verify=…)`: trusts our authority, and shows the client's certificate if asked to."""
        context = ssl.create_default_context(cafile=str(self.ca_file))
        if certificate:
            context.load_cert_chain(self.client_file)
        return context


_Issued = tuple["x509.Certificate", "EllipticCurvePrivateKey"]


def _issue(name: str, file: Path, authority: _Issued | None) -> _Issued:
    """Make one certificate, signed by the authority or by itself, and write it with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    issuer, signer = (authority[0].subject, authority[1]) if authority else (subject, key)
    now = datetime.datetime.now(datetime.UTC)
    loopback = [x509.IPAddress(ipaddress.ip_address(address)) for address in ("127.0.0.1", "::1")]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(_usage(signs_others=authority is None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost"), *loopback]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
    form = serialization.Encoding.PEM
    secret = key.private_bytes(form, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file.touch(mode=0o600)
    # The authority's key is needed no longer than this; it is not written down.
    file.write_bytes(certificate.public_bytes(form) + (secret if authority else b""))
    return certificate, key


def _usage(*, signs_others: bool) -> x509.KeyUsage:
    """What the key is for. From Python 3.13 on, an authority that does not say so is not trusted."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_others,
        crl_sign=signs_others,
        encipher_only=False,
        decipher_only=False,
    )
