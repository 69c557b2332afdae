"""What an Airflow connection says, turned into what the layers below take; nothing else reads one."""
