"""A function's way into the payload, out of a process whose modules have more than one name."""

from __future__ import annotations

import functools
import importlib.util
import json
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cloudpickle
import pytest

from airflow_provider_air.errors import ConfigurationError
from airflow_provider_air.workloads.code import pack
from airflow_provider_air.workloads.function import function_payload


def no_op() -> int:
    return 7


def test_a_module_that_stands_there_under_two_names_travels_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a child of multiprocessing the main module is __main__ and __mp_main__ alike."""
    monkeypatch.setitem(sys.modules, "another_name_of_this_module", sys.modules[__name__])

    payload = function_payload(no_op, (), {}, code_folders=[str(Path(__file__).parent)])

    function, args, kwargs = pickle.loads(payload["call.pkl"])
    assert function(*args, **kwargs) == 7
    assert function is not no_op
    assert set(json.loads(payload["config.json"])) == {"python"}
    assert __name__ not in cloudpickle.list_registry_pickle_by_value()


def test_a_helper_travels_that_was_found_through_a_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where git-sync makes the folder of DAGs."""
    (tmp_path / "worktree").mkdir()
    (tmp_path / "worktree" / "linked_helper.py").write_text("def seven():\n    return 7\n")
    (tmp_path / "dags").symlink_to("worktree")
    monkeypatch.syspath_prepend(tmp_path / "dags")
    helper = importlib.import_module("linked_helper")

    payload = function_payload(lambda: helper.seven(), (), {}, code_folders=[str(tmp_path / "dags")])
    monkeypatch.delitem(sys.modules, "linked_helper")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if str(tmp_path) not in path])

    function, args, kwargs = pickle.loads(payload["call.pkl"])
    assert function(*args, **kwargs) == 7


# Without ``from __future__ import annotations``: hints are the classes themselves.
DAG_FILE = """
import dataclasses, functools, typing
import only_on_the_worker as other

@functools.cache
def doubled(number): return 2 * number
@functools.lru_cache(maxsize=7, typed=True)
def fibonacci(number): return number if number < 2 else fibonacci(number - 1) + fibonacci(number - 2)

class Model:
    at: other.Time = None
    @functools.cached_property
    def weights(self): return [1, 2]
    @functools.lru_cache
    def predict(self, number): return number + len(self.weights)
    @staticmethod
    @functools.cache
    def bias(number): return number
    def until(self, at: other.Time) -> typing.List[other.Time]: return at

@dataclasses.dataclass
class Config:
    at: typing.Optional[other.Time] = None
    depth: int = 3
    names: typing.List[str] = dataclasses.field(default_factory=list)
    model: typing.Optional[Model] = None
@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    at: other.Time | None = None
class Row(typing.NamedTuple):
    at: other.Time
    count: int = 1
class Settings(typing.TypedDict, total=False):
    at: other.Time
UserId = typing.NewType("UserId", int)

def caches():
    model = Model()
    parameters = fibonacci.cache_parameters()
    doubled(2), doubled(2)
    return [doubled(2), fibonacci(10), model.weights, model.predict(1), Model.predict(model, 2), model.bias(3),
            doubled.cache_info().hits, doubled.__name__, parameters]
def hints():
    config, row = Config(model=Model()), Row(at=1)
    return [config.depth, config.names, config.at, Point().at, row.count, Settings(at=2)["at"], config.model.until(3)]
def read_hints():
    hints = Config.__annotations__
    return [hints["at"], hints["depth"] is int, hints["names"] == typing.List[str],
            hints["model"] == typing.Optional[Model], [field.type for field in dataclasses.fields(Config)][0]]
def new_types(): return UserId(7) + 1
"""
CLUSTER = """
import json, pickle, sys
sys.path.insert(0, sys.argv[1])
function, args, kwargs = pickle.load(open(sys.argv[2], "rb"))
again = sys.argv[3] == "again"
if again:  # as Ray does on its way to other workers
    import cloudpickle
    function = pickle.loads(cloudpickle.dumps(function))
print(json.dumps(function(*args, **kwargs)))
"""
TRAVELLING = {
    "caches": [4, 55, [1, 2], 3, 4, 3, 2, "doubled", {"maxsize": 7, "typed": True}],
    "hints": [3, [], None, None, 1, 2, 3],
    "read_hints": ["Optional[only_on_the_worker.Time]", True, True, True, "Optional[only_on_the_worker.Time]"],
    "new_types": 8,
}


@pytest.fixture(scope="module")
def dag_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    """A DAG file as Airflow imports it, and a package that the cluster does not have."""
    folder = tmp_path_factory.mktemp("dags")
    sys.modules["only_on_the_worker"] = other = ModuleType("only_on_the_worker")
    exec("class Time: pass", vars(other))
    (folder / "dag.py").write_text(DAG_FILE)
    spec = importlib.util.spec_from_file_location("unusual_prefix_1_dag", folder / "dag.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module.__name__] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[module.__name__], sys.modules["only_on_the_worker"]


@pytest.mark.parametrize("again", ["once", "again"])
@pytest.mark.parametrize(("name", "value"), TRAVELLING.items(), ids=list(TRAVELLING))
def test_what_python_pickles_by_name_travels_with_a_dag_file(
    name: str, value: object, again: str, dag_file: ModuleType, tmp_path: Path
) -> None:
    if (name, again) == ("new_types", "again"):
        pytest.skip("Python's own pickle of it is a name, for Ray as well")
    payload = function_payload(getattr(dag_file, name), (), {}, code_folders=[])
    for file, data in payload.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_bytes(data)

    # Of the worker's packages this has cloudpickle alone, which came along.
    command = [sys.executable, "-I", "-S", "-c", CLUSTER, str(tmp_path), str(tmp_path / "call.pkl"), again]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == value


def test_a_cache_of_a_package_stays_that_packages() -> None:
    cached = vars(re)["_compile_repl"]
    payload = function_payload(lambda: cached, (), {}, code_folders=[])

    function, _, _ = pickle.loads(payload["call.pkl"])
    assert isinstance(cached, functools._lru_cache_wrapper)
    assert function() is cached


def test_code_of_the_other_workloads_brings_its_cloudpickle_too() -> None:
    told, files = pack(no_op, "train_loop", [])

    assert told["payload"] == "train_loop.pkl"
    assert {"train_loop.pkl", "cloudpickle/__init__.py", "cloudpickle/cloudpickle.py"} <= files.keys()


def test_what_cannot_be_pickled_is_named_whatever_can_be_called() -> None:
    with pytest.raises(ConfigurationError, match=r"The argument 'argument 1' of no_op\(\) cannot be pickled"):
        function_payload(functools.partial(no_op), (threading.Lock(),), {}, code_folders=[])
