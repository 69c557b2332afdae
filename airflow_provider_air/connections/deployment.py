"""Which Airflow this is."""

from __future__ import annotations

from airflow.sdk import conf

from airflow_provider_air.contracts.names import digest


def deployment_id() -> str:
    """
    Name this Airflow deployment, so that two of them on one Ray cluster never touch each other's jobs.

    Option ``[air] deployment``; else a hash of the API's addresses, which differ between deployments.
    """
    named = conf.get("air", "deployment", fallback="")
    if named:
        return str(named)
    places = [("api", "base_url"), ("core", "execution_api_server_url"), ("core", "fernet_key")]
    return digest(*(conf.get(section, key, fallback="") for section, key in places), length=12)
