"""
How a run lives: one task instance's wish, over all its tries. Knows no Airflow.

:class:`~airflow_provider_air.runs.run.Run` is a step machine for workers; what it waits for is watched by
:class:`~airflow_provider_air.runs.watch.Watch`, in a triggerer or in place. All that a step needs is in the ledger.
"""
