"""Names that the submitting side and the driver agree on for W&B; standard library only."""

from __future__ import annotations

# "run": the driver writes one run; "trials": Tune's callback writes one for each trial.
ENABLED = "RAY_AIRFLOW_WANDB"
CONFIG = "RAY_AIRFLOW_WANDB_CONFIG"
