"""`python -m llm_edge.money > llm_edge/data/prices.json` makes the shipped price file anew."""

import sys
from datetime import UTC, datetime
from importlib.metadata import version

from .convert import rows

if __name__ == "__main__":
    for line in rows(version("genai-prices"), datetime.now(UTC).date().isoformat()):
        sys.stdout.write(line + "\n")
