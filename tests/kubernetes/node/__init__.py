"""A whole Kubernetes node with KubeRay's operator, for tests: real programs, on this machine, and nothing of it stays.

It lives in namespaces of its own (processes, mounts, network), so that it never meets another containerd, Docker or
Kubernetes, two of them run at once, and the kernel ends all of it with its first process. ``build`` makes what it
needs once, in a cache of the user's; ``python -m tests.kubernetes.node`` runs one by hand.
"""
