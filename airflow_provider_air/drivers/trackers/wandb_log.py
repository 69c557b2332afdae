"""
What is logged into a run of Weights & Biases, in whatever order its steps come.

W&B ignores what is logged for a step behind its own counter (0.31): a validation of an earlier checkpoint, epochs of
one metric beside batches of another. Standard library only.
"""

from __future__ import annotations

from typing import Any, Dict, Optional, Set

# The metric that holds the step of what comes late, and is the X axis of its charts.
STEP = "reported_step"


class WandbLog:
    """
    Logs into one run.

    What comes late is logged beside the last step, with its own as :data:`STEP`; a metric's steps that come again, as
    after a restart of the workers, are left out, as W&B would do.

    :param run: of wandb
    """

    def __init__(self, run: Any) -> None:
        self._run = run
        # The least step that W&B still takes, of what this process has logged.
        self._open_step = 0
        self._steps: Dict[str, int] = {}
        self._late: Set[str] = set()

    def log(self, values: Dict[str, Any], step: Optional[int] = None) -> None:
        """Log numbers, at a step where there is one."""
        if step is None:
            self._log_next(values)
        elif step >= self._open_step:
            self._run.log({**values, **({STEP: step} if self._late & set(values) else {})}, step=step)
            self._open_step = step
        else:
            self._log_behind(values, step)
        if step is not None:
            self._steps.update({name: max(step, self._steps.get(name, step)) for name in values})

    def _log_behind(self, values: Dict[str, Any], step: int) -> None:
        is_late = step < max(self._steps.values(), default=step)
        values = {name: value for name, value in values.items() if step > self._steps.get(name, step - 1)}
        for name in set(values) - self._late if is_late else ():
            self._late.add(name)
            if "*" not in name:  # which W&B takes for a pattern
                self._run.define_metric(name, step_metric=STEP, step_sync=False)
        if values:
            self._log_next({**values, STEP: step} if self._late & set(values) else values)

    def _log_next(self, values: Dict[str, Any]) -> None:
        self._run.log(values, step=None)
        self._open_step += 1
