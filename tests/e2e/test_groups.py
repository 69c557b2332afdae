"""Many functions on a group's own cluster, on a real Airflow: each input once, and nothing is left behind."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import psutil
import pytest
from airflow_api import AirflowApi, wait_for

from airflow_provider_air.drivers.wire.names import SUBMISSION_ID
from tests import clusters
from tests.e2e.ray_lab import PATIENCE_SECONDS, RayLab, Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

DAG_ID = "group_mapped"
TASK_ID = "ray.square"
SETUP, TEARDOWN = "ray.create_cluster", "ray.delete_cluster"
# The inputs whose first job fails, see dags/ray_groups.py.
FAIL_ONCE = (5, 19)


class GroupRun:
    """One run of ``group_mapped``, with a ledger of its own."""

    def __init__(self, api: AirflowApi, folder: Path, count: int, *, held: bool = False) -> None:
        self.api, self.folder, self.count = api, folder, count
        (folder / "ledger").touch()
        if held:
            (folder / "hold").touch()
        api.wait_dag(DAG_ID)
        self.run_id = api.trigger(DAG_ID, {"folder": str(folder), "count": count})

    def ledger(self) -> Counter[int]:
        """Give how often each input was started."""
        return Counter(int(line) for line in (self.folder / "ledger").read_text().split())

    def wait_end(self, state: str) -> None:
        assert self.api.wait_run(DAG_ID, self.run_id, timeout_seconds=600) == state, self.describe()

    def results(self) -> list[int]:
        return [self.api.xcom(DAG_ID, self.run_id, TASK_ID, map_index=index) for index in range(self.count)]

    def states(self) -> Counter[str]:
        instances = self.api.task_instances(DAG_ID, self.run_id)
        return Counter(str(instance["state"]) for instance in instances if instance["task_id"] == TASK_ID)

    def cluster(self) -> str:
        """Give the name of its cluster, which lives or did."""
        return str(self.api.xcom(DAG_ID, self.run_id, SETUP)["name"])

    def drivers(self) -> list[psutil.Process]:
        """Give the processes of its functions, whoever's they are now."""
        ids = {
            self.api.xcom(DAG_ID, self.run_id, TASK_ID, "submission_id", index) or "none yet"
            for index in range(self.count)
        }
        return [process for process in psutil.process_iter() if _submission_id(process) in ids]

    def describe(self) -> str:
        """Tell the states and the logs of what failed."""
        failed = [ti for ti in self.api.task_instances(DAG_ID, self.run_id) if ti["state"] == "failed"]
        logs = [
            self.api.log_text(DAG_ID, self.run_id, ti["task_id"], max(1, ti["try_number"]), ti["map_index"])[-2000:]
            for ti in failed[:3]
        ]
        return "\n".join([str(self.states()), str(self.ledger()), *logs])


def _submission_id(process: psutil.Process) -> str:
    try:
        return process.environ().get(SUBMISSION_ID, "")
    except psutil.Error:
        return ""


def killed_run_stops_all_and_a_clear_finishes_it_on_a_new_cluster(lab: RayLab) -> None:
    folder = lab.new_folder()
    run = GroupRun(lab.api, folder, 6, held=True)
    try:
        wait_for(run.ledger, lambda ledger: ledger.total() == 4, "four functions run", PATIENCE_SECONDS)
        before = run.cluster()
        wait_for(run.drivers, lambda found: len(found) >= 4, "their drivers are known", PATIENCE_SECONDS)
        run.api.set_run_state(DAG_ID, run.run_id, "failed")
        run.api.wait_task_state(DAG_ID, run.run_id, TEARDOWN, {"success"}, PATIENCE_SECONDS)
        wait_for(clusters.known, lambda alive: before not in alive, f"{before} is gone", PATIENCE_SECONDS)
        assert run.drivers() == []
        run.wait_end("failed")
        stopped = run.ledger()
        assert stopped.total() == 4, "no job was started after the run was killed"
        assert run.states()["success"] == 0
    finally:
        (folder / "hold").unlink()

    run.api.clear(DAG_ID, run.run_id)
    run.wait_end("success")
    assert run.results() == [number * number for number in range(6)]
    # What was stopped starts once more, and no input fails that was seen before.
    expected = {number: 1 + stopped[number] + (number in FAIL_ONCE and number not in stopped) for number in range(6)}
    assert run.ledger() == Counter(expected)
    assert run.cluster() not in clusters.known()


