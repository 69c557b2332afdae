"""
What goes wrong around a job on KubeRay, each made for real: the right state and one sentence why, a try after it that
works, no job twice, and nothing with our labels left.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_air.clusters.kuberay import backend as kuberay_backend
from airflow_provider_air.clusters.kuberay.backend import KubeRayBackend
from airflow_provider_air.clusters.kuberay.permissions import role
from airflow_provider_air.clusters.watching import wait_until_gone
from airflow_provider_air.contracts.clusters import ClusterState, ClusterStatus
from airflow_provider_air.contracts.jobs import JobRequest
from airflow_provider_air.contracts.runs import Wait
from airflow_provider_air.errors import (
    AirError,
    ClusterUnreachableError,
    ConfigurationError,
    JobLostError,
    JobStoppedError,
    UnavailableError,
)
from airflow_provider_air.ray_api.models import JobStatus
from airflow_provider_air.runs.clock import RealClock
from airflow_provider_air.runs.run import Run
from airflow_provider_air.runs.watch import Watch
from tests.kubernetes import manifests
from tests.kubernetes.bench import SMALL, Bench, until

TICKS = "import time\nfor tick in range({0}): print('tick', tick, flush=True); time.sleep(1)"


def ticking(seconds: int) -> JobRequest:
    """A job that prints once a second."""
    return JobRequest(["python", "-c", TICKS.format(seconds)])


def ticks_of(bench: Bench) -> list[int]:
    """Give the ticks that the task's log shows."""
    lines = bench.log.text.splitlines()
    return [int(line.split()[1]) for line in lines if line.startswith("tick ")]


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[None]:
    """Let something happen while the block waits; what it raises is raised here."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            act()
        except BaseException as error:  # noqa: BLE001  # it is raised where it is seen
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        thread.join(300)
        if raised:
            raise raised[0]


def is_running(bench: Bench) -> bool:
    """Whether the job of the last attempt was seen to print."""
    return bool(ticks_of(bench))


def until_running(bench: Bench) -> None:
    until(lambda: is_running(bench), "the job's first line", 240)


def submitted(bench: Bench, try_number: int = 1) -> tuple[Run, Wait]:
    """Go on until the job is submitted; give the worker, and what it leaves to the triggerer."""
    run = bench.run(try_number)
    step = run.begin()
    while isinstance(step, Wait) and step.what != "end":
        step = run.resume(run.wait(step))
    assert isinstance(step, Wait)
    return run, step


# The cluster goes from under the job


@pytest.mark.full
def test_a_cluster_that_is_deleted_under_its_job_is_lost_soon_and_the_next_try_works(bench: Bench) -> None:
    bench.request = ticking(600)

    def delete() -> None:
        until_running(bench)
        bench.kube.admin.delete("rayjobs", bench.ref.name, bench.namespace, "ray.io/v1")

    with meanwhile(delete), pytest.raises(JobLostError, match=r"The cluster is (absent|deleting)|The job went with"):
        bench.whole()

    bench.request = JobRequest("echo again")
    bench.whole(2)
    assert bench.phases == ["LOST", "SUCCEEDED"]
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_head_that_is_killed_takes_the_job_along_and_that_is_seen_at_once(bench: Bench) -> None:
    """KubeRay's RayJob says RUNNING for ever then: Ray's own word counts."""
    bench.request = ticking(600)
    killed: list[float] = []

    def kill() -> None:
        until_running(bench)
        bench.kube.admin.delete("pods", bench.head()["metadata"]["name"], bench.namespace, gracePeriodSeconds="0")
        killed.append(time.monotonic())

    with meanwhile(kill), pytest.raises(JobLostError):
        bench.whole()

    # A new head needs some twenty seconds, and it is what says that it does not know the job.
    assert time.monotonic() - killed[0] < 120
    bench.request = JobRequest("echo again")
    bench.whole(2)
    assert bench.phases == ["LOST", "SUCCEEDED"]
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_head_of_a_shared_cluster_that_is_killed_is_replaced_and_takes_the_next_job(bench: Bench) -> None:
    ref = bench.ready()
    first = bench.backend().describe(ref).incarnation
    bench.target, bench.request = ref, ticking(600)

    def kill() -> None:
        until_running(bench)
        bench.kube.admin.delete("pods", bench.head(ref)["metadata"]["name"], bench.namespace, gracePeriodSeconds="0")

    with meanwhile(kill), pytest.raises(JobLostError):
        bench.whole()

    status = bench.wait_for(ref, ClusterState.READY)
    assert status.incarnation not in (None, first)
    bench.request = JobRequest("echo again")
    bench.whole(2)
    assert bench.jobs_of_ray(ref) == [bench.attempts[-1].submission_id]


KEEP = """
import ray
@ray.remote(resources={{"keeper": 0.1}}, num_cpus=0)
class Keeper:
    def keep(self, value): self.value = value
    def kept(self): return self.value
