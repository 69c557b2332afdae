"""What Ray's answers come to where several are put together."""

from __future__ import annotations

from airflow_provider_air.ray_api.models import ClusterLoad, ClusterOverview, Node

GROUP = "0f82aca4e6065883eea3a9430d01703000000"


def test_an_overview_has_the_names_of_the_nodes_and_none_of_rays_own() -> None:
    resources = {
        "CPU": 4.0,
        "object_store_memory": 9.0,
        "my_TPU_v4": 8.0,
        "node:10.0.0.1": 1.0,
        f"CPU_group_{GROUP}": 1.0,
        f"CPU_group_0_{GROUP}": 1.0,
        f"bundle_group_{GROUP}": 1000.0,
        "team_group_a": 2.0,
    }
    # As Ray 2.60 writes them.
    said = {
        "CPU": (1.0, 4.0),
        "objectStoreMemory": (2.0, 9.0),
        "myTpuV4": (3.0, 8.0),
        "CPUGroup0F82Aca4E6065883Eea3A9430D01703000000": (1.0, 1.0),
        "node:10.0.0.1": (0.0, 1.0),
        "teamGroupA": (0.0, 2.0),
        "went": (1.0, 1.0),
    }
    seen = ClusterOverview.of(5.0, ClusterLoad(said), [Node("n", "ALIVE", True, resources_total=resources)])
    assert seen.usage == {
        "CPU": (1.0, 4.0),
        "my_TPU_v4": (3.0, 8.0),
        "object_store_memory": (2.0, 9.0),
        "team_group_a": (0.0, 2.0),
    }
