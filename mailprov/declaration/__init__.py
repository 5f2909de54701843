"""From YAML text to a valid Spec: `load`.

    text ─ yamltext ─▶ values with places ─ shape ─▶ parts ─ hosts, people ─▶ the model ─ meaning ─▶ Spec

Every complaint is gathered on a Desk, so that one run tells them all. What has the wrong shape is not interpreted
any further, and an address counts as declared even where its user has faults, so that one slip is one complaint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Final

from mailprov.declaration import accounts, semantics, staff
from mailprov.declaration.belongings import Belongings
from mailprov.declaration.confined import Root
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief
from mailprov.declaration.files import Surroundings
from mailprov.declaration.handout import handout
from mailprov.declaration.hosts import Host, hosts
from mailprov.declaration.origins import Setting, settings
from mailprov.declaration.renames import check_renames
from mailprov.declaration.source_file import Complete, SourceFile, parts
from mailprov.declaration.weakness import cure, openness
from mailprov.encrypted.decryption import Decryption
from mailprov.errors import Diagnostic, Origin, SpecError
from mailprov.model import Domain, Purpose, Spec
from mailprov.model.resolver import EXAMPLES, resolver_at

__all__ = ["Explained", "Reading", "explained", "load"]


@dataclass(frozen=True, slots=True)
class Explained:
    """A valid declaration, and how each of its hosts came to be."""

    spec: Spec
    settings: Mapping[str, tuple[Setting, ...]]
    """host → what it got, key by key"""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read beside the declaration's own files.

    `secrets`: what they are needed for now. `confined`: no path leaves the folder of the main file, and no secret is
    read. `identity`: the file that was named to open encrypted ones.
    """

    secrets: frozenset[Purpose] = frozenset(Purpose)
    confined: bool = False
    identity: Path | None = None


EVERYTHING: Final = Reading()


def load(path: Path, *, environ: Mapping[str, str], now: datetime, reading: Reading = EVERYTHING) -> Spec:
    """The declaration in the file at `path`, valid in itself.

    Reads that file, those that it includes, and the certificates, keys and secrets that they point to; `{env: …}` and
    `~` are looked up in `environ`, and certificates are judged at the moment `now`. A secret that cannot be had is no
    complaint: what lacks it says so.
    Raises SpecError with every complaint, in file order, each with its place.
    """
    return _loaded(path, environ, now, reading)[0]


def explained(path: Path, *, environ: Mapping[str, str], now: datetime, reading: Reading = EVERYTHING) -> Explained:
    """The declaration as `load` reads it, with the places that each host's settings came from.

    Raises as `load` does.
    """
    spec, machines = _loaded(path, environ, now, reading)
    return Explained(spec, {name: settings(host.settled) for name, host in machines.items()})


def _loaded(path: Path, environ: Mapping[str, str], now: datetime, reading: Reading) -> tuple[Spec, Mapping[str, Host]]:
    diagnostics = Diagnostics()
    with _root(path, reading) as root:
        secrets = frozenset[Purpose]() if reading.confined else reading.secrets
        decryption = Decryption(environ, reading.identity)
        near = Surroundings(path.parent, environ, secrets=secrets, root=root, decryption=decryption)
        files, complete = parts(path, near, diagnostics)
        spec, machines = _spec(files, now, diagnostics, complete=complete)
    _tell_slips(files, diagnostics)
    _leave_out_doubtful(files, diagnostics)
    if diagnostics.errors:
        raise SpecError(diagnostics.errors, diagnostics.warnings)
    return spec, machines


@contextmanager
def _root(path: Path, reading: Reading) -> Iterator[Root | None]:
    """What confines the reading, if anything does. Raises SpecError where the main file's folder cannot be held."""
    if not reading.confined:
        yield None
        return
    try:
        root = Root(path.parent)
    except InvalidValue as wrong:
        raise SpecError([Diagnostic(Origin(str(path), 1, 1), wrong.what, wrong.fix)]) from None
    with closing(root):
        yield root


