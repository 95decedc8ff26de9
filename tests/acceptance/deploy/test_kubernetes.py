"""deploy/kubernetes: what Kubernetes takes, with the names, ports, commands and settings that there are."""

import inspect
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from hub import intake
from hub.settings import DeliverySettings, InletSettings, KafkaSettings, PortalSettings, load
from launcher.home import Home
from launcher.main import app
from launcher.ports import Ports
from launcher.stack import Stack
from portal.access import is_open
from schemas.lanes import Lane
from store.orders import batches_topic
from streams import deliver_agent, exposing, worker
from streams.topics import FAMILIES
from streams.worker import ROLES
from tests.acceptance.deploy.manifests import (
    KUBERNETES,
    OVERLAY,
    ROOT,
    Document,
    built,
    documents,
    faults_of,
    of_kind,
    written,
)

pytestmark = pytest.mark.acceptance

WRITTEN = written()
PATCHES = ("base/pod.yaml", "base/worker.yaml")
BASE = [one for name, found in WRITTEN.items() if name.startswith("base/") and name not in PATCHES for one in found]
POD: Document = WRITTEN["base/pod.yaml"][0]["spec"]["template"]["spec"]
VARIABLES: dict[str, str] = of_kind("ConfigMap", BASE)["tambour-variables"]["data"]
WORKLOADS = of_kind("Deployment", BASE) | of_kind("Job", BASE)
SCALED = [one for name, found in WRITTEN.items() if name.startswith("components/autoscaling/") for one in found]
WATCHED = [one for name, found in WRITTEN.items() if name.startswith("components/prometheus/") for one in found]
OF_OPERATORS = ("ScaledObject", "PodMonitor")
"""Kinds that KEDA and the Prometheus Operator bring: Kubernetes' own schemas don't know them."""
WORKERS = {f"tambour-{role}" for role in ROLES}
SECRETS = of_kind("Secret", WRITTEN["overlays/example/secrets.example.yaml"])


def container(workload: Document) -> Document:
    (only,) = workload["spec"]["template"]["spec"]["containers"]
    found: Document = only
    return found


# What Kubernetes says


def test_kubernetes_takes_everything_that_would_be_applied() -> None:
    found = built()
    assert len(found) > 20
    assert [fault for one in found if one["kind"] not in OF_OPERATORS for fault in faults_of(one)] == []


def test_kubernetes_takes_the_example_of_secrets() -> None:
    assert [fault for one in SECRETS.values() for fault in faults_of(one)] == []


def test_misspelt_field_is_found() -> None:
    broken = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"port": []}}
    assert faults_of(broken)


def test_every_file_is_among_the_resources() -> None:
    for folder in ("base", "components/autoscaling", "components/prometheus", "overlays/example"):
        (kustomization,) = documents((KUBERNETES / folder / "kustomization.yaml").read_text(encoding="utf-8"))
        there = {path.name for path in (KUBERNETES / folder).glob("*.yaml")} - {"kustomization.yaml"}
        named = {Path(one).name for one in kustomization["resources"]} - {"base"}
        named |= {patch["path"] for patch in kustomization.get("patches", []) if "path" in patch}
        assert there - named == ({"secrets.example.yaml"} if folder == "overlays/example" else set())


# What there is


def test_there_is_a_deployment_for_every_role_and_the_portal() -> None:
    commands = {tuple(container(one)["args"]) for one in WORKLOADS.values()}
    assert commands == {("migrate",), ("portal",), *(("worker", role) for role in ROLES)}


def test_every_command_exists_in_the_command_line() -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    assert {container(one)["args"][0] for one in WORKLOADS.values()} <= set(known)


@pytest.mark.parametrize("name", WORKLOADS)
def test_components_are_called_what_they_run(name: str) -> None:
    component = container(WORKLOADS[name])["args"][-1]
    assert name == f"tambour-{component}"
    assert WORKLOADS[name]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == component


def test_variables_and_settings_of_the_example_hold_together(tmp_path: Path) -> None:
    text = (OVERLAY / "tambour.toml").read_text(encoding="utf-8")
    channels = set(re.findall(r'"/run/channels/([a-z-]+)"', text))
    assert channels == set(SECRETS["tambour-channels"]["stringData"])
    mounts = {one["name"]: one["mountPath"] for one in POD["containers"][0]["volumeMounts"]}
    assert mounts["channels"] == "/run/channels"
    environ = dict(VARIABLES)
    assert environ.pop("TAMBOUR_SETTINGS") == f"{mounts['settings']}/tambour.toml"
    files = {name: value for name, value in environ.items() if name.endswith("_FILE")}
    named = {value.removeprefix(f"{mounts['secrets']}/") for value in files.values()}
    assert named == set(SECRETS["tambour-secrets"]["stringData"])
    for name in (*channels, *named):
        (tmp_path / name).write_text("a-secret-of-the-test-which-is-long-enough\n")
    environ |= {name: str(tmp_path / Path(value).name) for name, value in files.items()}
    (tmp_path / "tambour.toml").write_text(text.replace("/run/channels", str(tmp_path)), encoding="utf-8")
    settings = load(tmp_path / "tambour.toml", environ)  # every name that is no setting is a fault
    assert set(settings.channels) == {"email", "sms", "mastodon"}
    assert settings.kafka.replication == 3
    assert (settings.portal.host, settings.inlet.host) == ("0.0.0.0", "0.0.0.0")


