"""Which causes explain what was seen (pure): checks made as a client, and what the host told → Findings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from mailprov.checks import Cause as Why
from mailprov.checks import Check
from mailprov.doctor.causes import Cause
from mailprov.doctor.firewall import Barrier, barrier
from mailprov.doctor.host_report import HostReport, Mailbox
from mailprov.doctor.log import Event
from mailprov.doctor.own import own
from mailprov.doctor.sending import held_back
from mailprov.doctor.table import CAUSES, RANK
from mailprov.model import Allow, may_use


@dataclass(frozen=True, slots=True)
class Finding:
    """A cause that was found: how that is known, and at which listeners ("imap 993"; none: on the host as such)."""

    cause: Cause
    evidence: tuple[str, ...]
    listeners: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen from here, and what is declared of it.

    `sources` are the addresses that this machine comes from, `client` the address that the user calls from, if it is
    known. `began` and `clock` are this machine's clock when it began to look and when the host was asked. `given` are
    the user's protocols, None where they are not declared; `missing` the protocols asked for and not declared;
    `resolved` what DNS gave for the host's name, `address` the declared one.
    """

    checks: tuple[Check, ...]
    sources: frozenset[str] = frozenset()
    client: str = ""
    began: float = 0.0
    clock: float = 0.0
    user: str = ""
    given: frozenset[str] | None = None
    missing: tuple[str, ...] = ()
    allow: tuple[Allow, ...] = ()
    resolved: tuple[str, ...] = ()
    address: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`findings` in the order in which a client meets them; `undetermined` is what could not be known, and why."""

    findings: tuple[Finding, ...]
    undetermined: tuple[str, ...] = ()

    @property
    def causes(self) -> tuple[Finding, ...]:
        """The findings that keep somebody from their mail."""
        return tuple(finding for finding in self.findings if not finding.cause.notice)


_DIRECT: Mapping[Why, str] = {
    Why.DNS: "dns-no-name",
    Why.RESOLVER: "dns-no-answer",
    Why.SILENT: "silent",
    Why.TLS_EXPECTED: "tls-from-the-start",
    Why.NOT_TLS: "cleartext-first",
    Why.RESET: "dropped",
    Why.CLOSED: "dropped",
    Why.TLS_VERSION: "tls-version",
    Why.SERVER_TLS_OLD: "server-tls-old",
    Why.CLIENT_TLS_OLD: "client-tls-old",
    Why.NO_SHARED_CIPHER: "no-shared-cipher",
    Why.CLIENT_CERTIFICATE: "client-certificate",
    Why.TLS: "tls-failed",
    Why.SELF_SIGNED: "self-signed",
    Why.UNKNOWN_CA: "unknown-ca",
    Why.MISSING_INTERMEDIATE: "missing-intermediate",
    Why.EXPIRED: "expired",
    Why.NOT_YET_VALID: "not-yet-valid",
    Why.EXPIRES_SOON: "expires-soon",
    Why.WRONG_NAME: "wrong-name",
    Why.CERTIFICATE: "certificate-refused",
    Why.PIN_MISMATCH: "other-certificate",
    Why.OLD_TLS: "old-tls-accepted",
    Why.NO_STARTTLS: "no-starttls",
    Why.INJECTION: "injection",
    Why.CLEARTEXT_LOGIN: "cleartext-login",
    Why.LOGIN_NEEDS_TLS: "login-needs-tls",
    Why.NO_MECHANISM: "no-mechanism",
    Why.GARBLED: "garbled",
    Why.IN_USE: "mailbox-in-use",
    Why.TEMPORARY: "temporary",
    Why.PERMANENT: "permanent",
    Why.OTHER: "unexplained",
}
"""what a client knows by itself"""

_NO_ANSWER = (Why.CONNECT_TIMEOUT, Why.REFUSED, Why.UNREACHABLE)
_SERVICE = {"pop3": "dovecot", "imap": "dovecot", "submission": "postfix", "smtp": "postfix", "sieve": "dovecot"}
_AUTH_WORD = {"submission": "smtp"}
"""what Dovecot's auth calls a protocol that it is not asked for by its own name"""

APART = 120
"""seconds by which clocks may differ"""


