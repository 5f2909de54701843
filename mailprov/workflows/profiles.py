"""Files that set up people's mail programs, and guides that they read, written into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from mailprov import assets, local_files
from mailprov import profiles as made
from mailprov.declaration.weakness import cure, openness
from mailprov.errors import MailprovError, brief
from mailprov.model import LANGUAGES, HostSpec, Purpose, Secret, Spec
from mailprov.observer import Observer, Remark
from mailprov.profiles.guide import language
from mailprov.profiles.signing import Sign, signer
from mailprov.profiles.typeset import Typesetter
from mailprov.render import render
from mailprov.workflows.output_folder import OutputFolder
from mailprov.workflows.profile_jobs import How, Job, domains_of, people, served_by, users_of
from mailprov.workflows.selection import hosts_if_any, load, meant, refuse_confined, tell_lacking


def languages(text: str) -> tuple[str, ...]:
    """The languages in "en,zh"; "" is none. Raises MailprovError for one that there is no guide in."""
    found = tuple(dict.fromkeys(tag.strip() for tag in text.split(",") if tag.strip()))
    for tag in found or ((text,) if text else ()):
        if tag not in LANGUAGES:
            raise MailprovError(f"there is no guide in `{tag}`", where="--lang", fix=meant(tag, LANGUAGES))
    return found


@dataclass(frozen=True, slots=True)
class Written:
    """How many people and domains there are files for now, and how many old files were deleted."""

    people: int
    domains: int
    deleted: int


_SIGNING = frozenset({Purpose.KEY})


def profiles(file: Path, limit: Sequence[str], output: Path, how: How, observer: Observer) -> Written:
    """Write a folder for each person, and what each domain publishes. Raises MailprovError; SpecError as `load` does.

    What is in the folder already and was not made by an earlier run is left as it is, and ends this one.
    """
    if how.verified:
        refuse_confined("--verified")
    spec = load(file, _SIGNING, observer)
    tell_lacking(spec, _SIGNING, observer, "nothing is signed with it")
    chosen = hosts_if_any(spec, limit)
    users = users_of(spec, how.users)
    own = OutputFolder(output, "profiles")
    now = datetime.now(UTC)
    typeset = Typesetter("profiles/guide.typ", now)
    served = served_by(spec, users, chosen, how, observer, hosted=not limit)
    persons, left_out = people(spec, chosen, users, served, how)
    domains = [] if how.users else list(domains_of(spec, chosen, served, how))
    if not persons:
        fix = (
            "declare a listener for POP3 or IMAP, and who may use it" if spec.hosts else "declare people under `users`"
        )
        raise MailprovError("there is nobody to make profiles for", why="; ".join(left_out[:3]), fix=fix)
    signs = _signers(chosen, how, observer)
    spoken = {tag: language(_words(tag)) for tag in LANGUAGES}
    told = spec.handout
    means = made.RenderContext(
        render, typeset, (), now.date(), None, how.helpdesk or told.helpdesk, told.company, told.logo
    )

    def make(job: Job) -> None:
        words = tuple(spoken[tag] for tag in job.languages)
        context = replace(means, languages=words, sign=signs.get(job.host))
        for name, content in job.files(job.profile, context).items():
            own.write(job.below / name, content)

    with own:
        _all([*persons, *domains], make, observer)
        gone = 0 if how.users or limit else own.forget_others()
    for words in (*left_out, *_remarks(spec, chosen, signs), *_provider_remarks(persons)):
        observer.tell(Remark(f"! {words}"))
    return Written(len(persons), len(domains), gone)


# --- what files are made with


def _signers(chosen: Sequence[HostSpec], how: How, observer: Observer) -> dict[str, Sign]:
    """By host: who signs for it, where there is a certificate for that here; "" is for people of providers."""
    if (how.certificate is None) != (how.key is None):
        raise MailprovError("a certificate and its key are needed", fix="give --sign-cert and --sign-key together")
    if how.certificate and how.key:
        where = f"{how.certificate}, {how.key}"
        if found_open := openness(how.key):
            observer.tell(Remark(f"! {brief(str(how.key), 200)} is a secret, and {found_open} ({cure(how.key)})"))
        given = signer(_text(how.certificate), Secret(_text(how.key)), where=where)
        return {host.name: given for host in chosen} | {"": given}
    found: dict[str, Sign] = {}
    for host in chosen:
        if host.tls.source == "file" and host.tls.key:
            try:
                found[host.name] = signer(host.tls.chain, host.tls.key, where=f"{host.name}: tls")
            except MailprovError as error:  # it may well serve TLS: an Ed25519 key, say
                observer.tell(Remark(f"! {error}"))
    return found


def _text(path: Path) -> str:
    try:
        return local_files.contents(path, local_files.MAX_KEY).decode("ascii")
    except UnicodeDecodeError:
        raise MailprovError("this is no PEM file", where=str(path), fix="convert it with `openssl x509`") from None


def _words(tag: str) -> str:
    return assets.text("templates", f"profiles/{tag}.toml")


# --- the files


def _all(jobs: Sequence[Job], make: Callable[[Job], None], observer: Observer) -> None:
    """Make everything, several at a time; the first failure ends it."""
    with observer.counting(len(jobs), "making profiles") as count, ThreadPoolExecutor(os.cpu_count()) as pool:
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


def _provider_remarks(jobs: Sequence[Job]) -> Iterator[str]:
    """What an administrator should know of the providers that have people's mailboxes."""
    for provider in dict.fromkeys(job.profile.provider for job in jobs):
        if provider is None:
            continue
        doubtful = [name for name in ("pop3", "imap", "submission") if name in provider.unverified]
        unsure = f" ({', '.join(doubtful)}: from third-party pages)" if doubtful else ""
        yield f"{provider.name.en}: its servers are documented, not tried{unsure}; `mailprov doctor` looks at them"
