"""Whether the fields of a spec can be what they say: each by itself, before anything is built of them."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider_air.clusters.kuberay.marks import MANAGED_BY, PREFIX
from airflow_provider_air.clusters.kuberay.pods import RESTRICTED
from airflow_provider_air.clusters.kuberay.quantities import amount_of
from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.groups import WorkerGroup
    from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster

# Source: k8s.io/apimachinery/pkg/util/validation (Kubernetes 1.35).
DNS_1123_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
LABEL_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
DNS_1123_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
# Wider than C's, as the kube-apiserver is: any printable ASCII but "=".
VARIABLE = re.compile(r"[ -<>-~]+")
RESERVED = frozenset({"RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_CLUSTER_NAME"})
"""What ties the pods to their own cluster; KubeRay sets these."""

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
SERVICE_TYPES = ("ClusterIP", "NodePort", "LoadBalancer")
SCOPES = ("dag_run", "dag", "global")
REACHES = ("auto", "dns", "proxy", "port_forward")
MOST = 2**31 - 1

Check = Callable[[str, Any], None]


def check_fields(spec: KubeRayCluster) -> None:
    """:raises ConfigurationError: a field of the spec or of a group cannot be what it says; the message names it."""
    _check_each(spec, "")
    _check_each(spec.head_group(), "head.")
    groups = spec.groups()
    for group in groups:
        _check_each(group, f"worker_groups[{group.name}].")
        _check_sizes(group)
    _check_one_each(groups)


def _check_each(owner: Any, where: str) -> None:
    for one in dataclasses.fields(owner):
        if one.name in CHECKS:
            CHECKS[one.name](f"{where}{one.name}", getattr(owner, one.name))


def _check_sizes(group: WorkerGroup) -> None:
    least, most = group.min_replicas or 0, MOST if group.max_replicas is None else group.max_replicas
    where = f"worker_groups[{group.name}]"
    if least > most:
        raise wrong(f"{where}.min_replicas", group.min_replicas, f"at most max_replicas, {most}")
    if group.replicas is not None and not least <= group.replicas <= most:
        raise wrong(f"{where}.replicas", group.replicas, f"between min_replicas and max_replicas, {least} and {most}")


def _check_one_each(groups: Sequence[WorkerGroup]) -> None:
    names = Counter(group.name for group in groups)
    if twice := [name for name, times in names.items() if times > 1]:
        raise wrong("worker_groups", sorted(names), f"of different names; {twice[0]!r} is there twice")


def wrong(name: str, value: Any, wanted: str) -> ConfigurationError:
    """Give the error about a field."""
    return ConfigurationError(f"KubeRayCluster({name}={value!r}) is wrong", hint=f"{name} must be {wanted}")


def is_label_key(key: Any) -> bool:
    """Tell whether Kubernetes takes it for a label's or an annotation's key."""
    if not isinstance(key, str):
        return False
    prefix, slash, name = key.rpartition("/")
    prefix_is_right = DNS_1123_SUBDOMAIN.fullmatch(prefix) is not None and len(prefix) <= 253 if slash else not prefix
    return prefix_is_right and LABEL_NAME.fullmatch(name) is not None


def is_ours(key: str) -> bool:
    """Tell whether a label or annotation is one that we write."""
    return key == MANAGED_BY or key.startswith(PREFIX)


def _text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value.strip() or value != value.strip():
        raise wrong(name, value, "a non-empty text without blanks around it")


def _maybe(check: Check) -> Check:
    def run(name: str, value: Any) -> None:
        if value is not None:
            check(name, value)

    return run


def _one_of(choices: Sequence[str]) -> Check:
    def run(name: str, value: Any) -> None:
        if value not in choices:
            raise wrong(name, value, f"one of {', '.join(choices)}")

    return run


def _whole(least: int, most: int = MOST) -> Check:
    def run(name: str, value: Any) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise wrong(name, value, f"a whole number from {least} to {most}")

    return run


def _flag(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise wrong(name, value, "True or False")


def _seconds(name: str, value: Any) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 < value <= MOST:
        raise wrong(name, value, f"a positive number of seconds, at most {MOST}")


def _quantity(name: str, value: Any) -> None:
    if not amount_of(value):
        raise wrong(name, value, "an amount as Kubernetes writes it, such as 2, '500m' or '4Gi', and more than 0")


def _quantities(name: str, value: Any) -> None:
    _object(name, value)
    for key, amount in value.items():
        if amount_of(amount) is None:
            raise wrong(f"{name}[{key!r}]", amount, "an amount as Kubernetes writes it, such as 2, '500m' or '4Gi'")


def _object(name: str, value: Any) -> None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) and key for key in value):
        raise wrong(name, type(value).__name__ if not isinstance(value, Mapping) else sorted(map(str, value)), "a dict")


def _objects(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, Mapping) for item in value):
        raise wrong(name, value, "a list of dicts")


def _texts(name: str, value: Any) -> None:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) and item.strip() for item in value):
        raise wrong(name, value, "a list of names")


def _labels(name: str, value: Any) -> None:
    _annotations(name, value)
    for key, text in value.items():
        if LABEL_VALUE.fullmatch(text) is None:
            raise wrong(f"{name}[{key!r}]", text, "a label's value: at most 63 letters, digits, '-', '_' and '.'")


def _annotations(name: str, value: Any) -> None:
    _object(name, value)
    for key, text in value.items():
        if not is_label_key(key):
            raise wrong(f"{name}[{key!r}]", text, "of a key such as example.com/team")
        if not isinstance(text, str):
            raise wrong(f"{name}[{key!r}]", text, "text")
        if is_ours(key):
            raise wrong(name, sorted(value), f"without {key}, by which we find what we made")


def _environment(name: str, value: Any) -> None:
    _object(name, value)
    for key, said in value.items():
        # Names only: a value may be something that its author should not have put here.
        if VARIABLE.fullmatch(key) is None:
            raise wrong(name, sorted(value), f"of names that can be a variable's, not {key!r}")
        is_source = isinstance(said, Mapping) and len(said) == 1
        if not is_source and (isinstance(said, bool) or not isinstance(said, (str, int, float))):
            raise wrong(name, sorted(value), f"text, or one source such as secret_key_ref; {key} is neither")
    if reserved := sorted(RESERVED & set(value)):
        raise wrong(name, sorted(value), f"without {', '.join(reserved)}: KubeRay sets these")


def _security_context(name: str, value: Any) -> None:
    if value != RESTRICTED and not isinstance(value, Mapping):
        raise wrong(name, value, f"{RESTRICTED!r}, or a dict")


def _scalars(name: str, value: Any) -> None:
    _object(name, value)
    for key, said in value.items():
        if isinstance(said, (Mapping, list, tuple)) or said is None:
            raise wrong(f"{name}[{key!r}]", said, "text or a number")


def _group_name(name: str, value: Any) -> None:
    # A label's value, and within the names of pods, which KubeRay writes in lower case.
    is_label = isinstance(value, str) and bool(value) and LABEL_VALUE.fullmatch(value) is not None
    if not is_label or DNS_1123_SUBDOMAIN.fullmatch(value.lower()) is None:
        raise wrong(
            name, value, "at most 63 letters, digits, '-' and '.', the ends and each '.' beside letters or digits"
        )


def _namespace(name: str, value: Any) -> None:
    if not isinstance(value, str) or DNS_1123_LABEL.fullmatch(value) is None:
        raise wrong(name, value, "a namespace: at most 63 lower-case letters, digits and '-'")


def _idle_timeout(name: str, value: Any) -> None:
    # Of a cluster it is ours to keep, of a group KubeRay's.
    (_whole(1) if name.startswith("worker_groups") else _seconds)(name, value)


def _name(name: str, value: Any) -> None:
    # Of a cluster any text, which is made a resource's name; of a group its own.
    (_group_name if name.startswith("worker_groups") else _maybe(_text))(name, value)


def _url(name: str, value: Any, otherwise: str = "an http:// or https:// address") -> None:
    is_url = isinstance(value, str) and urlsplit(value).scheme in ("http", "https") and bool(urlsplit(value).hostname)
    if not is_url:
        raise wrong(name, value, otherwise)
    if urlsplit(value).username or urlsplit(value).password:
        raise wrong(name, "https://…@…", "without a password in front of the host")


def _reach(name: str, value: Any) -> None:
    if value not in REACHES:
        _url(name, value, f"one of {', '.join(REACHES)}, or the dashboard's URL")


def _manifest(name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        _text(name, value)


_MAYBE_TEXT, _MAYBE_SECONDS, _MAYBE_COUNT = _maybe(_text), _maybe(_seconds), _maybe(_whole(0))
CHECKS: dict[str, Check] = {
    "affinity": _object,
    "annotations": _annotations,
    "auth_options": _object,
    "autoscaler_options": _object,
    "cpu": _maybe(_quantity),
    "dashboard_url": _maybe(_url),
    "deadline_seconds": _MAYBE_SECONDS,
    "enable_in_tree_autoscaling": _maybe(_flag),
    "enable_ingress": _maybe(_flag),
    "env": _environment,
    "env_from": _objects,
    "ephemeral_storage": _maybe(_quantity),
    "gcs_fault_tolerance_options": _object,
    "gpu_resource": _text,
    "gpus": _MAYBE_COUNT,
    "head_service": _object,
    "head_service_annotations": _annotations,
    "history_server_options": _object,
    "idle_timeout_seconds": _maybe(_idle_timeout),
    "image": _MAYBE_TEXT,
    "image_pull_policy": _maybe(_one_of(PULL_POLICIES)),
    "image_pull_secrets": _texts,
    "ingress_options": _object,
    "kubernetes_conn_id": _text,
    "labels": _labels,
    "limits": _quantities,
    "manifest": _maybe(_manifest),
    "max_replicas": _MAYBE_COUNT,
    "memory": _maybe(_quantity),
    "min_replicas": _MAYBE_COUNT,
    "name": _name,
    "namespace": _maybe(_namespace),
    "network_policy": _object,
    "node_selector": _labels,
    "num_of_hosts": _maybe(_whole(1)),
    "pod_annotations": _annotations,
    "pod_labels": _labels,
    "pod_security_context": _object,
    "priority": _maybe(_whole(-MOST)),
    "priority_class_name": _MAYBE_TEXT,
    "ray_start_params": _scalars,
    "ray_version": _MAYBE_TEXT,
    "reach": _reach,
    "replicas": _MAYBE_COUNT,
    "requests": _quantities,
    "resources": _quantities,
    "runtime_class_name": _MAYBE_TEXT,
    "scheduler_name": _MAYBE_TEXT,
    "scope": _one_of(SCOPES),
    "security_context": _maybe(_security_context),
    "serve_url": _maybe(_url),
    "grafana_url": _maybe(_url),
    "service_account_name": _MAYBE_TEXT,
    "service_type": _maybe(_one_of(SERVICE_TYPES)),
    "startup_timeout_seconds": _seconds,
    "template": _object,
    "termination_grace_period_seconds": _MAYBE_COUNT,
    "tls_options": _object,
    "tolerations": _objects,
    "topology_spread_constraints": _objects,
    "tpus": _MAYBE_COUNT,
    "ttl_seconds": _MAYBE_SECONDS,
    "upgrade_strategy": _object,
    "volume_mounts": _objects,
    "volumes": _objects,
    "workers": _MAYBE_COUNT,
}
