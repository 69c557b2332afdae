"""Buttons in Airflow's UI that lead to Ray."""
