"""What ends where a Dovecot is taken over that somebody else has set up (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mailprov.model import HostSpec, Query, Spec, State, some
from mailprov.roles import Takeover

_STOCK_NAMES = (
    "mail_location mail_driver mail_path mail_home mail_inbox_path mail_privileged_group protocols hostname listen "
    "dovecot_config_version dovecot_storage_version fts_autoindex fts_autoindex_max_recent_msgs "
    "fts_search_add_missing ssl ssl_cert ssl_key ssl_dh ssl_client_ca_dir ssl_min_protocol ssl_server "
    "ssl_server_cert_file ssl_server_key_file ssl_server_dh_file disable_plaintext_auth auth_allow_cleartext "
    "auth_mechanisms auth_username_format mail_uid mail_gid first_valid_uid passdb userdb namespace service "
    "mail_debug auth_verbose log_path info_log_path debug_log_path auth_debug verbose_proctitle shutdown_clients "
    "recipient_delimiter "
)
_STOCK = frozenset(_STOCK_NAMES.split())
"""settings of Debian's own files, those that are told in other words, and those that nobody would miss"""
_STOCK_MAIL = ("mbox:~/mail:INBOX=/var/mail/%u", "mbox:%{home}/mail")
_OURS = re.compile(
    r"(maildir:)?/var/vmail/(%L?d|%\{user ?\| ?domain[^}]*\})/(%L?n|%\{user ?\| ?username[^}]*\})/Maildir.*"
)


def _ends(spec: Spec, host: HostSpec, _desired: State, text: str) -> Iterator[str]:
    lines = text.splitlines()
    settings = list(_settings([line.removeprefix("set ") for line in lines if line.startswith("set ")]))
    if not settings:
        return
    passwords = _databases(settings)
    if "down" not in lines:
        declared = {user.address for user in spec.users_of(host.name)}
        logins = sorted({line.removeprefix("login ") for line in lines if line.startswith("login ")} - declared)
        if logins:
            who = f"{len(logins):,} who can log in today" if len(logins) > 1 else "one who can log in today"
            yield f"{who} ({passwords}) cannot any more: {some(logins, 10)}"
        elif "unlisted" in lines:
            yield f"logins that {passwords} knows end, where they are not declared: Dovecot cannot list them"
    else:
        logins = []
    where = _mail(settings)
    if where and not _OURS.fullmatch(where) and (logins or where not in _STOCK_MAIL):
        yield f"mail that lies at {where} is not looked for: each mailbox begins empty, in /var/vmail"
    if host.sieve.on:
        settings = list(_without_stock_sieve(settings))
    names = (path[1:] if path[0].startswith("protocol ") else path for path, _ in settings)
    further = {path[0].partition(" ")[0] for path in names if path} - _STOCK
    if further:
        yield f"further settings of Dovecot end: {some(sorted(further), 20)}"


def _without_stock_sieve(
    settings: Sequence[tuple[tuple[str, ...], str]],
) -> Iterator[tuple[tuple[str, ...], str]]:
    """What is set beside Debian's own files of Sieve, where scripts are found again: in the same places of a home."""
    plugins = [(path[1:], value) for path, value in settings if path[0] == "plugin" and len(path) > 1]
    gone = {"managesieve_notify_capability", "managesieve_sieve_capability"}
    gone |= {"plugin"} if plugins == [(("sieve",), "file:~/sieve;active=~/.dovecot.sieve")] else set()
    return ((path, value) for path, value in settings if path[0] not in gone)


def _settings(lines: Sequence[str]) -> Iterator[tuple[tuple[str, ...], str]]:
    """Each setting of doveconf(1) with the sections that it is in; a section with nothing in it has the value ""."""
    within: list[str] = []
    for line in map(str.strip, lines):
        if line.endswith("{"):
            within.append(line[:-1].strip())
            yield tuple(within), ""
        elif line == "}":
            del within[-1:]
        elif line and not line.startswith("#"):
            name, _, value = line.partition("=")
            yield (*within, name.strip()), value.strip()


def _databases(settings: Sequence[tuple[tuple[str, ...], str]]) -> str:
    """The kinds of password database: in the words of 2.3 each is a `driver`, in those of 2.4 the section's name."""
    found: dict[str, None] = {}
    for path, value in settings:
        kind, _, name = path[0].partition(" ")
        if kind == "passdb" and (name or path[1:] == ("driver",)):
            found[name or value] = None
    return ", ".join(found) or "no password database"


def _mail(settings: Sequence[tuple[tuple[str, ...], str]]) -> str:
    top = {path[0]: value for path, value in settings if len(path) == 1}
    return top.get("mail_location") or ":".join(filter(None, (top.get("mail_driver"), top.get("mail_path"))))


TAKEOVER = Takeover(Query("dovecot_setup", "dovecot_setup"), _ends)