ray.init(namespace="kept")
{0}
"""
KEEPS = 'keeper = Keeper.options(name="keeper", lifetime="detached").remote(); ray.get(keeper.keep.remote(41))'
KEPT = 'print("kept", ray.get(ray.get_actor("keeper").kept.remote()))'


def keeping(what: str) -> JobRequest:
    """A job that has to do with an actor on the worker."""
    return JobRequest(["python", "-c", KEEP.format(what)])


@pytest.mark.full
def test_with_fault_tolerance_an_actor_outlives_a_killed_head_and_a_job_does_not(bench: Bench) -> None:
    """A job's driver runs on the head."""
    serve = ("redis-server", "--save", "", "--protected-mode", "no")
    bench.kube.admin.apply(manifests.pod("redis", bench.namespace, *serve))
    running = bench.kube.admin.wait("pods", "redis", bench.namespace, until=lambda pod: pod["status"].get("podIP"))
    redis = {"redis_address": f"{running['status']['podIP']}:6379"}
    worker = {"name": "some", **SMALL, "resources": {"CPU": 1, "keeper": 1}, "replicas": 1}
    ref = bench.ready(workers=None, worker_groups=[worker], gcs_fault_tolerance_options=redis)
    bench.target, bench.request = ref, keeping(KEEPS)
    bench.whole()

    lost = Bench(bench.kube, bench.namespace, "lost")
    lost.target, lost.request = ref, ticking(600)

    def kill() -> None:
        until_running(lost)
        lost.kube.admin.delete("pods", lost.head(ref)["metadata"]["name"], lost.namespace, gracePeriodSeconds="0")

    with meanwhile(kill), pytest.raises(AirError):
        lost.whole()

    lost.wait_for(ref, ClusterState.READY)
    lost.request = keeping(KEPT)
    lost.whole(2)
    assert "kept 41" in lost.log.text
    wait_until_gone(bench.backend(), ref, timeout_seconds=180)
    left = ("redis-cli", "-h", running["status"]["podIP"], "dbsize")
    bench.kube.admin.apply(manifests.pod("left", bench.namespace, *left))
    ended = ("Succeeded", "Failed")
    bench.kube.admin.wait("pods", "left", bench.namespace, until=lambda pod: pod["status"].get("phase") in ended)
    assert bench.kube.admin.log("left", bench.namespace).split() == ["0"]
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_an_evicted_worker_ends_no_job_that_runs_on_the_head(bench: Bench) -> None:
    bench.cluster = {"workers": None, "worker_groups": [{"name": "some", **SMALL, "replicas": 1}]}
    bench.request = ticking(20)

    def evict() -> None:
        until_running(bench)
        (worker,) = bench.kube.admin.items("pods", bench.namespace, labelSelector="ray.io/node-type=worker")
        name = worker["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        bench.kube.admin.call("POST", f"/api/v1/namespaces/{bench.namespace}/pods/{name}/eviction", eviction)

    with meanwhile(evict):
        bench.whole()

    assert bench.phases == ["SUCCEEDED"]
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_namespace_that_is_deleted_takes_the_job_along(bench: Bench) -> None:
    """Its Roles go, too, so that nobody tells us what became of the cluster: we are let in no more."""
    bench.request, bench.plan = ticking(600), {"unreachable_timeout_seconds": 30.0}

    def delete() -> None:
        until_running(bench)
        bench.kube.admin.delete("namespaces", bench.namespace)

    with meanwhile(delete), pytest.raises(AirError) as lost:
        bench.whole()

    assert isinstance(lost.value, (JobLostError, ClusterUnreachableError)), lost.value
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_cordoned_node_takes_no_cluster_and_says_so(bench: Bench) -> None:
    bench.kube.kubectl("cordon", "air-node")
    try:
        backend, spec = bench.backend(), bench.spec(name="shared")
        ref = backend.ensure(spec, backend.find(spec), owner=bench.owner)
        bench.wait_for(ref, ClusterState.STARTING, words="unschedulable")
    finally:
        bench.kube.kubectl("uncordon", "air-node")
    bench.wait_for(ref, ClusterState.READY)


# The kube-apiserver is away


def away(bench: Bench, seconds: float) -> None:
    """Kill the kube-apiserver for so long."""
    bench.kube.kill("kube-apiserver")
    time.sleep(seconds)
    bench.kube.start_part("kube-apiserver")
    bench.kube.wait_answering()


@pytest.mark.full
@pytest.mark.parametrize("seconds", [15, 60])
def test_a_kube_apiserver_that_is_away_while_a_job_runs_costs_no_line_and_no_job(bench: Bench, seconds: int) -> None:
    bench.request = ticking(seconds + 10)

    def fail() -> None:
        until_running(bench)
        away(bench, seconds)

    with meanwhile(fail):
        bench.whole()

    assert ticks_of(bench) == list(range(seconds + 10))
    assert bench.phases == ["SUCCEEDED"]
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_kube_apiserver_that_is_away_while_a_cluster_starts_only_delays_it(bench: Bench) -> None:
    step = bench.run().begin()
    assert isinstance(step, Wait)
    with meanwhile(lambda: away(bench, 60)):
        bench.go_on(bench.run(), step)

    assert bench.phases == ["SUCCEEDED"]
    assert len(bench.attempts) == 1
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_kube_apiserver_that_is_away_at_the_creation_leaves_it_to_the_next_try(bench: Bench) -> None:
    bench.kube.kill("kube-apiserver")
    try:
        with pytest.raises(UnavailableError):
            bench.run().begin()
    finally:
        bench.kube.start_part("kube-apiserver")
        bench.kube.wait_answering()

    bench.whole(2)

    assert bench.phases == ["SUCCEEDED"]
    assert bench.attempts[0].try_number == 2
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_kube_apiserver_that_is_away_at_the_submission_sends_no_job_twice(bench: Bench) -> None:
    ref = bench.ready()
    bench.target = ref
    bench.kube.kill("kube-apiserver")

    def mend() -> None:
        time.sleep(20)
        bench.kube.start_part("kube-apiserver")

    with meanwhile(mend):
        bench.whole()

    assert bench.jobs_of_ray(ref) == [bench.attempts[0].submission_id]


@pytest.mark.full
def test_a_kube_apiserver_that_is_away_at_the_deletion_hides_no_result(bench: Bench) -> None:
    """What cannot be deleted is found by its labels, and by KubeRay's own clock."""
    bench.request = ticking(5)
    run, step = submitted(bench)
    event = run.wait(step)
    bench.kube.kill("kube-apiserver")
    try:
        done = bench.run().resume(event)
    finally:
        bench.kube.start_part("kube-apiserver")
        bench.kube.wait_answering()

    assert not isinstance(done, Wait)
    assert bench.phases == ["SUCCEEDED"]
    assert "could not be deleted now" in bench.log.text
    (listed,) = bench.backend().list(bench.owner, bench.ref)
    bench.backend().delete(listed.ref)
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_watch_whose_versions_are_gone_or_that_is_stuck_still_tells_of_a_cluster_that_is_ready(bench: Bench) -> None:
    step = bench.run().begin()
    assert isinstance(step, Wait)

    def fail() -> None:
        bench.kube.compact()
        bench.kube.freeze("kube-apiserver")
        time.sleep(20)
        bench.kube.thaw("kube-apiserver")

    with meanwhile(fail):
        bench.go_on(bench.run(), step)

    assert bench.phases == ["SUCCEEDED"]


# Rights


@pytest.mark.full
def test_a_user_without_any_right_is_told_which_rules_to_add(bench: Bench) -> None:
    bench.access.user = "stranger"

    with pytest.raises(AirError, match=r"may not.*rayjobs|may not.*get") as refused:
        bench.run().begin()

    assert '"verbs"' in str(refused.value)
    assert bench.left() == []


def rules_one_short() -> Iterator[Any]:
    rules = role("x")["rules"]
    for index, rule in enumerate(rules):
        if rule["resources"] != ["pods/portforward"]:
            yield pytest.param(index, rule["resources"][0], id=rule["resources"][0])


@pytest.mark.full
@pytest.mark.parametrize(("index", "resource"), list(rules_one_short()))
def test_without_a_rule_of_the_role_nothing_is_created_and_the_rule_is_named(
    bench: Bench, index: int, resource: str
) -> None:
    from tests.kubernetes.bench import bind

    rules = [rule for at, rule in enumerate(role(bench.namespace)["rules"]) if at != index]
    bind(bench.kube, bench.namespace, rules=rules)

    with pytest.raises(AirError, match="may not") as refused:
        bench.run(3).begin()

    assert resource.partition("/")[0] in str(refused.value)
    assert json.dumps(resource) in str(refused.value)
    assert bench.left() == []


@pytest.mark.full
def test_a_token_that_is_rotated_in_the_middle_of_a_wait_is_renewed(bench: Bench) -> None:
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": "first", "namespace": bench.namespace},
    }
    bench.kube.admin.apply(account)
    subject = {"kind": "ServiceAccount", "name": "first", "namespace": bench.namespace}
    binding = bench.kube.admin.get("rolebindings", "airflow-ray", bench.namespace, "rbac.authorization.k8s.io/v1")
    change = {"subjects": [*binding["subjects"], subject]}
    bench.kube.admin.patch("rolebindings", "airflow-ray", bench.namespace, change, of="rbac.authorization.k8s.io/v1")
    bench.access.token = bench.kube.admin.token_for("first", bench.namespace)
    bench.request = ticking(20)

    def rotate() -> None:
        until_running(bench)
        bench.access.token = None
        # From now on its token is nobody's.
        bench.kube.admin.delete("serviceaccounts", "first", bench.namespace)

    with meanwhile(rotate):
        bench.whole()

    assert ticks_of(bench) == list(range(20))
    assert bench.phases == ["SUCCEEDED"]
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_secret_that_is_gone_is_told_by_name_where_the_token_is_read_anew(bench: Bench) -> None:
    """KubeRay makes another one, whose token the running head does not know: who follows the job has the old one."""
    bench.request, bench.plan = ticking(600), {"unreachable_timeout_seconds": 20.0}
    _, step = submitted(bench, 3)

    def secret() -> dict[str, Any] | None:
        items = bench.kube.admin.items("secrets", bench.namespace)
        return next((item for item in items if "auth_token" in item.get("data", {})), None)

    first = secret()
    assert first is not None
    bench.kube.admin.delete("secrets", first["metadata"]["name"], bench.namespace)
    until(lambda: (found := secret()) and found["data"] != first["data"], "another Secret")

    # The triggerer was restarted, say.
    with pytest.raises(AirError, match=r"Ray refuses the cluster's token"):
        bench.go_on(bench.run(3), step, 3)

    bench.assert_nothing_is_left()


