"""
Code that runs on the Ray cluster inside the submitted job (the driver).

Shipped by value as the package ``air_drivers``, so it imports neither ``airflow_provider_air`` nor
``airflow``, only the standard library, Ray and, where a workload needs it, what the cluster has. It
must run on Python 3.9 and Ray 2.51.
"""
