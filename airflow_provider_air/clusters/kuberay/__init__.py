"""Ray clusters on Kubernetes, run by KubeRay's operator."""
