"""The history of a job while it is watched: what only the watch sees, how often it is written, who goes on with it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_air.contracts.clusters import ClusterRef
from airflow_provider_air.contracts.jobs import Observation
from airflow_provider_air.ray_api.models import ClusterOverview, JobDetails, JobStatus, Node
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.history import HISTORY_KEY
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.runs.live import HISTORY_SECONDS, MOST_NODES, LiveHistory
from airflow_provider_air.runs.progress import SOON_SECONDS, Progress
from tests.unit.runs.conftest import Board

REF = ClusterRef("local", "c", {"ray_conn_id": "gpu"}, owned=True)
ATTEMPT = Attempt(1, 1, "air-1", "tune", cluster=REF.to_json(), steps={"sent": 990.0, "submitted": 991.0})
RUNS, WAITS = JobDetails("air-1", JobStatus.RUNNING), JobDetails("air-1", JobStatus.PENDING)


class SteppedClock(RealClock):
    """Stands still until a test moves it."""

    at = 1000.0

    def now(self) -> float:
        return self.at


@pytest.fixture
def board() -> Board:
    return Board()


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


def live(board: Board, clock: RealClock) -> LiveHistory:
    return LiveHistory(board, clock, ATTEMPT, lambda: 5000.0)


def metric(number: int) -> Observation:
    return Observation(RUNS, records=[{"kind": "metric", "seq": number, "step": number, "values": {"loss": 1.0}}])


def overview(at: float, nodes: int = 1, **usage: tuple[float, float]) -> ClusterOverview:
    found = [Node(f"n{number}", "ALIVE", number == 0, f"10.0.0.{number}", {"CPU": 4.0}) for number in range(nodes)]
    return ClusterOverview(at, {"CPU": (1.0, 4.0), "node:10.0.0.1": (0.0, 1.0), **usage}, found)


async def test_curves_are_written_every_ten_seconds_and_the_rest_of_the_time_not(
    board: Board, clock: SteppedClock
) -> None:
    history = live(board, clock)
    for number in range(30):
        await history.note(metric(number))
        clock.at += 1.0

    assert [key for key, _ in board.history] == [HISTORY_KEY] * 2
    assert len(board.values[HISTORY_KEY]["series"]["loss"]) == 21
    assert (board.values[HISTORY_KEY]["submission_id"], board.values[HISTORY_KEY]["workload"]) == ("air-1", "tune")


async def test_a_job_that_says_nothing_is_written_ever_more_seldom(board: Board, clock: SteppedClock) -> None:
    history = live(board, clock)
    for _ in range(24 * 120):  # a day
        await history.note(Observation(RUNS, cluster=overview(clock.at)))
        clock.at += 30.0

    assert len(board.history) < 160


async def test_the_cluster_is_kept_as_it_was_seen(board: Board, clock: SteppedClock) -> None:
    history, first = live(board, clock), overview(1000.0, MOST_NODES + 5)
    for seen in (first, first, overview(1030.0, MOST_NODES + 5, GPU=(1.0, 2.0))):
        await history.note(Observation(RUNS, cluster=seen))
    seen_of_it = history.seen()
    cluster = seen_of_it["cluster"]

    assert seen_of_it["resources"] == [
        [1000.0, {"CPU used": 1.0, "CPU total": 4.0}],
        [1030.0, {"CPU used": 1.0, "CPU total": 4.0, "GPU used": 1.0, "GPU total": 2.0}],
    ]
    assert {name: cluster[name] for name in ("name", "backend", "conn_id", "is_own", "seen_at", "expires_at")} == {
        "name": "c",
        "backend": "local",
        "conn_id": "gpu",
        "is_own": True,
        "seen_at": 1030.0,
        "expires_at": 5000.0,
    }
    assert cluster["resources"] == {"CPU": {"used": 1.0, "total": 4.0}, "GPU": {"used": 1.0, "total": 2.0}}
    assert (len(cluster["nodes"]), cluster["nodes_total"]) == (MOST_NODES, MOST_NODES + 5)
    assert cluster["nodes"][0] == {
        "id": "n0",
        "ip": "10.0.0.0",
        "is_head": True,
        "state": "ALIVE",
        "message": "",
        "resources": {"CPU": 4.0},
    }


async def test_the_next_watch_of_the_try_goes_on_with_what_was_seen(board: Board, clock: SteppedClock) -> None:
    first = live(board, clock)
    clock.at += 2 * HISTORY_SECONDS  # the pause has jitter
    await first.note(Observation(RUNS, cluster=overview(1000.0), tasks={"f": {"RUNNING": 1}}), 995.0)
    second = live(board, clock)
    await second.resume()

    assert second.seen()["steps"]["running"] == 995.0
    assert second.seen()["resources"] == first.seen()["resources"]
    assert second.seen()["tasks"] == {"f": {"RUNNING": 1}}


@pytest.mark.parametrize("old", [None, 3, {"submission_id": "air-2", "steps": {"running": 5.0}}])
async def test_what_is_of_another_job_is_left(board: Board, clock: SteppedClock, old: Any) -> None:
    board.write(HISTORY_KEY, old)
    history = live(board, clock)
    await history.resume()

    assert "running" not in history.seen()["steps"]


@pytest.mark.parametrize(
    ("submitted_at", "looks", "expected"),
    [
        (None, [WAITS, RUNS], 1001.0),
        (1000.0 - SOON_SECONDS, [RUNS], 1000.0),
        # Nobody knows for how long it had been running.
        (999.0 - SOON_SECONDS, [RUNS, RUNS], None),
        (None, [RUNS], None),
        (None, [WAITS, WAITS], None),
    ],
)
async def test_a_job_runs_from_when_it_was_seen_to_begin(
    board: Board, clock: SteppedClock, submitted_at: float | None, looks: list[JobDetails], expected: float | None
) -> None:
    progress = Progress(board, clock, "air-1", submitted_at)
    await progress.take_over()
    for job in looks:
        progress.note(Observation(job))
        clock.at += 1.0
    await progress.write()

    assert progress.running_at == board.values["progress"].get("running_at") == expected
    later = Progress(board, clock, "air-1", submitted_at)
    await later.take_over()
    later.note(Observation(RUNS))
    assert (later.is_resumed, later.running_at) == (True, expected if looks[-1] is RUNS else clock.at)
