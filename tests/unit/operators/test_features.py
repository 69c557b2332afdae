"""What ``features=`` puts into a job, and what it refuses before anything starts."""

from __future__ import annotations

import asyncio
import io
import json
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.bases.operator import TRIGGER_FAIL_REPR
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout, AirflowSkipException, TaskDeferred

from airflow_provider_air import (
    FeastApplyOperator,
    FeastFeatures,
    FeastFreshnessSensor,
    RayBatchInferenceOperator,
    RayServeDeployOperator,
    RayTrainOperator,
    RayTuneOperator,
    SmokeTest,
)
from airflow_provider_air.errors import ConfigurationError, JobFailedError, ProtocolError
from airflow_provider_air.runs.plan import BuildInfo
from tests.deferrals import DEFERS, deferred, event_of, resume, write_records
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, task_context


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    (tmp_path / "feature_store.yaml").write_text("project: flights\n")
    return tmp_path


def train(features: Any, **fields: Any) -> RayTrainOperator:
    given = {"datasets": {"train": "s3://b/rows"}, "storage": "s3://b/runs", **fields}
    return RayTrainOperator(task_id="train", train_loop="code:train", features=features, **given)


def started(head: FakeRayDashboard, operator: Any) -> Any:
    """Run the task until it waits, and give its job."""
    known = set(head.jobs)
    with pytest.raises(TaskDeferred):
        operator.execute(task_context(Store()))
    (name,) = set(head.jobs) - known
    return head.jobs[name]


def files(head: FakeRayDashboard, job: Any, name: str) -> list[bytes]:
    """Give the files of this name that travelled with a job."""
    found = []
    for uri in job.runtime_env["py_modules"]:
        with zipfile.ZipFile(io.BytesIO(head.packages[uri.removeprefix("gcs://")])) as archive:
            found += [archive.read(item) for item in archive.namelist() if Path(item).name == name]
    return found


def told(head: FakeRayDashboard, operator: Any) -> Any:
    job = started(head, operator)
    assert files(head, job, "feature_store.yaml") == [b"project: flights\n"]
    (text,) = files(head, job, "features.json")
    return json.loads(text)


def test_each_workload_tells_its_driver_what_to_join(head: FakeRayDashboard, repo: Path) -> None:
    features = FeastFeatures(str(repo), "delay_v1")
    same: dict[str, Any] = {"features": features, "storage": "s3://b/runs"}
    tune = RayTuneOperator(
        task_id="tune", train_loop="c:f", datasets={"train": "/rows"}, param_space={}, metric="m", mode="min", **same
    )
    infer = RayBatchInferenceOperator(task_id="infer", predictor="c:f", input_uri="/rows", output_uri="/out", **same)

    wanted = {"feature_service": "delay_v1", "datasets": [], "storage_path": "s3://b/runs"}
    assert told(head, train(features)) == told(head, tune) == told(head, infer) == wanted


def test_a_joined_data_set_may_be_a_query(head: FakeRayDashboard, repo: Path) -> None:
    features = FeastFeatures(str(repo), "delay_v1", ["train"])
    query = {"sql": "SELECT * FROM flights", "columns": ["mean_delay"], "split": {"valid": 0.2}}
    infer = RayBatchInferenceOperator(
        task_id="infer",
        predictor="c:f",
        input_uri={"sql": "SELECT * FROM flights"},
        output_uri="/out",
        features=FeastFeatures(str(repo), "delay_v1"),
        storage="s3://b/runs",
    )

    trained = files(head, started(head, train(features, datasets={"train": query, "other": "/rows"})), "config.json")
    inferred = files(head, started(head, infer), "config.json")

    assert json.loads(trained[0])["datasets"]["train"] == query
    assert json.loads(inferred[0])["input"] == {"sql": "SELECT * FROM flights"}


def infer_by_query(features: Any = None) -> RayBatchInferenceOperator:
    return RayBatchInferenceOperator(
        task_id="infer", predictor="c:f", input_uri={"sql": "SELECT 1"}, output_uri="/out", features=features
    )


