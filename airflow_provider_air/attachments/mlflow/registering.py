"""What a run that succeeded has to register: which files, how they were judged, and in which format they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_air.attachments.mlflow.names import name_of
from airflow_provider_air.drivers.wire.metrics import flattened, metrics_of
from airflow_provider_air.drivers.wire.values import TAG
from airflow_provider_air.errors import ProtocolError

# Of a version: the checkpoint that it was made from, its own metrics, and in which format its files are.
CHECKPOINT_TAG, FORMAT_TAG, WHY_TAG = "air.checkpoint", "air.format", "air.format.why"
METRIC_TAG, LEFT_OUT_TAG = "air.metric.", "air.metrics_left_out"
# Of the run: the metrics of what it has registered, beside the last ones that MLflow shows.
BEST_PREFIX = "best."
# Whoever lists a model's versions gets all tags of all of them.
MOST_METRICS = 100
BARE, MLFLOW = "checkpoint", "mlflow"


@dataclass(frozen=True)
class Registrable:
    """
    The model of one run.

    :param checkpoint: URI of the checkpoint that it was made from
    :param metrics: of that checkpoint, by the author's own flat names; None where nobody has told them
    :param model_id: of the logged model that a driver has made of it, or None: then the checkpoint is all there is
    :param flavor: of that model
    :param why: why there is none
    """

    checkpoint: str
    metrics: Mapping[str, float] | None = None
    model_id: str | None = None
    flavor: str | None = None
    why: str | None = None

    @property
    def source(self) -> str:
        """URI of the version's files."""
        return f"models:/{self.model_id}" if self.model_id else self.checkpoint


def registrable_of(result: Any) -> Registrable:
    """
    Read the result of a job: the best checkpoint that it names, else the last one, and what belongs to that.

    :raises ProtocolError: it names none
    """
    told: Mapping[str, Any] = result if isinstance(result, Mapping) else {}
    for key in ("best_checkpoint", "checkpoint"):
        if told.get(key):
            uri = str(told[key])
            model = told["model"] if isinstance(told.get("model"), Mapping) else {}
            if model.get("checkpoint") != uri:
                model = {}
            return Registrable(uri, _metrics_of(told, key), model.get("id"), model.get("flavor"), model.get("why"))
    raise ProtocolError(
        "The job reported no checkpoint, so there is no model to register",
        hint="Report a checkpoint from the training loop, or leave out register_as",
    )


def _metrics_of(told: Mapping[str, Any], key: str) -> Mapping[str, float] | None:
    """Give the metrics of the checkpoint that a result names by this key; None where it tells none of any."""
    own = told.get(f"{key}_metrics")
    if own is None and "checkpoints" in told:
        rows = [row for row in told["checkpoints"] or () if isinstance(row, Mapping) and row.get("uri") == told[key]]
        own = rows[0].get("metrics") or {} if rows else {}
    if own is None:
        own = told.get("best_metrics" if key == "best_checkpoint" else "metrics")
    return measured(own) if isinstance(own, Mapping) else None


def measured(report: Mapping[str, Any]) -> dict[str, float]:
    """Give the numbers of a report that has come home in a result, where NaN and infinities are written out."""
    read = {
        name: float(value["value"]) if isinstance(value, Mapping) and value.get(TAG) == "float" else value
        for name, value in flattened(report).items()
    }
    return metrics_of(read)


def tags_of_version(model: Registrable, metrics: Mapping[str, float], first: str | None) -> dict[str, str]:
    """
    Give the tags by which a version says what it is; a gate reads them.

    :param metrics: by MLflow's names or the author's own
    :param first: the metric that must be among them, where there are more than a version carries
    """
    by_name = {name_of(name): number for name, number in metrics.items()}
    wanted = name_of(first) if first else ""
    ordered = sorted(by_name, key=lambda name: name != wanted)[:MOST_METRICS]
    tags = {
        CHECKPOINT_TAG: model.checkpoint,
        FORMAT_TAG: f"{MLFLOW}:{model.flavor}" if model.model_id else BARE,
        **{metric_tag(name): repr(float(by_name[name])) for name in ordered},
    }
    if not model.model_id and model.why:
        tags[WHY_TAG] = model.why
    if len(by_name) > len(ordered):
        tags[LEFT_OUT_TAG] = str(len(by_name) - len(ordered))
    return tags


def metric_tag(name: str) -> str:
    """Name the tag that holds a metric of a version, by the name that MLflow has for it."""
    return name_of(METRIC_TAG + name)


def metrics_in(tags: Mapping[str, str]) -> dict[str, float] | None:
    """
    Read a version's own metrics off its tags, by MLflow's names; None where no tracker has registered it.

    The few whose name is too long for a tag are there by what :func:`metric_tag` makes of it.
    """
    if FORMAT_TAG not in tags:
        return None
    found = {name.removeprefix(METRIC_TAG): value for name, value in tags.items() if name.startswith(METRIC_TAG)}
    return {name: _number(value) for name, value in found.items()}


def value_in(metrics: Mapping[str, float], metric: str) -> float | None:
    """Give a metric of a version by the author's own name."""
    name = name_of(metric)
    return metrics.get(name, metrics.get(metric_tag(name).removeprefix(METRIC_TAG)))


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
