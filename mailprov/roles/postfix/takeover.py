"""What ends where a Postfix is taken over that somebody else has set up (pure)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network

from mailprov.model import HostSpec, Key, Query, Spec, State, some
from mailprov.resources import files
from mailprov.roles import Takeover

_STOCK_NAMES = (
    "alias_database append_dot_mydomain biff compatibility_level cyrus_sasl_config_path inet_interfaces "
    "inet_protocols mailbox_size_limit myhostname mydomain mynetworks_style myorigin readme_directory "
    "recipient_delimiter smtpd_banner smtp_tls_CApath smtp_tls_CAfile smtp_tls_security_level "
    "smtp_tls_session_cache_database smtp_tls_loglevel smtpd_tls_cert_file smtpd_tls_key_file smtpd_tls_chain_files "
    "smtpd_tls_security_level smtpd_tls_loglevel smtpd_tls_session_cache_database smtpd_use_tls smtp_use_tls "
    "smtpd_tls_auth_only smtpd_sasl_type smtpd_sasl_path smtpd_sasl_auth_enable smtpd_sasl_security_options "
    "smtpd_sasl_local_domain smtpd_tls_received_header daemon_directory command_directory queue_directory "
    "data_directory mail_owner setgid_group html_directory manpage_directory sample_directory newaliases_path "
    "mailq_path sendmail_path shlib_directory meta_directory debug_peer_level debugger_command "
    "unknown_local_recipient_reject_code mail_name maillog_file "
)
_STOCK = frozenset(_STOCK_NAMES.split())
"""settings of Debian's own file, and those that nobody would miss"""
_STOCK_VALUES = {
    "alias_maps": ("hash:/etc/aliases",),
    "smtpd_relay_restrictions": (
        "permit_mynetworks permit_sasl_authenticated defer_unauth_destination",
        "permit_mynetworks, permit_sasl_authenticated, defer_unauth_destination",
        "permit_mynetworks, permit_sasl_authenticated, reject_unauth_destination",
    ),
}
_STOCK_SERVICES_NAMES = "maildrop uucp ifmail bsmtp scalemail-backend mailman smtp submission submissions "
_STOCK_SERVICES = frozenset(_STOCK_SERVICES_NAMES.split())
_STOCK_ALIASES_NAMES = (
    "mailer-daemon postmaster nobody hostmaster usenet news webmaster www ftp abuse noc security root "
)
_STOCK_ALIASES = frozenset(_STOCK_ALIASES_NAMES.split())
_LOOPBACK = ("127.", "[::1]", "[::ffff:127.", "::1")
_WORDS = {
    "relayhost": "mail for others no longer leaves through {}",
    "smtpd_milters": "mail no longer passes the milters {}",
    "non_smtpd_milters": "the host's own mail no longer passes the milters {}",
    "content_filter": "mail no longer passes the filter {}",
    "home_mailbox": "mail is no longer delivered to {} in each user's home",
    "mail_spool_directory": "mail is no longer delivered to {}",
    "mailbox_command": "mail is no longer delivered by `{}`",
    "mailbox_transport": "mail is no longer delivered by {} (mailbox_transport)",
    "virtual_transport": "mail is no longer delivered by {} (virtual_transport)",
    "virtual_mailbox_base": "mail is no longer delivered below {}",
    "virtual_mailbox_maps": "the mailboxes of {} end, where they are not declared",
    "virtual_alias_maps": "the aliases of {} end, where they are not declared",
    "alias_maps": "the aliases of {} end",
    "transport_maps": "the transports of {} end",
}


