"""A cable between two hosts of a lab: without one they see this machine only, and never one another."""

from __future__ import annotations

from mailprov.lab.host import LabHost
from mailprov.lab.process import must


def connect(one: LabHost, other: LabHost) -> None:
    """Let two hosts reach each other at their addresses, until either is switched off. LabError if that fails.

    A pair of interfaces lies between them, and nowhere else: no packet of theirs crosses this machine, whatever it
    forwards, and the pair goes with either of them.
    """
    ends = (one, other), (other, one)
    names = {id(host): f"to-{peer.name}"[:15] for host, peer in ends}
    pair = ("type", "veth", "peer", "name", names[id(other)], "netns", str(other.leader()))
    argv = ("ip", "link", "add", "name", names[id(one)], "netns", str(one.leader()), *pair)
    must(argv, f"no cable can be laid from {one.name} to {other.name}")
    for host, peer in ends:
        device = names[id(host)]
        route = ("ip", "route", "replace", f"{peer.address}/32", "dev", device, "src", host.address)
        host.run(("ip", "link", "set", device, "up"))
        host.run(route)
