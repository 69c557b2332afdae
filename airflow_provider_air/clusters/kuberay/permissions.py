"""
What the kubernetes connection's user must be allowed: as data, from which the documented Role is made as well.

Asked for before anything is created, so that a missing rule is not met when the cluster is paid for already.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_air.clusters.kuberay.answers import add_rules, failure_of
from airflow_provider_air.clusters.kuberay.kinds import Asked, Kind, Permission
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.ray_api.requests import Call

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.client import KubeClient
    from airflow_provider_air.ray_api.requests import Answer

T = TypeVar("T")

CLUSTERS = "clusters"
JOBS = "jobs"
TOKEN = "token"  # noqa: S105  # the name of a use
PROXY = "proxy"
PORT_FORWARD = "port_forward"
# A kube-apiserver that has just started refuses everybody for a moment, until it has read the rules (1.35).
REFUSED_SECONDS = 3.0
_LIVE = ("create", "delete", "get", "list", "patch", "watch")


@dataclass(frozen=True)
class Need:
    """
    Some verbs on one resource.

    :param use: for which part of the back end: a cluster that does without it needs no rule
    :param why: for people
    """

    use: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    why: str


NEEDS: Sequence[Need] = (
    Need(CLUSTERS, "ray.io", "rayclusters", _LIVE, "to have clusters, and to wait for them"),
    Need(JOBS, "ray.io", "rayjobs", _LIVE, "to have a cluster for one task, which KubeRay itself cleans up"),
    Need(CLUSTERS, "", "pods", ("list",), "to say what keeps a cluster from starting, and to find its nodes"),
    Need(CLUSTERS, "", "pods/log", ("get",), "to show a failed container's last lines"),
    Need(CLUSTERS, "", "events", ("list",), "to say what keeps a cluster from starting"),
    Need(TOKEN, "", "secrets", ("get",), "to read the token that KubeRay made for Ray's API"),
    Need(PROXY, "", "services/proxy", ("create", "delete", "get", "update"), "to reach Ray's API from outside"),
    Need(PROXY, "", "pods/proxy", ("get",), "to read logs from the nodes' agents from outside"),
    Need(PORT_FORWARD, "", "pods/portforward", ("create", "get"), "to reach Ray's API from outside by the kubelet"),
)
# A RayJob's cluster is a RayCluster.
ALL_BUT_PORT_FORWARD = (CLUSTERS, JOBS, TOKEN, PROXY)


def role(namespace: str, *, name: str = "airflow-ray", uses: Collection[str] = ALL_BUT_PORT_FORWARD) -> dict[str, Any]:
    """Give the smallest Role that serves; namespaced, and without a rule about Roles, nodes or CRDs."""
    rules = [
        {"apiGroups": [need.group], "resources": [need.resource], "verbs": list(need.verbs)}
        for need in NEEDS
        if need.use in uses
    ]
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": name, "namespace": namespace},
        "rules": rules,
    }


def check_permissions(
    kube: KubeClient,
    namespace: str,
    uses: Collection[str],
    *,
    secret: str = "",
    where: str | None = None,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """
    See that the user may do all that some uses need; blocks. One request where all is well.

    :param secret: the only Secret that will be read, where that is known: a rule may be about it alone
    :param where: the connection, for the message
    :raises ConfigurationError: something is missing; the message names each permission and the rules to add
    :raises UnavailableError: the kube-apiserver does not answer
    """
    end = now() + REFUSED_SECONDS
    while missing := _missing(kube, namespace, uses, secret):
        if now() >= end:
            raise _refusal(missing, where)
        sleep(1.0)


def _missing(kube: KubeClient, namespace: str, uses: Collection[str], secret: str) -> list[tuple[Need, Permission]]:
    rules = kube.send(my_rules(namespace))
    wanted = [
        (need, Permission(verb, need.group, need.resource, namespace, secret if need.use == TOKEN else ""))
        for need in NEEDS
        if need.use in uses
        for verb in need.verbs
    ]
    # Authorizers other than RBAC, such as a cloud's, may list no rules and allow all the same.
    return [(need, one) for need, one in wanted if not _is_in(rules, one) and not kube.send(may(one))]


def _is_in(rules: Iterable[Mapping[str, Any]], wanted: Permission) -> bool:
    return any(
        _has(rule, "verbs", wanted.verb)
        and _has(rule, "apiGroups", wanted.group)
        and _has(rule, "resources", wanted.resource)
        for rule in rules
        if not rule.get("resourceNames") or wanted.name in rule["resourceNames"]
    )


def _has(rule: Mapping[str, Any], field: str, value: str) -> bool:
    given = rule.get(field) or ()
    return "*" in given or value in given


def _refusal(missing: Sequence[tuple[Need, Permission]], where: str | None) -> ConfigurationError:
    said = "; ".join(f"{one} ({need.why})" for need, one in missing)
    rules = [
        {
            "apiGroups": [need.group],
            "resources": [need.resource],
            "verbs": [one.verb for of, one in missing if of is need],
        }
        for need in dict.fromkeys(need for need, _ in missing)
    ]
    return ConfigurationError(
        f"The user of the kubernetes connection may not {said}", where=where, hint=add_rules(rules)
    )


def may(permission: Permission) -> Call[bool]:
    """Ask whether this user has a permission; each user may ask that."""
    resource, _, subresource = permission.resource.partition("/")
    attributes = {
        "namespace": permission.namespace,
        "verb": permission.verb,
        "group": permission.group,
        "resource": resource,
        "subresource": subresource,
        "name": permission.name,
    }
    return _review(
        "SelfSubjectAccessReview", {"resourceAttributes": attributes}, lambda status: bool(status.get("allowed"))
    )


def my_rules(namespace: str) -> Call[Sequence[Mapping[str, Any]]]:
    """Ask for the rules that hold for this user in a namespace; what is not in it, :func:`may` decides."""

    def read(status: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
        return [rule for rule in status.get("resourceRules") or () if isinstance(rule, Mapping)]

    return _review("SelfSubjectRulesReview", {"namespace": namespace}, read)


def _review(name: str, spec: Mapping[str, Any], read: Callable[[Mapping[str, Any]], T]) -> Call[T]:
    kind = Kind("authorization.k8s.io", "v1", f"{name.lower()}s", name)
    body = {"apiVersion": kind.api_version, "kind": kind.name, "spec": spec}

    def read_answer(answer: Answer) -> T:
        if answer.status != 201:
            raise failure_of(answer, Asked("create", kind, ""))
        found = answer.json()
        return read(found.get("status") or {} if isinstance(found, dict) else {})

    path = f"/apis/{kind.api_version}/{kind.plural}"
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return Call("POST", path, read_answer, headers=headers, body=json.dumps(body).encode())
