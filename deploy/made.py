"""All files that are made here, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping

from .alerts import rules
from .dashboards import DASHBOARDS


def files() -> Mapping[str, str]:
    """The text of each."""
    boards = {f"grafana/{name}.json": json.dumps(board(), indent=1) + "\n" for name, board in DASHBOARDS.items()}
    return {**boards, "prometheus/alerts.yml": rules()}
