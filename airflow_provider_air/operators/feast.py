"""Feast as Ray jobs: training data as of its own time, definitions, and the online store. No Feast on the worker."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airflow_provider_air.attachments.feast.features import check_repo, check_service, join_told
from airflow_provider_air.connections.ports import local_roots, waits_since
from airflow_provider_air.drivers.wire.feature_names import TIMESTAMP_COLUMN
from airflow_provider_air.errors import ConfigurationError, FeaturesNotFreshError
from airflow_provider_air.operators.driven import RayDrivenOperator
from airflow_provider_air.workloads import fields
from airflow_provider_air.workloads.features import (
    ENTRYPOINT,
    apply_payload,
    freshness_payload,
    join_payload,
    materialize_payload,
)

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.contracts.runs import Done, Wait
    from airflow_provider_air.runs.plan import BuildInfo
    from airflow_provider_air.runs.run import Run


class _FeastOperator(RayDrivenOperator):
    template_fields: Sequence[str] = (*RayDrivenOperator.template_fields, "repo")

    def __init__(self, *, repo: str | PurePath, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.repo = repo

    def payload(self, context: Context, info: BuildInfo) -> dict[str, bytes]:
        raise NotImplementedError

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Check the fields and pack them for the driver; the repository is the job's working directory."""
        if self.working_dir is not None:
            raise ConfigurationError("'working_dir' is the feature repository here", hint="Give 'repo' alone")
        request = self.driver_job(ENTRYPOINT, self.payload(context, info))
        return dataclasses.replace(request, working_dir=check_repo(self.repo, local_roots(self, context)))


