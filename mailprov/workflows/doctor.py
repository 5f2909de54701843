"""Why mail does not work: a declared host or a provider, looked at from here and, where it is ours, asked."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from mailprov import assets, local_files, standard
from mailprov.checks import Account, Check, Endpoint, Trust
from mailprov.checks.connection_trace import ConnectionTrace, traced
from mailprov.connection import Host
from mailprov.doctor import Diagnosis, HostReport, Look, diagnosis, host_report
from mailprov.doctor.host_report import queries
from mailprov.engine import probe
from mailprov.errors import MailprovError
from mailprov.model import PROTOCOLS, HostSpec, Secret, Spec, User, domain_of
from mailprov.observer import Observer, Remark
from mailprov.providers import Protocol as Catalogued
from mailprov.providers import Provider, serving
from mailprov.workflows import client_view
from mailprov.workflows.session import session
from mailprov.workflows.survey import ask

Security = Literal["tls", "starttls", "none"]
_CATALOGUED: tuple[Catalogued, ...] = ("pop3", "imap", "submission")


@dataclass(frozen=True, slots=True)
class How:
    """Whose trouble it is, and how that user's mail program is set up, as far as it is known.

    `protocol`, `port` and `security` are "" or 0 for whatever is declared. `client` is the address that the user calls
    from. `minutes` is how far back the host's log is read. `provider` names one whose servers are looked at instead.
    """

    user: str = ""
    password_env: str = ""
    protocol: str = ""
    port: int = 0
    security: str = ""
    client: str = ""
    from_client: bool = False
    roots: Path | None = None
    minutes: int = 15
    details: bool = False
    provider: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where mail is to be had: endpoints, and what is accepted as their certificate.

    `declared` is None for a server that is not ours to ask. `missing` are protocols asked for and not offered. `words`
    are what else people should know of it.
    """

    name: str
    endpoints: tuple[Endpoint, ...]
    trust: Trust
    declared: HostSpec | None = None
    missing: tuple[str, ...] = ()
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Examined:
    """What was met at a place, and what it means."""

    place: Place
    traces: tuple[ConnectionTrace, ...]
    found: Diagnosis

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every step at every endpoint."""
        return tuple(check for each in self.traces for check in each.checks)


def diagnoses(
    spec: Spec, chosen: tuple[HostSpec, ...], how: How, observer: Observer
) -> tuple[list[Examined], list[MailprovError]]:
    """What was met at each of the hosts that serve the user, or at the provider where that mail is; without a user, at
    every host and provider. And why hosts could not be asked.

    Raises MailprovError where no host serves the user, or no password is where it is said to be.
    """
    user = next((user for user in spec.users if user.address == how.user), None)
    domain = spec.domains.get(domain_of(how.user)) if how.user else None
    if domain is not None and domain.hosted_by:
        return [elsewhere(serving(domain.hosted_by, domain.servers), how, observer, user)], []
    chosen = _hosts_of(spec, chosen, how.user)
    account = _account(how, user)
    # with --limit, hosts are meant
    everywhere = not how.user and len(chosen) == len(spec.hosts)
    hosted = {(each.hosted_by, each.servers) for each in spec.domains.values() if each.hosted_by and everywhere}
    done = [elsewhere(serving(*each), how, observer) for each in sorted(hosted)]
    failures: list[MailprovError] = []
    for declared in chosen:
        with observer.during(f"looking at {declared.name}"):
            examined, failure = _examine(declared, user, account, how)
        if failure is not None:
            observer.tell(Remark(f"The host could not be asked. {failure}"))
            failures.append(failure)
        done.append(examined)
    return done, failures


def _examine(
    declared: HostSpec, user: User | None, account: Account | None, how: How
) -> tuple[Examined, MailprovError | None]:
    """One declared host, from here and, unless it was left out, by its own words. A host that cannot be asked is
    looked at from here all the same; why it could not be asked is the second item."""
    failure: MailprovError | None = None
    with ExitStack() as stack:
        host: Host | None = None
        leaf = ""
        if not how.from_client:
            try:
                host = stack.enter_context(session(declared))
                leaf = client_view.kept_leaf(declared, host)
            except MailprovError as error:
                failure = error
        trust = replace(client_view.trust(declared, leaf, how.roots), known=_known(declared, how.roots))
        place = _place(declared, trust, user, how)
        began = time.time()
        traces = traced(place.endpoints, trust, account, now=datetime.now(UTC), encrypted=how.security != "none")
        answer: HostReport | None = None
        if host is not None:
            try:
                answer = _asked(host, traces, how)
            except MailprovError as error:
                failure = error
    if failure is not None:
        failure.at(declared.name)
    look = _look(place, traces, user, how, began)
    why = "not asked: --from-client" if how.from_client else "the host could not be asked"
    return Examined(place, traces, diagnosis(look, answer, why)), failure


def elsewhere(provider: Provider, how: How, observer: Observer, user: User | None = None) -> Examined:
    """A provider's servers, which can be looked at from here only: those that the user may use, where one is declared.

    No password goes to a provider that takes none.
    """
    account = _account(how, user) if provider.takes_password else None
    with observer.during(f"looking at {provider.name.en}"):
        return examine(_place_of(provider, how, user), account, how)


def examine(place: Place, account: Account | None, how: How) -> Examined:
    """A place that is looked at from here only, and need not be declared."""
    began = time.time()
    traces = traced(place.endpoints, place.trust, account, now=datetime.now(UTC), encrypted=how.security != "none")
    return Examined(place, traces, diagnosis(_look(place, traces, None, how, began), None, "the server is not ours"))


def _place_of(provider: Provider, how: How, user: User | None) -> Place:
    """The preferred server of each protocol, or the one that the user's mail program is said to use."""
    given = user.protocols if user is not None else frozenset(PROTOCOLS)
    wanted = [name for name in _CATALOGUED if (name == how.protocol if how.protocol else name in given)]
    every = [(name, server) for name in wanted for server in provider.servers(name) or ()]
    mode = {"": "", "tls": "tls"}.get(how.security, "starttls")
    fitting = [(name, server) for name, server in every if mode in ("", server.mode)]
    if how.port:
        exact = [pair for pair in fitting if pair[1].port == how.port]
        fitting = exact or [(name, replace(server, port=how.port)) for name, server in fitting]
    first = dict(reversed(fitting))
    endpoints = tuple(
        Endpoint(name, first[name].mode, first[name].host, first[name].port, first[name].host)
        for name in wanted
        if name in first
    )
    missing = tuple(name for name in wanted if name not in first) if how.protocol else ()
    words = [provider.enable.en, provider.enable.zh, *(each for note in provider.notes for each in (note.en, note.zh))]
    if not provider.takes_password:
        words.insert(0, "It takes no password from mail programs (OAuth2 only): no login was tried.")
    return Place(provider.name.en, endpoints, Trust(roots=how.roots), missing=missing, words=tuple(words))


