"""WHAT runs on Ray: each kind of work becomes one :class:`~airflow_provider_air.workloads.job.JobRequest`."""
