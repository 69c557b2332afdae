"""
A task instance over KubeRay on the node: the engine alone, without Airflow, as a user who has the documented Role.

Each of its steps can be taken by another process: whatever one holds is made anew from the ledger and JSON.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_air.clusters.kuberay.backend import KubeRayBackend
from airflow_provider_air.clusters.kuberay.marks import selector_of
from airflow_provider_air.clusters.kuberay.permissions import role
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.contracts.connections import KubernetesServer
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.errors import UnavailableError
from airflow_provider_air.runs.admission import Admission, OwnPlaces
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.ledger import LEDGER_KEY, Attempt, Ledger
from airflow_provider_air.runs.plan import Plan, Try
from airflow_provider_air.runs.ports import Ports
from airflow_provider_air.runs.run import Run
from tests.fakes.connections import DictConnections
from tests.fakes.task_context import Store
from tests.kubernetes.node.node import Node

USER = "airflow"
CONN_ID = "kubernetes_default"
# So that several fit on a machine of two cores.
# Little is requested, so that many fit; with so little as a limit a head would start for minutes.
SMALL = {"cpu": 2, "memory": "1500Mi", "requests": {"cpu": "200m"}, "resources": {"CPU": 1}}
# KubeRay lets a RayJob go, and a kube-apiserver that was away has its operator start anew first: a minute or two.
GONE_SECONDS = 240.0


@dataclass
class Access:
    """A kubernetes connection of one user of the node."""

    kube: Node
    namespace: str
    user: str = USER
    conn_id: str = CONN_ID
    token: str | None = None
    asked: int = 0

    def server(self) -> KubernetesServer:
        """Give where the node's kube-apiserver answers."""
        self.asked += 1
        token = self.token or self.kube.credentials.tokens[self.user]
        headers = {"Authorization": f"Bearer {token}"}
        return KubernetesServer(
            self.kube.url, headers, verify=str(self.kube.credentials.authority), namespace=self.namespace
        )


def bind(
    kube: Node,
    namespace: str,
    user: str = USER,
    rules: Sequence[Mapping[str, Any]] | None = None,
    *,
    account: str | None = None,
) -> None:
    """
    Give a user, or a service account of the namespace, the documented Role there, or one of other rules.

    Returns when that counts: the kube-apiserver goes by what it watches.
    """
    made = role(namespace)
    made = made if rules is None else {**made, "rules": list(rules)}
    subject: dict[str, Any] = {"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"}
    if account is not None:
        subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "airflow-ray", "namespace": namespace},
        "subjects": [subject],
        "roleRef": {"kind": "Role", "name": made["metadata"]["name"], "apiGroup": "rbac.authorization.k8s.io"},
    }
    kube.admin.apply(made, binding)
    who = user if account is None else f"system:serviceaccount:{namespace}:{account}"
    granted = _permissions(made["rules"])
    asked = _permissions(role(namespace)["rules"]) | granted
    until(lambda: all(_may(kube, namespace, who, one) == (one in granted) for one in asked), "the Role to count")


