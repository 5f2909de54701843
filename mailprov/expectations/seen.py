"""What hosts and DNS say of expectations, asked from here as a client asks: ports, listeners, records (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from mailprov.checks.cause import Cause
from mailprov.checks.check import Account, Check, Endpoint, Mode, Protocol
from mailprov.declaration.settings import MAIL_PORTS
from mailprov.dns import Answer, Record, Zone, judge, questions
from mailprov.dns.judge import Query
from mailprov.expectations.model import Finding, Limit, Login, Port, Records, Witness, counted, matches
from mailprov.expectations.networks import EVERYWHERE
from mailprov.model import HostSpec, User, some

_SHOWN: Final = 5
_OWN: Final = "a host that is asked by itself does not tell what others reach"


@dataclass(frozen=True, slots=True)
class Asked:
    """One host, and each of its ports that is asked, as it is reached from here; `narrowed` are those that the
    declaration may keep this machine out of, and `by` says whether it is the real one."""

    host: HostSpec
    address: str
    narrowed: frozenset[int] = frozenset()
    by: Witness = Witness.HOST

    @property
    def own(self) -> bool:
        """Whether the host asks itself."""
        try:
            return ip_address(self.address).is_loopback
        except ValueError:
            return False

    def endpoints(self, it: Port | Limit) -> Iterator[Endpoint]:
        """What must be asked of the host about an expectation."""
        if isinstance(it, Limit):
            yield from (self._endpoint(port, _begins(mode)) for _, mode, port in self._listeners)
        elif it.sources == EVERYWHERE:
            yield from (end for port in it.ports if (end := self._wanted(it, port)) is not None)

    @property
    def _listeners(self) -> Sequence[tuple[str, str, int]]:
        return self.host.services.ports()

    def _wanted(self, it: Port, port: int) -> Endpoint | None:
        """A port as it shall answer; None where it is not known which protocol would make it do so."""
        declared = {number: mode for _, mode, number in self._listeners}
        if it.answers == "closed":
            return self._endpoint(port, _begins(declared.get(port, "tls")))
        known = bool(it.protocol) or port in declared or port in MAIL_PORTS
        return self._endpoint(port, it.answers, it.protocol) if known or it.answers == "tls" else None

    def _endpoint(self, port: int, mode: Mode, protocol: str = "") -> Endpoint:
        declared = {number: name for name, _, number in self._listeners}
        name = protocol or declared.get(port) or MAIL_PORTS.get(port, "imap")
        return Endpoint(_PROTOCOLS[name], mode, self.address, port, self.host.hostname)

    # --- judged

    def of_port(self, it: Port, seen: Mapping[Endpoint, Sequence[Check]]) -> Iterator[Finding]:
        """What each of the ports says; nothing where the expectation is about others than this machine."""
        there = any(alive(checks[0]) for end, checks in seen.items() if end.address == self.address)
        for port in it.ports if it.sources == EVERYWHERE else ():
            end = self._wanted(it, port)
            if end is None:
                yield self._says(None, f"say which `protocol` port {port} speaks")
            elif it.answers == "closed":
                yield self._closed(port, seen[end][0], there)
            else:
                yield self._answering(it, port, seen[end], there)

    def _closed(self, port: int, connect: Check, there: bool) -> Finding:
        if connect.ok and self.own:
            return self._says(None, _OWN)
        if connect.ok:
            return self._says(False, f"port {port} is open")
        shut = connect.cause is Cause.REFUSED or (connect.cause is Cause.CONNECT_TIMEOUT and there)
        return self._says(True if shut else None, f"port {port}: {connect.detail}")

    def _answering(self, it: Port, port: int, checks: Sequence[Check], there: bool) -> Finding:
        connect = checks[0]
        if not connect.ok:
            told = there and connect.cause in (Cause.REFUSED, Cause.CONNECT_TIMEOUT) and port not in self.narrowed
            return self._says(False if told else None, f"port {port}: {connect.detail}")
        if any(check.step == "tls" and check.ok for check in checks):
            return self._says(True, f"port {port} answers {it.answers}")
        wrong = next((check for check in checks if check.failed), connect)
        return self._says(False, f"port {port}: {wrong.step}: {wrong.detail}")

    def without_tls(self, seen: Mapping[Endpoint, Sequence[Check]]) -> tuple[list[str], list[str]]:
        """The declared listeners that lack TLS, and those of which this cannot be told."""
        lacking, unseen = list[str](), list[str]()
        for protocol, mode, port in self._listeners:
            checks = seen[self._endpoint(port, _begins(mode))]
            name = f"{protocol} {port} on {self.host.name}"
            if any(check.failed and check.cause in _LACKING for check in checks):
                lacking.append(name)
            elif not any(check.step == "tls" and check.ok for check in checks):
                unseen.append(name)
        return lacking, unseen

    def _says(self, holds: bool | None, what: str) -> Finding:
        return Finding(self.by, holds, what, self.host.name)


def _begins(mode: str) -> Mode:
    """How a session with a listener of this mode begins that shall come to TLS."""
    return "tls" if mode == "tls" else "starttls"


_LACKING: Final = (Cause.CLEARTEXT_LOGIN, Cause.NO_STARTTLS, Cause.NOT_TLS)
_PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "pop3": "pop3",
    "imap": "imap",
    "submission": "submission",
    "smtp": "smtp",
    "sieve": "sieve",
}


def alive(connect: Check) -> bool:
    """Whether the machine itself is there, as the way to one of its ports shows."""
    return connect.ok or connect.cause is Cause.REFUSED


def of_listeners(it: Limit, hosts: Sequence[Asked], seen: Mapping[Endpoint, Sequence[Check]]) -> Finding:
    """Whether at most so many of these hosts' listeners, together, lack TLS; there is a host."""
    lacking, unseen = list[str](), list[str]()
    for host in hosts:
        more, unknown = host.without_tls(seen)
        lacking, unseen = [*lacking, *more], [*unseen, *unknown]
    names = f": {some(lacking, _SHOWN)}" if lacking else ""
    what = f"{counted(len(lacking), 'listener', 'listeners')}{names}"
    by = hosts[0].by
    if len(lacking) <= it.at_most and unseen:
        return Finding(by, None, f"not seen from here: {some(unseen, _SHOWN)}")
    return Finding(by, len(lacking) <= it.at_most, what)


