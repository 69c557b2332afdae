"""A run on clusters that are unlike ours in all that the contracts allow: nothing above the back end changes."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import pytest

from airflow_provider_air.contracts.attachments import Outcome
from airflow_provider_air.contracts.clusters import (
    ClusterBackend,
    ClusterRef,
    ClusterSpec,
    ClusterState,
    ClusterStatus,
)
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.contracts.runs import AttemptInfo, Done, Wait
from airflow_provider_air.errors import (
    ClusterFailedError,
    ConfigurationError,
    JobFailedError,
    JobLostError,
    UnavailableError,
)
from airflow_provider_air.runs import silence
from airflow_provider_air.runs.admission import Admission, OwnPlaces
from airflow_provider_air.runs.asking import patience_within
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.ledger import LEDGER_KEY
from airflow_provider_air.runs.plan import Plan, Try
from airflow_provider_air.runs.ports import Ports
from airflow_provider_air.runs.run import Run
from tests.fakes.attachment import SERVERS, FakeTracker, FakeTrackerSpec
from tests.fakes.other_clusters import OtherClusters, OtherJob, OtherSpec

KEY = TaskKey("deployment", "flights", "manual__1", "train")
DEADLINE_SECONDS = 20.0


class Store:
    """A state store, and a board, in memory."""

    def __init__(self) -> None:
        self.rows: dict[str, str] = {}

    def get(self, key: str) -> Any:
        return json.loads(self.rows[key]) if key in self.rows else None

    def set(self, key: str, value: Any) -> None:
        self.rows[key] = json.dumps(value, allow_nan=False)

    read, write = get, set  # noqa: A003


class Log:
    """A task log."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def info(self, message: str, /, *args: Any) -> None:
        self.lines.append(message % args if args else message)

    warning = info


class Bench:
    """One task instance over its tries, each in a Run of its own, on other clusters."""

    def __init__(self, clusters: OtherClusters) -> None:
        self.clusters = clusters
        self.store, self.log = Store(), Log()
        self.rollout: dict[str, Any] | None = None
        self.plan: dict[str, Any] = {}
        self.spec = OtherSpec()

    def run(self, try_number: int = 1, max_tries: int = 2) -> Run:
        def backend(name: str) -> ClusterBackend:
            assert name == OtherSpec.backend
            return self.clusters

        def target() -> ClusterSpec:
            return self.spec

        request = JobRequest("python train.py", rollout=self.rollout)
        admission = Admission(OwnPlaces())
        ports = Ports(self.store, None, backend, self.log, RealClock(), admission, self.store)  # type: ignore[arg-type]
        return Run(Plan("train", target, lambda info: request, **self.plan), Try(KEY, try_number, max_tries), ports)

    def go_on(self, run: Run, step: Wait | Done, max_tries: int = 2) -> Any:
        """Wait in place for each step, every one taken by another process."""
        while isinstance(step, Wait):
            event = run.wait(Wait.from_json(json.loads(json.dumps(step.to_json()))))
            run = self.run(max_tries=max_tries)
            step = run.resume(json.loads(json.dumps(event)))
        return step.result

    @property
    def attempts(self) -> list[dict[str, Any]]:
        return list(self.store.get(LEDGER_KEY)["attempts"])

    def calls(self, verb: str) -> list[str]:
        return [name for done, name in self.clusters.calls if done == verb]


@pytest.fixture
def bench() -> Bench:
    """A task on clusters that must know the job's id, and whose deletion takes some looks."""
    return Bench(OtherClusters())


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Let something happen while the block waits."""
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join(DEADLINE_SECONDS)


def eventually(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.01)
    return found


def only_cluster(bench: Bench) -> str:
    return str(eventually(lambda: next(iter(list(bench.clusters.world)), None), "a cluster"))


def new_job(bench: Bench, known: int = 0) -> OtherJob:
    """Wait for the job after so many others."""
    eventually(lambda: len(bench.calls("submit")) > known, "a submission")
    return bench.clusters.job(bench.calls("submit")[known])


def test_the_id_is_there_before_the_cluster_and_the_cluster_goes_with_the_task(bench: Bench) -> None:
    def world() -> None:
        name = only_cluster(bench)
        assert bench.clusters.world[name].job_id == bench.attempts[0]["submission_id"]
        bench.clusters.ready(name)
        job = new_job(bench)
        job.run()
        job.say("hello")
        job.end()

    with meanwhile(world):
        run = bench.run()
        result = bench.go_on(run, run.begin())

    assert result == bench.attempts[0]["submission_id"]
    assert bench.attempts[0]["phase"] == "SUCCEEDED"
    assert bench.calls("delete") == bench.calls("ensure")
    assert "hello" in bench.log.lines


class LastTold(FakeTracker):
    """Notes what there is by the time that it is told of an end."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.seen: list[tuple[str, bool]] = []

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        (noted,) = self.bench.attempts
        self.seen.append((noted["phase"], bool(self.bench.calls("delete"))))
        assert noted["attachments"][0]["untold"]
        super().on_end(attempt, state, outcome)


