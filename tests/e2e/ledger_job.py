"""How a DAG of these tests runs ``ledger_job.sh``; where DAGs can import it."""

from __future__ import annotations

from pathlib import Path

SCRIPT = Path(__file__).with_suffix(".sh")
CONF = "{{ dag_run.conf['folder'] }} {{ dag_run.conf.get('lines', 0) }} {{ dag_run.conf.get('chatter', 0) }}"
ENTRYPOINT = f"sh {SCRIPT} {CONF}"