@pytest.mark.parametrize(
    ("operator", "message"),
    [
        (
            lambda repo: train(None, datasets={"train": {"sql": "SELECT 1"}}),
            "The data set 'train' is SQL, which is for data",
        ),
        (
            lambda repo: train(
                FeastFeatures(repo, "delay_v1", ["train"]), datasets={"train": "/rows", "valid": {"sql": "SELECT 1"}}
            ),
            "The data set 'valid' is SQL",
        ),
        (lambda repo: infer_by_query(), "The data set 'input' is SQL"),
        (lambda repo: infer_by_query(FeastFeatures(repo, "delay_v1")), "'features' needs 'storage'"),
        (
            lambda repo: RayTuneOperator(
                task_id="tune", train_loop="c:f", datasets={"t": {"sql": "S"}}, param_space={}, metric="m", mode="min"
            ),
            "The data set 't' is SQL",
        ),
    ],
)
def test_a_query_that_nobody_would_run_is_refused(
    head: FakeRayDashboard, repo: Path, operator: Any, message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message):
        operator(str(repo)).execute(task_context(Store()))
    assert head.jobs == {}


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"sql": " "}, r"'datasets.train.sql' must be an SQL query"),
        ({"sql": None}, r"'datasets.train.sql' must be an SQL query"),
        ({"sql": "SELECT 1", "uri": "/rows"}, "'datasets.train' has both 'sql' and 'uri'"),
        ({"sql": "SELECT 1", "format": "csv"}, "has both 'sql' and 'format'"),
        ({"sql": "SELECT 1", "options": {}}, "has both 'sql' and 'options'"),
        ({"sql": "SELECT 1", "columns": "mean_delay"}, "'datasets.train.columns' must be a list"),
    ],
)
def test_a_wrong_query_is_refused(repo: Path, spec: dict[str, Any], message: str) -> None:
    operator = train(FeastFeatures(str(repo), "delay_v1"), datasets={"train": spec})

    with pytest.raises(ConfigurationError, match=message):
        operator.build_job(task_context(Store()), BuildInfo("run"))


def test_a_tracker_notes_the_service_that_was_asked_for(repo: Path) -> None:
    noted = train(FeastFeatures(str(repo), "delay_v1")).tracked_parameters()

    told = {"repo": str(repo), "feature_service": "delay_v1", "datasets": []}
    by_default = {"timestamp_column": "event_timestamp", "full_feature_names": False, "num_partitions": None}
    assert noted["features"] == {**told, **by_default}


def test_the_features_are_in_the_extra_of_the_outlets(repo: Path) -> None:
    model = Asset("model://delays")
    operator = train(FeastFeatures(str(repo), "delay_v1"), outlets=[model])
    context = task_context(Store())
    context["outlet_events"] = {model: type("Event", (), {"extra": {}})()}

    operator.push_result(context, {"metrics": {}, "features": {"feature_service": "delay_v1"}})

    assert context["outlet_events"][model].extra == {"features": {"feature_service": "delay_v1"}}


def test_an_application_gets_the_repository_and_the_module_that_reads_it(head: FakeRayDashboard, repo: Path) -> None:
    deploy = RayServeDeployOperator(
        task_id="deploy",
        import_path="serve:app",
        features=FeastFeatures(str(repo), "delay_v1"),
        runtime_env={"env_vars": {"STAGE": "test"}},
        smoke_test=SmokeTest(),
    )

    environment = started(head, deploy).runtime_env

    assert environment["env_vars"]["FEAST_FEATURE_SERVICE"] == "delay_v1"
    assert environment["env_vars"]["STAGE"] == "test"
    # The last two are the job's own; see merge.runtime_env_of_applications.
    travelled = [head.packages[uri.removeprefix("gcs://")] for uri in environment["py_modules"]]
    wanted = (b"air_feature_repo/", b"air_features/", b"air_drivers/")
    assert [[name for name in wanted if name in data] for data in travelled] == [[name] for name in wanted] + [[]]


@pytest.mark.parametrize(
    ("case", "message"),
    [
        ("another type", "'features' must be FeastFeatures"),
        ("no storage", "'features' needs 'storage'"),
        ("no datasets", "nothing to join"),
        ("unknown dataset", "names 'valid'; the data sets are: train"),
        ("remote repo", "must be a local folder"),
        ("no repo", "has no feature_store.yaml"),
        ("no service", "'feature_service' must be a name"),
    ],
)
def test_what_cannot_be_joined_is_refused(head: FakeRayDashboard, repo: Path, case: str, message: str) -> None:
    fine = FeastFeatures(str(repo), "delay_v1")
    operator = {
        "another type": lambda: train({"repo": str(repo)}),
        "no storage": lambda: train(fine, storage=None),
        "no datasets": lambda: train(fine, datasets=None),
        "unknown dataset": lambda: train(FeastFeatures(str(repo), "delay_v1", ["valid"])),
        "remote repo": lambda: train(FeastFeatures("s3://b/repo.zip", "delay_v1")),
        "no repo": lambda: train(FeastFeatures("/nowhere", "delay_v1")),
        "no service": lambda: train(FeastFeatures(str(repo), " ")),
    }[case]()

    with pytest.raises(AirflowFailException, match=message):
        operator.execute(task_context(Store()))
    assert head.jobs == {}


