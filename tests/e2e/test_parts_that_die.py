"""What all runs share dies or restarts: triggerers, the scheduler's machine, the Ray head. One at a time."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import psutil
import pytest
from airflow_api import wait_for
from airflow_stack import AirflowStack

from airflow_provider_air.clusters.local.home import ClusterHome
from airflow_provider_air.runs.names import DEPLOYMENT
from tests.e2e.conftest import DAGS, ENVIRONMENT
from tests.e2e.ray_lab import PATIENCE_SECONDS, Case, RayLab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

AWAY_SECONDS = 60.0
MARKER = "[watching again after an interruption: the next lines may repeat the last ones above]"


@pytest.mark.full  # the killed one below is the harder case
def test_log_is_shown_exactly_once_across_a_graceful_restart_of_the_triggerer(
    lonely_lab: RayLab, airflow_stack: AirflowStack
) -> None:
    with lonely_lab.case() as case:
        case.start(chatter=20)
        case.wait_state("deferred")
        case.wait_more_lines()
        airflow_stack.restart("triggerer", signal.SIGTERM)
        case.wait_more_lines()
        case.release()
        case.judge("start 1", "end 1")
        assert case.wait_shown(case.printed_lines()) == [(1, case.printed_lines())]
        assert MARKER not in case.log_lines()


@dataclass
class Watched:
    """Runs whose triggers were watching when the triggerer was killed; it runs again since."""

    chatty: Case
    sibling_cleared: Case


@pytest.fixture(scope="module")
def watched(ray_lab: RayLab, others_are_over: None, airflow_stack: AirflowStack) -> Iterator[Watched]:
    """One death for both, since it costs half a minute."""
    with ray_lab.case() as chatty, ray_lab.case("once_with_sibling") as other:
        chatty.start(chatter=100)
        other.start(chatter=1)
        chatty.wait_state("deferred")
        chatty.wait_more_lines(2000)
        other.wait_state("deferred")
        other.wait_ledger("start 1")
        other.api.wait_task_state(other.dag_id, other.run_id, "sibling", {"success"})
        # As the UI does by default: the whole run is queued again, and its clear number grows.
        assert other.api.clear(other.dag_id, other.run_id, ["sibling"]) == ["sibling"]
        airflow_stack.restart("triggerer", signal.SIGKILL)
        yield Watched(chatty, other)


def test_log_has_no_gap_and_one_marked_repetition_after_the_triggerer_was_killed(watched: Watched) -> None:
    case = watched.chatty
    case.wait_more_lines(2000)
    case.release()
    case.judge("start 1", "end 1")
    ranges = case.wait_shown(case.printed_lines())
    assert _union(ranges) == (1, case.printed_lines())
    lines = case.log_lines()
    # One for each interruption: ours, and those of a machine on which a triggerer is silent for too long.
    assert len(ranges) == lines.count(MARKER) + 1
    assert len(ranges) >= 2
    assert lines.index(f"line {ranges[0][1]}") < lines.index(MARKER)


def test_clear_of_a_sibling_leaves_the_job_alone_also_when_its_task_is_tried_again(watched: Watched) -> None:
    case = watched.sibling_cleared
    sibling = case.api.wait_task_state(case.dag_id, case.run_id, "sibling", {"success"}, min_try_number=2)
    assert sibling["try_number"] == 2
    case.wait_more_lines(10)
    away = case.proxy.on("*", "", times=None, status=503)
    case.wait_logged("The cluster stopped answering")
    away.cancel()
    case.wait_logged("Adopting job", try_number=2)
    case.release()
    case.judge("start 1", "end 1", try_number=2)
    assert case.proxy.count("POST", "^/api/jobs/$") == 1
    assert [attempt["generation"] for attempt in case.attempts()] == [1]


def test_job_is_lost_with_its_head_and_a_retry_makes_a_new_one(lonely_lab: RayLab) -> None:
    with lonely_lab.case("once_deferred_retried") as case:
        case.start()
        case.wait_state("deferred")
        case.wait_ledger("start 1")
        head = ClusterHome.of(lonely_lab.cluster.name).state()
        assert head is not None
        psutil.Process(head.head_pid).kill()
        case.wait_ledger("start 1", "start 2")
        case.release(2)
        case.judge("start 1", "start 2", "end 2", try_number=2)
        # The second is what the next try says, where a busy Airflow has lost the first one.
        logs = case.logs_from(1)
        assert "JobLostError" in logs or "is gone: The cluster no longer knows the job" in logs
        assert [attempt["phase"] for attempt in case.attempts()] == ["LOST", "SUCCEEDED"]


@pytest.fixture(scope="module")
def without_api_server(
    ray_lab: RayLab, others_are_over: None, airflow_stack: AirflowStack
) -> Iterator[tuple[Case, Case]]:
    """A deferred run and a waiting one, after Airflow's API server was away for a minute under both."""
    with ray_lab.case("once_deferred_retried") as deferred, ray_lab.case("once_waiting_retried_later") as waiting:
        for case in (deferred, waiting):
            case.start()
        deferred.wait_state("deferred")
        for case in (deferred, waiting):
            case.wait_ledger("start 1")
        airflow_stack.kill("api-server")
        # The job ends, and its trigger fires, while nobody could start a worker.
        deferred.release()
        time.sleep(AWAY_SECONDS)
        airflow_stack.start("api-server")
        airflow_stack.wait_healthy()
        yield deferred, waiting


