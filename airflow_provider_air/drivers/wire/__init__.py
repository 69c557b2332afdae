"""
What both sides say to each other: records, names, problems, search spaces, what stands for something large.

The one door of this package for Airflow's side, and the lowest floor for the drivers. Standard library only.
"""
