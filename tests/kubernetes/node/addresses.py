"""Where a node is on the network of this machine: a slot of its own, so that several run at once."""

from __future__ import annotations

import dataclasses

SLOTS = 32


@dataclasses.dataclass(frozen=True)
class Addresses:
    """All addresses of the node in one slot (0 to 31), from the range that is set apart for benchmarks (RFC 2544).

    Nothing is routed there but on this machine, so no network that it is in can be hidden by it.
    """

    slot: int

    @property
    def node(self) -> str:
        """The node and its kube-apiserver, on the bridge of the pods."""
        return f"198.18.{self.slot}.1"

    @property
    def pods(self) -> str:
        """The pods' network."""
        return f"198.18.{self.slot}.0/24"

    @property
    def services(self) -> str:
        """The services' network."""
        return f"198.19.{self.slot}.0/24"

    @property
    def kubernetes(self) -> str:
        """The service of the kube-apiserver."""
        return f"198.19.{self.slot}.1"

    @property
    def dns(self) -> str:
        """The service of CoreDNS."""
        return f"198.19.{self.slot}.10"

    @property
    def host(self) -> str:
        """This machine as the node and its pods see it; a server that listens here is reached by them."""
        return f"198.19.{64 + self.slot}.1"

    @property
    def host_peer(self) -> str:
        """The node's end of the link to this machine."""
        return f"198.19.{64 + self.slot}.2"

    @property
    def outside(self) -> str:
        """The network namespace that reaches the kube-apiserver and nothing else."""
        return f"198.19.{96 + self.slot}.1"

    @property
    def outside_peer(self) -> str:
        """The node's end of the link to that namespace."""
        return f"198.19.{96 + self.slot}.2"

    @property
    def url(self) -> str:
        """The kube-apiserver's URL, from everywhere."""
        return f"https://{self.node}:6443"
