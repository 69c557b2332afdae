"""What operators refuse of their fields."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.exceptions import AirflowFailException
from airflow.sdk.log import mask_secret

import airflow_provider_air
from airflow_provider_air.clusters.local.spec import LocalCluster
from airflow_provider_air.connections.ports import read_fields
from airflow_provider_air.contracts.jobs import PreparedJob
from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.operators.batch_inference import RayBatchInferenceOperator
from airflow_provider_air.operators.fields import check_limit, check_secrets, check_sent, redacted
from airflow_provider_air.operators.serve import RayServeDeployOperator
from airflow_provider_air.operators.submit import RaySubmitJobOperator
from airflow_provider_air.operators.train import RayTrainOperator
from airflow_provider_air.operators.tune import RayTuneOperator
from airflow_provider_air.ray_api.models import JobSubmission
from airflow_provider_air.workloads.entrypoint import command_of
from airflow_provider_air.workloads.smoke import SmokeTest
from tests.fakes.task_context import Store, task_context
from tests.given_code import Templated
from tests.kinds import parameters
from tests.kinds.code import KINDS

PUBLIC: list[Any] = [getattr(airflow_provider_air, name) for name in airflow_provider_air.__all__]
OPERATORS: list[type[BaseOperator]] = [
    kind for kind in PUBLIC if inspect.isclass(kind) and issubclass(kind, BaseOperator)
]


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


@pytest.mark.parametrize(
    ("submission", "place"),
    [
        (JobSubmission("x", "curl https://me:sesame@host"), "'entrypoint'"),
        (JobSubmission("x", "true", {}, {"source": "https://sesame@host/x"}), r"'metadata' .*\(source\)"),
        *(
            (JobSubmission("x", "true", {"env_vars": {name: value}}), rf"'runtime_env' .*\(env_vars\.{name}\)")
            for name, value in {
                "DATABASE": "postgresql://me:sesame@db/x",
                "HTTPS_PROXY": "http://me:sesame@proxy:3128",
                "https_proxy": "me:sesame@proxy:3128",
                "BROKERS": "http://a:1,http://me:sesame@b:2",
                "SLASHED": "http://me:ses/ame-sesame@b",
            }.items()
        ),
        *(
            (JobSubmission("x", "true", {kind: option}), rf"'runtime_env' .*\({kind}")
            for kind, option in [
                ("pip", ["--extra-index-url https://me:sesame@host/simple"]),
                ("pip", {"packages": ["a @ git+https://sesame@github.com/o/r"]}),
                ("uv", {"packages": ["a"], "uv_pip_install_options": ["--index-url=https://sesame@host/simple"]}),
                ("conda", {"dependencies": ["pip", {"pip": ["--index-url https://me:sesame@host/simple"]}]}),
            ]
        ),
    ],
)
def test_credentials_in_an_address_are_refused_in_all_that_ray_shows(submission: JobSubmission, place: str) -> None:
    with pytest.raises(ConfigurationError, match=place) as raised:
        check_sent(PreparedJob(submission))
    assert "sesame" not in str(raised.value)


def test_addresses_without_credentials_are_sent() -> None:
    environment = {
        "pip": ["--extra-index-url https://me:${INDEX_TOKEN}@host/simple", "a @ git+https://git@github.com/o/r@v1"],
        "env_vars": {
            "HTTPS_PROXY": "${U}:${PW}@proxy:3128",
            "http_proxy": "http://proxy:3128",
            "NO_PROXY": "a,b:1",
            "DATABASE": "postgresql://app:${PW:-x}@db/x",
            "MONGO": "mongodb://h1:27017,h2:27017/db?x=a@b",
        },
    }

    check_sent(PreparedJob(JobSubmission("x", "curl http://host:${PORT}/a@b", environment, {"mail": "me@host"})))


def test_what_only_looks_like_a_secret_is_let_through() -> None:
    check_secrets({"password": "plain words", "runtime_env": {"env_vars": {"TOKEN_COUNT": "12"}}, "n": 3, "x": None})


def test_what_is_sent_is_looked_through_but_for_the_names_of_task_and_attempt() -> None:
    mask_secret("sesame-1234")
    ours = {"air_task": '{"dag_id": "sesame-1234"}'}

    check_sent(PreparedJob(JobSubmission("air-sesame-1234-x", "true", {}, ours)))
    for submission in (
        JobSubmission("x", "echo sesame-1234"),
        JobSubmission("x", "true", {}, {"air_quality": "sesame-1234"}),
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


@pytest.mark.parametrize(
    "address",
    [
        "jdbc:sqlserver://db:1433;user=sa;password={}",
        "https://hooks.example.com?token={}",
        "https://hooks.example.com#{}",
        "redis://cache:6379,password={}",
        "amqp://[::1]:5672?password={}",
        "redis://cache:{}",
    ],
)
def test_a_secret_right_behind_a_host_is_no_part_of_its_name(address: str) -> None:
    mask_secret("sesame-1234")
    shown = address.format("sesame-1234")

    for submission in (
        JobSubmission("x", f"run {shown}"),
        JobSubmission("x", "true", {"env_vars": {"URI": shown}}),
    ):
        with pytest.raises(ConfigurationError, match="holds a secret"):
            check_sent(PreparedJob(submission))


def test_quotes_hide_nothing_in_a_list_of_words() -> None:
    mask_secret("it's-sesame")

    for words, found in ((["run", "it's-sesame"], "a secret"), (["run", "https://me:it's@index"], "an address")):
        with pytest.raises(ConfigurationError, match=f"'entrypoint' holds {found}"):
            check_sent(PreparedJob(JobSubmission("x", command_of(words))))
    check_sent(PreparedJob(JobSubmission("x", command_of(["run", "it's", "https://me:${TOKEN}@index"]))))
    check_sent(PreparedJob(JobSubmission("x", "cat <<END\nit's\nEND")))


def test_trackers_note_settings_without_credentials() -> None:
    mask_secret("sesame-1234")
    settings = {
        "train_loop_config": {"database_url": "postgresql://me:sesame@db/x", "lr": 0.1, "note": "sesame-1234"},
        "datasets": {"train": ["s3://bucket/a@b", ("https://sesame@h/x", None)]},
        "https_proxy": "me:sesame@proxy:3128",
    }

    assert redacted(settings) == {
        "train_loop_config": {"database_url": "postgresql://***@db/x", "lr": 0.1, "note": "***"},
        "datasets": {"train": ["s3://bucket/a@b", ["https://***@h/x", None]]},
        "https_proxy": "***",
    }


@pytest.mark.parametrize("limit", [0, -1, True, "2", 1.5])
def test_a_wrong_limit_is_refused(limit: Any) -> None:
    """A limit of 0 would let all its jobs wait for ever."""
    with pytest.raises(ConfigurationError, match="max_concurrent_jobs"):
        check_limit(limit)


def rendered(task: Any, **params: Any) -> Any:
    """Render a task's fields as Airflow does, and let it read its numbers."""
    task.render_template_fields({"params": params}, task.get_template_env() if task.has_dag() else None)
    read_fields(task)
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


