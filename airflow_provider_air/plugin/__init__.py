"""What does Airflow's UI show: the Ray tab."""
