"""A running node: started, asked, broken and mended part by part, and stopped to the last process."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import httpx

from tests.kubernetes.node import addons, binaries, images, leftovers, namespaces, parts, ray_image
from tests.kubernetes.node.addons import Operator
from tests.kubernetes.node.addresses import Addresses
from tests.kubernetes.node.api import Api, condition, of_user
from tests.kubernetes.node.credentials import ADMIN, NODE_NAME, Credentials

# Of a machine that reads all of it from its disk for the first time.
READY_SECONDS = 300
# The folder of a node that runs already (``python -m tests.kubernetes.node``).
ATTACH = "AIR_KUBE_NODE"


def build() -> None:
    """Make all that a node needs, so that its start makes nothing: the first time about 15 minutes on two cores."""
    for binary in binaries.ALL:
        binary.path()
    images.store()
    for operator in addons.OPERATORS:
        operator.manifests()


@dataclasses.dataclass
class Node:
    """One node, in its slot; of this process, or of another that runs ``python -m tests.kubernetes.node``.

    Pods may mount folders of this machine by ``hostPath``, but those in ``/run`` and ``/var`` are the node's own.
    """

    addresses: Addresses
    credentials: Credentials
    first: int
    commands: dict[str, list[str]]
    admin: Api
    unshare: subprocess.Popen[bytes] | None = None

    @classmethod
    def start(cls, operators: Sequence[Operator] = addons.OPERATORS) -> Self:
        """Start one and wait until pods, names and operators are ready: about 15 seconds after :func:`build`.

        :raises RuntimeError: when something of it does not start; nothing is left of it then.
        """
        build()
        slot = leftovers.take_slot()
        try:
            node = cls._begin(Addresses(slot))
            node._install(operators)
        except BaseException:
            leftovers.release(slot)
            raise
        return node

    @classmethod
    def attach(cls, folder: Path) -> Self:
        """Take the node of another process, by its folder; it is that process that stops it.

        :raises RuntimeError: when none runs there.
        """
        addresses = Addresses(int(folder.name))
        first = leftovers.first_process(addresses.slot)
        if first is None:
            raise RuntimeError(f"no node runs in {folder}")
        credentials = Credentials.read(folder / "credentials")
        commands = json.loads((folder / "commands.json").read_text())
        return cls(addresses, credentials, first, commands, of_user(addresses.url, credentials, ADMIN))

    @classmethod
    def _begin(cls, addresses: Addresses) -> Self:
        folder = leftovers.folder(addresses.slot)
        for group in leftovers.controllers():
            (group / parts.cgroup(addresses)).mkdir()
        credentials = Credentials.create(folder / "credentials", addresses)
        first, unshare = namespaces.start(folder, addresses, images.store())
        leftovers.write_state(addresses.slot, first)
        commands = parts.commands(folder, addresses)
        (folder / "commands.json").write_text(json.dumps(commands))
        node = cls(addresses, credentials, first, commands, of_user(addresses.url, credentials, ADMIN), unshare)
        for name in parts.FIRST:
            node.start_part(name)
        node.wait_answering()
        for name in parts.THEN:
            node.start_part(name)
        return node

    def _install(self, operators: Sequence[Operator]) -> None:
        self.admin.apply(*addons.names_of_services(self.addresses))
        for operator in operators:
            self.admin.apply(*operator.manifests())
        self.wait_ready()
        for operator in operators:
            self.admin.wait(
                "deployments", operator.deployment, operator.namespace, of="apps/v1", seconds=READY_SECONDS,
                until=lambda seen: seen.get("status", {}).get("readyReplicas"),
            )  # fmt: skip

    def stop(self) -> None:
        """End all of it and remove what it had on this machine.

        :raises RuntimeError: when something stays, or the node is another process's.
        """
        if self.unshare is None:
            raise RuntimeError("this node belongs to another process")
        self.admin.close()
        leftovers.release(self.addresses.slot)
        self.unshare.wait(60)

    # What it is

    @property
    def folder(self) -> Path:
        """Its folder on this machine: logs in ``log``, configurations, credentials."""
        return leftovers.folder(self.addresses.slot)

    @property
    def url(self) -> str:
        """The kube-apiserver's URL, from this machine, from pods and from :meth:`outside`."""
        return self.addresses.url

    @property
    def host(self) -> str:
        """The address by which pods reach a server of this machine that listens there."""
        return self.addresses.host

    @property
    def ray_image(self) -> str:
        """The image for Ray's pods."""
        return ray_image.name()

    def user(self, name: str) -> Api:
        """Give the kube-apiserver as a user of the token file sees it."""
        return of_user(self.url, self.credentials, name)

    def log(self, part: str) -> str:
        """Give the end of what a part printed."""
        return (self.folder / "log" / part).read_text(errors="replace")[-8000:]

    @contextlib.contextmanager
    def namespace(self, **labels: str) -> Iterator[str]:
        """Make a namespace in which pods can run; in the end delete it, its pods without their time to end."""
        name = f"test-{secrets.token_hex(4)}"
        meta = {"name": name, "labels": labels}
        self.admin.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
        try:
            self.admin.wait("serviceaccounts", "default", name, until=bool)
            yield name
        finally:
            self.admin.delete("namespaces", name)
            for pod in self.admin.items("pods", name):
                self.admin.delete("pods", pod["metadata"]["name"], name, gracePeriodSeconds="0")

    # Commands

    def kubectl(self, *arguments: str, user: str = ADMIN, given: str = "") -> str:
        """Run kubectl as a user; give what it printed.

        :raises RuntimeError: when it fails, with what it said.
        """
        command = [str(binaries.NODE.path()), "kubectl", "--kubeconfig", str(self.credentials.kubeconfig(user))]
        done = subprocess.run([*command, *arguments], input=given, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"kubectl {' '.join(arguments)}: {done.stdout}{done.stderr}")
        return done.stdout

    def outside(self, *command: str) -> list[str]:
        """Give a command as it is run where the kube-apiserver is reached, loopback, and nothing else.

        Files and processes are this machine's, the network is not: no name is resolved there.
        """
        return namespaces.in_outside(self.first, command)

    def inside(self, *command: str, seconds: float = 60) -> str:
        """Run a command in the node's own namespaces; give what it printed.

        :raises RuntimeError: when it fails, with what it said.
        """
        return namespaces.run_inside(self.first, *command, seconds=seconds)

    # Faults

    def start_part(self, name: str) -> None:
        """Start a part that does not run."""
        log = namespaces.RUN / "log" / name
        self._ask({"start": name, "argv": self.commands[name], "log": str(log)})

    def kill(self, name: str) -> None:
        """Kill a part at once; it stays away until :meth:`start_part`. Pods live on."""
        self._ask({"signal": name, "number": signal.SIGKILL})
        _until(lambda: self.ended(name), f"{name} does not end")

    def restart(self, name: str) -> None:
        """Kill a part and start it again; for the kube-apiserver, until it answers."""
        self.kill(name)
        self.start_part(name)
        if name == "kube-apiserver":
            self.wait_answering()

    def freeze(self, name: str) -> None:
        """Stop a part as it is: its connections stay open and silent, until :meth:`thaw`."""
        self._ask({"signal": name, "number": signal.SIGSTOP})

    def thaw(self, name: str) -> None:
        """Let a frozen part go on."""
        self._ask({"signal": name, "number": signal.SIGCONT})

    def ended(self, name: str) -> bool:
        """Say whether a part does not run."""
        return self.parts()[name]["ended"] is not None

    def parts(self) -> dict[str, dict[str, Any]]:
        """Give all parts that were ever started: ``pid`` (inside) and ``ended`` (None, or its exit code)."""
        told: dict[str, dict[str, Any]] = self._ask({"list": True})["parts"]
        return told

    def compact(self) -> None:
        """Have etcd forget all but the present, and the kube-apiserver its own memory of what was: it is restarted.

        Who then goes on from an older resourceVersion is told 410 (Gone).
        """
        self._etcd("compaction", {"revision": self._etcd("range", {"key": "Lw=="})["header"]["revision"]})
        self.restart("kube-apiserver")

    def scale_operator(self, replicas: int, operator: Operator = addons.KUBERAY) -> None:
        """Give an operator so many replicas and wait for that; at none nobody answers for its resources."""
        self.admin.patch(
            "deployments", operator.deployment, operator.namespace, {"spec": {"replicas": replicas}}, "apps/v1"
        )
        self.admin.wait(
            "deployments", operator.deployment, operator.namespace, of="apps/v1", seconds=READY_SECONDS,
            until=lambda seen: seen["status"].get("readyReplicas", 0) == seen["status"].get("replicas", 0) == replicas,
        )  # fmt: skip
        # A pod that is on its way out is counted no more, and still does its work.
        _until(lambda: len(self._pods_of(operator)) == replicas, f"{operator.name} stays", seconds=READY_SECONDS)

    def renew_operator(self, operator: Operator = addons.KUBERAY) -> None:
        """Replace an operator's pod that has ended once, as it does when the kube-apiserver is away for long.

        Its kubelet lets it wait ever longer before it may start again, up to five minutes.
        """
        if not any(map(_has_restarted, self._pods_of(operator))):
            return
        for pod in self._pods_of(operator):
            self.admin.delete("pods", pod["metadata"]["name"], operator.namespace)
        _until(lambda: self._is_fresh(operator), f"{operator.name} is not ready", seconds=READY_SECONDS)

    def _is_fresh(self, operator: Operator) -> bool:
        pods = self._pods_of(operator)
        return len(pods) == 1 and condition(pods[0], "Ready") == "True" and not _has_restarted(pods[0])

    def _pods_of(self, operator: Operator) -> list[dict[str, Any]]:
        return self.admin.items("pods", operator.namespace)

    def wait_answering(self) -> None:
        """Wait until the kube-apiserver says that it is ready."""
        _until(
            lambda: self._answers(f"{self.url}/readyz"), "the kube-apiserver does not answer", self._why, READY_SECONDS
        )

    def wait_ready(self) -> None:
        """Wait until pods can run and names are resolved."""
        self.admin.wait(
            "nodes", NODE_NAME, seconds=READY_SECONDS, until=lambda seen: condition(seen, "Ready") == "True"
        )
        _until(
            lambda: self._answers(f"http://{self.addresses.node}:8181/ready"),
            "CoreDNS is not ready",
            self._why,
            READY_SECONDS,
        )

    def _why(self) -> str:
        ended = [name for name, part in self.parts().items() if part["ended"] is not None]
        return "\n".join(f"{name}: {self.log(name)[-2000:]}" for name in ended or ["kube-apiserver"])

    def _answers(self, url: str) -> bool:
        try:
            return self.admin.http.get(url).is_success
        except httpx.TransportError:
            return False

    def _etcd(self, call: str, body: dict[str, Any]) -> dict[str, Any]:
        script = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], sys.argv[2].encode()).read().decode())"
        python = [os.path.realpath("/proc/self/exe"), "-I", "-S", "-c", script]
        told: dict[str, Any] = json.loads(self.inside(*python, f"{parts.ETCD}/v3/kv/{call}", json.dumps(body)))
        return told

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(10)
            asked.connect(str(namespaces.control_socket(self.first)))
            with asked.makefile("rw") as lines:
                lines.write(json.dumps(request) + "\n")
                lines.flush()
                told: dict[str, Any] = json.loads(lines.readline())
        if "error" in told:
            raise RuntimeError(told["error"])
        return told


def _has_restarted(pod: dict[str, Any]) -> bool:
    return any(each["restartCount"] for each in pod["status"].get("containerStatuses", []))


def _until(met: Callable[[], bool], otherwise: str, why: Callable[[], str] = str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{otherwise}\n{why()}")
        time.sleep(0.05)


@contextlib.contextmanager
def running() -> Iterator[Node]:
    """Have the node that :data:`ATTACH` names, else one of this process alone.

    :raises RuntimeError: when it does not start
    """
    if os.environ.get(ATTACH):
        yield Node.attach(Path(os.environ[ATTACH]))
        return
    node = Node.start()
    try:
        yield node
    finally:
        node.stop()
