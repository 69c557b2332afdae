"""The training as a script of one's own: ``python plain_train.py STORAGE NAME CONFIG``."""

from __future__ import annotations

import json
import sys

from loops import epochs  # type: ignore[import-not-found]  # beside this file on the cluster
from ray.train import RunConfig, ScalingConfig
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

if __name__ == "__main__":
    storage, name, config = sys.argv[1:]
    trainer = DataParallelTrainer(
        epochs,
        train_loop_config=json.loads(config),
        scaling_config=ScalingConfig(num_workers=1),
        run_config=RunConfig(name=name, storage_path=storage),
    )
    print(trainer.fit().metrics)
