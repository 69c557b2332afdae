"""
What the provider costs, in numbers: ``python -m tests.benchmarks [NAME ...] [--quick] [--out FILE]``.

Each module here answers one question: its ``measure(quick)`` yields reports, each printed as one JSON document. One
that runs alone may have options of its own, such as ``deferral_race --tasks 16``. The large join, whose peak memory is
what it is about, is ``feature_join --rows 50000000 --views 3 --sides driver``; it needs some 10 GB of disk.
``kuberay`` needs a Kubernetes node on this machine (``make kube``), or takes the one that ``AIR_KUBE_NODE`` names.
An aim that is missed is told, not punished: the exit code says only whether everything could be measured.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Where an Airflow on loopback is written down; pytest has this folder in its own path.
sys.path.append(str(Path(__file__).parents[2] / "scripts"))
