"""Dovecot: POP3, IMAP, LMTP delivery, and authentication for itself and for Postfix."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter

from mailprov.encode import Addresses, Encoded, PasswdTail, passwd_rows, passwd_tail, word
from mailprov.errors import HostError, MailprovError
from mailprov.model import PROTOCOLS, Daemon, Facts, HostSpec, Item, Password, Protocol_, Secret, User, may_use
from mailprov.render import Render, render
from mailprov.resources.accounts import MODE, accounts
from mailprov.resources.files import File, folder, text_file
from mailprov.resources.mailboxes import Rename
from mailprov.resources.packages import Package
from mailprov.resources.services import Service
from mailprov.resources.system_users import SystemUser
from mailprov.roles import Readers, Role, tls
from mailprov.roles.dovecot import filtering
from mailprov.roles.dovecot.takeover import TAKEOVER

CONFIGURATION = "/etc/dovecot/dovecot.conf"
DAEMON = Daemon(
    "dovecot",
    core="dovecot-core",
    processes=("dovecot",),
    socket=True,
    checks_any=True,
    pid_file="/run/dovecot/master.pid",
    configuration=CONFIGURATION,
    read_at="/run/dovecot/login/login",  # each start and each reload makes that socket anew
)
FOLDER = "/etc/dovecot/mailprov"
ACCOUNTS = f"{FOLDER}/accounts"
DENIED = f"{FOLDER}/denied"
MAIL = "/var/vmail"

QUEUE = "/var/spool/postfix"
SOCKETS = ("private/auth", "private/dovecot-lmtp", "private/quota-status")
"""what Postfix reaches Dovecot by; made at Dovecot's start only"""

# Debian 11's: its `ssl_min_protocol` ends at TLSv1.2, and doveconf lets the other value pass.
_NO_TLS13_MINIMUM = "2.3.13"
EXPIRE = "userdb_namespace/inbox/mailbox/INBOX/autoexpunge"

# What Dovecot's auth calls the protocol that asks it (%s, %{protocol}); Postfix's submission asks as "smtp".
AUTH_SERVICE = {"pop3": "pop3", "imap": "imap", "submission": "smtp"}


def items(
    host: HostSpec, users: Sequence[User], facts: Facts, initial: Callable[[User], Secret], render: Render = render
) -> tuple[Item, ...]:
    """Everything that Dovecot needs on this host.

    `initial` gives the password hash with which a user is created, and is asked only for users that are new.
    """

    @cache
    def by_address() -> Mapping[str, User]:
        return {user.address: user for user in users}

    before = formerly(users)
    ports = frozenset(port for name, _, port in host.services.ports() if name in ("imap", "pop3", "sieve"))
    return (
        *packages(host),
        SystemUser("vmail", MAIL, group="vmail"),
        folder(MAIL, "750", "vmail", "vmail", lasting=True),
        folder("/etc/dovecot/mailprov", "750", "root", "dovecot"),
        text_file(
            CONFIGURATION,
            configuration(host, facts, render),
            services=("dovecot",),
            restart_settings=(filtering.RESTART,),
        ),
        *filtering.items(host, facts),
        accounts(ACCOUNTS, rows(users, facts), lambda name: initial(by_address()[name]), before),
        *(Rename(was, name) for name, was in before.items()),
        _private(DENIED, "".join(f"{line}\n" for line in denied(users, host.services.sieve is not None))),
        _private(f"{FOLDER}/verify", ""),
        Service("dovecot", ports=ports, sockets=frozenset(f"{QUEUE}/{name}" for name in SOCKETS)),
    )


def formerly(users: Sequence[User]) -> Mapping[str, str]:
    """By the address of a user: the one before."""
    return {user.address: user.was for user in users if user.was}


def packages(host: HostSpec) -> tuple[Package, ...]:
    """The Debian packages that the declared listeners need."""
    wanted = ["dovecot-core", "dovecot-lmtpd", "openssl"]
    wanted += ["dovecot-pop3d"] if _open(host, "pop3") else []
    wanted += ["dovecot-imapd"] if _open(host, "imap") else []
    return tuple(Package(name) for name in (*wanted, *filtering.packages(host)))


