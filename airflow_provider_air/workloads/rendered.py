"""
Makes of fields what their templates meant, in the worker, after Airflow has rendered them.

A template gives text, also where a number or a truth value is meant; with ``render_template_as_native_obj`` it gives a
number also where text is meant, such as a day or an id.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from airflow_provider_air.errors import ConfigurationError

# What is a number, or holds numbers and truth values, by Ray's own words: of operators, sensors and their specs.
NUMBERS = frozenset(
    {
        "at_least",
        "batch_size",
        "checkpoint_config",
        "checkpoint_frequency",
        "checkpoints_to_keep",
        "cluster_timeout_seconds",
        "concurrency",
        "config",
        "deadline_seconds",
        "deferral_grace_seconds",
        "deployments",
        "drain_seconds",
        "driver_num_cpus",
        "entrypoint_memory",
        "entrypoint_num_cpus",
        "entrypoint_num_gpus",
        "entrypoint_resources",
        "expected_status",
        "failure_config",
        "gpus",
        "healthy_timeout_seconds",
        "http_options",
        "idle_timeout_seconds",
        "keep_clusters_seconds",
        "keep_files_days",
        "keep_results_days",
        "limit",
        "lock_timeout_seconds",
        "log_limit_bytes",
        "max_concurrent_jobs",
        "max_concurrent_trials",
        "max_failed_trials",
        "max_latency_seconds",
        "max_replicas",
        "min_improvement",
        "min_nodes",
        "min_replicas",
        "num_cpus",
        "num_gpus",
        "num_of_hosts",
        "num_partitions",
        "num_samples",
        "object_store_memory_bytes",
        "poke_interval",
        "poll_interval_seconds",
        "priority",
        "replicas",
        "report_interval_seconds",
        "resources",
        "resources_per_actor",
        "resources_per_trial",
        "resources_timeout_seconds",
        "samples",
        "scaling_config",
        "scheduler",
        "searcher",
        "settle_seconds",
        "startup_timeout_seconds",
        "stop",
        "termination_grace_period_seconds",
        "threshold",
        "time_budget_seconds",
        "timeout",
        "timeout_seconds",
        "tpus",
        "ttl_seconds",
        "unreachable_timeout_seconds",
        "warmup_requests",
        "workers",
    }
)
# Of these, the arguments by name are Ray's, and not the author's own.
SEARCHES = ("scheduler", "searcher", "stop")
# Inside of what holds numbers: names, and what is the author's own.
KEPT = frozenset(
    {
        "accelerator_type",
        "bundle_label_selector",
        "checkpoint_score_attribute",
        "custom_model_config",
        "env_config",
        "env_vars",
        "import_path",
        "label_selector",
        "name",
        "placement_group_bundle_label_selector",
        "policy_kwargs",
        "request_router_kwargs",
        "route_prefix",
        "runtime_env",
        "user_config",
        "version",
    }
)
# Data sets, by name or alone, and inside of one what holds numbers; a reader's options are its own.
DATA = frozenset({"datasets", "input_uri", "output_uri"})
NUMBERS_OF_DATA = frozenset({"max_rows_per_file", "min_rows_per_file", "seed", "split"})
FLAGS = frozenset(
    {
        "clean",
        "enable_in_tree_autoscaling",
        "enable_ingress",
        "full_feature_names",
        "missing_ok",
        "offline",
        "online",
        "only_tell",
        "overwrite",
        "records",
        "soft_fail",
        "strict",
        "wait",
    }
)
# What is text, or holds text.
TEXTS = frozenset(
    {
        "alias",
        "annotations",
        "application",
        "entity",
        "entrypoint_label_selector",
        "env_vars",
        "experiment",
        "feature_service",
        "feature_view",
        "feature_views",
        "flavor",
        "head_service_annotations",
        "labels",
        "metadata",
        "metric",
        "model_name",
        "name",
        "node_selector",
        "pod_annotations",
        "pod_labels",
        "project",
        "register_as",
        "same_tag",
        "submission_id",
        "tags",
        "timestamp_column",
        "workspace",
    }
)

INTEGER, NUMBER = re.compile(r"[+-]?\d+"), re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
TRUTH = {"true": True, "false": False}


def read_rendered(owner: Any, *, is_native: bool) -> None:
    """
    Read the rendered fields of an operator or sensor, and of the specs in them; they are changed in place.

    Runs in the worker; what is no number stays as it was written, for the check that names the field.

    :param owner: what has ``template_fields``
    :param is_native: whether templates give what they look like, so that a number may stand for text
    :raises ConfigurationError: text in the place of a truth value is none
    """
    for name in owner.template_fields:
        value = getattr(owner, name)
        for spec in _specs_in(value):
            read_rendered(spec, is_native=is_native)
        if name in NUMBERS:
            setattr(owner, name, _numbers_in(value, KEPT if name in SEARCHES else KEPT | {"args"}))
        elif name in DATA:
            setattr(owner, name, _numbers_of_data(value))
        elif name in FLAGS:
            setattr(owner, name, _flag(value, name))
        elif is_native and name in TEXTS:
            setattr(owner, name, _texts_in(value))
        elif is_native and name == "runtime_env" and isinstance(value, Mapping) and "env_vars" in value:
            setattr(owner, name, {**value, "env_vars": _texts_in(value["env_vars"])})


def _specs_in(value: Any) -> list[Any]:
    """Give what is rendered by fields of its own: a cluster, a storage, trackers, smoke tests by application."""
    values = value.values() if isinstance(value, Mapping) else value if isinstance(value, (list, tuple)) else [value]
    return [one for one in values if hasattr(one, "template_fields")]


def _numbers_in(value: Any, kept: frozenset[str]) -> Any:
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in TRUTH:
            return TRUTH[text.lower()]
        return int(text) if INTEGER.fullmatch(text) else float(text) if NUMBER.fullmatch(text) else value
    if isinstance(value, Mapping):
        here = kept | {"args"} if _is_own(value.get("name")) else kept
        return {key: item if key in here else _numbers_in(item, kept) for key, item in value.items()}
    # A tuple, as Ray writes num_workers=(1, 4), and a list are the same to JSON.
    return [_numbers_in(item, kept) for item in value] if isinstance(value, (list, tuple)) else value


def _is_own(name: Any) -> bool:
    """Whether it is the import path of an author's own class, and not of Ray's."""
    return isinstance(name, str) and ":" in name and not name.startswith("ray.")


def _numbers_of_data(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {
        key: _numbers_in(item, KEPT) if key in NUMBERS_OF_DATA else item if key == "options" else _numbers_of_data(item)
        for key, item in value.items()
    }


def _flag(value: Any, name: str) -> Any:
    if not isinstance(value, str):
        return value
    if value.strip().lower() not in TRUTH:
        raise ConfigurationError(f"'{name}' must be True or False, not {value!r}")
    return TRUTH[value.strip().lower()]


def _texts_in(value: Any) -> Any:
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _texts_in(item) for key, item in value.items()}
    return [_texts_in(item) for item in value] if isinstance(value, list) else value
