"""What benchmarks are made of: reports, fresh processes, a worker in process, raw REST, Ray heads, an Airflow."""

from __future__ import annotations

import sys
from pathlib import Path

# Where an Airflow on loopback is written down; pytest has this folder in its own path.
sys.path.append(str(Path(__file__).parents[3] / "scripts"))
