"""
The sidecar's certificates, looked at before workers use them: what one cannot use ends it, again and again.

OpenSSL reads more than rustls, which speaks TLS here: other curves, other sizes, keys without their public half. So
each file is read the way OpenSSL does, and then held against what rustls can sign with.
"""

from __future__ import annotations

import base64
import logging
import os
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

from ..config import EdgeConfig, ServeTlsConfig
from ..errors import ConfigError

log = logging.getLogger("llm_edge.serve")

_CERTIFICATE = re.compile(rb"^-----BEGIN CERTIFICATE-----.*?^-----END CERTIFICATE-----", re.DOTALL | re.MULTILINE)
_KEY = re.compile(rb"^-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----.*?^-----END \1-----", re.DOTALL | re.MULTILINE)
_RSA_SIZES = (2048, 3072, 4096)
_PSS = bytes.fromhex("2a864886f70d01010a")
_CURVES = {"secp256r1": bytes.fromhex("2a8648ce3d030107"), "secp384r1": bytes.fromhex("2b81040022")}
"""Curves, and how a key names the one it is on: some write out its numbers instead, which is not read here."""


@dataclass(frozen=True, slots=True)
class Lifetime:
    """From when to when a certificate is good, in seconds since 1970."""

    begins: float
    ends: float

    def state(self, now: float) -> str:
        """`ok`, `expired` or `not yet valid`."""
        return "not yet valid" if now < self.begins else "expired" if now > self.ends else "ok"

    @property
    def until(self) -> str:
        return _date(self.ends)


def lifetime(tls: ServeTlsConfig) -> Lifetime | None:
    """Of the certificate that callers are shown; nothing where there is none, or none that says so."""
    from cryptography import x509

    try:
        found = tls.cert_file and _CERTIFICATE.search(tls.cert_file.read_bytes())
        if not found:
            return None
        shown = x509.load_pem_x509_certificate(found[0])
        return Lifetime(shown.not_valid_before_utc.timestamp(), shown.not_valid_after_utc.timestamp())
    except (OSError, ValueError):
        return None


def warn(tls: ServeTlsConfig) -> None:
    """Say so where callers will refuse the certificate. It is served all the same: a new one may be on its way."""
    found = lifetime(tls)
    state = "ok" if found is None else found.state(time.time())
    if found is not None and state != "ok":
        when = f"has expired on {found.until}" if state == "expired" else f"is not valid before {_date(found.begins)}"
        log.warning("serve.tls.cert_file: %s %s; callers refuse it. Renew it, then reload", tls.cert_file, when)


def check(config: EdgeConfig) -> None:
    """Raises ConfigError for files that TLS cannot be spoken with."""
    tls = config.serve.tls
    for name in ("cert_file", "key_file", "client_ca_file"):
        file: Path | None = getattr(tls, name)
        if file is not None and not (file.is_file() and os.access(file, os.R_OK)):
            raise _wrong(config, name, "there is no such file, or it cannot be read. Check the path")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if tls.cert_file is not None and tls.key_file is not None:
        _check_pair(config, context, tls.cert_file, tls.key_file)
    if tls.client_ca_file is not None:
        try:
            context.load_verify_locations(tls.client_ca_file)
            found = context.cert_store_stats()["x509"] > 0 and _CERTIFICATE.search(tls.client_ca_file.read_bytes())
        except OSError:  # ssl's own among them
            found = None
        if not found:
            raise _wrong(config, "client_ca_file", "holds no certificate as PEM. Write it there")


def _check_pair(config: EdgeConfig, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
    found = _KEY.search(key.read_bytes())
    taken = found is not None and _signs(found[0])
    try:
        context.load_cert_chain(certificate, key, _nobody_is_asked)
    except _Locked:
        what = "is locked with a pass phrase, and nobody is there to type it. Unlock it; let the sidecar alone read it"
        raise _wrong(config, "key_file", what) from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise _wrong(
                config, "key_file", "is not the key of serve.tls.cert_file. Check which belongs to which"
            ) from None
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(certificate)
        except ssl.SSLError:
            raise _no_certificate(config) from None
        if taken or found is None:
            raise _wrong(
                config, "key_file", "holds no key as PEM, or none that is taken for this certificate"
            ) from None
    if _CERTIFICATE.search(certificate.read_bytes()) is None:
        raise _no_certificate(config)
    if not taken:
        what = (
            "holds a key of a kind that TLS is not spoken with here. Take one on the curve P-256 or P-384, Ed25519, or"
            " RSA of 2048, 3072 or 4096 bits, as `openssl genpkey` writes it, and a certificate for it"
        )
        raise _wrong(config, "key_file", what)


def _signs(block: bytes) -> bool:
    """Whether rustls can sign with a key, given as PEM."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        key, plain = load_pem_private_key(block, None), base64.b64decode(b"".join(block.splitlines()[1:-1]))
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    if isinstance(key, RSAPrivateKey):
        return key.key_size in _RSA_SIZES and key.public_key().public_numbers().e > 2**16 and _PSS not in plain
    if isinstance(key, EllipticCurvePrivateKey):
        name, public = _CURVES.get(key.curve.name), key.public_key()
        half = public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return name is not None and name in plain and half in plain
    return isinstance(key, Ed25519PrivateKey)


class _Locked(Exception):
    """The key asks for a pass phrase."""


def _nobody_is_asked() -> str:
    raise _Locked


def _no_certificate(config: EdgeConfig) -> ConfigError:
    return _wrong(
        config,
        "cert_file",
        "holds no certificate as PEM, a line `-----BEGIN CERTIFICATE-----`. Write it there, with those that vouch",
    )


def _wrong(config: EdgeConfig, name: str, what: str) -> ConfigError:
    return ConfigError(f"serve.tls.{name} ({config.place(('serve', 'tls', name))}): {what}.")


def _date(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
