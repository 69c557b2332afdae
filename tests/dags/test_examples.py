"""Every example imports cheaply, and runs without an edit, as its lesson says."""

from __future__ import annotations

import ast
import importlib.util
import json
import re
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from example_settings import example_connections

from tests.dags.conftest import DAGS, REPOSITORY, Runner
from tests.requirements import lacking

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1200)]

IMPORT_BUDGET_CPU_SECONDS = 1.0
Outcome = dict[str, Any]


def submit(outcome: Outcome) -> None:
    assert outcome["results"]["primes"] == {"below": 20_000, "primes": 2262}
    assert "2262 primes below 20000" in outcome["log"]


def function(outcome: Outcome) -> None:
    assert 3.1 < outcome["results"]["estimate_pi"] < 3.2


def mapped(outcome: Outcome) -> None:
    assert [outcome["results"][f"ray.count_words[{index}]"] for index in range(4)] == [6, 3, 4, 3]
    assert outcome["results"]["add_up"] == 16
    assert outcome["tasks"]["ray.delete_cluster"] == "success"


def existing(outcome: Outcome) -> None:
    assert outcome["results"]["resources"] == {"CPU": 2.0}


def sensors(outcome: Outcome) -> None:
    assert outcome["results"]["is_done"] == outcome["results"]["another_system"]


def retries(outcome: Outcome) -> None:
    assert outcome["results"]["flaky"] == "done in try 2"
    assert outcome["tries"]["flaky"] == 2


def trained(outcome: Outcome) -> None:
    result = outcome["results"]["train"]
    assert result["history_rows"] == 20
    assert result["best_metrics"]["judge-rmse"] < 40
    assert Path(result["checkpoint"], "model.txt").is_file()


def tuned(outcome: Outcome) -> None:
    assert outcome["results"]["tune"]["trials_total"] == 2
    assert outcome["results"]["show"] == outcome["results"]["tune"]["best_config"]["num_leaves"]


def predicted(outcome: Outcome) -> None:
    result = outcome["results"]["predict"]
    assert 0 < result["rows_written"] == result["rows_read"]
    told = outcome["extras"]["flights://predictions/"]
    assert (told["uri"], told["rows"]) == (result["uri"], result["rows_written"])
    assert "predicted_arr_delay: double" in told["schema"]
    assert re.search(r"/dags/example_09_batch_inference/runs/[^/]+/tasks/predict/plugin/ray$", told["page"])


def trained_each(outcome: Outcome) -> None:
    assert set(outcome["results"]["compare"]) == {"AS", "F9", "HA"}
    runs = [outcome["results"][f"train[{index}]"]["run_name"] for index in range(3)]
    assert len(set(runs)) == 3


def trained_with_torch(outcome: Outcome) -> None:
    result = outcome["results"]["train"]
    assert [row["metrics"]["epoch"] for row in result["history"]] == [0, 1, 2, 3, 4]
    assert result["metrics"]["loss"] < result["history"][0]["metrics"]["loss"]
    assert Path(result["checkpoint"], "model.pt").is_file()


def balanced(outcome: Outcome) -> None:
    result = outcome["results"]["balance"]
    assert result["metrics"]["training_iteration"] == 2
    assert Path(result["checkpoint"]).is_dir()


def deployed(outcome: Outcome) -> None:
    assert outcome["results"]["deploy"]["status"] == "RUNNING"


def rolled_back(outcome: Outcome) -> None:
    assert outcome["tasks"]["deploy_bad"] == "failed"
    assert outcome["results"]["check"]["text"] == "Good morning, Ada!"


def deleted(outcome: Outcome) -> None:
    assert set(outcome["tasks"].values()) == {"success"}


def cleaned(outcome: Outcome) -> None:
    told = outcome["results"]["clean_up"]
    assert (told["failed"], told["outages"]) == (0, {})
    assert told["asked"] >= 3


# How each DAG is run here: a check of its outcome; or why it is not.
EXAMPLES: dict[str, Callable[[Outcome], None]] = {
    "example_01_submit": submit,
    "example_02_function": function,
    "example_03_mapped_functions_in_group": mapped,
    "example_04_existing_cluster": existing,
    "example_05_sensors": sensors,
    "example_06_retries_and_clears": retries,
    "example_07_train": trained,
    "example_08_tune": tuned,
    "example_09_batch_inference": predicted,
    "example_10_mapped_training": trained_each,
    "example_11_torch": trained_with_torch,
    "example_12_rllib": balanced,
    # In this order: they share a serving cluster.
    "example_20_serve_deploy": deployed,
    "example_21_serve_blue_green_rollback": rolled_back,
    "example_22_serve_delete": deleted,
    "example_30_clean_up": cleaned,
}
ELSEWHERE = {
    "flights_delays": "needs Java and minutes: scripts/demo.py runs it (make demo)",
}


def dag_files() -> list[Path]:
    return sorted(path for path in DAGS.glob("*.py"))


