"""The browser of this machine: Debian's chromium, or another Chromium that `CHROMIUM` names."""

from __future__ import annotations

import os
import shutil

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def executable() -> str:
    """Its path. Raises when there is none: a test of pages without a browser would prove nothing."""
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise RuntimeError("no Chromium here: install Debian's `chromium`, or let CHROMIUM name one")
    return found
