"""The compose file, the images and the manifests: valid by their own standards, and with all that production needs."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.generate import ROOT
from schemas.secret_files import SECRETS_VARIABLE
from schemas.settings import Settings
from schemas.settings_table import describe_settings
from streams.topics import UTTERANCES
from tests.kit.alerting import Promtool
from tests.kit.compose import COMPOSE_FILE, Image, demanded, services

VARIABLES = {"POSTGRES_PASSWORD": "secret", "KAFKA_CLUSTER_ID": "MkU3OEVBNTcwNTJENDM2Qk"}
SERVICES = services(VARIABLES)
WORKER = SERVICES["worker"]
MANIFESTS = sorted((ROOT / "infra" / "kubernetes").glob("*.yaml"))
SETTINGS = {row.variable for row in describe_settings(Settings.model_construct())}
LARGEST_GRACE_SECONDS = 10 + 5


def _run(program: str, *arguments: object) -> str:
    """Run a checker; return what it complains of."""
    command = [str(Path(sys.executable).with_name(program)), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return "" if done.returncode == 0 else done.stdout + done.stderr


# Compose


def test_the_compose_file_is_one_by_compose_s_own_schema() -> None:
    assert _run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE_FILE) == ""


def test_a_fault_in_it_would_be_seen(tmp_path: Path) -> None:
    faulty = tmp_path / "compose.yml"
    faulty.write_text(COMPOSE_FILE.read_text().replace("healthcheck:", "healtcheck:", 1))
    assert "healtcheck" in _run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", faulty)


def test_it_starts_what_a_worker_needs_and_the_rest_when_asked() -> None:
    profiles = {name: tuple(service.get("profiles", ())) for name, service in SERVICES.items()}
    assert profiles == {
        **dict.fromkeys(("worker", "kafka", "redis", "postgres"), ()),
        "torchserve": ("torchserve",),
        "prometheus": ("monitoring",),
        "grafana": ("monitoring",),
    }
    assert demanded() == set(VARIABLES), "nothing else has to be set before it starts"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_service_is_asked_how_it_is_comes_back_by_itself_and_gains_no_rights(name: str) -> None:
    service = SERVICES[name]
    assert service["healthcheck"]["test"]
    assert service["restart"] == "unless-stopped"
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not any(not str(port).startswith("127.0.0.1:") for port in service.get("ports", ()))
    for needed in service.get("depends_on", {}):
        assert needed in SERVICES


def test_no_image_is_whatever_is_newest() -> None:
    images = [service["image"] for service in SERVICES.values() if "image" in service]
    assert all(re.search(r":v?\d", image) for image in [*images, *Image().stages])


def test_workers_are_several_and_bounded_and_keep_their_models() -> None:
    deploy = WORKER["deploy"]
    assert deploy["resources"]["limits"] == {"cpus": "2", "memory": "4G"}
    assert deploy["replicas"] == 2
    assert services(VARIABLES | {"WORKERS": "5"})["worker"]["deploy"]["replicas"] == 5
    assert "models:/var/lib/intentstream" in WORKER["volumes"]
    assert "container_name" not in WORKER, "there may be several"


def test_a_worker_is_root_of_nothing_and_writes_to_its_volume_only() -> None:
    assert (WORKER["read_only"], WORKER["cap_drop"], WORKER["tmpfs"]) == (True, ["ALL"], ["/tmp"])  # noqa: S108 - the container's


def test_every_variable_is_a_setting() -> None:
    for name in (*WORKER["environment"], *Image().environment):
        if name.startswith("INTENTSTREAM_"):
            assert name in SETTINGS, name


def test_flags_the_model_server_tuning_and_credentials_can_be_set() -> None:
    said = {"REMOTE_KIND": "torchserve", "REMOTE_URL": "http://127.0.0.1:8080", "MODEL_THREADS": "1", "MAX_BATCH": "64"}
    said |= {"KAFKA_SASL_USERNAME": "ada", "KAFKA_SASL_PASSWORD": "word", "ACCESS_TOKENS": "{}"}
    environment = services(VARIABLES | said)["worker"]["environment"]
    assert set(said.values()) <= {str(value) for value in environment.values()}
    assert WORKER["env_file"] == [{"path": "worker.env", "required": False}]


def test_torchserve_is_reached_on_the_worker_s_own_loopback_only() -> None:
    assert SERVICES["torchserve"]["network_mode"] == "service:worker"
    assert "ports" not in SERVICES["torchserve"]
    properties = (ROOT / "infra/docker/torchserve.properties").read_text()
    addresses = re.findall(r"^\w+_address=(\S+)$", properties, re.MULTILINE)
    assert len(addresses) == 3
    assert all(address.startswith("http://127.0.0.1:") for address in addresses)


def test_what_monitors_is_where_it_is_looked_for() -> None:
    assert SERVICES["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]
    assert SERVICES["grafana"]["ports"] == ["127.0.0.1:3001:3000"]
    assert WORKER["labels"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8001",
        "prometheus.io/path": "/metrics",
    }


def test_whatever_is_mounted_from_here_is_here() -> None:
    for name, service in SERVICES.items():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./infra"):
                assert (ROOT / source).exists(), (name, source)


def test_its_prometheus_reads_every_worker_by_the_same_rules(promtool_program: Path, tmp_path: Path) -> None:
    mounted = [volume.split(":") for volume in SERVICES["prometheus"]["volumes"] if volume.startswith("./")]
    for source, target, _ in mounted:
        shutil.copy(ROOT / source, tmp_path / Path(target).name)
    assert Promtool(promtool_program, tmp_path).complaints("check", "config", str(tmp_path / "prometheus.yml")) == ""
    (ours, theirs) = (
        yaml.safe_load((ROOT / path).read_text())
        for path in ("infra/docker/prometheus.yml", "infra/prometheus/prometheus.yml")
    )
    assert (ours["global"], ours["rule_files"]) == (theirs["global"], theirs["rule_files"])
    (job,) = ours["scrape_configs"]
    assert job["job_name"] == theirs["scrape_configs"][0]["job_name"]
    assert job["dns_sd_configs"][0]["names"] == ["worker"]


# Images


@pytest.mark.parametrize("name", ["Dockerfile", "torchserve.Dockerfile"])
def test_hadolint_finds_nothing_in_an_image(name: str) -> None:
    assert _run("hadolint", "--failure-threshold", "style", ROOT / "infra" / "docker" / name) == ""


def test_the_worker_s_image_has_stages_no_root_and_no_torch() -> None:
    image = Image()
    assert len(image.stages) == 2
    assert image.user == "10001", "a number, so that Kubernetes can see that it is not root"
    assert image.command == ["intentstream", "worker"]
    assert WORKER["healthcheck"]["test"] == ["CMD", *image.health_check]
    syncs = re.findall(r"uv sync[^\n]*", (ROOT / "infra/docker/Dockerfile").read_text())
    assert syncs
    assert all("--no-dev" in sync and "--all-extras" not in sync for sync in syncs)
    assert {extra for sync in syncs for extra in re.findall(r"--extra (\S+)", sync)} == {"privacy", "tracing"}


# Kubernetes


def _manifest(name: str) -> Any:
    return yaml.safe_load((ROOT / "infra" / "kubernetes" / f"{name}.yaml").read_text())


@pytest.mark.parametrize("path", [each for each in MANIFESTS if each.stem != "scaling"], ids=lambda path: path.stem)
def test_a_manifest_is_one_by_kubernetes_own_schema(path: Path) -> None:
    assert _run("kubernetes-validate", "--strict", path) == ""


def test_each_manifest_speaks_of_the_same_workers() -> None:
    name = {"app.kubernetes.io/name": "intentstream"}
    spec = _manifest("worker")["spec"]
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"] == name
    assert _manifest("service")["spec"]["selector"] == name
    assert _manifest("disruption-budget")["spec"]["selector"]["matchLabels"] == name
    target = _manifest("scaling")["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("StatefulSet", _manifest("worker")["metadata"]["name"])
    assert "replicas" not in spec, "the scaler counts them"


def test_a_pod_is_probed_bounded_and_not_root() -> None:
    pod = _manifest("worker")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    probes = {name: container[f"{name}Probe"]["httpGet"]["path"] for name in ("startup", "liveness", "readiness")}
    assert probes == {"startup": "/health/startup", "liveness": "/health/live", "readiness": "/health/ready"}
    assert container["resources"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert str(pod["securityContext"]["runAsUser"]) == Image().user
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod["terminationGracePeriodSeconds"] == LARGEST_GRACE_SECONDS
    writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
    assert writable == {"/var/lib/intentstream", "/tmp"}  # noqa: S108 - the container's


def test_secrets_come_to_a_pod_as_files_that_others_cannot_read_and_in_no_environment() -> None:
    pod = _manifest("worker")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    (mount,) = (each for each in container["volumeMounts"] if each["name"] == "secrets")
    (volume,) = (each for each in pod["volumes"] if each["name"] == "secrets")
    assert container["env"] == [{"name": SECRETS_VARIABLE, "value": mount["mountPath"]}]
    assert volume["secret"] == {"secretName": "intentstream", "defaultMode": 0o440}
    assert [*container["envFrom"]] == [{"configMapRef": {"name": "intentstream"}}]


def test_workers_are_scaled_by_the_lag_of_what_they_read_and_no_further_than_there_are_partitions() -> None:
    spec = _manifest("scaling")["spec"]
    (trigger,) = spec["triggers"]
    settings = Settings.model_construct()
    assert trigger["type"] == "kafka"
    assert trigger["metadata"]["topic"] == UTTERANCES
    assert trigger["metadata"]["consumerGroup"] == settings.worker.group_id
    assert (
        trigger["metadata"]["bootstrapServers"]
        == _manifest("settings")["data"]["INTENTSTREAM_KAFKA__BOOTSTRAP_SERVERS"]
    )
    assert int(trigger["metadata"]["lagThreshold"]) > 0
    assert 2 <= spec["minReplicaCount"] <= spec["maxReplicaCount"] == settings.topics.partitions
    assert _manifest("disruption-budget")["spec"]["maxUnavailable"] == 1
    assert {name for name in _manifest("settings")["data"] if name.startswith("INTENTSTREAM_")} <= SETTINGS
