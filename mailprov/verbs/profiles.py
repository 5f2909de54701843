"""mailprov profiles: files that set up people's mail programs, and guides that they read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

from mailprov import profiles as made
from mailprov.assets import folder
from mailprov.errors import Exit, MailprovError, VerifyError
from mailprov.model import Domain, HostSpec, Protocol_, Secret, Spec, User, domain_of
from mailprov.profiles.guide import language
from mailprov.render import render
from mailprov.report.text import Line
from mailprov.signing import Sign, signer
from mailprov.typeset import Typesetter
from mailprov.verbs import console, outside
from mailprov.verbs.ownfolder import OwnFolder
from mailprov.verbs.session import hosts, load, meant
from mailprov.verify import Endpoint, check_listener

LANGUAGES = ("en", "zh")


@dataclass(frozen=True, slots=True)
class How:
    """For whom, and what the files are like."""

    users: tuple[str, ...] = ()
    languages: tuple[str, ...] = LANGUAGES
    prefer: Protocol_ = "pop3"
    verified: bool = False
    roots: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    helpdesk: str = ""


@dataclass(frozen=True, slots=True)
class _Job:
    """Files that `files` makes, to go below one folder."""

    below: PurePosixPath
    files: Callable[[made.Profile, made.Means], made.Files]
    profile: made.Profile
    host: HostSpec


def languages(text: str) -> tuple[str, ...]:
    """The languages in "en,zh". Raises MailprovError for one that there is no guide in."""
    found = tuple(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))
    for tag in found or ("",):
        if tag not in LANGUAGES:
            raise MailprovError(f"there is no guide in `{tag}`", where="--lang", cure=meant(tag, LANGUAGES))
    return found


def profiles(file: Path, limit: Sequence[str], output: Path, how: How) -> Exit:
    """Write a folder for each person, and what each domain publishes. Raises MailprovError; SpecError as `load` does.

    What is in the folder already and was not made by an earlier run is left as it is, and ends this one.
    """
    spec = load(file)
    chosen = hosts(spec, limit)
    users = _users(spec, how.users)
    own = OwnFolder(output, "profiles")
    now = datetime.now(UTC)
    typeset = Typesetter("profiles/guide.typ", now)
    served = _served(chosen, how)
    people, left_out = _people(spec, chosen, users, served, how)
    domains = [] if how.users else list(_domains(spec, chosen, served, how))
    if not people:
        cure = "declare a listener for POP3 or IMAP, and who may use it"
        raise MailprovError("there is nobody to make profiles for", why="; ".join(left_out[:3]), cure=cure)
    signs = _signers(chosen, how)
    spoken = tuple(language(_words(tag)) for tag in how.languages)

    def make(job: _Job) -> None:
        means = made.Means(render, typeset, spoken, now.date(), signs.get(job.host.name), how.helpdesk)
        for name, content in job.files(job.profile, means).items():
            own.write(job.below / name, content)

    with own:
        _all([*people, *domains], make)
        gone = 0 if how.users or limit else own.forget_others()
    console.show([Line(f"! {words}", "warn") for words in (*left_out, *_remarks(spec, chosen, signs))], err=True)
    count = f"{len(people):,} {'person' if len(people) == 1 else 'people'}"
    and_domains = f", {len(domains):,} domain{'' if len(domains) == 1 else 's'}" if domains else ""
    and_gone = f"; {gone:,} old file{'' if gone == 1 else 's'} deleted" if gone else ""
    console.say(f"wrote profiles into {output}: {count}{and_domains}{and_gone}", "good")
    return Exit.DONE


# --- who, and with which listeners


def _users(spec: Spec, addresses: Sequence[str]) -> tuple[User, ...]:
    """The users that are asked for. Raises MailprovError for one that is not declared."""
    if not addresses:
        return tuple(spec.users)
    declared = {user.address: user for user in spec.users}
    for address in addresses:
        if address not in declared:
            cure = meant(address, tuple(declared)) if len(declared) <= 1000 else "use a declared mailbox's address"
            raise MailprovError(f"{address} is not declared", where="--user", cure=cure)
    return tuple(declared[address] for address in dict.fromkeys(addresses))


def _served(chosen: Sequence[HostSpec], how: How) -> dict[str, tuple[made.Server, ...]]:
    """What each host offers to people: as declared or, on demand, what of that can be seen from here to be so."""
    return {host.name: _verified(host, how) if how.verified else made.servers(host) for host in chosen}


def _verified(host: HostSpec, how: How) -> tuple[made.Server, ...]:
    declared = made.servers(host)
    trusted = outside.trust(host, "", how.roots)
    now = datetime.now(UTC)

    def fault(endpoint: Endpoint) -> str:
        failed = [check for check in check_listener(endpoint, trusted, now=now, brief=True) if check.failed]
        return f"{failed[0].step} failed: {failed[0].detail}" if failed else ""

    looked_at = [endpoint for endpoint in outside.reached(host) if endpoint.protocol != "smtp"]
    with console.doing(f"looking at {host.name} as a client"), ThreadPoolExecutor(max_workers=8) as pool:
        faults = dict(zip(looked_at, pool.map(fault, looked_at), strict=True))
    for endpoint, why in faults.items():
        if why:
            console.say(f"! {host.name}: {endpoint} is left out: {why}", "warn")
    wrong = {(endpoint.protocol, endpoint.port) for endpoint, why in faults.items() if why}
    found = made.without(declared, wrong)
    if not found:
        raise VerifyError("no listener could be verified from here", where=host.name, cure="run `mailprov verify`")
    return found


def _people(
    spec: Spec,
    chosen: Sequence[HostSpec],
    users: Sequence[User],
    served: Mapping[str, tuple[made.Server, ...]],
    how: How,
) -> tuple[list[_Job], list[str]]:
    """What to make for whom, and why some get nothing."""
    jobs: list[_Job] = []
    left_out: list[str] = []
    for user in users:
        host = _host_of(spec.domains[domain_of(user.address)], chosen)
        if host is None:
            if how.users:
                left_out.append(f"{user.address}: none of the hosts asked for serves its domain")
            continue
        profile = made.of_user(user, host, served[host.name], how.prefer)
        if profile is None:
            why = "no listener that lets it fetch mail" if user.protocols else "nobody may log in to it"
            left_out.append(f"{user.address}: {why}")
            continue
        jobs.append(_Job(PurePosixPath("people") / made.folder_of(user.address), made.person, profile, host))
    return jobs, left_out


def _domains(
    spec: Spec, chosen: Sequence[HostSpec], served: Mapping[str, tuple[made.Server, ...]], how: How
) -> Iterator[_Job]:
    for _, domain in sorted(spec.domains.items()):
        host = _host_of(domain, chosen)
        profile = made.of_domain(domain, served[host.name], how.prefer) if host else None
        if host and profile:
            yield _Job(PurePosixPath("publish"), made.domain, profile, host)


def _host_of(domain: Domain, chosen: Sequence[HostSpec]) -> HostSpec | None:
    """Where a domain's mail is fetched: the first of its hosts, for each of several has mailboxes of its own."""
    return next((host for host in chosen if host.name in domain.hosts), None)