def test_serving_takes_no_datasets(repo: Path) -> None:
    deploy = RayServeDeployOperator(
        task_id="deploy", import_path="serve:app", features=FeastFeatures(str(repo), "delay_v1", ["train"])
    )

    with pytest.raises(AirflowFailException, match="means nothing to what serves"):
        deploy.execute(task_context(Store()))


def test_a_feast_operator_does_not_drop_a_working_dir(repo: Path) -> None:
    with pytest.raises(ConfigurationError, match="'working_dir' is the feature repository here"):
        FeastApplyOperator(task_id="apply", repo=str(repo), working_dir="/code").build_job(
            task_context(Store()), BuildInfo("run")
        )


# Freshness


# A pause that is over before its task comes to defer is waited out in place.
PAUSE_SECONDS = 1.0
UNTIL = {"delays": "2026-01-01T00:00:00+00:00"}


def fresh(repo: Path, **options: Any) -> FeastFreshnessSensor:
    return FeastFreshnessSensor(task_id="fresh", repo=str(repo), fresh_at="2026-01-02T00:00:00Z", **DEFERS, **options)


def end_of_look(head: FakeRayDashboard, name: str, *late: str) -> None:
    value = {"fresh_at": "2026-01-02T00:00:00+00:00", "materialized_until": UNTIL, "late": list(late)}
    write_records(head, name, {"kind": "result", "value": value}, {"kind": "end", "status": "succeeded"})
    head.set_status(name, "SUCCEEDED")


def alive(head: FakeRayDashboard) -> list[str]:
    return [name for name, job in head.jobs.items() if job.status in ("PENDING", "RUNNING")]


def looked(head: FakeRayDashboard, sensor: Any, context: Any, pause: Any, *late: str) -> TaskDeferred:
    """End the look that a pause waits for, and give the next pause."""
    (name,) = alive(head)
    end_of_look(head, name, *late)
    with pytest.raises(TaskDeferred) as raised:
        resume(sensor, context, pause, event_of(pause.trigger))
    return raised.value


def test_between_two_looks_no_job_lives(head: FakeRayDashboard, repo: Path) -> None:
    context, sensor = task_context(Store()), fresh(repo, poke_interval=PAUSE_SECONDS)
    look, lived = deferred(sensor, context), []
    for _ in range(3):
        pause = looked(head, sensor, context, look, "delays (2026-01-01)")
        lived.append(alive(head))
        event = event_of(pause.trigger)
        lived.append(alive(head))
        with pytest.raises(TaskDeferred) as raised:
            resume(sensor, context, pause, event)
        look = raised.value
    end_of_look(head, *alive(head))
    done = resume(sensor, context, look, event_of(look.trigger))

    assert lived == [[]] * 6
    assert len(head.jobs) == 4
    assert done == {"fresh_at": "2026-01-02T00:00:00+00:00", "materialized_until": UNTIL}


def test_on_a_worker_it_looks_as_often(head: FakeRayDashboard, repo: Path) -> None:
    sensor = fresh(repo, poke_interval=0.05)
    sensor.deferrable = False
    lived: list[int] = []

    def end_three_looks() -> None:
        while len(lived) < 3:
            if names := alive(head):
                lived.append(len(names))
                end_of_look(head, names[0], *(["delays (2026-01-01)"] if len(lived) < 3 else []))
            time.sleep(0.01)

    with ThreadPoolExecutor(1) as other:
        ended = other.submit(end_three_looks)
        done = sensor.execute(task_context(Store()))
        ended.result(10)

    assert lived == [1, 1, 1]
    assert len(head.jobs) == 3
    assert done["materialized_until"] == UNTIL


def test_a_look_waits_out_the_pause(head: FakeRayDashboard, repo: Path) -> None:
    context, sensor = task_context(Store()), fresh(repo, poke_interval=PAUSE_SECONDS)
    pause = looked(head, sensor, context, deferred(sensor, context), "delays (2026-01-01)")

    event_of(pause.trigger)

    assert time.time() >= pause.trigger.step["until"]


