"""A task that makes a cluster for others: whatever ends it, no cluster is left that nobody knows of."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import repeat
from typing import Any

import pytest

from airflow_provider_air.contracts.clusters import ClusterOwner, ClusterRef, ClusterState
from airflow_provider_air.contracts.runs import Done, Wait
from airflow_provider_air.errors import (
    AirError,
    ConfigurationError,
    JobStoppedError,
    UnavailableError,
)
from airflow_provider_air.ray_api.transport import Transport
from airflow_provider_air.runs.cluster import ClusterRun
from airflow_provider_air.runs.ledger import Attempt
from airflow_provider_air.runs.plan import Try
from airflow_provider_air.runs.watch import Watch
from airflow_provider_air.waiting import PATIENCE_SECONDS
from tests.fakes.other_clusters import OtherClusters, OtherSpec
from tests.unit.runs.conftest import KEY, Task

AWAY = UnavailableError("503")
LAST = 3


class Faulty(OtherClusters):
    """
    Fails as a test says, by the name of a call: an ``ensure`` after it has done its work, others before.

    :param errors: of each call in turn; once they are spent, it works
    """

    def __init__(self) -> None:
        super().__init__(takes_any_job=True)
        self.errors: dict[str, Iterator[AirError]] = {}
        self.before: Callable[[], object] = lambda: None

    def _fail(self, name: str) -> None:
        error = next(self.errors.get(name, iter(())), None)
        if error is not None:
            raise error

    def ensure(self, spec: Any, ref: ClusterRef, **more: Any) -> ClusterRef:
        self.before()
        made = super().ensure(spec, ref, **more)
        self._fail("ensure")
        return made

    def list(self, *asked: Any) -> Any:
        self._fail("list")
        return super().list(*asked)

    def describe(self, ref: ClusterRef) -> Any:
        self._fail("describe")
        return super().describe(ref)

    def delete(self, ref: ClusterRef) -> None:
        self._fail("delete")
        super().delete(ref)

    @property
    def deletions(self) -> int:
        return [verb for verb, _ in self.calls].count("delete")


@pytest.fixture
def clusters() -> Faulty:
    return Faulty()


@pytest.fixture
def task(transport: Transport, clusters: Faulty) -> Task:
    return Task({"ray_default": transport}, backends={"other": clusters})


@pytest.fixture(params=[None, "shared"], ids=["its own", "named"])
def spec(request: pytest.FixtureRequest) -> OtherSpec:
    return OtherSpec(request.param)


def run_of(task: Task, spec: OtherSpec, try_number: int = 1) -> ClusterRun:
    """Give a try's run, in a process of its own."""
    return ClusterRun(Try(KEY, try_number, max_tries=2), task.ports, timeout_seconds=600, spec=lambda: spec)


def name_of(clusters: Faulty) -> str:
    (name,) = clusters.world
    return name


def starting(task: Task, spec: OtherSpec, try_number: int = 1) -> Wait:
    step = run_of(task, spec, try_number).create()
    assert isinstance(step, Wait)
    return step


# How a try may end while its cluster is made


def lost_trigger(task: Task, clusters: Faulty, spec: OtherSpec, number: int) -> None:
    starting(task, spec, number)
    run_of(task, spec, number).trigger_failed()


def lost_replies(task: Task, clusters: Faulty, spec: OtherSpec, number: int) -> None:
    clusters.errors["ensure"] = repeat(AWAY)
    with pytest.raises(UnavailableError):
        run_of(task, spec, number).create()


def misread_event(task: Task, clusters: Faulty, spec: OtherSpec, number: int) -> None:
    starting(task, spec, number)
    with pytest.raises(AirError):
        run_of(task, spec, number).resume({"what": "cluster", "cluster": {"rows": 1}})


def failed_wait(task: Task, clusters: Faulty, spec: OtherSpec, number: int) -> None:
    run = run_of(task, spec, number)
    step = run.create()
    assert isinstance(step, Wait)
    with pytest.raises(AirError):
        run.wait(replace(step, what="nothing known"))  # type: ignore[arg-type]


ENDS = [lost_trigger, lost_replies, misread_event, failed_wait]


@pytest.mark.parametrize("end", ENDS)
def test_the_last_try_takes_back_what_it_has_started(
    task: Task, clusters: Faulty, spec: OtherSpec, end: Callable[..., None]
) -> None:
    end(task, clusters, spec, LAST)

    assert clusters.deletions == 1


@pytest.mark.parametrize("end", ENDS)
def test_where_a_try_is_left_it_adopts_what_was_started(
    task: Task, clusters: Faulty, spec: OtherSpec, end: Callable[..., None]
) -> None:
    end(task, clusters, spec, 1)
    clusters.errors.clear()
    clusters.ready(name_of(clusters))
    done = run_of(task, spec, 2).create()

    assert isinstance(done, Done)
    assert done.facts == {"created": True}
    assert clusters.deletions == 0


@pytest.mark.parametrize("end", ENDS)
def test_what_another_task_has_made_is_left_to_it(task: Task, clusters: Faulty, end: Callable[..., None]) -> None:
    spec = OtherSpec("shared")
    owner = ClusterOwner("here", replace(KEY, task_id="another"))
    clusters.ensure(spec, clusters.find(spec), owner=owner)

    end(task, clusters, spec, LAST)

    assert clusters.deletions == 0