@pytest.fixture(scope="module")
def imported(runner: Runner) -> dict[str, Outcome]:
    return {path.name: runner.ask("import", str(path)).result() for path in dag_files()}


def test_every_dag_file_imports_without_error(imported: dict[str, Outcome]) -> None:
    assert {name: found["errors"] for name, found in imported.items() if found["errors"]} == {}


def test_importing_a_dag_file_costs_little(imported: dict[str, Outcome]) -> None:
    costs = {name: round(found["cpu_seconds"], 2) for name, found in imported.items()}
    assert {name: cost for name, cost in costs.items() if cost > IMPORT_BUDGET_CPU_SECONDS} == {}, costs


def test_every_dag_is_run_here_or_says_where(imported: dict[str, Outcome]) -> None:
    found = {dag_id for outcome in imported.values() for dag_id in outcome["dag_ids"]}
    assert found == {*EXAMPLES, *ELSEWHERE}


# Each has a cluster of its own, shares one with its neighbours here, or only looks at one that has an address: they run
# beside those that use the examples' cluster by its name.
ON_THEIR_OWN = (
    "example_03_mapped_functions_in_group",
    "example_04_existing_cluster",
    "example_20_serve_deploy",
    "example_21_serve_blue_green_rollback",
    "example_22_serve_delete",
)


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, imported: dict[str, Outcome], runner: Runner, second_runner: Runner
) -> dict[str, Future[Outcome]]:
    """What becomes of all selected examples, in two lines; nobody's import is measured beside them."""
    calls = [getattr(item, "callspec", None) for item in request.session.items]
    selected = [call.params["dag_id"] for call in calls if call is not None and "dag_id" in call.params]
    runnable = [dag_id for dag_id in selected if not _absent(dag_id)]
    return {dag_id: (second_runner if dag_id in ON_THEIR_OWN else runner).ask("run", dag_id) for dag_id in runnable}


# These take minutes, and tests/e2e/test_workloads.py trains two at once.
LONG = {"example_10_mapped_training", "example_12_rllib"}


# What Ray needs beside itself: `make torch-tests` installs it.
NEEDS = {"example_11_torch": ("torch",), "example_12_rllib": ("torch", "gymnasium")}


def _absent(dag_id: str) -> list[str]:
    return [name for name in NEEDS.get(dag_id, ()) if importlib.util.find_spec(name) is None]


@pytest.mark.parametrize(
    "dag_id", [pytest.param(name, marks=pytest.mark.full) if name in LONG else name for name in EXAMPLES]
)
def test_example_runs_as_it_is(dag_id: str, outcomes: dict[str, Future[Outcome]]) -> None:
    if absent := _absent(dag_id):
        pytest.skip(lacking("torch", f"{' and '.join(absent)} not installed"))
    outcome = outcomes[dag_id].result()
    assert outcome["state"] == "success", f"{outcome['tasks']}\n{outcome['log'][-6000:]}"
    EXAMPLES[dag_id](outcome)


@pytest.mark.parametrize("path", sorted(DAGS.glob("example_*.py")), ids=lambda path: path.stem)
def test_example_begins_with_its_lesson_and_shows_it_in_the_ui(path: Path) -> None:
    text = path.read_text()
    assert text.startswith('"""')
    assert "doc_md=__doc__" in text
    assert f"def {path.stem}(" in text, "the DAG is named like its file"


# What a person types, as docstrings and docs show it.
CONNECTION = re.compile(r"connections add (\w+) --conn-type ray[\\\s]+--conn-extra '([^']+)'")
# What creates or deletes a cluster says which.
NAMES_A_CLUSTER = {"example_03_mapped_functions_in_group", "example_22_serve_delete", "flights_delays"}


def test_what_neither_creates_nor_deletes_a_cluster_names_none() -> None:
    naming = {path.stem for path in dag_files() if "cluster" in _keywords(path)}
    assert naming == NAMES_A_CLUSTER


def test_storage_is_what_one_variable_says() -> None:
    texts = {path.stem: path.read_text() for path in dag_files()}
    read = {stem: set(re.findall(r"var\.\w+\.get\((.+?)\)", text)) for stem, text in texts.items()}
    assert {name for names in read.values() for name in names} == {"'air_examples_storage', '/tmp'"}
    keeping = {path.stem for path in dag_files() if _keywords(path) & {"storage", "output_uri"}}
    assert keeping == {stem for stem, names in read.items() if names}


def test_the_connections_are_told_as_the_demo_and_these_tests_set_them() -> None:
    told = {
        conn_id: json.loads(extra)
        for path in (*dag_files(), REPOSITORY / "docs" / "getting-started.md")
        for conn_id, extra in CONNECTION.findall(path.read_text())
    }
    assert told == {conn_id: fields["extra"] for conn_id, fields in example_connections().items()}


def _keywords(path: Path) -> set[str | None]:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return {keyword.arg for call in calls for keyword in call.keywords}
