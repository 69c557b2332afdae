"""What benchmarks are made of: reports, fresh processes, a worker in process, raw REST, Ray heads, an Airflow."""