def _asked(host: Host, traces: Sequence[ConnectionTrace], how: How) -> HostReport:
    mentioned = dict.fromkeys((*(each.source for each in traces), how.client))
    script = probe.script(
        standard.REGISTRY, queries(how.user, how.minutes, tuple(mentioned)), assets.script("doctor/doctor.sh")
    )
    return host_report(ask(host, script).sections, standard.REGISTRY.units)


def _look(place: Place, traces: Sequence[ConnectionTrace], user: User | None, how: How, began: float) -> Look:
    declared = place.declared
    return Look(
        checks=tuple(check for each in traces for check in each.checks),
        sources=frozenset(each.source for each in traces if each.source),
        client=how.client,
        began=began,
        clock=time.time(),
        user=how.user,
        given=user.protocols if user is not None else None,
        missing=place.missing,
        allow=client_view.narrowed(declared) if declared else (),
        resolved=traces[0].resolved if traces else (),
        address=declared.address if declared else "",
    )


def _place(declared: HostSpec, trust: Trust, user: User | None, how: How) -> Place:
    """The endpoints that the user's mail program would use, or the one that it is said to use."""
    listening = client_view.reached(declared)
    if how.protocol:
        listening = tuple(each for each in listening if each.protocol == how.protocol)
    elif user is not None:
        listening = tuple(each for each in listening if each.protocol in user.protocols)
    elif how.user:
        listening = tuple(each for each in listening if each.protocol in PROTOCOLS)
    wanted = how.protocol or " or ".join(sorted(user.protocols if user is not None else PROTOCOLS))
    missing = (wanted,) if wanted and not listening else ()
    if how.port:
        listening = _at(declared, tuple(e for e in listening if e.port == how.port) or listening[:1], how)
    elif how.security:
        mode = "tls" if how.security == "tls" else "starttls"
        narrower = tuple(each for each in listening if each.mode == mode)
        missing = missing or (() if narrower else (f"{how.protocol or 'listener'} with {mode}",))
        listening = narrower
    return Place(declared.name, listening, trust, declared, missing)


def _at(declared: HostSpec, like: tuple[Endpoint, ...], how: How) -> tuple[Endpoint, ...]:
    """The one endpoint that is said to be used, right or wrong."""
    base = like[0] if like else client_view.reached(declared)[0]
    mode: Literal["tls", "starttls"] = base.mode
    if how.security:
        mode = "tls" if how.security == "tls" else "starttls"
    return (replace(base, port=how.port, mode=mode),)


def _known(declared: HostSpec, roots: Path | None) -> str:
    bundle = local_files.certificates(roots) if roots is not None else ""
    return f"{declared.tls.chain}\n{bundle}"


def _hosts_of(spec: Spec, chosen: tuple[HostSpec, ...], user: str) -> tuple[HostSpec, ...]:
    """Those of the hosts that serve the user's domain."""
    if not user:
        return chosen
    domain = spec.domains.get(domain_of(user))
    serving = tuple(host for host in chosen if domain is not None and host.name in domain.hosts)
    if not serving:
        known = ", ".join(sorted(spec.domains)) or "none"
        raise MailprovError(
            f"no host here serves {domain_of(user)}", where="--user", fix=f"declared domains are: {known}"
        )
    return serving


def _account(how: How, user: User | None) -> Account | None:
    """What to log in with. Raises MailprovError where the password is not where it is said to be."""
    if not how.password_env:
        return None
    password = os.environ.get(how.password_env)
    if not how.user or password is None:
        what = f"{how.password_env} is not set" if how.user else "a password without --user"
        raise MailprovError(what, where="--password-env", fix="give --user, and the variable that holds its password")
    return Account(how.user, Secret(password), user.protocols if user else frozenset(PROTOCOLS))
