"""What an operator of Airflow does with Ray at the command line: ``airflow air …``."""
