"""What the user must be allowed, asked for before anything is created."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from airflow_provider_air.clusters.kuberay import permissions
from airflow_provider_air.clusters.kuberay.client import KubeClient
from airflow_provider_air.clusters.kuberay.kinds import RAY_CLUSTER
from airflow_provider_air.clusters.kuberay.making import Making
from airflow_provider_air.clusters.kuberay.permissions import ALL_BUT_PORT_FORWARD, NEEDS, check_permissions, role
from airflow_provider_air.clusters.kuberay.places import Place
from airflow_provider_air.clusters.kuberay.spec import KubeRayCluster
from airflow_provider_air.contracts.clusters import ClusterOwner
from airflow_provider_air.errors import ConfigurationError
from tests.fakes.kube_api import GivenAccess, KubeApi


class Reviewing(KubeApi):
    """
    Answers reviews by rules.

    :param listed: what the review of rules tells
    :param allowed: what else an authorizer allows, that lists nothing
    """

    def __init__(self, listed: list[dict[str, Any]], allowed: list[dict[str, Any]] | None = None) -> None:
        super().__init__()
        self.listed, self.allowed = listed, allowed or []

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs))
        spec = json.loads(await request.read())["spec"]
        if request.path.endswith("selfsubjectrulesreviews"):
            return web.json_response(
                {"status": {"resourceRules": self.listed, "incomplete": bool(self.allowed)}}, status=201
            )
        asked = spec["resourceAttributes"]
        resource = asked["resource"] + (f"/{asked['subresource']}" if asked["subresource"] else "")
        is_allowed = any(
            asked["verb"] in rule["verbs"] and resource in rule["resources"] and asked["group"] in rule["apiGroups"]
            for rule in self.allowed
        )
        return web.json_response({"status": {"allowed": is_allowed}}, status=201)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permissions, "REFUSED_SECONDS", 0.0)


def check(kube: Reviewing, uses: tuple[str, ...] = ALL_BUT_PORT_FORWARD, secret: str = "") -> None:
    with kube, KubeClient(GivenAccess([kube.server()])) as client:
        check_permissions(client, "ns", uses, secret=secret, where="connection kube")


def test_the_documented_role_is_enough_and_costs_one_request() -> None:
    kube = Reviewing(role("ns")["rules"])

    check(kube)

    assert len(kube.requests) == 1


@pytest.mark.parametrize("left_out", range(len(role("ns")["rules"])))
def test_without_one_rule_the_error_names_its_permissions_and_the_rule_to_add(left_out: int) -> None:
    rules = role("ns")["rules"]
    rule = rules.pop(left_out)

    with pytest.raises(ConfigurationError) as caught:
        check(Reviewing(rules))

    assert json.dumps(rule) in str(caught.value)
    for verb in rule["verbs"]:
        assert f"{verb} {rule['resources'][0]}" in str(caught.value)
    assert "in the namespace 'ns'" in str(caught.value)
    assert "connection kube" in str(caught.value)


def test_a_rule_about_some_names_is_none_for_all() -> None:
    rules = [{**rule, "resourceNames": ["mine"]} for rule in role("ns")["rules"]]

    with pytest.raises(ConfigurationError):
        check(Reviewing(rules))


def test_a_rule_about_the_one_secret_is_enough_where_its_name_is_known() -> None:
    rules = role("ns")["rules"]
    (about,) = (rule for rule in rules if rule["resources"] == ["secrets"])
    about["resourceNames"] = ["mine"]

    check(Reviewing(rules), secret="mine")
    with pytest.raises(ConfigurationError, match="get secrets"):
        check(Reviewing(rules), secret="another")


class Creating(Reviewing):
    """Takes what is created, too."""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/rayclusters"):
            return web.json_response(json.loads(await request.read()), status=201)
        return await super()._answer(request)


@pytest.mark.parametrize(("name", "token"), [("mine", {}), ("another", {"secret_name": "mine"})])
def test_a_role_narrowed_to_the_clusters_own_secret_is_enough_to_make_it(name: str, token: dict[str, Any]) -> None:
    rules = role("ns")["rules"]
    (about,) = (rule for rule in rules if rule["resources"] == ["secrets"])
    about["resourceNames"] = ["mine"]
    spec = KubeRayCluster(name=name, image="rayproject/ray:2.60.0", auth_options={"mode": "token", **token})
    place = Place("kube", "ns", RAY_CLUSTER, name)

    with Creating(rules) as kube, KubeClient(GivenAccess([kube.server()])) as client:
        Making().create(spec, place, client, owner=ClusterOwner("air"), attempt=None, server_now=time.time())


def test_the_docs_have_the_same_role() -> None:
    page = Path(__file__).parents[4] / "docs" / "kuberay.md"
    blocks = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    (documented,) = (found for found in map(yaml.safe_load, blocks) if found.get("kind") == "Role")

    assert documented == role("ray")


def test_an_administrator_and_a_cloud_that_lists_no_rules_may_all() -> None:
    check(Reviewing([{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]))
    check(Reviewing([], role("ns")["rules"]))


def test_what_is_not_used_needs_no_rule() -> None:
    kept = [rule for rule in role("ns")["rules"] if not {"secrets", "rayjobs"} & set(rule["resources"])]

    check(Reviewing(kept), (permissions.CLUSTERS, permissions.PROXY))


def test_the_role_is_namespaced_and_about_nothing_but_what_is_used() -> None:
    made = role("team-a", name="r")

    assert (made["kind"], made["metadata"]) == ("Role", {"name": "r", "namespace": "team-a"})
    assert all("*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"] for rule in made["rules"])
    assert {rule["resources"][0] for rule in made["rules"]} == {need.resource for need in NEEDS} - {"pods/portforward"}
