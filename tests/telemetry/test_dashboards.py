"""Dashboards and alerts: made by their script, whole, and about metrics that exist, by labels that they have."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser as promql
import pytest
import yaml

from deploy import alerts, made
from llm_edge.telemetry.families import FAMILIES

ROOT = Path(__file__).resolve().parents[2] / "deploy"
BOARDS = [name for name in made.files() if name.endswith(".json")]
CHOICE = re.compile(r"label_values\((.+), (\w+)\)")


def load(name: str) -> Any:
    return json.loads((ROOT / name).read_text())


def rules() -> list[dict[str, Any]]:
    told = yaml.safe_load((ROOT / "prometheus/alerts.yml").read_text())
    return [rule for group in told["groups"] for rule in group["rules"]]


def plain(query: str) -> str:
    """Without Grafana's variables, which it fills in itself."""
    return query.replace("$__rate_interval", "5m").replace("$__range", "1h").replace("$", "")


def queries() -> Iterator[tuple[str, str, str]]:
    """Of every panel: where it stands, its query, what its lines are called."""
    for name in BOARDS:
        for panel in load(name)["panels"]:
            for target in panel["targets"]:
                yield f"{name}: {panel['title']}", plain(target["expr"]), target["legendFormat"]


def labels_of(selector: Any) -> set[str]:
    """The labels that a selected metric has. Fails for one that does not exist."""
    name: str = selector.name
    if name in alerts.RECORDS:
        return set()
    if name.endswith(("_bucket", "_sum", "_count")) and name.rpartition("_")[0] in FAMILIES:
        family = FAMILIES[name.rpartition("_")[0]]
        assert family.kind == "histogram", name
        return {*family.labels, *(["le"] if name.endswith("_bucket") else [])}
    assert name in FAMILIES, f"{name} is no metric of ours"
    assert FAMILIES[name].kind != "histogram", f"{name} is a histogram, and has no value of its own"
    return set(FAMILIES[name].labels)


def left(tree: Any) -> set[str]:
    """The labels that a query's result has. Fails when it speaks of metrics or labels that are not there."""
    match tree:
        case promql.VectorSelector():
            has = labels_of(tree)
            asked = {matcher.name for matcher in tree.matchers.matchers}
            assert asked <= has, f"{tree.name} has no {asked - has}"
            return has
        case promql.MatrixSelector():
            return left(tree.vector_selector)
        case promql.AggregateExpr():
            has = left(tree.expr)
            by = set(tree.modifier.labels) if tree.modifier else set()
            assert by <= has, f"there is no {by - has} to go by"
            return has if str(tree.op) == "topk" else by
        case promql.BinaryExpr():
            return left(tree.lhs) | left(tree.rhs)
        case promql.Call():
            found: set[str] = set().union(*map(left, tree.args))
            if tree.func.name == "rate" or tree.func.name == "increase":
                name = tree.args[0].vector_selector.name
                assert not name.startswith("llm_edge") or name.endswith(("_total", "_bucket")), f"{name} does not grow"
            return found - {"le"} if tree.func.name == "histogram_quantile" else found
        case promql.ParenExpr() | promql.UnaryExpr():
            return left(tree.expr)
        case _:
            return set()


def test_the_files_are_what_their_script_makes() -> None:
    for name, text in made.files().items():
        assert (ROOT / name).read_text() == text, f"{name} is old: run `python -m deploy`"


def test_every_query_of_a_dashboard_is_about_a_metric_and_labels_that_exist() -> None:
    seen = list(queries())
    assert len(seen) > 40
    for place, query, called in seen:
        has = left(promql.parse(query))
        assert set(re.findall(r"{{(\w+)}}", called)) <= has, f"{place}: a line is called {called}, and has {has}"


def test_the_choices_of_a_dashboard_are_labels_that_exist() -> None:
    for name in BOARDS:
        for variable in load(name)["templating"]["list"]:
            if variable["type"] == "query":
                chosen = CHOICE.fullmatch(variable["definition"])
                assert chosen is not None
                assert chosen[2] in left(promql.parse(plain(chosen[1])))


@pytest.mark.parametrize("name", BOARDS)
def test_a_dashboard_is_whole(name: str) -> None:
    board = load(name)
    panels = board["panels"]
    assert {"uid", "title", "schemaVersion", "time"} <= board.keys()
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert all([panel["title"], panel["description"], panel["fieldConfig"]["defaults"]["unit"]])
        at = panel["gridPos"]
        squares = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not squares & taken, "panels lie over each other"
        taken |= squares
    variables = {each["name"] for each in board["templating"]["list"]}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(panels))) <= {*variables, "__rate_interval", "__range"}
    assert len({load(each)["uid"] for each in BOARDS}) == len(BOARDS)


def test_what_the_queries_speak_of_is_told_apart_from_what_is_not_there() -> None:
    for wrong in (
        "rate(llm_edge_requests_totals[5m])", 'llm_edge_cache_entries{provider="x"}', "llm_edge_overhead_seconds",
        "sum by (model) (rate(llm_edge_cache_hits_total[5m]))", "rate(llm_edge_cache_entries[5m])",
        "rate(llm_edge_requests_total_bucket[5m])",
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            left(promql.parse(wrong))


def test_every_alert_is_about_metrics_that_exist_and_says_what_to_do() -> None:
    told = [rule for rule in rules() if "alert" in rule]
    assert len({rule["alert"] for rule in told}) == len(told) >= 7
    for rule in told:
        has = left(promql.parse(rule["expr"]))
        notes = rule["annotations"]
        assert set(re.findall(r"\$labels\.(\w+)", notes["summary"])) <= has
        assert notes["description"]
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_what_alerts_have_worked_out_beforehand_is_worked_out() -> None:
    recorded = {rule["record"]: rule["expr"] for rule in rules() if "record" in rule}
    assert set(recorded) == set(alerts.RECORDS)
    for query in recorded.values():
        left(promql.parse(query))


def test_the_examples_of_alerts_name_alerts_that_exist() -> None:
    """Where Prometheus' own tool is installed, they are tried."""
    examples = ROOT / "prometheus" / "alerts.test.yml"
    told = yaml.safe_load(examples.read_text())
    tried = {each["alertname"] for test in told["tests"] for each in test.get("alert_rule_test", ())}
    assert tried <= {alert.name for alert in alerts.ALERTS}
    tool = shutil.which("promtool")
    if tool is not None:
        run = subprocess.run(
            [tool, "test", "rules", examples.name], check=False, cwd=examples.parent, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stdout + run.stderr
