"""The sidecar's certificates, looked at before workers use them: what one cannot use ends it, again and again."""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from ..config import EdgeConfig
from ..errors import ConfigError


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
            found = context.cert_store_stats()["x509"] > 0
        except OSError:  # ssl's own among them
            found = False
        if not found:
            raise _wrong(config, "client_ca_file", "holds no certificate as PEM. Write it there")


def _check_pair(config: EdgeConfig, context: ssl.SSLContext, certificate: Path, key: Path) -> None:
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
            raise _wrong(
                config, "cert_file", "holds no certificate as PEM. Write it there, with those that vouch"
            ) from None
        raise _wrong(config, "key_file", "holds no key as PEM, or none that is taken for this certificate") from None


class _Locked(Exception):
    """The key asks for a pass phrase."""


def _nobody_is_asked() -> str:
    raise _Locked


def _wrong(config: EdgeConfig, name: str, what: str) -> ConfigError:
    return ConfigError(f"serve.tls.{name} ({config.place(('serve', 'tls', name))}): {what}.")
