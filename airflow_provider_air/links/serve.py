"""Links to an application's endpoint and to Serve's page in the dashboard."""

from __future__ import annotations

from typing import Any

from airflow_provider_air.links.ray import _StoredLink

ENDPOINT_KEY = "ray_serve_endpoint_url"
PAGE_KEY = "ray_serve_page_url"


class RayServeEndpointLink(_StoredLink):
    """To where the application answers."""

    name = "Serve endpoint"
    key = ENDPOINT_KEY


class RayServePageLink(_StoredLink):
    """To Serve's page in the dashboard."""

    name = "Ray Serve"
    key = PAGE_KEY


def push_serve_page(ti: Any, url: str | None) -> None:
    """Store the URL of an application's page; runs in the worker."""
    if url:
        ti.xcom_push(key=PAGE_KEY, value=url)


def push_endpoint(ti: Any, url: str | None) -> None:
    """Store where the application answers; runs in the worker."""
    if url:
        ti.xcom_push(key=ENDPOINT_KEY, value=url)