# A person, and processes that die


def test_a_kill_while_the_cluster_starts_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kuberay_backend, "KILL_STEP_SECONDS", 30.0)
    run = bench.run()
    assert isinstance(run.begin(), Wait)

    read, began = bench.access.asked, time.monotonic()
    run.kill(lambda: True)

    # Within a signal handler no connection is read; the rest is one request.
    assert bench.access.asked == read
    assert time.monotonic() - began < 60
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_kill_in_the_middle_of_the_creation_leaves_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal falls while the request is on its way: what it made then is taken back."""
    run, ensure = bench.run(), KubeRayBackend.ensure

    def ensure_meanwhile(*arguments: Any, **options: Any) -> Any:
        thread = threading.Thread(target=run.kill, args=(lambda: True,))
        thread.start()
        try:
            return ensure(*arguments, **options)
        finally:
            thread.join()

    monkeypatch.setattr(KubeRayBackend, "ensure", ensure_meanwhile)
    with pytest.raises(JobStoppedError):
        run.begin()

    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_person_who_stops_a_waiting_task_stops_job_and_cluster_without_a_worker(bench: Bench) -> None:
    bench.request = ticking(600)
    run, step = submitted(bench)
    watch = Watch(step, run._ports)

    asyncio.run(watch.kill())

    bench.assert_nothing_is_left()


def is_killed(bench: Bench, write: int, moment: str, kept: Path) -> bool:
    """
    Do a whole try in a process of its own, which gets SIGKILL right before or after what it writes down.

    :param write: the number of that write
    :param kept: the file that Airflow's database is here
    :return: whether it was killed; else it came to its end without so many writes
    """
    pid = os.fork()
    if pid == 0:
        try:
            _keep_what_is_written(bench, write, moment, kept)
            bench.whole()
            os._exit(0)
        except BaseException:  # noqa: BLE001  # nothing of the test goes on in this process
            traceback.print_exc()
        finally:
            os._exit(1)
    _, status = os.waitpid(pid, 0)
    if kept.exists():
        bench.store.rows, bench.board.values = json.loads(kept.read_text())
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL)
    return code != 0


def _keep_what_is_written(bench: Bench, write: int, moment: str, kept: Path) -> None:
    numbers, store, board = itertools.count(1), bench.store.set, bench.board.write

    def keep(real: Callable[[str, Any], None], key: str, value: Any) -> None:
        real(key, value)
        draft = kept.with_suffix(".draft")
        draft.write_text(json.dumps([bench.store.rows, bench.board.values]))
        draft.rename(kept)

    def set_(key: str, value: Any) -> None:
        is_now = next(numbers) == write
        if is_now and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        keep(store, key, value)
        if is_now:
            os.kill(os.getpid(), signal.SIGKILL)

    bench.store.set = set_  # type: ignore[method-assign]
    bench.board.write = partial(keep, board)  # type: ignore[method-assign]


@pytest.mark.full
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("write", range(1, 9))
def test_a_worker_that_is_killed_at_any_step_leaves_a_next_try_that_runs_one_job(
    bench: Bench, write: int, moment: str, tmp_path: Path
) -> None:
    """
    Each step stands between two writes: creation, submission, the job's end, deletion.

    So it is done right before one, and not yet right after the one before.
    """
    if is_killed(bench, write, moment, tmp_path / "airflow.json"):
        bench.whole(2)

    assert bench.phases == ["SUCCEEDED"]
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_triggerer_that_is_restarted_goes_on_with_the_wait_and_the_log(bench: Bench) -> None:
    bench.request = ticking(15)
    run, step = submitted(bench)

    async def first() -> None:
        watch = Watch(step, run._ports)
        task = asyncio.create_task(watch.event())
        while len(ticks_of(bench)) < 3:
            await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await watch.cleanup()

    asyncio.run(asyncio.wait_for(first(), 120))
    bench.go_on(bench.run(), step)

    assert ticks_of(bench) == list(range(15))
    assert bench.phases == ["SUCCEEDED"]
    bench.assert_nothing_is_left()


@pytest.mark.full
def test_a_watch_tells_unknown_where_the_kube_apiserver_is_away_and_goes_on(bench: Bench) -> None:
    backend, spec = bench.backend(), bench.spec(name="shared", image="localhost:1/nowhere/ray:2.60.0")
    ref = backend.ensure(spec, backend.find(spec), owner=bench.owner)
    seen: list[ClusterState] = []

    async def watch() -> None:
        async with aclosing(backend.watch(ref, RealClock())) as statuses:
            async for status in statuses:
                await note(status)
                if ClusterState.UNKNOWN in seen and status.state is ClusterState.STARTING:
                    return

    async def note(status: ClusterStatus) -> None:
        if not seen:
            await asyncio.to_thread(bench.kube.kill, "kube-apiserver")
        elif status.state is ClusterState.UNKNOWN and ClusterState.UNKNOWN not in seen:
            await asyncio.to_thread(bench.kube.start_part, "kube-apiserver")
        seen.append(status.state)

    try:
        asyncio.run(asyncio.wait_for(watch(), 120))
    finally:
        if bench.kube.ended("kube-apiserver"):
            bench.kube.start_part("kube-apiserver")
        bench.kube.wait_answering()
    other = bench.spec(name="shared", image="localhost:1/another/ray:2.60.0")
    with pytest.raises(ConfigurationError):
        backend.ensure(other, backend.find(other), owner=bench.owner)


def test_the_rayjobs_word_is_not_asked_about_its_job(bench: Bench) -> None:
    """Ray says that it was stopped; KubeRay would call that Complete."""
    bench.request = ticking(600)

    def stop() -> None:
        until_running(bench)
        bench.backend().jobs(bench.ref).stop(bench.attempts[0].submission_id)

    with meanwhile(stop), pytest.raises(JobStoppedError):
        bench.whole()

    assert bench.phases == [JobStatus.STOPPED.value]
    bench.assert_nothing_is_left()