class FeastJoinOperator(_FeastOperator):
    """
    Join entities with a feature service, each row as of its own time, and write the rows as parquet, once.

    Values in parquet files are joined by DuckDB, which writes to disk what does not fit into memory; others by the
    repository's offline store. With ``storage`` the plan of the join is kept there, and the next one needs no Feast.

    The XCom is ``{"uri", "rows_read", "rows_written", "features", "feature_service", "feature_views", "project",
    "fingerprint"}``; ``uri`` is an XCom of its own, for the ``datasets`` or ``input_uri`` of the next task. A retry
    finds what an earlier attempt has committed.

    :param repo: the feature repository's folder, which is shipped; its stores must be reachable from the cluster
    :param feature_service: its name in the registry
    :param entities_uri: parquet, CSV or JSON with the entities' join keys, ``event_timestamp``, and whatever else
        should stay in the row, such as the label; a URI, or a list of them
    :param entities_format: parquet, csv, json, or the import path of a reader such as ``ray.data.read_avro``; by
        default what the name's end says
    :param entities_options: what the reader of Ray Data takes
    :param entities_sql: instead of ``entities_uri``, a query for the same columns, which the repository's offline
        store runs where the feature values are
    :param output_uri: a folder of this task's own
    :param timestamp_column: the entities' times
    :param full_feature_names: name columns ``view__feature``, as where two views have a feature of one name
    :param num_partitions: join over the whole cluster, in so many tasks of Ray Data; by default on the driver's node
    """

    workload = "feast_join"
    result_keys: ClassVar[tuple[str, ...]] = ("uri", "rows_written")
    template_fields: Sequence[str] = (
        *_FeastOperator.template_fields,
        "feature_service",
        "entities_uri",
        "entities_format",
        "entities_options",
        "entities_sql",
        "output_uri",
        "timestamp_column",
        "full_feature_names",
        "num_partitions",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        **_FeastOperator.template_fields_renderers,
        "entities_sql": "sql",
    }

    def __init__(
        self,
        *,
        feature_service: str,
        entities_uri: str | list[str] | None = None,
        entities_format: str | None = None,
        entities_options: dict[str, Any] | None = None,
        entities_sql: str | None = None,
        output_uri: str,
        timestamp_column: str = TIMESTAMP_COLUMN,
        full_feature_names: bool = False,
        num_partitions: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.feature_service = feature_service
        self.entities_uri = entities_uri
        self.entities_format = entities_format
        self.entities_options = entities_options
        self.entities_sql = entities_sql
        self.output_uri = output_uri
        self.timestamp_column = timestamp_column
        self.full_feature_names = full_feature_names
        self.num_partitions = num_partitions

    def payload(self, context: Context, info: BuildInfo) -> dict[str, bytes]:
        """Tell the driver what to join."""
        check_service(self.feature_service)
        return join_payload(
            feature_service=self.feature_service,
            entities_uri=self.entities_uri,
            entities_sql=self.entities_sql,
            entities_format=self.entities_format,
            entities_options=self.entities_options,
            output_uri=self.output_uri,
            run_name=info.run_name,
            storage_path=info.storage,
            how=join_told(self.timestamp_column, self.full_feature_names, self.num_partitions),
        )


class FeastApplyOperator(_FeastOperator):
    """
    Register what a feature repository defines, as ``feast apply`` does.

    The XCom is ``{"project", "feature_views", "feature_services"}``. A registry in one file is overwritten whole: let
    one task at a time apply.

    :param repo: the feature repository's folder, which is shipped
    """

    workload = "feast_apply"

    def payload(self, context: Context, info: BuildInfo) -> dict[str, bytes]:
        """Tell the driver to apply."""
        return apply_payload(info.storage)


class FeastFreshnessSensor(_FeastOperator):
    """
    Wait until the online store has values up to a moment, as the registry says.

    The XCom is ``{"materialized_until": {view: time}, "fresh_at"}``. Feast, and what opens its registry, is on the
    cluster alone: each look is a short job. Between two looks nothing of it is there, and no worker slot is taken; a
    cluster of the task's own is started for each.

    ``timeout``, ``poke_interval`` and ``soft_fail`` mean what they mean to Airflow's sensors. It is none by class:
    Airflow would skip one whose trigger has died, and its job would run on, while here the next try adopts the job.

    :param repo: the feature repository's folder, which is shipped
    :param feature_views: by default all that are materialized at all
    :param fresh_at: ISO 8601 with a zone; by default the run's ``run_after``
    :param timeout: how long to wait over all tries, in seconds or as a timedelta; then the task fails without a retry
    :param poke_interval: the pause between two looks, in seconds or as a timedelta; a look itself takes Feast's start
    :param soft_fail: skip the task instead of failing it when the time is over
    """

    workload = "feast_freshness"
    template_fields: Sequence[str] = (
        *_FeastOperator.template_fields,
        "feature_views",
        "fresh_at",
        "timeout",
        "poke_interval",
        "soft_fail",
    )

    def __init__(
        self,
        *,
        feature_views: Sequence[str] = (),
        fresh_at: str | None = None,
        timeout: timedelta | float = 24 * 3600.0,
        poke_interval: timedelta | float = 300.0,
        soft_fail: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.feature_views = feature_views
        self.fresh_at = fresh_at
        self.timeout = timeout
        self.poke_interval = poke_interval
        self.soft_fail = soft_fail

    def payload(self, context: Context, info: BuildInfo) -> dict[str, bytes]:
        """Tell the driver what to look for."""
        run: Any = context["dag_run"]
        self._times()
        return freshness_payload(fresh_at=self.fresh_at or run.run_after, feature_views=self.feature_views)

    def begin(self, context: Context, run: Run) -> Wait | Done:
        """Begin to count the time, which an earlier try may have done."""
        waits_since(context)
        return super().begin(context, run)

    def next_look(self, context: Context, result: Any) -> float | None:
        """Look again as long as there is time, and once more when it is over."""
        late = ", ".join(result.get("late") or ())
        if not late:
            return None
        timeout, interval = self._times()
        left = waits_since(context) + timeout - time.time()
        if left <= 0:
            raise FeaturesNotFreshError(f"The features were not fresh at {result['fresh_at']} in time: still {late}")
        self.log.info("Waiting for %s; the next look is in %g s", late, min(interval, left))
        return min(interval, left)

    def done(self, context: Context, result: Any) -> Any:
        """Give until when the features are there."""
        return super().done(context, {name: value for name, value in result.items() if name != "late"})

    def _times(self) -> tuple[float, float]:
        timeout, interval = (_seconds(value) for value in (self.timeout, self.poke_interval))
        fields.number(timeout, "timeout", minimum=0)
        fields.number(interval, "poke_interval", minimum=0.01)
        return timeout, interval

    def execute(self, context: Context) -> Any:
        """
        Look, and wait.

        :raises AirflowSensorTimeout: the features did not come in time; not retried
        :raises AirflowSkipException: the same, with ``soft_fail``
        """
        with self._timing_out():
            return super().execute(context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Come back from a deferral; raises as :meth:`execute` does."""
        with self._timing_out():
            return super().resume_execution(next_method, next_kwargs, context)

    @contextmanager
    def _timing_out(self) -> Iterator[None]:
        try:
            yield
        except FeaturesNotFreshError as error:
            if self.soft_fail:
                raise AirflowSkipException(f"Skipped, since soft_fail is set: {error}") from error
            raise AirflowSensorTimeout(str(error)) from error


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


class FeastMaterializeOperator(_FeastOperator):
    """
    Bring feature values into the online store.

    The XCom is ``{"project", "feature_views", "feature_services", "end", "materialized_until"}``.

    :param repo: the feature repository's folder, which is shipped
    :param start: ISO 8601 with a zone; by default where the registry says that the last time ended
    :param end: by default the run's ``run_after``, which every run has
    :param feature_views: by default all
    """

    workload = "feast_materialize"
    template_fields: Sequence[str] = (*_FeastOperator.template_fields, "start", "end", "feature_views")

    def __init__(
        self, *, start: str | None = None, end: str | None = None, feature_views: Sequence[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.start = start
        self.end = end
        self.feature_views = feature_views

    def payload(self, context: Context, info: BuildInfo) -> dict[str, bytes]:
        """Tell the driver the window."""
        run: Any = context["dag_run"]
        return materialize_payload(
            start=self.start,
            end=self.end or run.run_after,
            feature_views=self.feature_views,
            storage_path=info.storage,
        )
