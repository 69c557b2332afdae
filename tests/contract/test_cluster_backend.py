"""
What every way to have a Ray cluster must do; a new one is one fixture and one line in ``harness``.

Real Ray is started once for the whole file.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

import pytest

from airflow_provider_air.clusters.existing.backend import ExistingBackend
from airflow_provider_air.clusters.existing.spec import ExistingCluster
from airflow_provider_air.clusters.registry import build_spec
from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.contracts.clusters import (
    ClusterBackend,
    ClusterOwner,
    ClusterRef,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
    ListedCluster,
)
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo
from airflow_provider_air.errors import ConfigurationError, UnavailableError
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.requests import get_job, get_version, submit_job
from airflow_provider_air.ray_api.transport import RayConnection, Transport
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.waiting import wait_until
from tests.clusters import BACKEND, delete, wait_for_state
from tests.fakes.connections import DictConnections
from tests.fakes.other_clusters import OtherClusters, OtherSpec
from tests.fakes.ray_dashboard import FakeRayDashboard

NAME = "contract-backend"
LOCAL = {"num_cpus": 2, "object_store_memory_bytes": 256 * 1024 * 1024}
KEY = TaskKey("tests", "flights", "manual__1", "train")
OWNER = ClusterOwner("tests", KEY)
ATTEMPT = AttemptInfo(KEY, "air-contract-g1a1-1", "flights-train-g1", 1, 1, "submit", NAME)
NEVER = "never-was"
READY_SECONDS = 90.0
# After an outage, who deletes may look again only a minute later.
GONE_SECONDS = 240.0


@dataclass
class Harness:
    """
    A back end with one live cluster.

    :param spec: describes the live cluster
    :param other: describes another cluster of the same name, where the back end can have one
    :param unnamed: a spec that leaves the name to the back end
    :param never: describes a cluster that never was, where there can be one
    :param disposable: has another live cluster, to be deleted
    :param silence: lets nobody answer any more
    :param answer: ends that
    :param impossible: what none of its clusters could run, where that is known
    :param leads_to_ray: whether a real answer comes from its address
    """

    backend: ClusterBackend
    spec: ClusterSpec
    ref: ClusterRef
    secrets: tuple[str, ...]
    unnamed: ClusterSpec
    other: ClusterSpec | None = None
    never: ClusterSpec | None = None
    disposable: Callable[[], ClusterRef] | None = None
    silence: Callable[[], Any] | None = None
    answer: Callable[[], Any] | None = None
    impossible: JobRequest | None = None
    leads_to_ray: bool = True


def connections_to(head: FakeRayDashboard, **fields: Any) -> DictConnections:
    transport = Transport(head.url, **{"token": head.token, **fields})
    return DictConnections({("ray", NAME): RayConnection("existing", transport=transport)})


@pytest.fixture(scope="module")
def existing() -> Iterator[Harness]:
    with FakeRayDashboard() as head:
        backend = ExistingBackend(connections_to(head))
        spec = ExistingCluster(NAME)
        ref = backend.ensure(spec, backend.name_of(spec, KEY), owner=OWNER)
        faults: list[Any] = []
        yield Harness(
            backend,
            spec,
            ref,
            (str(head.token), head.url),
            unnamed=spec,
            silence=lambda: faults.append(head.plan("*", "", times=None, drop=True)),
            answer=lambda: faults.pop().cancel(),
        )


@pytest.fixture(scope="module")
def local() -> Iterator[Harness]:
    spec = build_spec("local", {"name": NAME, **LOCAL})
    ref = BACKEND.ensure(cast(Any, spec), BACKEND.name_of(cast(Any, spec), KEY), owner=OWNER)

    def disposable() -> ClusterRef:
        second = build_spec("local", {"name": f"{NAME}-2", **LOCAL})
        return BACKEND.ensure(cast(Any, second), BACKEND.find(cast(Any, second)), owner=OWNER)

    try:
        wait_for_state(ref, ClusterState.READY)
        yield Harness(
            cast(ClusterBackend, BACKEND),
            spec,
            ref,
            (str(BACKEND.open_transport(ref).token),),
            unnamed=build_spec("local", LOCAL),
            other=build_spec("local", {"name": NAME, **LOCAL, "num_cpus": 1}),
            never=build_spec("local", {"name": NEVER}),
            disposable=disposable,
        )
    finally:
        delete(ref)


@pytest.fixture(scope="module")
def other() -> Harness:
    clusters = OtherClusters()

    def live(spec: OtherSpec) -> ClusterRef:
        ref = clusters.ensure(spec, clusters.name_of(spec, KEY, ATTEMPT), owner=OWNER, attempt=ATTEMPT)
        clusters.ready(ref.name)
        return ref

    return Harness(
        clusters,
        OtherSpec(NAME),
        live(OtherSpec(NAME)),
        ("other-token",),
        unnamed=OtherSpec(),
        other=OtherSpec(NAME, size=2),
        never=OtherSpec(NEVER),
        disposable=lambda: live(OtherSpec(f"{NAME}-2")),
        silence=clusters.silence,
        answer=clusters.answer,
        impossible=JobRequest("true", runtime_env={"pip": ["a"]}),
        leads_to_ray=False,
    )


@pytest.fixture(
    scope="module",
    params=["existing", "other", pytest.param("local", marks=pytest.mark.integration)],
)
def harness(request: pytest.FixtureRequest) -> Harness:
    harness: Harness = request.getfixturevalue(request.param)
    return harness


def listed(harness: Harness, ref: ClusterRef) -> ListedCluster:
    (found,) = [item for item in harness.backend.list(where=ref) if item.ref == ref]
    return found


def ready(harness: Harness) -> ClusterStatus:
    """Give the live cluster's status; a busy head may miss a look, and counts as starting then."""

    def look() -> ClusterStatus | None:
        status = harness.backend.describe(harness.ref)
        return status if status.state is ClusterState.READY else None

    return wait_until(
        look,
        what="The live cluster's READY",
        timeout_seconds=READY_SECONDS,
        last_state=lambda: str(harness.backend.describe(harness.ref)),
    )


