"""
What a kube-apiserver's answers mean that are no success.

Facts by Kubernetes 1.35: each failure is a JSON object of kind Status with a reason; what is none comes from somebody
in front of it, but its own "404 page not found" for an API group that it does not have.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_air.clusters.kuberay.kinds import WRITES, Asked, Permission
from airflow_provider_air.drivers.wire.texts import shortened
from airflow_provider_air.errors import AirError, ConfigurationError, RemoteFailureError, UnavailableError

if TYPE_CHECKING:
    from airflow_provider_air.ray_api.requests import Answer

MAX_MESSAGE_CHARACTERS = 4_000
MAX_PAUSE_SECONDS = 60.0
_CANNOT = re.compile(
    r'User "(?P<user>[^"]*)" cannot (?P<verb>[a-z]+) resource "(?P<resource>[^"]+)" in API group "(?P<group>[^"]*)"'
    r'(?: in the namespace "(?P<namespace>[^"]*)")?'
)
# A webhook, and a ValidatingAdmissionPolicy: that one by 422, 403 or 401, as it likes.
_DENIED = re.compile(r"denied (the )?request")
# All that is told of a JSON patch that does not fit (NewGenericServerResponse); what else is wrong is named.
_PATCH_MISFIT = "the server rejected our request due to an error in our request"
# What server-side apply says of a field that the CRD does not have: with 500, although it is nobody's outage.
_NOT_IN_SCHEMA = ("field not declared in schema", "failed to create typed patch object")

# What a deletion, a patch and an apply say of a UID that is not the resource's.
_OF_ANOTHER_UID = (
    "the UID in the precondition",
    "Precondition failed: UID",
    "metadata.uid: Invalid value",
    "uid mismatch: the provided object specified",
)
# A patch with an unknown field is quoted whole, before what is wrong with it.
_STRICT = "strict decoding error: "


class KubeUnavailableError(UnavailableError):
    """
    The kube-apiserver did not answer, or not yet; whether it did what was asked is not known where it was a write.

    :param retry_after_seconds: how long it wants not to be asked
    """

    worth_seconds: ClassVar[float] = float("inf")
    """How long it is worth to send the same again."""

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, retry_after_seconds: float = 0.0
    ) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(what, where=where, hint=hint)


class TokenRefusedError(KubeUnavailableError):
    """The kube-apiserver does not know us (any more): the token is to be renewed. Says nothing about what was asked."""

    worth_seconds = 0.0


class PermissionMissingError(KubeUnavailableError):
    """
    The user may not do that, now: a Role may be given back, and what runs goes on meanwhile.

    :param permission: what is missing
    """

    # A kube-apiserver that has just started refuses everybody for a moment, until it has read the rules (1.35).
    worth_seconds = 3.0

    def __init__(self, what: str, permission: Permission, *, hint: str | None = None) -> None:
        self.permission = permission
        super().__init__(what, hint=hint)


class QuotaExceededError(KubeUnavailableError):
    """A quota has no room now."""

    worth_seconds = 0.0


class ConflictError(KubeUnavailableError):
    """Somebody else wrote the same object (or a quota's) at the same moment: to be tried again."""


class VersionGoneError(KubeUnavailableError):
    """The version from which to go on is compacted: what is wanted has to be listed anew."""

    worth_seconds = 0.0


class AlreadyExistsError(RemoteFailureError):
    """There is one of this name already; whose it is, only its marks tell."""


class FieldConflictError(ConfigurationError):
    """Fields that an apply wants to set belong to another manager; the message names both."""


@dataclass(frozen=True)
class Told:
    """A Status object."""

    code: int
    reason: str
    message: str
    causes: Sequence[Mapping[str, Any]] = ()
    details: Mapping[str, Any] | None = None

    def has_cause(self, reason: str) -> bool:
        """Tell whether it names this cause."""
        return any(cause.get("reason") == reason for cause in self.causes)


def told_by(answer: Answer) -> Told | None:
    """Read the Status object of a failure; None where the kube-apiserver itself did not write it."""
    if not answer.body.lstrip().startswith(b"{"):
        return None
    try:
        status = json.loads(answer.body)
    except ValueError:
        return None
    if status.get("kind") != "Status" or status.get("apiVersion") != "v1":
        return None
    details = status.get("details") or {}
    return Told(
        code=int(status.get("code") or answer.status),
        reason=str(status.get("reason") or ""),
        message=shortened(str(status.get("message") or ""), MAX_MESSAGE_CHARACTERS),
        causes=[cause for cause in details.get("causes") or () if isinstance(cause, Mapping)],
        details=details,
    )


def is_absent(answer: Answer, asked: Asked) -> bool:
    """Tell whether the kube-apiserver itself says that there is no such resource."""
    told = told_by(answer) if answer.status == 404 else None
    if told is None or told.reason != "NotFound" or told.details is None:
        return False
    return told.details.get("kind") in (asked.kind.plural, asked.kind.name) and told.details.get("name") == asked.name


def is_anothers(answer: Answer) -> bool:
    """Tell whether the resource of this name has another UID than the one that is meant, or is gone."""
    told = told_by(answer) if answer.status in (409, 422) else None
    return told is not None and any(words in told.message for words in _OF_ANOTHER_UID)


def is_misfit(answer: Answer) -> bool:
    """Tell whether a JSON patch does not fit the resource: a test of it does not hold, or it has no such place."""
    told = told_by(answer) if answer.status == 422 else None
    return told is not None and told.message.startswith(_PATCH_MISFIT)


def failure_of(answer: Answer, asked: Asked) -> AirError:
    """Give the typed error for an answer that is no success; the caller raises it."""
    told = told_by(answer)
    if told is None:
        return _of_a_stranger(answer, asked)
    return failure_told(told, asked, _retry_after(answer))


def failure_told(told: Told, asked: Asked, retry_after_seconds: float = 0.0) -> AirError:
    """Give the typed error for a Status object, also one that came within a watch."""
    read = _BY_CODE.get(told.code)
    if read is not None:
        return read(told, asked)
    return KubeUnavailableError(
        f"The kube-apiserver answered {told.code} when asked to {asked}: {told.message}",
        retry_after_seconds=retry_after_seconds,
    )


def _retry_after(answer: Answer) -> float:
    try:
        return min(max(float(answer.headers.get("retry-after", 0)), 0.0), MAX_PAUSE_SECONDS)
    except ValueError:
        return 0.0


def _of_a_stranger(answer: Answer, asked: Asked) -> AirError:
    text = answer.text[:300]
    if answer.status == 401:
        return TokenRefusedError(f"We were not let in to {asked}: {text!r}", hint=_REFUSED_HINT)
    if answer.status == 404 and answer.body.strip() == b"404 page not found":
        what = f"This Kubernetes knows no {asked.kind.full_name} of version {asked.kind.version}"
        hint = "Is KubeRay installed there, and not older than 1.1?"
        return ConfigurationError(what, hint=hint) if asked.verb in WRITES else KubeUnavailableError(what, hint=hint)
    return KubeUnavailableError(
        f"Somebody in front of the kube-apiserver answered {answer.status} when asked to {asked}: {text!r}",
        hint="Does the kubernetes connection's server lead to a kube-apiserver?",
        retry_after_seconds=_retry_after(answer),
    )


_REFUSED_HINT = "If it stays so, correct the kubernetes connection's token, exec plug-in or certificate"


def _refused_token(told: Told, asked: Asked) -> AirError:
    if _DENIED.search(told.message):
        return _invalid(told, asked)
    return TokenRefusedError(f"The kube-apiserver does not know us ({told.message}): {asked}", hint=_REFUSED_HINT)


def _forbidden(told: Told, asked: Asked) -> AirError:
    if "exceeded quota" in told.message:
        return QuotaExceededError(f"A quota of the namespace has no room: {told.message}")
    if told.has_cause("NamespaceTerminating") or "is being terminated" in told.message:
        return KubeUnavailableError(f"The namespace is going: {told.message}")
    cannot = _CANNOT.search(told.message)
    if cannot is None and _DENIED.search(told.message):
        return _invalid(told, asked)
    if cannot is None:
        return PermissionMissingError(
            f"Kubernetes forbids to {asked}: {told.message}", asked.permission, hint=add_rules([asked.permission.rule])
        )
    missing = Permission(cannot["verb"], cannot["group"], cannot["resource"], cannot["namespace"] or asked.namespace)
    return PermissionMissingError(
        f"The user {cannot['user']!r} of the kubernetes connection may not {missing}",
        missing,
        hint=add_rules([missing.rule]),
    )


def add_rules(rules: Sequence[Mapping[str, Any]]) -> str:
    """Say which rules to add to a Role."""
    return "Add to the rules of its Role: " + ", ".join(map(json.dumps, rules))


def _not_found(told: Told, asked: Asked) -> AirError:
    # The namespace, most often.
    what = f"Kubernetes has not what it takes to {asked}: {told.message}"
    return ConfigurationError(what, hint="Create it first") if asked.verb in WRITES else KubeUnavailableError(what)


def _conflict(told: Told, asked: Asked) -> AirError:
    if told.reason == "AlreadyExists":
        return AlreadyExistsError(f"There is one already: {told.message}")
    if told.has_cause("FieldManagerConflict"):
        fields = "; ".join(f"{cause.get('field')}: {cause.get('message')}" for cause in told.causes)
        return FieldConflictError(
            f"Somebody else has set fields of {asked.namespace}/{asked.name}: {fields}",
            hint="Leave them out of the spec, or have the other one give them up",
        )
    return ConflictError(f"Somebody else wrote at the same moment when asked to {asked}: {told.message}")


def _gone(told: Told, asked: Asked) -> AirError:
    return VersionGoneError(f"{told.message} ({asked})")


def _invalid(told: Told, asked: Asked) -> AirError:
    _, is_strict, fields = told.message.rpartition(_STRICT)
    return ConfigurationError(f"Kubernetes rejects the request to {asked}: {fields if is_strict else told.message}")


def _internal(told: Told, asked: Asked) -> AirError:
    if any(words in told.message for words in _NOT_IN_SCHEMA):
        return _invalid(told, asked)
    return KubeUnavailableError(f"The kube-apiserver failed to {asked}: {told.message}")


_BY_CODE: Mapping[int, Callable[[Told, Asked], AirError]] = {
    400: _invalid,
    401: _refused_token,
    403: _forbidden,
    404: _not_found,
    409: _conflict,
    410: _gone,
    413: _invalid,
    415: _invalid,
    422: _invalid,
    500: _internal,
}
