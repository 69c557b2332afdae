"""A trigger that breaks once its job has started; on the triggerer's path, as triggers must be."""

from __future__ import annotations

from airflow_provider_air.ray_api.watching import Observation
from airflow_provider_air.triggers.job import RayJobTrigger


class CrashingJobTrigger(RayJobTrigger):
    """Raises where a bug of ours would: in the middle of the watch."""

    def _show(self, seen: Observation, next_record: int) -> None:
        super()._show(seen, next_record)
        if seen.lines:
            raise RuntimeError("the trigger has a bug")
