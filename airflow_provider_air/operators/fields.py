"""What all job operators' fields must be, after rendering and before anything remote."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider_air.addresses import are_bare, is_proxy, without_credentials
from airflow_provider_air.contracts.names import OUR_METADATA
from airflow_provider_air.drivers.wire.names import EXIT_CONFIGURATION, EXIT_NOT_AFTER, EXIT_UNAVAILABLE
from airflow_provider_air.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from airflow_provider_air.contracts.jobs import PreparedJob


# By which drivers tell what is no end of the author's code.
OWN_EXIT_CODES = (EXIT_CONFIGURATION, EXIT_UNAVAILABLE, EXIT_NOT_AFTER)
# Scheme and host of an address without credentials, which are refused where addresses are read.
HOST = re.compile(
    r"\b[A-Za-z][A-Za-z0-9+.-]*://(?:[\w.-]+|\[[\w.:]+\])(?::\d+)?(?=[/?#;,\s\"'`)\]}>]|$)(?![^/\s\"']*@)"
)

ELSEWHERE = "Read it inside the job from a secret store, a mounted file, or the cluster's environment"


def check_limit(limit: Any) -> None:
    """:raises ConfigurationError: this is no number of jobs that a cluster could take."""
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or limit < 1):
        raise ConfigurationError(f"'max_concurrent_jobs' must be a whole number of at least 1, not {limit!r}")


def exit_codes(value: Any, name: str) -> tuple[int, ...]:
    """
    Give the exit codes that an author wrote, as one or several; None: none.

    :raises ConfigurationError: this is something else, or one that tells of success or of the provider's own trouble
    """
    codes = (
        () if value is None else tuple(value) if isinstance(value, (list, tuple, set, frozenset, range)) else (value,)
    )
    for code in codes:
        if isinstance(code, bool) or not isinstance(code, int) or not 1 <= code <= 255 or code in OWN_EXIT_CODES:
            raise ConfigurationError(
                f"{name!r} must be exit codes from 1 to 255, not {value!r}",
                hint=f"{' and '.join(map(str, OWN_EXIT_CODES))} are the provider's own",
            )
    return codes


def check_fields(operator: BaseOperator) -> None:
    """
    Check what all job operators have, after rendering.

    :raises ConfigurationError: the first thing that is wrong, by the field's name
    """
    from airflow_provider_air.runs.names import check_submission_id

    fields: Any = operator
    if fields.on_clear not in ("auto", "fresh", "resume"):
        raise ConfigurationError(f"'on_clear' must be auto, fresh or resume, not {fields.on_clear!r}")
    if fields.keep_cluster not in ("never", "on_failure"):
        raise ConfigurationError(f"'keep_cluster' must be never or on_failure, not {fields.keep_cluster!r}")
    if not isinstance(fields.wait, bool):
        raise ConfigurationError(f"'wait' must be True or False, not {fields.wait!r}")
    check_submission_id(fields.submission_id)
    check_limit(fields.max_concurrent_jobs)
    for name in ("cluster_timeout_seconds", "unreachable_timeout_seconds"):
        amount = getattr(fields, name)
        if not _is_amount(amount) or amount == 0:
            raise ConfigurationError(f"'{name}' must be a positive number, not {amount!r}")
    if fields.log_limit_bytes is not None and not _is_amount(fields.log_limit_bytes):
        raise ConfigurationError(f"'log_limit_bytes' must be a number of at least 0, not {fields.log_limit_bytes!r}")


def _is_amount(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < float("inf")


def check_sent(job: PreparedJob) -> None:
    """
    Refuse a job that would show a secret: Ray shows entrypoint, metadata and runtime_env to whoever can list jobs.

    Of what is really sent, with all that attachments and storage have added. Runs in the worker.

    :raises ConfigurationError: something holds one; the message says where, not the value
    """
    sent = job.submission.to_api()
    # The names of DAG, task and owner are no secrets, whatever somebody took for a password.
    del sent["submission_id"]
    sent["entrypoint"] = [sent["entrypoint"], *_words(sent["entrypoint"])]
    sent["metadata"] = {name: value for name, value in sent["metadata"].items() if name not in OUR_METADATA}
    environment = dict(sent.get("runtime_env") or {})
    variables = dict(environment.get("env_vars") or {})
    for name in job.context_names:
        variables.pop(name, None)
    sent["runtime_env"] = {**environment, "env_vars": variables}
    check_secrets({**sent, "config": job.rollout})


def check_secrets(fields: Mapping[str, Any]) -> None:
    """
    Refuse a secret in what others can read.

    That is what Airflow masks in logs, and credentials in an address; runs in the worker after rendering.

    :raises ConfigurationError: a field holds one; the message names the field, not the value
    """
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # public, but not in __all__ (3.3.2)

    for name, value in fields.items():
        for place, text in _texts(value):
            # A host's name is none either; and the neutral name keeps Airflow from judging by the field's name.
            said = HOST.sub("", text)
            if said and redact(said, "value") != said:
                inside = f" ({redact(place, 'value')})" if place else ""
                raise ConfigurationError(
                    f"'{name}' holds a secret from a connection or variable{inside}, and Ray would show it to whoever "
                    "can list jobs",
                    hint=ELSEWHERE,
                )
            if not are_bare(text, is_proxy=is_proxy(place.rpartition(".")[2])):
                inside = f" ({redact(place, 'value')})" if place else ""
                raise ConfigurationError(
                    f"'{name}' holds an address with a user or a password{inside}, and Ray would show it to whoever "
                    "can list jobs",
                    hint=f"Write ${{NAME}} in the place of it, as a variable that the cluster has. {ELSEWHERE}",
                )


def _words(command: str) -> list[str]:
    """Give a command's words as its shell reads them: quotes hide what is in them; none where they do not close."""
    try:
        return shlex.split(command)
    except ValueError:
        return []


def redacted(values: Mapping[str, Any]) -> dict[str, Any]:
    """Give settings as trackers may note them: without what Airflow masks in logs, and credentials in an address."""
    from airflow.sdk.log import redact  # type: ignore[attr-defined]  # public, but not in __all__ (3.3.2)

    return {name: _bare(redact(value, "value"), name) for name, value in values.items()}


def _bare(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return without_credentials(value, is_proxy=is_proxy(name))
    if isinstance(value, Mapping):
        return {key: _bare(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_bare(item, name) for item in value]
    return value


def _texts(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Give each text of a value with its place, keys included."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key, place)
            yield from _texts(item, f"{place}.{key}".lstrip("."))
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item, place)
