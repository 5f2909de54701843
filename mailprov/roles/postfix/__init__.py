"""Postfix: mail from other servers, submission by users, and delivery to Dovecot over LMTP."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from mailprov.encode import Addresses, Encoded, map_rows, own_rows, present_rows, target, word
from mailprov.model import Alias, Daemon, Domain, Facts, HostSpec, Item, Query, User, domain_of
from mailprov.render import Render, render
from mailprov.resources.files import folder, text_file
from mailprov.resources.maps import Map, table
from mailprov.resources.packages import Package
from mailprov.resources.services import Service
from mailprov.roles import Context, Readers, Role, filtered, tls
from mailprov.roles.postfix import sending
from mailprov.roles.postfix.takeover import TAKEOVER

DAEMON = Daemon(
    "postfix",
    core="postfix",
    processes=("master",),
    wrapped="postfix@-",
    pid_file="/var/spool/postfix/pid/master.pid",
    at_start=True,
)
"""on Debian 11 and 12 its service is a oneshot around the unit that runs; inet_interfaces is read at its start only"""
FOLDER = sending.FOLDER
ROOT = "root_alias"
SYSTEM = f"{FOLDER}/system"
RESTART_SETTINGS = ("inet_interfaces", "inet_protocols")
"""postconf(5): these are read at start only"""
MILTER = word("unix:/run/rspamd/milter.sock")
_KNOWS_SENDERS = 12
"""the first Debian whose Postfix (3.6) knows local_login_sender_maps"""


def items(
    host: HostSpec,
    facts: Facts,
    domains: Sequence[Domain],
    users: Sequence[User],
    aliases: Sequence[Alias],
    render: Render = render,
) -> tuple[Item, ...]:
    """Everything that Postfix needs on this host."""
    ports = frozenset(port for name, _, port in host.services.ports() if name in ("submission", "smtp"))
    return (
        Package("postfix"),
        Package("ca-certificates"),
        folder(FOLDER, "750", "root", "postfix"),
        text_file(
            "/etc/postfix/main.cf",
            main_cf(host, domains, facts, render),
            services=("postfix",),
            restart_settings=RESTART_SETTINGS,
            late=True,  # each smtpd that starts reads it, and asks whom it names
        ),
        text_file("/etc/postfix/master.cf", master_cf(host, render), services=("postfix",)),
        text_file(SYSTEM, system_mail(host), services=("postfix",)),
        *maps(domains, users, aliases, own_mail(host, domains)),
        *sending.items(host, facts),
        Service("postfix", ports=ports),
    )


def main_cf(host: HostSpec, domains: Sequence[Domain], facts: Facts, render: Render = render) -> str:
    """main.cf, whole."""
    excluded = ["!SSLv2", "!SSLv3", "!TLSv1", "!TLSv1.1", *(["!TLSv1.2"] if host.tls.min_version == "TLSv1.3" else [])]
    where = tls.paths(host)
    values = {
        "hostname": word(host.hostname),
        "certificate": where.certificate,
        "key": where.key,
        "excluded": Encoded(", ".join(excluded)),
        "ciphers": tls.CIPHERS,
        "protocols": word("all" if facts.ipv6 else "ipv4"),
        "own_name": host.hostname not in {domain.name for domain in domains},
        "submit_users": Encoded(", ".join(map(word, (*host.system_mail.submit_users, *_scripts(host))))),
        "senders": Encoded(_senders(host, domains)) if int(facts.release) >= _KNOWS_SENDERS else "",
        "milter": MILTER if filtered(host, domains) else "",
        **sending.values(host),
    }
    return render("postfix/main.cf", values)


def _scripts(host: HostSpec) -> tuple[str, ...]:
    """Who sends what users' Sieve scripts do: Dovecot's deliveries."""
    return ("vmail",) if host.sieve.on else ()


def _senders(host: HostSpec, domains: Sequence[Domain]) -> str:
    """As whom each local user may send (local_login_sender_maps): root as anybody, which nothing could keep it from.

    Scripts send as nobody (RFC 3834 §5.1) or as their owners.
    """
    own = ((word(name), word(host.hostname)) for name in host.system_mail.submit_users if name != "root")
    owners = " ".join(["<>", *(f"@{word(domain.name)}" for domain in domains)])
    scripts = (f"{{ {name} = {owners} }}" for name in _scripts(host))
    return ", ".join(["{ root = * }", *(f"{{ {name} = {name} @{hostname} <> }}" for name, hostname in own), *scripts])


def system_mail(host: HostSpec) -> str:
    """Where the system's own mail goes that /etc/aliases has no entry for (local(8), regexp_table(5)).

    An entry of owner-NAME would become the sender of what goes to NAME.
    """
    return f"!/^owner-/ {target(host.system_mail.to)}\n" if host.system_mail.to else ""


def queries(host: HostSpec) -> tuple[Query, ...]:
    """Who gets the system's own mail, where that is not declared; and what is mixed with the logins at relays."""
    root = () if host.system_mail.to else (Query(ROOT, "root_alias"),)
    return (*root, *sending.queries(host))


