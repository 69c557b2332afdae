"""A task's view holds whatever is stored, however odd: it never fails, and is safe to draw."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from airflow_provider_air.pages.clusters_view import clusters_view
from airflow_provider_air.pages.compare_view import compare_view, compared_run
from airflow_provider_air.pages.documents import TaskDocuments
from airflow_provider_air.pages.lenient import mapping
from airflow_provider_air.pages.run_view import run_view
from airflow_provider_air.pages.summary import summary_of
from airflow_provider_air.pages.task_view import MOST_RESULT_BYTES, task_view
from tests.unit.pages.documents import CLUSTER, attempt, documents, facts, history, ledger

ODD: list[Any] = [
    None,
    True,
    -1,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "x",
    "</script>",
    "\u202e",
    "\ud800",
    [],
    {},
    [[]],
    [{}],
]


def mangled(value: Any, chance: random.Random, share: float) -> Any:
    """Give a document of which some parts are something else."""
    if chance.random() < share:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {key: mangled(item, chance, share) for key, item in value.items()}
    return [mangled(item, chance, share) for item in value] if isinstance(value, list) else value


def whole_history() -> dict[str, Any]:
    """Give a history with all that a history may have."""
    told = history(
        [
            {"kind": "metric", "values": {"loss": 0.5, "rmse": 1.0}, "step": 1},
            {"kind": "metric", "values": {"rmse": 2.0}, "step": 1, "trial": "a", "config": {"lr": 0.1}},
            {"kind": "checkpoint", "uri": "s3://b/c", "step": 1},
            {"kind": "progress", "message": "m", "done": 1, "total": 2, "batch": {"rows": 5, "total_rows": 9}},
            {"kind": "progress", "serve": {"name": "app", "status": "RUNNING", "deployments": [{"name": "D"}]}},
            {"kind": "progress", "step": "route", "state": "moved", "workers": 2, "resumed_from": None},
            {"kind": "progress", "data": {"inputs": [{"name": "train", "uri": "s3://x", "schema": {"a": "int"}}]}},
        ],
        running=21.0,
        ended=30.0,
    )
    seen = {"name": "ray_default", "resources": {"CPU": {"used": 1.0, "total": 4.0}}, "nodes": [{"id": "n"}]}
    more = {"cluster": seen, "resources": [[1.0, {"CPU used": 1.0}]], "tasks": {"f": {"RUNNING": 2}}}
    return {**told, **more, "features": [{"store": "feast"}], "trackers": [{"kind": "mlflow", "run_id": "1"}]}


def test_all_that_a_history_has_is_shown() -> None:
    told = task_view(documents(attempt("SUCCEEDED"), of=facts(state="success"), kept=whole_history()))
    assert set(told) >= {"metrics", "trials", "checkpoints", "batch", "serve", "workers", "data", "features"}
    assert set(told) >= {"tracker", "resources", "tasks", "cluster", "timeline"}
    assert told["data"]["inputs"][0]["schema"] == [{"name": "a", "type": "int"}]
    assert told["serve"]["steps"][0]["name"] == "route"


def test_the_last_values_are_those_of_the_progress() -> None:
    progress = {"submission_id": "air-1", "values": {"rmse": 0.5, "nan": None}}
    assert task_view(documents(attempt(), progress=progress))["values"] == {"rmse": 0.5, "nan": None}
    other = {**progress, "submission_id": "air-0"}
    assert "values" not in task_view(documents(attempt(), progress=other))


LOSS = {"kind": "metric", "values": {"loss": 0.5}, "step": 1}
TWO = (attempt("FAILED", "air-1", try_number=1), attempt("SUCCEEDED", "air-2", try_number=2))
FIRST, SECOND = history([LOSS], "air-1"), history([{**LOSS, "step": 2}], "air-2")


@pytest.mark.parametrize(
    ("stored", "step"), [({"kept": SECOND, "earlier": FIRST}, 2), ({"kept": FIRST, "live": SECOND}, 2)]
)
def test_curves_are_shown_beside_those_of_the_attempt_before(stored: dict[str, Any], step: int) -> None:
    told = task_view(documents(*TWO, of=facts(try_number=2, last_try=2), **stored))
    assert told["metrics"]["series"]["loss"]["x"] == [step]
    assert told["metrics"]["before"] == {"try_number": 1, "series": {"loss": {"x": [1], "y": [0.5]}}}


def test_an_earlier_try_shows_the_curves_that_stayed_of_it() -> None:
    told = task_view(documents(*TWO, of=facts(try_number=1, last_try=2), kept=SECOND, earlier=FIRST))
    assert told["metrics"]["series"]["loss"]["x"] == [1]
    assert told["metrics"]["before"] is None


@pytest.mark.parametrize("stored", [{}, {"earlier": {"series": 3}}, {"earlier": {"submission_id": "air-0"}}])
def test_what_is_of_no_attempt_before_is_not_shown(stored: dict[str, Any]) -> None:
    told = task_view(documents(*TWO, of=facts(try_number=2, last_try=2), kept=SECOND, **stored))
    assert told["metrics"]["before"] is None


@pytest.mark.parametrize("seed", range(120))
def test_odd_documents_are_shown_as_far_as_they_can_be_read(seed: int) -> None:
    chance = random.Random(seed)
    share = chance.choice([0.02, 0.1, 0.4])
    entry = {"spec": {"kind": "mlflow", "fields": {}}, "state": {"run_id": "1"}}
    stored = {
        "ledger": ledger(attempt(attachments=[]), attempt("FAILED", attachments=[])),
        "progress": {"submission_id": "air-1", "status": "RUNNING", "tasks": {"f": {"RUNNING": 1}}, "message": "m"},
        "live": whole_history(),
        "kept": whole_history(),
        "earlier": FIRST,
        "about": {"submission_id": "air-1", "inputs": [{"name": "x", "schema": {"a": "b"}}], "trackers": [entry]},
        "result": {"model": {"name": "m", "version": 1}, "metrics": {"a": 1.0}},
        "gate": {"passed": True, "why": "better", "name": "m", "version": 2},
        "links": {"ray_dashboard_url": "https://x/", "mlflow_url": "javascript:1"},
    }
    mixed = {name: mangled(value, chance, share) for name, value in stored.items()}
    links = mixed.pop("links")
    told = task_view(TaskDocuments(facts(), **mixed, links=links if isinstance(links, dict) else {}))
    assert json.dumps(told, allow_nan=False, ensure_ascii=False).encode("utf-8")
    assert "javascript:" not in str(told)
    assert "\u202e" not in str(told)


@pytest.mark.parametrize("seed", range(100))
def test_lists_show_odd_documents_as_far_as_they_can_be_read(seed: int) -> None:
    chance = random.Random(seed)
    stored = {
        "ledger": ledger(attempt(attachments=[]), attempt("FAILED", cluster={**CLUSTER, "owned": True})),
        "progress": {"submission_id": "air-1", "status": "RUNNING", "waiting_for": "x", "waiting_since": "y"},
        "live": whole_history(),
    }
    mixed = {name: mangled(value, chance, 0.15) for name, value in stored.items()}
    summary = summary_of(mapping(mangled(whole_history(), chance, 0.15)))
    told = [(TaskDocuments(facts(), **mixed), summary), (TaskDocuments(facts(state="failed"), **mixed), {})]
    views = [
        run_view({"dag_id": "d", "run_id": "r"}, told, 0),
        clusters_view(told, {("d", "r"): "failed"}, 10**9, 0),
        compare_view([compared_run(facts(), mapping(summary.get("last")), mapping(mixed["live"]))]),
    ]
    assert json.dumps(views, allow_nan=False, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize("kept", [{"version": 1, "series": {"loss": [[1, 2.0]]}}, "elsewhere", 5, None])
def test_a_history_that_names_no_job_is_not_taken_for_this_attempts(kept: Any) -> None:
    told = task_view(documents(attempt("SUCCEEDED"), of=facts(state="success"), kept=kept))
    assert "metrics" not in told


def test_the_history_of_another_attempt_is_not_shown() -> None:
    kept = history([{"kind": "metric", "values": {"loss": 0.5}, "step": 1}], "air-0")
    assert "metrics" not in task_view(documents(attempt("SUCCEEDED"), of=facts(state="success"), kept=kept))


def test_of_attachments_nothing_is_told_but_ids() -> None:
    spec = {"kind": "mlflow", "fields": {"experiment": "canary", "mlflow_conn_id": "canary"}}
    entry = {"spec": spec, "state": {"run_id": "abc", "token": "canary"}, "untold": "canary"}
    feast = {"spec": {"kind": "feast", "fields": {"feature_service": "fs", "repo": "canary"}}, "state": {}}
    told = task_view(documents(attempt(attachments=[])))
    assert "tracker" not in told
    stored = {**attempt(), "attachments": [entry, feast], "storage": "canary", "key": {"x": "canary"}}
    told = task_view(documents(stored, links={"mlflow_url": "https://mlflow/"}))
    tracker = {"kind": "mlflow", "run_id": "abc", "url": "https://mlflow/", "model": None, "gate": None}
    assert told["tracker"] == [tracker]
    assert told["features"] == [{"store": "feast", "feature_service": "fs", "features": []}]
    assert "canary" not in str(told)


def test_a_gate_says_whether_a_model_passed_and_why() -> None:
    gate = {"passed": False, "why": "rmse 2 is worse than 1", "name": "delays", "version": "7", "alias": "champion"}
    told = task_view(documents(of=facts(operator="MlflowPromoteOperator"), gate=gate))["tracker"]
    (shown,) = told
    assert shown["gate"] == {"passed": False, "why": "rmse 2 is worse than 1"}
    assert (shown["model"]["name"], shown["model"]["version"]) == ("delays", "7")


def test_a_long_result_is_cut() -> None:
    told = task_view(documents(of=facts(state="success"), result=["ä" * 1000] * 100))["result"]
    assert told["cut"] is True
    assert len(told["text"].encode()) <= MOST_RESULT_BYTES


def test_a_result_that_is_false_or_zero_is_a_result() -> None:
    assert task_view(documents(of=facts(state="success"), result=0))["result"] == 0
    assert task_view(documents(of=facts(state="success"), result=[]))["result"] == []


def test_links_are_those_a_browser_may_follow_known_ones_first() -> None:
    links = {"zeta_url": "https://z/", "mlflow_url": "https://m/", "ray_job_url": "javascript:1", "a_url": None}
    told = task_view(documents(links=links))["links"]
    assert told == [{"label": "MLflow run", "url": "https://m/"}, {"label": "zeta", "url": "https://z/"}]
