"""``python -m tests.kubernetes.node [build | packages]``: run a node until Ctrl-C, or only build what it needs."""

from __future__ import annotations

import signal
import sys
import time

from tests.kubernetes.node import machine
from tests.kubernetes.node.node import Node, build


def main(command: str) -> None:
    """Do what the command line says.

    :raises SystemExit: when this machine cannot have a node, with what is missing.
    """
    if command == "packages":
        print(" ".join(machine.DEBIAN))
        return
    if missing := machine.missing():
        raise SystemExit(f"A Kubernetes node needs here: {'; '.join(missing)}")
    if command == "build":
        build()
    elif command == "run":
        run()
    else:
        raise SystemExit(__doc__)


def run() -> None:
    """Run a node and tell how to use it."""
    build()
    began = time.monotonic()
    node = Node.start()
    try:
        print(f"A node with KubeRay runs since {time.monotonic() - began:.1f} s; Ctrl-C ends it. To use it:")
        print(f"export AIR_KUBE_NODE={node.folder} KUBECONFIG={node.credentials.kubeconfig()}", flush=True)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit())
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        node.stop()


main(sys.argv[1] if len(sys.argv) > 1 else "run")
