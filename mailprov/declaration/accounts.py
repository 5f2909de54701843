"""Domains, users and aliases: their YAML → the model's words."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from mailprov.declaration import addresses, hashes, values
from mailprov.declaration.cells import plaintext
from mailprov.declaration.diagnostics import Diagnostics, InvalidValue, brief, meant
from mailprov.declaration.files import Unavailable, Unread, described
from mailprov.declaration.source_file import SourceFile
from mailprov.declaration.weakness import warn_of_open, warn_of_weak
from mailprov.errors import Diagnostic, Origin
from mailprov.model import GENERATED, PROTOCOLS, Alias, Domain, Password, Person, Purpose, Secret, Signing, User

_DAYS: Final = re.compile("([1-9][0-9]{1,3})d")


@dataclass(frozen=True, slots=True)
class Claim:
    """An address that something declares: what (`user`, `alias`, `alias of …`), as it is spelled, and where."""

    address: str
    kind: str
    spelled: str
    origin: Origin


@dataclass(frozen=True, slots=True)
class CatchAll:
    """A domain's catch-all, its text not yet understood: that takes every domain's name."""

    domain: str
    text: str
    origin: Origin


def domains(
    parts: Iterable[SourceFile], hosts: Iterable[str], diagnostics: Diagnostics
) -> tuple[dict[str, Domain], list[CatchAll]]:
    """Every declared domain by its name, without the catch-alls, which come beside."""
    found: dict[str, tuple[Domain, str]] = {}
    servers: tuple[str, ...]
    catch_alls: list[CatchAll] = []
    everywhere = tuple(hosts)
    for source_file in parts:
        for number, node in source_file.items("domains"):
            if isinstance(node, dict) and not source_file.usable("domains", number):
                node = source_file.sound(node, "domains", number)
            if not isinstance(node, str) and not _has_text(node, "name"):
                continue
            text = node if isinstance(node, str) else node["name"]
            path = ("domains", number) if isinstance(node, str) else ("domains", number, "name")
            try:
                name = addresses.domain(text)
            except InvalidValue as wrong:
                diagnostics.refuse(source_file.origin(*path), wrong)
                continue
            if name in found:
                diagnostics.complain(source_file.origin(*path), *_twice("domain", text, found[name]))
                continue
            served, hosted_by, servers, sign = everywhere, "", (), None
            if isinstance(node, dict):
                served, sign = tuple(dict.fromkeys(node.get("hosts", everywhere))), _signing(node)
                if "hosted_by" in node:
                    served, hosted_by = (), _hosted_by(source_file, number, node, diagnostics)
                    servers = _servers(source_file, number, node, hosted_by, diagnostics)
                elif "servers" in node:
                    place = source_file.origin("domains", number, "servers")
                    diagnostics.complain(place, "`servers` says which of a provider's are used", "add `hosted_by`")
                elif "catch_all" in node:
                    place = source_file.origin("domains", number, "catch_all")
                    catch_alls.append(CatchAll(name, node["catch_all"], place))
            found[name] = (
                Domain(name, served, None, source_file.origin(*path), hosted_by, servers, sign),
                text,
            )
    complete = {name: domain for name, (domain, _) in found.items()}
    _warn_of_copies([each for each in complete.values() if each.hosts is everywhere], everywhere, diagnostics)
    return complete, catch_alls


def _signing(node: Mapping[str, Any]) -> Signing | None:
    said = node.get("sign", False)
    if not isinstance(said, Mapping):
        return Signing() if said is True else None
    found = _DAYS.fullmatch(said.get("rotate", ""))  # anything else has been complained about
    return Signing(int(found[1])) if found else Signing()


def _warn_of_copies(spread: Sequence[Domain], hosts: Sequence[str], diagnostics: Diagnostics) -> None:
    """Warn, once, of domains that several hosts serve because nobody said which: mailboxes are not kept alike."""
    if len(hosts) < 2 or not spread or spread[0].origin is None:
        return
    first, more = spread[0].name, f" (and {len(spread) - 1:,} more)" if spread[1:] else ""
    what = f"{first}{more} is on all {len(hosts):,} hosts, each with mailboxes of its own: mail stays where it arrived"
    diagnostics.warn(spread[0].origin, what, f"say where: {{name: {first}, hosts: [{hosts[0]}]}}")


def _hosted_by(source_file: SourceFile, number: int, node: dict[str, Any], diagnostics: Diagnostics) -> str:
    """The id of the provider that has a domain; the text as it is, after a complaint, where there is no such one."""
    for key in ("hosts", "catch_all", "sign"):
        if key in node:
            what = f"`{key}` has no effect on a domain that is hosted elsewhere"
            diagnostics.complain(source_file.origin("domains", number, key), what, f"drop `{key}`, or `hosted_by`")
    from mailprov.providers import catalogue, corrected, named, search  # read only where somebody hosts elsewhere

    text: str = node["hosted_by"]
    provider = named(text)
    if provider is not None:
        return provider.id
    wrong, close = corrected(text), search(text)
    if wrong is not None:
        fix = f"{wrong}; write `{wrong.provider}`"
    elif len(close) == 1:
        fix = f"did you mean `{close[0].id}`?"
    else:
        fix = meant(text, catalogue()) or f"`mailprov providers` lists them: {', '.join(catalogue())}"
    diagnostics.complain(
        source_file.origin("domains", number, "hosted_by"), f"no provider is called `{brief(text)}`", fix
    )
    return text


def _servers(
    source_file: SourceFile, number: int, node: dict[str, Any], hosted_by: str, diagnostics: Diagnostics
) -> tuple[str, ...]:
    """Those of the provider's servers that a domain uses."""
    from mailprov.providers import catalogue

    provider = catalogue().get(hosted_by)
    found = tuple(dict.fromkeys(text.strip().lower() for text in node.get("servers", ())))
    for index, name in enumerate(found if provider else ()):
        if provider and name not in provider.hosts:
            what = f"`{brief(name)}` is no server that is known of {hosted_by}"
            fix = meant(name, provider.hosts) or f"choose from {', '.join(sorted(provider.hosts))}"
            diagnostics.complain(source_file.origin("domains", number, "servers", index), what, fix)
    return found


