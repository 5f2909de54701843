"""From YAML text to a valid Spec: `load`.

    text ─ yamltext ─▶ values with places ─ shape ─▶ parts ─ hosts, people ─▶ the model ─ meaning ─▶ Spec

Every complaint is gathered on a Desk, so that one run tells them all. What has the wrong shape is not interpreted
any further, and an address counts as declared even where its user has faults, so that one slip is one complaint.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path

from mailprov.errors import Origin, SpecError
from mailprov.model import Spec
from mailprov.spec import meaning, people, staff
from mailprov.spec.desk import Desk
from mailprov.spec.handout import handout
from mailprov.spec.hosts import Host, hosts
from mailprov.spec.part import Part, parts
from mailprov.spec.settings import Setting, settings

__all__ = ["Explained", "explained", "load"]


@dataclass(frozen=True, slots=True)
class Explained:
    """A valid declaration, and how each of its hosts came to be."""

    spec: Spec
    settings: Mapping[str, tuple[Setting, ...]]
    """host → what it got, key by key"""


def load(path: Path, *, environ: Mapping[str, str], now: datetime) -> Spec:
    """The declaration in the file at `path`, valid in itself.

    Reads that file, those that it includes, and the certificates, keys and secrets that they point to; `{env: …}` and
    `~` are looked up in `environ`, and certificates are judged at the moment `now`.
    Raises SpecError with every complaint, in file order, each with its place.
    """
    return _loaded(path, environ, now)[0]


def explained(path: Path, *, environ: Mapping[str, str], now: datetime) -> Explained:
    """The declaration as `load` reads it, with the places that each host's settings came from.

    Raises as `load` does.
    """
    spec, machines = _loaded(path, environ, now)
    return Explained(spec, {name: settings(host.settled) for name, host in machines.items()})


def _loaded(path: Path, environ: Mapping[str, str], now: datetime) -> tuple[Spec, Mapping[str, Host]]:
    desk = Desk()
    files, complete = parts(path, environ, desk)
    spec, machines = _spec(files, now, desk, complete=complete)
    _tell_slips(files, desk)
    if desk.complaints:
        raise SpecError(desk.complaints)
    return spec, machines


def _spec(files: Sequence[Part], now: datetime, desk: Desk, *, complete: bool) -> tuple[Spec, Mapping[str, Host]]:
    # what an unreadable file would have declared must not be called undeclared
    references = desk if complete else Desk()
    found = hosts(files, now, desk, references)
    machines, names = found.hosts, found.names
    if complete and not any(part.mapping("hosts") or not part.usable("hosts") for part in files):
        cure = "add one: hosts: {mail1: {address: 192.0.2.10, hostname: mail.example.com}}"
        desk.complain(files[0].origin("hosts"), "no host is declared", cure)
    domains, catch_alls = people.domains(files, sorted(names), desk)
    hosted = {name for name, domain in domains.items() if domain.hosted_by}
    users, user_claims = people.users(files, desk)
    aliases, alias_claims = people.aliases(files, domains.keys() - hosted, desk)
    lists = staff.users(files, desk)
    claims = meaning.claimed(chain(user_claims, alias_claims, lists.claims), desk)
    meaning.check_distinct(machines.values(), desk)
    if all(part.usable("domains") for part in files):
        meaning.check_domains(claims, domains, references)
    leads = references if lists.complete else Desk()
    domains = meaning.with_catch_alls(domains, catch_alls, claims, leads)
    served = meaning.check_served(domains, names, references)
    meaning.check_targets(aliases, domains, claims, leads)
    meaning.check_postmasters(claims, domains, desk)
    meaning.check_hosted(claims, domains, desk)
    meaning.check_hosts(list(machines.values()), desk)
    for name, host in machines.items():
        if name not in served:
            desk.warn(host.spec.origin or Origin("", 1, 1), f"the host `{name}` serves no domain", "declare `domains`")
    handed = handout(files[0], desk)
    specs = {name: host.spec for name, host in machines.items()}
    everybody = (*users, *lists.users)
    spec = Spec(specs, domains, everybody, tuple(aliases), desk.warnings(), found.groups.members, handed)
    return spec, machines


def _tell_slips(files: Sequence[Part], desk: Desk) -> None:
    """Hand in the departures from the schema's formats that nobody has explained better at the same place."""
    told = {complaint.origin for complaint in desk.complaints}
    for part in files:
        for slip in part.slips:
            origin = part.origin(*slip.path)
            if origin not in told and part.origin(*slip.path[:-1]) not in told:
                desk.complain(origin, slip.what, slip.cure)
