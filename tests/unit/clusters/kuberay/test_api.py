"""What is asked of a kube-apiserver, and what its answers mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay import api
from airflow_provider_air.clusters.kuberay.answers import (
    AlreadyExistsError,
    ConflictError,
    FieldConflictError,
    KubeUnavailableError,
    PermissionMissingError,
    QuotaExceededError,
    TokenRefusedError,
    VersionGoneError,
)
from airflow_provider_air.clusters.kuberay.kinds import POD, RAY_CLUSTER, Permission
from airflow_provider_air.errors import AirError, ConfigurationError, ProtocolError, UnavailableError
from airflow_provider_air.ray_api.requests import Answer
from tests.fakes.kube_api import status

MANIFEST = {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "c1"}, "spec": {}}
CREATE = api.create(RAY_CLUSTER, "ns", MANIFEST)
GET = api.get(RAY_CLUSTER, "ns", "c1")
FORBIDDEN = (
    'rayclusters.ray.io "c1" is forbidden: User "airflow" cannot create resource "rayclusters" in API group "ray.io" '
    'in the namespace "ns"'
)
QUOTA = 'rayclusters.ray.io "c1" is forbidden: exceeded quota: q, requested: count/rayclusters.ray.io=1, used: 1'
ENDING = (
    'rayclusters.ray.io "c1" is forbidden: unable to create new content in namespace ns because it is being terminated'
)
DENIED = 'admission webhook "policy.example.com" denied the request: no GPUs on Fridays'
POLICY = (
    "rayclusters.ray.io \"c1\" is forbidden: ValidatingAdmissionPolicy 'gpus' with binding 'all' denied request: "
    "no GPUs on Fridays"
)
WEBHOOK = 'Internal error occurred: failed calling webhook "v.kb.io": connect: connection refused'
SCHEMA = (
    "failed to create typed patch object (ns/c1; ray.io/v1, Kind=RayCluster): .spec.novel: field not declared in schema"
)
OWNED = 'conflict with "kubectl" using ray.io/v1'
RACE = 'Operation cannot be fulfilled on resourcequotas "q": the object has been modified; please apply your changes'
CAUSE = [{"reason": "FieldManagerConflict", "field": ".spec.suspend", "message": OWNED}]


def answer(body: Mapping[str, Any] | str, code: int = 200, **headers: str) -> Answer:
    text = body if isinstance(body, str) else json.dumps(body)
    code = body["code"] if isinstance(body, Mapping) and body.get("kind") == "Status" else code
    return Answer(code, text.encode(), {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("told", "kind", "words"),
    [
        (status(401, "Unauthorized", "Unauthorized"), TokenRefusedError, "does not know us"),
        (
            status(403, "Forbidden", FORBIDDEN),
            PermissionMissingError,
            "may not create rayclusters in API group 'ray.io'",
        ),
        (status(403, "Forbidden", QUOTA), QuotaExceededError, "exceeded quota: q, requested"),
        (status(403, "Forbidden", ENDING), KubeUnavailableError, "being terminated"),
        (status(403, "Forbidden", DENIED), ConfigurationError, "no GPUs on Fridays"),
        (status(401, "Unauthorized", POLICY), ConfigurationError, "no GPUs on Fridays"),
        (status(403, "Forbidden", POLICY), ConfigurationError, "no GPUs on Fridays"),
        (status(422, "Invalid", POLICY), ConfigurationError, "no GPUs on Fridays"),
        (status(400, "BadRequest", DENIED), ConfigurationError, "no GPUs on Fridays"),
        (status(409, "AlreadyExists", 'rayclusters.ray.io "c1" already exists'), AlreadyExistsError, "already"),
        (status(409, "Conflict", RACE), ConflictError, "the object has been modified"),
        (
            status(409, "Conflict", "Apply failed", causes=CAUSE),
            FieldConflictError,
            '.spec.suspend: conflict with "kubectl"',
        ),
        (status(410, "Expired", "too old resource version: 1 (9)"), VersionGoneError, "too old"),
        (status(422, "Invalid", "spec.headGroupSpec: Required value"), ConfigurationError, "spec.headGroupSpec"),
        (
            status(400, "BadRequest", 'strict decoding error: unknown field "spec.novel"'),
            ConfigurationError,
            "spec.novel",
        ),
        (status(500, "InternalError", SCHEMA), ConfigurationError, "spec.novel"),
        (status(500, "InternalError", WEBHOOK), KubeUnavailableError, "failed calling webhook"),
        (status(504, "Timeout", "Timeout: request did not complete within 60s"), KubeUnavailableError, "60s"),
        (
            status(404, "NotFound", 'namespaces "ns" not found', kind="namespaces", name="ns"),
            ConfigurationError,
            "namespaces",
        ),
        ("404 page not found\n", ConfigurationError, "knows no rayclusters.ray.io"),
        ("<html>404 Not Found</html>", KubeUnavailableError, "in front of"),
        ('{"kind": "Status"', KubeUnavailableError, "in front of"),
        ('["not", "an", "object"]', KubeUnavailableError, "in front of"),
    ],
)
def test_each_refusal_of_a_creation_says_what_to_do_next(
    told: Mapping[str, Any] | str, kind: type[AirError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        CREATE.read(answer(told, 404))

    assert words in str(caught.value)
    is_outage = issubclass(kind, UnavailableError)
    assert isinstance(caught.value, UnavailableError) is is_outage


def test_a_missing_permission_is_named_with_the_rule_to_add() -> None:
    with pytest.raises(PermissionMissingError) as caught:
        CREATE.read(answer(status(403, "Forbidden", FORBIDDEN)))

    assert caught.value.permission == Permission("create", "ray.io", "rayclusters", "ns")
    assert "'airflow'" in str(caught.value)
    assert '{"apiGroups": ["ray.io"], "resources": ["rayclusters"], "verbs": ["create"]}' in str(caught.value)


def test_only_the_kube_apiservers_own_word_means_that_there_is_none() -> None:
    absent = status(404, "NotFound", 'rayclusters.ray.io "c1" not found', name="c1", group="ray.io", kind="rayclusters")
    assert GET.read(answer(absent)) is None

    for other in ("404 page not found", "<h1>Not here</h1>", status(404, "NotFound", "the server could not find it")):
        with pytest.raises(UnavailableError):
            GET.read(answer(other, 404))


@pytest.mark.parametrize("seconds", ["7", "soon", "-1"])
def test_how_long_it_wants_not_to_be_asked_is_told(seconds: str) -> None:
    with pytest.raises(KubeUnavailableError) as caught:
        GET.read(answer(status(429, "TooManyRequests", "Too many requests"), retry_after=seconds))

    assert caught.value.retry_after_seconds == (7.0 if seconds == "7" else 0.0)


def test_a_deletion_is_of_one_uid_and_never_of_its_successor() -> None:
    call = api.delete(RAY_CLUSTER, "ns", "c1", "u1")
    assert call.body is not None
    assert json.loads(call.body)["preconditions"] == {"uid": "u1"}

    another = "the UID in the precondition (u1) does not match the UID in record (u2)"
    absent = status(404, "NotFound", 'rayclusters.ray.io "c1" not found', name="c1", kind="rayclusters")
    assert call.read(answer(status(409, "Conflict", another))) is False
    assert call.read(answer(absent)) is False
    assert call.read(answer({"kind": "Status", "status": "Success", "code": 200})) is True
    with pytest.raises(ConflictError):
        call.read(answer(status(409, "Conflict", "the object has been modified")))


def test_writes_are_strict_under_our_name_and_warnings_come_home() -> None:
    assert CREATE.params == {"fieldManager": "airflow-provider-air", "fieldValidation": "Strict"}
    dry = api.apply(RAY_CLUSTER, "ns", MANIFEST, dry_run=True, force=True)
    assert (dry.method, dry.path) == ("PATCH", "/apis/ray.io/v1/namespaces/ns/rayclusters/c1")
    assert (dry.params["dryRun"], dry.params["force"]) == ("All", "true")
    assert dry.headers["Content-Type"] == "application/apply-patch+yaml"

    told = '299 - "unknown field \\"spec.novel\\"", 299 - "v1alpha1 is old, use v1"'
    written = CREATE.read(answer({"metadata": {}}, 201, warning=told))

    assert written.warnings == ['unknown field "spec.novel"', "v1alpha1 is old, use v1"]


def test_a_patch_meets_the_meant_one_only() -> None:
    call = api.patch(RAY_CLUSTER, "ns", "c1", {"spec": {"jobId": "j"}, "metadata": {"labels": {"a": "b"}}}, uid="u1")

    assert call.body is not None
    assert json.loads(call.body) == {"spec": {"jobId": "j"}, "metadata": {"labels": {"a": "b"}, "uid": "u1"}}
    immutable = 'RayCluster.ray.io "c1" is invalid: metadata.uid: Invalid value: "u1": field is immutable'
    assert call.read(answer(status(422, "Invalid", immutable))) is None
    gone = "uid mismatch: the provided object specified uid u1, and no existing object was found"
    applied = api.apply(RAY_CLUSTER, "ns", {"metadata": {"name": "c1", "uid": "u1"}})
    assert applied.read(answer(status(409, "Conflict", gone))) is None


def test_a_patch_that_is_refused_does_not_quote_the_whole_resource() -> None:
    quoted = 'Invalid value: "{...}": strict decoding error: unknown field "spec.novel"'
    call = api.patch(RAY_CLUSTER, "ns", "c1", {"spec": {"novel": 1}})

    with pytest.raises(ConfigurationError, match=r'ns/c1: unknown field "spec\.novel"$'):
        call.read(answer(status(422, "Invalid", quoted)))


def test_scaling_is_another_managers_and_leaves_groups_that_have_moved() -> None:
    operations = [{"op": "test", "path": "/spec/workerGroupSpecs/0/groupName", "value": "a"}]
    call = api.scale(RAY_CLUSTER, "ns", "c1", operations)

    assert call.body is not None
    assert json.loads(call.body) == operations
    assert call.headers["Content-Type"] == "application/json-patch+json"
    assert call.params["fieldManager"] == api.SCALING_MANAGER != api.FIELD_MANAGER
    misfit = "the server rejected our request due to an error in our request"
    assert call.read(answer(status(422, "Invalid", misfit))) is None


@pytest.mark.parametrize("told", [POLICY, 'RayCluster.ray.io "c1" is invalid: spec.workerGroupSpecs[0].replicas: no'])
def test_a_scaling_that_is_refused_is_not_taken_for_groups_that_have_moved(told: str) -> None:
    with pytest.raises(ConfigurationError, match=r"GPUs on Fridays|replicas: no"):
        api.scale(RAY_CLUSTER, "ns", "c1", []).read(answer(status(422, "Invalid", told)))


def test_lists_come_in_pages_and_each_item_says_what_it_is() -> None:
    call = api.list_pods("ns", "c1", rest="abc")
    assert call.path == "/api/v1/namespaces/ns/pods"
    assert call.params == {"limit": "100", "labelSelector": "ray.io/cluster=c1", "continue": "abc"}

    page = call.read(answer({"metadata": {"resourceVersion": "7", "continue": "x"}, "items": [{"metadata": {}}]}))

    assert (page.version, page.rest, page.items[0]["kind"]) == ("7", "x", POD.name)
    with pytest.raises(UnavailableError, match="no list"):
        call.read(answer({"items": []}))


def test_a_container_that_has_no_lines_yet_has_an_empty_log() -> None:
    call = api.pod_log("ns", "p", "ray-head", lines=5)

    waiting = 'container "ray-head" in pod "p" is waiting to start: ContainerCreating'
    assert call.read(answer(status(400, "BadRequest", waiting))) == ""
    assert call.read(answer(status(404, "NotFound", 'pods "p" not found', kind="pods", name="p"))) == ""
    assert call.read(Answer(200, "ä\n".encode())) == "ä\n"
    with pytest.raises(UnavailableError):
        call.read(answer("gateway", 502))


def test_a_secrets_value_is_read_and_nothing_else_of_it() -> None:
    call = api.get_secret("ns", "c1", "auth_token")

    assert call.read(answer({"data": {"auth_token": "dG9rZW4K"}})) == "token"
    assert call.read(answer({"data": {"other": "dG9rZW4K"}})) is None
    assert call.read(answer({})) is None
    absent = status(404, "NotFound", 'secrets "c1" not found', name="c1", kind="secrets")
    assert call.read(answer(absent)) is None
    with pytest.raises(ProtocolError):
        call.read(answer({"data": {"auth_token": "/w=="}}))