def configuration(host: HostSpec, facts: Facts, render: Render = render) -> str:
    """dovecot.conf in the syntax of the version that the host has or would install.

    Raises HostError where that version does not know what is declared.
    """
    if host.tls.min_version == "TLSv1.3" and facts.dovecot.startswith(_NO_TLS13_MINIMUM):
        fix = "declare `tls.min_version: TLSv1.2` for this host, or give it a newer Debian"
        raise HostError(f"Dovecot {facts.dovecot} cannot require TLS 1.3", where=host.name, fix=fix)
    protocols = tuple(word(name) for name in ("imap", "pop3") if _open(host, name))
    listeners = {"imap": host.services.imap, "pop3": host.services.pop3}
    logins = tuple((name, listeners[name].starttls or 0, listeners[name].tls or 0) for name in protocols)
    where = tls.paths(host)
    values = {
        "protocols": protocols,
        "logins": logins,
        "certificate": where.certificate,
        "key": where.key,
        "min_version": word(host.tls.min_version),
        "ciphers": tls.CIPHERS,
        "listen": Encoded("*, ::" if facts.ipv6 else "*"),
        **filtering.values(host),
    }
    return render(f"dovecot/{syntax(facts)}/dovecot.conf", values)


def syntax(facts: Facts) -> str:
    """ "2.3" or "2.4": Dovecot 2.4 reads no 2.3 configuration, nor the reverse."""
    return "2.4" if tuple(map(int, facts.dovecot.split(".")[:2])) >= (2, 4) else "2.3"


def rows(users: Sequence[User], facts: Facts) -> list[str]:
    """Each user's line in the passwd-file; the password is left out where it belongs to the user."""
    new_syntax = syntax(facts) == "2.4"
    # Most users share quota and networks with many others. Networks are compared by the tuple that holds them, which
    # is the same for a whole staff list: to hash its networks takes longer than to write them.
    tails: dict[tuple[str, int | None, int, int | None], PasswdTail] = {}
    of_users: list[PasswdTail] = []
    for user in users:
        kind = (user.password.ownership, user.quota, id(user.allow_from), user.expire)
        tail = tails.get(kind)
        if tail is None:
            tail = tails[kind] = _tail(user, new_syntax)
        of_users.append(tail)
    names = Addresses(tuple([user.address for user in users]))
    return passwd_rows(names, [_password(user.password) for user in users], of_users)


def _password(password: Password) -> str:
    if password.ownership != "managed":
        return ""
    if password.hash is None:
        raise MailprovError(f"a password hash was not read: {password.source}", fix="provide it, then run this again")
    return password.hash.reveal()


def _tail(user: User, new_syntax: bool) -> PasswdTail:
    extra: list[tuple[str, str]] = []
    if user.quota is not None:
        old = ("userdb_quota_rule", f"*:bytes={user.quota}")
        extra.append(("userdb_quota_storage_size", f"{user.quota}B") if new_syntax else old)
    if user.expire is not None:
        extra.append((EXPIRE, f"{user.expire}d"))
    if user.allow_from:
        extra.append(("allow_nets", ",".join(map(str, user.allow_from))))
    return passwd_tail(user.password.ownership, extra)


def denied(users: Sequence[User], managesieve: bool = False) -> tuple[str, ...]:
    """user/service pairs that may not log in, in order: each protocol that a user was not given.

    Where there is `managesieve`, that is for those who read mail here by POP3 or IMAP.
    """
    narrowed = [(user.address, user) for user in users if len(user.protocols) < len(PROTOCOLS)]
    # By the address of before nobody gets more, as long as it is known.
    narrowed = sorted([*narrowed, *((user.was, user) for _, user in narrowed if user.was)], key=itemgetter(0))
    names = Addresses(tuple([name for name, _ in narrowed]))
    return tuple(
        f"{name}/{service}"
        for name, (_, user) in zip(names.texts, narrowed, strict=True)
        for service in _denied_services(user.protocols, managesieve)
    )


@cache
def _denied_services(given: frozenset[Protocol_], managesieve: bool) -> tuple[Encoded, ...]:
    sieve = [filtering.AUTH_SERVICE] if managesieve and not may_use(given, "sieve") else []
    return tuple(sorted(map(word, [*(AUTH_SERVICE[name] for name in PROTOCOLS if name not in given), *sieve])))


def _private(path: str, text: str) -> File:
    mode, owner, group = MODE
    return text_file(path, text, mode=mode, owner=owner, group=group)


def _open(host: HostSpec, protocol: str) -> bool:
    listener = host.services.imap if protocol == "imap" else host.services.pop3
    return listener.starttls is not None or listener.tls is not None


ROLE = Role(
    lambda asked: items(asked.host, asked.spec.users_of(asked.host.name), asked.facts, asked.initial, asked.render),
    DAEMON,
    {CONFIGURATION: Readers(("dovecot",), (filtering.RESTART,))},
    TAKEOVER,
)
