"""One node for all tests of a session, and a namespace for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kubernetes.bench import Bench, bind
from tests.kubernetes.node import machine
from tests.kubernetes.node.node import Node
from tests.requirements import lacking

ATTACH = "AIR_KUBE_NODE"


@pytest.fixture(scope="session")
def kube(pytestconfig: pytest.Config) -> Iterator[Node]:
    """A running Kubernetes node with KubeRay: this session's own, or that of ``python -m tests.kubernetes.node``.

    What breaks it (a killed part) is mended by the test that broke it.
    """
    if os.environ.get(ATTACH):
        yield Node.attach(Path(os.environ[ATTACH]))
        return
    if missing := machine.missing():
        pytest.skip(lacking("kubernetes", "; ".join(missing)))
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")
    assert capture is not None
    with capture.global_and_fixture_disabled():  # what is built is seen while it is
        node = Node.start()
    try:
        yield node
    finally:
        node.stop()


@pytest.fixture
def namespace(kube: Node) -> Iterator[str]:
    """A new namespace, deleted with all that is in it."""
    with kube.namespace() as name:
        yield name


@pytest.fixture
def bench(kube: Node, namespace: str) -> Bench:
    """A task instance over KubeRay, as a user who has the documented Role in a namespace of the test's own."""
    bind(kube, namespace)
    return Bench(kube, namespace)
