"""A manifest of the author's own: a dict, a file, or what a URL answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from airflow_provider_air.clusters.kuberay.checks import is_ours
from airflow_provider_air.clusters.kuberay.skeleton import RAY_CLUSTER, fitting
from airflow_provider_air.clusters.kuberay.words import spelled
from airflow_provider_air.errors import ConfigurationError, UnavailableError

MOST_BYTES = 1024 * 1024
TIMEOUT_SECONDS = 20.0
HINT = "'manifest' must be a RayCluster: a dict, the path of a YAML or JSON file in the DAG's bundle, or a URL"
# What of a resource's metadata is the author's own; the rest is ours or the kube-apiserver's.
METADATA = ("labels", "annotations")


def read_manifest(said: Any, roots: Sequence[Path]) -> dict[str, Any] | None:
    """
    Give a manifest as a dict in Kubernetes' own words; None where none is said.

    :param said: a dict; else a path or a URL (``https``, ``http``, ``file``)
    :param roots: where a relative path starts: at the first that has it
    :raises ConfigurationError: there is none, or it is no RayCluster
    :raises UnavailableError: the URL does not answer
    """
    if said is None:
        return None
    return checked(_loaded(_text_of(said.strip(), roots), said) if isinstance(said, str) else said)


def checked(said: Any) -> dict[str, Any]:
    """
    Give the parts of a RayCluster that an author may say, in Kubernetes' own words.

    :raises ConfigurationError: it is none, or says what others decide
    """
    if not isinstance(said, Mapping):
        raise ConfigurationError(f"The manifest of a KubeRayCluster is no object, but {type(said).__name__}", hint=HINT)
    whole = spelled(said)
    kind, version = whole.pop("kind", "RayCluster"), whole.pop("apiVersion", "ray.io/v1")
    if (kind, version) != ("RayCluster", "ray.io/v1"):
        raise ConfigurationError(
            f"The manifest of a KubeRayCluster is a {kind} of {version}", hint=f"{HINT} of ray.io/v1"
        )
    whole.pop("status", None)
    fitted = fitting(whole, RAY_CLUSTER, "manifest")
    metadata, spec = fitted.pop("metadata", {}), fitted.pop("spec", {})
    if refused := sorted(str(key) for key in metadata if key not in METADATA):
        raise ConfigurationError(
            f"The manifest of a KubeRayCluster says metadata.{refused[0]}",
            hint="Name and namespace are fields of the KubeRayCluster; of metadata only labels and annotations count",
        )
    for kind in METADATA:
        if ours := [key for key in metadata.get(kind) or {} if is_ours(str(key))]:
            raise ConfigurationError(
                f"The manifest of a KubeRayCluster says metadata.{kind}[{ours[0]}]",
                hint="Leave it out: by these we find what we made",
            )
    if unknown := sorted(map(str, fitted)):
        raise ConfigurationError(f"The manifest of a KubeRayCluster has no field {unknown[0]!r}", hint=HINT)
    return {"metadata": metadata, "spec": spec}


def _text_of(place: str, roots: Sequence[Path]) -> str:
    parts = urlsplit(place)
    if parts.scheme in ("http", "https"):
        return _fetched(place)
    path = Path(unquote(parts.path) if parts.scheme == "file" else place).expanduser()
    tried = [path] if path.is_absolute() else [root / path for root in roots]
    found = next((one for one in tried if one.is_file()), None)
    if found is None:
        where = ", ".join(map(str, tried)) or "no folder is known where a relative path starts"
        raise ConfigurationError(f"There is no manifest {place!r}", where=where, hint=HINT)
    try:
        if found.stat().st_size > MOST_BYTES:
            raise ConfigurationError("The manifest is larger than 1 MiB", where=str(found), hint=HINT)
        return found.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"The manifest cannot be read: {error}", where=str(found)) from None


def _fetched(url: str) -> str:
    # What stands in front of the host may be a password, and behind the ? a signature.
    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.hostname}{parts.path}"
    try:
        answer = httpx.get(url, timeout=TIMEOUT_SECONDS, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise UnavailableError(f"The manifest cannot be fetched: {type(error).__name__}", where=where) from None
    if answer.status_code >= 500 or answer.status_code == 429:
        raise UnavailableError(f"The manifest cannot be fetched: HTTP {answer.status_code}", where=where)
    if answer.status_code != 200:
        raise ConfigurationError(f"The manifest cannot be fetched: HTTP {answer.status_code}", where=where, hint=HINT)
    if len(answer.content) > MOST_BYTES:
        raise ConfigurationError("The manifest is larger than 1 MiB", where=where, hint=HINT)
    return answer.text


def _loaded(text: str, said: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        shown = str(error).replace("\n", " ")[:300]
        raise ConfigurationError(f"The manifest {said.split('?')[0]!r} is no YAML: {shown}", hint=HINT) from None
