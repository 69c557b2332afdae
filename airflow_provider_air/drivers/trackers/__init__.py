"""What a driver tells to trackers itself: those without an HTTP interface that Airflow's side could use."""
