"""How a head is started: its ports, its command, its environment, and why it died."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from airflow_provider_air.addresses import are_bare, is_proxy

if TYPE_CHECKING:
    from airflow_provider_air.clusters.local.home import ClusterHome, ClusterRecord
    from airflow_provider_air.clusters.local.spec import LocalCluster

MARKER = "AIR_LOCAL_CLUSTER"
"""The environment variable by which all processes of a cluster are found; its value is the folder."""

INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "HOSTNAME", "TERM", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"),
    *("PYTHON*", "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_*"),
    *("CUDA_*", "NVIDIA_*", "NCCL_*", "ROCR_*", "HIP_*", "TPU_*", "OMP_*", "MKL_*", "OPENBLAS_*", "JAVA_HOME"),
    *(
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "XDG_CACHE_HOME",
        "HF_HOME",
        "TORCH_HOME",
    ),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_CONFIG_FILE", "UV_INDEX_URL", "UV_DEFAULT_INDEX"),
    *("http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY"),
)
"""Names, as patterns, that a head takes over from the worker; a value that is an address with a password does not."""

PORT_OPTIONS = {
    "gcs": "--port",
    "dashboard": "--dashboard-port",
    "agent": "--dashboard-agent-listen-port",
    "agent_grpc": "--dashboard-agent-grpc-port",
    "runtime_env_agent": "--runtime-env-agent-port",
    "metrics": "--metrics-export-port",
    "client": "--ray-client-server-port",
    "node_manager": "--node-manager-port",
    "object_manager": "--object-manager-port",
}
PORT_VARIABLES = {
    "dashboard_metrics": "DASHBOARD_METRIC_PORT",
    "autoscaler_metrics": "AUTOSCALER_METRIC_PORT",
}

# Below the kernel's ephemeral ports (32768 up on Linux), so that no outgoing connection takes a port between
# the death of a head and its restart on the same ports.
FIRST_PORT, LAST_PORT = 20000, 31999


NEVER_INHERITED = ("AIRFLOW", "_AIRFLOW", "RAY_", MARKER)

_ERROR_LINE = re.compile(r"\s*([\w.]*(Error|Exception)\b|Some Ray subprocesses exited|.*No module named)")


def choose_ports(taken: set[int]) -> dict[str, int]:
    """
    Choose a free port for everything on which a head listens, so that heads live side by side.

    :param taken: ports of clusters that may not have bound them yet
    """
    candidates = random.sample(range(FIRST_PORT, LAST_PORT + 1), LAST_PORT - FIRST_PORT + 1)
    free = (port for port in candidates if port not in taken and port_is_free(port))
    return {use: next(free) for use in (*PORT_OPTIONS, *PORT_VARIABLES)}


def port_is_free(port: int) -> bool:
    """Tell whether a server could listen on this port of all interfaces now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def head_command(record: ClusterRecord, home: ClusterHome) -> list[str]:
    """Build the command that runs the head in the foreground until it dies or gets SIGTERM."""
    spec = record.spec
    command = [spec["python"], "-m", "ray.scripts.scripts", "start", "--head", "--block"]
    command += [f"{option}={record.ports[use]}" for use, option in PORT_OPTIONS.items()]
    # Workers bind any port: with Ray's default range, two heads would draw from the same 10002-19999.
    command += ["--min-worker-port=0", "--max-worker-port=0"]
    command += ["--dashboard-host=127.0.0.1", f"--temp-dir={home.ray_folder}"]
    command += ["--disable-usage-stats", "--log-style=pretty", "--log-color=false"]
    options = {
        "--num-cpus": spec["num_cpus"],
        "--num-gpus": spec["num_gpus"],
        "--object-store-memory": spec["object_store_memory_bytes"],
        "--resources": json.dumps(spec["resources"]) if spec["resources"] else None,
    }
    return command + [f"{option}={value}" for option, value in options.items() if value is not None]


def clean_environment(environ: Mapping[str, str], pass_env: Collection[str] = ()) -> dict[str, str]:
    """
    Keep what a cluster needs of the environment of the process that starts it, and what is asked for.

    A cluster outlives the task that made it and runs others' code, while the worker's variables hold passwords and keys
    of clouds; Airflow's settings and Ray's variables, which may point to another cluster, never come along.

    :param pass_env: patterns of further names
    """
    return {
        name: value
        for name, value in environ.items()
        if not name.startswith(NEVER_INHERITED)
        and (_matches(name, pass_env) or (_matches(name, INHERITED) and not _has_credentials(name, value)))
    }


def search_path(python: str, environ: Mapping[str, str]) -> str:
    """Give a head's ``PATH``: entrypoints say "python" and must get the interpreter that has Ray."""
    return os.pathsep.join([os.path.dirname(python), environ.get("PATH", os.defpath)])


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _has_credentials(name: str, value: str) -> bool:
    return not are_bare(value, is_proxy=is_proxy(name))


def head_environment(record: ClusterRecord, home: ClusterHome, environ: Mapping[str, str]) -> dict[str, str]:
    """Build the head's environment, which everything on the cluster inherits."""
    ours = clean_environment(environ, record.spec.get("pass_env", ()))
    return {
        **ours,
        "PATH": search_path(record.spec["python"], ours),
        # What killed processes leave behind goes with the cluster.
        "TMPDIR": str(home.temp_folder),
        "RAY_USAGE_STATS_ENABLED": "0",
        # A head that drains gets 30 s by default; here nobody else takes over its work.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        # Workers started ahead are of no use to jobs, which have environments of their own, and slow the start.
        "RAY_enable_worker_prestart": "0",
        "RAY_prestart_worker_first_driver": "0",
        # Ray Data 2.60 otherwise starts 32 processes to read the footers of Parquet files.
        "RAY_DATA_PARQUET_FOOTER_NUM_ACTORS": "2",
        **{variable: str(record.ports[use]) for use, variable in PORT_VARIABLES.items()},
        **record.spec["env_vars"],
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(home.token_file),
        # For libraries that look for "the" cluster of this host and would find another.
        "RAY_ADDRESS": f"127.0.0.1:{record.ports['gcs']}",
        MARKER: str(home.folder),
    }


def explain_death(log: str, exit_code: int | None = None) -> str:
    """Find the reason in a process's output: its last error, else what killed it, else its last lines."""
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;]*m", "", log).splitlines() if line.strip()]
    errors = [number for number, line in enumerate(lines) if _ERROR_LINE.match(line)]
    if not errors and exit_code is not None and exit_code < 0:
        return f"it was killed by {signal.Signals(-exit_code).name}"
    start = errors[-1] if errors else max(0, len(lines) - 3)
    return "\n".join(lines[start : start + 8])[:2000] or "it said nothing"


def spec_to_json(spec: LocalCluster) -> dict[str, Any]:
    """Keep of a LocalCluster what its supervisor needs, with the interpreter resolved."""
    return {
        "num_cpus": spec.num_cpus,
        "num_gpus": spec.num_gpus,
        "object_store_memory_bytes": spec.object_store_memory_bytes,
        "resources": dict(spec.resources),
        "env_vars": dict(spec.env_vars),
        "pass_env": list(spec.pass_env),
        "python": spec.interpreter(),
    }
