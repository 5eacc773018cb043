"""Every example of docs/testing.md is a test that passes, in a pytest of its own with this plugin and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]

EXAMPLES = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "testing.md").read_text(), re.DOTALL | re.MULTILINE)


def test_the_examples_of_the_page_pass(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for number, example in enumerate(EXAMPLES):
        pytester.makepyfile(**{f"test_example_{number}": example})
    result = pytester.runpytest_subprocess("-p", "llm_edge.testing.plugin", "-W", "error::ResourceWarning")
    result.assert_outcomes(passed=sum(example.count("\ndef test_") for example in EXAMPLES))
    assert all("def test_" in example for example in EXAMPLES)


def test_the_page_names_every_public_name() -> None:
    from llm_edge import testing

    page = (ROOT / "docs" / "testing.md").read_text()
    described_elsewhere = {"Call", "Headers", "Server", "Step", "ToolCall", "nobody_listens"}
    assert {name for name in testing.__all__ if name not in page} <= described_elsewhere
