"""
Models in folders as their libraries, Ray's callbacks, MLflow and people leave them.

Libraries are imported where a test needs them: each worker of a test run imports all files.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pytest

from airflow_provider_air.drivers.batch_inference import pool, predictors
from airflow_provider_air.drivers.batch_inference.predictors import CategoriesMissing, ColumnsMissing, ModelMissing

X = pandas.DataFrame({"a": numpy.arange(60.0), "b": numpy.arange(60.0) % 7})
Y = X["a"] * 3 + X["b"]
# Ids that the model does not take, and a null where trees take one.
INPUT = pyarrow.table(
    {"id": pyarrow.array([2**60 + 1, None]), "b": pyarrow.array([1, None]), "a": pyarrow.array([2.0, 3.0])}
)


def booster() -> Any:
    import lightgbm

    return lightgbm.train({"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 2}, lightgbm.Dataset(X, Y), 3)


def trees() -> Any:
    import xgboost

    return xgboost.train({"nthread": 1}, xgboost.DMatrix(X, Y), 3)


def linear() -> Any:
    from sklearn.linear_model import LinearRegression  # type: ignore[import-untyped]

    return LinearRegression().fit(X, Y)


def dump_by_joblib(model: Any, file: Any) -> None:
    import joblib  # type: ignore[import-untyped]

    joblib.dump(model, file)


def predicted(name: str, folder: Path, given: pyarrow.Table = INPUT, **args: Any) -> pyarrow.Table:
    target, _ = predictors.PREDICTORS[name]
    return pool.Predict(target, str(folder), args, "pandas")(given)


@pytest.mark.parametrize(
    ("name", "file", "save"),
    [
        ("lightgbm", "model.txt", lambda path: booster().save_model(path)),
        ("xgboost", "model.ubj", lambda path: trees().save_model(path)),
        ("xgboost", "model.json", lambda path: trees().save_model(path)),
    ],
)
def test_a_booster_is_found_by_its_usual_names(
    name: str, file: str, save: Callable[[Any], Any], tmp_path: Path
) -> None:
    save(tmp_path / file)
    found = predicted(name, tmp_path)
    assert found.column("prediction").null_count == 0
    assert found.select(["id", "b", "a"]) == INPUT


def test_the_predictions_are_the_libraries_own(tmp_path: Path) -> None:
    import xgboost

    booster().save_model(tmp_path / "model.txt")
    trees().save_model(tmp_path / "model.ubj")
    given = pyarrow.Table.from_pandas(X, preserve_index=False)
    assert numpy.allclose(predicted("lightgbm", tmp_path, given).column("prediction"), booster().predict(X))
    assert numpy.allclose(
        predicted("xgboost", tmp_path, given).column("prediction"), trees().predict(xgboost.DMatrix(X))
    )


@pytest.mark.parametrize(
    ("file", "dump"), [("model.pkl", pickle.dump), ("model.joblib", dump_by_joblib), ("model.pickle", pickle.dump)]
)
def test_an_estimator_is_found_by_its_usual_names(file: str, dump: Callable[[Any, Any], Any], tmp_path: Path) -> None:
    with (tmp_path / file).open("wb") as stream:
        dump(linear(), stream)
    given = pyarrow.Table.from_pandas(X, preserve_index=False)
    assert numpy.allclose(predicted("sklearn", tmp_path, given).column("prediction"), Y)


def test_a_pipeline_takes_texts_and_nulls_and_gives_several_numbers_a_row(tmp_path: Path) -> None:
    import sklearn.linear_model  # type: ignore[import-untyped]
    import sklearn.pipeline  # type: ignore[import-untyped]
    import sklearn.preprocessing  # type: ignore[import-untyped]

    frame = pandas.DataFrame({"kind": ["a", "b", None, "a"]}, dtype=object)
    steps = sklearn.pipeline.make_pipeline(
        sklearn.preprocessing.OneHotEncoder(handle_unknown="ignore"), sklearn.linear_model.LogisticRegression()
    ).fit(frame, ["x", "y", "y", "x"])
    dump_by_joblib(steps, tmp_path / "model.joblib")
    given = pyarrow.table({"kind": ["a", None]})
    assert predicted("sklearn", tmp_path, given).column("prediction").to_pylist() == ["x", "y"]
    found = predicted("sklearn", tmp_path, given, method="predict_proba", output_column="p").column("p")
    assert [len(row) for row in found.to_pylist()] == [2, 2]
    assert found.type == pyarrow.list_(pyarrow.float64())


@pytest.mark.parametrize(
    ("name", "flavor", "key", "file", "save"),
    [
        ("lightgbm", "lightgbm", "data", "best.lgb", lambda path: booster().save_model(path)),
        ("xgboost", "xgboost", "data", "best.json", lambda path: trees().save_model(path)),
        ("sklearn", "sklearn", "pickled_model", "best.pkl", lambda path: path.write_bytes(pickle.dumps(linear()))),
    ],
)
def test_a_model_in_mlflows_format_names_its_file(
    name: str, flavor: str, key: str, file: str, save: Callable[[Any], Any], tmp_path: Path
) -> None:
    save(tmp_path / file)
    (tmp_path / "MLmodel").write_text(f"flavors:\n  python_function: {{}}\n  {flavor}:\n    {key}: {file}\n")
    given = pyarrow.Table.from_pandas(X, preserve_index=False)
    assert predicted(name, tmp_path, given).num_rows == len(X)


def test_a_file_of_another_name_is_named_by_the_author(tmp_path: Path) -> None:
    trees().save_model(tmp_path / "final.json")
    with pytest.raises(ModelMissing, match=r"no model\.ubj or model\.json .* which holds final\.json"):
        predicted("xgboost", tmp_path)
    assert predicted("xgboost", tmp_path, file="final.json").num_rows == 2


def test_of_several_classes_the_prediction_is_a_list(tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    classes = numpy.arange(60) % 3
    lightgbm.train(
        {"objective": "multiclass", "num_class": 3, "verbosity": -1, "num_threads": 1}, lightgbm.Dataset(X, classes), 2
    ).save_model(tmp_path / "model.txt")
    xgboost.train(
        {"objective": "multi:softprob", "num_class": 3, "nthread": 1}, xgboost.DMatrix(X, classes), 2
    ).save_model(tmp_path / "model.ubj")
    for name in ("lightgbm", "xgboost"):
        found = predicted(name, tmp_path).column("prediction")
        assert [sum(row) for row in found.to_pylist()] == [pytest.approx(1)] * 2
        assert found.type in (pyarrow.list_(pyarrow.float64()), pyarrow.list_(pyarrow.float32()))


AB = [("a", 1.5), ("b", 2.5)]
STRUCT = pyarrow.struct([("label", pyarrow.string()), ("0", pyarrow.float64())])


@pytest.mark.parametrize(
    ("gives", "kind", "expected"),
    [
        (pandas.DataFrame({0: [1.5, 2.5]}, index=[7, 8]), pyarrow.float64(), [1.5, 2.5]),
        (pandas.DataFrame({"label": ["a", "b"], 0: [1.5, 2.5]}), STRUCT, [{"label": n, "0": p} for n, p in AB]),
        (pandas.Series([1, None], index=[7, 8], dtype="Int64"), pyarrow.int64(), [1, None]),
        (numpy.array([[1.5], [2.5]]), pyarrow.float64(), [1.5, 2.5]),
        (numpy.array([[1.5, 2], [2.5, 3]]), pyarrow.list_(pyarrow.float64()), [[1.5, 2], [2.5, 3]]),
        (["a", "b"], pyarrow.string(), ["a", "b"]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_model_of_mlflows_gives_is_one_column(
    gives: Any, kind: Any, expected: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.pyfunc

    class Model:
        metadata = mlflow.models.Model()

        def predict(self, frame: Any) -> Any:
            return gives

    monkeypatch.setattr(mlflow.pyfunc, "load_model", lambda uri: Model())
    found = predicted("mlflow", tmp_path).column("prediction")
    assert (found.type, found.to_pylist()) == (kind, expected)


KINDS = pandas.DataFrame({"kind": pandas.Categorical(["a", "b", "c"] * 20), "a": X["a"]})


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("kind", [pyarrow.string(), pyarrow.dictionary(pyarrow.int32(), pyarrow.string())], ids=str)
def test_categories_are_those_of_the_training_whichever_a_batch_has(name: str, kind: Any, tmp_path: Path) -> None:
    expected = of_kinds(name, KINDS, tmp_path)(KINDS)[[2, 1]]
    given = pyarrow.table({"kind": pyarrow.array(["c", "b", None]).cast(kind), "a": [2, 1, None]})
    found = predicted(name, tmp_path, given)
    assert numpy.allclose(found.column("prediction")[:2], expected)
    assert found.select(["kind", "a"]) == given


def test_categories_that_a_model_does_not_keep_are_told(tmp_path: Path) -> None:
    import xgboost

    codes = KINDS.assign(kind=KINDS["kind"].cat.codes).to_numpy()
    names: dict[str, Any] = {"feature_names": ["kind", "a"], "feature_types": ["c", "q"]}
    xgboost.train({"nthread": 1}, xgboost.DMatrix(codes, codes[:, 0], enable_categorical=True, **names), 3).save_model(
        tmp_path / "model.ubj"
    )
    assert predicted("xgboost", tmp_path, pyarrow.table({"kind": [1], "a": [1]})).num_rows == 1
    with pytest.raises(CategoriesMissing, match="the model keeps no categories of the column 'kind'"):
        predicted("xgboost", tmp_path, pyarrow.table({"kind": ["b"], "a": [1]}))


def of_kinds(name: str, frame: pandas.DataFrame, folder: Path) -> Any:
    """Train on a data frame, whose ``kind`` tells the label, and save the model; give what predicts another one."""
    import lightgbm
    import xgboost

    wanted = frame["kind"].cat.codes * 10
    if name == "lightgbm":
        settings = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 2, "min_data_per_group": 1, "cat_smooth": 0}
        model: Any = lightgbm.train(settings, lightgbm.Dataset(frame, wanted), 3)
        model.save_model(folder / "model.txt")
        return model.predict
    model = xgboost.train({"nthread": 1}, xgboost.DMatrix(frame, wanted, enable_categorical=True), 3)
    model.save_model(folder / "model.ubj")
    return lambda given: model.predict(xgboost.DMatrix(given, enable_categorical=True))


FLAGS = KINDS.assign(flag=[True, False] * 30)


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
@pytest.mark.parametrize("absent", ["flag", "a", "kind"])
def test_truth_values_and_columns_of_nothing_are_no_categories(name: str, absent: str, tmp_path: Path) -> None:
    predict = of_kinds(name, FLAGS, tmp_path)
    given = FLAGS[:4].assign(**{absent: None})
    expected = given.astype(dict.fromkeys(("flag", "a"), "float64")).astype({"kind": FLAGS["kind"].dtype})
    table = pyarrow.Table.from_pandas(given, preserve_index=False)
    assert table.schema.field(absent).type == pyarrow.null()
    found = predicted(name, tmp_path, table).column("prediction")
    assert numpy.allclose(found, predict(expected))


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
@pytest.mark.parametrize(
    "given",
    [
        pyarrow.array([12, 10, None, 11]),
        pyarrow.array([12, 10, None, 11], pyarrow.int16()),
        pyarrow.array([12, 10, None, 11], pyarrow.float64()),
        pyarrow.array([12, 10, None, 11]).dictionary_encode(),
        pyarrow.array(["12", "10", None, "11"]),
    ],
    ids=lambda given: str(given.type),
)
@pytest.mark.parametrize("kept", ["int64", "int32"])
def test_integers_that_are_categories_are_those_of_the_training(
    name: str, given: Any, kept: str, tmp_path: Path
) -> None:
    kind = pandas.Series([10, 11, 12] * 20, dtype=kept).astype("category")
    predict = of_kinds(name, KINDS.assign(kind=kind), tmp_path)
    expected = pandas.DataFrame({"kind": pandas.Categorical([12, 10, None, 11], kind.cat.categories), "a": [1.0] * 4})
    found = predicted(name, tmp_path, pyarrow.table({"kind": given, "a": [1.0] * 4})).column("prediction")
    assert numpy.allclose(found, predict(expected))


def test_integers_that_are_categories_are_found_beside_texts_that_are(tmp_path: Path) -> None:
    frame = KINDS.assign(kind=pandas.Categorical([10, 11, 12] * 20), other=pandas.Categorical(["x", "y"] * 30))
    predict = of_kinds("lightgbm", frame, tmp_path)
    table = pyarrow.table({"other": ["y", "x"], "kind": [11, 12], "a": [1.0, 2.0]})
    expected = pandas.DataFrame(
        {
            "kind": pandas.Categorical([11, 12], frame["kind"].cat.categories),
            "a": [1.0, 2.0],
            "other": pandas.Categorical(["y", "x"]),
        }
    )
    assert numpy.allclose(predicted("lightgbm", tmp_path, table).column("prediction"), predict(expected))


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_values_that_no_category_can_be_are_told(name: str, tmp_path: Path) -> None:
    of_kinds(name, KINDS.assign(kind=pandas.Categorical([10, 11, 12] * 20)), tmp_path)
    with pytest.raises(CategoriesMissing, match="the model's categories of the column 'kind' are of the type int64"):
        predicted(name, tmp_path, pyarrow.table({"kind": ["b"], "a": [1]}))


def test_columns_of_which_nobody_knows_the_categories_are_told(tmp_path: Path) -> None:
    kind = pandas.Categorical([10, 11, 12] * 20, ordered=True)
    predict = of_kinds("lightgbm", KINDS.assign(kind=kind), tmp_path)
    table = pyarrow.table({"kind": pyarrow.array([12, 10]), "a": [1.0, 1.0]})
    with pytest.raises(CategoriesMissing, match=r"keeps the categories of 1 columns, .* may be none; give"):
        predicted("lightgbm", tmp_path, table)
    table = table.set_column(0, "kind", table.column("kind").dictionary_encode())
    found = predicted("lightgbm", tmp_path, table).column("prediction")
    expected = pandas.DataFrame({"kind": pandas.Categorical([12, 10], [10, 11, 12], ordered=True), "a": [1.0, 1.0]})
    assert numpy.allclose(found, predict(expected))


@pytest.mark.parametrize("name", ["lightgbm", "sklearn", "xgboost"])
def test_a_column_that_the_model_needs_is_told(name: str, tmp_path: Path) -> None:
    booster().save_model(tmp_path / "model.txt")
    trees().save_model(tmp_path / "model.ubj")
    dump_by_joblib(linear(), tmp_path / "model.joblib")
    with pytest.raises(ColumnsMissing, match="input: the model needs the columns 'b', which the input lacks"):
        predicted(name, tmp_path, INPUT.drop_columns(["b"]))


@pytest.mark.parametrize(
    ("trained", "given"),
    [
        ([1, 2], [1, None]),
        ([1, 2], [1, 2]),
        ([1, None], [1, 2]),
        ([1, None], [None, 2]),
        ([1.5, 2.0], [1, 2]),
        ([1, 2], [1.5, 2.0]),
        ([1, 2], [float("inf"), 2.0]),
    ],
    ids=str,
)
def test_a_registered_model_takes_the_numbers_that_the_model_takes(
    tmp_path: Path, trained: list[Any], given: list[Any]
) -> None:
    """Which rows a signature was read off decides nothing."""
    import mlflow.lightgbm
    from mlflow.models import infer_signature

    model = booster()
    example = pandas.DataFrame({"a": trained, "b": [1.0, 2.0]})
    signature = infer_signature(example, model.predict(example))
    mlflow.lightgbm.save_model(model, str(tmp_path / "model"), signature=signature, pip_requirements=["lightgbm"])
    rows = pyarrow.table({"a": pyarrow.array(given), "b": [1.0, 2.0]})

    for _ in range(2):
        found = predicted("mlflow", tmp_path / "model", rows)["prediction"].to_pylist()
        assert found == predicted("lightgbm", tmp_path / "model", rows)["prediction"].to_pylist()


def test_a_booster_knows_columns_whose_names_have_blanks(tmp_path: Path) -> None:
    import lightgbm

    rows = X.rename(columns={"a": "arrival delay"})
    made = lightgbm.train({"verbosity": -1, "num_threads": 1}, lightgbm.Dataset(rows, Y), 3)
    made.save_model(str(tmp_path / "model.txt"))
    given = pyarrow.table({"b": [1.0], "arrival delay": [40.0]})

    assert predicted("lightgbm", tmp_path, given)["prediction"].to_pylist() == made.predict([[40.0, 1.0]]).tolist()
