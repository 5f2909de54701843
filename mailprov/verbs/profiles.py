"""mailprov profiles: files that set up people's mail programs, and guides that they read."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
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
from mailprov.verbs.session import hosts, load, meant
from mailprov.verify import Endpoint, check_listener

LANGUAGES = ("en", "zh")
_MARKER = ".mailprov-profiles"
"""in the folder that a run made: which files are its own"""


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
    before = _made_before(output)
    now = datetime.now(UTC)
    typeset = Typesetter("profiles/guide.typ", now)
    served = _served(chosen, how)
    people, left_out = _people(spec, chosen, users, served, how)
    domains = [] if how.users else list(_domains(spec, chosen, served, how))
    if not people:
        raise MailprovError("there is nobody to make profiles for", why="; ".join(left_out[:3]), cure="see --help")
    signs = _signers(chosen, how)
    languages = tuple(language(_words(tag)) for tag in how.languages)

    def make(job: _Job) -> list[str]:
        means = made.Means(render, typeset, languages, now.date(), signs.get(job.host.name), how.helpdesk)
        return [_write(output, job.below / name, content) for name, content in job.files(job.profile, means).items()]

    _begin(output, before)
    written = _all([*people, *domains], make, output, before)
    gone = [] if how.users or limit else sorted(before - written)
    _forget(output, gone)
    _mark(output, (before | written) - set(gone))
    _tell(output, chosen, people, domains, left_out, signs, gone)
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


# --- the folder


def _made_before(output: Path) -> frozenset[str]:
    """The files in `output` that an earlier run made; none for a new folder. Raises MailprovError for any other."""
    try:
        said = json.loads((output / _MARKER).read_text(encoding="utf-8"))
        return frozenset(said["files"])
    except FileNotFoundError:
        if output.is_dir() and any(output.iterdir()):
            raise MailprovError(
                "this folder holds what `mailprov profiles` did not make", where=str(output), cure="name a new folder"
            ) from None
        return frozenset()
    except (ValueError, TypeError, KeyError):
        raise MailprovError("this file is damaged", where=str(output / _MARKER), cure="name a new folder") from None


def _begin(output: Path, before: frozenset[str]) -> None:
    """Make the folder: others on this machine have no business with who works here."""
    output.mkdir(mode=0o700, parents=True, exist_ok=True)
    _mark(output, before)


def _mark(output: Path, files: frozenset[str] | set[str]) -> None:
    """Say which files are ours: before there are any, and when it is known which."""
    _write(output, PurePosixPath(_MARKER), json.dumps({"files": sorted(files)}, indent=0).encode())


def _write(output: Path, name: PurePosixPath, content: bytes) -> str:
    """Put one file in its place at once; whoever reads it sees the old one or the new one."""
    path = output / name
    path.parent.mkdir(parents=True, exist_ok=True)
    number, new = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(number, "wb") as file:
            os.fchmod(number, stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
            file.write(content)
        Path(new).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(new).unlink()
        raise
    return str(name)


def _all(
    jobs: Sequence[_Job], make: Callable[[_Job], list[str]], output: Path, before: frozenset[str]
) -> frozenset[str]:
    """Make everything, several at a time. What is written is ours also when something cuts this off."""
    written: set[str] = set()
    try:
        with console.counting(len(jobs), "making profiles") as count, ThreadPoolExecutor(os.cpu_count()) as pool:
            running = [pool.submit(make, job) for job in jobs]
            try:
                for one in as_completed(running):
                    written.update(one.result())
                    count()
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    except BaseException:
        _mark(output, before | written)
        raise
    return frozenset(written)


def _forget(output: Path, files: Sequence[str]) -> None:
    """Delete files that an earlier run made for people and domains who are no longer declared."""
    for name in files:
        parts = PurePosixPath(name).parts
        if parts[:1] not in (("people",), ("publish",)) or ".." in parts:
            continue  # somebody else wrote that into the list
        path = output / name
        with suppress(IsADirectoryError, NotADirectoryError):
            path.unlink(missing_ok=True)
        for parent in path.relative_to(output).parents:
            with suppress(OSError):  # not empty yet, or not ours alone
                if parent != Path():
                    (output / parent).rmdir()


def _tell(
    output: Path,
    chosen: Sequence[HostSpec],
    people: Sequence[_Job],
    domains: Sequence[_Job],
    left_out: Sequence[str],
    signs: Mapping[str, Sign],
    gone: Sequence[str],
) -> None:
    lines = [Line(f"! {words}", "warn") for words in left_out]
    for host in chosen:
        if host.tls.source == "self_signed":
            lines.append(Line(f"! {host.name}: the certificate is self-signed: mail programs will warn", "warn"))
        if host.name not in signs and any(job.host.name == host.name for job in people):
            cure = "--sign-cert and --sign-key sign them"
            lines.append(Line(f"! {host.name}: .mobileconfig files are not signed; {cure}", "warn"))
    console.show(lines, err=True)
    count = f"{len(people):,} {'person' if len(people) == 1 else 'people'}"
    and_domains = f", {len(domains):,} domain{'' if len(domains) == 1 else 's'}" if domains else ""
    and_gone = f"; {len(gone):,} old file{'' if len(gone) == 1 else 's'} deleted" if gone else ""
    console.say(f"wrote profiles into {output}: {count}{and_domains}{and_gone}", "good")
