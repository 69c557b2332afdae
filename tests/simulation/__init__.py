"""
Deterministic simulation of ``runs/``: the engine, whole, in a world whose every choice comes from one seed.

``kernel`` has time, processes and their deaths; ``remote`` the clusters, their jobs and Ray's documented faults;
``airflow`` the task instance, its workers and triggerers, and people; ``engine`` the few lines by which Airflow's edge
drives ``runs/``; ``history`` what happens in a run, and how a failing one is made short; ``rules`` what must hold;
``faults`` what is put back to see that it is found; ``making`` all that of a task which makes a cluster for others.
A seed gives one history, always the same one.

``python -m tests.simulation.explain 42`` tells a failing seed's shortest history; ``… 0 5000`` looks for one.
"""
