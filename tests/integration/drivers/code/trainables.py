"""Author-side classes of Ray's own kinds: runs on the Ray cluster."""

from pathlib import Path
from typing import Any

from ray import train, tune


class Climber(tune.Trainable):  # type: ignore[misc, unused-ignore]
    """A trial that Tune steps, saves and loads."""

    def setup(self, config: dict[str, Any]) -> None:
        self.height, self.rate = 0.0, config["rate"]

    def step(self) -> dict[str, Any]:
        self.height += self.rate
        return {"height": self.height, "rate": self.rate}

    def save_checkpoint(self, folder: str) -> None:
        Path(folder, "height").write_text(str(self.height))

    def load_checkpoint(self, folder: str) -> None:
        self.height = float(Path(folder, "height").read_text())

    def reset_config(self, config: dict[str, Any]) -> bool:
        self.rate = config["rate"]
        return True


def tenfold(config: dict[str, Any]) -> dict[str, Any]:
    """What a population's new member begins with."""
    return {**config, "rate": 10 * config["rate"]}


class TrialMarks(tune.Callback):  # type: ignore[misc, unused-ignore]
    """Leaves a mark for each trial that ends."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        Path(self.folder, f"trial-{trial.trial_id}").touch()


class Holding(train.UserCallback):  # type: ignore[misc, unused-ignore]
    """Has CPUs promised to somebody else, as it is made in the driver: the coordinator goes with the job."""

    def __init__(self, cpus: int) -> None:
        import loops  # type: ignore[import-not-found, unused-ignore]

        loops.hold_cpus(cpus)


class ReportMarks(train.UserCallback):  # type: ignore[misc, unused-ignore]
    """Leaves a mark for each report that Train takes."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def after_report(self, run_context: Any, metrics: Any, checkpoint: Any) -> None:
        Path(self.folder, f"report-{metrics[0]['epoch']}").touch()