def test_a_retry_looks_on_and_a_killed_pause_stops_nothing(head: FakeRayDashboard, repo: Path) -> None:
    store = Store()
    sensor = fresh(repo, poke_interval=30)
    pause = looked(head, sensor, task_context(store), deferred(sensor, task_context(store)), "delays (2026-01-01)")

    asyncio.run(pause.trigger.on_kill())
    again = deferred(fresh(repo, poke_interval=PAUSE_SECONDS), task_context(store, try_number=2))
    event = event_of(again.trigger)
    with pytest.raises(TaskDeferred):
        resume(fresh(repo), task_context(store, try_number=2), again, event)

    assert event["what"] == "pause"
    assert len(alive(head)) == 1
    assert len(head.jobs) == 2
    adopted = deferred(fresh(repo), task_context(store, try_number=3))
    assert adopted.trigger.step["what"] == "end"
    assert len(head.jobs) == 2


def test_a_trigger_that_failed_after_a_late_look_is_no_end_of_the_wait(head: FakeRayDashboard, repo: Path) -> None:
    context, sensor = task_context(Store()), fresh(repo, poke_interval=30)
    deferred(sensor, context)
    end_of_look(head, *head.jobs, "delays (2026-01-01)")

    with pytest.raises(TaskDeferred) as raised:
        sensor.resume_execution(TRIGGER_FAIL_REPR, {"error": "Trigger timeout"}, context)

    assert raised.value.trigger.step["what"] == "pause"


def test_an_event_of_a_pause_begins_one_look_alone(head: FakeRayDashboard, repo: Path) -> None:
    context, sensor = task_context(Store()), fresh(repo, poke_interval=PAUSE_SECONDS)
    pause = looked(head, sensor, context, deferred(sensor, context), "delays (2026-01-01)")
    event = event_of(pause.trigger)
    with pytest.raises(TaskDeferred):
        resume(sensor, context, pause, event)

    current = head.jobs[alive(head)[0]].submission_id
    for told in (event, {**event, "submission_id": current}):
        with pytest.raises(ProtocolError):
            resume(sensor, context, pause, told)
    assert len(head.jobs) == 2


@pytest.mark.parametrize(
    ("soft_fail", "error"), [(False, AirflowSensorTimeout), (True, AirflowSkipException)], ids=["fails", "soft_fail"]
)
def test_a_wait_for_freshness_ends_as_a_sensors_does(
    head: FakeRayDashboard, repo: Path, soft_fail: bool, error: type[Exception]
) -> None:
    context, sensor = task_context(Store()), fresh(repo, soft_fail=soft_fail, timeout=0)
    pause = deferred(sensor, context)
    end_of_look(head, *head.jobs, "delays (2026-01-01)")

    with pytest.raises(error, match=r"not fresh at 2026-01-02.* in time: still delays \(2026-01-01\)"):
        resume(sensor, context, pause, event_of(pause.trigger))
    assert alive(head) == []


def test_a_failed_look_is_no_end_of_the_time(head: FakeRayDashboard, repo: Path) -> None:
    context, sensor = task_context(Store()), fresh(repo, soft_fail=True)
    pause = deferred(sensor, context)
    name = next(iter(head.jobs))
    error = {"type": "OSError", "message": "a disk is full"}
    write_records(head, name, {"kind": "end", "status": "failed", "error": error})
    head.set_status(name, "FAILED", message="Traceback", exit_code=1)

    with pytest.raises(JobFailedError, match="a disk is full"):
        resume(sensor, context, pause, event_of(pause.trigger))


def test_the_time_for_freshness_counts_over_all_tries(
    head: FakeRayDashboard, repo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store()
    deferred(fresh(repo), task_context(store))
    (first,) = head.jobs
    head.set_status(first, "FAILED", message="died", error_type="JOB_SUPERVISOR_ACTOR_DIED")
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 3500)
    second = fresh(repo, timeout=timedelta(hours=1), poke_interval=timedelta(minutes=30))
    context = task_context(store, try_number=2)
    pause = looked(head, second, context, deferred(second, context), "delays (2026-01-01)")

    assert pause.trigger.step["what"] == "pause"
    assert pause.trigger.step["until"] == pytest.approx(now + 3600, abs=60)


@pytest.mark.parametrize(
    ("options", "says"), [({"timeout": -1}, "'timeout'"), ({"poke_interval": "soon"}, "'poke_inter")]
)
def test_a_malformed_wait_for_freshness_starts_nothing(
    head: FakeRayDashboard, repo: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(AirflowFailException, match=says):
        fresh(repo, **options).execute(task_context(Store()))
    assert not head.jobs
