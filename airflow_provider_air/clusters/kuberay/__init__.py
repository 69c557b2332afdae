"""Clusters that KubeRay makes on a Kubernetes: RayClusters, and a RayJob for each task that has one of its own."""
