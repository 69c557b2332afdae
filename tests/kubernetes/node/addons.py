"""What is installed into the cluster: names for services, and operators by their own manifests.

An operator of another module (Kueue) is one more entry: its program among ``binaries.ALL``, its image among
``images.PROGRAMS``, its kustomization here.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.node import binaries, cache
from tests.kubernetes.node.addresses import Addresses
from tests.kubernetes.node.binaries import Binary
from tests.kubernetes.node.progress import stage

Document = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Operator:
    """An operator whose module holds its manifests: where, and what of them is otherwise for tests."""

    name: str
    namespace: str
    deployment: str
    binary: Binary
    module: str
    base: str
    patches: tuple[Document, ...] = ()

    def manifests(self) -> list[Document]:
        """Render its kustomization, once."""
        folder = cache.made(f"{self.name}-manifests", self._key(), self._render)
        rendered: list[Document] = json.loads((folder / "manifests.json").read_text())
        return rendered

    def _kustomization(self) -> Document:
        return {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": self.namespace,
            "resources": [f"config/{self.base}"],
            "patches": [
                {"target": {"kind": "Deployment", "name": self.deployment}, "patch": json.dumps(list(self.patches))}
            ],
        }

    def _key(self) -> str:
        return cache.key_of([self.binary.key(), json.dumps(self._kustomization())])

    def _render(self, folder: Path) -> None:
        with stage(f"rendering the manifests of {self.name}"):
            source = binaries.module_folder(self.binary.module, self.module)
            shutil.copytree(source / "config", folder / "config")
            (folder / "kustomization.yaml").write_text(json.dumps(self._kustomization()))
            command = [str(binaries.NODE.path()), "kubectl", "kustomize", str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"the manifests of {self.name}: {done.stderr}")
            documents = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}}]
            documents += [document for document in yaml.safe_load_all(done.stdout) if document]
            (folder / "manifests.json").write_text(json.dumps(documents))
            shutil.rmtree(folder / "config")


_CONTAINER = "/spec/template/spec/containers/0"
KUBERAY = Operator(
    name="kuberay",
    namespace="ray-system",
    deployment="kuberay-operator",
    binary=binaries.KUBERAY,
    module="github.com/ray-project/kuberay/ray-operator",
    base="default",
    # Ready when it is ready, and not throttled while it starts.
    patches=(
        {"op": "replace", "path": f"{_CONTAINER}/readinessProbe/initialDelaySeconds", "value": 1},
        {"op": "replace", "path": f"{_CONTAINER}/readinessProbe/periodSeconds", "value": 1},
        {"op": "replace", "path": f"{_CONTAINER}/resources/limits/cpu", "value": "1"},
    ),
)
OPERATORS = (KUBERAY,)


def names_of_services(addresses: Addresses) -> list[Document]:
    """Give the service of CoreDNS, which runs beside the kubelet, not in a pod."""
    meta = {"name": "kube-dns", "namespace": "kube-system"}
    ports = [{"name": f"dns-{each.lower()}", "port": 53, "protocol": each} for each in ("UDP", "TCP")]
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"clusterIP": addresses.dns, "ports": ports},
        },
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": meta | {"labels": {"kubernetes.io/service-name": meta["name"]}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [addresses.node]}],
            "ports": ports,
        },
    ]
