"""Objects that an author names in plain fields, made as the signature of their user says."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, Optional, Union

import pytest

from airflow_provider_air.drivers.frame import objects
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem
from tests.unit.drivers.conftest import said

HERE = __name__


class Engine:
    """What others take."""

    def __init__(self, power: int = 1, old: str = "DEPRECATED") -> None:
        if power < 0:
            raise ValueError("power is negative")
        self.power = power


class Called:
    """A class whose objects are called."""

    def __init__(self, by: int = 1) -> None:
        self.by = by

    def __call__(self, value: int) -> int:
        return value + self.by


class Car:
    """Takes what Ray's classes take, of each form."""

    def __init__(  # type: ignore[no-untyped-def]
        self,
        engine: Optional["Engine"] = None,  # noqa: UP037, UP045  # as Ray writes it
        engines: Optional[list[Engine]] = None,  # noqa: UP045
        by_name: Union[Engine, dict[str, Engine], None] = None,  # noqa: UP007
        drive: Callable[[int], int] | None = None,
        kind: type[Engine] | None = None,
        plate: str | None = None,
        split: Literal["all"] | list[str] = "all",
        settings: dict | None = None,  # type: ignore[type-arg]
        extra: dict[str, Any] | None = None,
        unknown=None,
    ) -> None:
        self.given = {name: value for name, value in vars().items() if name != "self"}


ENGINE = Engine(5)


def engine(power: int = 7) -> Engine:
    """Make one."""
    return Engine(power)


def double(value: int) -> int:
    """A function that others take as it is."""
    return 2 * value


def fitted(**args: Any) -> dict[str, Any]:
    return objects.fitted(Car, args, "car")


@pytest.mark.parametrize(
    ("spec", "power"),
    [
        ({"power": 3}, 3),
        ({}, 1),
        (f"{HERE}:ENGINE", 5),
        (f"{HERE}:Engine", 1),
        (f"{HERE}:engine", 7),
        ({"name": f"{HERE}:engine", "args": {"power": 2}}, 2),
        ({"name": engine, "args": {"power": 2}}, 2),
        (engine, 7),
        (Engine, 1),
        (ENGINE, 5),
    ],
)
def test_a_class_of_the_signature_is_made_of_every_form(spec: Any, power: int) -> None:
    made = fitted(engine=spec, engines=[spec], by_name={"front": spec})
    assert made["engine"].power == made["engines"][0].power == made["by_name"]["front"].power == power
    assert fitted(by_name=spec)["by_name"] is not spec or isinstance(spec, Engine)


def test_what_is_meant_as_it_is_stays_so() -> None:
    plain = {
        "plate": "a:b",
        "split": ["train"],
        "settings": {"name": "x"},
        "extra": {"name": "x", "args": {"power": 3}},
        "unknown": "any:thing",
        "engine": None,
        "drive": "fast",
    }
    made = fitted(**plain)
    assert made == {**plain, "unknown": made["unknown"]}
    assert made["unknown"] == "any:thing"
    assert fitted(split="all")["split"] == "all"


@pytest.mark.parametrize("spec", [f"{HERE}:double", f"{HERE}.double", double])
def test_a_function_is_not_called_where_a_function_is_taken(spec: Any) -> None:
    assert fitted(drive=spec)["drive"] is double


