"""Names of what runs remotely, and the metadata by which it is found again."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from airflow_provider_air.clusters.naming import cluster_name
from airflow_provider_air.contracts.names import TaskKey
from airflow_provider_air.drivers.wire.names import records_name
from airflow_provider_air.runs.names import check_submission_id, metadata_of, mint_submission_id, owns, run_name
from tests.kinds import parameters
from tests.kinds.metrics import TASKS

KEY = TaskKey("here", "flights", "manual__1", "train")


def test_submission_ids_are_unique_readable_and_fit_for_a_url() -> None:
    ids = {mint_submission_id(KEY, 1, 1) for _ in range(200)}

    assert len(ids) == 200
    assert all(name.startswith("air-flights-train-g1a1-") for name in ids)
    assert "-m7-" in mint_submission_id(TaskKey("here", "d", "r", "t", 7), 1, 1)
    assert len(mint_submission_id(TaskKey("here", "d" * 250, "r", "t" * 250, 7), 12, 12)) < 120


def test_a_run_name_is_stable_over_attempts_and_differs_otherwise() -> None:
    others = [
        TaskKey("there", "flights", "manual__1", "train"),
        TaskKey("here", "flights", "manual__2", "train"),
        TaskKey("here", "flights", "manual__1", "train", 0),
        TaskKey("here", "flights", "manual__1", "tune"),
    ]

    assert run_name(KEY, 1) == run_name(KEY, 1)
    assert len({run_name(KEY, 1), run_name(KEY, 2), *(run_name(other, 1) for other in others)}) == 6


def test_a_task_owns_its_own_jobs_and_no_others() -> None:
    metadata = metadata_of(KEY, generation=1, attempt=1, try_number=2)

    assert owns(KEY, metadata)
    assert not owns(replace(KEY, deployment="there"), metadata)
    assert not owns(replace(KEY, map_index=0), metadata)
    assert not owns(KEY, {})
    assert all(isinstance(value, str) for value in metadata.values())


def test_tasks_of_any_names_never_share_a_job_a_run_or_a_record_of_it() -> None:
    keys = [TaskKey("here", *key) for key in parameters(TASKS)[0]]

    for names in (
        {mint_submission_id(key, 1, 1) for key in keys},
        {run_name(key, 1) for key in keys},
        {str(key) for key in keys},
        {cluster_name(None, key, 40) for key in keys},
    ):
        assert len(names) == len(keys)
    assert [
        key for key in keys for other in keys if owns(key, metadata_of(other, generation=1, attempt=1, try_number=1))
    ] == keys


@pytest.mark.parametrize("key", parameters(TASKS)[0], ids=parameters(TASKS)[1])
def test_names_of_any_task_are_fit_for_files_paths_and_kubernetes(key: tuple[str, str, str, int]) -> None:
    task = TaskKey("here", *key)

    for name in (mint_submission_id(task, 12, 12), run_name(task, 12), cluster_name(None, task, 40)):
        assert re.fullmatch(r"[a-z0-9][a-z0-9-]*[a-z0-9]", name)
        assert len(records_name(name)) < 255
    check_submission_id(mint_submission_id(task, 1, 1))
