"""Asking a real kube-apiserver, through what happens to it and to our token, and reaching a real head by it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from kubernetes.config import incluster_config

from airflow_provider_air.clusters.kuberay import api, permissions, surroundings, watching
from airflow_provider_air.clusters.kuberay.answers import (
    AlreadyExistsError,
    FieldConflictError,
    PermissionMissingError,
    QuotaExceededError,
    TokenRefusedError,
)
from airflow_provider_air.clusters.kuberay.client import KubeClient
from airflow_provider_air.clusters.kuberay.kinds import EVENT, RAY_CLUSTER, RAY_JOB, Permission
from airflow_provider_air.clusters.kuberay.permissions import ALL_BUT_PORT_FORWARD, NEEDS, check_permissions, role
from airflow_provider_air.clusters.kuberay.reaching import transport_of
from airflow_provider_air.clusters.kuberay.watching import Sight, watch_resource
from airflow_provider_air.connections.airflow import AirflowConnections
from airflow_provider_air.contracts.connections import KubernetesAccess
from airflow_provider_air.errors import ClusterNotReadyError, ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.client import AsyncRayClient, RayClient
from airflow_provider_air.ray_api.logs import LogReader, job_log_name
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.requests import Call, get_job, get_package, get_version, put_package, submit_job
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.clock import RealClock
from tests.kubernetes import manifests
from tests.kubernetes.bench import until as eventually
from tests.kubernetes.node.node import Node

pytestmark = pytest.mark.integration

SOON = 300.0
PROXY_ONLY = (permissions.PROXY,)


def kubeconfig(kube: Node, user: dict[str, Any]) -> dict[str, Any]:
    authority = base64.b64encode(kube.credentials.authority.read_bytes()).decode()
    return {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {"server": kube.url, "certificate-authority-data": authority}}],
        "users": [{"name": "u", "user": user}],
    }


Open = Callable[..., KubernetesAccess]


@pytest.fixture
def access_of(kube: Node, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Open an Airflow connection with a user of the kubeconfig, or the extra that is given."""

    def opened(user: dict[str, Any] | None = None, conn_id: str = "kube", **extra: Any) -> KubernetesAccess:
        extra = extra or {"kube_config": kubeconfig(kube, user or {"token": kube.credentials.tokens["airflow"]})}
        kept = {"conn_type": "kubernetes", "extra": extra}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(kept))
        access = AirflowConnections().open("kubernetes", conn_id)
        assert isinstance(access, KubernetesAccess)
        return access

    return opened


def grant(kube: Node, namespace: str, rules: list[dict[str, Any]], *subjects: dict[str, Any]) -> None:
    """Give the user "airflow", or others, these rules in a namespace, and wait until they count."""
    group = "rbac.authorization.k8s.io"
    users = subjects or ({"kind": "User", "apiGroup": group, "name": "airflow"},)
    binding = {
        "apiVersion": f"{group}/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "airflow-ray", "namespace": namespace},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "airflow-ray"},
        "subjects": list(users),
    }
    kube.admin.apply({**role(namespace), "rules": rules}, binding)


def allowed(kube: KubeClient, namespace: str) -> set[tuple[str, str]]:
    rules = kube.send(permissions.my_rules(namespace))
    return {(verb, name) for rule in rules for verb in rule["verbs"] for name in rule.get("resources") or ()}


def granted(kube: Node, client: KubeClient, namespace: str, rules: list[dict[str, Any]]) -> None:
    grant(kube, namespace, rules)
    wanted = {(verb, name) for rule in rules for verb in rule["verbs"] for name in rule["resources"]}
    end = time.monotonic() + SOON
    while {one for one in allowed(client, namespace) if not one[1].startswith("selfsubject")} != wanted:
        assert time.monotonic() < end, "the rules do not count"
        time.sleep(0.05)


@pytest.fixture
def client(access_of: Open) -> Iterator[KubeClient]:
    with KubeClient(access_of(), patience_seconds=0.0) as client:
        yield client


def calls_that_need(namespace: str) -> dict[str, Call[Any]]:
    """For each permission of :data:`NEEDS`, a call of ours that fails without it."""
    manifest = manifests.ray_cluster("c1", namespace)
    calls: dict[str, Call[Any]] = {}
    for kind in (RAY_CLUSTER, RAY_JOB):
        every: dict[str, Call[Any]] = {
            "create": api.create(kind, namespace, {**manifest, "kind": kind.name}),
            "delete": api.delete(kind, namespace, "c1", None),
            "get": api.get(kind, namespace, "c1"),
            "list": api.list_page(kind, namespace),
            "patch": api.patch(kind, namespace, "c1", {"metadata": {"labels": {"a": "b"}}}),
            "watch": api.watch(kind, namespace, "1", seconds=1),
        }
        calls |= {f"{verb} {kind.plural}": call for verb, call in every.items()}
    calls["list pods"] = api.list_pods(namespace, "c1")
    calls["get pods/log"] = api.pod_log(namespace, "p")
    calls["list events"] = api.list_events(namespace, "u")
    calls["get secrets"] = api.get_secret(namespace, "c1", "auth_token")
    return calls


