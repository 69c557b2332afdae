"""How a spec crosses processes and versions, whoever wrote its class."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest

from airflow_provider_air.attachments import registry
from airflow_provider_air.attachments.feast.features import FeastFeatures
from airflow_provider_air.attachments.mlflow.tracker import MlflowTracker
from airflow_provider_air.attachments.registry import from_json, to_json
from airflow_provider_air.attachments.tecton.features import TectonFeatures
from airflow_provider_air.attachments.wandb.tracker import WandbTracker
from airflow_provider_air.errors import ConfigurationError, ProtocolError
from tests.fakes.attachment import FakeTrackerSpec

ACME = """
from dataclasses import dataclass
from typing import ClassVar


@dataclass
class AcmeTracker:
    kind: ClassVar[str] = "acme"
    template_fields: ClassVar[tuple[str, ...]] = ("project",)

    project: str = "delays"
    required: bool = True

    def validate(self): ...

    def check(self, request, workload, storage):
        return ()

    def open(self, connections): ...


NOT_A_CLASS = 7
"""


@dataclass
class Lineage(MlflowTracker):
    """Inherits a kind that is not its own."""

    namespace: str = "n"


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A distribution as pip installs it, which declares two entry points."""
    (tmp_path / "acme_tracker.py").write_text(ACME)
    about = tmp_path / "acme-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
    points = "acme = acme_tracker:AcmeTracker\nseven = acme_tracker:NOT_A_CLASS\nmlflow = acme_tracker:AcmeTracker\n"
    (about / "entry_points.txt").write_text(f"[airflow_provider_air.attachments]\n{points}")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry._declared.cache_clear()
    import acme_tracker  # type: ignore[import-not-found]

    yield acme_tracker.AcmeTracker
    del sys.modules["acme_tracker"]
    registry._declared.cache_clear()


@pytest.mark.parametrize(
    "spec",
    [
        MlflowTracker("m", experiment="delays", tags={"a": "b"}, register_as="delays", required=False),
        WandbTracker("w", project="p", entity="e", mode="offline", offline_dir="/d", tags=["t"], required=False),
        FeastFeatures("/repo", "delay_v1", ["train"]),
        TectonFeatures("prod", "delay_v1", "t"),
        FakeTrackerSpec("here", required=False),
        Lineage(experiment="delays", namespace="other"),
    ],
    ids=lambda spec: type(spec).__name__,
)
def test_a_spec_comes_back_as_it_was(spec: Any) -> None:
    stored = json.loads(json.dumps(to_json(spec)))

    assert stored.keys() == {"kind", "fields"}
    assert from_json(stored) == spec
    assert type(from_json(stored)) is type(spec)


def test_a_built_in_kind_has_a_short_name_and_any_other_class_its_place() -> None:
    assert to_json(MlflowTracker()) == {
        "kind": "mlflow",
        "fields": {
            "mlflow_conn_id": "mlflow_default",
            "experiment": "Default",
            "tags": {},
            "register_as": None,
            "required": True,
            "flavor": None,
            "input_example": [],
        },
    }
    assert to_json(FakeTrackerSpec("here"))["kind"] == "tests.fakes.attachment:FakeTrackerSpec"
    assert to_json(Lineage())["kind"] == f"{__name__}:Lineage"


def test_what_a_newer_version_has_written_is_read_without_what_is_not_known_here() -> None:
    stored = {"kind": "mlflow", "fields": {"experiment": "delays", "colour": "red"}, "state": {}, "shape": 1}

    assert from_json(stored) == MlflowTracker(experiment="delays")


def test_a_distribution_brings_a_kind_of_its_own(acme: Any) -> None:
    stored = json.loads(json.dumps(to_json(acme("flights"))))

    assert stored == {"kind": "acme", "fields": {"project": "flights", "required": True}}
    assert from_json(stored) == acme("flights")


@pytest.mark.usefixtures("acme")
def test_a_distribution_cannot_take_a_built_in_kind() -> None:
    assert type(from_json({"kind": "mlflow", "fields": {}})) is MlflowTracker


@pytest.mark.usefixtures("acme")
def test_an_unknown_kind_is_named_beside_those_that_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"no attachment of the kind 'colour'.*acme, feast, mlflow") as caught:
        from_json({"kind": "colour", "fields": {}})
    assert "installed here" in str(caught.value)


@pytest.mark.usefixtures("acme")
@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("nowhere_at_all:Tracker", "'nowhere_at_all:Tracker' cannot be loaded"),
        ("acme_tracker:Absent", "'acme_tracker:Absent' cannot be loaded"),
        ("seven", "'seven' is no dataclass of an attachment, but 7"),
        ("subprocess:Popen", "'subprocess:Popen' is no dataclass of an attachment"),
        ("dataclasses:Field", "'dataclasses:Field' is no dataclass of an attachment"),
    ],
)
def test_a_kind_that_leads_to_no_attachment_is_refused(kind: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        from_json({"kind": kind, "fields": {}})


@pytest.mark.parametrize(
    "data", [None, [], "mlflow", {}, {"kind": 7}, {"kind": "mlflow"}, {"kind": "feast", "fields": {}}]
)
def test_what_is_no_stored_form_is_refused(data: Any) -> None:
    with pytest.raises(ProtocolError, match="not the JSON form"):
        from_json(data)


def test_a_class_that_only_this_process_knows_is_refused_before_it_travels() -> None:
    @dataclass
    class Here(FakeTrackerSpec):
        kind: ClassVar[str] = "here"

    with pytest.raises(ConfigurationError, match=r"cannot be imported where the job is watched.*entry point"):
        to_json(Here("server"))


def test_fields_that_are_no_json_are_refused_before_they_travel() -> None:
    with pytest.raises(ConfigurationError, match="fields of MlflowTracker must be plain JSON"):
        to_json(MlflowTracker(tags={"a": object()}))  # type: ignore[dict-item]
