"""The experiment as a script of one's own: ``python plain_tune.py STORAGE NAME POINTS``."""

from __future__ import annotations

import sys

from loops import objective  # type: ignore[import-not-found]  # beside this file on the cluster
from ray import tune

if __name__ == "__main__":
    storage, name, points = sys.argv[1:]
    tuner = tune.Tuner(
        objective,
        param_space={"x": tune.grid_search(list(range(int(points))))},
        tune_config=tune.TuneConfig(metric="loss", mode="min"),
        run_config=tune.RunConfig(name=name, storage_path=storage),
    )
    print(tuner.fit().get_best_result().config)
