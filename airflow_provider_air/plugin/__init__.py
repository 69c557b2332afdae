"""What does Airflow's UI show: the Ray tab, the Ray page of a DAG run, and the clusters; runs in the api-server."""