def test_the_numbers_of_data_sets_are_read_and_nothing_else_in_them() -> None:
    data: Any = {
        "uri": "/{{ params.samples }}",
        "options": {"delimiter": "1"},
        "split": {"valid": "{{ params.share }}"},
        "seed": "{{ params.samples }}",
    }
    train = RayTrainOperator(task_id="b", train_loop="t:t", datasets={"2026": data})
    found = rendered(train, samples=20, share=0.1).datasets["2026"]
    assert found == {"uri": "/20", "options": {"delimiter": "1"}, "split": {"valid": 0.1}, "seed": 20}
    output: Any = {"uri": "/o", "columns": ["1"], "max_rows_per_file": "{{ params.samples }}"}
    infer = RayBatchInferenceOperator(task_id="b", predictor="p:p", input_uri="/i", output_uri=output)
    assert rendered(infer, samples=20).output_uri == {"uri": "/o", "columns": ["1"], "max_rows_per_file": 20}


def test_numbers_inside_of_stoppers_and_of_elastic_runs_may_come_from_templates() -> None:
    operator = RayTuneOperator(
        task_id="b",
        param_space={},
        metric="m",
        mode="min",
        train_loop="t:t",
        stop=[{"loss": "{{ params.loss }}"}, {"name": "TrialPlateauStopper", "args": {"std": "{{ params.std }}"}}],
        scaling_config={"num_workers": ("{{ params.least }}", 4)},
    )
    tune = rendered(operator, loss=0.1, std=0.5, least=2)
    assert tune.stop == [{"loss": 0.1}, {"name": "TrialPlateauStopper", "args": {"std": 0.5}}]
    assert tune.scaling_config == {"num_workers": [2, 4]}


def test_what_is_no_number_stays_as_it_was_written() -> None:
    wrong: dict[str, Any] = {"num_samples": "many"}

    tune = RayTuneOperator(task_id="b", param_space={}, metric="m", mode="min", trainable="t:t", **wrong)
    assert rendered(tune).num_samples == "many"


TEMPLATED = {name: one for one, name in zip(*parameters(KINDS), strict=True) if isinstance(one, Templated)}
# What the operators of the table need beside the field that a template fills.
NEEDED: dict[str, dict[str, Any]] = {
    "RayTuneOperator": {"param_space": {}, "metric": "m", "mode": "min", "trainable": "t:t"},
    "RayTrainOperator": {"train_loop": "t:t"},
    "RayRLlibOperator": {"algorithm": "PPO", "environment": "CartPole-v1", "stop": {}},
    "RayBatchInferenceOperator": {"predictor": "p:p", "input_uri": "s3://b/i", "output_uri": "s3://b/o"},
    "RaySubmitJobOperator": {"entrypoint": "true"},
    "RayStopJobOperator": {"submission_id": "x"},
    "RayServeScaleOperator": {"application": "a", "replicas": {}},
    "RayServeDeleteOperator": {"application": "a"},
    "TectonMaterializeOperator": {"workspace": "w", "feature_view": "f", "start": "2026-01-01", "end": "2026-01-02"},
    "MlflowPromoteOperator": {"model_name": "m", "metric": "r", "mode": "min"},
    "MlflowModelSensor": {"model_name": "m"},
    "TectonReadySensor": {"workspace": "w", "feature_view": "f"},
    "RayGetJobOperator": {"submission_id": "x"},
    "RayDeleteJobOperator": {"submission_id": "x"},
    "RayJobSensor": {"submission_id": "x"},
    "RayServeSensor": {"application": "a"},
    "FeastApplyOperator": {"repo": "r"},
    "FeastJoinOperator": {"repo": "r", "feature_service": "f", "output_uri": "s3://b/o"},
    "FeastMaterializeOperator": {"repo": "r"},
    "FeastFreshnessSensor": {"repo": "r"},
    "WandbSyncOperator": {"offline_dir": "/w"},
    "RayCreateClusterOperator": {"cluster": None},
    "RayDeleteClusterOperator": {"cluster": None},
}