def test_home_is_where_a_process_may_write() -> None:
    mounts = {one["name"]: one["mountPath"] for one in POD["containers"][0]["volumeMounts"] if not one.get("readOnly")}
    assert list(mounts) == ["tmp"]
    assert VARIABLES["TAMBOUR_HOME"].startswith(f"{mounts['tmp']}/")


def pods() -> dict[str, Document]:
    """The one container of each Deployment and Job, as it would be applied."""
    return {one["metadata"]["name"]: container(one) for one in built() if one["kind"] in ("Deployment", "Job")}


def test_ports_are_those_that_processes_listen_on() -> None:
    found = {
        (name, port["name"]): port["containerPort"] for name, one in pods().items() for port in one.get("ports", [])
    }
    observe = int(VARIABLES["TAMBOUR_OBSERVE__PORT"])
    assert found == {
        ("tambour-core", "inlet"): InletSettings().port,
        ("tambour-portal", "http"): PortalSettings().port,
        **{(worker, "observe"): observe for worker in WORKERS},
    }
    assert len({*found.values()}) == 3
    assert VARIABLES["TAMBOUR_OBSERVE__HOST"] == "0.0.0.0"


def test_probes_ask_what_answers_without_an_officer() -> None:
    asked = {
        (name, kind): (probe["httpGet"]["path"], probe["httpGet"]["port"])
        for name, one in pods().items()
        for kind, probe in one.items()
        if kind.endswith("Probe")
    }
    assert asked == {
        (name, kind): (path, "http" if name == "tambour-portal" else "observe")
        for name in {*WORKERS, "tambour-portal"}
        for kind, path in (("startupProbe", "/healthz"), ("livenessProbe", "/healthz"), ("readinessProbe", "/readyz"))
    }
    assert is_open("/healthz") and is_open("/readyz")
    opened = inspect.getsource(exposing.Door.open)
    assert all(f'"{path}"' in opened for path in ("/metrics", "/healthz", "/readyz"))


@pytest.mark.parametrize("name", sorted(WORKERS))
def test_worker_is_never_ended_for_what_it_waits_for(name: str) -> None:
    """What says that Kafka or the database is away is asked by the readiness probe alone, and it has time to say so."""
    one = pods()[name]
    assert one["livenessProbe"]["httpGet"]["path"] == one["startupProbe"]["httpGet"]["path"] == "/healthz"
    assert one["livenessProbe"]["periodSeconds"] * one["livenessProbe"]["failureThreshold"] >= 60
    assert one["startupProbe"]["periodSeconds"] * one["startupProbe"]["failureThreshold"] >= 120
    assert one["readinessProbe"]["timeoutSeconds"] > exposing._PATIENCE_S


def test_time_to_finish_is_more_than_a_worker_may_take(tmp_path: Path) -> None:
    stack = Stack(Home(tmp_path), Ports(), own={"TAMBOUR_SETTINGS": str(tmp_path / "none")})
    assert POD["terminationGracePeriodSeconds"] > stack.worker("core").stop_within + 5  # and the portal's preStop


