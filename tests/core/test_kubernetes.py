"""The manifests of docs/examples/kubernetes: valid, and the same deployment as the image and docker-compose.yml."""

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml
from gunicorn.config import GracefulTimeout

from core.env import SECRETS
from tests.core.test_deployment import COMPOSE, DOCKERFILE, read_by_settings
from tests.servers import ROOT

FOLDER = ROOT / "docs" / "examples" / "kubernetes"
OBJECTS = [each for path in sorted(FOLDER.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]
PORT = int(re.search(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)[1])
USER = int(re.search(r"--uid (\d+)", DOCKERFILE)[1])


def name_of(thing: dict[str, Any]) -> str:
    return f"{thing['kind']} {thing['metadata']['name']}"


def only(kind: str, name: str = "doorcode") -> dict[str, Any]:
    [found] = [each for each in OBJECTS if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return found


def pod(name: str) -> dict[str, Any]:
    return only("Job" if name == "migrate" else "Deployment", f"doorcode-{name}")["spec"]["template"]["spec"]


def container(name: str) -> dict[str, Any]:
    [found] = pod(name)["containers"]
    return found


PODS = ("web", "worker", "beat", "migrate")


@pytest.mark.parametrize("version", ["1.30", kubernetes_validate.latest_version()])
@pytest.mark.parametrize("thing", OBJECTS, ids=name_of)
def test_an_object_is_what_the_api_takes(thing: dict[str, Any], version: str) -> None:
    """By the schemas of Kubernetes itself; `strict` refuses a field that they don't know."""
    assert version.startswith(kubernetes_validate.validate(thing, version, strict=True))
    assert "namespace" not in thing["metadata"]


def test_the_schemas_refuse_a_mistake() -> None:
    """A misspelt field is none that the tests above would let pass."""
    wrong = yaml.safe_load((FOLDER / "beat.yaml").read_text())
    wrong["spec"]["template"]["spec"]["terminationGracePeriod"] = 60
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(wrong, "1.30", strict=True)


def test_every_variable_is_a_setting() -> None:
    """Secrets are files: each variable of one names a file that the Secret brings, and no other place has a secret."""
    config, secret = only("ConfigMap")["data"], only("Secret")["stringData"]
    files = {name.removesuffix("_FILE"): path for name, path in config.items() if name.endswith("_FILE")}
    assert set(config) - {f"{name}_FILE" for name in files} <= read_by_settings() - set(SECRETS)
    assert set(files) == set(secret) <= set(SECRETS)
    assert [path for name, path in files.items() if path != f"/etc/doorcode/{name}"] == []
    assert [name for name in PODS if "env" in container(name)] == []


@pytest.mark.parametrize("name", PODS)
def test_a_process_is_the_one_of_compose(name: str) -> None:
    """The same command, image for image, and as long to stop."""
    service = COMPOSE["services"][name]
    assert container(name).get("args") == service.get("command")
    assert "command" not in container(name)  # that would be the image's ENTRYPOINT, of which it has none
    assert "ENTRYPOINT" not in DOCKERFILE
    assert container(name)["image"] == container("web")["image"]
    assert container(name)["envFrom"] == [{"configMapRef": {"name": "doorcode"}}]
    assert pod(name)["terminationGracePeriodSeconds"] == int(service["stop_grace_period"].removesuffix("s"))


@pytest.mark.parametrize("name", PODS)
def test_a_process_may_do_and_write_as_little_as_possible(name: str) -> None:
    """The image's user, no capability, no account of the cluster, and a root that is read-only but for /tmp."""
    security = pod(name)["securityContext"]
    assert (security["runAsNonRoot"], security["runAsUser"]) == (True, USER)
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(name)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(name)["automountServiceAccountToken"] is False
    volumes = {each["name"]: each for each in pod(name)["volumes"]}
    writable = {
        each["mountPath"]: volumes[each["name"]] for each in container(name)["volumeMounts"] if "readOnly" not in each
    }
    assert set(writable) == ({"/tmp", "/dev/shm"} if name == "web" else {"/tmp"})
    assert all(volume["emptyDir"]["sizeLimit"] for volume in writable.values())


def test_the_port_leads_from_the_ingress_to_gunicorn() -> None:
    """By one name; the NetworkPolicy opens the same."""
    [port] = container("web")["ports"]
    assert port == {"name": "http", "containerPort": PORT}
    [served] = only("Service", "doorcode-web")["spec"]["ports"]
    [path] = only("Ingress")["spec"]["rules"][0]["http"]["paths"]
    [opened] = only("NetworkPolicy", "doorcode-web")["spec"]["ingress"]
    assert served["targetPort"] == path["backend"]["service"]["port"]["name"] == opened["ports"][0]["port"] == "http"
    assert path["backend"]["service"]["name"] == "doorcode-web"
    [host] = [rule["host"] for rule in only("Ingress")["spec"]["rules"]]
    assert only("ConfigMap")["data"]["SITE_URL"] == f"https://{host}"
    assert only("Ingress")["spec"]["tls"][0]["hosts"] == [host]


def test_the_web_is_probed_and_stops_in_time() -> None:
    """
    Only the start asks for the dependencies, and waits for them. Nothing restarts a web whose threads wait for the
    database. Before gunicorn stops, the proxies have stopped sending requests.
    """
    web = container("web")
    paths = {name: probe["httpGet"]["path"] for name, probe in web.items() if name.endswith("Probe")}
    assert paths == {"startupProbe": "/readyz", "readinessProbe": "/healthz"}
    assert web["startupProbe"]["periodSeconds"] * web["startupProbe"]["failureThreshold"] >= 1800
    command, seconds = web["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert 5 <= int(seconds) < pod("web")["terminationGracePeriodSeconds"] - GracefulTimeout.default


def test_a_worker_is_watched_as_in_compose() -> None:
    """By the same ping, which never restarts it: while the broker is down, its sweeper sends the mails."""
    [_, ping] = COMPOSE["services"]["worker"]["healthcheck"]["test"]
    worker = container("worker")
    assert worker["readinessProbe"]["exec"]["command"] == ["sh", "-c", ping.replace("$$", "$")]
    assert "livenessProbe" not in worker


@pytest.mark.parametrize("name", ["web", "worker"])
def test_a_roll_out_or_a_drained_node_leaves_one(name: str) -> None:
    """A new one is ready before an old one goes; the budget selects the pods of the Deployment."""
    spec = only("Deployment", f"doorcode-{name}")["spec"]
    assert spec["replicas"] >= 2
    assert spec["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    budget = only("PodDisruptionBudget", f"doorcode-{name}")["spec"]
    assert budget == {"maxUnavailable": 1, "selector": spec["selector"]}


def test_a_roll_out_is_over_before_the_doctor_is_asked() -> None:
    """deploy-kubernetes.md's `kubectl exec` might ask a pod of the release before, and nobody would see one that never gets ready."""
    page = (ROOT / "docs" / "how-to" / "deploy-kubernetes.md").read_text()
    steps = [
        "apply -f worker.yaml",
        "rollout status deployment/doorcode-worker",
        "apply -f web.yaml",
        "rollout status deployment/doorcode-web",
        "exec",
    ]
    places = [page.index(f"kubectl {step} ") for step in steps]
    assert places == sorted(places)


def test_there_is_one_beat() -> None:
    """The old one ends before a new one starts."""
    spec = only("Deployment", "doorcode-beat")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_selectors_meet_the_labels_of_their_pods() -> None:
    """Each Deployment, the Service, and the two NetworkPolicies, which together select every pod."""
    labels = {
        name: only("Job" if name == "migrate" else "Deployment", f"doorcode-{name}")["spec"]["template"]["metadata"][
            "labels"
        ]
        for name in PODS
    }
    for name in ("web", "worker", "beat"):
        assert only("Deployment", f"doorcode-{name}")["spec"]["selector"]["matchLabels"] == labels[name]
    assert only("Service", "doorcode-web")["spec"]["selector"] == labels["web"]
    assert only("NetworkPolicy", "doorcode-web")["spec"]["podSelector"]["matchLabels"] == labels["web"]
    others = only("NetworkPolicy", "doorcode-others")["spec"]["podSelector"]
    assert others["matchLabels"].items() <= labels["web"].items()
    assert others["matchExpressions"] == [
        {"key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["web"]}
    ]
