"""
However a worker, a person or the network behaves, a job is started once, and stopped when it should be.

The scenarios run at once, each with its own run; ``RayLab`` explains what they share.
"""

from __future__ import annotations

import os
import shutil
from concurrent.futures import Future
from pathlib import Path

import pytest
from airflow_api import wait_for

from airflow_provider_air import load_result
from tests.e2e.ray_lab import PATIENCE_SECONDS, TASK_ID, RayLab, Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

SUBMIT = ("POST", "^/api/jobs/$")
LOG_LINES = 200_000


# The worker dies


def worker_killed_between_intent_and_post(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        post = case.proxy.on(*SUBMIT, hold=True, drop=True)
        case.start()
        post.wait_reached(PATIENCE_SECONDS)
        intended = case.attempts()
        case.kill_worker()
        post.release()
        case.wait_ledger("start 1")
        case.release()
        case.judge("start 1", "end 1", try_number=2)
        assert [job.submission_id for job in case.jobs()] == [attempt["submission_id"] for attempt in intended]
        assert "never arrived, or its cluster was replaced: sending it" in case.logs_from(2)


def worker_killed_between_post_and_reply(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        post = case.proxy.on(*SUBMIT, after=case.kill_worker, drop_reply=True)
        case.start()
        post.wait_forwarded(PATIENCE_SECONDS)
        case.wait_logged("Adopting job", try_number=2)
        assert post.failure is None
        case.wait_logged("job 1 is here", try_number=2)
        case.release()
        case.judge("start 1", "end 1", try_number=2)
        assert case.proxy.count(*SUBMIT) == 1


def worker_killed_right_after_deferral(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start()
        case.wait_state("deferred")
        case.kill_worker()
        case.wait_ledger("start 1")
        case.release()
        case.judge("start 1", "end 1")


def worker_killed_while_it_waits(lab: RayLab) -> None:
    with lab.case("once_waiting_retried") as case:
        case.start()
        case.wait_ledger("start 1")
        case.kill_worker()
        case.wait_logged("Adopting job", try_number=2)
        case.release()
        case.judge("start 1", "end 1", says="job 1 is here", try_number=2)
        assert case.proxy.count(*SUBMIT) == 1


# The job fails


def retry_after_a_failed_job(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start()
        case.release(1, exit_code=7)
        case.release(2)
        case.judge("start 1", "end 1", "start 2", "end 2", try_number=2)
        assert [attempt["phase"] for attempt in case.attempts()] == ["FAILED", "SUCCEEDED"]


# A person clears


def clear_while_deferred(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start()
        case.wait_state("deferred")
        case.wait_ledger("start 1")
        case.clear()
        case.wait_ledger("start 1", "stopped 1", "start 2")
        case.release(2)
        case.judge("start 1", "stopped 1", "start 2", "end 2", try_number=2)
        assert [attempt["generation"] for attempt in case.attempts()] == [1, 2]


def clear_while_running(lab: RayLab) -> None:
    with lab.case("once_waiting") as case:
        case.start()
        case.wait_ledger("start 1")
        case.clear()
        case.wait_ledger("start 1", "stopped 1", "start 2")
        case.release(2)
        case.judge("start 1", "stopped 1", "start 2", "end 2", try_number=2)


def clear_after_success_runs_afresh(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start()
        case.release(1)
        case.judge("start 1", "end 1")
        case.wait_run_end()
        case.clear()
        case.release(2)
        case.judge("start 1", "end 1", "start 2", "end 2", try_number=2)
        assert case.run_generation() == 2


def clear_after_failure_resumes(lab: RayLab) -> None:
    with lab.case() as case:
        case.start()
        case.wait_logged("job 1 is here")
        case.release(1, exit_code=7)
        # Not what the log says: a busy Airflow 3.3.2 may fail the resumed try before it gets to our code.
        case.judge("start 1", "end 1", state="failed")
        case.wait_run_end()
        case.clear()
        case.wait_logged("job 2 is here", try_number=2)
        case.release(2)
        case.judge("start 1", "end 1", "start 2", "end 2", try_number=2)
        assert [attempt["generation"] for attempt in case.attempts()] == [1, 2]
        assert case.run_generation() == 1


# A person, a deadline or a bug ends it


def task_marked_failed_while_deferred(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start(chatter=1)
        case.wait_watched()
        case.wait_ledger("start 1")
        case.mark_failed()
        case.wait_ledger("start 1", "stopped 1")
        case.judge("start 1", "stopped 1", state="failed", says="Stopping Ray job")
        assert [job.status.value for job in case.jobs()] == ["STOPPED"]


def task_marked_failed_while_running(lab: RayLab) -> None:
    with lab.case("once_waiting_retried") as case:
        case.start()
        case.wait_ledger("start 1")
        case.mark_failed()
        case.wait_ledger("start 1", "stopped 1")
        case.judge("start 1", "stopped 1", state="failed")
        assert [job.status.value for job in case.jobs()] == ["STOPPED"]


def run_marked_failed_while_deferred(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start(chatter=1)
        case.wait_watched()
        case.wait_ledger("start 1")
        case.api.set_run_state(case.dag_id, case.run_id, "failed")
        case.wait_ledger("start 1", "stopped 1")
        case.judge("start 1", "stopped 1", state="failed", says="Stopping Ray job")


def deadline_passed_while_deferred(lab: RayLab) -> None:
    with lab.case("once_deadline") as case:
        case.start()
        case.wait_state("failed")
        wait_for(case.jobs, lambda jobs: all(one.status.is_terminal for one in jobs), "its job ended", PATIENCE_SECONDS)
        # On a machine that is very busy, the deadline finds a job that has not started; it then refuses to.
        ledger = case.ledger() and ["start 1", "stopped 1"]
        case.judge(*ledger, state="failed", says="execution_timeout passed and the job was stopped")
        assert "DeadlineExceededError" in case.log()
        assert [job.status.value for job in case.jobs()] in (["STOPPED"], ["FAILED"])


def trigger_crashed_without_a_try_left(lab: RayLab) -> None:
    with lab.case("once_crashing") as case:
        case.start(chatter=1)
        case.wait_ledger("start 1", "stopped 1")
        case.judge("start 1", "stopped 1", state="failed", says="The trigger ended without an event: stopping job")
        assert "TaskDeferralError" in case.log()


def trigger_crashed_and_the_next_try_adopts(lab: RayLab) -> None:
    with lab.case("once_crashing_retried") as case:
        case.start(chatter=1)
        case.wait_logged("Adopting job", try_number=2)
        case.release()
        case.judge("start 1", "end 1", try_number=2)
        assert "The trigger ended without an event: the next try goes on with its job" in case.logs_from(1)
        assert "TaskDeferralError" in case.logs_from(1)
        assert case.proxy.count(*SUBMIT) == 1


# The DAG and its code change


def dag_edited_and_its_code_gone_while_deferred(lab: RayLab) -> None:
    edited = Path(os.environ["AIR_LOCAL_HOME"], "edited")
    with lab.case("once_edited") as case:
        (case.folder / "code").mkdir()
        (case.folder / "code" / "of_the_job.txt").write_text("here")
        case.start()
        case.wait_state("deferred")
        case.wait_ledger("start 1")
        shutil.rmtree(case.folder / "code")
        edited.touch()
        case.release()
        case.judge("start 1", "end 1", says="job 1 is here")
        assert case.api.xcom(case.dag_id, case.run_id, TASK_ID) == case.attempts()[0]["submission_id"]
        assert case.proxy.count(*SUBMIT) == 1


# The network breaks


def api_answers_500_while_submitting(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start_into_broken_api(status=500)
        case.wait_logged("job 1 is here")
        case.release()
        case.judge("start 1", "end 1")


def api_answers_nothing_while_submitting(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start_into_broken_api(status=None)
        case.wait_logged("job 1 is here")
        case.release()
        case.judge("start 1", "end 1")


def api_answers_500_while_waiting(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start()
        case.wait_state("deferred")
        case.wait_ledger("start 1")
        case.break_api(status=500)
        case.release()
        case.judge("start 1", "end 1", says="job 1 is here")


def api_answers_nothing_while_waiting(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start()
        case.wait_state("deferred")
        case.wait_ledger("start 1")
        case.break_api(status=None)
        case.release()
        case.judge("start 1", "end 1", says="job 1 is here")


def a_strangers_404_while_waiting(lab: RayLab) -> None:
    """As a gateway answers that is re-routed: nothing is lost, and nothing begins anew."""
    with lab.case("once_deferred_retried") as case:
        case.start()
        case.wait_state("deferred")
        case.wait_ledger("start 1")
        case.break_api(status=404)
        case.release()
        case.judge("start 1", "end 1", says="job 1 is here")
        assert case.proxy.count(*SUBMIT) == 1
        assert [attempt["phase"] for attempt in case.attempts()] == ["SUCCEEDED"]


# Names and values that not everything takes


def odd_names_and_values(lab: RayLab) -> None:
    with lab.case("once.данные") as case:
        case.start()
        case.wait_state("deferred")
        case.wait_ledger("start 1")
        case.wait_logged("loss=nan")
        case.release()
        case.judge("start 1", "end 1")
        result = case.api.xcom(case.dag_id, case.run_id, TASK_ID)
        assert (result["loss"], result["bounds"], result["scale"]) == (None, [None, 1.5], 0.5)
        loaded = load_result(result)
        assert loaded["digest"] == b"\x00\xff"
        assert loaded["weights"].tolist() == [0, 1, 2]
        progress = case.api.xcom(case.dag_id, case.run_id, TASK_ID, "progress")
        assert progress["values"] == {"loss": None, "best": None, "epoch": 1}


# The log is long


def many_log_lines_arrive_in_order(lab: RayLab) -> None:
    with lab.case("once_deferred_retried") as case:
        case.start(lines=LOG_LINES)
        case.wait_logged("line 1000")
        case.release()
        case.judge("start 1", "end 1")
        assert case.wait_shown(LOG_LINES) == [(1, LOG_LINES)]


SCENARIOS: list[Scenario] = [
    # The longest first, and a worker slot is never waited for by more than a few.
    api_answers_nothing_while_submitting,
    api_answers_500_while_submitting,
    api_answers_nothing_while_waiting,
    api_answers_500_while_waiting,
    many_log_lines_arrive_in_order,
    deadline_passed_while_deferred,
    clear_while_running,
    worker_killed_while_it_waits,
    clear_while_deferred,
    clear_after_success_runs_afresh,
    clear_after_failure_resumes,
    retry_after_a_failed_job,
    worker_killed_between_intent_and_post,
    worker_killed_between_post_and_reply,
    worker_killed_right_after_deferral,
    task_marked_failed_while_deferred,
    task_marked_failed_while_running,
    run_marked_failed_while_deferred,
    trigger_crashed_without_a_try_left,
    trigger_crashed_and_the_next_try_adopts,
    dag_edited_and_its_code_gone_while_deferred,
    a_strangers_404_while_waiting,
    odd_names_and_values,
]


# Each has a neighbour above that is like it.
IN_FULL = (
    api_answers_500_while_submitting,
    api_answers_500_while_waiting,
    clear_while_running,
    task_marked_failed_while_running,
)


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(scenario, marks=pytest.mark.full) if scenario in IN_FULL else scenario for scenario in SCENARIOS],
    ids=lambda scenario: scenario.__name__,
)
def test_ledger_is_right_and_nothing_runs_on_after(scenario: Scenario, running: dict[Scenario, Future[float]]) -> None:
    print(f"{scenario.__name__} took {running[scenario].result():.0f} s")