@pytest.mark.full  # two minutes
def test_deferred_wait_does_not_notice_that_the_api_server_is_away(without_api_server: tuple[Case, Case]) -> None:
    case, _ = without_api_server
    case.judge("start 1", "end 1", says="job 1 is here")
    assert case.proxy.count("POST", "^/api/jobs/$") == 1
    assert [attempt["phase"] for attempt in case.attempts()] == ["SUCCEEDED"]
    # Not the number of tries: a busy Airflow may lose one by itself.
    assert "The trigger ended without an event" not in case.logs_from(1)


@pytest.mark.full
def test_waiting_task_keeps_its_job_while_the_api_server_is_away(without_api_server: tuple[Case, Case]) -> None:
    """Its worker may be ended by Airflow, whose heartbeats fail; then the next try adopts."""
    _, case = without_api_server
    case.release()
    case.judge("start 1", "end 1")
    assert case.proxy.count("POST", "^/api/jobs/$") == 1
    assert [attempt["phase"] for attempt in case.attempts()] == ["SUCCEEDED"]


@pytest.mark.full
def test_a_trigger_that_no_triggerer_can_import_leaves_its_job_to_the_next_try(
    lonely_lab: RayLab, airflow_stack: AirflowStack
) -> None:
    with lonely_lab.case("once_moved") as case:
        case.start()
        try:
            case.wait_logged("Adopting job", try_number=2)
            case.wait_state("deferred", try_number=2)
        finally:
            # It takes what it could not load for running for ever (3.3.2); with SQLite the next one gets the number,
            # and would never start.
            airflow_stack.restart("triggerer")
        case.release()
        case.judge("start 1", "end 1", try_number=2)
        assert "The trigger ended without an event: the next try goes on with its job" in case.logs_from(1)
        assert case.proxy.count("POST", "^/api/jobs/$") == 1


@pytest.mark.full
def test_job_goes_on_when_its_trigger_moves_to_another_triggerer(
    lonely_lab: RayLab, airflow_stack: AirflowStack
) -> None:
    """The first triggerer is only out of breath; awake again, it must not stop what the other one watches."""
    first = airflow_stack.components["triggerer"]
    with lonely_lab.case() as case:
        case.start(chatter=20)
        case.wait_state("deferred")
        case.wait_more_lines()
        second = airflow_stack.add_triggerer()
        asleep = first.members()
        for process in asleep:
            process.suspend()
        case.wait_logged(MARKER)
        for process in reversed(asleep):
            process.resume()
        _wait_for_heartbeats_of_all_triggerers(airflow_stack, time.time() + 10)
        case.wait_more_lines()
        assert case.ledger() == ["start 1"]
        case.release()
        case.judge("start 1", "end 1")
        assert _union(case.wait_shown(case.printed_lines())) == (1, case.printed_lines())
        assert len(case.attempts()) == 1
    airflow_stack.kill(second, signal.SIGTERM)


def _union(ranges: list[tuple[int, int]]) -> tuple[int, int]:
    """Join ranges that leave no gap between them."""
    first, last = min(ranges)
    for start, end in sorted(ranges):
        assert start <= last + 1, f"lines {last + 1} to {start - 1} are missing"
        last = max(last, end)
    return first, last


def _wait_for_heartbeats_of_all_triggerers(stack: AirflowStack, epoch_seconds: float) -> None:
    def beats() -> list[float]:
        jobs = stack.api.call("GET", "/jobs", params={"job_type": "TriggererJob", "job_state": "running"})["jobs"]
        return [datetime.fromisoformat(job["latest_heartbeat"]).timestamp() for job in jobs]

    wait_for(
        beats,
        lambda seen: sum(beat > epoch_seconds for beat in seen) >= 2,
        "both triggerers work again",
        PATIENCE_SECONDS,
    )


@pytest.mark.full
def test_waiting_job_is_adopted_after_the_machine_of_its_worker_is_gone(
    lonely_lab: RayLab, airflow_stack: AirflowStack
) -> None:
    with lonely_lab.case("once_waiting_retried") as case:
        case.start()
        case.wait_ledger("start 1")
        airflow_stack.restart("scheduler", signal.SIGKILL)
        case.wait_logged("Adopting job", try_number=2)
        case.release()
        case.judge("start 1", "end 1", try_number=2)


@pytest.mark.full
def test_two_deployments_with_the_same_run_never_touch_each_others_jobs(
    lonely_lab: RayLab, migrated_db: Path, local_home: Path
) -> None:
    env = ENVIRONMENT | {"AIR_LOCAL_HOME": str(local_home)}
    with (
        AirflowStack(DAGS, env=env, template_db=migrated_db) as other,
        lonely_lab.case("once_deferred_retried") as ours,
        lonely_lab.case("once_deferred_retried", api=other.api) as theirs,
    ):
        for case in (ours, theirs):
            case.start(run_id="the_same")
        for case in (ours, theirs):
            case.wait_state("deferred")
            case.wait_ledger("start 1")
        ours.clear()
        ours.wait_ledger("start 1", "stopped 1", "start 2")
        assert theirs.ledger() == ["start 1"]
        assert len({job.metadata[DEPLOYMENT] for job in theirs.jobs()}) == 2
        ours.release(2)
        theirs.release(1)
        ours.judge("start 1", "stopped 1", "start 2", "end 2", try_number=2)
        theirs.judge("start 1", "end 1")
