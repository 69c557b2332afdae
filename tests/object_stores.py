"""S3 and Google Cloud Storage on loopback: moto's server and the GCS emulator, spoken to over real HTTP."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import boto3
from airflow_stack import free_ports
from gcp_storage_emulator.server import create_server
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
    (port,) = free_ports(1)
    server = create_server("127.0.0.1", port, in_memory=True)
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()


def gcs_client(url: str) -> Any:
    """Give a client of the emulator."""
    options = {"api_endpoint": url}
    return google_storage.Client(project="tests", credentials=AnonymousCredentials(), client_options=options)