def test_image_is_that_of_docker_compose() -> None:
    (kustomization,) = documents((KUBERNETES / "base/kustomization.yaml").read_text(encoding="utf-8"))
    (image,) = kustomization["images"]
    assert f"image: {image['name']}:{image['newTag']}\n" in (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
    assert {container(one)["image"] for one in WORKLOADS.values()} == {"tambour"}


# Least privilege


def test_every_pod_has_least_privilege() -> None:
    found = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in built()
        if one["kind"] in ("Deployment", "Job")
    }
    assert set(found) == set(WORKLOADS)
    for name, pod in found.items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True and pod["securityContext"]["runAsUser"] > 0
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        (only,) = pod["containers"]
        assert only["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert only["resources"]["requests"]["memory"] and only["resources"]["limits"]["memory"]
        assert not any("hostPath" in volume for volume in pod["volumes"])
        assert not pod.keys() & {"hostNetwork", "hostPID", "hostIPC"}


def test_user_is_that_of_the_image() -> None:
    user = re.search(r"^USER (\d+):(\d+)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert user is not None
    assert (POD["securityContext"]["runAsUser"], POD["securityContext"]["runAsGroup"]) == tuple(map(int, user.groups()))


def test_no_secret_stands_in_the_repository() -> None:
    assert not any(one["kind"] == "Secret" for one in built())
    for one in SECRETS.values():
        assert all("REPLACE-ME" in value for value in one["stringData"].values())
    assert not any(re.search(r"(PASSWORD|SECRET|TOKEN|DATABASE)$", name) for name in VARIABLES)


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    wanted = selector.get("matchLabels", {})
    listed = selector.get("matchExpressions", [])
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        labels.get(one["key"]) in one["values"] for one in listed
    )


def labels(name: str) -> dict[str, str]:
    own: dict[str, str] = WORKLOADS[name]["spec"]["template"]["metadata"]["labels"]
    return {"app.kubernetes.io/name": "tambour", **own}


def test_network_is_closed_but_for_what_each_needs() -> None:
    policies = of_kind("NetworkPolicy", BASE)
    assert all(selects(policies["tambour-closed"]["spec"]["podSelector"], labels(name)) for name in WORKLOADS)
    reached: dict[str, set[object]] = {name: set() for name in WORKLOADS}
    for policy in policies.values():
        for rule in policy["spec"].get("ingress", []):
            for name in WORKLOADS:
                if selects(policy["spec"]["podSelector"], labels(name)):
                    reached[name] |= {port["port"] for port in rule["ports"]}
    assert {name: ports for name, ports in reached.items() if ports} == {
        "tambour-core": {"inlet"},
        "tambour-portal": {"http"},
    }
    leaves = {
        name: {
            port["port"]
            for policy in policies.values()
            if selects(policy["spec"]["podSelector"], labels(name))
            for rule in policy["spec"].get("egress", [])
            for port in rule["ports"]
        }
        for name in WORKLOADS
    }
    assert leaves["tambour-migrate"] == leaves["tambour-portal"] == {53, 5432}
    for role in ROLES:
        assert {53, 5432, 9092, 443, 587} <= leaves[f"tambour-{role}"]


def test_world_reaches_only_the_paths_that_operations_names() -> None:
    (ingress,) = of_kind("Ingress", WRITTEN["overlays/example/ingress.yaml"]).values()
    paths = {one["path"] for rule in ingress["spec"]["rules"] for one in rule["http"]["paths"]}
    assert paths == {"/u/", "/webhooks/", "/static/", "/healthz"}
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    assert all(f"| `{path}` |" in operations for path in paths)


def test_services_and_budgets_select_what_is_there() -> None:
    for service in of_kind("Service", BASE).values():
        assert sum(selects({"matchLabels": service["spec"]["selector"]}, labels(name)) for name in WORKLOADS) == 1
    budgets = of_kind("PodDisruptionBudget", BASE)
    assert set(budgets) == set(of_kind("Deployment", BASE))
    for name, budget in budgets.items():
        assert [one for one in WORKLOADS if selects(budget["spec"]["selector"], labels(one))] == [name]
        assert budget["spec"]["maxUnavailable"] == 1  # with minAvailable, a single one could never be moved
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


# Scaling on lag


def test_groups_are_those_that_workers_join() -> None:
    assert 'make_app(f"tambour-{role}"' in inspect.getsource(worker)
    for one in SCALED:
        role = one["spec"]["scaleTargetRef"]["name"].removeprefix("tambour-")
        assert role in ROLES
        assert {trigger["metadata"]["consumerGroup"] for trigger in one["spec"]["triggers"]} == {f"tambour-{role}"}
    assert {one["spec"]["scaleTargetRef"]["name"] for one in SCALED} == {f"tambour-{role}" for role in ROLES}


@pytest.mark.parametrize("lane", Lane)
def test_lane_is_scaled_by_every_topic_of_its_batches(lane: Lane) -> None:
    (one,) = [one for one in SCALED if one["metadata"]["name"] == f"tambour-deliver-{lane}"]
    topics = {trigger["metadata"]["topic"] for trigger in one["spec"]["triggers"]}
    assert topics == {batches_topic(family, lane) for family in FAMILIES}


def test_lag_can_reach_what_the_largest_number_of_workers_asks_for() -> None:
    """The dispatcher keeps no more than ``depth`` batches on Kafka: lag that asked for more would never be seen."""
    for one in SCALED:
        role = one["spec"]["scaleTargetRef"]["name"].removeprefix("tambour-")
        if role == worker.CORE:
            continue
        most = one["spec"]["maxReplicaCount"]
        assert most <= KafkaSettings(bootstrap="k:1").partitions
        for trigger in one["spec"]["triggers"]:
            threshold = int(trigger["metadata"]["lagThreshold"])
            if role == f"deliver-{Lane.URGENT}":  # not the dispatcher's: a hand for every batch
                assert threshold == deliver_agent.AT_ONCE
            else:  # some wait for each of its hands
                assert threshold > deliver_agent.AT_ONCE
                assert most * threshold == DeliverySettings().depth


def test_core_is_scaled_by_the_events_that_nobody_has_read() -> None:
    (one,) = [one for one in SCALED if one["metadata"]["name"] == "tambour-core"]
    assert {trigger["metadata"]["topic"] for trigger in one["spec"]["triggers"]} == set(intake.TOPICS)


def test_scaling_looks_at_the_kafka_of_the_settings_and_owns_the_replicas() -> None:
    found = built()
    bootstrap = re.search(r'^bootstrap = "(.+)"$', (OVERLAY / "tambour.toml").read_text(encoding="utf-8"), re.MULTILINE)
    assert bootstrap is not None
    scaled = of_kind("ScaledObject", found)
    assert len(scaled) == len(SCALED)
    for one in scaled.values():
        assert {trigger["metadata"]["bootstrapServers"] for trigger in one["spec"]["triggers"]} == {bootstrap[1]}
        assert "replicas" not in of_kind("Deployment", found)[one["spec"]["scaleTargetRef"]["name"]]["spec"]


# Watching


def test_prometheus_finds_every_worker_and_the_portal_under_the_names_of_the_alerts() -> None:
    jobs = {}
    for one in of_kind("PodMonitor", WATCHED).values():
        (endpoint,) = one["spec"]["podMetricsEndpoints"]
        found = {name for name in WORKLOADS if selects(one["spec"]["selector"], labels(name))}
        ports = {port["name"] for name in found for port in pods()[name]["ports"]}
        assert endpoint["port"] in ports and endpoint["path"] == "/metrics"
        (relabeling,) = endpoint["relabelings"]
        assert relabeling["targetLabel"] == "job"
        jobs[relabeling["replacement"]] = found
    assert jobs == {"tambour": WORKERS, "tambour-portal": {"tambour-portal"}}
    (scraped,) = documents((ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    assert {one["job_name"] for one in scraped["scrape_configs"]} == set(jobs)
    (cluster,) = documents((ROOT / "deploy/prometheus/kubernetes.yml").read_text(encoding="utf-8"))
    assert {one["job_name"] for one in cluster["scrape_configs"]} == {"tambour"}
    assert 'job="tambour"' in (ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8")


def test_portal_shows_its_metrics_to_whoever_has_the_officers_token() -> None:
    assert of_kind("ConfigMap", built())["tambour-variables"]["data"]["TAMBOUR_OBSERVE__PORTAL"] == "true"
    (endpoint,) = of_kind("PodMonitor", WATCHED)["tambour-portal"]["spec"]["podMetricsEndpoints"]
    credentials = endpoint["authorization"]["credentials"]
    assert credentials["key"] in SECRETS[credentials["name"]]["stringData"]
    assert VARIABLES["TAMBOUR_PORTAL__OFFICER_TOKEN_FILE"].endswith(f"/{credentials['key']}")
    assert not is_open("/metrics")


def test_only_the_namespace_of_prometheus_reaches_the_port_of_metrics() -> None:
    assert not any(
        port["port"] == "observe"
        for policy in of_kind("NetworkPolicy", BASE).values()
        for rule in policy["spec"].get("ingress", [])
        for port in rule["ports"]
    )
    (policy,) = of_kind("NetworkPolicy", WATCHED).values()
    assert {name for name in WORKLOADS if selects(policy["spec"]["podSelector"], labels(name))} == WORKERS
    (rule,) = policy["spec"]["ingress"]
    assert rule["ports"] == [{"port": "observe", "protocol": "TCP"}]
    (source,) = rule["from"]
    assert set(source) == {"namespaceSelector"}


def test_alerts_become_a_rule_of_the_operator_by_the_command_of_the_document() -> None:
    text = (ROOT / "docs/deploy.md").read_text(encoding="utf-8")
    found = re.search(r"^(\(printf .*?\)) \| kubectl", text, re.MULTILINE | re.DOTALL)
    assert found is not None
    done = subprocess.run(["sh", "-c", found[1]], capture_output=True, text=True, cwd=ROOT, timeout=10)
    assert done.returncode == 0, done.stderr
    (rule,) = documents(done.stdout)
    (alerts,) = documents((ROOT / "deploy/prometheus/alerts.yml").read_text(encoding="utf-8"))
    assert (rule["kind"], rule["apiVersion"]) == ("PrometheusRule", "monitoring.coreos.com/v1")
    assert rule["spec"] == alerts
