"""The pieces a Grafana dashboard is put together from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

Json: TypeAlias = dict[str, Any]
Look: TypeAlias = Literal["stat", "timeseries", "bargauge", "state-timeline", "table"]

WIDE = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture. Its queries by what their lines are called, labels as `{{model}}`."""

    title: str
    says: str
    queries: Mapping[str, str]
    unit: str = "short"
    look: Look = "timeseries"
    width: int = 12
    height: int = 8
    steps: Sequence[tuple[float, str]] = ()
    """From a value up: a colour."""
    names: Mapping[str, str] | None = None
    """Words in place of values."""
    most: float | None = None
    least: float | None = 0.0
    stacked: bool = False

    def made(self, number: int, x: int, y: int) -> Json:
        """As Grafana reads it."""
        made: Json = {
            "id": number, "type": self.look, "title": self.title, "description": self.says, "datasource": SOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [self._target(*each, chr(ord("A") + at)) for at, each in enumerate(self.queries.items())],
            "fieldConfig": {"defaults": self._field(), "overrides": []},
            "options": self._options(),
        }  # fmt: skip
        if self.look == "table":
            made["transformations"] = [
                {"id": "merge", "options": {}},
                {"id": "organize", "options": {"excludeByName": {"Time": True}}},
            ]
        return made

    def _target(self, called: str, query: str, ref: str) -> Json:
        now = self.look in {"bargauge", "table"} or "$__range" in query
        target: Json = {"refId": ref, "datasource": SOURCE, "editorMode": "code", "expr": query, "legendFormat": called}
        target |= {"instant": True, "range": False} if now else {"instant": False, "range": True}
        if self.look == "table":
            target["format"] = "table"
        return target

    def _field(self) -> Json:
        steps = [{"color": "green", "value": None}, *({"color": colour, "value": at} for at, colour in self.steps)]
        field: Json = {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": steps}}
        if self.least is not None:
            field["min"] = self.least
        if self.most is not None:
            field["max"] = self.most
        if self.names:
            words = {value: {"text": text, "index": at} for at, (value, text) in enumerate(self.names.items())}
            field["mappings"] = [{"type": "value", "options": words}]
        if self.look == "timeseries":
            field["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
            if self.stacked:
                field["custom"] |= {"stacking": {"mode": "normal", "group": "A"}, "fillOpacity": 40}
        if self.look in {"stat", "bargauge", "state-timeline"}:
            field["color"] = {"mode": "thresholds"}
        return field

    def _options(self) -> Json:
        if self.look == "timeseries":
            legend = {"displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "max"]}
            return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
        if self.look in {"stat", "bargauge"}:
            reduced: Json = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
            area = {"colorMode": "value", "graphMode": "area"}
            return reduced | (area if self.look == "stat" else {"orientation": "horizontal", "displayMode": "gradient"})
        return {"showValue": "never", "mergeValues": True} if self.look == "state-timeline" else {"showHeader": True}


def variable(name: str, label: str, query: str) -> Json:
    """A choice at the top of a dashboard; all by default, those without the label included."""
    return {
        "name": name, "label": label, "type": "query", "datasource": SOURCE, "multi": True, "includeAll": True,
        "allValue": ".*", "current": {"text": "All", "value": "$__all"}, "refresh": 2, "sort": 1,
        "definition": query, "query": {"query": query, "refId": "values", "qryType": 1},
    }  # fmt: skip


def board(uid: str, title: str, says: str, variables: Sequence[Json], panels: Sequence[Panel]) -> Json:
    """A dashboard; its panels flow from left to right, and down."""
    made: list[Json] = []
    x = y = tallest = 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > WIDE:
            x, y, tallest = 0, y + tallest, 0
        made.append(panel.made(number, x, y))
        x, tallest = x + panel.width, max(tallest, panel.height)
    source = {
        "name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1,
        "current": {}, "options": [],
    }  # fmt: skip
    links = {
        "title": "llm_edge", "type": "dashboards", "tags": ["llm_edge"], "asDropdown": True, "includeVars": True,
        "keepTime": True,
    }  # fmt: skip
    return {
        "uid": uid, "title": title, "description": says, "tags": ["llm_edge"], "schemaVersion": 39, "version": 1,
        "editable": True, "graphTooltip": 1, "timezone": "browser", "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"}, "links": [links], "annotations": {"list": []},
        "templating": {"list": [source, *variables]}, "panels": made,
    }  # fmt: skip