def diagnosis(look: Look, host_report: HostReport | None, why_untold: str = "") -> Diagnosis:
    """Every cause that explains what was seen. `host_report` is None where the host was not asked: `why_untold`."""
    found = _Found()
    for wanted in look.missing:
        found.add("not-declared", f"the declaration has no {wanted} under `services`")
    _given(found, look)
    for check in look.checks:
        if not check.ok:
            _seen(found, check, look, host_report)
    if host_report is not None:
        _addresses(found, look, host_report)
        _host(found, look, host_report)
        if look.user and host_report.mailbox is not None:
            _mailbox(found, look, host_report.mailbox)
        _logged(found, look, host_report)
    return Diagnosis(found.findings(), _untold(look, why_untold) if host_report is None else ())


@dataclass(slots=True)
class _Found:
    evidence: dict[str, dict[str, None]] = field(default_factory=dict)
    listeners: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, name: str, evidence: str, check: Check | None = None) -> None:
        """Each evidence and each listener once, in the order in which they were found."""
        self.evidence.setdefault(name, {})[evidence] = None
        of_it = self.listeners.setdefault(name, {})
        if check is not None:
            of_it[f"{check.endpoint.protocol} {check.endpoint.port}"] = None

    def findings(self) -> tuple[Finding, ...]:
        names = sorted(self.evidence, key=RANK.__getitem__)
        return tuple(Finding(CAUSES[n], tuple(self.evidence[n]), tuple(self.listeners[n])) for n in names)


def _given(found: _Found, look: Look) -> None:
    """The protocols that the declaration gives the user, against those that are used."""
    if look.given is None:
        return
    words = f"declared for {look.user}: {', '.join(sorted(look.given)) or 'no protocol at all'}"
    if not look.given:
        found.add("protocol-not-allowed", words)
    for check in look.checks:
        if check.endpoint.protocol != "smtp" and not may_use(look.given, check.endpoint.protocol):
            found.add("protocol-not-allowed", words, check)


def _seen(found: _Found, check: Check, look: Look, host_report: HostReport | None) -> None:
    """One check that failed, or warned."""
    if check.step == "route":
        found.add("no-route", check.detail, check)
    elif check.cause in _NO_ANSWER:
        _unreached(found, check, look, host_report)
    elif check.cause is Why.LOGIN_REFUSED:
        _refused(found, check, look, host_report)
    elif check.cause in (Why.IN_USE, Why.TEMPORARY, Why.PERMANENT) and check.step in ("greeting", "login", "mailbox"):
        _busy(found, check, look, host_report)
    elif check.cause in _DIRECT:
        found.add(_DIRECT[check.cause], check.detail, check)


def _unreached(found: _Found, check: Check, look: Look, host_report: HostReport | None) -> None:
    """No TCP connection: whose doing is it?"""
    port, plain = check.endpoint.port, check.cause
    if host_report is None:
        narrowed = [rule for rule in look.allow if rule.port == port and not _within(look.sources, rule)]
        if narrowed and plain is not Why.REFUSED:
            nets = ", ".join(str(net) for rule in narrowed for net in rule.sources)
            found.add("firewall-ours", f"the declaration opens port {port} to {nets} only; {check.detail}", check)
        else:
            names = {Why.REFUSED: "refused", Why.CONNECT_TIMEOUT: "timeout"}
            found.add(names.get(plain, "no-route"), check.detail, check)
        return
    if wall := _walls(host_report, port, look.sources | {host_report.asker}):
        found.add(_whose(wall), f"the host's nftables chain `{wall}` does not let it in; {check.detail}", check)
        return
    service = _SERVICE[check.endpoint.protocol]
    if host_report.state(service) not in ("active", "reloading", ""):
        found.add("service-down", f"{service} is {host_report.state(service)}; {check.detail}", check)
    elif port not in host_report.ports:
        found.add("not-listening", f"{service} runs, and nothing listens on port {port}; {check.detail}", check)
    elif plain is Why.UNREACHABLE:
        found.add("no-route", check.detail, check)
    else:
        found.add("network-between", f"the host listens on port {port}, and lets it in; {check.detail}", check)


def _walls(host_report: HostReport, port: int, sources: Iterable[str]) -> Barrier | None:
    for source in sorted(filter(None, sources)):
        if wall := barrier(host_report.ruleset, port, source):
            return wall
    return None


def _whose(wall: Barrier) -> str:
    return "firewall-ours" if wall.ours else "firewall-other"