def warnings(host: HostSpec, sections: Mapping[str, str]) -> tuple[str, ...]:
    """That nobody may read it."""
    if host.system_mail.to or "@" in sections.get(ROOT, ""):
        return ()
    what = "nobody may read the system's own mail (of cron, smartd, …): /etc/aliases has no address for root"
    return (f"{what}; declare `system_mail: {{to: …}}`",)


def own_mail(host: HostSpec, domains: Sequence[Domain]) -> Mapping[str, tuple[str, ...]]:
    """Aliases of those who submit on the host itself, where its name is a domain of mailboxes."""
    if host.hostname not in {domain.name for domain in domains}:
        return {}
    return {f"{name.lower()}@{host.hostname}": (f"{name}@localhost",) for name in host.system_mail.submit_users}


def master_cf(host: HostSpec, render: Render = render) -> str:
    """master.cf, whole, with a listener for each declared port."""
    submission = host.services.submission
    ports = {"smtp": host.services.smtp, "starttls": submission.starttls, "tls": submission.tls}
    values = {**ports, "relays": sending.transports(host)}
    return render("postfix/master.cf", values)


def maps(
    domains: Sequence[Domain],
    users: Sequence[User],
    aliases: Sequence[Alias],
    own: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
) -> tuple[Map, ...]:
    """The lookup tables: who exists, where mail goes, and who may send as whom.

    `own` are aliases that hold where nobody is declared.
    """
    mailboxes = Addresses(tuple([user.address for user in users]))
    catching = {domain.name for domain in domains if domain.catch_all}
    return (
        _map("domains", [f"{word(domain.name)} OK" for domain in domains]),
        _map("mailboxes", present_rows(mailboxes)),
        _map("aliases", _beside(mailboxes, _unless(own, mailboxes) | _targets(domains, users, aliases), catching)),
        _map("logins", _beside(mailboxes, _owners(users, aliases))),
        _map("verify", ()),
    )


def _unless(own: Mapping[str, tuple[str, ...]], mailboxes: Addresses) -> dict[str, tuple[str, ...]]:
    return {name: to for name, to in own.items() if name not in mailboxes.texts}


def _map(name: str, lines: Iterable[str]) -> Map:
    return table(f"{FOLDER}/{name}", lines)


def _beside(mailboxes: Addresses, others: Mapping[str, tuple[str, ...]], within: set[str] | None = None) -> list[str]:
    """A row for each of `others`, and for each other mailbox one that leads to itself; only `within` these domains."""
    own = mailboxes.texts
    if within is not None:
        own = tuple([name for name in own if domain_of(name) in within]) if within else ()
    if not others.keys().isdisjoint(own):
        own = tuple([name for name in own if name not in others])
    return own_rows(mailboxes if own is mailboxes.texts else Addresses(own)) + map_rows(others)


def _targets(domains: Sequence[Domain], users: Sequence[User], aliases: Sequence[Alias]) -> dict[str, tuple[str, ...]]:
    """Where mail for an address goes that is no mailbox (virtual(5)).

    A catch-all would take every address of its domain, mailboxes too, so there each mailbox is its own alias.
    """
    of_users = {alias: (user.address,) for user in users if user.aliases for alias in user.aliases}
    return (
        of_users
        | {alias.address: alias.to for alias in aliases}
        | {f"@{domain.name}": (domain.catch_all,) for domain in domains if domain.catch_all}
    )


def _owners(users: Sequence[User], aliases: Sequence[Alias]) -> dict[str, tuple[str, ...]]:
    """Who may send as an alias: the users whom mail for it reaches (smtpd_sender_login_maps)."""
    declared = {alias.address: alias.to for alias in aliases}
    declared |= {alias: (user.address,) for user in users if user.aliases for alias in user.aliases}
    if not declared:
        return {}
    known = {user.address for user in users}
    owners: dict[str, tuple[str, ...]] = {}
    for name, to in declared.items():
        if len(to) == 1 and to[0] in known and to[0] not in declared and name not in known:
            owners[name] = to  # as nearly every alias is; there may be as many as users
            continue
        reached = {name, *to} if declared.keys().isdisjoint(to) else _reached(name, declared)
        local = tuple(sorted(reached & known))
        if local:
            owners[name] = local
    return owners


def _reached(name: str, declared: Mapping[str, tuple[str, ...]]) -> set[str]:
    seen: set[str] = set()
    waiting = [name]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting.extend(declared.get(current, ()))
    return seen


def _asked(asked: Context) -> tuple[Item, ...]:
    spec, name = asked.spec, asked.host.name
    domains, users, aliases = spec.domains_of(name), spec.users_of(name), spec.aliases_of(name)
    return items(asked.host, asked.facts, domains, users, aliases, asked.render)


ROLE = Role(
    _asked,
    DAEMON,
    {
        "/etc/postfix/main.cf": Readers(("postfix",), RESTART_SETTINGS, late=True),
        "/etc/postfix/master.cf": Readers(("postfix",)),
        SYSTEM: Readers(("postfix",)),
        sending.NETWORKS: Readers(("postfix",)),
        sending.LOGINS: Readers(("postfix",), secret=True),
    },
    TAKEOVER,
)
