"""The decision table: what a try does with what earlier tries left on the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.clusters.contract import ClusterBackend, ClusterRef, ClusterState, ClusterStatus
from airflow_provider_air.clusters.existing import ExistingBackend
from airflow_provider_air.errors import ClusterUnreachableError, ConfigurationError, JobLostError
from airflow_provider_air.identity import LEDGER_KEY, Attempt, TaskKey
from airflow_provider_air.operators import attempts as module
from airflow_provider_air.operators.attempts import Attempts, number_of_clears
from airflow_provider_air.operators.fields import check_secrets
from airflow_provider_air.ray_api.client import RayClient
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.ray_api.packages import package_files
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.workloads.job import PreparedJob
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store

KEY = TaskKey("here", "flights", "manual__1", "train")
REF = ClusterRef("existing", "ray_default", ray_conn_id="ray_default")


class GoneBackend(ExistingBackend):
    """A backend that knows that the cluster is gone, as a local one does."""

    def describe(self, ref: ClusterRef) -> ClusterStatus:
        return ClusterStatus(ClusterState.ABSENT)


@pytest.fixture
def backend(transport: Transport) -> ExistingBackend:
    return ExistingBackend(lambda conn_id: transport)


def open_attempts(store: Store, backend: ClusterBackend, **opened: Any) -> Attempts:
    attempts = Attempts(KEY, store, lambda name: backend)
    attempts.open_try(**{"max_tries": 2, "clear_number": 0, "on_clear": "auto", **opened})
    return attempts


def left_behind(store: Store, backend: ClusterBackend, phase: str, *, stop_pending: bool = False) -> Attempt:
    """What an earlier try left in the ledger."""
    attempts = open_attempts(store, backend)
    attempt = attempts.begin(REF, has_records=False)
    attempts.mark(attempt.submission_id, phase, stop_pending=stop_pending)
    return attempt


def phases(store: Store) -> list[str]:
    return [item["phase"] for item in store.get(LEDGER_KEY)["attempts"]]


@pytest.mark.parametrize(
    ("phase", "on_ray", "action", "now"),
    [
        ("intended", None, "submit", "intended"),
        ("intended", "PENDING", "adopt", "intended"),
        ("intended", "RUNNING", "adopt", "intended"),
        ("intended", "SUCCEEDED", "collect", "SUCCEEDED"),
        ("intended", "FAILED", None, "FAILED"),
        ("submitted", None, None, "LOST"),
        ("submitted", "PENDING", "adopt", "submitted"),
        ("submitted", "RUNNING", "adopt", "submitted"),
        ("submitted", "SUCCEEDED", "collect", "SUCCEEDED"),
        ("submitted", "FAILED", None, "FAILED"),
        ("submitted", "STOPPED", None, "STOPPED"),
        ("SUCCEEDED", "SUCCEEDED", "collect", "SUCCEEDED"),
        ("FAILED", "FAILED", None, "FAILED"),
        ("STOPPED", "STOPPED", None, "STOPPED"),
        ("LOST", None, None, "LOST"),
        ("RESULT_LOST", "SUCCEEDED", None, "RESULT_LOST"),
    ],
)
def test_a_retry_decides_by_the_ledger_and_by_ray(
    head: FakeRayDashboard,
    backend: ExistingBackend,
    store: Store,
    phase: str,
    on_ray: str | None,
    action: str | None,
    now: str,
) -> None:
    attempt = left_behind(store, backend, phase)
    if on_ray is not None:
        head.add_job(attempt.submission_id, on_ray)

    decision = open_attempts(store, backend).settle()

    assert (decision and decision.action) == action
    if decision is not None:
        assert decision.attempt.submission_id == attempt.submission_id
    assert phases(store) == [now]


@pytest.mark.parametrize("on_ray", [None, "PENDING", "RUNNING", "SUCCEEDED", "FAILED", "STOPPED"])
def test_a_clear_always_makes_a_new_attempt_and_leaves_nothing_running(
    head: FakeRayDashboard, backend: ExistingBackend, store: Store, on_ray: str | None
) -> None:
    attempt = left_behind(store, backend, "submitted")
    if on_ray is not None:
        head.add_job(attempt.submission_id, on_ray)

    assert open_attempts(store, backend, max_tries=3).settle() is None

    assert not [job for job in head.jobs.values() if job.status in ("PENDING", "RUNNING")]
    assert phases(store) == [{None: "LOST", "PENDING": "STOPPED", "RUNNING": "STOPPED"}.get(on_ray, on_ray)]


def test_what_was_to_be_stopped_is_not_adopted(head: FakeRayDashboard, backend: ExistingBackend, store: Store) -> None:
    attempt = left_behind(store, backend, "submitted", stop_pending=True)
    head.add_job(attempt.submission_id)

    assert open_attempts(store, backend).settle() is None
    assert head.jobs[attempt.submission_id].status == "STOPPED"


def test_a_success_whose_cluster_forgot_it_is_told(backend: ExistingBackend, store: Store) -> None:
    left_behind(store, backend, "SUCCEEDED")

    with pytest.raises(JobLostError, match="Clear the task"):
        open_attempts(store, backend).settle()


def test_a_silent_cluster_forbids_a_new_attempt(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.1)
    dead = ExistingBackend(lambda conn_id: Transport("http://127.0.0.1:1"))
    left_behind(store, dead, "submitted")

    with pytest.raises(ClusterUnreachableError):
        open_attempts(store, dead).settle()
    assert phases(store) == ["submitted"]


@pytest.mark.parametrize(("phase", "now"), [("intended", "LOST"), ("submitted", "LOST")])
def test_a_cluster_that_is_gone_took_its_job_with_it(
    head: FakeRayDashboard, transport: Transport, store: Store, phase: str, now: str
) -> None:
    gone = GoneBackend(lambda conn_id: transport)
    left_behind(store, gone, phase)

    assert open_attempts(store, gone).settle() is None
    assert phases(store) == [now]


# Submitting


def ready(attempt: Attempt) -> PreparedJob:
    return PreparedJob(JobSubmission(attempt.submission_id, "true"), (package_files({"a": b"1"}),))


@pytest.mark.parametrize(
    "fault",
    [
        {},
        {"status": 500, "times": 2},
        {"status": 503, "times": 2},
        {"drop": True, "times": 2},
        {"drop": True, "act_first": True},
        {"status": 500, "act_first": True},
    ],
    ids=str,
)
def test_whatever_happens_to_the_request_there_is_one_job(
    head: FakeRayDashboard, backend: ExistingBackend, transport: Transport, store: Store, fault: dict[str, Any]
) -> None:
    attempts = open_attempts(store, backend)
    attempt = attempts.begin(REF, has_records=False)
    if fault:
        head.plan("POST", "^/api/jobs/$", **fault)

    with RayClient(transport) as client:
        attempts.submit(client, attempt, ready(attempt))

    assert list(head.jobs) == [attempt.submission_id]
    assert len(head.packages) == 1
    assert phases(store) == ["submitted"]


def test_submitting_again_is_no_second_job(
    head: FakeRayDashboard, backend: ExistingBackend, transport: Transport, store: Store
) -> None:
    attempts = open_attempts(store, backend)
    attempt = attempts.begin(REF, has_records=False)
    with RayClient(transport) as client:
        for _ in range(2):
            attempts.submit(client, attempt, ready(attempt))

    assert list(head.jobs) == [attempt.submission_id]


def test_a_refused_job_stays_an_intent(
    head: FakeRayDashboard, backend: ExistingBackend, transport: Transport, store: Store
) -> None:
    attempts = open_attempts(store, backend)
    attempt = attempts.begin(REF, has_records=False)
    head.plan("POST", "^/api/jobs/$", status=400, body="no")

    with RayClient(transport) as client, pytest.raises(ConfigurationError):
        attempts.submit(client, attempt, ready(attempt))
    assert phases(store) == ["intended"]


# Stopping


def test_what_does_not_end_is_asked_again_until_it_does(
    head: FakeRayDashboard, backend: ExistingBackend, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    attempt = left_behind(store, backend, "submitted")
    head.add_job(attempt.submission_id, "PENDING", unschedulable=True)
    for _ in range(2):
        assert open_attempts(store, backend, clear_number=1).settle() is None
        assert store.get(LEDGER_KEY)["attempts"][0]["stop_pending"] is True
    head.set_status(attempt.submission_id, "STOPPED")

    open_attempts(store, backend, clear_number=1).settle()

    assert len(head.requests_to("POST", "/stop$")) == 2
    assert phases(store) == ["STOPPED"]
    assert store.get(LEDGER_KEY)["attempts"][0]["stop_pending"] is False


def test_strays_are_the_live_jobs_of_this_task_that_the_ledger_does_not_know(
    head: FakeRayDashboard, backend: ExistingBackend, transport: Transport, store: Store
) -> None:
    attempts = open_attempts(store, backend)
    attempt = attempts.begin(REF, has_records=False)
    mine = KEY.metadata(attempt, 1)
    head.add_job(attempt.submission_id, metadata=mine)
    head.add_job("stray", metadata=mine)
    head.add_job("ended", "SUCCEEDED", metadata=mine)
    head.add_job("another-deployments", metadata={**mine, "air_deployment": "there"})
    head.add_job("another-tasks", metadata={**mine, "air_task": "flights/manual__1/tune"})
    head.add_job("nobodys")

    with RayClient(transport) as client:
        attempts.stop_strays(client)

    assert [name for name, job in head.jobs.items() if job.status == "STOPPED"] == ["stray"]


# Small things


@pytest.mark.parametrize(("clears", "number"), [(3, 3), (None, 0), (0, 0)])
def test_a_run_that_does_not_tell_its_clears_has_none(clears: Any, number: int) -> None:
    class Run:
        clear_number = clears

    assert number_of_clears(Run()) == number
    assert number_of_clears(object()) == 0


@pytest.mark.parametrize(
    "value",
    ["--token sesame-1234", {"a": {"b": ["sesame-1234"]}}, {"sesame-1234": "x"}, ("x", ["sesame-1234"])],
    ids=str,
)
def test_a_secret_is_found_wherever_it_hides(value: Any) -> None:
    from airflow.sdk.log import mask_secret

    mask_secret("sesame-1234")

    with pytest.raises(ConfigurationError, match="'field'") as raised:
        check_secrets({"field": value})
    assert "sesame-1234" not in str(raised.value)


def test_what_only_looks_like_a_secret_is_let_through() -> None:
    check_secrets({"password": "plain words", "runtime_env": {"env_vars": {"TOKEN_COUNT": "12"}}, "n": 3, "x": None})