def ensure(harness: Harness, spec: ClusterSpec) -> ClusterRef:
    backend = harness.backend
    return backend.ensure(spec, backend.name_of(spec, KEY, ATTEMPT), owner=OWNER, attempt=ATTEMPT)


def test_the_spec_is_one_that_operators_take(harness: Harness) -> None:
    assert isinstance(harness.spec, ClusterSpec)
    assert all(hasattr(harness.spec, name) for name in harness.spec.template_fields)
    harness.spec.validate()


def test_a_reference_survives_json_and_holds_no_secret(harness: Harness) -> None:
    text = json.dumps(harness.ref.to_json())

    assert ClusterRef.from_json(json.loads(text)) == harness.ref
    assert not [secret for secret in harness.secrets if secret in text]
    assert not [secret for secret in harness.secrets if secret in repr(harness.ref)]


def test_a_live_cluster_is_ready_and_has_an_incarnation(harness: Harness) -> None:
    status = ready(harness)

    assert status.incarnation
    assert ready(harness).incarnation == status.incarnation


def test_its_transport_leads_to_ray(harness: Harness) -> None:
    if not harness.leads_to_ray:
        pytest.skip("nobody is at its address")
    with RayClient(harness.backend.open_transport(harness.ref)) as client:
        assert client.send(get_version()).ray_version.startswith("2.")


def test_its_transport_hides_the_token(harness: Harness) -> None:
    transport = harness.backend.open_transport(harness.ref)
    token = transport.token or transport.headers["X-Ray-Authorization"].removeprefix("Bearer ")

    assert token
    assert token not in repr(transport)


def test_a_live_cluster_that_matches_is_adopted(harness: Harness) -> None:
    before = ready(harness)

    assert ensure(harness, harness.spec) == harness.ref
    assert ready(harness) == before


def test_a_live_cluster_that_does_not_match_is_left_alone(harness: Harness) -> None:
    if harness.other is None:
        pytest.skip("this backend has one cluster per connection, whatever it is")
    with pytest.raises(ConfigurationError):
        ensure(harness, harness.other)
    assert ready(harness).state is ClusterState.READY


