"""Author-side code that needs torch: runs on the Ray cluster."""

import tempfile
from pathlib import Path
from typing import Any


def line(config: dict[str, Any]) -> None:
    """Fit y = 2x by two processes, each with its own numbers; report how far their weights are apart."""
    import ray.train
    import ray.train.torch
    import torch
    import torch.distributed

    torch.manual_seed(0)
    rank = ray.train.get_context().get_world_rank()
    model = ray.train.torch.prepare_model(torch.nn.Linear(1, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    x = torch.arange(8, dtype=torch.float32).reshape(8, 1) / 8 + rank
    for _ in range(config["epochs"]):
        optimizer.zero_grad()
        loss = torch.nn.functional.mse_loss(model(x), 2 * x)
        loss.backward()
        optimizer.step()
        weight = next(model.parameters()).detach().clone()
        total = weight.clone()
        torch.distributed.all_reduce(total)
        metrics = {
            "loss": loss.item(),
            "backend": torch.distributed.get_backend(),
            "weights_differ": float((total / torch.distributed.get_world_size() - weight).abs().max()),
        }
        with tempfile.TemporaryDirectory() as folder:
            torch.save(model.state_dict(), Path(folder, "model.pt"))
            checkpoint = ray.train.Checkpoint.from_directory(folder) if rank == 0 else None
            ray.train.report(metrics, checkpoint=checkpoint)


def small_ppo() -> Any:
    """Give PPO on CartPole, in the driver's own process."""
    from ray.rllib.algorithms.ppo import PPOConfig

    return (
        PPOConfig()
        .environment("CartPole-v1")
        .env_runners(num_env_runners=0)
        .training(train_batch_size=200, minibatch_size=50, num_epochs=1)
    )
