"""Deploys, scales and retires Ray Serve applications."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperatorLink

from airflow_provider_air.attachments.checks import specs_of
from airflow_provider_air.errors import AirError, ConfigurationError, JobFailedError, ServeDeployError
from airflow_provider_air.links.ray import GrafanaLink, RayDashboardLink, RayJobLink
from airflow_provider_air.links.serve import (
    RayServeEndpointLink,
    RayServePageLink,
    push_endpoint,
    push_serve_page,
)
from airflow_provider_air.operators.base import RayJobOperator
from airflow_provider_air.workloads import fields

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider_air.contracts.attachments import AttachmentSpec
    from airflow_provider_air.contracts.jobs import JobRequest
    from airflow_provider_air.runs.plan import BuildInfo, Collected


class ServeJobOperator(RayJobOperator):
    """
    Base of the operators that change Serve by a job on the cluster, under a lock there.

    :param healthy_timeout_seconds: how long the change may take until it is taken back
    :param lock_timeout_seconds: how long to wait for another job that changes the same application
    """

    template_fields: Sequence[str] = (
        *RayJobOperator.template_fields,
        "healthy_timeout_seconds",
        "lock_timeout_seconds",
    )
    operator_extra_links: Sequence[BaseOperatorLink] = (
        RayServePageLink(),
        RayJobLink(),
        RayDashboardLink(),
        GrafanaLink(),
    )
    workload: ClassVar[str] = "serve"

    def __init__(
        self, *, healthy_timeout_seconds: float = 600.0, lock_timeout_seconds: float = 900.0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.healthy_timeout_seconds = healthy_timeout_seconds
        self.lock_timeout_seconds = lock_timeout_seconds

    def build_config(self) -> dict[str, Any]:
        """
        Give what the driver is to do, from the rendered fields.

        :raises ConfigurationError: a field is wrong
        """
        raise NotImplementedError

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Give the job that runs our Serve driver."""
        from airflow_provider_air.contracts.jobs import JobRequest
        from airflow_provider_air.workloads.serve import ENTRYPOINT

        for name in ("healthy_timeout_seconds", "lock_timeout_seconds"):
            fields.number(getattr(self, name), name, minimum=1)
        if info.is_owned:
            raise ConfigurationError(
                "A cluster without a name goes with this task, and the application with it",
                hint="Give it a name and no time-outs: LocalCluster(name='serving', ttl_seconds=None, "
                "idle_timeout_seconds=None)",
            )
        config = self.build_config() | {
            "healthy_timeout_seconds": self.healthy_timeout_seconds,
            "lock_timeout_seconds": self.lock_timeout_seconds,
        }
        payload = {"config.json": json.dumps(config, sort_keys=True).encode()}
        return JobRequest(entrypoint=ENTRYPOINT, payload=payload, expects_result=True, rollout=config)

    def read_failure(self, error: AirError) -> AirError:
        """Tell a roll-out that failed in Serve's own words."""
        if not isinstance(error, JobFailedError) or error.error_type not in ("JOB_ENTRYPOINT_COMMAND_ERROR", None):
            return error
        said = error.what.split("\nLast lines of the driver:")[0]
        return ServeDeployError(
            said.removeprefix("The job failed: ").removeprefix("RolloutFailed: "),
            where=error.where,
            hint="The job's log has the whole story",
        )


