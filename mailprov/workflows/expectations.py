"""What a team expects and allows, read and judged: by the declaration, by plans, by ports and DNS asked from here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from mailprov.checks import Check, Endpoint, Trust, check_listener
from mailprov.checks.all_users import everybody
from mailprov.declaration.confined import Root
from mailprov.declaration.files import declaration
from mailprov.dns import Answer, zones
from mailprov.dns.judge import Query
from mailprov.engine.saved_plan import Claim
from mailprov.errors import Diagnostic, ExpectationsError, HostError, MailprovError, Origin, SpecError
from mailprov.expectations import reading, seen
from mailprov.expectations.declared import Declared
from mailprov.expectations.model import AnExpectation, Finding, Limit, Login, PlanLimit, Port, Records, Verdict, Witness
from mailprov.expectations.planned import Planned
from mailprov.expectations.rendered import Rendered, rendered
from mailprov.model import Facts, HostSpec, Secret, Spec, User
from mailprov.observer import Observer
from mailprov.platform import debian
from mailprov.roles import mailhost
from mailprov.workflows import client_view, expectation_files
from mailprov.workflows.expectation_files import FOLDER, WRITE, Found
from mailprov.workflows.fleet import Fleet
from mailprov.workflows.secrets import with_guess
from mailprov.workflows.selection import confined_to

T = TypeVar("T")

MOST_TEXT = 512 * 1024
"""characters of all files of expectations together: some 5,000"""
_AT_ONCE = 16
_SECONDS = 10.0
"""for each connection attempt, handshake and exchange"""
_UNREAD = Secret("{CRYPT}-")
"""stands for a secret that was not read"""


# --- read


def load(file: Path, named: Sequence[Path], spec: Spec) -> tuple[AnExpectation, ...]:
    """The expectations in the files that are `named`, or in those of tests/ beside the declaration in `file`.

    Raises ExpectationsError with all that is wrong, in all of the files; and where there is none.
    """
    found: list[AnExpectation] = []
    size = 0
    with _held(file) as root:
        beside = Found(tuple(named), ()) if named else expectation_files.beside(file, root)
        errors = [*beside.wrong]
        for path in beside.files:
            try:
                text = declaration(path, root, reading.MAX_BYTES, WRITE)
                size += len(text)
                _require_bearable(size, path)
                found += reading.read(text, str(path), spec)
            except SpecError as error:
                errors += error.errors
                if size > MOST_TEXT:
                    break
    if errors:
        raise ExpectationsError(errors)
    if not found:
        first = next(iter(named), file.parent / FOLDER)
        raise ExpectationsError([Diagnostic(Origin(str(first), 1, 1), "nothing is expected here", WRITE)])
    return tuple(found)


def _require_bearable(size: int, path: Path) -> None:
    if size > MOST_TEXT:
        what = f"the files of expectations up to this one have more than {MOST_TEXT:,} characters"
        raise ExpectationsError([Diagnostic(Origin(str(path), 1, 1), what, "judge some files at a time")])


@contextmanager
def _held(file: Path) -> Iterator[Root | None]:
    root = confined_to(file)
    with closing(root) if root else nullcontext():
        yield root


# --- judged


@dataclass(slots=True)
class Judging:
    """Who is asked of each expectation: the declaration always, others as they are added."""

    spec: Spec
    expectations: Sequence[AnExpectation]
    chosen: Sequence[HostSpec]
    failures: list[MailprovError] = field(default_factory=list)
    """why somebody who was asked says nothing"""
    _found: dict[int, list[Finding]] = field(default_factory=dict)

    def declared(self, render: Callable[[str], Rendered] | None = None) -> None:
        """Ask the declaration; `render` gives what a host would have. Raises MailprovError for what takes too long."""
        witness = Declared(self.spec, [host.name for host in self.chosen], render or rendering(self.spec))
        for number, it in enumerate(self.expectations):
            self._add(number, *witness.findings(it))

    def kept_plan(self, claims: Mapping[str, Claim]) -> None:
        """Ask a plan that is kept. Raises MailprovError for what takes too long."""
        self._add_plans(Planned([*claims.values()], Witness.KEPT_PLAN))

    @property
    def wants_plans(self) -> bool:
        """Whether anything is expected of a plan."""
        return any(self._of(PlanLimit))

    def plans(self, file: Path, spec: Spec, observer: Observer) -> None:
        """Look at the hosts, read-only, and ask the plans of now; `spec` has the secrets that it takes."""
        made = Fleet(file, spec=spec, observer=observer).look([spec.hosts[host.name] for host in self.chosen])
        unseen = [it.name for it, each in zip(self.chosen, made, strict=True) if isinstance(each, MailprovError)]
        self.failures += (each for each in made if isinstance(each, MailprovError))
        claims = [each.claim for each in made if not isinstance(each, MailprovError)]
        self._add_plans(Planned(claims, Witness.PLAN, unseen))

    def _add_plans(self, plans: Planned) -> None:
        for number, it in self._of(PlanLimit):
            self._add(number, plans.finding(it))

    def hosts(self) -> None:
        """Ask the ports that something is expected of, as a client does that does not log in."""
        self._ask_ports([_asked(host, Witness.HOST) for host in self.chosen])

    def rehearsed(self, known: Spec, standin: HostSpec) -> None:
        """Ask a disposable host in a declared one's place: its ports, and logins with the passwords that are `known`.

        Raises ConnectError or HostError.
        """
        self._ask_ports([_asked(standin, Witness.REHEARSAL)])
        users, trusted = known.users_of(standin.name), client_view.asked_trust(standin)
        here, now = client_view.open_here(standin), datetime.now(UTC)
        for number, it in self._of(Login):
            accounts = seen.tried(it, users) if it.about(standin.name) else []
            made = [
                (login.address, login.check)
                for protocol in it.by  # one by one: who is refused by one is not tried by the next
                for login in everybody(
                    here, trusted, [replace(each, protocols=frozenset({protocol})) for each in accounts], now=now
                )
            ]
            if made:
                self._add(number, seen.of_logins(it, made, standin.name))

    def _ask_ports(self, hosts: Sequence[seen.Asked]) -> None:
        asked = {each.host.name: each for each in hosts}
        ports = list(self._of(Port))
        limits = [(number, it) for number, it in self._of(Limit) if it.of == "listeners_without_tls"]
        wanted: dict[Endpoint, str] = {}
        every: list[Port | Limit] = [*(it for _, it in ports), *(it for _, it in limits)]
        for it in every:
            for host in self._about(it, asked):
                wanted |= dict.fromkeys(host.endpoints(it), host.host.name)
        # Whether nobody is at a port can only be told where the machine is known to be there.
        for name in frozenset(wanted.values()):
            wanted |= dict.fromkeys(client_view.reached(asked[name].host), name)
        answers = _ask(list(wanted))
        self.failures += _silent(wanted, answers)
        for number, port in ports:
            for host in self._about(port, asked):
                self._add(number, *host.of_port(port, answers))
        for number, limit in limits:
            if about := self._about(limit, asked):
                self._add(number, seen.of_listeners(limit, about, answers))

    def dns(self, resolver: tuple[str, int] | None) -> None:
        """Ask a resolver for the records that are expected. Raises MailprovError where this machine has none."""
        from mailprov.dns.resolver import ask

        every = zones(self.spec)
        wanted = {number: seen.records(it, every) for number, it in self._of(Records)}
        answers: Mapping[Query, Answer] = {}
        if wanted:
            answers = ask([query for found in wanted.values() for query in seen.asked(found)], resolver)
        for number, it in self._of(Records):
            self._add(number, seen.of_records(it, wanted[number], answers))
        if unknown := [f"{name} {kind}: {each.why}" for (name, kind), each in answers.items() if each.why]:
            fix = "see whether the resolver can be reached, or ask another one (--resolver)"
            self.failures.append(MailprovError("DNS gives no answer", why="; ".join(unknown[:5]), fix=fix))

    def verdicts(self) -> list[Verdict]:
        """How each expectation stands by now."""
        return [
            Verdict(it, tuple(self._found.get(number, ())), _WHY.get(it.section, _LEFT_OUT))
            for number, it in enumerate(self.expectations)
        ]

    def _of(self, kind: type[T]) -> Iterator[tuple[int, T]]:
        return ((number, it) for number, it in enumerate(self.expectations) if isinstance(it, kind))

    @staticmethod
    def _about(it: Port | Limit, asked: Mapping[str, seen.Asked]) -> list[seen.Asked]:
        return [host for name, host in asked.items() if it.about(name)]

    def _add(self, number: int, *findings: Finding) -> None:
        self._found.setdefault(number, []).extend(findings)


_LEFT_OUT = "none of the hosts that it is about is looked at"
_WHY = {
    "records": "ask DNS with --live",
    "plan": "give a plan with --plan, or ask with --live",
}


def rendering(spec: Spec) -> Callable[[str], Rendered]:
    """What each host would have, by name: on the newest Debian, without secrets, and each made once."""
    made: dict[str, Rendered] = {}

    def of(name: str) -> Rendered:
        if name not in made:
            host, release = spec.hosts[name], debian.RELEASES[-1]
            ssh = (host.ssh.port or 22,)
            facts = Facts("", release, 0, ssh, debian.released(release), 0)
            desired = mailhost.desired(*with_guess(spec, host, _UNREAD), facts, _no_hash)
            made[name] = rendered(host, desired, frozenset(ssh))
        return made[name]

    return of


def _no_hash(_user: User) -> Secret:
    return Secret("")


def _asked(host: HostSpec, by: Witness) -> seen.Asked:
    address = "127.0.0.1" if host.address == "local" else host.address
    return seen.Asked(host, address, frozenset(rule.port for rule in client_view.narrowed(host)), by)


def _ask(ends: Sequence[Endpoint]) -> Mapping[Endpoint, Sequence[Check]]:
    now = datetime.now(UTC)
    with ThreadPoolExecutor(max_workers=_AT_ONCE, thread_name_prefix="test") as pool:
        looked = pool.map(lambda end: check_listener(end, Trust(), now=now, timeout=_SECONDS, brief=True), ends)
        return dict(zip(ends, looked, strict=True))


def _silent(ends: Mapping[Endpoint, str], answers: Mapping[Endpoint, Sequence[Check]]) -> Iterator[MailprovError]:
    """The hosts of which no port says anything."""
    for name in dict.fromkeys(ends.values()):
        of_host = [answers[end][0] for end, whose in ends.items() if whose == name]
        if not any(map(seen.alive, of_host)):
            error = HostError("nothing answers there", where=name, why=of_host[0].detail, fix="see `mailprov doctor`")
            error.at(name)
            yield error