def job_that_ends(bench: Bench, status: str) -> None:
    """Have the cluster come up, and the job on it run and end."""
    bench.clusters.ready(only_cluster(bench))
    job = new_job(bench)
    job.run()
    job.end(status)


@pytest.fixture
def told(bench: Bench) -> Iterator[LastTold]:
    made = SERVERS["last"] = LastTold(bench)
    bench.plan = {"attachments": lambda: (FakeTrackerSpec("last"),)}
    yield made
    del SERVERS["last"]


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_trackers_are_told_once_the_end_is_written_down_and_the_cluster_has_gone(
    bench: Bench, told: LastTold, status: str
) -> None:
    run = bench.run()
    with (
        meanwhile(partial(job_that_ends, bench, status)),
        nullcontext() if status == "SUCCEEDED" else pytest.raises(JobFailedError),
    ):
        bench.go_on(run, run.begin())

    assert told.seen == [(status, True)]
    (entry,) = bench.attempts[0]["attachments"]
    assert (entry["told"], entry["untold"]) == (status, None)


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_who_dies_before_the_trackers_are_told_leaves_that_to_the_next_try(
    bench: Bench, told: LastTold, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.run()
    with monkeypatch.context() as patched:
        patched.setattr("airflow_provider_air.runs.attempts.told_in_time", died)
        with meanwhile(partial(job_that_ends, bench, status)), pytest.raises(KeyboardInterrupt):
            bench.go_on(run, run.begin())
    assert (bench.attempts[0]["phase"], bench.calls("delete")) == (status, bench.calls("ensure"))
    assert told.seen == []

    step = bench.run(2).begin()

    assert told.seen == [(status, True)]
    assert bench.attempts[0]["attachments"][0]["told"] == status
    assert isinstance(step, Done) == (status == "SUCCEEDED")


def dies_before_it_tells(bench: Bench, status: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Have a worker come to the written end of its job, and no further; give its run."""

    def ended(*given: Any) -> None:
        raise error

    run = bench.run()
    with monkeypatch.context() as patched:
        patched.setattr(bench.clusters, "delete", ended)
        with meanwhile(partial(job_that_ends, bench, status)), pytest.raises(error):
            in_one_process(run)
    assert bench.attempts[0]["phase"] == status
    return run


def in_one_process(run: Run) -> None:
    step = run.begin()
    while isinstance(step, Wait):
        step = run.resume(run.wait(step))


class AlarmError(BaseException):
    """Airflow's, when the task's time is over."""


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_an_alarm_while_the_cluster_is_being_left_keeps_no_tracker_from_being_told(
    bench: Bench, told: LastTold, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dies_before_it_tells(bench, status, AlarmError, monkeypatch)

    run.expire()

    assert told.seen == [(status, True)]
    assert bench.attempts[0]["attachments"][0]["told"] == status


@pytest.mark.parametrize("status", ["SUCCEEDED", "FAILED"])
def test_who_clears_a_task_whose_trackers_were_not_told_leaves_none_in_the_dark(
    bench: Bench, told: LastTold, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_before_it_tells(bench, status, KeyboardInterrupt, monkeypatch)

    step = bench.run(2, max_tries=3).begin()

    assert isinstance(step, Wait)
    assert told.seen == [(status, True)]
    (first, second) = bench.attempts
    assert (first["attachments"][0]["told"], second["attachments"][0]["told"]) == (status, None)


def test_a_result_that_is_gone_is_told_as_lost_where_its_success_was_not_told(
    bench: Bench, told: LastTold, monkeypatch: pytest.MonkeyPatch
) -> None:
    dies_before_it_tells(bench, "SUCCEEDED", KeyboardInterrupt, monkeypatch)

    def gone(value: Any, collected: Any) -> Any:
        raise ValueError("it is no JSON")

    bench.plan = {**bench.plan, "read_result": gone}
    assert isinstance(bench.run(2).begin(), Wait)
    assert bench.attempts[0]["attachments"][0]["told"] == "LOST"
    assert [attempt["phase"] for attempt in bench.attempts] == ["RESULT_LOST", "intended"]


@pytest.mark.parametrize(
    ("seconds_left", "patience"), [(None, 45.0), (-1.0, 45.0), (3600.0, 45.0), (40.0, 20.0), (4.0, 5.0)]
)
def test_a_cluster_that_cannot_be_deleted_takes_no_time_that_the_task_needs(
    seconds_left: float | None, patience: float
) -> None:
    assert patience_within(None if seconds_left is None else 1000.0 + seconds_left, 1000.0) == patience


def test_a_success_whose_cluster_cannot_be_deleted_is_given_before_the_tasks_time_is_over(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(ref: ClusterRef) -> None:
        raise UnavailableError("nobody answers")

    monkeypatch.setattr(bench.clusters, "delete", away)
    monkeypatch.setattr("airflow_provider_air.runs.asking.SHORT_PATIENCE_SECONDS", 0.1)
    bench.plan = {"timeout_seconds": 8.0}
    run = bench.run()
    with meanwhile(partial(job_that_ends, bench, "SUCCEEDED")):
        result = bench.go_on(run, run.begin())

    assert time.time() < bench.attempts[0]["deadline"]
    assert result == bench.attempts[0]["submission_id"]
    assert any("could not be deleted now" in line for line in bench.log.lines)


class Refusing(FakeTracker):
    """Takes no end, and counts who comes with one."""

    asked = 0

    def on_end(self, attempt: AttemptInfo, state: Mapping[str, Any], outcome: Outcome) -> None:
        self.asked += 1
        raise ConnectionError("away")


def test_a_tracker_that_is_away_is_told_of_an_end_once_by_a_try(bench: Bench) -> None:
    """It may still be busy with what it was told: an outcome without records must not come in between."""
    tracker = SERVERS["refusing"] = Refusing()
    bench.plan = {"attachments": lambda: (FakeTrackerSpec("refusing"),)}

    try:
        with meanwhile(partial(job_that_ends, bench, "FAILED")), pytest.raises(JobFailedError):
            bench.go_on(bench.run(), bench.run(max_tries=0).begin(), max_tries=0)
    finally:
        del SERVERS["refusing"]
    assert tracker.asked == 1
    assert "away" in bench.attempts[0]["attachments"][0]["untold"]


async def died(*given: Any) -> Any:
    raise KeyboardInterrupt


def test_a_cluster_that_is_deleted_under_its_job_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its back end is asked long before the cluster counts as unreachable."""
    monkeypatch.setattr(silence, "ASK_SECONDS", 0.05)
    bench.plan = {"unreachable_timeout_seconds": 600.0}

    def world() -> None:
        name = only_cluster(bench)
        bench.clusters.ready(name)
        new_job(bench).run()
        bench.clusters.vanish(name)

    run = bench.run(3, 2)
    with meanwhile(world), pytest.raises(JobLostError, match="The cluster is absent"):
        bench.go_on(run, run.begin())

    assert [attempt["phase"] for attempt in bench.attempts] == ["LOST"]


def test_a_cluster_that_only_does_not_answer_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "ASK_SECONDS", 0.05)
    asked = threading.Event()

    def world() -> None:
        name = only_cluster(bench)
        bench.clusters.ready(name)
        job = new_job(bench)
        job.run()
        # Its jobs cannot be asked, and its back end says that it is only starting again.
        bench.clusters.world[name].status = ClusterStatus(ClusterState.STARTING)
        time.sleep(0.3)
        bench.clusters.ready(name)
        job.end()
        asked.set()

    with meanwhile(world):
        run = bench.run()
        bench.go_on(run, run.begin())

    assert asked.is_set()
    assert [attempt["phase"] for attempt in bench.attempts] == ["SUCCEEDED"]


def test_a_cluster_that_is_replaced_under_its_job_gets_the_next_attempt_in_the_same_try(bench: Bench) -> None:
    def world() -> None:
        name = only_cluster(bench)
        bench.clusters.ready(name)
        new_job(bench).run()
        bench.clusters.replace(name)
        second = eventually(lambda: next((n for n in list(bench.clusters.world) if n != name), None), "another one")
        bench.clusters.ready(second)
        new_job(bench, 1).run()
        new_job(bench, 1).end()

    with meanwhile(world):
        run = bench.run()
        bench.go_on(run, run.begin())

    assert [item["phase"] for item in bench.attempts] == ["LOST", "SUCCEEDED"]
    assert [item["try_number"] for item in bench.attempts] == [1, 1]


def test_a_next_try_finds_the_cluster_that_an_earlier_one_asked_for(bench: Bench) -> None:
    step = bench.run().begin()
    assert isinstance(step, Wait)
    name = only_cluster(bench)

    again = bench.run(try_number=2).begin()

    assert isinstance(again, Wait)
    assert (again.what, again.attempt["submission_id"]) == ("cluster", step.attempt["submission_id"])
    assert bench.calls("ensure") == [name]


def test_a_cluster_that_cannot_start_is_taken_back(bench: Bench) -> None:
    run = bench.run()
    step = run.begin()
    assert isinstance(step, Wait)
    bench.clusters.fail(only_cluster(bench), "no such image")

    with pytest.raises(ClusterFailedError, match="no such image"):
        bench.go_on(run, step)

    assert bench.calls("delete") == bench.calls("ensure")
    assert bench.attempts[0]["phase"] == "FAILED"


def test_a_cluster_that_no_retry_can_start_is_a_mistake(bench: Bench) -> None:
    run = bench.run()
    step = run.begin()
    assert isinstance(step, Wait)
    bench.clusters.fail(only_cluster(bench), "the image's name is none", retryable=False)

    with pytest.raises(ConfigurationError, match="the image's name is none"):
        bench.go_on(run, step)

    assert bench.calls("delete") == bench.calls("ensure")


def test_a_roll_out_needs_no_job_of_ours(bench: Bench) -> None:
    bench.rollout = {"applications": ["delays"]}

    def world() -> None:
        bench.clusters.ready(only_cluster(bench))
        rolled = new_job(bench)
        assert rolled.rollout == bench.rollout
        rolled.run()
        rolled.end()

    with meanwhile(world):
        run = bench.run()
        bench.go_on(run, run.begin())

    assert (bench.attempts[0]["kind"], bench.attempts[0]["phase"]) == ("rollout", "SUCCEEDED")


def test_a_kill_stops_the_job_and_takes_its_cluster_along(bench: Bench) -> None:
    run = bench.run()
    assert isinstance(run.begin(), Wait)
    name = only_cluster(bench)
    bench.clusters.ready(name)
    step = run.resume({"what": "cluster", "submission_id": bench.attempts[0]["submission_id"], "state": "ready"})
    assert isinstance(step, Wait)

    new_job(bench).run()

    run.kill(lambda: True)

    # The cluster first: its deletion takes the job along, should the worker be killed before the job is asked, too.
    asked = [call for call in bench.clusters.calls if call[0] in ("stop", "delete")]
    assert asked[0] == ("delete", name)


# A cluster that is kept for people


def failing(bench: Bench, try_number: int, known: int = 0) -> str:
    """Run a try whose job fails, and give its cluster's name."""
    before = set(bench.clusters.world)

    def world() -> None:
        name = eventually(lambda: next(iter(set(bench.clusters.world) - before), None), "a cluster")
        bench.clusters.ready(name)
        new_job(bench, known).run()
        new_job(bench, known).end("FAILED", "ValueError: bad", exit_code=1)

    run = bench.run(try_number)
    with meanwhile(world), pytest.raises(JobFailedError):
        bench.go_on(run, run.begin())
    (name,) = set(bench.clusters.world) - before
    return name


def test_the_cluster_of_a_failed_attempt_is_kept_until_the_next_one_and_goes_with_a_success(bench: Bench) -> None:
    bench.plan = {"keep_cluster": "on_failure"}
    first = failing(bench, 1)
    assert bench.calls("delete") == []
    (told,) = [line for line in bench.log.lines if "is kept for you to look at" in line]
    assert first in told
    assert f"airflow air clusters delete {first}" in told

    def world() -> None:
        second = eventually(lambda: next((n for n in list(bench.clusters.world) if n != first), None), "another one")
        bench.clusters.ready(second)
        new_job(bench, 1).run()
        new_job(bench, 1).end()

    with meanwhile(world):
        run = bench.run(2)
        bench.go_on(run, run.begin())

    order = [(verb, name) for verb, name in bench.clusters.calls if verb in ("ensure", "delete")]
    second = bench.attempts[1]["cluster"]["name"]
    assert order == [("ensure", first), ("delete", first), ("ensure", second), ("delete", second)]
    assert [item["cluster_kept"] for item in bench.attempts] == [False, False]


def test_the_cluster_of_the_last_failed_try_alone_is_kept(bench: Bench) -> None:
    bench.plan = {"keep_cluster": "on_failure"}
    first, second = failing(bench, 2), failing(bench, 3, known=1)

    assert bench.calls("delete") == [first]
    assert bench.clusters.world[second].status.state is ClusterState.READY
    assert [item["cluster_kept"] for item in bench.attempts] == [False, True]


@pytest.mark.parametrize("keep", ["never", "on_failure"])
def test_when_a_clusters_expiry_is_known_people_are_told(bench: Bench, keep: str) -> None:
    bench.plan = {"keep_cluster": keep}

    def world() -> None:
        name = only_cluster(bench)
        bench.clusters.world[name].expires_at = 1_800_000_000.0
        bench.clusters.ready(name)
        new_job(bench).run()
        new_job(bench).end("FAILED", "ValueError: bad", exit_code=1)

    run = bench.run()
    with meanwhile(world), pytest.raises(JobFailedError):
        bench.go_on(run, run.begin())

    assert any("2027-01-15 08:00 UTC" in line for line in bench.log.lines) is (keep == "on_failure")
    assert bool(bench.calls("delete")) is (keep == "never")


def test_a_person_who_stops_the_task_wants_no_cluster_kept(bench: Bench) -> None:
    bench.plan = {"keep_cluster": "on_failure"}
    run = bench.run()
    step = run.begin()
    bench.clusters.ready(only_cluster(bench))
    while isinstance(step, Wait) and step.what != "end":
        step = run.resume(run.wait(step))
    assert isinstance(step, Wait)
    assert run.wait(step, time.time()) is None

    run.kill(lambda: True)

    assert bench.calls("delete") == bench.calls("ensure")
    assert not any("is kept for you" in line for line in bench.log.lines)


def test_a_cluster_that_is_gone_is_not_said_to_be_kept(bench: Bench) -> None:
    bench.plan = {"keep_cluster": "on_failure", "unreachable_timeout_seconds": 0.0}

    def world() -> None:
        name = only_cluster(bench)
        bench.clusters.ready(name)
        new_job(bench).run()
        bench.clusters.vanish(name)

    run = bench.run()
    with meanwhile(world), pytest.raises(JobLostError):
        bench.go_on(run, run.begin())

    assert not any("is kept for you" in line for line in bench.log.lines)


def test_a_task_that_does_not_wait_takes_no_cluster_of_its_own(bench: Bench) -> None:
    bench.plan = {"wait": False}

    with pytest.raises(ConfigurationError, match="the cluster would go with the task"):
        bench.run().begin()

    assert bench.clusters.calls == []


def test_a_run_on_a_cluster_that_others_use_says_that_it_counts_on_it() -> None:
    clusters = OtherClusters(takes_any_job=True)
    bench = Bench(clusters)
    bench.spec = OtherSpec("shared")

    def world() -> None:
        clusters.ready(only_cluster(bench))
        job = new_job(bench)
        eventually(lambda: bench.calls("extend"), "a lease")
        job.end()

    with meanwhile(world):
        run = bench.run()
        bench.go_on(run, run.begin())
    assert set(bench.calls("extend")) == {"shared"}
    assert clusters.world["shared"].leased_until is not None


def test_a_run_on_a_cluster_of_its_own_needs_no_lease(bench: Bench) -> None:
    def world() -> None:
        bench.clusters.ready(only_cluster(bench))
        new_job(bench).end()

    with meanwhile(world):
        run = bench.run()
        bench.go_on(run, run.begin())
    assert bench.calls("extend") == []


def test_a_cluster_that_is_kept_for_people_is_not_taken_for_left_behind(bench: Bench) -> None:
    bench.plan = {"keep_cluster": "on_failure"}

    def world() -> None:
        name = only_cluster(bench)
        bench.clusters.world[name].expires_at = time.time() + 1000
        bench.clusters.ready(name)
        new_job(bench).end("FAILED")

    run = bench.run(max_tries=0)
    with meanwhile(world), pytest.raises(JobFailedError):
        bench.go_on(run, run.begin())
    (cluster,) = bench.clusters.world.values()
    assert cluster.leased_until is not None
    assert abs(cluster.leased_until - (cluster.expires_at or 0.0)) < 5
