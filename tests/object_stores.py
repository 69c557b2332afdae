"""S3 and Google Cloud Storage on loopback: moto's server and the GCS emulator, spoken to over real HTTP."""

from __future__ import annotations

import contextlib
import functools
import json
import threading
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import boto3
from airflow_stack import held_port
from gcp_storage_emulator import server as gcs_emulator
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage as google_storage
from moto.server import ThreadedMotoServer

STATIC_KEY = "AKIAIOSFODNN7EXAMPLE"
STATIC_SECRET = "canary-static-secret-7c1e"
REGION = "us-east-1"
ROLE = "arn:aws:iam::123456789012:role/jobs"


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Give the address of a store that speaks S3 and STS."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def s3_client(url: str) -> Any:
    """Give a client of the store, with keys that it takes."""
    keys = {"aws_access_key_id": STATIC_KEY, "aws_secret_access_key": STATIC_SECRET}
    return boto3.client("s3", endpoint_url=url, region_name=REGION, **keys)


def aws_connection(url: str, **extra: Any) -> str:
    """Give the JSON of an ``aws`` connection to the store; its keys never expire."""
    service_config = {"sts": {"endpoint_url": url}}
    extra = {"region_name": REGION, "endpoint_url": url, "service_config": service_config, **extra}
    return json.dumps({"conn_type": "aws", "login": STATIC_KEY, "password": STATIC_SECRET, "extra": extra})


@contextlib.contextmanager
def gcs_server() -> Iterator[str]:
    """Give the address of a GCS emulator."""
    _teach_preconditions()
    with held_port() as port:
        server = gcs_emulator.create_server("127.0.0.1", port, in_memory=True)
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop()


@functools.cache
def _teach_preconditions() -> None:
    """Let the emulator, which passes over it (2026.7), take ``ifGenerationMatch=0``: 412 where an object is."""
    for _, methods in gcs_emulator.HANDLERS:
        if methods.get("POST") is objects.insert:
            methods["POST"] = _insert


_WRITING = threading.Lock()


def _insert(request: Any, response: Any, storage: Any, **more: Any) -> None:
    with _WRITING:
        is_new = request.query.get("ifGenerationMatch") == ["0"]
        if is_new and _is_there(storage, request.params["bucket_name"], _name_in(request)):
            response.status = HTTPStatus.PRECONDITION_FAILED
            response.json({"error": {"code": 412, "message": "At least one of the pre-conditions did not hold."}})
        else:
            objects.insert(request, response, storage, **more)


def _name_in(request: Any) -> str:
    """Give the object's name: in the address where the body is the object's alone, as Arrow sends it."""
    return str((request.query.get("name") or [None])[0] or request.data["meta"]["name"])


def _is_there(storage: Any, bucket: str, name: str) -> bool:
    with contextlib.suppress(NotFound):
        return bool(storage.get_file_obj(bucket, name))
    return False


def gcs_client(url: str) -> Any:
    """Give a client of the emulator."""
    options = {"api_endpoint": url}
    return google_storage.Client(project="tests", credentials=AnonymousCredentials(), client_options=options)
