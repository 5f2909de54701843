"""mailprov doctor."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

import click

from mailprov import probe
from mailprov.doctor import Diagnosis, Look, Told, diagnosis, told
from mailprov.doctor.told import questions
from mailprov.errors import Exit, MailprovError
from mailprov.host import Host
from mailprov.model import PROTOCOLS, HostSpec, Secret, Spec, User, domain_of
from mailprov.providers import Protocol as Catalogued
from mailprov.providers import Provider, catalogue, corrected, search
from mailprov.report import json, markdown, text
from mailprov.report.text import Line
from mailprov.survey import ask
from mailprov.verbs import console, outside
from mailprov.verbs.session import hosts, load, session, worst
from mailprov.verify import Account, Check, Endpoint, Trust
from mailprov.verify.walk import Walk, walk

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
    walks: tuple[Walk, ...]
    found: Diagnosis

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every step at every endpoint."""
        return tuple(check for each in self.walks for check in each.checks)


def ip(text: str) -> str:
    """An IP address in its usual form; "" stays. Raises MailprovError for anything else."""
    try:
        return str(ip_address(text)) if text else ""
    except ValueError as error:
        raise MailprovError(f"`{text}` is no IP address", where="--client", cure="for example 192.0.2.7") from error


def doctor(file: Path, limit: Sequence[str], form: str, how: How) -> Exit:
    """Find out why mail does not work; exit 9 when a cause was found."""
    if how.provider:
        return _tell([elsewhere(_provider(how.provider), how)], form, how)
    spec = load(file)
    domain = spec.domains.get(domain_of(how.user)) if how.user else None
    if domain is not None and domain.hosted_by:
        return _tell([elsewhere(catalogue()[domain.hosted_by], how)], form, how)
    chosen = _hosts_of(spec, hosts(spec, limit), how.user)
    user = next((user for user in spec.users if user.address == how.user), None)
    account = _account(how, user)
    done: list[Examined] = []
    failures: list[MailprovError] = []
    for declared in chosen:
        with console.doing(f"looking at {declared.name}"):
            examined, failure = _examine(declared, user, account, how)
        done.append(examined)
        failures += [failure] if failure is not None else []
    return max(_tell(done, form, how), worst(failures, len(chosen)))


def _tell(done: Sequence[Examined], form: str, how: How) -> Exit:
    reports = [(each.place.name, each.checks, each.found) for each in done]
    if form == "json":
        click.echo(json.diagnoses(reports))
    elif form == "markdown":
        click.echo(markdown.diagnoses(reports))
    else:
        for each in done:
            console.show(text.diagnosis(each.place.name, each.checks, each.found, details=how.details))
            console.show([Line(f"  {words}") for words in each.place.words])
    return Exit.UNVERIFIED if any(each.found.causes for each in done) else Exit.DONE


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
                leaf = outside.kept_leaf(declared, host)
            except MailprovError as error:
                failure = error
        trust = replace(outside.trust(declared, leaf, how.roots), known=_known(declared, how.roots))
        place = _place(declared, trust, user, how)
        began = time.time()
        walks = walk(place.endpoints, trust, account, now=datetime.now(UTC), encrypted=how.security != "none")
        answer: Told | None = None
        if host is not None:
            try:
                answer = _asked(host, walks, how)
            except MailprovError as error:
                failure = error
    if failure is not None:
        failure.where = failure.where or declared.name
        console.say(f"The host could not be asked. {failure}", "warn")
    look = _look(place, walks, user, how, began)
    why = "not asked: --from-client" if how.from_client else "the host could not be asked"
    return Examined(place, walks, diagnosis(look, answer, why)), failure


def elsewhere(provider: Provider, how: How) -> Examined:
    """A provider's servers, which can be looked at from here only. No password goes to one that takes none."""
    account = _account(how, None) if set(provider.credentials) - {"oauth2"} else None
    with console.doing(f"looking at {provider.name.en}"):
        return examine(_place_of(provider, how), account, how)


def examine(place: Place, account: Account | None, how: How) -> Examined:
    """A place that is looked at from here only, and need not be declared."""
    began = time.time()
    walks = walk(place.endpoints, place.trust, account, now=datetime.now(UTC), encrypted=how.security != "none")
    return Examined(place, walks, diagnosis(_look(place, walks, None, how, began), None, "the server is not ours"))


def _provider(text: str) -> Provider:
    wrong = corrected(text)
    found = (catalogue()[wrong.provider],) if wrong is not None else search(text)
    if wrong is not None:
        console.show([Line(f"! {wrong}", "warn")], err=True)
    if len(found) != 1:
        names = ", ".join(each.id for each in found or catalogue().values())
        what = f"`{text}` may be several providers" if found else f"no provider is known as `{text}`"
        raise MailprovError(what, where="--provider", cure=f"say which one: {names}")
    return found[0]


def _place_of(provider: Provider, how: How) -> Place:
    """The preferred server of each protocol, or the one that the user's mail program is said to use."""
    wanted = [name for name in _CATALOGUED if how.protocol in ("", name)]
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
    if set(provider.credentials) == {"oauth2"}:
        words.insert(0, "It takes no password from mail programs (OAuth2 only): no login was tried.")
    return Place(provider.name.en, endpoints, Trust(roots=how.roots), missing=missing, words=tuple(words))


def _asked(host: Host, walks: Sequence[Walk], how: How) -> Told:
    mentioned = dict.fromkeys((*(each.source for each in walks), how.client))
    script = probe.script(questions(how.user, how.minutes, tuple(mentioned)), "doctor.sh")
    return told(ask(host, script).sections)


def _look(place: Place, walks: Sequence[Walk], user: User | None, how: How, began: float) -> Look:
    declared = place.declared
    return Look(
        checks=tuple(check for each in walks for check in each.checks),
        sources=frozenset(each.source for each in walks if each.source),
        client=how.client,
        began=began,
        clock=time.time(),
        user=how.user,
        given=user.protocols if user is not None else None,
        missing=place.missing,
        allow=outside.narrowed(declared) if declared else (),
        resolved=walks[0].resolved if walks else (),
        address=declared.address if declared else "",
    )


def _place(declared: HostSpec, trust: Trust, user: User | None, how: How) -> Place:
    """The endpoints that the user's mail program would use, or the one that it is said to use."""
    listening = outside.reached(declared)
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
    base = like[0] if like else outside.reached(declared)[0]
    mode: Literal["tls", "starttls"] = base.mode
    if how.security:
        mode = "tls" if how.security == "tls" else "starttls"
    return (replace(base, port=how.port, mode=mode),)


def _known(declared: HostSpec, roots: Path | None) -> str:
    bundle = roots.read_text(encoding="ascii", errors="replace") if roots is not None else ""
    if roots is not None and "-----BEGIN CERTIFICATE-----" not in bundle:
        raise MailprovError(f"{roots} holds no certificate in PEM", where="--ca", cure="give a file that has some")
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
            f"no host here serves {domain_of(user)}", where="--user", cure=f"declared domains are: {known}"
        )
    return serving


def _account(how: How, user: User | None) -> Account | None:
    """What to log in with. Raises MailprovError where the password is not where it is said to be."""
    if not how.password_env:
        return None
    password = os.environ.get(how.password_env)
    if not how.user or password is None:
        what = f"{how.password_env} is not set" if how.user else "a password without --user"
        raise MailprovError(what, where="--password-env", cure="give --user, and the variable that holds its password")
    return Account(how.user, Secret(password), user.protocols if user else frozenset(PROTOCOLS))
