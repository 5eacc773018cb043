"""
Other gateways' configuration, read once and written as an `edge.toml`.

Every key of the old file is either carried over or listed with the reason; secrets are never written down. This room
will not run the old file, and will not keep two files in step.
"""

from __future__ import annotations

from .draft import Draft as Draft, Imported as Imported
from .litellm import from_litellm as from_litellm
from .portkey import from_portkey as from_portkey

__all__ = ["Draft", "Imported", "from_litellm", "from_portkey"]
