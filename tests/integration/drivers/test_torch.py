"""Torch inside of Train: real processes in a group of their own, where torch is installed; RLlib where gymnasium is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from airflow_provider_air.workloads import rllib, train
from airflow_provider_air.workloads.rllib import RLlibResult, RLlibSpec
from airflow_provider_air.workloads.train import TrainResult, TrainSpec
from tests.integration.drivers.conftest import Submit
from tests.requirements import needs

pytestmark = pytest.mark.integration


def needs_packages(*packages: str) -> pytest.MarkDecorator:
    """Skip where one is not installed: torch is 5 GB, and beside the lock."""
    absent = [name for name in packages if importlib.util.find_spec(name) is None]
    return needs("torch", not absent, f"{', '.join(absent)} not installed: see `make torch-tests`")


@needs_packages("torch")
def test_two_torch_workers_share_their_gradients(submit: Submit, tmp_path: Path) -> None:
    spec = TrainSpec(
        "torch_loops:line",
        trainer="torch",
        trainer_args={"torch_config": {"backend": "gloo", "timeout_s": 120}},
        train_loop_config={"epochs": 3},
        scaling_config={"num_workers": 2},
        metric="loss",
        mode="min",
    )
    payload = spec.payload(run_name="torch", storage_path=str(tmp_path), fixed_size=True)
    result = TrainResult.from_value(submit(train.ENTRYPOINT, payload).succeeded())

    losses = [row["metrics"]["loss"] for row in result.history]
    assert losses == sorted(losses, reverse=True)
    assert len(losses) == 3
    assert [row["metrics"]["backend"] for row in result.history] == ["gloo"] * 3
    assert [row["metrics"]["weights_differ"] for row in result.history] == [0.0] * 3
    assert Path(str(result.best_checkpoint), "model.pt").is_file()


@pytest.mark.full  # what is refused is tested without torch, too
@needs_packages("torch")
def test_a_torch_config_that_is_none_is_told_at_once(submit: Submit, tmp_path: Path) -> None:
    spec = TrainSpec("torch_loops:line", trainer="torch", trainer_args={"torch_config": {"timeout": 120}})
    payload = spec.payload(run_name="torch", storage_path=str(tmp_path), fixed_size=True)
    message = submit(train.ENTRYPOINT, payload).problem()
    assert "trainer_args.torch_config: TorchConfig has no 'timeout'; it has backend, init_method, timeout_s" in message


@pytest.mark.full  # an example trains PPO, too
@needs_packages("torch", "gymnasium")
def test_an_algorithm_is_configured_by_a_function_and_its_losses_come_home(submit: Submit, tmp_path: Path) -> None:
    spec = RLlibSpec(None, None, {"training_iteration": 2}, config="torch_loops:small_ppo")
    payload = spec.payload(run_name="ppo", storage_path=str(tmp_path), fixed_size=True)
    result = RLlibResult.from_value(submit(rllib.ENTRYPOINT, payload).succeeded())

    assert result.iterations == 2
    assert "learners/default_policy/policy_loss" in result.metrics
    assert "env_runners/episode_return_mean" in result.metrics
    assert result.checkpoint is not None
