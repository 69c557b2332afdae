"""Kinds of resources, what one may do with them, and how a rule of a Role says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

WRITES = frozenset({"create", "patch", "update"})


@dataclass(frozen=True)
class Kind:
    """
    A kind of resource that lives in namespaces.

    :param group: the API group; empty for Kubernetes' core
    :param plural: its name in addresses and rules
    """

    group: str
    version: str
    plural: str
    name: str

    @property
    def api_version(self) -> str:
        """As manifests write it."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def full_name(self) -> str:
        """As Kubernetes' messages write it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str, name: str | None = None, subresource: str | None = None) -> str:
        """Give the address of all in a namespace, of one, or of what belongs to one."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [root, "namespaces", quote(namespace, safe=""), self.plural]
        parts += [quote(name, safe=":")] if name else []
        return "/".join([*parts, subresource] if subresource else parts)


RAY_CLUSTER = Kind("ray.io", "v1", "rayclusters", "RayCluster")
RAY_JOB = Kind("ray.io", "v1", "rayjobs", "RayJob")
POD = Kind("", "v1", "pods", "Pod")
SERVICE = Kind("", "v1", "services", "Service")
SECRET = Kind("", "v1", "secrets", "Secret")
EVENT = Kind("", "v1", "events", "Event")


@dataclass(frozen=True)
class Permission:
    """
    One thing that a user may be allowed.

    :param verb: such as ``get``; for a proxy the verb of the request's method, such as ``create`` for POST
    :param resource: the plural, with ``/subresource`` where it is about one
    :param name: of the only resource that it is about, or empty
    """

    verb: str
    group: str
    resource: str
    namespace: str
    name: str = ""

    def __str__(self) -> str:
        """Say it as Kubernetes does."""
        group = f" in API group {self.group!r}" if self.group else ""
        return f"{self.verb} {self.resource}{group} in the namespace {self.namespace!r}"

    @property
    def rule(self) -> dict[str, Any]:
        """The rule of a Role that allows it."""
        return {"apiGroups": [self.group], "resources": [self.resource], "verbs": [self.verb]}


@dataclass(frozen=True)
class Asked:
    """
    What a request wants, for messages.

    :param name: of one resource; None where it is about all of the namespace
    """

    verb: str
    kind: Kind
    namespace: str
    name: str | None = None
    subresource: str | None = None

    def __str__(self) -> str:
        """Say it in a few words."""
        below = f"/{self.subresource}" if self.subresource else ""
        return f"{self.verb} {self.kind.full_name}{below} {self.namespace}/{self.name or '*'}"

    @property
    def permission(self) -> Permission:
        """What it needs."""
        resource = f"{self.kind.plural}/{self.subresource}" if self.subresource else self.kind.plural
        return Permission(self.verb, self.kind.group, resource, self.namespace)
