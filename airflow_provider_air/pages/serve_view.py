"""What an attempt shows of Serve: applications, their replicas and addresses, and the steps of a roll-out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_air.pages.lenient import epoch, mapping, name, number, objects, text, url

MOST_APPLICATIONS, MOST_DEPLOYMENTS, MOST_STEPS = 20, 50, 100


def serve_section(told: Any, result: Any, endpoint: Any) -> dict[str, Any] | None:
    """
    Give the section ``serve``; None where nothing of Serve is known.

    :param told: what the history has of it
    :param result: the task's XCom, which knows where applications answer
    :param endpoint: the address of the only application, if there is one
    """
    told = mapping(told)
    known = objects(told.get("applications"))[:MOST_APPLICATIONS]
    addresses = mapping(mapping(result).get("applications"))
    only = url(endpoint) if len(known) == 1 else None
    applications = [{**_application(item), "url": _address(item, addresses) or only} for item in known]
    steps = [
        {
            "name": name(step.get("name")),
            "at": epoch(step.get("at")),
            "state": name(step.get("state")) or None,
            "application": name(step.get("application")) or None,
            "message": text(step.get("message")) or None,
        }
        for step in objects(told.get("steps"))[-MOST_STEPS:]
    ]
    if not applications and not steps:
        return None
    versions = {item["version"] for item in applications if item["version"]}
    return {"applications": applications, "steps": steps, "version": versions.pop() if len(versions) == 1 else None}


def _address(told: Mapping[str, Any], addresses: Mapping[str, Any]) -> str | None:
    names = [str(told.get(key)) for key in ("application", "name")]
    return next((found for key in names if (found := url(mapping(addresses.get(key)).get("url")))), None)


def _application(told: Mapping[str, Any]) -> dict[str, Any]:
    deployments = objects(told.get("deployments"))[:MOST_DEPLOYMENTS]
    return {
        "name": name(told.get("name")),
        "status": name(told.get("status")) or None,
        "route_prefix": name(told.get("route_prefix")) or None,
        "version": name(told.get("version")) or None,
        "message": text(told.get("message")) or None,
        "deployments": [
            {
                "name": name(item.get("name")),
                "status": name(item.get("status")) or None,
                "replicas": number(item.get("replicas")),
                "target": number(item.get("target")),
            }
            for item in deployments
        ],
    }
