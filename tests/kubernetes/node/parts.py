"""What runs in a node: each part's command and files, in the order in which they need one another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.kubernetes.node import binaries, images
from tests.kubernetes.node.addresses import Addresses
from tests.kubernetes.node.credentials import NODE_NAME
from tests.kubernetes.node.namespaces import CACHE, CONTAINERD, RUN

ETCD = "http://127.0.0.1:2379"
CGROUPS = "air-kube-{slot}"
FIRST = ("containerd", "etcd", "kube-apiserver")
THEN = ("kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "coredns")  # once the server answers
CREDENTIALS = RUN / "credentials"


def commands(folder: Path, addresses: Addresses) -> dict[str, list[str]]:
    """Write the parts' files into the node's folder; give each part's command as run inside of it."""
    files: Mapping[str, Any] = {
        "cni/10-air.conflist": _network(addresses),
        "kubelet.yaml": _kubelet(addresses),
        "kube-proxy.yaml": _proxy(addresses),
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    (folder / "containerd.toml").write_text(images.config(str(CONTAINERD), "/run/containerd", f"{RUN}/cni"))
    (folder / "resolv.conf").write_text(f"nameserver {addresses.node}\n")
    (folder / "Corefile").write_text(_corefile(addresses))
    node = [str(CACHE / binaries.NODE.path().relative_to(binaries.NODE.path().parents[1]))]
    names = CACHE / binaries.COREDNS.path().relative_to(binaries.COREDNS.path().parents[1])
    return {
        "containerd": ["containerd", "--config", f"{RUN}/containerd.toml"],
        "etcd": [*node, "etcd", *_etcd()],
        "kube-apiserver": [*node, "kube-apiserver", *_apiserver(addresses)],
        "kube-controller-manager": [*node, "kube-controller-manager", *_controllers(addresses)],
        "kube-scheduler": [
            *node,
            "kube-scheduler",
            f"--kubeconfig={_of('system:kube-scheduler')}",
            "--leader-elect=false",
        ],
        "kubelet": [*node, "kubelet", *_kubelet_flags(addresses)],
        "kube-proxy": [*node, "kube-proxy", f"--config={RUN}/kube-proxy.yaml"],
        "coredns": [str(names), "-conf", f"{RUN}/Corefile"],
    }


def cgroup(addresses: Addresses) -> str:
    """Give the name of the control group that all pods are in."""
    return CGROUPS.format(slot=addresses.slot)


def _of(user: str) -> str:
    return f"{CREDENTIALS}/{user}.kubeconfig"


def _flags(**values: str) -> Sequence[str]:
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items()]


def _etcd() -> Sequence[str]:
    peer = "http://127.0.0.1:2380"
    return [
        *_flags(data_dir=f"{RUN}/etcd", listen_client_urls=ETCD, advertise_client_urls=ETCD, listen_peer_urls=peer),
        *_flags(initial_advertise_peer_urls=peer, initial_cluster=f"default={peer}", log_level="warn"),
        "--unsafe-no-fsync",
    ]


def _apiserver(addresses: Addresses) -> Sequence[str]:
    accounts = f"{CREDENTIALS}/service-accounts.key"
    return _flags(
        advertise_address=addresses.node,
        allow_privileged="true",
        authorization_mode="Node,RBAC",
        client_ca_file=f"{CREDENTIALS}/ca.crt",
        etcd_servers=ETCD,
        kubelet_preferred_address_types="InternalIP",
        service_account_issuer="https://kubernetes.default.svc",
        service_account_key_file=accounts,
        service_account_signing_key_file=accounts,
        service_cluster_ip_range=addresses.services,
        tls_cert_file=f"{CREDENTIALS}/server.crt",
        tls_private_key_file=f"{CREDENTIALS}/server.key",
        token_auth_file=f"{CREDENTIALS}/tokens.csv",
    )


def _controllers(addresses: Addresses) -> Sequence[str]:
    return _flags(
        kubeconfig=_of("system:kube-controller-manager"),
        leader_elect="false",
        root_ca_file=f"{CREDENTIALS}/ca.crt",
        service_account_private_key_file=f"{CREDENTIALS}/service-accounts.key",
        service_cluster_ip_range=addresses.services,
        use_service_account_credentials="true",
    )


def _kubelet_flags(addresses: Addresses) -> Sequence[str]:
    return _flags(
        config=f"{RUN}/kubelet.yaml",
        kubeconfig=_of(f"system:node:{NODE_NAME}"),
        hostname_override=NODE_NAME,
        node_ip=addresses.node,
        root_dir=f"{RUN}/kubelet",
    )


def _kubelet(addresses: Addresses) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        # Nobody but this machine reaches it.
        "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup(addresses)}",
        "clusterDNS": [addresses.dns],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        # A full disk is this machine's matter, and the images are shared.
        "evictionHard": {
            "imagefs.available": "0%",
            "memory.available": "50Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
        },
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "makeIPTablesUtilChains": False,
        "oomScoreAdj": 0,
        "podLogsDir": f"{RUN}/pod-logs",
        "resolvConf": f"{RUN}/resolv.conf",
    }


def _proxy(addresses: Addresses) -> dict[str, Any]:
    # The kernel's limits on connections are not a namespace's to set.
    untouched = {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": _of("system:kube-proxy")},
        "clusterCIDR": addresses.pods,
        "conntrack": untouched,
        "hostnameOverride": NODE_NAME,
        "mode": "nftables",
        "oomScoreAdj": 0,
    }


def _network(addresses: Addresses) -> dict[str, Any]:
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": addresses.pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "air", "plugins": [bridge, ports]}


def _corefile(addresses: Addresses) -> str:
    return f"""
. {{
    bind {addresses.node}
    errors
    ready {addresses.node}:8181
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {_of("admin")}
        ttl 1
    }}
    cache 1
}}
"""