def test_it_is_found_by_its_spec(harness: Harness) -> None:
    assert harness.backend.find(harness.spec) == harness.ref


def test_names_are_stable_and_tell_tasks_apart(harness: Harness) -> None:
    changes: list[dict[str, Any]] = [{field: "another"} for field in ("deployment", "dag_id", "run_id", "task_id")]
    keys = [KEY, *(dataclasses.replace(KEY, **change) for change in changes)]
    keys += [dataclasses.replace(KEY, map_index=index) for index in (0, 1, 10)]

    names = [harness.backend.name_of(harness.unnamed, key).name for key in keys]

    assert names == [harness.backend.name_of(harness.unnamed, key).name for key in keys]
    if harness.backend.name_of(harness.unnamed, KEY).owned:
        assert len(set(names)) == len(keys)
    assert harness.backend.name_of(harness.spec, KEY).owned is False


def test_different_names_never_become_one(harness: Harness) -> None:
    if harness.never is None:
        pytest.skip("its cluster is named by the connection")
    texts = [f"{'flight-delays-training-scheduled-2026-11-'}{day:02}" for day in range(1, 31)]
    texts += ["полёты", "поезда", "航班", "My Cluster", "my-cluster", "my cluster!"]
    specs = [dataclasses.replace(cast(Any, harness.spec), name=text) for text in texts]

    names = {harness.backend.name_of(spec, KEY).name for spec in specs}

    assert len(names) == len(texts)
    assert {"my-cluster"} <= names


def test_it_is_listed_with_whose_it_is(harness: Harness) -> None:
    found = {item.ref.name: item for item in harness.backend.list()}
    if harness.ref.name not in found:
        assert harness.backend.list() == ()
        return
    assert found[harness.ref.name].ref == harness.ref
    assert found[harness.ref.name].owner == OWNER
    for where in (harness.ref, harness.spec):
        assert harness.ref in [item.ref for item in harness.backend.list(OWNER, where)]
    mine = [harness.backend.list(owner) for owner in (OWNER, ClusterOwner("tests"))]
    assert all(harness.ref in [item.ref for item in items] for items in mine)
    for theirs in (ClusterOwner("another"), ClusterOwner("tests", dataclasses.replace(KEY, task_id="tune"))):
        assert harness.ref not in [item.ref for item in harness.backend.list(theirs)]


def test_who_adopts_it_has_not_made_it(harness: Harness) -> None:
    """By this a task knows whether a cluster is its own to delete."""
    adopter = ClusterOwner("tests", dataclasses.replace(KEY, task_id="tune"))
    harness.backend.ensure(harness.spec, harness.ref, owner=adopter, attempt=ATTEMPT)

    assert harness.ref not in [item.ref for item in harness.backend.list(adopter)]


def test_extending_it_changes_nothing_else_and_may_be_repeated(harness: Harness) -> None:
    before = ready(harness)
    for _ in range(2):
        harness.backend.extend(harness.ref, 60)
    if harness.never is not None:
        harness.backend.extend(harness.backend.find(harness.never), 60)

    assert ready(harness) == before


def test_who_counts_on_it_is_seen_by_who_lists_it(harness: Harness) -> None:
    if not harness.backend.list(where=harness.ref):
        pytest.skip("it is not ours, so nothing ends it")
    before = listed(harness, harness.ref)
    harness.backend.extend(harness.ref, 3600)
    harness.backend.extend(harness.ref, 60)
    after = listed(harness, harness.ref)

    assert after.leased_until is not None
    assert 3500 < after.leased_until - after.seen_at < 3700
    assert after.expires_at is None or after.expires_at >= after.leased_until
    assert (after.ref.uid, after.owner, after.created_at) == (before.ref.uid, before.owner, before.created_at)


def test_its_age_is_by_one_clock(harness: Harness) -> None:
    if not harness.backend.list(where=harness.ref):
        pytest.skip("it is not ours, so its age does not matter")
    first = listed(harness, harness.ref)
    time.sleep(0.1)
    second = listed(harness, harness.ref)

    assert first.created_at <= first.seen_at <= second.seen_at
    assert second.created_at == first.created_at
    assert first.seen_at - first.created_at < 3600