def _has_text(node: Any, key: str) -> bool:
    return isinstance(node, dict) and isinstance(node.get(key), str)


def _twice(kind: str, text: str, known: tuple[Domain, str]) -> tuple[str, str]:
    domain, spelled = known
    same = f"`{text}`" if text == spelled else f"`{brief(text)}` is `{brief(spelled)}`, which"
    return f"the {kind} {same} is declared already at {domain.origin}", "keep one of them"


def users(parts: Iterable[SourceFile], diagnostics: Diagnostics) -> tuple[list[User], list[Claim]]:
    """Every user that can be understood, and every address that users claim (also those of users with faults)."""
    found: list[User] = []
    claims: list[Claim] = []
    for source_file in parts:
        for number, node in source_file.items("users"):
            if not isinstance(node, dict) or "from_csv" in node:
                continue
            if not source_file.usable("users", number):
                node = source_file.sound(node, "users", number)
            if (user := _UserReader(source_file, number, diagnostics).user(node, claims)) is not None:
                found.append(user)
    return found, claims


def _claim(
    source_file: SourceFile,
    path: tuple[str | int, ...],
    text: str,
    kind: str,
    claims: list[Claim],
    diagnostics: Diagnostics,
) -> str | None:
    """The canonical form of the address `text`, put down as claimed; None where it is no address."""
    origin = source_file.origin(*path)
    try:
        address = addresses.mailbox(text)
    except InvalidValue as wrong:
        diagnostics.refuse(origin, wrong)
        return None
    claims.append(Claim(address, kind, text, origin))
    return address


_EVERY_PROTOCOL: Final = frozenset(PROTOCOLS)


class _UserReader:
    """Reads one user: those of its fields that have the right shape."""

    def __init__(self, source_file: SourceFile, number: int, diagnostics: Diagnostics) -> None:
        self.source_file = source_file
        self.number = number
        self.diagnostics = diagnostics
        self.address = ""

    def user(self, node: dict[str, Any], claims: list[Claim]) -> User | None:
        here = ("users", self.number)
        address = None
        if "address" in node:
            address = _claim(self.source_file, (*here, "address"), node["address"], "user", claims, self.diagnostics)
        self.address = address or ""
        aliases = tuple(self._aliases(node.get("aliases", ()), claims))
        was = self._field(node, "was", addresses.mailbox) or ""
        password = self._password(node["password"]) if "password" in node else GENERATED
        quota = self._field(node, "quota", values.quota)
        expire = self._field(node, "expire", values.days)
        name = self._field(node, "name", values.display_name) or ""
        networks = tuple(self._networks(node.get("allow_from", ())))
        if address is None or password is None:
            return None
        return User(
            address,
            password,
            name,
            quota,
            frozenset(node["protocols"]) if "protocols" in node else _EVERY_PROTOCOL,
            addresses.merged(networks) if networks else (),
            aliases,
            self.source_file.origin(*here),
            person=Person(language=node["language"]) if "language" in node else None,
            expire=expire,
            was=was,
        )

    def _field(self, node: dict[str, Any], key: str, reader: Callable[[str], Any]) -> Any:
        if key not in node:
            return None
        try:
            return reader(node[key])
        except InvalidValue as wrong:
            self.diagnostics.refuse(self.source_file.origin("users", self.number, key), wrong)
            return None

    def _aliases(self, texts: Iterable[str], claims: list[Claim]) -> Iterator[str]:
        for index, text in enumerate(texts):
            path = ("users", self.number, "aliases", index)
            address = _claim(self.source_file, path, text, "alias of a user", claims, self.diagnostics)
            if address is not None:
                yield address

    def _networks(self, texts: Iterable[str]) -> Iterator[Any]:
        for index, text in enumerate(texts):
            try:
                yield addresses.network(text)
            except InvalidValue as wrong:
                self.diagnostics.refuse(self.source_file.origin("users", self.number, "allow_from", index), wrong)

    def _password(self, node: dict[str, Any]) -> Password | None:
        here = ("users", self.number, "password")
        try:
            return password(node, self.source_file, here, self.address, self.diagnostics)
        except InvalidValue as wrong:
            key = "hash" if "hash" in node else "initial"
            self.diagnostics.refuse(self.source_file.origin(*here, key), wrong)
            return None


