"""Who failed first is blamed, with the cause that it had on its worker, whatever Ray drops on the way."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from airflow_provider_air.drivers.train import loops
from airflow_provider_air.drivers.wire import failures
from airflow_provider_air.drivers.wire.failures import error_of
from tests.kinds.logs import Rigid, Workers, caused, named, raised_by

RANKS = named(Workers)


def moved(error: Any) -> Any:
    """Give it as the driver gets it: by pickle."""
    from ray import cloudpickle

    return cloudpickle.loads(cloudpickle.dumps(error))


def group(raised: dict[int, BaseException]) -> Any:
    """Give what ``fit()`` raises, as it comes from the controller."""
    train = pytest.importorskip("ray.train")
    return moved(train.WorkerGroupError("what Ray says", raised))


@pytest.mark.parametrize(("name", "workers"), RANKS, ids=[name for name, _ in RANKS])
def test_the_worker_that_failed_first_is_blamed_and_all_are_in_the_log(
    name: str, workers: Workers, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray.train")
    raised: dict[int, BaseException] = {}
    for rank, make in workers.failures.items():
        monkeypatch.setattr("time.time", lambda rank=rank: workers.seconds.get(rank, 0.0))
        error = make()
        # A worker that died had no time to say when.
        is_own = not type(error).__name__.startswith("WorkerHealth")
        raised[rank] = moved(raised_by(loops.stamped(_raising(error)))) if is_own else error

    failure = loops.failure(group(raised))

    assert workers.blamed in str(failure)
    assert error_of(failure) == {"type": "TrainLoopFailed", "message": str(failure)}
    said = capfd.readouterr().err
    assert [rank for rank in raised if len(raised) > 1 and f"worker {rank}: " not in said] == []


def _raising(error: BaseException) -> Any:
    def loop() -> None:
        raise error

    return loop


def test_what_the_controller_raises_itself_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    train = pytest.importorskip("ray.train")

    assert str(loops.failure(train.ControllerError(ValueError("no room")))) == "ValueError: no room"


def test_a_loop_is_what_it_was_for_who_looks_at_it_and_calls_it() -> None:
    def loop(config: dict[str, Any]) -> int:
        return int(config["x"])

    stamped = moved(loops.stamped(loop))

    assert (inspect.signature(stamped), stamped.__name__) == (inspect.signature(loop), "loop")
    assert stamped({"x": 3}) == 3


def test_what_a_loop_raises_stays_what_it_is_where_it_can_be_moved() -> None:
    assert type(raised_by(loops.stamped(caused))) is ValueError


def test_what_cannot_be_moved_is_told_by_its_text() -> None:
    def loop() -> None:
        raise Rigid("disk", "full")

    raised = moved(raised_by(loops.stamped(loop)))

    assert (type(raised), str(raised)) == (loops.TrainLoopFailed, "Rigid: disk: full")
    assert str(loops.failure(group({0: raised}))) == "worker 0: Rigid: disk: full"


def test_every_trainer_gets_the_stamped_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray.train")
    from airflow_provider_air.drivers.train import trainers

    given: list[Any] = []

    class Trainer:
        def __init__(self, loop: Any, **fields: Any) -> None:
            given.append(loop)

    monkeypatch.setattr(trainers, "trainer_class", lambda name: Trainer)
    trainers.builder({}, caused)("run", "/tmp/anywhere", [], None, {})

    assert hasattr(raised_by(given[0]), failures.STAMP)