def test_facts_are_plain_values(harness: Harness) -> None:
    facts = dict(harness.backend.facts(harness.ref))

    assert json.loads(json.dumps(facts)) == facts
    assert not [secret for secret in harness.secrets if secret in json.dumps(facts)]


def test_watching_tells_the_state_at_once(harness: Harness) -> None:
    async def watch() -> ClusterState:
        async with aclosing(cast(Any, harness.backend.watch(harness.ref, RealClock()))) as statuses:
            async for status in statuses:
                state: ClusterState = status.state
                # As a busy head counts that misses a look.
                if state is not ClusterState.STARTING:
                    return state
        raise AssertionError("a watch does not end")

    assert asyncio.run(asyncio.wait_for(watch(), READY_SECONDS)) is ClusterState.READY


def test_watching_goes_on_where_nobody_answers(harness: Harness) -> None:
    if harness.silence is None or harness.answer is None:
        pytest.skip("it cannot be silenced")
    # One after another, each when the state before it is told.
    known = set(ClusterState) - {ClusterState.UNKNOWN}
    steps = [(known, harness.silence), ({ClusterState.UNKNOWN}, harness.answer), ({ClusterState.READY}, None)]

    async def watch() -> None:
        async with aclosing(cast(Any, harness.backend.watch(harness.ref, RealClock()))) as statuses:
            async for status in statuses:
                if status.state in steps[0][0]:
                    _, act = steps.pop(0)
                    if act is None:
                        return
                    act()

    try:
        asyncio.run(asyncio.wait_for(watch(), 4 * READY_SECONDS))
    finally:
        # Others follow on the same cluster.
        if len(steps) == 2:
            harness.answer()


def test_a_silent_cluster_is_unavailable(harness: Harness) -> None:
    if harness.silence is None or harness.answer is None:
        pytest.skip("it cannot be silenced")
    harness.silence()
    try:
        with pytest.raises(UnavailableError):
            harness.backend.describe(harness.ref)
    finally:
        harness.answer()


def test_a_plain_job_is_refused_by_none_and_nobody_is_asked(harness: Harness) -> None:
    if harness.silence is not None:
        harness.silence()
    try:
        for target in (harness.spec, harness.unnamed, harness.ref):
            harness.backend.check(target, JobRequest("true", runtime_env={"env_vars": {"A": "b"}}))
    finally:
        if harness.answer is not None:
            harness.answer()


def test_what_could_never_run_there_is_refused_before_there_is_a_cluster(harness: Harness) -> None:
    if harness.impossible is None:
        pytest.skip("what it could run is not known before")
    for target in (harness.spec, harness.unnamed, harness.ref):
        with pytest.raises(ConfigurationError, match="'runtime_env'"):
            harness.backend.check(target, harness.impossible)


def test_its_jobs_and_its_serving_are_given_without_asking(harness: Harness) -> None:
    if harness.silence is not None:
        harness.silence()
    try:
        jobs, serving = harness.backend.jobs(harness.ref), harness.backend.serving(harness.ref)
    finally:
        if harness.answer is not None:
            harness.answer()

    assert callable(jobs.submit)
    assert isinstance(serving.can_gate, bool)
    assert isinstance(harness.backend.has_fixed_size, bool)


def test_a_cluster_that_is_not_there_is_a_state_and_may_be_deleted(harness: Harness) -> None:
    if harness.never is None:
        pytest.skip("its clusters are always there")
    absent = harness.backend.find(harness.never)

    assert harness.backend.describe(absent).state is ClusterState.ABSENT
    with pytest.raises(UnavailableError):
        harness.backend.open_transport(absent)
    for _ in range(2):
        harness.backend.delete(absent)
    assert ready(harness).state is ClusterState.READY