def test_a_class_is_made_only_where_its_object_is_taken() -> None:
    assert fitted(drive=f"{HERE}:Called")["drive"](3) == 4
    assert fitted(drive={"name": f"{HERE}:Called", "args": {"by": 2}})["drive"](3) == 5
    assert fitted(kind=f"{HERE}:Engine")["kind"] is Engine


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ({"colour": "red"}, ["car: Car has no 'colour'; it has engine, engines"]),
        ({"engine": {"colour": 1}}, ["car.engine: Engine has no 'colour'; it has power"]),
        ({"engine": {"power": -1}}, ["car.engine: power is negative"]),
        ({"engines": [{}, {"colour": 1}]}, ["car.engines[1]: Engine has no 'colour'"]),
        ({"by_name": {"front": {"colour": 1}}}, ["car.by_name.front: Engine has no 'colour'"]),
        ({"engine": f"{HERE}:nothing"}, ["car.engine", "'nothing'"]),
        ({"drive": f"{HERE}.nothing"}, ["car.drive", "'nothing'"]),
        ({"engine": "V8"}, ["car.engine: 'V8' is no import path"]),
        ({"engine": {"name": f"{HERE}:engine", "args": {"colour": 1}}}, ["car.engine: engine has no 'colour'"]),
    ],
)
def test_what_is_wrong_is_named_by_its_place_with_what_there_is(args: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(ConfigurationProblem) as problem:
        fitted(**args)
    said(words, problem)
    assert "old" not in str(problem.value)


def test_one_object_is_made_of_a_name() -> None:
    assert objects.made(f"{HERE}:engine", "f").power == 7
    assert objects.made({"name": "engine", "args": {"power": 4}}, "f", within=HERE).power == 4
    assert objects.made(f"{HERE}:ENGINE", "f") is ENGINE
    assert objects.called(functools.partial(engine, 6), {}, "f").power == 6
    with pytest.raises(ConfigurationProblem, match="'missing'"):
        objects.made("missing", "f", within=HERE)


# Ray's own, as its classes are written


def test_the_classes_of_ray_train_are_found_by_the_trainers_signature() -> None:
    train = pytest.importorskip("ray.train")
    from ray.train.xgboost import XGBoostConfig, XGBoostTrainer

    made = objects.fitted(
        XGBoostTrainer,
        {
            "xgboost_config": {"xgboost_communicator": "rabit"},
            "dataset_config": {"datasets_to_split": ["train"], "execution_options": {"preserve_order": True}},
            "validation_config": {"fn": f"{HERE}:double", "task_config": {"timeout_s": 3}},
        },
        "trainer_args",
    )
    assert type(made["xgboost_config"]) is XGBoostConfig
    assert type(made["dataset_config"]) is train.DataConfig
    assert made["dataset_config"]._datasets_to_split == ["train"]
    assert made["dataset_config"]._user_execution_options.preserve_order is True
    assert (made["validation_config"].fn, made["validation_config"].task_config.timeout_s) == (double, 3)
    with pytest.raises(ConfigurationProblem, match=r"task_config: ValidationTaskConfig has no 'timeout'; it has fn_kw"):
        objects.fitted(XGBoostTrainer, {"validation_config": {"fn": double, "task_config": {"timeout": 3}}}, "f")


def test_the_run_config_of_train_and_of_tune() -> None:
    train, tune = pytest.importorskip("ray.train"), pytest.importorskip("ray.tune")
    made = objects.fitted(
        train.RunConfig,
        {
            "callbacks": ["ray.train:UserCallback", {"name": "ray.train:UserCallback"}],
            "logging_config": {"log_level": "warning"},
            "worker_runtime_env": {"env_vars": {"A": "1"}},
        },
        "run_config",
    )
    assert [type(callback) for callback in made["callbacks"]] == [train.UserCallback] * 2
    assert (made["logging_config"].log_level, made["worker_runtime_env"]) == ("WARNING", {"env_vars": {"A": "1"}})
    made = objects.fitted(tune.RunConfig, {"callbacks": ["ray.tune:Callback"], "log_to_file": ["a", "b"]}, "run_config")
    assert ([type(callback) for callback in made["callbacks"]], made["log_to_file"]) == ([tune.Callback], ["a", "b"])


def test_the_second_version_of_trains_classes_is_taken_and_not_the_first() -> None:
    jax = pytest.importorskip("ray.train.v2.jax")
    made = objects.fitted(jax.JaxTrainer, {"jax_config": {"use_gpu": True}, "dataset_config": {}}, "trainer_args")
    assert (type(made["jax_config"]), made["jax_config"].use_gpu) == (jax.JaxConfig, True)
