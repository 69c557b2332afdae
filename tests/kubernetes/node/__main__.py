"""``python -m tests.kubernetes.node [run | build | packages]``, for a person and for the Makefile.

``run`` runs a node until Ctrl-C, ``build`` builds what it needs, ``packages`` names Debian's that are missing. Where
this machine cannot have a node, ``build`` says so and is content, unless ``AIR_REQUIRE`` has ``kubernetes``.
"""

from __future__ import annotations

import signal
import sys
import time

from tests.kubernetes.node import machine
from tests.kubernetes.node.node import Node, build
from tests.requirements import required


def main(command: str) -> None:
    """Do what the command line says.

    :raises SystemExit: when this machine cannot have a node and has to, with what is missing.
    """
    if command == "packages":
        print(" ".join(machine.missing_packages()))
    elif missing := machine.missing():
        lack = f"=== NO KUBERNETES HERE: a node needs {'; '.join(missing)}. Its tests cannot run. ==="
        if command == "build" and "kubernetes" not in required():
            print(lack)
        else:
            raise SystemExit(lack)
    elif command == "build":
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


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "run")
