"""The firewall: what services declare is open, SSH is open, and nothing else."""

from __future__ import annotations

from mailprov.encode import Encoded, word
from mailprov.model import Facts, HostSpec, Item, Network
from mailprov.render import Render, render
from mailprov.resources.files import folder, text_file
from mailprov.resources.firewall import SERVICE, Table
from mailprov.resources.packages import Package
from mailprov.resources.services import Service

PATH = "/etc/mailprov/mailprov.nft"


def items(host: HostSpec, facts: Facts, render: Render = render) -> tuple[Item, ...]:
    """Our table's text, a unit that loads it at boot, and a drop-in for Debian's own unit, which flushes all tables."""
    if not host.firewall.manage:
        return ()
    unit = ("systemd",)
    drop_in = "/etc/systemd/system/nftables.service.d"
    return (
        Package("nftables"),
        folder("/etc/mailprov"),
        text_file(PATH, ruleset(host, facts, render), services=(SERVICE,)),
        text_file(f"/etc/systemd/system/{SERVICE}.service", render(f"systemd/{SERVICE}.service", {}), services=unit),
        folder(drop_in),
        text_file(f"{drop_in}/mailprov.conf", render("systemd/nftables.service.d-mailprov.conf", {}), services=unit),
        Table(),
        Service(SERVICE),
    )


def ruleset(host: HostSpec, facts: Facts, render: Render = render) -> str:
    """The nft script. The ports on which SSH is really reached stay open, whatever is declared."""
    ssh = set(facts.ssh_ports)
    narrowed = {rule.port: rule.sources for rule in host.firewall.allow if rule.sources and rule.port not in ssh}
    declared = {port for _, _, port in host.services.ports()} | {rule.port for rule in host.firewall.allow}
    values = {
        "ssh_ports": facts.ssh_ports,
        "open": tuple(sorted(declared - narrowed.keys() - ssh)),
        "narrowed": tuple((port, _words(nets, 4), _words(nets, 6)) for port, nets in sorted(narrowed.items())),
    }
    return render("nftables/mailprov.nft", values)


def _words(networks: tuple[Network, ...], version: int) -> tuple[Encoded, ...]:
    return tuple(word(str(network)) for network in networks if network.version == version)