def test_a_cluster_that_nobody_may_look_at_is_taken_back_at_once(task: Task, clusters: Faulty, spec: OtherSpec) -> None:
    """No retry helps against a refusal."""
    clusters.errors["describe"] = iter([ConfigurationError("403")])

    with pytest.raises(ConfigurationError):
        run_of(task, spec).create()

    assert clusters.deletions == 1


def test_a_named_cluster_that_was_made_from_another_spec_stays(task: Task, clusters: Faulty) -> None:
    starting(task, OtherSpec("shared"))

    with pytest.raises(ConfigurationError):
        run_of(task, OtherSpec("shared", size=2), LAST).create()

    assert clusters.deletions == 0


def test_a_cluster_of_the_tasks_own_needs_nobody_to_say_who_made_it(task: Task, clusters: Faulty) -> None:
    step = starting(task, OtherSpec(), LAST)
    clusters.ready(name_of(clusters))
    clusters.errors["list"] = repeat(AWAY)

    done = run_of(task, OtherSpec(), LAST).resume(
        {"what": "cluster", "cluster": step.attempt["cluster"], "state": "ready"}
    )

    assert isinstance(done, Done)
    assert (done.result.owned, done.facts) == (False, {"created": True})


def test_a_ready_cluster_of_which_nobody_says_who_made_it_goes_once_somebody_does(task: Task, clusters: Faulty) -> None:
    step = starting(task, OtherSpec("shared"), LAST)
    clusters.ready(name_of(clusters))
    run = run_of(task, OtherSpec("shared"), LAST)
    given_up = run._ports.clock.now() + PATIENCE_SECONDS

    def away() -> Iterator[AirError]:
        while run._ports.clock.now() < given_up:
            yield AWAY

    clusters.errors["list"] = away()
    with pytest.raises(UnavailableError):
        run.resume({"what": "cluster", "cluster": step.attempt["cluster"], "state": "ready"})

    assert clusters.deletions == 1


@pytest.mark.parametrize("name", ["ensure", "describe", "list", "delete"])
def test_what_does_not_answer_at_once_is_asked_again(task: Task, clusters: Faulty, name: str) -> None:
    spec = OtherSpec("shared")
    starting(task, spec)
    clusters.ready(name_of(clusters))
    clusters.errors[name] = repeat(AWAY, 2)

    assert isinstance(run_of(task, spec, 2).create(), Done)
    assert isinstance(run_of(task, spec).delete(clusters.find(spec)), Wait)
    assert clusters.deletions == 1


# Kills


def yes() -> bool:
    return True


def test_who_is_killed_between_two_questions_makes_none(task: Task, clusters: Faulty, spec: OtherSpec) -> None:
    run = run_of(task, spec)
    questions: list[bool] = []

    def be_killed() -> None:
        questions.append(True)
        run.kill(yes)

    clusters.errors["ensure"] = repeat(AWAY)
    clusters.before = be_killed

    with pytest.raises(JobStoppedError):
        run.create()

    assert len(questions) == 1
    assert clusters.world[name_of(clusters)].status.state is ClusterState.DELETING


def test_who_is_killed_before_it_goes_on_takes_its_cluster_back(task: Task, clusters: Faulty, spec: OtherSpec) -> None:
    step = starting(task, spec)
    clusters.ready(name_of(clusters))
    run = run_of(task, spec)
    run.kill(yes)

    with pytest.raises(JobStoppedError):
        run.resume({"what": "cluster", "cluster": step.attempt["cluster"], "state": "ready"})

    assert clusters.deletions == 1


def test_a_cluster_is_the_tasks_to_take_back_until_it_is_handed_over(
    task: Task, clusters: Faulty, spec: OtherSpec
) -> None:
    starting(task, spec)
    clusters.ready(name_of(clusters))
    run = run_of(task, spec, 2)
    assert isinstance(run.create(), Done)

    run.kill(yes)
    assert clusters.deletions == 1
    run.hand_over()
    run.kill(yes)
    assert clusters.deletions == 1


def killed_in_the_triggerer(task: Task, step: Wait) -> None:
    asyncio.run(Watch(step, task.ports).kill())


def test_a_kill_of_the_deferred_task_takes_its_cluster_back(task: Task, clusters: Faulty, spec: OtherSpec) -> None:
    step = starting(task, spec)
    clusters.errors["list"] = repeat(AWAY, 1)
    clusters.errors["delete"] = repeat(AWAY, 1)

    killed_in_the_triggerer(task, step)

    assert clusters.deletions == 1


@pytest.mark.parametrize("workload", ["cluster", "train"])
def test_a_kill_of_a_deferred_task_leaves_what_it_only_waits_for(task: Task, clusters: Faulty, workload: str) -> None:
    spec = OtherSpec("shared")
    # A job's cluster with a name goes by its time-outs, also where its own task has started it.
    maker = replace(KEY, task_id="another") if workload == "cluster" else KEY
    clusters.ensure(spec, clusters.find(spec), owner=ClusterOwner("here", maker))
    step = starting(task, spec)
    attempt = replace(Attempt.from_json(step.attempt), workload=workload)

    killed_in_the_triggerer(task, replace(step, attempt=attempt.to_json()))

    assert clusters.deletions == 0
