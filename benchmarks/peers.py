"""Other gateways in the app's process, measured beside ours where they are installed."""

from __future__ import annotations

from .contenders import Contender

PEERS: dict[str, Contender] = {}
