"""The node that the other tests stand on: what it can do, and that nothing of it stays."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.kubernetes import manifests
from tests.kubernetes.node import leftovers, namespaces
from tests.kubernetes.node.addresses import Addresses
from tests.kubernetes.node.api import ApiError, condition
from tests.kubernetes.node.credentials import NODE_NAME
from tests.kubernetes.node.node import Node
from tests.kubernetes.node.ray_image import name as ray_image
from tests.kubernetes.node.ray_image import requirements

pytestmark = pytest.mark.integration
REPOSITORY = Path(__file__).parents[2]


def finished(node: Node, name: str, namespace: str, *command: str, **spec: Any) -> str:
    """Run a command in a pod to its end; give what it printed."""
    node.admin.apply(manifests.pod(name, namespace, *command, **spec))
    return ended(node, name, namespace)


def ended(node: Node, name: str, namespace: str) -> str:
    """Wait for the good end of a pod; give what it printed."""
    seen = node.admin.wait("pods", name, namespace, until=lambda pod: pod["status"]["phase"] in ENDED)
    log = node.admin.log(name, namespace)
    assert seen["status"]["phase"] == "Succeeded", log
    return log.strip()


ENDED = ("Succeeded", "Failed")
FETCH = "import urllib.request as u, sys; print(u.urlopen(sys.argv[1], timeout=20).read().decode())"


def test_the_node_and_all_its_parts_are_ready(kube: Node) -> None:
    assert condition(kube.admin.get("nodes", NODE_NAME), "Ready") == "True"
    assert {name: part["ended"] for name, part in kube.parts().items()} == dict.fromkeys(kube.commands)
    assert kube.kubectl("version", "--output=json").count("v1.35.4") == 2


def test_a_pod_has_names_the_other_pods_and_this_machine(kube: Node, namespace: str) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"from the host")

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer((kube.host, 0), Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://{kube.host}:{server.server_port}"
        assert finished(kube, "host", namespace, "python", "-c", FETCH, url) == "from the host"
        server.shutdown()
    metrics = "http://kuberay-operator.ray-system.svc.cluster.local:8080/metrics"
    assert "controller_runtime" in finished(kube, "names", namespace, "python", "-c", FETCH, metrics)


def test_the_ray_image_has_the_packages_of_the_lock(kube: Node, namespace: str) -> None:
    frozen = "from importlib.metadata import version; import sys; print(*map(version, sys.argv[1:]))"
    wanted = dict(each.replace("[default,serve,data,train,tune]", "").split("==") for each in requirements())
    assert finished(kube, "packages", namespace, "python", "-c", frozen, *wanted).split() == list(wanted.values())
    who = finished(
        kube, "who", namespace, "sh", "-c", "id -u; echo $HOME; which ray redis-server", securityContext=RESTRICTED_POD
    )
    assert who.split() == ["1000", "/home/ray", "/usr/local/bin/ray", "/usr/bin/redis-server"]


RESTRICTED_POD = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_a_pod_runs_the_airflow_of_the_tests_with_in_cluster_config(kube: Node, namespace: str) -> None:
    script = """
from airflow import __version__
from kubernetes import client, config
import airflow_provider_air
config.load_incluster_config()
seen = client.CoreV1Api().list_namespaced_pod(sys.argv[1]).items
print(__version__, *(pod.metadata.name for pod in seen))
"""
    kube.kubectl(
        "create", "rolebinding", "v", "--clusterrole=view", f"--serviceaccount={namespace}:default", "-n", namespace
    )
    command = (sys.executable, "-c", f"import sys{script}", namespace)
    kube.admin.apply(manifests.pod_of_the_tests("airflow", namespace, *command))
    assert ended(kube, "airflow", namespace).splitlines()[-1] == f"{version('apache-airflow')} airflow"


def test_a_ray_head_with_a_token_is_reached_through_the_kube_apiserver(kube: Node, namespace: str) -> None:
    kube.admin.apply(manifests.ray_cluster("little", namespace))
    kube.admin.wait(
        "rayclusters", "little", namespace, of="ray.io/v1", seconds=300,
        until=lambda seen: condition(seen, "HeadPodReady") == "True",
    )  # fmt: skip
    token = base64.b64decode(kube.admin.get("secrets", "little", namespace)["data"]["auth_token"]).decode()
    path = kube.admin.path("services", "little-head-svc:dashboard", namespace, sub="proxy/api/version")

    assert kube.admin.http.get(path).status_code == 401
    told = kube.admin.http.get(path, headers={"X-Ray-Authorization": f"Bearer {token}"})
    assert told.json()["ray_version"] == ray_image().rpartition(":")[2]


def test_outside_only_the_kube_apiserver_is_reached(kube: Node, namespace: str) -> None:
    kube.admin.apply(manifests.pod("server", namespace, "python", "-m", "http.server", "8000"))
    pod = kube.admin.wait("pods", "server", namespace, until=lambda seen: condition(seen, "Ready") == "True")
    reached = {
        "kube-apiserver": (kube.addresses.node, 6443),
        "kubelet": (kube.addresses.node, 10250),
        "pod": (pod["status"]["podIP"], 8000),
        "host": (kube.host, 8000),
    }
    script = """
import json, socket, sys
def reached(address):
    try:
        socket.create_connection(address, 5).close()
    except OSError as error:
        return type(error).__name__
    return True
