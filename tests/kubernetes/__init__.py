"""KubeRay on a real Kubernetes: :mod:`tests.kubernetes.node` builds it and runs it on this machine."""
