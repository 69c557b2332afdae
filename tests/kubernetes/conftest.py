"""One node for all tests of a session, and a namespace for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack

import pytest

from airflow_provider_air.contracts.clusters import ClusterRef
from tests.kubernetes.bench import Bench, bind
from tests.kubernetes.node import machine
from tests.kubernetes.node.node import ATTACH, Node, build, running
from tests.kubernetes.ray_doubles import ray_job
from tests.requirements import lacking


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build what the node needs before the first test, whose time would be over meanwhile."""
    wanted = any("kube" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not (session.config.option.collectonly or os.environ.get(ATTACH) or machine.missing()):
        with _seen(session.config):
            build()


def _seen(config: pytest.Config) -> AbstractContextManager[None]:
    """Let what is printed be seen while it is."""
    capture = config.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    disabled: AbstractContextManager[None] = capture.global_and_fixture_disabled()
    return disabled


@pytest.fixture(scope="session")
def kube(pytestconfig: pytest.Config) -> Iterator[Node]:
    """A running Kubernetes node with KubeRay: this session's own, or that of ``python -m tests.kubernetes.node``.

    What breaks it (a killed part) is mended by the test that broke it.
    """
    missing = [] if os.environ.get(ATTACH) else machine.missing()
    if missing:
        pytest.skip(lacking("kubernetes", "; ".join(missing)))
    with ExitStack() as until_the_end:
        with _seen(pytestconfig):
            node = until_the_end.enter_context(running())
        yield node


@pytest.fixture(scope="module")
def begun(kube: Node) -> Iterator[tuple[Bench, ClusterRef]]:
    """One RayJob, whose Ray is a double, for all tests of a module."""
    with ray_job(kube) as made:
        yield made


@pytest.fixture
def namespace(kube: Node) -> Iterator[str]:
    """A new namespace, deleted with all that is in it."""
    with kube.namespace() as name:
        yield name


@pytest.fixture
def bench(kube: Node, namespace: str) -> Bench:
    """A task instance over KubeRay, as a user who has the documented Role in a namespace of the test's own."""
    kube.renew_operator()
    bind(kube, namespace)
    return Bench(kube, namespace)
