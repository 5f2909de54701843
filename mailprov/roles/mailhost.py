"""A mail host: all roles of one declared host, as one desired state."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase

from mailprov.model import Command, Facts, HostSpec, Key, KeyPair, Risk, Secret, Spec, State, User, Wait
from mailprov.render import Render, render
from mailprov.resources import files, queue, services
from mailprov.resources.files import File
from mailprov.roles import Context, Readers, Role, Takeover, dovecot, firewall, postfix, recovery, rspamd, tls

ROLES: tuple[Role, ...] = (tls.ROLE, dovecot.ROLE, rspamd.ROLE, postfix.ROLE, firewall.ROLE, recovery.ROLE)
"""all that a mail host is made of"""


def desired(
    spec: Spec, host: HostSpec, facts: Facts, initial: Callable[[User], Secret], render: Render = render
) -> State:
    """Everything that `host` is declared to be; see Context for `initial`.

    Raises EncodeError for a text that its destination cannot hold.
    """
    context = Context(spec, host, facts, initial, render)
    return {Key(*item.key): item for role in ROLES for item in role.items(context)}


def taken_over(wanted: State, live: State, asked: Collection[Key] = ()) -> Mapping[str, Takeover]:
    """By daemon, those `wanted` that are there already and that mailprov does not manage: the last apply did not ask
    for them. Where it is not known what it `asked` for, and mailprov's own unit is there, all are mailprov's.

    That unit's file tells, for a manifest can be lost, and the history stays when the first apply is rolled back.
    """
    here = {key.name for key in live if key.kind == services.KIND and key in wanted and key not in asked}
    if not asked and Key(files.KIND, recovery.UNIT) in live:
        return {}
    named = ((role.daemon.name, role.takeover) for role in ROLES if role.daemon)
    return {name: takeover for name, takeover in named if takeover and name in here}


def with_queue(desired: State, live: State, taken: Mapping[str, Takeover]) -> State:
    """What waits in a Postfix that runs and is taken over came under other rules, and is held."""
    service = live.get(Key(services.KIND, postfix.DAEMON.name))
    runs = isinstance(service, services.Service) and service.active
    held = queue.Queue(postfix.DAEMON.name)
    return {**desired, held.key: held} if runs and held.name in taken else desired


def ends(
    spec: Spec, host: HostSpec, desired: State, taken: Mapping[str, Takeover], sections: Mapping[str, str]
) -> Iterator[Risk]:
    """What people would miss of daemons that others have set up, by the answers to the roles' `takeover` queries."""
    for takeover in taken.values():
        for what in takeover.ends(spec, host, desired, sections.get(takeover.query.section, "")):
            yield Risk("takeover", what)


def awaited(spec: Spec, host: HostSpec, facts: Facts) -> Sequence[KeyPair]:
    """The keys that something could be done with if DNS had their records."""
    return [pair for role in ROLES if role.stages for pair in role.stages.awaited(spec, host, facts)]


def waits(spec: Spec, host: HostSpec, facts: Facts, seen: Mapping[str, str]) -> tuple[Wait, ...]:
    """What is left to a later apply; `seen`: by name, what DNS has instead of a record."""
    return tuple(wait for role in ROLES if role.stages for wait in role.stages.waits(spec, host, facts, seen))


def again(live: State) -> Iterator[Risk]:
    """What a roll-back takes over anew of what another one has given back."""
    for name in taken_over(live, live):
        yield Risk("takeover", f"takes {name} over again, as the first apply did")


def reads(path: str) -> File:
    """A bare file at this path, with what is known of who reads it: for one that is put back as a host has kept it."""
    known = Readers(("systemd",)) if path.startswith("/etc/systemd/") else Readers()
    fits = (readers for role in ROLES for pattern, readers in role.files.items() if fnmatchcase(path, pattern))
    known = next(fits, known)
    bare = File(path, "", "", "", services=known.services, restart_settings=known.restart_settings)
    return replace(bare, secret=known.secret, late=known.late)


def validators(host: HostSpec, daemons: Sequence[str]) -> tuple[Command, ...]:
    """What must hold of the staged tree, seen by the host's own programs, before anything live changes.

    `daemons` are those that shall serve.
    """
    where = tls.paths(host)
    return (
        ("certificate_matches", str(where.certificate), str(where.key)),
        *((f"{name}_check",) for name in daemons),
        *([("nft", "-c", "-f", firewall.PATH)] if host.firewall.manage else []),
    )


def health(spec: Spec, host: HostSpec) -> tuple[Command, ...]:
    """What must hold of the canary and then of the live host: each port serves the certificate, mail is accepted."""
    where = str(tls.paths(host).certificate)
    starttls = {"pop3": "pop3", "imap": "imap", "submission": "smtp", "smtp": "smtp", "sieve": "sieve"}
    served: list[Command] = [
        ("serves", str(port), "tls" if mode == "tls" else starttls[name], where)
        for name, mode, port in host.services.ports()
    ]
    users = spec.users_of(host.name)
    if users and host.services.smtp is not None:
        served.append(("accepts", str(host.services.smtp), users[0].address))
    served.append(("listens_on", *(str(port) for _, _, port in host.services.ports())))
    return tuple(served)