def _permissions(rules: Sequence[Mapping[str, Any]]) -> set[tuple[str, str, str]]:
    return {
        (group, resource, verb)
        for rule in rules
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _may(kube: Node, namespace: str, user: str, permission: tuple[str, str, str]) -> bool:
    group, resource, verb = permission
    plural, _, part = resource.partition("/")
    attributes = {"namespace": namespace, "verb": verb, "group": group, "resource": plural, "subresource": part}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = kube.admin.call("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])


class Lines:
    """A task log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, /, *args: Any) -> None:
        self.lines.append(message % args if args else message)

    warning = info

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


@dataclass
class Board:
    """The XComs of the task."""

    values: dict[str, Any] = field(default_factory=dict)

    def read(self, key: str) -> Any:
        return self.values.get(key)

    def write(self, key: str, value: Any) -> None:
        self.values[key] = json.loads(json.dumps(value, allow_nan=False))


class Bench:
    """One task instance, in a namespace of the node."""

    def __init__(self, kube: Node, namespace: str, task: str = "train") -> None:
        self.kube, self.namespace = kube, namespace
        self.key = TaskKey("tests", "flights", f"manual__{time.time()}", task)
        self.access = Access(kube, namespace)
        self.store, self.board, self.log = Store(), Board(), Lines()
        self.request = JobRequest("python -c \"print('hello from a pod')\"")
        self.cluster: dict[str, Any] = {}
        self.target: ClusterRef | None = None
        self.plan: dict[str, Any] = {}

    @property
    def connections(self) -> DictConnections:
        return DictConnections({("kubernetes", CONN_ID): self.access})

    @property
    def owner(self) -> ClusterOwner:
        return ClusterOwner("tests", self.key)

    def backend(self, name: str = "kuberay") -> KubeRayBackend:
        """Give the back end of a new process."""
        assert name == "kuberay"
        return KubeRayBackend(self.connections)

    def spec(self, **fields: Any) -> KubeRayCluster:
        """Give a head without workers, in the test's image."""
        return KubeRayCluster(**{"image": self.kube.ray_image, "workers": 0, "head": SMALL, **self.cluster, **fields})

    def run(self, try_number: int = 1, max_tries: int = 2) -> Run:
        """Give a try's run, in a process of its own."""
        ports = Ports(
            self.board,
            self.connections,
            self.backend,
            self.log,
            RealClock(),
            Admission(OwnPlaces()),
            self.store,
        )
        plan = Plan("submit", lambda: self.target or self.spec(), lambda info: self.request, **self.plan)
        return Run(plan, Try(self.key, try_number, max_tries), ports)

    def go_on(self, run: Run, step: Wait | Done, try_number: int = 1) -> Any:
        """Wait in place for each step, every one taken by another process."""
        while isinstance(step, Wait):
            event = run.wait(Wait.from_json(json.loads(json.dumps(step.to_json()))))
            run = self.run(try_number)
            step = run.resume(json.loads(json.dumps(event)))
        return step.result

    def whole(self, try_number: int = 1) -> Any:
        """Do a whole try."""
        run = self.run(try_number)
        return self.go_on(run, run.begin(), try_number)

    @property
    def attempts(self) -> list[Attempt]:
        return list(Ledger.from_json(self.store.get(LEDGER_KEY)).attempts)

    @property
    def phases(self) -> list[str]:
        return [attempt.phase for attempt in self.attempts]

    @property
    def ref(self) -> ClusterRef:
        """The cluster of the last attempt."""
        return self.attempts[-1].cluster_ref

    def wait_for(self, ref: ClusterRef, *states: ClusterState, words: str = "", seconds: float = 300) -> ClusterStatus:
        """Look until a cluster is in one of these states, and says some words."""
        end, backend, seen = time.monotonic() + seconds, self.backend(), None
        while True:
            try:
                seen = backend.describe(ref)
                if seen.state in states and words in seen.message:
                    return seen
            except UnavailableError as error:
                seen = error  # type: ignore[assignment]
            assert time.monotonic() < end, f"{ref.name} is not {states} {words!r}, but {seen}"
            time.sleep(0.3)

    def ready(self, **spec: Any) -> ClusterRef:
        """Have a shared RayCluster that takes work."""
        made = self.spec(**{"name": "shared", **spec})
        backend = self.backend()
        ref = backend.ensure(made, backend.name_of(made, self.key), owner=self.owner)
        self.wait_for(ref, ClusterState.READY)
        return ref

    def left(self) -> list[str]:
        """Name what has our labels in the namespace, pods among it."""
        labels = selector_of(None)
        found = []
        for plural, of in (("rayjobs", "ray.io/v1"), ("rayclusters", "ray.io/v1"), ("pods", "v1")):
            items = self.kube.admin.items(plural, self.namespace, of, labelSelector=labels)
            found += [f"{plural}/{item['metadata']['name']}" for item in items]
        return found

    def assert_nothing_is_left(self, seconds: float = GONE_SECONDS) -> None:
        """See that all that has our labels goes."""
        end = time.monotonic() + seconds
        while left := self.left():
            assert time.monotonic() < end, f"left: {left}"
            time.sleep(0.5)

    def jobs_of_ray(self, ref: ClusterRef | None = None) -> list[str]:
        """Give the submission ids that the cluster's Ray has ever seen."""
        jobs = self.backend().jobs(ref or self.ref)
        return sorted(job.submission_id for job in jobs.all())

    def head(self, ref: ClusterRef | None = None) -> dict[str, Any]:
        """Give the head's pod of the cluster that has one."""
        query = "ray.io/node-type=head" if ref is None else f"ray.io/node-type=head,ray.io/cluster={ref.name}"
        (found,) = [
            pod
            for pod in self.kube.admin.items("pods", self.namespace, labelSelector=query)
            if not pod["metadata"].get("deletionTimestamp")
        ]
        return dict(found)


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait for something true, and give it."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.2)
    return found


@contextmanager
def timed(what: str, into: dict[str, float]) -> Iterator[None]:
    """Measure a block."""
    began = time.monotonic()
    yield
    into[what] = time.monotonic() - began