def test_each_permission_is_what_a_call_of_ours_is_refused_without(client: KubeClient, namespace: str) -> None:
    calls = calls_that_need(namespace)
    needed = {
        f"{verb} {need.resource}" for need in NEEDS for verb in need.verbs if need.use not in ("proxy", "port_forward")
    }
    assert set(calls) == needed

    for words, call in calls.items():
        verb, resource = words.split()
        with pytest.raises(PermissionMissingError) as caught:
            client.send(call)
        group = "ray.io" if resource.startswith("ray") else ""
        assert caught.value.permission == Permission(verb, group, resource, namespace)


@pytest.mark.parametrize(
    ("method", "verb"), [("GET", "get"), ("POST", "create"), ("PUT", "update"), ("DELETE", "delete")]
)
def test_a_proxy_without_its_rule_names_the_rule(access_of: Open, namespace: str, method: str, verb: str) -> None:
    transport = transport_of(access_of(), namespace, cluster="c1", service="c1-head-svc", token="t", reach="proxy")

    with RayClient(transport, patience_seconds=0.0) as ray, pytest.raises(PermissionMissingError) as caught:
        ray.send(Call(method, "/api/version", lambda answer: answer))

    assert caught.value.permission == Permission(verb, "", "services/proxy", namespace)
    assert "services/proxy" in str(caught.value.hint)


def test_without_each_rule_of_the_documented_role_the_check_names_what_is_missing(
    kube: Node, client: KubeClient, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(permissions, "REFUSED_SECONDS", 0.0)
    every = role(namespace)["rules"]
    granted(kube, client, namespace, every)
    check_permissions(client, namespace, ALL_BUT_PORT_FORWARD)

    for rule in every:
        for verb in rule["verbs"]:
            others = [one for one in every if one is not rule]
            less = {**rule, "verbs": [one for one in rule["verbs"] if one != verb]}
            granted(kube, client, namespace, [*others, *([less] if less["verbs"] else [])])
            with pytest.raises(ConfigurationError) as caught:
                check_permissions(client, namespace, ALL_BUT_PORT_FORWARD)
            assert f"{verb} {rule['resources'][0]}" in str(caught.value)
            assert json.dumps({**rule, "verbs": [verb]}) in str(caught.value)


def test_what_a_kube_apiserver_refuses_is_told_apart(kube: Node, access_of: Open, namespace: str) -> None:
    manifest = manifests.ray_cluster("c1", namespace, suspend=True)
    novel = {**manifest, "spec": {**manifest["spec"], "novel": 1}}
    quota = {"hard": {"count/rayclusters.ray.io": "1"}}
    with KubeClient(access_of({"token": kube.credentials.tokens["admin"]}), patience_seconds=5.0) as admin:
        writes: list[Call[Any]] = [api.create(RAY_CLUSTER, namespace, novel), api.apply(RAY_CLUSTER, namespace, novel)]
        for write in writes:
            with pytest.raises(ConfigurationError, match=r"spec\.novel"):
                admin.send(write)
        made = admin.send(api.create(RAY_CLUSTER, namespace, manifest)).resource
        uid = made["metadata"]["uid"]
        with pytest.raises(AlreadyExistsError):
            admin.send(api.create(RAY_CLUSTER, namespace, manifest))
        with pytest.raises(ConfigurationError, match=r'c1: unknown field "spec\.novel"$'):
            admin.send(api.patch(RAY_CLUSTER, namespace, "c1", {"spec": {"novel": 1}}))
        with pytest.raises(FieldConflictError, match=r"spec\.suspend.*airflow-provider-air"):
            admin.send(api.apply(RAY_CLUSTER, namespace, _only("c1", suspend=False), manager="another"))

        assert admin.send(api.patch(RAY_CLUSTER, namespace, "c1", {"spec": {"suspend": True}}, uid="another")) is None
        assert admin.send(api.apply(RAY_CLUSTER, namespace, _only("c1", uid="another"), force=True)) is None
        assert admin.send(api.apply(RAY_CLUSTER, namespace, _only("c2", uid="another"))) is None
        assert admin.send(api.delete(RAY_CLUSTER, namespace, "c1", "another")) is False
        assert admin.send(api.patch(RAY_CLUSTER, namespace, "c1", {"metadata": {"labels": {"a": "b"}}}, uid=uid))

        kube.admin.apply(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "q", "namespace": namespace},
                "spec": quota,
            }
        )
        second = manifests.ray_cluster("c2", namespace, suspend=True)

        def counts() -> bool:
            # Admission goes by what it watches, and judges what is only tried, too.
            try:
                admin.send(api.create(RAY_CLUSTER, namespace, second, dry_run=True))
            except QuotaExceededError:
                return True
            return False

        eventually(counts, "the quota to count", SOON)
        with pytest.raises(QuotaExceededError, match="exceeded quota: q"):
            admin.send(api.create(RAY_CLUSTER, namespace, second))

        assert admin.send(api.delete(RAY_CLUSTER, namespace, "c1", uid)) is True
        kube.admin.wait_gone("rayclusters", "c1", namespace, of="ray.io/v1")
        assert admin.send(api.delete(RAY_CLUSTER, namespace, "c1", uid)) is False
        with pytest.raises(ConfigurationError, match="namespaces"):
            admin.send(api.create(RAY_CLUSTER, "nowhere", manifests.ray_cluster("c1", "nowhere")))