_INLINE = "the declaration"


def password(
    node: dict[str, Any], source_file: SourceFile, path: tuple[str | int, ...], address: str, diagnostics: Diagnostics
) -> Password:
    """The password that `{hash: …}` or `{initial: …}` at `path` means; warns where it is none that keeps anybody out
    ("": of no particular address). Raises Wrong.

    A source that cannot be had is no fault: who needs the password says so.
    """
    key: Literal["hash", "initial"] = "hash" if "hash" in node else "initial"
    source, place = node[key], source_file.origin(*path)
    if not isinstance(source, str):
        purpose = Purpose.HASH if key == "hash" else Purpose.INITIAL
        warn_of_open(source, source_file.surroundings, purpose, place, diagnostics)
    try:
        found = _managed(source, source_file) if key == "hash" else _initial(source, source_file)
    except (Unavailable, Unread) as error:
        why = Diagnostic(source_file.origin(*path, key), error.what, error.fix)
        lacking = None if isinstance(error, Unread) else why
        return Password("managed" if key == "hash" else "initial", described(source), lacking=lacking)
    if found.plaintext is not None:
        text = found.plaintext.reveal()
        warn_of_weak(text, address, place, diagnostics)
        if hashes.is_digest(text):
            what = f"{described(source)} looks like a hash in hexadecimal, and is taken for the password itself"
            diagnostics.warn(place, what, "write the hash with its scheme: {SCHEME}…")
    return found


def _managed(node: Any, source_file: SourceFile) -> Password:
    """The password whose hash is always what the declaration says. Raises Wrong."""
    if isinstance(node, str):
        return Password("managed", _INLINE, hash=Secret(hashes.checked(node)))
    text = source_file.surroundings.secret(node, Purpose.HASH)
    try:
        return Password("managed", described(node), hash=Secret(hashes.checked(text)))
    except InvalidValue as wrong:
        raise InvalidValue(f"{described(node)}: {wrong.what}", wrong.fix) from None


def _initial(node: dict[str, Any], source_file: SourceFile) -> Password:
    """The password that is set once. Raises Wrong."""
    if "hash" in node:
        return Password("initial", _INLINE, hash=Secret(hashes.checked(node["hash"])))
    text = source_file.surroundings.secret(node, Purpose.INITIAL)
    try:
        if hashes.is_hash(text):
            return Password("initial", described(node), hash=Secret(hashes.checked(text)))
        hashes.refuse_bare(text)
        return Password("initial", described(node), plaintext=plaintext(text))
    except InvalidValue as wrong:
        raise InvalidValue(f"{described(node)}: {wrong.what}", wrong.fix) from None


def aliases(
    parts: Iterable[SourceFile], declared: Container[str], diagnostics: Diagnostics
) -> tuple[list[Alias], list[Claim]]:
    """Every alias that can be understood, and every address that aliases claim."""
    found: list[Alias] = []
    claims: list[Claim] = []
    for source_file in parts:
        for number, node in source_file.items("aliases"):
            if isinstance(node, dict) and not source_file.usable("aliases", number):
                node = source_file.sound(node, "aliases", number)
            if not _has_text(node, "address"):
                continue
            address = _claim(source_file, ("aliases", number, "address"), node["address"], "alias", claims, diagnostics)
            targets = tuple(dict.fromkeys(_targets(source_file, number, node.get("to", ()), declared, diagnostics)))
            if address is not None and targets:
                found.append(Alias(address, targets, source_file.origin("aliases", number)))
    return found, claims


def _targets(
    source_file: SourceFile, number: int, node: Any, declared: Container[str], diagnostics: Diagnostics
) -> Iterator[str]:
    lone = isinstance(node, str)
    for index, text in enumerate([node] if lone else node):
        try:
            yield addresses.target(text, declared)
        except InvalidValue as wrong:
            path = ("aliases", number, "to") if lone else ("aliases", number, "to", index)
            diagnostics.refuse(source_file.origin(*path), wrong)
