"""Names that the submitting side and the drivers agree on: variables of the environment, exit codes, files."""

from __future__ import annotations

# Set by the submitting side in runtime_env.env_vars; few and prefixed, since Ray refuses to merge duplicates.
SUBMISSION_ID = "AIR_SUBMISSION_ID"
PAYLOAD = "AIR_PAYLOAD"
NOT_AFTER = "AIR_NOT_AFTER"
# The hook that brings secrets into the environment of workers, where the job has any; its package is the last module.
SECRETS = "AIR_SECRETS"
# Which variables tell the job of its task, by their names with commas between: they are not for what it deploys.
CONTEXT = "AIR_CONTEXT"
# Where the task has a storage: its root, as the cluster reaches it.
STORAGE = "AIR_STORAGE"
# Only for runs by hand, outside of a Ray job: where the records file goes.
RECORDS_DIR = "AIR_RECORDS_DIR"
# Set by a LocalCluster for everything that runs on it; several of them share one host and its ports.
LOCAL_CLUSTER = "AIR_LOCAL_CLUSTER"

# Out of sight, where the job has a short-lived token of Google Cloud Storage, and when that ends in epoch seconds.
GCS_TOKEN = "AIR_GCS_TOKEN"  # noqa: S105  # a name
GCS_TOKEN_EXPIRES = "AIR_GCS_TOKEN_EXPIRES"  # noqa: S105  # a name

# All of ours: an author's own variable never has one of these names.
OURS = frozenset(
    (
        SUBMISSION_ID,
        PAYLOAD,
        NOT_AFTER,
        SECRETS,
        CONTEXT,
        STORAGE,
        RECORDS_DIR,
        LOCAL_CLUSTER,
        GCS_TOKEN,
        GCS_TOKEN_EXPIRES,
    )
)

# "run": the driver writes one run to W&B; "trials": one for each of Tune's trials, with ids that begin so.
WANDB_ENABLED = "RAY_AIRFLOW_WANDB"
# Names a CA bundle that wandb trusts, where the connection has one.
WANDB_CA = "RAY_AIRFLOW_WANDB_CA"
WANDB_TRIALS = "RAY_AIRFLOW_WANDB_TRIALS"
WANDB_CONFIG = "RAY_AIRFLOW_WANDB_CONFIG"
# Set where the work goes on without W&B when that is away.
WANDB_OPTIONAL = "RAY_AIRFLOW_WANDB_OPTIONAL"

# Of the payload: how the driver logs the model of its best checkpoint to MLflow, where a run is to be registered.
MLFLOW_MODEL_FILE = "mlflow_model.json"
# As "flavor": the checkpoint is registered as it is.
MLFLOW_AS_IT_IS = "checkpoint"

# sysexits.h EX_CONFIG region: the author must change something, a retry cannot help.
EXIT_CONFIGURATION = 64
# sysexits.h EX_UNAVAILABLE: something that the job needs was away, a retry asks again.
EXIT_UNAVAILABLE = 69
# The job reached its not-after time: refused to start, or ended itself.
EXIT_NOT_AFTER = 75


def records_name(submission_id: str) -> str:
    """Name the records file of a job, inside Ray's session log folder."""
    return "air-records-%s.jsonl" % submission_id