def _only(name: str, uid: str | None = None, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, **({"uid": uid} if uid else {})}
    return {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": metadata, "spec": spec}


def account(kube: Node, namespace: str, name: str) -> str:
    """Make a service account with the documented Role; give a token of it, whose end is written in it."""
    kube.admin.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}})
    grant(kube, namespace, role(namespace)["rules"], {"kind": "ServiceAccount", "name": name, "namespace": namespace})
    return kube.admin.token_for(name, namespace, 600)


def test_a_token_that_is_refused_in_the_middle_is_read_anew_above_all_for_the_deletion(
    kube: Node, access_of: Open, namespace: str, tmp_path: Path
) -> None:
    """A service account's token is refused from the moment on when the account is deleted."""
    file = tmp_path / "token"
    file.write_text(account(kube, namespace, "first") + "\n")
    with KubeClient(access_of({"tokenFile": str(file)}), patience_seconds=5.0) as client:
        ends = client.server.expires_at
        assert ends is not None
        assert 0 < ends - time.time() <= 601
        client.send(api.create(RAY_CLUSTER, namespace, manifests.ray_cluster("c1", namespace, suspend=True)))

        kube.admin.delete("serviceaccounts", "first", namespace)
        _until_refused(client, namespace)
        file.write_text(account(kube, namespace, "second"))

        assert client.send(api.delete(RAY_CLUSTER, namespace, "c1", None)) is True
    kube.admin.wait_gone("rayclusters", "c1", namespace, of="ray.io/v1")


def _until_refused(client: KubeClient, namespace: str) -> None:
    end = time.monotonic() + SOON
    while time.monotonic() < end:
        try:
            client.send(api.get(RAY_CLUSTER, namespace, "c1"))
        except TokenRefusedError:
            return
        time.sleep(0.2)
    raise AssertionError("the token is taken for ever")


def test_within_a_pod_the_projected_token_is_read_and_read_anew(
    kube: Node, access_of: Open, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = tmp_path / "token"
    token.write_text(account(kube, namespace, "first"))
    host, _, port = kube.url.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(kube.credentials.authority))

    with KubeClient(access_of(in_cluster=True), patience_seconds=5.0) as client:
        assert client.server.in_cluster
        assert client.send(api.get(RAY_CLUSTER, namespace, "c1")) is None
        kube.admin.delete("serviceaccounts", "first", namespace)
        _until_refused(client, namespace)
        token.write_text(account(kube, namespace, "second"))
        assert client.send(api.get(RAY_CLUSTER, namespace, "c1")) is None


@pytest.fixture
def quick_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LONGEST_PAUSE_SECONDS", 2.0)


def suspended(kube: Node, name: str, namespace: str) -> None:
    kube.admin.apply(manifests.ray_cluster(name, namespace, suspend=True))


async def until(sights: AsyncGenerator[Sight], is_so: Callable[[Sight], bool]) -> list[Sight]:
    seen: list[Sight] = []
    async with asyncio.timeout(SOON):
        async for sight in sights:
            seen.append(sight)
            if is_so(sight):
                return seen
    raise AssertionError("a watch does not end")