class RayServeDeployOperator(ServeJobOperator):
    """
    Put applications on Serve, prove that they answer, and go back if they do not.

    What else runs on Serve stays as it is. The same configuration again changes nothing. The XCom is::

        {"applications": {name: {"application", "route_prefix", "url", "status", "version",
                                 "previous_version", "changed", "deployments": {name: {"status", "replicas"}}}}}

    with the fields of the only application beside ``applications``, where there is one.

    :param import_path: ``module:application`` in the working_dir, or a function that builds it
    :param application: its name; under blue/green Serve shows it as ``<application>--<version>``
    :param route_prefix: where it answers, below Serve's address; None for one without HTTP
    :param args: for the function that builds it. With ``tracker=MlflowTracker(...)``, ``models:/name@champion`` is
        handed over as the version that has the alias at that time, ``models:/name/3``, here and in ``deployments``: a
        replica that starts later loads the same, and a deployment after a promotion is another version
    :param deployments: options of its deployments in Serve's own spelling, by name or as a list:
        ``{"Model": {"num_replicas": 2, "user_config": {"model_uri": "..."}}}``
    :param config: instead of the above a whole Serve config: one application, or ``{"applications": [...]}``
    :param working_dir: a local folder, archive or ``.py`` file to ship, or a URI; it stays on the cluster as long as
        a replica uses it
    :param runtime_env: Ray's runtime environment for the applications; never put secrets in, Serve shows it
    :param features: ``FeastFeatures`` or ``TectonFeatures``: replicas read the feature service's online values by
        ``from air_features import OnlineFeatures``
    :param smoke_test: a :class:`~airflow_provider_air.workloads.smoke.SmokeTest`, or a dict by application
    :param strategy: ``blue_green`` (the default with a smoke test) needs room for both versions;
        ``in_place`` replaces replica by replica and tests afterwards: the default without a test, and of what is
        called by its name, by gRPC or a handle
    :param max_surge_percent: in place, how many replicas may be added while they are replaced, in percent of those that
        there are. By default 100, so that no request is lost; 0 is Serve's own, which stops the old ones first and
        needs no more room than they had. A deployment's own option wins
    :param http_options: host, port, TLS for a Serve that does not run yet; one that runs must have them already. A
        LocalCluster gets a free port
    :param drain_seconds: how long the old version lives on after the route has moved
    :param endpoint_url: how clients reach Serve, such as an ingress; by default the ``serve_url`` of the ``ray``
        connection, else the dashboard's host and Serve's port where that is the head itself; else ``url`` is None
    """

    template_fields: Sequence[str] = (
        *ServeJobOperator.template_fields,
        "import_path",
        "application",
        "route_prefix",
        "args",
        "deployments",
        "config",
        "working_dir",
        "excludes",
        "runtime_env",
        "features",
        "smoke_test",
        "strategy",
        "max_surge_percent",
        "http_options",
        "drain_seconds",
        "endpoint_url",
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "args": "json",
        "deployments": "json",
        "config": "json",
        "runtime_env": "json",
    }
    operator_extra_links: Sequence[BaseOperatorLink] = (
        RayServeEndpointLink(),
        RayServePageLink(),
        RayJobLink(),
        RayDashboardLink(),
        GrafanaLink(),
    )

    def __init__(
        self,
        *,
        import_path: str | None = None,
        application: str = "default",
        route_prefix: str | None = "/",
        args: Mapping[str, Any] | None = None,
        deployments: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        config: Mapping[str, Any] | None = None,
        working_dir: str | PurePath | None = None,
        excludes: Sequence[str] = (),
        runtime_env: Mapping[str, Any] | None = None,
        features: Any = None,
        smoke_test: Any = None,
        strategy: str | None = None,
        max_surge_percent: int | None = None,
        http_options: Mapping[str, Any] | None = None,
        drain_seconds: float = 5.0,
        endpoint_url: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.import_path = import_path
        self.application = application
        self.route_prefix = route_prefix
        self.args = args
        self.deployments = deployments
        self.config = config
        self.working_dir = working_dir
        self.excludes = excludes
        self.runtime_env = runtime_env
        self.features = features
        self.smoke_test = smoke_test
        self.strategy = strategy
        self.max_surge_percent = max_surge_percent
        self.http_options = http_options
        self.drain_seconds = drain_seconds
        self.endpoint_url = endpoint_url
        self._page: str | None = None

    def attachments(self) -> Sequence[AttachmentSpec]:
        """Give the trackers, and the feature store that replicas read."""
        return (*super().attachments(), *specs_of(self.features, "features"))

    def tracked_parameters(self) -> Mapping[str, Any]:
        """Give what is deployed."""
        names = ("application", "import_path", "args", "deployments", "config", "strategy")
        return {name: getattr(self, name) for name in names}

    def build_config(self) -> dict[str, Any]:
        """Give the applications, the strategy and the tests."""
        from airflow_provider_air.workloads.serve import plan_deploy

        fields.number(self.drain_seconds, "drain_seconds", minimum=0)
        if self.endpoint_url is not None:
            fields.uri(self.endpoint_url, "endpoint_url")
        deploy = plan_deploy(
            self._config(),
            strategy=self.strategy,
            smoke_test=self.smoke_test,
            http_options=self.http_options,
            max_surge_percent=self.max_surge_percent,
        )
        return deploy.to_config(drain_seconds=self.drain_seconds)

    def build_job(self, context: Context, info: BuildInfo) -> JobRequest:
        """Give the job, with the applications' code and environment."""
        return dataclasses.replace(
            super().build_job(context, info),
            working_dir=self.working_dir,
            excludes=self.excludes,
            runtime_env=self.runtime_env or {},
        )

    def read_result(self, value: Any, where: Collected) -> Any:
        """Give the result with addresses as clients see them."""
        serving = where.backend.serving(where.ref)
        base = self.endpoint_url or serving.endpoint(value)
        for told in value["applications"].values():
            route = told["route_prefix"]
            told["url"] = None if route is None or base is None else base.rstrip("/") + route
        first = next(iter(value["applications"].values()))
        self._page = serving.page(first["application"])
        only = first if len(value["applications"]) == 1 else {}
        return {**only, "applications": value["applications"]}

    def told_of_asset(self, result: Any) -> Mapping[str, Any]:
        """Say where it answers, and which version."""
        return {"uri": result.get("url"), "version": result.get("version")}

    def push_result(self, context: Context, result: Any) -> None:
        """Store the links to the endpoint and to the application's page."""
        first = next(iter(result["applications"].values()))
        if first["url"] is None and first["route_prefix"] is not None:
            self.log.warning(
                "The application answers at the route %s, but where clients reach Serve is not known: a proxy is in "
                "front of the cluster's dashboard or of Serve. Set 'serve_url' in the extra of the ray connection, or "
                "'endpoint_url' of this task",
                first["route_prefix"],
            )
        push_endpoint(context["ti"], first["url"])
        if len(result["applications"]) == 1 and first["url"] is not None:
            # For output["url"] in the next task.
            context["ti"].xcom_push(key="url", value=first["url"])
        push_serve_page(context["ti"], self._page)

    def _config(self) -> Mapping[str, Any]:
        if self.config is not None:
            if self.import_path is not None or self.args is not None or self.deployments is not None:
                raise ConfigurationError("Give either 'config' or 'import_path' with its options, not both")
            return self.config
        if self.import_path is None:
            raise ConfigurationError("Neither 'import_path' nor 'config' says what to deploy")
        wish = {
            "name": self.application,
            "route_prefix": self.route_prefix,
            "import_path": self.import_path,
            "args": self.args,
            "deployments": self.deployments,
        }
        return {key: value for key, value in wish.items() if value is not None or key == "route_prefix"}


class RayServeDeleteOperator(ServeJobOperator):
    """
    Take an application off Serve, with all its versions; what else runs there stays.

    The XCom is ``{"application", "deleted": [names]}``.

    :param application: its name, as it was deployed
    :param missing_ok: whether an application that is not there is fine
    """

    template_fields: Sequence[str] = (*ServeJobOperator.template_fields, "application", "missing_ok")

    def __init__(self, *, application: str, missing_ok: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.application = application
        self.missing_ok = missing_ok

    def build_config(self) -> dict[str, Any]:
        """Give what to delete."""
        from airflow_provider_air.workloads.serve import check_name

        return {
            "action": "delete",
            "application": check_name(self.application),
            "missing_ok": self.missing_ok,
        }


class RayServeScaleOperator(ServeJobOperator):
    """
    Give deployments of an application other numbers of replicas, and wait for them.

    The next deployment of the application brings its own numbers. The XCom is
    ``{"application", "changed", "replicas", "previous_replicas"}``.

    :param application: its name, as it was deployed
    :param replicas: by deployment; one that scales itself is refused
    """

    template_fields: Sequence[str] = (*ServeJobOperator.template_fields, "application", "replicas")

    def __init__(self, *, application: str, replicas: Mapping[str, int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.application = application
        self.replicas = replicas

    def build_config(self) -> dict[str, Any]:
        """Give how many replicas each deployment is to have."""
        from airflow_provider_air.workloads.serve import check_name, check_replicas

        return {
            "action": "scale",
            "application": check_name(self.application),
            "replicas": check_replicas(self.replicas),
        }