def _spec(
    files: Sequence[SourceFile], now: datetime, diagnostics: Diagnostics, *, complete: Complete
) -> tuple[Spec, Mapping[str, Host]]:
    # what an unreadable file would have declared must not be called undeclared
    references = diagnostics if complete.everything else Diagnostics()
    machines_meant = diagnostics if complete.hosts else Diagnostics()
    found = hosts(files, now, diagnostics, machines_meant)
    machines, names = found.hosts, found.names
    domains, catch_alls = accounts.domains(files, sorted(names), diagnostics)
    hosted = {name for name, domain in domains.items() if domain.hosted_by}
    if complete.hosts and not any(
        source_file.mapping("hosts") or not source_file.usable("hosts") for source_file in files
    ):
        _check_hostless(files, domains, hosted, diagnostics)
    users, user_claims = accounts.users(files, diagnostics)
    aliases, alias_claims = accounts.aliases(files, domains.keys() - hosted, diagnostics)
    lists = staff.users(files, diagnostics)
    strangers = {source_file.document.file for source_file in files if not source_file.trusted}
    semantics.check_own_names(machines.values(), strangers, domains, chain(user_claims, alias_claims), diagnostics)
    claims = semantics.claimed(chain(user_claims, alias_claims, lists.claims), diagnostics)
    semantics.check_distinct(machines.values(), diagnostics)
    if all(source_file.usable("domains") for source_file in files):
        semantics.check_domains(claims, domains, references)
    leads = references if lists.complete else Diagnostics()
    domains = semantics.with_catch_alls(domains, catch_alls, claims, leads)
    served = semantics.check_served(domains, names, machines_meant)
    semantics.check_targets(aliases, domains, claims, leads)
    if leads is not diagnostics:
        semantics.check_circles(aliases, domains, claims, diagnostics)
    semantics.check_system_mail(list(machines.values()), domains, claims, leads)
    semantics.check_postmasters(claims, domains, diagnostics)
    semantics.check_hosted(claims, domains, diagnostics, alone=not names)
    semantics.check_hosts(list(machines.values()), diagnostics)
    for name, host in machines.items():
        if name not in served:
            diagnostics.warn(
                host.spec.origin or Origin("", 1, 1), f"the host `{name}` serves no domain", "declare `domains`"
            )
    handed, resolver = handout(files[0], diagnostics), _resolver(files[0], diagnostics)
    specs = {name: host.spec for name, host in machines.items()}
    everybody = (*users, *lists.users)
    check_renames(everybody, domains, diagnostics)
    _warn_of_identity(files[0].surroundings.decryption, diagnostics)
    spec = Spec(
        specs,
        domains,
        everybody,
        tuple(aliases),
        diagnostics.warnings,
        found.groups.members,
        handed,
        _by_host(diagnostics.warnings, specs, Belongings(files, found.groups.members, domains, aliases)),
        resolver,
    )
    return spec, machines


def _resolver(main: SourceFile, diagnostics: Diagnostics) -> tuple[str, int] | None:
    """The DNS resolver that the main file names; None where it names none."""
    text = main.document.root.get("resolver")
    if not isinstance(text, str):
        return None
    if (found := resolver_at(text)) is None:
        fix = f"its IP address, with a port where it is not 53: {EXAMPLES}"
        diagnostics.complain(main.origin("resolver"), f"{brief(text)} is no resolver", fix)
    return found


def _warn_of_identity(decryption: Decryption, diagnostics: Diagnostics) -> None:
    """Warn where others on this machine can read what opens every secret."""
    path = decryption.identity_file
    if path is not None and (found := openness(path)):
        diagnostics.warn(Origin(str(path), 1, 1), f"this identity opens the secrets, and is {found}", cure(path))


def _check_hostless(
    files: Sequence[SourceFile], domains: Mapping[str, Domain], hosted: Set[str], diagnostics: Diagnostics
) -> None:
    """Complain that no host is declared, unless providers host every domain."""
    if not all(source_file.usable("domains") for source_file in files) or (domains and domains.keys() <= hosted):
        return
    fix = "add one: hosts: {mail1: {address: 192.0.2.10, hostname: mail.example.com}}"
    if domains:
        name = min(domains.keys() - hosted)
        fix += f"; or name the provider that has the mailboxes: domains: [{{name: {name}, hosted_by: …}}]"
    diagnostics.complain(files[0].origin("hosts"), "no host is declared", fix)


def _by_host(
    warnings: Sequence[Diagnostic], hosts: Iterable[str], belongings: Belongings
) -> Mapping[str, tuple[str, ...]]:
    """The warnings for each host: those about it, and those about no host in particular."""
    about = [(belongings.of(each.origin), each.warning) for each in warnings]
    return {name: tuple(words for those, words in about if those is None or name in those) for name in hosts}


def _tell_slips(files: Sequence[SourceFile], diagnostics: Diagnostics) -> None:
    """Hand in the departures from the schema's formats that nobody has explained better at the same place."""
    told = {diagnostic.origin for diagnostic in diagnostics.errors}
    for source_file in files:
        for format_error in source_file.format_errors:
            origin = source_file.origin(*format_error.path)
            if origin not in told and source_file.origin(*format_error.path[:-1]) not in told:
                diagnostics.complain(origin, format_error.what, format_error.fix)


def _leave_out_doubtful(files: Sequence[SourceFile], diagnostics: Diagnostics) -> None:
    """Leave out what was said of values whose text is faulty already: one slip is one complaint."""
    documents = {file.document.file: file.document for file in files if file.document.faults}

    def is_sure(each: Diagnostic) -> bool:
        document = documents.get(each.origin.file)
        return document is None or each in document.faults or not document.is_doubtful(each.origin)

    if documents:
        diagnostics.errors = [each for each in diagnostics.errors if is_sure(each)]