def labelled(value: str) -> Callable[[Sight], bool]:
    def is_so(sight: Sight) -> bool:
        return sight.resource is not None and sight.resource["metadata"].get("labels", {}).get("mark") == value

    return is_so


def mark(kube: Node, name: str, namespace: str, value: str) -> None:
    kube.admin.patch("rayclusters", name, namespace, {"metadata": {"labels": {"mark": value}}}, of="ray.io/v1")


async def test_a_watch_lives_through_compaction_and_tells_changes_at_once(
    kube: Node, access_of: Open, client: KubeClient, namespace: str, quick_watch: None
) -> None:
    granted(kube, client, namespace, role(namespace)["rules"])
    await asyncio.to_thread(suspended, kube, "c1", namespace)
    async with aclosing(watch_resource(access_of(), RAY_CLUSTER, namespace, "c1", RealClock())) as sights:
        await until(sights, lambda sight: sight.resource is not None)
        took = []
        for number in range(10):
            begun = time.monotonic()
            change = asyncio.create_task(asyncio.to_thread(mark, kube, "c1", namespace, str(number)))
            await until(sights, labelled(str(number)))
            took.append(time.monotonic() - begun)
            await change
        # The others say how busy the machine is.
        assert min(took) < 1.0, took

        await asyncio.to_thread(kube.compact)
        await asyncio.to_thread(kube.wait_answering)
        await asyncio.to_thread(mark, kube, "c1", namespace, "compacted")
        seen = await until(sights, labelled("compacted"))
        assert all(sight.resource is not None or sight.error is not None for sight in seen)

        await asyncio.to_thread(kube.admin.delete, "rayclusters", "c1", namespace, "ray.io/v1")
        assert (await until(sights, lambda sight: sight.resource is None and sight.error is None))[-1] == Sight()
    # Whoever else watches lists anew, too, all at once: the next test is not to fall into that.
    await asyncio.to_thread(kube.wait_ready)


@pytest.mark.full
async def test_a_kube_apiserver_that_is_killed_or_stands_still_is_told_and_waited_out(
    kube: Node, access_of: Open, client: KubeClient, namespace: str, quick_watch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "SILENT_SECONDS", 3.0)
    monkeypatch.setattr(api, "READ_SECONDS", 5.0)
    granted(kube, client, namespace, role(namespace)["rules"])
    await asyncio.to_thread(suspended, kube, "c1", namespace)
    async with aclosing(watch_resource(access_of(), RAY_CLUSTER, namespace, "c1", RealClock())) as sights:
        await until(sights, lambda sight: sight.resource is not None)
        try:
            await asyncio.to_thread(kube.kill, "kube-apiserver")
            # On a machine out of breath a question that had no answer in time may come first.
            await until(sights, lambda sight: "kubernetes connection" in str(sight.error))
        finally:
            await asyncio.to_thread(kube.start_part, "kube-apiserver")
        await asyncio.to_thread(kube.wait_answering)
        await asyncio.to_thread(mark, kube, "c1", namespace, "restarted")
        await until(sights, labelled("restarted"))

        try:
            await asyncio.to_thread(kube.freeze, "kube-apiserver")
            assert (await until(sights, lambda sight: sight.error is not None))[-1].resource is None
        finally:
            await asyncio.to_thread(kube.thaw, "kube-apiserver")
        await asyncio.to_thread(kube.wait_answering)
        await asyncio.to_thread(mark, kube, "c1", namespace, "thawed")
        seen = await until(sights, labelled("thawed"))
    assert all(sight.resource is not None or sight.error is not None for sight in seen)
    await asyncio.to_thread(kube.wait_ready)


def reach(access: KubernetesAccess, namespace: str, token: str | None, service: str = "c1-head-svc") -> Transport:
    return transport_of(access, namespace, cluster="c1", service=service, token=token, reach="proxy")


def test_a_service_that_is_absent_or_leads_nowhere_is_an_outage(
    kube: Node, access_of: Open, client: KubeClient, namespace: str
) -> None:
    granted(kube, client, namespace, role(namespace)["rules"])
    port = {"name": "dashboard", "port": 8265}
    kube.admin.apply(
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "empty", "namespace": namespace},
            "spec": {"ports": [port], "selector": {"no": "body"}},
        }
    )

    def refusal(service: str) -> str:
        with (
            RayClient(reach(access_of(), namespace, None, service), patience_seconds=0.0) as ray,
            pytest.raises(ClusterNotReadyError) as told,
        ):
            ray.send(get_version())
        return str(told.value)

    assert "not found" in refusal("c1-head-svc")
    # The proxy goes by what it watches: for a moment a new service, and then its endpoints, are not there for it.
    eventually(lambda: "no endpoints available" in refusal("empty"), "the proxy's word on a service without pods")


