"""A DAG of what people have on their second day: every task ends as they would expect, once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future

import pytest
from airflow_api import wait_for

from airflow_provider_air.hooks.results import load_result
from tests import clusters
from tests.e2e.ray_lab import PATIENCE_SECONDS, Case, RayLab, Scenario

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

ENDS = {
    "ugly_values": "success",
    "read_back": "success",
    "square": "success",
    "total": "success",
    "table": "success",
    "rows": "success",
    "leaves_early": "success",
    "has_nothing_to_do": "skipped",
    "metrics": "success",
    "bar": "success",
    "nothing_new": "skipped",
}
STARTS = [
    *("values", "reads", "square 1", "square 2", "square 3", "total", "table", "rows", "leaves", "skips"),
    *("metrics", "bar", "nothing"),
]
# Of 30,001 reports in a few seconds.
MOST_METRIC_LINES = 60


def judge(case: Case, ends: dict[str, str], starts: list[str], *, within_seconds: float = 900) -> None:
    """Compare what became of all tasks with what people expect."""
    case.api.wait_run(case.dag_id, case.run_id, timeout_seconds=within_seconds)
    instances = case.api.task_instances(case.dag_id, case.run_id)
    states = {instance["task_id"]: instance["state"] for instance in instances}
    unexpected = [name for name, state in states.items() if state != ends[name]]
    assert not unexpected, "\n".join(f"{name}: {states[name]}\n{case.log(task_id=name)[-3000:]}" for name in unexpected)
    assert Counter(case.ledger()) == Counter(starts)

    values = case.api.xcom(case.dag_id, case.run_id, "ugly_values")
    assert (values["loss"], values["id"], values["place"], values["kind"]) == (None, 2**53 + 1, "/data/ä b.csv", 1)
    assert load_result(values)["digest"] == b"\x00\xff"
    assert case.api.xcom(case.dag_id, case.run_id, "total") == 14
    assert case.api.xcom(case.dag_id, case.run_id, "rows") == 2
    assert case.api.xcom(case.dag_id, case.run_id, "metrics") == {"loss": None, "count": 30_000}

    log = case.logs_from(1, "metrics")
    assert sum("loss=" in line for line in log.splitlines()) <= MOST_METRIC_LINES
    lines = case.logs_from(1, "bar").split("\n")
    bars = [line for line in lines if "%" in line and "|" in line]
    assert bars[-1].strip() == "100% |" + "#" * 100 + "|"
    assert len(bars) < 10
    assert "Grüße, 世界 🎈" in lines


def on_a_cluster_that_is_there(lab: RayLab) -> None:
    with lab.case("second_day.ä") as case:
        case.start()
        judge(case, {**ENDS, "fails": "failed"}, [*STARTS, "fails"])
        log = case.log(task_id="fails")
        assert "RuntimeError: the report could not be made" in log
        assert "KeyError: 'die Spalte'" in log


@pytest.mark.parametrize("scenario", [on_a_cluster_that_is_there], ids=lambda scenario: scenario.__name__)
def test_every_task_ends_as_people_expect(scenario: Scenario, running: dict[Scenario, Future[float]]) -> None:
    print(f"{scenario.__name__} took {running[scenario].result():.0f} s")


@pytest.mark.full  # a head for each of thirteen tasks
@pytest.mark.timeout(3600)
def test_every_task_ends_as_people_expect_on_a_cluster_of_its_own(lonely_lab: RayLab) -> None:
    before = clusters.known()
    with lonely_lab.case("second_day_own") as case:
        case.start()
        judge(case, ENDS, STARTS, within_seconds=2700)
    wait_for(
        clusters.known,
        before.issuperset,
        "no cluster is left",
        PATIENCE_SECONDS,
    )
