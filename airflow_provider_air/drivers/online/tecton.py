"""
Online features from Tecton, over its HTTP API and the standard library.

The API key is the cluster's own: ``TECTON_API_KEY`` in the environment of its nodes. It does not travel, since Serve
shows an application's environment to whoever can list applications.

Source: the routes ``feature-service/metadata`` and ``feature-service/get-features`` as Tecton documents them. Never
run against a live account: the tests speak to a double of these routes.
"""

from __future__ import annotations

import http.client
import json
import numbers
import os
import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional

from .kept_connections import KeptConnections

# These are set by the deploying side ...
SERVICE = "TECTON_FEATURE_SERVICE"
WORKSPACE = "TECTON_WORKSPACE"
URL = "TECTON_URL"
CA = "TECTON_CA"  # PEM text, where Tecton's certificate is of a private CA
VERIFY = "TECTON_VERIFY_TLS"
# ... and this one by whoever runs the cluster.
KEY = "TECTON_API_KEY"

TIMEOUT_SECONDS = 5.0
# Tecton's documented route reads one row.
PARALLEL = 8
# What JSON has no type for: int64 comes as text, and a whole float64 may come without its point.
NUMBERS = {"int64": int, "float64": float, "float32": float}


class TectonOnline:
    """
    One feature service, by its names as Tecton has them now.

    Its errors are Python's own: they reach callers of the application, whose processes do not have this module.

    :raises RuntimeError: the cluster has no API key, or Tecton refuses it, does not know the service or does not answer
    """

    def __init__(self, url: str, workspace: str, feature_service: str, api_key: str) -> None:
        if not api_key or not (api_key.isascii() and api_key.isprintable()):
            raise RuntimeError(
                "the cluster's environment has no usable %s, which Tecton's features need: set it on the cluster's "
                "nodes, such as from a mounted secret; never in runtime_env, which Ray shows" % KEY
            )
        self._base = url.rstrip("/") + "/api/v1/feature-service/"
        self._headers = {
            "Authorization": "Tecton-key " + api_key,
            "Content-Type": "application/json",
            "User-Agent": "airflow-provider-air",
        }
        self._named = {"workspaceName": workspace, "featureServiceName": feature_service}
        self._http = KeptConnections(url, _trusted(), PARALLEL)
        self._threads = ThreadPoolExecutor(PARALLEL, thread_name_prefix="air-tecton")
        self.feature_service = feature_service
        told = self._call("metadata", {})
        self._join_keys = _names(told, "inputJoinKeys")
        self._request_keys = _names(told, "inputRequestContextKeys")
        self.features: List[str] = _names(told, "featureValues")
        if not self.features:
            raise RuntimeError("Tecton names no features of %r: %s" % (feature_service, str(told)[:300]))

    def read(self, rows: List[Dict[str, Any]]) -> List[Dict[str, Any]]:
        """
        Read the rows side by side, each with a request of its own, over connections that are kept.

        :raises ValueError: a row lacks a key, or has one that the service does not take; nothing is read
        :raises RuntimeError: Tecton refused, did not answer in time, or gave an answer that is not understood
        """
        asked = [self._asked(row) for row in rows]
        return list(self._threads.map(self._read, asked)) if len(asked) > 1 else [self._read(asked[0])]

    def _asked(self, row: Dict[str, Any]) -> Dict[str, Any]:
        wanted = self._join_keys + self._request_keys
        lacking, besides = [key for key in wanted if key not in row], [str(key) for key in row if key not in wanted]
        if lacking or besides:
            parts = (("lacks ", lacking), ("has besides ", besides))
            wrong = [what + ", ".join(keys) for what, keys in parts if keys]
            raise ValueError(
                "a row of entities %s; the feature service %r takes: %s"
                % (" and ".join(wrong), self.feature_service, ", ".join(wanted))
            )
        asked: Dict[str, Any] = {"metadataOptions": {"includeNames": True, "includeDataTypes": True}}
        for field, keys in (("joinKeyMap", self._join_keys), ("requestContextMap", self._request_keys)):
            if keys:
                asked[field] = {key: _sent(row[key]) for key in keys}
        return asked

    def _read(self, asked: Dict[str, Any]) -> Dict[str, Any]:
        told = self._call("get-features", asked)
        try:
            values, described = told["result"]["features"], told["metadata"]["features"]
            if len(values) != len(described):
                raise ValueError("%d values of %d features" % (len(values), len(described)))
            found = {one["name"]: _received(values[i], one.get("dataType")) for i, one in enumerate(described)}
            # By name: a service that has changed meanwhile must not shift values into other features.
            return {name: found[name] for name in self.features}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            said = "Tecton's answer has not the features of %r: %r" % (self.feature_service, error)
            raise RuntimeError(said) from error

    def _call(self, route: str, params: Dict[str, Any]) -> Dict[str, Any]:
        body = json.dumps({"params": {**self._named, **params}}).encode()
        try:
            status, said = self._http.post(self._base + route, body, self._headers, TIMEOUT_SECONDS)
        except (OSError, http.client.HTTPException) as error:
            raise RuntimeError("Tecton does not answer at %s: %s" % (self._base, error)) from error
        if not 200 <= status < 300:
            raise RuntimeError(_refusal(status, said, route, self._named))
        try:
            told = json.loads(said)
        except ValueError as error:
            raise RuntimeError("%s does not answer like Tecton" % self._base) from error
        if not isinstance(told, dict):
            raise RuntimeError("%s does not answer like Tecton" % self._base)
        return told


def _trusted() -> ssl.SSLContext:
    if os.environ.get(VERIFY) == "false":
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    return ssl.create_default_context(cadata=os.environ.get(CA) or None)


def find() -> Optional[TectonOnline]:
    """Open the service that the application was deployed with; None where there is none."""
    url, workspace, service = (os.environ.get(name) for name in (URL, WORKSPACE, SERVICE))
    if not (url and workspace and service):
        return None
    # A mounted secret often ends with a line break.
    return TectonOnline(url, workspace, service, os.environ.get(KEY, "").strip())


def _names(told: Dict[str, Any], field: str) -> List[str]:
    try:
        return [str(one["name"]) for one in told.get(field) or []]
    except (KeyError, TypeError) as error:
        raise RuntimeError("Tecton's %s are not understood: %s" % (field, str(told)[:300])) from error


def _sent(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return value
    return str(int(value)) if isinstance(value, numbers.Integral) else float(value)


def _received(value: Any, kind: Any) -> Any:
    kind = kind or {}
    if isinstance(value, list) and kind.get("type") == "array":
        return [_received(item, kind.get("elementType")) for item in value]
    number = NUMBERS.get(kind.get("type"))
    return value if value is None or number is None else number(value)


def _refusal(status: int, said: bytes, route: str, named: Dict[str, Any]) -> str:
    told = "Tecton refused %s of the feature service %r in the workspace %r (%d): %s" % (
        route,
        named["featureServiceName"],
        named["workspaceName"],
        status,
        _words(said),
    )
    return told + ("; check the cluster's %s" % KEY if status in (401, 403) else "")


def _words(said: bytes) -> str:
    text = said.decode("utf-8", "replace")
    try:
        told = json.loads(text)
        text = str(told.get("error") or told.get("message") or text)
    except (ValueError, AttributeError):
        # What is no JSON is told as it came.
        pass
    return text[:300]
