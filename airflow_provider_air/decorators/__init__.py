"""``@task.ray``: a Python function that runs on a Ray cluster."""