print(json.dumps({name: reached(tuple(address)) for name, address in json.loads(sys.argv[1]).items()}))
"""
    command = kube.outside(sys.executable, "-c", script, json.dumps(reached))
    seen = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout)
    assert {name for name, how in seen.items() if how is True} == {"kube-apiserver"}, seen


def test_users_may_what_is_bound_to_them_and_accounts_get_tokens(kube: Node, namespace: str) -> None:
    with pytest.raises(ApiError, match='"airflow" cannot list resource "pods"') as refused:
        kube.user("airflow").items("pods", namespace)
    assert refused.value.status == 403
    kube.kubectl("create", "rolebinding", "view", "--clusterrole=view", "--user=airflow", "-n", namespace)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            assert kube.user("airflow").items("pods", namespace) == []
            break
        except ApiError:
            time.sleep(0.1)
    else:
        pytest.fail("the binding is not seen")
    token = kube.admin.token_for("default", namespace)
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    told = kube.admin.call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)["status"]
    assert told["user"]["username"] == f"system:serviceaccount:{namespace}:default"


def test_every_part_is_killed_and_comes_back_while_a_pod_lives_on(kube: Node, namespace: str) -> None:
    kube.admin.apply(manifests.pod("living", namespace, "sleep", "600"))
    kube.admin.wait("pods", "living", namespace, until=lambda seen: condition(seen, "Ready") == "True")
    for name in kube.commands:
        kube.restart(name)
    kube.wait_answering()
    assert finished(kube, "next", namespace, "echo", "ran") == "ran"
    living = kube.admin.get("pods", "living", namespace)["status"]["containerStatuses"][0]
    assert (living["restartCount"], list(living["state"])) == (0, ["running"])
    assert not [name for name in kube.commands if kube.ended(name)]


def test_parts_are_broken_and_mended(kube: Node, namespace: str) -> None:
    kube.admin.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": namespace}})
    before = kube.admin.get("configmaps", "a", namespace)["metadata"]["resourceVersion"]
    kube.kill("kube-apiserver")
    with pytest.raises(RuntimeError, match="kubectl get nodes"):
        kube.kubectl("get", "nodes", "--request-timeout=2s")
    kube.start_part("kube-apiserver")
    kube.wait_answering()
    kube.compact()
    watched = kube.admin.path("configmaps", "", namespace)
    query = {"watch": "1", "resourceVersion": str(int(before) - 1), "timeoutSeconds": "5"}
    told = kube.admin.http.get(watched, params=query).text.splitlines()[0]
    assert json.loads(told)["object"]["code"] == 410
    kube.scale_operator(0)
    kube.scale_operator(1)
    kube.wait_ready()


# What stays, and of whom.


class Supervisor:
    """``python -m tests.kubernetes.node`` as a process of its own."""

    def __init__(self, log: Path) -> None:
        command = [sys.executable, "-m", "tests.kubernetes.node"]
        with open(log, "w") as out:
            self.process = subprocess.Popen(command, cwd=REPOSITORY, stdout=out, stderr=out)
        try:
            until(lambda: "AIR_KUBE_NODE=" in log.read_text(), "a second node starts", 120)
            told = log.read_text().partition("AIR_KUBE_NODE=")[2].split()[0]
            self.node = Node.attach(Path(told))
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(60)


@pytest.mark.full
def test_nothing_of_a_node_stays_whether_it_is_stopped_or_killed(tmp_path: Path, kube: Node) -> None:
    tables = nft_tables()
    killed = Supervisor(tmp_path / "killed.log")
    slot = killed.node.addresses.slot
    assert slot != kube.addresses.slot
    finished(killed.node, "pod", "default", "true")
    space = os.readlink(f"/proc/{killed.node.first}/ns/mnt")
    had = traces(slot, space)
    assert [kind for kind, found in had.items() if not found] == ["mounts"], "what is looked for is there while it runs"
    killed.end(signal.SIGKILL)
    # By itself, and at once: all but files.
    until(
        lambda: [kind for kind, found in traces(slot, space).items() if found] == ["control groups", "files"], "it dies"
    )

    stopped = Supervisor(tmp_path / "stopped.log")
    assert stopped.node.addresses.slot == slot, "the next one cleans up after it and takes its place"
    space = os.readlink(f"/proc/{stopped.node.first}/ns/mnt")
    stopped.end(signal.SIGTERM)
    assert stopped.process.returncode == 0
    assert traces(slot, space) == {kind: [] for kind in had}
    assert nft_tables() == tables


def until(met: Callable[[], bool], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def nft_tables() -> str:
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout


def traces(slot: int, space: str) -> dict[str, list[str]]:
    """Find all that a node has on this machine, whose processes have this namespace of mounts."""
    addresses, folder = Addresses(slot), leftovers.folder(slot)
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout.splitlines()
    return {
        "processes": processes(space),
        "interfaces": [name for name in os.listdir("/sys/class/net") if name == namespaces.link_name(addresses)],
        "routes": [line for line in routes if addresses.pods in line or addresses.services in line],
        "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(folder) in line],
        "control groups": [str(group) for group in leftovers.control_groups(slot)],
        "files": [path.name for path in folder.iterdir() if path.name != "lock"],
    }


def processes(space: str) -> list[str]:
    """Give the command of every process in a namespace of mounts."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            if os.readlink(path / "ns/mnt") == space:
                found.append((path / "cmdline").read_text().replace("\0", " "))
    return found