def function_gives_the_same_on_a_worker_and_on_ray(lab: RayLab) -> None:
    with lab.case("function_anywhere") as case:
        case.start()
        assert case.api.wait_run(case.dag_id, case.run_id, timeout_seconds=900) == "success"
        for task_id in ("on_worker", "on_ray"):
            assert case.api.xcom(case.dag_id, case.run_id, task_id) == {
                "sum": 3.0,
                "middle": 2.5,
                "doubled": [1.0, 2.0, 3.0],
            }
            lines = case.api.log_lines(case.dag_id, case.run_id, task_id)
            assert [line for line in lines if line.startswith("measured")] == [
                "measured 0.5",
                "measured 1",
                "measured 1.5",
            ]


SCENARIOS = [
    killed_run_stops_all_and_a_clear_finishes_it_on_a_new_cluster,
    function_gives_the_same_on_a_worker_and_on_ray,
]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_each_input_once_and_nothing_is_left(scenario: Scenario, running: dict[Scenario, Future[float]]) -> None:
    print(f"{scenario.__name__} took {running[scenario].result():.0f} s")


@pytest.mark.full  # example_03 and the killed run above do the like
@pytest.mark.parametrize("count", [6, 30])
def test_each_input_gives_one_result_by_one_job_and_those_that_fail_once_by_two(lonely_lab: RayLab, count: int) -> None:
    run = GroupRun(lonely_lab.api, lonely_lab.new_folder(), count)
    run.wait_end("success")
    assert run.results() == [number * number for number in range(count)]
    assert run.ledger() == Counter({number: 2 if number in FAIL_ONCE else 1 for number in range(count)})
    assert run.cluster() not in clusters.known()


@pytest.mark.full
def test_who_waits_on_a_cluster_does_what_a_person_asks_of_it_on_its_page(lonely_lab: RayLab) -> None:
    folder = lonely_lab.new_folder()
    run = GroupRun(lonely_lab.api, folder, 1, held=True)
    try:
        wait_for(run.ledger, lambda ledger: ledger.total() == 1, "the function runs", PATIENCE_SECONDS)
        run.api.wait_task_state(DAG_ID, run.run_id, TASK_ID, {"deferred"}, PATIENCE_SECONDS, map_index=0)
        name, before = run.cluster(), _expires_at(run.cluster())

        _ask(run, action="extend", seconds=4 * 3600.0)
        wait_for(lambda: _expires_at(name), lambda at: at > before + 3600, f"{name} is kept", PATIENCE_SECONDS)
        answer = wait_for(
            lambda: run.api.xcom(DAG_ID, run.run_id, TASK_ID, "air_cluster_answer", 0) or {},
            lambda told: "said" in told,
            "it is said what was done",
            PATIENCE_SECONDS,
        )
        assert answer["said"].startswith(f"the cluster {name} is kept until ")

        _ask(run, action="end")
        wait_for(clusters.known, lambda alive: name not in alive, f"{name} is gone", PATIENCE_SECONDS)
        # A cluster that a person has ended is no cluster that was lost: nobody makes it anew behind their back.
        run.wait_end("failed")
        assert name not in clusters.known()
    finally:
        (folder / "hold").unlink()


def _ask(run: GroupRun, **wish: Any) -> None:
    address = run.api.base_url
    token = httpx.get(f"{address}/auth/token", timeout=60).raise_for_status().json()["access_token"]
    path = f"/air/api/cluster-request/{DAG_ID}/{quote(run.run_id, safe='')}/{TASK_ID}/0"
    answer = httpx.post(f"{address}{path}", json=wish, headers={"Authorization": f"Bearer {token}"}, timeout=60)
    # Who waits on it, and who made it.
    assert answer.raise_for_status().json() == {"told": 2}


def _expires_at(name: str) -> float:
    return next(listed.expires_at or 0.0 for listed in clusters.BACKEND.list() if listed.ref.name == name)
