"""
Which fields the cluster's own Serve knows.

Serve drops a field that it does not know in silence (Ray 2.60), so a misspelt one is refused here, by the schema of
the Ray that runs: no table of ours could know what another version takes.
"""

from __future__ import annotations

import importlib
import typing
from typing import Any, Dict, Mapping, NamedTuple, Optional

from ..wire.problems import ConfigurationProblem

Fields = Dict[str, Any]
"""Names of fields; below each the fields of what it holds, or None where anything goes."""

# The schema costs seconds to import; what has only fields that each Serve knows needs none of it.
_REPLICA = ("runtime_env", "num_cpus", "num_gpus", "memory", "resources", "accelerator_type")
_SCALING = ("min_replicas", "max_replicas", "initial_replicas", "target_ongoing_requests", "upscale_delay_s",
            "downscale_delay_s")  # fmt: skip
_DEPLOYMENT = ("name", "num_replicas", "max_ongoing_requests", "max_queued_requests", "max_replicas_per_node",
               "user_config", "placement_group_bundles", "placement_group_strategy", "graceful_shutdown_timeout_s",
               "graceful_shutdown_wait_loop_s", "health_check_period_s", "health_check_timeout_s")  # fmt: skip
_LOGGING: Fields = dict.fromkeys(("encoding", "log_level", "logs_dir", "enable_access_log"))
_APPLICATION: Fields = {
    **dict.fromkeys(("name", "route_prefix", "import_path", "runtime_env", "args")),
    "logging_config": _LOGGING,
    "deployments": {
        **dict.fromkeys(_DEPLOYMENT),
        "autoscaling_config": dict.fromkeys(_SCALING),
        "ray_actor_options": dict.fromkeys(_REPLICA),
        "logging_config": _LOGGING,
    },
}
ALWAYS: Fields = {
    "applications": _APPLICATION,
    "proxy_location": None,
    "http_options": dict.fromkeys(("host", "port", "root_path", "request_timeout_s", "keep_alive_timeout_s")),
    "grpc_options": dict.fromkeys(("port", "grpc_servicer_functions")),
    "logging_config": _LOGGING,
}


class Unknown(NamedTuple):
    """A field that is not known, where it is, and the fields that are known there."""

    where: str
    name: str
    known: Fields


def check(config: Mapping[str, Any]) -> None:
    """
    Refuse a field that the cluster's Serve would drop.

    :param config: a whole Serve config, as it is to be written
    :raises ConfigurationProblem: it has one; the message names it, and those that there are
    """
    if unknown_in(config, ALWAYS) is None:
        return
    try:
        ray, schema = importlib.import_module("ray"), importlib.import_module("ray.serve.schema")
    except ImportError:
        return  # the cluster itself says that it has no Serve
    unknown = unknown_in(config, fields_of(schema.ServeDeploySchema))
    if unknown is not None:
        raise ConfigurationProblem(
            "Serve of Ray %s knows no field %r in %s; it knows %s"
            % (ray.__version__, unknown.name, unknown.where, ", ".join(sorted(unknown.known)))
        )


def unknown_in(value: Any, known: Optional[Fields], where: str = "the config") -> Optional[Unknown]:
    """Find the first field that is not among the known ones."""
    if known is None:
        return None
    if isinstance(value, (list, tuple)):
        found = (unknown_in(item, known, where) for item in value)
        return next((one for one in found if one is not None), None)
    if not isinstance(value, Mapping):
        return None
    for name, item in value.items():
        if name not in known:
            return Unknown(where, name, known)
        below = unknown_in(item, known[name], repr(name))
        if below is not None:
            return below
    return None


def fields_of(model: Any) -> Fields:
    """Give the fields of a model of Pydantic, of its first version or its second, and of the models in it."""
    fields: Fields = {}
    for name, field in (getattr(model, "model_fields", None) or model.__fields__).items():
        models = _models_in(field.annotation)
        below = fields_of(models[0]) if len(models) == 1 else None
        fields.update(dict.fromkeys({name, getattr(field, "alias", None) or name}, below))
    return fields


def _models_in(annotation: Any) -> typing.List[Any]:
    if isinstance(annotation, type) and (hasattr(annotation, "model_fields") or hasattr(annotation, "__fields__")):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in _models_in(part)]
