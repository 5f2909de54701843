"""Which hosts a command is for: the declaration, and those of its hosts that were named."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from mailprov.errors import MailprovError
from mailprov.model import HostSpec, Purpose, Spec
from mailprov.observer import Observer, Remark
from mailprov.workflows.secrets import EVERY, NOTHING, lacking

if TYPE_CHECKING:
    from mailprov.declaration import Explained
    from mailprov.declaration.confined import Root


_confined = False
_identity: Path | None = None


def confine(on: bool) -> None:
    """From now on, hold the declaration to its folder: no secret is read, and no host is asked; or do so no longer."""
    global _confined
    _confined = on


def identify(file: Path | None) -> None:
    """From now on, open encrypted values with the identity in `file`; None: with the one that is found."""
    global _identity
    _identity = file


def confined() -> bool:
    """Whether no other machine may be asked."""
    return _confined


def refuse_confined(what: str) -> None:
    """Raises MailprovError where the declaration is held to its folder: `what` would ask somebody."""
    if _confined:
        fix = "leave out --confined where the declaration can be trusted"
        raise MailprovError(f"{what} would ask another machine, which --confined refuses", fix=fix)


def confined_to(file: Path) -> Root | None:
    """What holds reading to the folder of `file`, for whoever closes it; None where nothing does.

    Raises MailprovError where that folder cannot be held.
    """
    from mailprov.declaration.confined import Root
    from mailprov.declaration.diagnostics import InvalidValue

    try:
        return Root(file.parent) if _confined else None
    except InvalidValue as wrong:
        raise MailprovError(wrong.what, where=str(file), fix=wrong.fix) from None


def load(file: Path, reads: frozenset[Purpose] = EVERY, observer: Observer | None = None) -> Spec:
    """The declaration, with the secrets that it `reads`; what others are not here is told to the observer.

    Raises SpecError with all that is wrong.
    """
    from mailprov import declaration

    reading = declaration.Reading(reads, _confined, _identity)
    spec = declaration.load(file, environ=os.environ, now=datetime.now(UTC), reading=reading)
    if observer is not None:
        tell_lacking(spec, EVERY - reads, observer)
    return spec


def explained(file: Path, observer: Observer) -> Explained:
    """The declaration without its secrets, and how each of its hosts came to be. Raises as `load` does."""
    from mailprov import declaration

    reading = declaration.Reading(NOTHING, _confined)
    found = declaration.explained(file, environ=os.environ, now=datetime.now(UTC), reading=reading)
    tell_lacking(found.spec, EVERY, observer)
    return found


def tell_lacking(
    spec: Spec, purposes: frozenset[Purpose], observer: Observer, so: str = "it is not needed now"
) -> None:
    """Tell of each secret for these purposes that could not be had, and what follows (`so`)."""
    for each in lacking(spec, purposes):
        observer.tell(Remark(f"! {each.origin}: {each.what}; {so}"))


def hosts(spec: Spec, limit: Sequence[str]) -> tuple[HostSpec, ...]:
    """The declared hosts, in name order, or those that `limit` names or has the groups of; for what needs a host.

    Raises MailprovError for an unknown name, for a group without hosts, and where no host is declared at all.
    """
    if not spec.hosts:
        raise _hostless(spec)
    return hosts_if_any(spec, limit)


def hosts_if_any(spec: Spec, limit: Sequence[str]) -> tuple[HostSpec, ...]:
    """As `hosts`, for what is useful without a host, too: () where none is declared."""
    if limit and not spec.hosts:
        raise _hostless(spec)
    chosen = chosen_names(spec, limit)
    return tuple(host for name, host in sorted(spec.hosts.items()) if not limit or name in chosen)


def chosen_names(spec: Spec, limit: Sequence[str]) -> frozenset[str]:
    """The names of the hosts that `limit` means, each a host or a group. Raises as `hosts` does."""
    found: set[str] = set()
    for name in limit:
        if name not in spec.hosts and not spec.groups.get(name):
            if name in spec.groups:
                raise MailprovError(f"the group `{name}` has no hosts", where="--limit", fix="name another")
            kind = "host or group" if spec.groups else "host"
            raise MailprovError(
                f"no {kind} is called `{name}`", where="--limit", fix=meant(name, (*spec.hosts, *spec.groups))
            )
        found.update((name,) if name in spec.hosts else spec.groups[name])
    return frozenset(found)


def _hostless(spec: Spec) -> MailprovError:
    """Why nothing can be done on hosts: providers have all the mailboxes that are declared."""
    by = ", ".join(sorted({domain.hosted_by for domain in spec.domains.values()}))
    return MailprovError(
        "no host is declared, and this command works on hosts",
        why=f"every declared domain is hosted by a provider ({by})",
        fix="use validate, profiles, handout, doctor, dns or providers; or declare a host under `hosts`",
    )


def host(spec: Spec, name: str) -> HostSpec:
    """The one declared host of that name. Raises MailprovError where there is none."""
    if not spec.hosts:
        raise _hostless(spec)
    if name in spec.hosts:
        return spec.hosts[name]
    if members := spec.groups.get(name):
        raise MailprovError(f"`{name}` is a group", fix=f"name one of its hosts: {', '.join(members)}")
    raise MailprovError(f"no host is called `{name}`", fix=meant(name, tuple(spec.hosts)))


def meant(name: str, known: Sequence[str]) -> str:
    """What somebody who wrote `name` may have meant, or all that is `known`."""
    # That people share a long domain makes their names no more alike.
    ending = name[name.rindex("@") :] if "@" in name else ""
    if not any(each.endswith(ending) for each in known):
        ending = ""
    beginnings = [each.removesuffix(ending) for each in known if each.endswith(ending)]
    near = get_close_matches(name.removesuffix(ending), beginnings, 1)
    return f"did you mean `{near[0]}{ending}`?" if near else f"declared are: {', '.join(known)}"


def share(chosen: Sequence[HostSpec], shard: str) -> tuple[HostSpec, ...]:
    """The `shard`-th part of the hosts, given as "K/N": all N parts together are all of them; "" is all.

    Raises MailprovError for anything else.
    """
    if not shard:
        return tuple(chosen)
    found = re.fullmatch("([0-9]{1,6})/([0-9]{1,6})", shard)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise MailprovError(f"`{shard}` is no shard", where="--shard", fix="write K/N, with K from 1 to N: 1/4")
    return tuple(chosen[int(found[1]) - 1 :: int(found[2])])
