"""Values that Airflow's lines do not carry, through operators: nothing in them ends a task or hides from people."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from airflow.sdk import DAG
from airflow.sdk.execution_time import task_runner

from airflow_provider_air import load_result
from airflow_provider_air.drivers.wire.values import encode
from airflow_provider_air.errors import JobFailedError, ResultLostError
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.operators.train import RayTrainOperator
from airflow_provider_air.runs.ledger import LEDGER_KEY
from tests.deferrals import deferred, event_of, resume, write_records
from tests.fakes.ray_dashboard import FakeRayDashboard
from tests.fakes.task_context import Store, Supervisor, task_context
from tests.kinds import parameters
from tests.kinds.values import FRAME, KINDS, is_same

VALUES, NAMES = parameters(KINDS)

END: dict[str, Any] = {"kind": "end", "status": "succeeded"}
TRAINED: dict[str, Any] = {
    "run_name": "r",
    "uri": "/r",
    "metrics": {"loss": math.nan, "epoch": 3},
    "best_metrics": {"loss": 0.5, "auc": math.inf},
    "checkpoint": None,
    "best_checkpoint": None,
    "checkpoints": [],
    "history": [{"report": 0, "metrics": {"loss": math.nan}, "checkpoint": None}],
    "history_rows": 1,
    "history_uri": "/h",
    "resumed_from": None,
    "seconds": 1.0,
}


def operator(**fields: Any) -> RaySubmitJobOperator:
    return RaySubmitJobOperator(**{"task_id": "train", "entrypoint": "x", "records": True, **fields})


def pushed(head: FakeRayDashboard, task: Any, context: Any, *records: dict[str, Any]) -> Any:
    """Run a task over its deferral, push its result as Airflow does, and give what a next task pulls."""
    pause = deferred(task, context)
    name = next(reversed(head.jobs))
    write_records(head, name, *records)
    head.set_status(name, "SUCCEEDED")
    context["ti"].xcom_push("return_value", resume(task, context, pause, event_of(pause.trigger)))
    return context["ti"].xcoms["return_value"]


def test_a_training_whose_loss_is_none_has_ended_well(head: FakeRayDashboard, store: Store) -> None:
    context = task_context(store)
    task = RayTrainOperator(task_id="train", train_loop="code:train")

    found = pushed(head, task, context, {"kind": "result", "value": encode(TRAINED)}, END)

    assert found["metrics"] == context["ti"].xcoms["metrics"] == {"loss": None, "epoch": 3}
    assert context["ti"].xcoms["best_metrics"] == {"loss": 0.5, "auc": None}
    assert found["history"][0]["metrics"] == {"loss": None}
    assert [item["phase"] for item in store.get(LEDGER_KEY)["attempts"]] == ["SUCCEEDED"]


@pytest.mark.parametrize("value", [b"\x00model", {"model": b"x", "names": ["a"]}, [b"a", b"b"]], ids=repr)
def test_bytes_come_home(value: Any, head: FakeRayDashboard, store: Store) -> None:
    found = pushed(head, operator(), task_context(store), {"kind": "result", "value": encode(value)}, END)

    assert load_result(found) == value


def test_what_people_return_comes_home(head: FakeRayDashboard, store: Store) -> None:
    everything = {name: way.value for name, way in zip(NAMES, VALUES, strict=True)}
    record = {"kind": "result", "value": encode(everything, texts=[])}

    loaded = load_result(pushed(head, operator(), task_context(store), record, END))

    assert [n for n, w in zip(NAMES, VALUES, strict=True) if not is_same(loaded[n], w.expected)] == []


@pytest.mark.parametrize("value", [FRAME, {"table": FRAME}], ids=["alone", "inside"])
def test_a_small_frame_is_the_xcom(value: Any, head: FakeRayDashboard, store: Store) -> None:
    """As of Airflow's own ``@task``: any task may pull it."""
    assert is_same(
        pushed(head, operator(), task_context(store), {"kind": "result", "value": encode(value)}, END), value
    )


