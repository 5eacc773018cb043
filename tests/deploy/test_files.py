"""The files that the sidecar is shipped with: what their schemas, and those who run them, would say."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from io import StringIO
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from compose_spec import PyCompose
from dockerfile_parse import DockerfileParser

from llm_edge.config import EdgeConfig

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = sorted(path for path in (DEPLOY / "kubernetes").glob("*.yaml") if path.name != "kustomization.yaml")
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
NAME = {"app.kubernetes.io/name": "llm-edge"}


def manifest(kind: str) -> Any:
    [found] = [item for path in KUBERNETES for item in yaml.safe_load_all(path.read_text()) if item["kind"] == kind]
    return found


# ---------------------------------------------------------------- the image


def dockerfile() -> list[tuple[str, str]]:
    parser = DockerfileParser(fileobj=StringIO((ROOT / "Dockerfile").read_text()))
    return [(step["instruction"], step["value"]) for step in parser.structure]


def last_stage() -> dict[str, str]:
    steps = dockerfile()
    start = max(at for at, (word, _) in enumerate(steps) if word == "FROM")
    return dict(steps[start:])


def test_the_image_is_small_and_nobodys() -> None:
    stage = last_stage()
    assert stage["FROM"].endswith("-slim")
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", stage["USER"])  # a number: Kubernetes can tell that it is not root
    assert stage["COPY"] == "--from=build /app /app"
    assert "RUN" not in stage  # no layer of tools
    assert stage["STOPSIGNAL"] == "SIGTERM"


def copied() -> set[str]:
    """What the builder takes of this repository."""
    words = [word for step, value in dockerfile() if step == "COPY" for word in value.split()[:-1]]
    return {word for word in words if not word.startswith(("--", "/"))}


def test_the_image_is_built_from_what_is_there_and_from_nothing_else() -> None:
    sources = copied()
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert sources == allowed
    assert all((ROOT / source).exists() for source in sources)
    assert (ROOT / ".dockerignore").read_text().splitlines()[1] == "*"


def test_every_step_is_pinned_and_shown_as_a_list() -> None:
    for step, value in dockerfile():
        if step == "FROM":
            assert ":" in value
        if step in {"ENTRYPOINT", "CMD"}:
            assert isinstance(json.loads(value), list)
        assert step not in {"ADD", "MAINTAINER"}
        assert "sudo" not in value
        assert not re.search(r"(?i)(api_?key|secret|password|token)\s*=", value)


# ---------------------------------------------------------------- compose


def test_the_compose_file_is_one() -> None:
    found = PyCompose.from_yaml((DEPLOY / "compose.yaml").read_text())
    found.validate()
    assert sorted(found.service_names()) == ["grafana", "jaeger", "llm-edge", "prometheus", "valkey"]


@pytest.mark.parametrize("name", sorted(COMPOSE["services"]))
def test_each_service_is_watched_restarted_and_not_open_to_the_world(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert re.search(r":[\w.-]+$", service["image"])
    assert not service["image"].endswith(":latest")


def test_every_file_that_compose_names_is_there() -> None:
    named = [volume.split(":")[0] for each in COMPOSE["services"].values() for volume in each.get("volumes", [])]
    files = [DEPLOY / name for name in named if name.startswith(".")]
    assert [str(file) for file in files if not file.exists()] == []
    assert {name for name in named if not name.startswith(".")} == set(COMPOSE["volumes"])


def test_secrets_are_files_that_git_does_not_see() -> None:
    used = {secret for each in COMPOSE["services"].values() for secret in each.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    assert all(each["file"].startswith("./compose/secrets/") for each in COMPOSE["secrets"].values())
    assert (DEPLOY / "compose/secrets/.gitignore").read_text().split() == ["*", "!.gitignore"]
    variables = [name for each in COMPOSE["services"].values() for name in each.get("environment", {})]
    assert [name for name in variables if re.search(r"(?i)(key|password|secret)$", name)] == []


def test_the_store_is_reached_from_inside_alone() -> None:
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert COMPOSE["services"]["valkey"]["networks"] == ["inside"]
    assert "ports" not in COMPOSE["services"]["valkey"]


def test_the_sidecars_settings_in_compose_can_be_used() -> None:
    config = EdgeConfig.load(DEPLOY / "compose/edge.toml", env={"OTLP_ENDPOINT": "http://jaeger:4318"}, serving=True)
    assert config.store.kind == "redis"
    assert config.serve.auth.on
    text = (DEPLOY / "compose/edge.toml").read_text()
    assert set(re.findall(r"file:/run/secrets/(\w+)", text)) == set(COMPOSE["services"]["llm-edge"]["secrets"])


def test_grafana_finds_prometheus_the_dashboards_and_jaeger() -> None:
    sources = yaml.safe_load((DEPLOY / "compose/grafana/datasources/prometheus.yaml").read_text())["datasources"]
    assert {each["url"] for each in sources} == {"http://prometheus:9090", "http://jaeger:16686"}
    [boards] = yaml.safe_load((DEPLOY / "compose/grafana/dashboards/llm-edge.yaml").read_text())["providers"]
    assert f"./grafana:{boards['options']['path']}:ro" in COMPOSE["services"]["grafana"]["volumes"]


def test_prometheus_reads_the_sidecar_and_the_rules() -> None:
    config = yaml.safe_load((DEPLOY / "compose/prometheus.yml").read_text())
    assert config["scrape_configs"][0]["static_configs"][0]["targets"] == ["llm-edge:8080"]
    mounted = [volume.split(":")[1] for volume in COMPOSE["services"]["prometheus"]["volumes"]]
    assert [f"/etc/prometheus/{name}" for name in config["rule_files"]] == ["/etc/prometheus/alerts.yml"]
    assert "/etc/prometheus/alerts.yml" in mounted


# ---------------------------------------------------------------- Kubernetes


@pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.stem)
def test_each_manifest_is_what_kubernetes_takes(path: Path) -> None:
    for item in yaml.safe_load_all(path.read_text()):
        kubernetes_validate.validate(item, "1.34", strict=True)


def test_all_manifests_are_applied_but_the_example() -> None:
    kustomization = yaml.safe_load((DEPLOY / "kubernetes/kustomization.yaml").read_text())
    assert sorted([*kustomization["resources"], "secret.example.yaml"]) == [path.name for path in KUBERNETES]
    assert all((DEPLOY / "kubernetes" / file).exists() for file in kustomization["configMapGenerator"][0]["files"])


def test_manifests_speak_of_the_same_pods() -> None:
    deployment = manifest("Deployment")["spec"]
    assert deployment["template"]["metadata"]["labels"] == deployment["selector"]["matchLabels"] == NAME
    assert manifest("Service")["spec"]["selector"] == NAME
    assert manifest("PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == NAME
    assert manifest("NetworkPolicy")["spec"]["podSelector"]["matchLabels"] == NAME
    assert (
        manifest("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"]
        == manifest("Deployment")["metadata"]["name"]
    )


def test_how_many_pods_there_are_is_said_once() -> None:
    assert manifest("HorizontalPodAutoscaler")["spec"]["minReplicas"] == 2
    assert "replicas" not in manifest("Deployment")["spec"]  # each apply would take all others away


def test_a_pod_may_do_little() -> None:
    spec = manifest("Deployment")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert f"{spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}" == last_stage()["USER"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert container["resources"]["limits"]["memory"]
    assert not spec["automountServiceAccountToken"]


def test_a_pod_has_time_to_finish_its_streams() -> None:
    spec = manifest("Deployment")["spec"]["template"]["spec"]
    config = EdgeConfig.load(DEPLOY / "kubernetes/edge.toml", env={}, serving=True)
    pause = int(re.findall(r"sleep\((\d+)\)", spec["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][2])[0])
    assert spec["terminationGracePeriodSeconds"] > pause + config.serve.drain
    compose = EdgeConfig.load(DEPLOY / "compose/edge.toml", env={}, serving=True)
    assert int(COMPOSE["services"]["llm-edge"]["stop_grace_period"][:-1]) > compose.serve.drain


def test_every_secret_that_a_pod_reads_is_in_the_example() -> None:
    text = (DEPLOY / "kubernetes/edge.toml").read_text()
    assert set(re.findall(r"file:/etc/llm-edge/secrets/([\w-]+)", text)) == set(manifest("Secret")["stringData"])


# ---------------------------------------------------------------- systemd


def unit() -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[method-assign, assignment]  # names keep their capitals; so the manual says
    parser.read(DEPLOY / "systemd/llm-edge.service")
    return parser


def test_the_service_of_the_system_may_do_little_and_stops_gently() -> None:
    service = unit()["Service"]
    for name in (
        "NoNewPrivileges",
        "PrivateDevices",
        "PrivateTmp",
        "ProtectHome",
        "ProtectKernelTunables",
        "DynamicUser",
    ):
        assert service[name] == "yes"
    assert service["DynamicUser"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert int(service["TimeoutStopSec"]) > EdgeConfig().serve.drain
    assert service["ExecStart"].endswith("llm-edge serve --config /etc/llm-edge/edge.toml")


def test_systemd_itself_finds_nothing_wrong(tmp_path: Path) -> None:
    program = shutil.which("systemd-analyze")
    file = tmp_path / "llm-edge.service"
    start = f"ExecStart={shutil.which('true')} "
    file.write_text(re.sub(r"ExecStart=\S+ ", start, (DEPLOY / "systemd/llm-edge.service").read_text()))
    if program is None:  # another system: what it would read is at least there
        assert unit().sections() == ["Unit", "Service", "Install"]
        return
    said = subprocess.run([program, "verify", "--man=no", str(file)], capture_output=True, text=True, check=False)
    assert (said.returncode, said.stderr) == (0, "")
