"""The firewall: what services declare is open, SSH is open, and nothing else."""

from __future__ import annotations

from mailprov.encode import Encoded, word
from mailprov.model import Daemon, Facts, HostSpec, Item, Network
from mailprov.render import Render, render
from mailprov.resources.files import folder, text_file
from mailprov.resources.firewall import SERVICE, Table
from mailprov.resources.packages import Package
from mailprov.resources.services import Service
from mailprov.roles import Readers, Role

PATH = "/etc/mailprov/mailprov.nft"
DAEMON = Daemon(SERVICE, load=("load_firewall", "@", "ACT"), unload=("former_firewall", "@"), loads=Table().key)
"""loading the table keeps what was loaded before"""


def items(host: HostSpec, facts: Facts, render: Render = render) -> tuple[Item, ...]:
    """Our table's text, a unit that loads it at boot, and a drop-in for Debian's own unit, which flushes all tables."""
    if not host.firewall.manage:
        return ()
    text, unit = ruleset(host, facts, render), ("systemd",)
    drop_in = "/etc/systemd/system/nftables.service.d"
    return (
        Package("nftables"),
        folder("/etc/mailprov"),
        text_file(PATH, text, services=(SERVICE,)),
        text_file(f"/etc/systemd/system/{SERVICE}.service", render(f"systemd/{SERVICE}.service", {}), services=unit),
        folder(drop_in),
        text_file(f"{drop_in}/mailprov.conf", render("systemd/nftables.service.d-mailprov.conf", {}), services=unit),
        Table(text=text),
        Service(SERVICE),
    )


def ruleset(host: HostSpec, facts: Facts, render: Render = render) -> str:
    """The nft script. The ports on which SSH is really reached stay open, whatever is declared."""
    allowed = {(rule.protocol, rule.port): rule.sources for rule in host.firewall.allow}
    ssh = {port for port in facts.ssh_ports if allowed.get(("tcp", port), True)}
    rules = {("tcp", port): () for _, _, port in host.services.ports()} | allowed
    others = sorted(rules.keys() - {("tcp", port) for port in ssh})
    values = {
        "ssh_ports": tuple(sorted(ssh)),
        "open": tuple((word(key[0]), key[1]) for key in others if not rules[key]),
        "narrowed": tuple(
            (word(key[0]), key[1], *(_words(rules[key], of) for of in (4, 6))) for key in others if rules[key]
        ),
    }
    return render("nftables/mailprov.nft", values)


def _words(networks: tuple[Network, ...], version: int) -> tuple[Encoded, ...]:
    return tuple(word(str(network)) for network in networks if network.version == version)


ROLE = Role(lambda asked: items(asked.host, asked.facts, asked.render), DAEMON, {PATH: Readers((SERVICE,))})