async def test_a_head_is_reached_by_the_proxy_with_both_tokens_and_logs_come_in_ranges(
    kube: Node, access_of: Open, client: KubeClient, namespace: str
) -> None:
    granted(kube, client, namespace, role(namespace)["rules"])
    access = access_of()
    with KubeClient(access) as writer:
        await asyncio.to_thread(writer.send, api.create(RAY_CLUSTER, namespace, manifests.ray_cluster("c1", namespace)))
    async with aclosing(watch_resource(access, RAY_CLUSTER, namespace, "c1", RealClock())) as sights:
        seen = await until(sights, lambda sight: (sight.resource or {}).get("status", {}).get("state") == "ready")
    assert seen[-1].resource is not None
    service = seen[-1].resource["status"]["head"]["serviceName"]
    token = client.send(api.get_secret(namespace, "c1", "auth_token"))
    transport = reach(access, namespace, token, service)

    submission = JobSubmission("job-1", "python -c 'print(\"from the pod\", 1 + 1)'")
    with RayClient(transport) as ray:
        assert (await asyncio.to_thread(ray.send, get_version())).ray_version.startswith("2.60")
        await asyncio.to_thread(ray.send, put_package("_ray_pkg_large.zip", bytes(64 * 1024 * 1024)))
        assert await asyncio.to_thread(ray.send, get_package("_ray_pkg_large.zip"))
        assert await asyncio.to_thread(ray.send, submit_job(submission)) is True
        assert await asyncio.to_thread(ray.send, submit_job(submission)) is False
        assert await asyncio.to_thread(ray.send, get_job("unknown")) is None
    async with AsyncRayClient(transport) as ray_client:
        async with asyncio.timeout(SOON):
            while (job := await ray_client.send(get_job("job-1"))) is None or not job.status.is_terminal:
                await asyncio.sleep(0.3)
        assert job.status.value == "SUCCEEDED", job.message
        assert job.agent_address is not None
        assert transport.agent_url is not None
        agent = await transport.agent_url(job.agent_address)
        assert agent is not None
        assert agent.endswith(":52365/proxy")
        reader = LogReader(ray_client)
        text = await reader.read(job, job_log_name("job-1"), 0, 100_000)
        at = text.index(b"from the pod 2")
        assert await reader.read(job, job_log_name("job-1"), at, 8) == b"from the"
        assert not reader._agent_again, "the agent was not asked"

    for wrong in ("nonsense", None):
        with (
            RayClient(reach(access, namespace, wrong, service), patience_seconds=0.0) as ray,
            pytest.raises(UnavailableError, match="Ray refuses the cluster's token"),
        ):
            await asyncio.to_thread(ray.send, get_job("job-1"))

    certificate, key = kube.credentials.client_certificate("airflow")
    by_certificate = access_of({"client-certificate": str(certificate), "client-key": str(key)}, "by_certificate")
    with RayClient(reach(by_certificate, namespace, token, service)) as ray:
        assert await asyncio.to_thread(ray.send, get_job("job-1")) is not None

    transport = transport_of(access, namespace, cluster="c1", service=service, token=token, reach="port_forward")
    with RayClient(transport, patience_seconds=0.0) as ray, pytest.raises(UnavailableError, match="pods/portforward"):
        await asyncio.to_thread(ray.send, get_version())
    granted(kube, client, namespace, role(namespace, uses=(*ALL_BUT_PORT_FORWARD, permissions.PORT_FORWARD))["rules"])
    async with AsyncRayClient(transport) as ray_client:
        await ray_client.send(put_package("_ray_pkg_other.zip", bytes(8 * 1024 * 1024)))
        assert await ray_client.send(get_package("_ray_pkg_other.zip"))
        assert await asyncio.gather(*(ray_client.send(get_job("job-1")) for _ in range(20))) == [job] * 20
        reader = LogReader(ray_client)
        assert await reader.read(job, job_log_name("job-1"), at, 8) == b"from the"
        assert not reader._agent_again, "the agent was not asked"

    head = client.send(api.list_pods(namespace, "c1")).items[0]["metadata"]["name"]
    assert "Ray runtime started" in client.send(api.pod_log(namespace, head, "ray-head", lines=500))
    assert client.send(api.list_events(namespace, seen[-1].resource["metadata"]["uid"])).items
    told = {event["reason"] for event in client.send(api.list_page(EVENT, namespace, fields=surroundings.OF_USE)).items}
    assert "Started" in told
    assert not told & set(surroundings.OF_NO_USE)