@pytest.mark.parametrize(
    ("value", "has_outputs"),
    [
        ({"rmse": 1.5, "model": b"x"}, True),
        ({}, True),
        ({1: 2}, False),
        ({"__air__": "mine"}, False),
        ({"a\0b": 1}, False),
        ([1], False),
        ("text", False),
    ],
    ids=str,
)
def test_there_are_xcoms_by_key_of_what_is_a_dict_at_home_and_else_the_result_alone(
    value: Any, has_outputs: bool, head: FakeRayDashboard, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As ``-> dict`` of ``@task.ray`` asks for; by Airflow's own code, which fails what it cannot take apart."""
    with DAG("d", schedule=None):
        task = operator(multiple_outputs=True)
    found = pushed(head, task, task_context(store), {"kind": "result", "value": encode(value)}, END)
    xcoms: dict[str, Any] = {}
    monkeypatch.setattr(task_runner, "_xcom_push", lambda _, key, value, **__: xcoms.update({key: value}))
    told: Any = SimpleNamespace(task=task, is_mapped=False, xcom_push=xcoms.__setitem__)

    task_runner._push_xcom_if_needed(found, told, Mock())

    assert xcoms.keys() == {"return_value", *(value if has_outputs else ())}
    assert {name: load_result(xcom) for name, xcom in xcoms.items()} == {
        "return_value": value,
        **(value if has_outputs else {}),
    }


def test_a_success_that_airflow_has_not_heard_of_comes_home_alike(head: FakeRayDashboard, store: Store) -> None:
    first = pushed(head, operator(), task_context(store), {"kind": "result", "value": encode(b"x")}, END)

    again = operator().execute(task_context(store, try_number=2))

    assert again == first
    assert load_result(again) == b"x"


def test_whatever_a_job_says_is_shown(head: FakeRayDashboard, store: Store, supervisor: Supervisor) -> None:
    records: list[dict[str, Any]] = [
        {"kind": "progress", "message": "read file-\udc80", "done": math.nan, "total": 2**70},
        {"kind": "metric", "values": {"loss": math.nan, "a\0b": 1}, "step": 1},
        {"kind": "metric", "values": {"loss": 2.0}, "step": 2},
        {"kind": "result", "value": 1},
        END,
    ]

    assert pushed(head, operator(), task_context(store), *records) == 1
    progress = supervisor.xcoms["progress"]
    assert progress["message"] == "read file-\\udc80"
    assert (progress["done"], progress["total"]) == (None, str(2**70))
    assert progress["values"] == {"loss": 2.0, "a\\x00b": 1}
    assert progress["next_record"] == len(records)


@pytest.mark.parametrize("is_deferred", [True, False], ids=["deferred", "on a worker"])
def test_a_failure_in_odd_words_is_written_down(head: FakeRayDashboard, store: Store, is_deferred: bool) -> None:
    context = task_context(store)
    task = operator(records=False)
    pause = deferred(task, context)
    name = next(iter(head.jobs))
    head.set_status(name, "FAILED", message="no such file: 'a-\udc80\0'", exit_code=1)

    event = event_of(pause.trigger) if is_deferred else asyncio.run(pause.trigger.event())
    with pytest.raises(JobFailedError):
        task.on_event(context, event)

    attempt = store.get(LEDGER_KEY)["attempts"][0]
    assert attempt["phase"] == "FAILED"
    assert "a-\\udc80\\x00" in attempt["message"]


class Picky(RaySubmitJobOperator):
    """Reads a result that another version of itself has written."""

    def read_result(self, value: Any, where: Any) -> Any:
        return value.shape


@pytest.mark.parametrize("is_collected", [True, False], ids=["collected before", "not collected"])
def test_a_success_that_cannot_be_read_runs_again(head: FakeRayDashboard, store: Store, is_collected: bool) -> None:
    """Each retry, and a clear, would read the same again."""
    records: list[dict[str, Any]] = [{"kind": "result", "value": {"rmse": 1.5}}, END]
    picky = Picky(task_id="train", entrypoint="x", records=True)
    if is_collected:
        pushed(head, operator(), task_context(store), *records)
    else:
        with pytest.raises(ResultLostError, match="shape"):
            pushed(head, picky, task_context(store), *records)
        assert store.get(LEDGER_KEY)["attempts"][0]["phase"] == "RESULT_LOST"

    deferred(picky, task_context(store, try_number=2))

    assert [item["phase"] for item in store.get(LEDGER_KEY)["attempts"]] == ["RESULT_LOST", "submitted"]
    assert len(head.jobs) == 2


def test_what_was_lost_is_no_success_to_a_clear(head: FakeRayDashboard, store: Store) -> None:
    picky = Picky(task_id="train", entrypoint="x", records=True)
    with pytest.raises(ResultLostError):
        pushed(head, picky, task_context(store), {"kind": "result", "value": 1}, END)

    deferred(operator(), task_context(store, try_number=2, max_tries=5))

    first, second = store.get(LEDGER_KEY)["attempts"]
    assert (first["phase"], second["phase"]) == ("RESULT_LOST", "submitted")
    # It resumes: only after a success a clear starts afresh.
    assert first["run_generation"] == second["run_generation"]
    assert first["generation"] < second["generation"]
