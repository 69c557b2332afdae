"""What operators refuse of their fields."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.log import mask_secret
from jinja2.sandbox import SandboxedEnvironment

from airflow_provider_air.contracts.jobs import PreparedJob
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.operators.fields import check_limit, check_secrets, check_sent, read_numbers
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.operators.tune import RayTuneOperator
from airflow_provider_air.ray_api.models import JobSubmission


@pytest.mark.parametrize(
    "value",
    ["--token sesame-1234", {"a": {"b": ["sesame-1234"]}}, {"sesame-1234": "x"}, ("x", ["sesame-1234"])],
    ids=str,
)
def test_a_secret_is_found_wherever_it_hides(value: Any) -> None:
    mask_secret("sesame-1234")

    with pytest.raises(ConfigurationError, match="'field'") as raised:
        check_secrets({"field": value})
    assert "sesame-1234" not in str(raised.value)


def test_what_only_looks_like_a_secret_is_let_through() -> None:
    check_secrets({"password": "plain words", "runtime_env": {"env_vars": {"TOKEN_COUNT": "12"}}, "n": 3, "x": None})


def test_what_is_sent_is_looked_through_but_for_the_names_of_task_and_attempt() -> None:
    mask_secret("sesame-1234")
    ours = {"air_task": '{"dag_id": "sesame-1234"}'}

    check_sent(PreparedJob(JobSubmission("air-sesame-1234-x", "true", {}, ours)))
    for submission in (
        JobSubmission("x", "echo sesame-1234"),
        JobSubmission("x", "true", {"env_vars": {"TOKEN": "sesame-1234"}}),
        JobSubmission("x", "true", {}, {**ours, "note": "sesame-1234"}),
        JobSubmission("x", "true", entrypoint_label_selector={"a": "sesame-1234"}),
    ):
        with pytest.raises(ConfigurationError, match="holds a secret"):
            check_sent(PreparedJob(submission))
    with pytest.raises(ConfigurationError, match=r"'config' holds a secret .*applications\.args\.token"):
        check_sent(
            PreparedJob(JobSubmission("x", "true"), rollout={"applications": [{"args": {"token": "sesame-1234"}}]})
        )


@pytest.mark.parametrize("limit", [0, -1, True, "2", 1.5])
def test_a_wrong_limit_is_refused(limit: Any) -> None:
    """A limit of 0 would let all its jobs wait for ever."""
    with pytest.raises(ConfigurationError, match="max_concurrent_jobs"):
        check_limit(limit)


def rendered(task: Any, **params: Any) -> Any:
    """Render a task's fields as Airflow does, and let it read its numbers."""
    task.render_template_fields({"params": params}, SandboxedEnvironment())
    read_numbers(task)
    return task


def test_numbers_may_come_from_templates() -> None:
    reserved: dict[str, Any] = {
        "entrypoint_num_cpus": "{{ params.cpus }}",
        "entrypoint_memory": "{{ params.memory }}",
        "entrypoint_resources": {"tpu": "{{ params.cpus }}"},
        "entrypoint_label_selector": {"zone": "1"},
    }
    submit = rendered(RaySubmitJobOperator(task_id="a", entrypoint="true", **reserved), cpus=0.5, memory=1024)
    assert (submit.entrypoint_num_cpus, submit.entrypoint_memory) == (0.5, 1024)
    assert (submit.entrypoint_resources, submit.entrypoint_label_selector) == ({"tpu": 0.5}, {"zone": "1"})

    searched: dict[str, Any] = {
        "metric": "{{ params.metric }}",
        "num_samples": "{{ params.samples }}",
        "time_budget_seconds": " {{ params.budget }} ",
        "scaling_config": {"num_workers": "{{ params.samples }}", "label_selector": {"rack": "7"}},
    }
    operator = RayTuneOperator(
        task_id="b", param_space={"lr": "0.1"}, mode="min", trainable="tune:objective", **searched
    )
    tune = rendered(operator, metric="rmse", samples=20, budget="1e3")
    assert (tune.num_samples, tune.time_budget_seconds, tune.metric) == (20, 1000.0, "rmse")
    assert tune.scaling_config == {"num_workers": 20, "label_selector": {"rack": "7"}}
    # The author's own values are no numbers of Ray's.
    assert tune.param_space == {"lr": "0.1"}


def test_what_is_no_number_stays_as_it_was_written() -> None:
    wrong: dict[str, Any] = {"num_samples": "many"}

    tune = RayTuneOperator(task_id="b", param_space={}, metric="m", mode="min", trainable="t:t", **wrong)
    assert rendered(tune).num_samples == "many"


def test_a_weak_password_is_no_secret_where_it_names_a_host_or_an_owner() -> None:
    mask_secret("airflow-pw")
    variables = {
        "AIR_CONTEXT": "AIRFLOW_CTX_DAG_OWNER",
        "AIRFLOW_CTX_DAG_OWNER": "airflow-pw",
        "MLFLOW_TRACKING_URI": "http://airflow-pw:5000/path",
    }

    check_sent(PreparedJob(JobSubmission("x", "true", {"env_vars": variables})))
    for shown in ("http://mlflow:5000/airflow-pw", "http://airflow-pw@mlflow:5000", "airflow-pw"):
        with pytest.raises(ConfigurationError, match=r"env_vars\.URI"):
            check_sent(PreparedJob(JobSubmission("x", "true", {"env_vars": {"URI": shown}})))
