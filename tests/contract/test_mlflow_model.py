"""
What the driver logs of a checkpoint, by the real mlflow into a store of this test's own.

Libraries are imported where a test needs them: each worker of a test run imports all files.
"""

from __future__ import annotations

import importlib
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pandas
import pytest

from airflow_provider_air.drivers.frame.running import Run
from airflow_provider_air.drivers.trackers import mlflow_model, registered
from airflow_provider_air.drivers.wire.names import MLFLOW_MODEL_FILE, RECORDS_DIR
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

FRAME = pandas.DataFrame({"a": [float(i % 13) for i in range(60)], "b": [float(i % 7) for i in range(60)]})
Log = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database of MLflow's, which takes seconds to make."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/mlflow.db"


@pytest.fixture
def by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """A driver's run, which has no payload."""
    monkeypatch.setenv(RECORDS_DIR, str(tmp_path))
    return Run("by-hand", None, None)


@pytest.fixture
def tracked(store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by_hand: Run) -> Log:
    """Give the function that logs a checkpoint as a driver does, with what the tracker has told it."""
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient()
    experiment = client.create_experiment(tmp_path.name, artifact_location=str(tmp_path / "artifacts"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    run_id = client.create_run(experiment).info.run_id

    def log(folder: Path, trainer: str | None = None, **wish: Any) -> dict[str, Any]:
        payload = tmp_path / "payload"
        payload.mkdir(exist_ok=True)
        (payload / MLFLOW_MODEL_FILE).write_text(json.dumps({"run_id": run_id, **wish}))
        by_hand._payload = str(payload)
        mlflow_model.check(by_hand)
        return mlflow_model.log_best(by_hand, {"best_checkpoint": str(folder)}, trainer, {})

    return log


def lightgbm_checkpoint(folder: Path) -> Any:
    import lightgbm

    folder.mkdir()
    data = lightgbm.Dataset(FRAME, FRAME["a"] * 2 + FRAME["b"])
    booster = lightgbm.train({"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5}, data, 5)
    booster.save_model(folder / "model.txt")
    return booster.predict(FRAME)


def xgboost_checkpoint(folder: Path) -> Any:
    import xgboost

    folder.mkdir()
    data = xgboost.DMatrix(FRAME, FRAME["a"] * 2 + FRAME["b"])
    booster = xgboost.train({"nthread": 1, "max_depth": 2}, data, 5)
    booster.save_model(folder / "model.ubj")
    return booster.predict(data)


def linear() -> Any:
    from sklearn.linear_model import LinearRegression  # type: ignore[import-untyped]

    return LinearRegression()


def sklearn_checkpoint(folder: Path) -> Any:
    folder.mkdir()
    model = linear().fit(FRAME, FRAME["a"] * 2 + FRAME["b"])
    (folder / "model.pkl").write_bytes(pickle.dumps(model))
    return model.predict(FRAME)


def saved_checkpoint(folder: Path) -> Any:
    """Leave a checkpoint that the author's loop has saved by mlflow itself."""
    import mlflow

    model = linear().fit(FRAME, FRAME["a"] * 2 + FRAME["b"])
    mlflow.sklearn.save_model(model, folder, signature=mlflow.models.infer_signature(FRAME, model.predict(FRAME)))
    return model.predict(FRAME)


MAKERS: dict[str, Callable[[Path], Any]] = {
    "lightgbm": lightgbm_checkpoint,
    "xgboost": xgboost_checkpoint,
    "sklearn": sklearn_checkpoint,
    "saved": saved_checkpoint,
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_checkpoint_becomes_a_model_that_mlflow_loads_and_that_predicts_the_same(
    tracked: Log, tmp_path: Path, kind: str
) -> None:
    import mlflow

    expected = MAKERS[kind](tmp_path / "checkpoint")

    told = tracked(tmp_path / "checkpoint")
    again = tracked(tmp_path / "checkpoint")

    assert told["flavor"] == ("sklearn" if kind == "saved" else kind), told
    loaded = mlflow.pyfunc.load_model(told["uri"])
    assert numpy.allclose(loaded.predict(FRAME), expected)
    assert told["signature"] is (kind != "sklearn")
    assert again == told, "an attempt that comes after finds what is there"


SCALER = """
import parts.factor
from sklearn.base import BaseEstimator

class Scaler(BaseEstimator):
    def fit(self, frame, y=None):
        return self

    def predict(self, frame):
        return frame["a"] * parts.factor.FACTOR

def load(folder):
    import mlflow

    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return Scaler().predict(model_input)

    return Model()

def load_estimator(folder):
    return Scaler()
"""
# A person's own process, which has nothing of the job.
LOAD = (
    "import sys, mlflow, pandas; print(*mlflow.pyfunc.load_model(sys.argv[1]).predict(pandas.DataFrame({'a': [1.0]})))"
)


@pytest.fixture
def working_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A job's code folder: a module that needs one of a package without __init__.py."""
    folder = tmp_path / "code"
    (folder / "parts").mkdir(parents=True)
    (folder / "parts" / "factor.py").write_text("FACTOR = 7")
    (folder / "scaling.py").write_text(SCALER)
    (folder / "parts" / "loading.py").write_text("from scaling import load")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] in ("scaling", "parts", "late")]:
        del sys.modules[name]


FULL = [
    pytest.param(path, marks=pytest.mark.full) for path in ("parts.loading:load", "scaling:load_estimator", "lambda")
]


@pytest.mark.parametrize("flavor", ["scaling:load", None, *FULL])
def test_the_authors_code_travels_with_the_model(
    tracked: Log, tmp_path: Path, working_dir: Path, flavor: str | None
) -> None:
    (tmp_path / "checkpoint").mkdir()
    if flavor in (None, "lambda"):
        import cloudpickle

        estimator = importlib.import_module("scaling").Scaler()
        if flavor:
            estimator.twice = lambda frame: 2 * estimator.predict(frame)
        (tmp_path / "checkpoint" / "model.pkl").write_bytes(cloudpickle.dumps(estimator))
        flavor = None

    told = tracked(tmp_path / "checkpoint", **({"flavor": flavor} if flavor else {}))

    command = [sys.executable, "-c", LOAD, told.get("uri", str(told))]
    assert subprocess.check_output(command, cwd=tmp_path, text=True).strip() == "7.0"


def test_a_model_that_loads_in_the_code_folder_alone_is_not_said_to_be_one(
    tracked: Log, tmp_path: Path, working_dir: Path
) -> None:
    (working_dir / "late.py").write_text("FACTOR = 7")
    late = "class Model(mlflow.pyfunc.PythonModel):\n    def load_context(self, context):\n        import late\n"
    (working_dir / "scaling.py").write_text(
        f"import mlflow\n\n{late}    def predict(self, context, model_input):\n        return 0\n"
    )
    (tmp_path / "checkpoint").mkdir()

    told = tracked(tmp_path / "checkpoint", flavor="scaling:Model")

    assert (
        "outside of the job's code folder it cannot be loaded: ModuleNotFoundError: No module named 'late'"
        in told["why"]
    )


def test_an_example_of_the_authors_gives_a_signature(tracked: Log, tmp_path: Path) -> None:
    import mlflow

    sklearn_checkpoint(tmp_path / "checkpoint")

    told = tracked(tmp_path / "checkpoint", input_example=FRAME.head(3).to_dict(orient="records"))

    assert told["signature"] is True, told
    assert mlflow.models.get_model_info(told["uri"]).signature.inputs.input_names() == ["a", "b"]


@pytest.mark.parametrize(
    ("wish", "trainer", "why"),
    [
        ({}, None, "none of model.txt, model.ubj"),
        ({}, "torch", "flavor='module:function'"),
        ({}, "lightgbm", "none of model.txt;"),
        ({"flavor": "xgboost"}, None, "none of model.ubj, model.json;"),
        ({"flavor": "checkpoint"}, "lightgbm", "its author wants it so"),
        ({"flavor": "json:loads"}, None, "Expecting value"),
        ({"flavor": "os.path:exists"}, None, "flavor of a builtins.bool is not known"),
    ],
)
def test_what_cannot_be_logged_costs_nothing_and_says_why(
    tracked: Log, tmp_path: Path, wish: dict[str, Any], trainer: str | None, why: str
) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "checkpoint" / "state.bin").touch()

    told = tracked(tmp_path / "checkpoint", trainer, **wish)

    assert why in told["why"]
    assert "id" not in told


def test_without_mlflow_a_named_flavor_is_refused_before_the_work_and_any_other_is_a_bare_checkpoint(
    tracked: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lightgbm_checkpoint(tmp_path / "checkpoint")
    monkeypatch.setattr(mlflow_model.importlib.util, "find_spec", lambda name: None)  # type: ignore[attr-defined]

    assert tracked(tmp_path / "checkpoint")["why"] == "mlflow is not installed on the cluster"
    with pytest.raises(ConfigurationProblem) as problem:
        tracked(tmp_path / "checkpoint", flavor="lightgbm")
    said(["tracker.flavor", "mlflow", "pip"], problem)


def said(words: list[str], problem: pytest.ExceptionInfo[ConfigurationProblem]) -> None:
    """Check that the problem's message holds all these words."""
    assert [word for word in words if word not in str(problem.value)] == [], problem.value


def test_nothing_is_logged_where_nothing_is_to_be_registered(by_hand: Run) -> None:
    assert mlflow_model.log_best(by_hand, {"best_checkpoint": "/nowhere"}, "lightgbm", {}) == {}


@pytest.fixture
def versions(tracked: Log, tmp_path: Path) -> dict[str, str]:
    """Two versions: a model of MLflow's that is the champion, and a bare checkpoint."""
    import mlflow

    lightgbm_checkpoint(tmp_path / "checkpoint")
    client, told, name = mlflow.MlflowClient(), tracked(tmp_path / "checkpoint"), f"m-{tmp_path.name}"
    client.create_registered_model(name)
    client.create_model_version(name, told["uri"], model_id=told["id"])
    bare = str(tmp_path / "checkpoint")
    client.create_model_version(name, bare, tags={"air.format": "checkpoint", "air.format.why": "no flavor"})
    client.set_registered_model_alias(name, "champion", "1")
    return {"model": told["uri"], "bare": bare, "name": f"models:/{name}"}


def test_an_alias_is_one_version_for_all_actors(versions: dict[str, str]) -> None:
    name = versions["name"]
    assert registered.pinned(f"{name}@champion", "lightgbm", "checkpoint") == f"{name}/1"
    assert registered.pinned(f"{name}/1", None, "checkpoint") == f"{name}/1"
    assert registered.pinned(f"{name}/latest", "lightgbm", "checkpoint") == versions["bare"]
    assert registered.pinned(versions["model"], "mlflow", "checkpoint") == versions["model"]


def test_a_version_is_loaded_as_the_librarys_own_model(versions: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    folder = registered.download(f"{versions['name']}/1", str(tmp_path / "there"))

    assert registered.saved_in(folder, "lightgbm").feature_name() == ["a", "b"]
    assert registered.saved_in(versions["bare"], "lightgbm") is None


@pytest.mark.parametrize(
    ("uri", "flavor", "words"),
    [
        ("{name}/7", None, ["checkpoint: the model ", "/7", "not found"]),
        ("models:/nobody@champion", None, ["models:/nobody@champion"]),
        ("{name}/1", "xgboost", ["has the flavors lightgbm, python_function, and not xgboost"]),
        ("{name}/2", "mlflow", ["a checkpoint as it is", "no flavor"]),
    ],
)
def test_what_cannot_be_loaded_is_said_before_any_actor_starts(
    versions: dict[str, str], uri: str, flavor: str | None, words: list[str]
) -> None:
    with pytest.raises(ConfigurationProblem) as problem:
        registered.pinned(uri.format(name=versions["name"]), flavor, "checkpoint")
    said(words, problem)


def test_a_registry_that_nobody_has_named_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    with pytest.raises(ConfigurationProblem) as problem:
        registered.pinned("models:/delays/1", None, "checkpoint")
    said(["checkpoint", "tracker=MlflowTracker(...)"], problem)