def _within(sources: Iterable[str], rule: Allow) -> bool:
    return not rule.sources or any(ip_address(source) in net for source in sources for net in rule.sources)


def _refused(found: _Found, check: Check, look: Look, host_report: HostReport | None) -> None:
    """A login refused as a wrong password is; the client is not told more, and the host's log is."""
    protocol = check.endpoint.protocol
    if look.given is not None and not may_use(look.given, protocol):
        found.add("protocol-not-allowed", check.detail, check)
        return
    if host_report is None or host_report.mailbox is None:
        found.add("login-refused", check.detail, check)
        return
    mailbox = host_report.mailbox
    shift = (host_report.clock or look.clock) - look.clock
    # What somebody else is refused for meanwhile, from elsewhere, is not why this login was.
    here = {*look.sources, host_report.asker, ""}
    lately = {
        e.kind: e
        for e in host_report.events
        if e.user == look.user and e.client in here and e.at >= look.began + shift - 2
    }
    if not mailbox.exists:
        found.add("unknown-user", f"the host has no account {look.user}; {check.detail}", check)
    elif _AUTH_WORD.get(protocol, protocol) in mailbox.denied:
        found.add("protocol-not-allowed", f"the host denies {look.user} this protocol; {check.detail}", check)
    elif "blocked-by-allow-from" in lately:
        found.add("blocked-by-allow-from", _quoted(lately["blocked-by-allow-from"]), check)
    elif "wrong-password" in lately:
        found.add("wrong-password", _quoted(lately["wrong-password"]), check)
    elif barred := [source for source in sorted(look.sources) if not mailbox.admits(source)]:
        found.add("blocked-by-allow-from", f"{_outside(look.user, mailbox, barred[0])}; {check.detail}", check)
    else:
        found.add("login-refused", f"{check.detail}; the host's log says nothing of it", check)


def _outside(user: str, mailbox: Mailbox, address: str) -> str:
    return f"{user} may log in from {', '.join(map(str, mailbox.networks))} only, and {address} is not in it"


def _busy(found: _Found, check: Check, look: Look, host_report: HostReport | None) -> None:
    mailbox = host_report.mailbox if host_report else None
    logged = {event.kind: event for event in host_report.events if event.user == look.user} if host_report else {}
    crowd = _crowd(mailbox, check.endpoint.protocol) if mailbox else ""
    if "too-many-connections" in logged or crowd:
        more = crowd or _quoted(logged["too-many-connections"])
        found.add("too-many-connections", f"{more}; {check.detail}", check)
    elif check.endpoint.protocol == "pop3" and mailbox and mailbox.locks:
        found.add("mailbox-locked", f"pop3_lock_session is on; {check.detail}", check)
    elif "mailbox-locked" in logged:
        found.add("mailbox-locked", _quoted(logged["mailbox-locked"]), check)
    else:
        found.add(_DIRECT[check.cause], check.detail, check)


def _crowd(mailbox: Mailbox, protocol: str) -> str:
    most = (mailbox.most or {}).get(protocol, 0)
    for (of, address), count in (mailbox.sessions or {}).items():
        if of == protocol and most and count >= most:
            return f"{count} sessions are open from {address}, and {most} are allowed"
    return ""


def _addresses(found: _Found, look: Look, host_report: HostReport) -> None:
    known = {look.address, *host_report.addresses}
    if look.resolved and not known.intersection(look.resolved):
        where = ", ".join(look.resolved)
        found.add(
            "dns-elsewhere", f"DNS leads to {where}; the host has {', '.join(host_report.addresses) or look.address}"
        )


def _host(found: _Found, look: Look, host_report: HostReport) -> None:
    """What is wrong with the host whether or not it was felt."""
    for service in (*dict.fromkeys(_SERVICE[check.endpoint.protocol] for check in look.checks), "rspamd"):
        if host_report.state(service) not in ("active", "reloading", ""):
            then = ": what is sent and what comes in is put off" if service == "rspamd" else ""
            found.add("service-down", f"systemd says that {service} is {host_report.state(service)}{then}")
    for disk in host_report.disks:
        if disk.full:
            left = f"{disk.free} of {disk.size} KiB"
            more = f", and {disk.inodes_free} of {disk.inodes} inodes" if disk.inodes else ""
            found.add("disk-full", f"{disk.folder} has {left} left{more}")
    for cause, evidence in held_back(host_report.queue):
        found.add(cause, evidence)
    for user, count in Counter(each.user for each in host_report.events if each.kind == "sending-limit").items():
        found.add("sending-limit", f"{user}: {count} message{'' if count == 1 else 's'} put off, by the host's log")
    if host_report.clock is not None and abs(host_report.clock - look.clock) > APART:
        ahead = round(host_report.clock - look.clock)
        state = {True: "is", False: "is not", None: "may or may not be"}[host_report.synchronised]
        words = f"the host's clock is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the one here"
        found.add("clock-wrong", f"{words}, and {state} synchronised")
    for port, check in {check.endpoint.port: check for check in look.checks}.items():
        if look.client and (wall := barrier(host_report.ruleset, port, look.client)):
            found.add(_whose(wall), f"the host's nftables chain `{wall}` does not let {look.client} in", check)


