"""How a ClusterRef names a RayCluster or RayJob, and what is called how around it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_provider_air.clusters.kuberay.kinds import RAY_CLUSTER, RAY_JOB, Kind
from airflow_provider_air.clusters.kuberay.trouble import cluster_status_of, ray_cluster_name
from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.errors import ProtocolError

if TYPE_CHECKING:
    from airflow_provider_air.clusters.kuberay.api import Resource
    from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster

BACKEND = "kuberay"
KINDS = {kind.name: kind for kind in (RAY_CLUSTER, RAY_JOB)}
# KubeRay 1.6.1, CheckName (controllers/ray/utils/util.go): what it derives of a longer name has its end alone.
LONGEST_DERIVED = 50
# What a ref keeps of a spec, where it says something else than the defaults.
SAID = ("reach", "dashboard_url", "serve_url", "grafana_url")


@dataclass(frozen=True)
class Place:
    """
    Where a resource is.

    :param uid: which one of all of this name; empty for whichever has it
    :param reach, dashboard_url, serve_url, grafana_url: as of
        :class:`~airflow_provider_air.clusters.kuberay.spec.KubeRayCluster`
    """

    conn_id: str
    namespace: str
    kind: Kind
    name: str
    uid: str = ""
    reach: str = "auto"
    dashboard_url: str | None = None
    serve_url: str | None = None
    grafana_url: str | None = None

    @classmethod
    def of(cls, ref: ClusterRef) -> Place:
        """:raises ProtocolError: the ref names nothing of KubeRay."""
        details = ref.details
        kind = KINDS.get(str(details.get("kind")))
        conn_id, namespace = details.get("kubernetes_conn_id"), details.get("namespace")
        if kind is None or not conn_id or not namespace:
            raise ProtocolError(
                f"This names no cluster of KubeRay: {ref.to_json()!r}"[:500],
                hint="Pass the XCom of a RayCreateClusterOperator, or a KubeRayCluster",
            )
        said = {key: details[key] for key in SAID if details.get(key)}
        return cls(str(conn_id), str(namespace), kind, ref.name, ref.uid, **said)

    def is_meant(self, resource: Resource | None) -> bool:
        """Whether a resource of this name is the one that is meant."""
        return resource is not None and self.uid in ("", resource["metadata"]["uid"])

    def __str__(self) -> str:
        return f"{self.kind.name} {self.namespace}/{self.name}"


def ref_of(spec: KubeRayCluster, kind: str, name: str, namespace: str, *, owned: bool) -> ClusterRef:
    """
    Name a spec's cluster.

    :param namespace: the spec's, or the connection's where it says none
    """
    said = {key: value for key in SAID if (value := getattr(spec, key)) not in (None, "auto")}
    return _ref(name, spec.kubernetes_conn_id, namespace, kind, said, owned=owned)


def ref_of_listed(resource: Resource, place: Place, *, owned: bool) -> ClusterRef:
    """Name a resource that was found; ``place`` is where it was looked for."""
    metadata = resource["metadata"]
    said = {key: value for key in SAID if (value := getattr(place, key)) not in (None, "auto")}
    ref = _ref(metadata["name"], place.conn_id, place.namespace, resource["kind"], said, owned=owned)
    return replace(ref, uid=metadata["uid"])


def _ref(name: str, conn_id: str, namespace: str, kind: str, said: dict[str, str], *, owned: bool) -> ClusterRef:
    details = {"kubernetes_conn_id": conn_id, "namespace": namespace, "kind": kind, **said}
    return ClusterRef(BACKEND, name, details, owned)


def url_of(said: str | None, place: Place) -> str | None:
    """Fill in what an address leaves to the resource."""
    if said is None:
        return None
    return said.replace("{name}", place.name).replace("{namespace}", place.namespace).rstrip("/")


# What KubeRay makes around it


def head_service(resource: Resource) -> str | None:
    """Give the name of the head's Service, by the status; None where there is none yet."""
    said = (cluster_status_of(resource).get("head") or {}).get("serviceName")
    # A RayJob's copy of the cluster's status may stop before the head has its Service: its own address does not.
    return said or str((resource.get("status") or {}).get("dashboardURL") or "").partition(".")[0] or None


def token_secret(resource: Resource) -> str | None:
    """Give the name of the Secret with Ray's token (key ``auth_token``); None where Ray wants none of it."""
    if not wants_token(resource):
        return None
    return _auth_options(resource).get("secretName") or _derived(ray_cluster_name(resource) or "") or None


def wants_token(resource: Resource) -> bool:
    """Whether Ray wants the token that is in a Secret."""
    options = _auth_options(resource)
    return options.get("mode") == "token" and not options.get("enableK8sTokenAuth")


def propagation_of(resource: Resource) -> str:
    """
    Say how it is deleted: after all that it owns, so that "absent" means that its pods are; before, with a Redis.

    There KubeRay cleans up once the pods are gone, by a pod with Ray's token: without the Secret, which it owns, it is
    held for five minutes and leaves its state in the Redis (1.6.1).
    """
    annotations = resource["metadata"].get("annotations") or {}
    says_so = str(annotations.get("ray.io/ft-enabled", "")).lower() == "true"
    has_redis = says_so or bool(_cluster_spec(resource).get("gcsFaultToleranceOptions"))
    return "Background" if has_redis else "Foreground"


def _auth_options(resource: Resource) -> dict[str, Any]:
    return _cluster_spec(resource).get("authOptions") or {}


def _cluster_spec(resource: Resource) -> dict[str, Any]:
    spec: dict[str, Any] = resource.get("spec") or {}
    return spec.get("rayClusterSpec") or {} if resource.get("kind") == RAY_JOB.name else spec


def _derived(name: str) -> str:
    name = name[-LONGEST_DERIVED:]
    return name if not name or name[0].isalpha() else f"r{name[1:]}"
