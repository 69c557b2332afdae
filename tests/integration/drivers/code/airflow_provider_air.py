"""Stands before our own package on the driver's path: drivers must not need it."""

raise ImportError("airflow_provider_air must not be imported on the cluster")