def test_what_is_deleted_by_its_identity_is_no_successor(harness: Harness) -> None:
    if harness.disposable is None:
        pytest.skip("its clusters are not ours to delete")
    ref = harness.disposable()
    first = listed(harness, ref).ref
    assert first.uid
    assert ClusterRef.from_json(json.loads(json.dumps(first.to_json()))).uid == first.uid
    harness.backend.delete(first)
    wait_until_gone(harness.backend, ref, timeout_seconds=GONE_SECONDS)

    assert harness.disposable() == ref
    second = listed(harness, ref).ref
    assert second.uid not in ("", first.uid)
    for _ in range(2):
        harness.backend.delete(first)
    assert listed(harness, ref).ref.uid == second.uid
    assert not listed(harness, ref).going
    harness.backend.delete(second)
    wait_until_gone(harness.backend, ref, timeout_seconds=GONE_SECONDS)


def test_deletion_is_asked_for_and_seen_to_its_end(harness: Harness) -> None:
    if harness.disposable is None:
        pytest.skip("its clusters are not ours to delete")
    ref = harness.disposable()
    harness.backend.delete(ref)

    assert harness.backend.describe(ref).state in (ClusterState.DELETING, ClusterState.ABSENT)
    wait_until_gone(harness.backend, ref, timeout_seconds=GONE_SECONDS)
    assert harness.backend.describe(ref).state is ClusterState.ABSENT
    assert ref not in [item.ref for item in harness.backend.list()]
    assert ready(harness).state is ClusterState.READY


def test_a_deletion_that_was_prepared_needs_nothing_more(harness: Harness) -> None:
    """By this a signal handler deletes."""
    if harness.disposable is None:
        harness.backend.prepare_delete(harness.ref)()
        assert ready(harness).state is ClusterState.READY
        return
    ref = harness.disposable()
    delete = harness.backend.prepare_delete(ref)
    for _ in range(2):
        delete()

    assert harness.backend.describe(ref).state in (ClusterState.DELETING, ClusterState.ABSENT)
    wait_until_gone(harness.backend, ref, timeout_seconds=GONE_SECONDS)
    delete()
    assert ready(harness).state is ClusterState.READY


# What only some of them can be


def test_an_existing_cluster_survives_its_deletion() -> None:
    with FakeRayDashboard() as head:
        backend = ExistingBackend(connections_to(head))
        ref = backend.find(ExistingCluster(NAME))
        backend.delete(ref)
        assert backend.describe(ref).state is ClusterState.READY


def test_an_existing_cluster_that_does_not_answer_is_unavailable() -> None:
    transport = Transport("http://127.0.0.1:1")
    backend = ExistingBackend(DictConnections({("ray", NAME): RayConnection("existing", transport=transport)}))

    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        backend.describe(backend.find(ExistingCluster(NAME)))


def test_an_existing_cluster_with_a_wrong_token_is_the_authors_to_fix() -> None:
    with FakeRayDashboard() as head:
        backend = ExistingBackend(connections_to(head, token="wrong"))
        with pytest.raises(ConfigurationError, match="token"):
            backend.describe(backend.find(ExistingCluster(NAME)))


def test_a_gateway_that_has_lost_its_way_is_no_wrong_address() -> None:
    with FakeRayDashboard() as head:
        backend = ExistingBackend(connections_to(head))
        head.put_gateway_in_front()
        with pytest.raises(UnavailableError, match="404"):
            backend.describe(backend.find(ExistingCluster(NAME)))


@pytest.mark.integration
def test_what_ray_refuses_is_told_from_rays_trouble(local: Harness) -> None:
    """The agent's 400 comes wrapped into the head's 500: it must not be sent again."""
    refused = JobSubmission("air-refused", "true", entrypoint_label_selector={"zone": "!no label!"})

    with RayClient(local.backend.open_transport(local.ref)) as client:
        with pytest.raises(ConfigurationError, match="label"):
            client.send(submit_job(refused))
        assert client.send(get_job("air-refused")) is None


@pytest.mark.integration
def test_a_real_head_says_which_of_its_jobs_it_does_not_know(local: Harness) -> None:
    jobs = local.backend.jobs(local.ref)
    seen = jobs.look("air-nobody")

    assert seen.job is None
    assert seen.incarnation == ready(local).incarnation
    jobs.stop("air-nobody")