def _mailbox(found: _Found, look: Look, mailbox: Mailbox) -> None:
    """What is wrong with the user's account whether or not it was felt."""
    if not mailbox.exists:
        found.add("unknown-user", f"the host has no account {look.user}")
        return
    for check in {check.endpoint: check for check in look.checks}.values():
        protocol = check.endpoint.protocol
        if _AUTH_WORD.get(protocol, protocol) in mailbox.denied:
            found.add("protocol-not-allowed", f"the host denies {look.user} {protocol}", check)
    if look.client and not mailbox.admits(look.client):
        found.add("blocked-by-allow-from", _outside(look.user, mailbox, look.client))
    if mailbox.limit and mailbox.used >= mailbox.limit * 0.98:
        found.add("quota-full", f"{mailbox.used} of {mailbox.limit} bytes are used")


_OF_A_CLIENT = ("client-tls-old", "certificate-distrusted")
_ACCOUNT = ("blocked-by-allow-from", "wrong-password", "unknown-user", "too-many-connections", "login-needs-tls")


def _logged(found: _Found, look: Look, host_report: HostReport) -> None:
    """What the user's own clients met lately. What this look has met is left out: it was seen from here."""
    here, shift = {*look.sources, host_report.asker} - {""}, (host_report.clock or look.clock) - look.clock
    tried = sum(check.step == "login" and check.cause is not Why.NOT_TESTED for check in look.checks)
    mine = own(host_report.events, here, look.began + shift, look.clock + shift, tried)
    others = [event for event in host_report.events if event not in mine]
    theirs = {event.client for event in others if look.user and event.user == look.user}
    # A handshake names no user, and former looks from here have refused some on purpose.
    theirs = (theirs - here | {look.client}) - {""}
    last_in: dict[str, float] = {}
    for event in others:
        if event.kind == "login" and event.user == look.user:
            last_in[event.client] = max(event.at, last_in.get(event.client, 0))
    absent = host_report.mailbox is not None and not host_report.mailbox.exists
    for event in others:
        # Each of Dovecot's passdbs says that, also about users that the next one knows.
        if event.kind == "unknown-user" and not absent:
            continue
        of_user = bool(look.user) and event.user == look.user
        if event.kind in _OF_A_CLIENT and event.client in theirs:
            found.add(event.kind, _quoted(event, here))
        elif event.kind in _ACCOUNT and (of_user or event.client == look.client != ""):
            # Who came in later, from there, had another try.
            if event.at >= last_in.get(event.client, 0) or event.kind == "blocked-by-allow-from":
                found.add(event.kind, _quoted(event, here))
        elif event.kind == "quota-full" and of_user:
            found.add(event.kind, _quoted(event))


def _quoted(event: Event, here: Collection[str] = ()) -> str:
    too = ", which is this machine's address, too" if event.client in here else ""
    from_where = f" (from {event.client}{too})" if event.client else ""
    return f"the host's log{from_where}: {event.text}"


_ONLY_THE_HOST = (
    "which rules its firewall has, and whether its services run",
    "whether its disks are full and its clock is right",
)
_ONLY_THE_HOST_OF_A_USER = (
    "whether a refused login means a wrong password, an unknown user, or an address outside of `allow_from`",
    "whether the mailbox is full, and who else is in it",
)


def _untold(look: Look, why: str) -> tuple[str, ...]:
    of_user = _ONLY_THE_HOST_OF_A_USER if look.user else ()
    return tuple(f"{what} ({why})" if why else what for what in (*_ONLY_THE_HOST, *of_user))
