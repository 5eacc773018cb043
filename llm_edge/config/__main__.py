"""Prints the annotated example: `python -m llm_edge.config > docs/edge.example.toml`."""

import sys

from .example import example

sys.stdout.write(example())
