"""The main job, as the quickstart shows it: what it says happens does."""

from __future__ import annotations

import pytest

from llm_edge.testing.quickstart import main


def test_each_act_shows_what_its_title_says(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    acts = capsys.readouterr().out.split("\n\n")
    said = {act.partition(".")[0].partition("\n")[0]: act for act in acts}
    assert "\nMISS A gateway " in said["Ask"]
    assert "\nHIT A gateway " in said["Ask again"]
    assert "A route is a name" in said["Ask for a stream"]
    assert "A route is a name" in said["Again: the same stream, from memory"]
    assert "(said by the backup)" in said["Ask a route whose first provider is down"]
    assert "asked backup/model-b: ok" in said["And what happened there?"]
