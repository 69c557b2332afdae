"""From an Airflow connection to something that can be used. Airflow is known from here upward."""
