"""
What KubeRay's operator refuses, refused by us before anything is made.

The operator looks at a resource after the kube-apiserver has taken it, and then says so in an event at most: the
resource stays without a status. Source: ``ValidateRayCluster*`` and ``ValidateRayJob*`` in
``ray-operator/controllers/ray/utils/validation.go`` of KubeRay 1.6.1 and 1.7.0. What both do not check, but cannot
work, is here too: the names of our own labels, and queues.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider_air.clusters.kuberay import option_rules
from airflow_provider_air.clusters.kuberay.checks import DNS_1123_SUBDOMAIN, LABEL_VALUE, is_label_key
from airflow_provider_air.clusters.kuberay.containers import (
    AUTOSCALER_V2,
    containers_of,
    groups_of,
    is_autoscaled,
    is_autoscaler_v2,
    is_true,
    variables_of,
    version_of,
)
from airflow_provider_air.errors import ConfigurationError

LONGEST_NAME = {"RayCluster": 53, "RayJob": 47}
"""So that what KubeRay derives of a name is not cut, and still found by it."""
LONGEST_POD_PREFIX = 50
DNS_1035_LABEL = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
FT_ANNOTATION, FT_NAMESPACE_ANNOTATION = "ray.io/ft-enabled", "ray.io/external-storage-namespace"
RAY_OF_TOKENS, RAY_OF_KUBERNETES_TOKENS = (2, 52, 0), (2, 55, 0)
RAY_RESOURCES = ("num-cpus", "num-gpus", "memory", "resources")


def check_resource(resource: Mapping[str, Any]) -> None:
    """
    Refuse a RayCluster or RayJob that KubeRay's operator would refuse.

    :param resource: the whole manifest, as it will be sent
    :raises ConfigurationError: it would not run; the message has every reason
    """
    problems = list(problems_of(resource))
    if problems:
        raise ConfigurationError(
            f"KubeRay would refuse this {resource['kind']}: {'; '.join(problems)}",
            where=str(resource["metadata"].get("name")),
        )


def problems_of(resource: Mapping[str, Any]) -> Iterator[str]:
    """Give a sentence for each reason why a RayCluster or RayJob would be refused."""
    metadata, spec = resource["metadata"], resource["spec"]
    yield from _name(resource["kind"], str(metadata.get("name", "")))
    is_job = resource["kind"] == "RayJob"
    if is_job:
        yield from _job(spec)
    cluster = spec["rayClusterSpec"] if is_job else spec
    yield from _groups(cluster)
    # KubeRay gives the RayCluster of a RayJob a name with five more letters.
    yield from _pod_names(cluster, f"{metadata.get('name', '')}{'-xxxxx' if is_job else ''}")
    yield from _fault_tolerance(cluster, metadata.get("annotations") or {})
    yield from _autoscaling(cluster)
    yield from _authentication(cluster, is_job=is_job)
    yield from option_rules.problems_of(cluster)
    if QUEUE_LABEL in (metadata.get("labels") or {}) and is_autoscaled(cluster):
        yield (
            f"the label {QUEUE_LABEL} and enableInTreeAutoscaling exclude each other: a queue admits a fixed size "
            "(Kueue refuses it)"
        )


def _name(kind: str, name: str) -> Iterator[str]:
    if len(name) > LONGEST_NAME[kind]:
        yield f"its name has {len(name)} characters, and at most {LONGEST_NAME[kind]} are right"
    if DNS_1035_LABEL.fullmatch(name) is None:
        yield f"its name {name!r} must start with a lower-case letter, and have these, digits and '-' alone"


def _job(spec: Mapping[str, Any]) -> Iterator[str]:
    for name in ("activeDeadlineSeconds", "preRunningDeadlineSeconds"):
        if spec.get(name) is not None and spec[name] <= 0:
            yield f"{name} must be positive"
    if spec.get("submissionMode") == "InteractiveMode" and spec.get("backoffLimit"):
        yield "backoffLimit must be 0 in InteractiveMode"
    if not spec.get("shutdownAfterJobFinishes") and (spec.get("suspend") or spec.get("ttlSecondsAfterFinished")):
        yield "suspend and ttlSecondsAfterFinished need shutdownAfterJobFinishes"
    if (spec["rayClusterSpec"].get("upgradeStrategy") or {}).get("type"):
        yield "upgradeStrategy is for a RayCluster alone, not for that of a RayJob"


def _groups(cluster: Mapping[str, Any]) -> Iterator[str]:
    for where, group in groups_of(cluster):
        if not containers_of(group):
            yield f"{where} has no container"
        params = group.get("rayStartParams") or {}
        if group.get("resources") and any(params.get(name) for name in RAY_RESOURCES):
            yield f"{where} has resources and, in rayStartParams, {', '.join(RAY_RESOURCES)}: use only one of them"
        if "labels" in params:
            yield f"{where} has labels in rayStartParams: use the field 'labels'"
        for key, value in (group.get("labels") or {}).items():
            if not is_label_key(key) or LABEL_VALUE.fullmatch(str(value)) is None:
                yield f"{where} has a label {key}={value} that Kubernetes does not take"
    for where, group in groups_of(cluster)[1:]:
        yield from _worker_sizes(where, group)
        yield from _idle_timeout(where, group, cluster)


def _pod_names(cluster: Mapping[str, Any], name: str) -> Iterator[str]:
    for where, group in groups_of(cluster)[1:]:
        # PodName in controllers/ray/utils/util.go of 1.6.1: what is cut may end where no part of a name may.
        pods = f"{name}-{group.get('groupName')}"[:LONGEST_POD_PREFIX].lower() + "-worker-"
        if DNS_1123_SUBDOMAIN.fullmatch(f"{pods}x") is None:
            yield f"{where} has no name for pods, which would be called {pods}…: use letters, digits and '-' alone"


def _worker_sizes(where: str, group: Mapping[str, Any]) -> Iterator[str]:
    least, most = group.get("minReplicas", 0), group.get("maxReplicas", 2**31 - 1)
    if least < 0 or most < 0:
        yield f"{where} has a negative minReplicas or maxReplicas"
    if least > most:
        yield f"{where} has minReplicas {least} greater than maxReplicas {most}"


def _idle_timeout(where: str, group: Mapping[str, Any], cluster: Mapping[str, Any]) -> Iterator[str]:
    seconds = group.get("idleTimeoutSeconds")
    if seconds is None:
        return
    if seconds < 0:
        yield f"{where} has a negative idleTimeoutSeconds"
    if not is_autoscaler_v2(cluster):
        yield f"{where} has idleTimeoutSeconds, which only the autoscaler v2 knows: set enableInTreeAutoscaling"


def _fault_tolerance(cluster: Mapping[str, Any], annotations: Mapping[str, str]) -> Iterator[str]:
    options = cluster.get("gcsFaultToleranceOptions")
    env, params = variables_of(cluster["headGroupSpec"]), cluster["headGroupSpec"].get("rayStartParams") or {}
    if options is not None:
        yield from _said_twice(env, params, annotations)
    elif "RAY_REDIS_ADDRESS" in env and annotations.get(FT_ANNOTATION, "").lower() != "true":
        yield "RAY_REDIS_ADDRESS is set without gcsFaultToleranceOptions: set its redisAddress instead"
    if params.get("redis-username") or "REDIS_USERNAME" in env:
        yield "the head has a redis user name: use gcsFaultToleranceOptions.redisUsername instead"


def _said_twice(env: Mapping[str, Any], params: Mapping[str, str], annotations: Mapping[str, str]) -> Iterator[str]:
    for key in (FT_ANNOTATION, FT_NAMESPACE_ANNOTATION):
        if annotations.get(key):
            yield f"the annotation {key} and gcsFaultToleranceOptions are both set: use only the latter"
    for name in ("REDIS_PASSWORD", "RAY_REDIS_ADDRESS"):
        if name in env:
            yield f"the head's {name} and gcsFaultToleranceOptions are both set: use only the latter"
    if params.get("redis-password"):
        yield "redis-password in rayStartParams: use gcsFaultToleranceOptions.redisPassword instead"


def _autoscaling(cluster: Mapping[str, Any]) -> Iterator[str]:
    env, options = variables_of(cluster["headGroupSpec"]), cluster.get("autoscalerOptions") or {}
    if options.get("idleTimeoutSeconds", 0) < 0:
        yield "autoscalerOptions.idleTimeoutSeconds must not be negative"
    if not is_autoscaled(cluster):
        if is_true(env.get(AUTOSCALER_V2)):
            yield f"{AUTOSCALER_V2} is set without enableInTreeAutoscaling"
        return
    if options.get("version") is not None and AUTOSCALER_V2 in env:
        yield f"autoscalerOptions.version and the head's {AUTOSCALER_V2} are both set: use only the former"
    for where, group in groups_of(cluster):
        if group.get("suspend"):
            yield f"{where} cannot be suspended while autoscaling is on"
        policy = group["template"]["spec"].get("restartPolicy")
        if options.get("version") == "v2" and policy not in (None, "", "Never"):
            yield f"restartPolicy of {where} must be Never, or left out, with the autoscaler v2"


def _authentication(cluster: Mapping[str, Any], *, is_job: bool) -> Iterator[str]:
    options = cluster.get("authOptions") or {}
    by_kubernetes = bool(options.get("enableK8sTokenAuth"))
    if options.get("mode") != "token":
        if by_kubernetes:
            yield "authOptions.enableK8sTokenAuth needs authOptions.mode 'token'"
        return
    said = cluster.get("rayVersion")
    version = version_of(said)
    if version is None:
        yield (
            f"token authentication needs Ray {_dotted(RAY_OF_TOKENS)} or later, and the version {said!r} says nothing: "
            "set 'ray_version', since the image's tag has none"
        )
    elif version < (RAY_OF_KUBERNETES_TOKENS if by_kubernetes else RAY_OF_TOKENS):
        least = _dotted(RAY_OF_KUBERNETES_TOKENS if by_kubernetes else RAY_OF_TOKENS)
        yield (
            f"token authentication of this kind needs Ray {least} or later, and this is {said}: set 'ray_version' "
            "where that is the image's own version and not Ray's"
        )
    if by_kubernetes and options.get("secretName"):
        yield "authOptions.enableK8sTokenAuth and authOptions.secretName exclude each other"
    if by_kubernetes and is_job:
        yield "authOptions.enableK8sTokenAuth is for a RayCluster alone, not for that of a RayJob"


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