def tried(it: Login, users: Sequence[User]) -> list[Account]:
    """Who can log in to see whether an expectation holds: of those whose passwords are known, some.

    None where it is about others than this machine.
    """
    if it.sources != EVERYWHERE:
        return []
    known = [(user.address, user.password.plaintext) for user in users if matches(it.user, user.address)]
    return [Account(address, password) for address, password in known if password is not None][:_LOGINS]


def of_logins(it: Login, logins: Sequence[tuple[str, Check]], host: str) -> Finding:
    """Whether logins, each with its account, went as expected."""
    went = [f"{address} by {made.endpoint.protocol}" for address, made in logins if made.ok]
    refused = [f"{address} by {made.endpoint.protocol}" for address, made in logins if made.cause is _REFUSED]
    wrong, right = (refused, went) if it.allowed else (went, refused)
    if wrong:
        return Finding(Witness.REHEARSAL, False, f"{_DONE[not it.allowed]}: {some(wrong, _SHOWN)}", host)
    if len(right) < len(logins):
        untried = next(made.detail for _, made in logins if not made.ok and made.cause is not _REFUSED)
        return Finding(Witness.REHEARSAL, None, f"not tried: {untried}", host)
    return Finding(Witness.REHEARSAL, True, f"{_DONE[it.allowed]}: {some(right, _SHOWN)}", host)


_REFUSED: Final = Cause.LOGIN_REFUSED
_DONE: Final = {True: "logged in", False: "refused"}
_LOGINS: Final = 20
"""accounts that are tried for one expectation"""


# --- DNS


def records(it: Records, zones: Sequence[Zone]) -> Sequence[Record]:
    """What DNS must have for an expectation."""
    if not it.domain:
        return (Record(it.name, it.kind, it.values, "it is expected"),)
    return [record for zone in zones if zone.name == it.domain for record in (*zone.records, *zone.elsewhere)]


def asked(wanted: Sequence[Record]) -> Iterator[Query]:
    """What a resolver must be asked about them."""
    return (question for record in wanted for question in questions(record))


def of_records(it: Records, wanted: Sequence[Record], answers: Mapping[Query, Answer]) -> Finding:
    """Whether DNS has them."""
    if not it.domain and it.kind == "TXT":
        return _of_texts(it, answers[it.name, it.kind])
    if not wanted:
        return Finding(Witness.DNS, None, "no record is known that it needs")
    found = [judge(record, answers) for record in wanted]
    wrong = [f"{each.record.name} {each.record.kind}: {each.what}" for each in found if each.differs]
    if any(each.differs and each.status != "unknown" for each in found):
        return Finding(Witness.DNS, False, some(wrong, _SHOWN))
    if wrong:
        return Finding(Witness.DNS, None, some(wrong, _SHOWN))
    return Finding(Witness.DNS, True, f"{counted(len(found), 'record is', 'records are')} there")


def _of_texts(it: Records, answer: Answer) -> Finding:
    """A name has texts for several purposes: others may stand beside."""
    if answer.why:
        return Finding(Witness.DNS, None, f"no answer: {answer.why}")
    missing = [value for value in it.values if value not in answer.values]
    return Finding(Witness.DNS, not missing, f"missing: {some(missing, _SHOWN)}" if missing else "all are there")