# --- what files are made with


def _signers(chosen: Sequence[HostSpec], how: How) -> dict[str, Sign]:
    """By host: who signs for it, where there is a certificate for that here."""
    if (how.certificate is None) != (how.key is None):
        raise MailprovError("a certificate and its key are needed", cure="give --sign-cert and --sign-key together")
    if how.certificate and how.key:
        where = f"{how.certificate}, {how.key}"
        given = signer(_text(how.certificate), Secret(_text(how.key)), where=where)
        return {host.name: given for host in chosen}
    found: dict[str, Sign] = {}
    for host in chosen:
        if host.tls.source == "file" and host.tls.key:
            try:
                found[host.name] = signer(host.tls.chain, host.tls.key, where=f"{host.name}: tls")
            except MailprovError as error:  # it may well serve TLS: an Ed25519 key, say
                console.say(f"! {error}", "warn")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except UnicodeDecodeError:
        raise MailprovError("this is no PEM file", where=str(path), cure="convert it with `openssl x509`") from None


def _words(tag: str) -> str:
    return (folder("templates") / f"profiles/{tag}.toml").read_text(encoding="utf-8")


# --- the files


def _all(jobs: Sequence[_Job], make: Callable[[_Job], None]) -> None:
    """Make everything, several at a time; the first failure ends it."""
    with console.counting(len(jobs), "making profiles") as count, ThreadPoolExecutor(os.cpu_count()) as pool:
        running = [pool.submit(make, job) for job in jobs]
        try:
            for one in as_completed(running):
                one.result()
                count()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _remarks(spec: Spec, chosen: Sequence[HostSpec], signs: Mapping[str, Sign]) -> Iterator[str]:
    """What people will notice of their profiles, and why."""
    for host in chosen:
        if host.tls.source == "self_signed":
            yield f"{host.name}: the certificate is self-signed: mail programs will warn"
        if host.name not in signs:
            yield f"{host.name}: .mobileconfig files are not signed; --sign-cert and --sign-key sign them"
    for name, domain in sorted(spec.domains.items()):
        serving = [host.name for host in chosen if host.name in domain.hosts]
        if len(serving) > 1:
            yield f"{name}: is on {', '.join(serving)}; people are told of {serving[0]}, unless --limit names another"
