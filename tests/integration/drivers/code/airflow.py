"""Stands before Airflow on the driver's path: drivers must not need it."""

raise ImportError("airflow must not be imported on the cluster")