def _ends(spec: Spec, host: HostSpec, desired: State, text: str) -> Iterator[str]:
    lines = [line.partition(" ") for line in text.splitlines()]
    settings = dict(_pairs([rest for word, _, rest in lines if word == "set"]))
    if not settings:
        return
    ours = dict(_pairs(_lines(desired, "main.cf")))
    yield from _refused(spec, host, settings, {rest.lower() for word, _, rest in lines if word == "local"})
    networks = _list(settings.get("mynetworks", ""))
    trusted = [each for each in networks if not each.startswith(_LOOPBACK)]
    if ending := [each for each in trusted if not _declared(each, host)]:
        yield f"nobody sends without a login any more: not from {some(ending, 5)} (mynetworks)"
    if narrowed := [each for each in trusted if _declared(each, host)]:
        yield f"nobody sends without a login any more but as a declared address: from {some(narrowed, 5)} (mynetworks)"
    told = {"mynetworks", "mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "relay_domains"}
    for name, words in _WORDS.items():
        value = settings.get(name, "")
        if value and value not in _STOCK_VALUES.get(name, ()) and ours.get(name) != value:
            yield words.format(value) + (_instead(host, value) if name == "relayhost" else "")
    further = (name for name, value in settings.items() if value and ours.get(name) != value)
    further = (name for name in further if settings[name] not in _STOCK_VALUES.get(name, ()))
    if names := sorted({*further} - _STOCK - told - {*_WORDS}):
        yield f"further settings of Postfix end: {some(names, 20)}"
    services = [rest.split() for word, _, rest in lines if word == "service"]
    known = {(words[0], words[1]) for words in map(str.split, _lines(desired, "master.cf")) if len(words) > 7}
    if lost := sorted({words[0] for words in services if len(words) > 7 and not _kept(words, known)}):
        yield f"services of master.cf end: {some(lost, 20)}"


def _declared(network: str, host: HostSpec) -> bool:
    """Whether all of a network of `mynetworks` may send as declared."""
    try:
        found = ip_network(re.sub(r"[][]", "", network))
    except ValueError:
        return False
    return any(
        found.subnet_of(each)  # type: ignore[arg-type] # the versions are compared first
        for each in host.outgoing.networks
        if each.version == found.version
    )


def _instead(host: HostSpec, relayhost: str) -> str:
    """Through what mail leaves then; whoever declares the same server is told so, for its login may be another one."""
    relay = host.outgoing.relay
    if relay is None:
        return ", but directly"
    found = re.fullmatch(r"\[?([^]]*?)\.?\]?(?::[0-9a-z]+)?", relayhost.lower())
    same = found is not None and found[1] == relay.host
    return f" as it was set up here, but as declared: {relay.spelled}" if same else f", but through {relay.spelled}"


def _kept(words: Sequence[str], known: set[tuple[str, str]]) -> bool:
    return (words[0], words[1]) in known or words[0] in _STOCK_SERVICES


def _lines(desired: State, name: str) -> Sequence[str]:
    """Those of the file that comes into this one's place."""
    item = desired.get(Key(files.KIND, f"/etc/postfix/{name}"))
    content = item.content if isinstance(item, files.File) and item.content else b""
    return content.decode("utf-8", "replace").splitlines()


def _pairs(lines: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Settings and their values, as postconf(1) tells them."""
    for name, separator, value in (line.partition("=") for line in lines):
        if separator and not name.startswith(("#", " ")):
            yield name.strip(), value.strip()


def _refused(spec: Spec, host: HostSpec, settings: Mapping[str, str], local: set[str]) -> Iterator[str]:
    """Domains and addresses that get mail today, and will not. A domain in a table is that table's."""
    served = {domain.name for domain in spec.domains_of(host.name)}
    own = {host.hostname, settings.get("myhostname", "")}
    names = {
        each.lower()
        for name in ("mydestination", "virtual_mailbox_domains", "virtual_alias_domains", "relay_domains")
        for each in _list(settings.get(name, ""))
    }
    tables = sorted(each for each in names if ":" in each or each.startswith("/"))
    if tables:
        yield f"domains of {some(tables, 5)} get no mail any more, where they are not declared"
    domains = {each for each in names - {*tables} if "localhost" not in each}
    if gone := sorted(domains - served - own):
        yield f"mail is refused for domains that are not declared: {some(gone, 10)}"
    declared = {user.address for user in spec.users_of(host.name)} | {
        alias.address for alias in spec.aliases_of(host.name)
    }
    declared |= {alias for user in spec.users_of(host.name) for alias in user.aliases}
    reached = {*_list(settings.get("mydestination", "").lower())} & served
    catching = {domain.name for domain in spec.domains_of(host.name) if domain.catch_all}
    lost = {f"{name}@{domain}" for domain in reached - catching for name in local - _STOCK_ALIASES} - declared
    if lost:
        yield f"mail is refused for addresses that are not declared: {some(sorted(lost), 10)}"


def _list(value: str) -> list[str]:
    return value.replace(",", " ").split()


TAKEOVER = Takeover(Query("postfix_setup", "postfix_setup"), _ends)
