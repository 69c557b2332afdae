"""
Code that runs on the Ray cluster inside the submitted job (the driver).

Shipped by value as the package ``air_drivers``, so it imports neither ``airflow_provider_air`` nor
``airflow``, only the standard library, Ray and, where a workload needs it, what the cluster has. It
must run on Python 3.9 and Ray 2.52.

``python -m air_drivers.train`` runs a workload: each is a folder with a ``__main__``. What they share lies below
them: ``wire`` <- ``data`` <- ``frame`` <- ``trackers`` and ``features`` <- the others. Airflow's side imports ``wire``
alone; scripts and functions of authors ``from air_drivers import report``. ``online`` stands alone: it travels with
what is deployed, as ``air_features``.
"""
