"""Which fields of Serve are known, by the schema of the Ray that runs."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from airflow_provider_air.drivers.serve import schema
from airflow_provider_air.drivers.wire.problems import ConfigurationProblem

APP: dict[str, Any] = {"name": "flights", "import_path": "flights:app"}


def config(application: dict[str, Any] | None = None, deployment: dict[str, Any] | None = None, **more: Any) -> Any:
    deployments = [{"name": "Model", **(deployment or {})}]
    return {"applications": [{**APP, "deployments": deployments, **(application or {})}], **more}


def test_what_each_serve_knows_needs_no_import_of_it() -> None:
    ordinary = config({"args": {"anything": 1}}, {"num_replicas": 2, "ray_actor_options": {"num_gpus": 1}})
    code = (
        "import sys; from airflow_provider_air.drivers.serve import schema; "
        f"schema.check({ordinary!r}); sys.exit('ray' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (config({"numreplicas": 2}), r"no field 'numreplicas' in 'applications'; it knows .*import_path"),
        (config(None, {"replicas": 1}), "no field 'replicas' in 'deployments'"),
        (config(None, {"ray_actor_options": {"num_gpu": 1}}), "'num_gpu' in 'ray_actor_options'"),
        (config(None, {"autoscaling_config": {"min_replica": 0}}), "'min_replica' in 'autoscaling_config'"),
        (config(apps=1), "'apps' in the config"),
        (config(http_options={"prot": 8100}), "'prot' in 'http_options'"),
        (config(grpc_options={"grpc_servicers": []}), "'grpc_servicers' in 'grpc_options'"),
    ],
)
def test_a_field_that_serve_would_drop_in_silence_is_refused(wrong: Any, says: str) -> None:
    with pytest.raises(ConfigurationProblem, match=says):
        schema.check(wrong)


def test_all_that_this_ray_knows_passes() -> None:
    """Also what no Ray of the past knew, wherever it stands."""
    schema.check(
        config(
            {"external_scaler_enabled": True},
            {
                "max_surge_percent": 10,
                "autoscaling_config": {"policy": {"policy_function": "mine:policy"}, "aggregation_function": "mean"},
                "request_router_config": {"request_router_class": "mine:Router"},
                "user_config": {"anything": {"goes": 1}},
            },
            http_options={"ssl_keyfile": "k", "ssl_certfile": "c"},
            tracing_config={"enabled": True},
        )
    )
