"""MLflow: runs that follow a workload, and the registry of models."""