@pytest.mark.parametrize("one", TEMPLATED.values(), ids=TEMPLATED.keys())
def test_a_template_means_what_the_field_is(one: Templated) -> None:
    fields = {**NEEDED.get(one.operator, {}), one.name: one.template}
    with DAG("d", schedule=None, render_template_as_native_obj=one.is_native):
        task = getattr(airflow_provider_air, one.operator)(task_id="a", **fields)

    found = getattr(rendered(task, n=4, yes=True, day=20261129 if one.is_native else "20261129"), one.name)

    assert (found, type(found)) == (one.becomes, type(one.becomes))


def test_a_template_means_what_the_field_is_in_clusters_and_smoke_tests() -> None:
    number: Any = "{{ params.n }}"
    task = RaySubmitJobOperator(
        task_id="a", entrypoint="true", cluster=LocalCluster(num_cpus=number, ttl_seconds=number)
    )
    cluster = rendered(task, n=4).cluster
    assert (cluster.num_cpus, cluster.ttl_seconds) == (4, 4)

    deploy = RayServeDeployOperator(task_id="b", import_path="m:a", smoke_test={"default": SmokeTest(samples=number)})
    assert rendered(deploy, n=4).smoke_test["default"].samples == 4


@pytest.mark.parametrize("text", ["maybe", "", "1"])
def test_a_text_that_is_no_truth_value_names_its_field(text: str) -> None:
    wait: Any = "{{ params.text }}"
    with pytest.raises(ConfigurationError, match="'wait' must be True or False"):
        rendered(RaySubmitJobOperator(task_id="a", entrypoint="true", wait=wait), text=text)


def test_without_native_rendering_a_number_is_no_text() -> None:
    metadata: Any = {"team": 1}
    assert rendered(RaySubmitJobOperator(task_id="a", entrypoint="true", metadata=metadata)).metadata == {"team": 1}


@pytest.mark.parametrize("kind", OPERATORS, ids=[kind.__name__ for kind in OPERATORS])
def test_each_reads_what_its_templates_gave_before_anything_else(kind: type[BaseOperator], store: Store) -> None:
    needed = NEEDED.get(kind.__name__, {})
    task: Any = kind(task_id="a", **needed)
    task.template_fields, task.clean = ("clean",), "maybe"

    with pytest.raises((AirflowFailException, ConfigurationError), match="'clean' must be True or False"):
        task.execute(task_context(store))


# Airflow decides by them where the DAG is parsed; and what may be a function it would call where it is templated.
NOT_TEMPLATED = {"deferrable", "predictor", "train_loop", "trainable", "python_callable", "op_args", "op_kwargs"} | {
    "skip_on_exit_code"
}


@pytest.mark.parametrize("kind", OPERATORS, ids=[kind.__name__ for kind in OPERATORS])
def test_whatever_a_person_would_template_can_be(kind: type[BaseOperator]) -> None:
    own = [
        base for base in kind.__mro__ if base.__module__.startswith("airflow_provider_air") and "__init__" in vars(base)
    ]
    names = {name for base in own for name in inspect.signature(base).parameters} - {"kwargs"}

    assert names - set(kind.template_fields) - NOT_TEMPLATED == set()


def test_a_weak_password_is_no_secret_where_it_names_a_host_or_an_owner() -> None:
    mask_secret("airflow-pw")
    variables = {
        "AIRFLOW_CTX_DAG_OWNER": "airflow-pw",
        "MLFLOW_TRACKING_URI": "http://airflow-pw:5000/path",
        "SERVERS": '{"a":"http://airflow-pw:5000","b":"redis://airflow-pw"} grpc://airflow-pw:80,other:80',
    }

    check_sent(
        PreparedJob(JobSubmission("x", "true", {"env_vars": variables}), context_names=("AIRFLOW_CTX_DAG_OWNER",))
    )
    for shown in ("http://mlflow:5000/airflow-pw", "http://airflow-pw@mlflow:5000", "airflow-pw"):
        with pytest.raises(ConfigurationError, match=r"env_vars\.URI"):
            check_sent(PreparedJob(JobSubmission("x", "true", {"env_vars": {"URI": shown}})))
