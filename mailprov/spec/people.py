"""Domains, users and aliases: their YAML → the model's words."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from mailprov.errors import Origin
from mailprov.model import GENERATED, PROTOCOLS, Alias, Domain, Password, Secret, User
from mailprov.spec import addresses, hashes, values
from mailprov.spec.desk import Desk, Wrong, brief, meant
from mailprov.spec.files import Absent, described
from mailprov.spec.part import Part


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


def domains(parts: Iterable[Part], hosts: Iterable[str], desk: Desk) -> tuple[dict[str, Domain], list[CatchAll]]:
    """Every declared domain by its name, without the catch-alls, which come beside."""
    found: dict[str, tuple[Domain, str]] = {}
    catch_alls: list[CatchAll] = []
    everywhere = tuple(hosts)
    for part in parts:
        for number, node in part.items("domains"):
            if isinstance(node, dict) and not part.usable("domains", number):
                node = part.sound(node, "domains", number)
            if not isinstance(node, str) and not _has_text(node, "name"):
                continue
            text = node if isinstance(node, str) else node["name"]
            path = ("domains", number) if isinstance(node, str) else ("domains", number, "name")
            try:
                name = addresses.domain(text)
            except Wrong as wrong:
                desk.refuse(part.origin(*path), wrong)
                continue
            if name in found:
                desk.complain(part.origin(*path), *_twice("domain", text, found[name]))
                continue
            served, hosted_by = everywhere, ""
            if isinstance(node, dict):
                served = tuple(dict.fromkeys(node.get("hosts", everywhere)))
                if "hosted_by" in node:
                    served, hosted_by = (), _hosted_by(part, number, node, desk)
                elif "catch_all" in node:
                    place = part.origin("domains", number, "catch_all")
                    catch_alls.append(CatchAll(name, node["catch_all"], place))
            found[name] = Domain(name, served, origin=part.origin(*path), hosted_by=hosted_by), text
    return {name: domain for name, (domain, _) in found.items()}, catch_alls


def _hosted_by(part: Part, number: int, node: dict[str, Any], desk: Desk) -> str:
    """The id of the provider that has a domain; the text as it is, after a complaint, where there is no such one."""
    for key in ("hosts", "catch_all"):
        if key in node:
            what = f"`{key}` has no effect on a domain that is hosted elsewhere"
            desk.complain(part.origin("domains", number, key), what, f"drop `{key}`, or `hosted_by`")
    from mailprov.providers import catalogue, corrected, named, search  # read only where somebody hosts elsewhere

    text: str = node["hosted_by"]
    provider = named(text)
    if provider is not None:
        return provider.id
    wrong, close = corrected(text), search(text)
    if wrong is not None:
        cure = f"{wrong}; write `{wrong.provider}`"
    elif len(close) == 1:
        cure = f"did you mean `{close[0].id}`?"
    else:
        cure = meant(text, catalogue()) or f"`mailprov providers` lists them: {', '.join(catalogue())}"
    desk.complain(part.origin("domains", number, "hosted_by"), f"no provider is called `{brief(text)}`", cure)
    return text


def _has_text(node: Any, key: str) -> bool:
    return isinstance(node, dict) and isinstance(node.get(key), str)


def _twice(kind: str, text: str, known: tuple[Domain, str]) -> tuple[str, str]:
    domain, spelled = known
    same = f"`{text}`" if text == spelled else f"`{brief(text)}` is `{brief(spelled)}`, which"
    return f"the {kind} {same} is declared already at {domain.origin}", "keep one of them"


def users(parts: Iterable[Part], desk: Desk) -> tuple[list[User], list[Claim]]:
    """Every user that can be understood, and every address that users claim (also those of users with faults)."""
    found: list[User] = []
    claims: list[Claim] = []
    for part in parts:
        for number, node in part.items("users"):
            if not isinstance(node, dict) or "from_csv" in node:
                continue
            if not part.usable("users", number):
                node = part.sound(node, "users", number)
            if (user := _UserReader(part, number, desk).user(node, claims)) is not None:
                found.append(user)
    return found, claims


def _claim(
    part: Part, path: tuple[str | int, ...], text: str, kind: str, claims: list[Claim], desk: Desk
) -> str | None:
    """The canonical form of the address `text`, put down as claimed; None where it is no address."""
    origin = part.origin(*path)
    try:
        address = addresses.mailbox(text)
    except Wrong as wrong:
        desk.refuse(origin, wrong)
        return None
    claims.append(Claim(address, kind, text, origin))
    return address


_EVERY_PROTOCOL: Final = frozenset(PROTOCOLS)


class _UserReader:
    """Reads one user: those of its fields that have the right shape."""

    def __init__(self, part: Part, number: int, desk: Desk) -> None:
        self.part = part
        self.number = number
        self.desk = desk

    def user(self, node: dict[str, Any], claims: list[Claim]) -> User | None:
        here = ("users", self.number)
        address = None
        if "address" in node:
            address = _claim(self.part, (*here, "address"), node["address"], "user", claims, self.desk)
        aliases = tuple(self._aliases(node.get("aliases", ()), claims))
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
            self.part.origin(*here),
            expire=expire,
        )

    def _field(self, node: dict[str, Any], key: str, reader: Callable[[str], Any]) -> Any:
        if key not in node:
            return None
        try:
            return reader(node[key])
        except Wrong as wrong:
            self.desk.refuse(self.part.origin("users", self.number, key), wrong)
            return None

    def _aliases(self, texts: Iterable[str], claims: list[Claim]) -> Iterator[str]:
        for index, text in enumerate(texts):
            path = ("users", self.number, "aliases", index)
            address = _claim(self.part, path, text, "alias of a user", claims, self.desk)
            if address is not None:
                yield address

    def _networks(self, texts: Iterable[str]) -> Iterator[Any]:
        for index, text in enumerate(texts):
            try:
                yield addresses.network(text)
            except Wrong as wrong:
                self.desk.refuse(self.part.origin("users", self.number, "allow_from", index), wrong)

    def _password(self, node: dict[str, Any]) -> Password | None:
        try:
            return password(node, self.part)
        except Wrong as wrong:
            key = "hash" if "hash" in node else "initial"
            self.desk.refuse(self.part.origin("users", self.number, "password", key), wrong)
            return None


_INLINE = "the declaration"


def password(node: dict[str, Any], part: Part) -> Password:
    """The password that `{hash: …}` or `{initial: …}` means. Raises Wrong."""
    return _managed(node["hash"], part) if "hash" in node else _initial(node["initial"], part)


def _managed(node: Any, part: Part) -> Password:
    """The password whose hash is always what the declaration says. Raises Wrong."""
    if isinstance(node, str):
        return Password("managed", _INLINE, hash=Secret(hashes.checked(node)))
    text = part.surroundings.line(node)
    try:
        return Password("managed", described(node), hash=Secret(hashes.checked(text)))
    except Wrong as wrong:
        raise Wrong(f"{described(node)}: {wrong.what}", wrong.cure) from None


def _initial(node: dict[str, Any], part: Part) -> Password:
    """The password that is set once. Its source may be gone after that, so its absence is no fault. Raises Wrong."""
    if "hash" in node:
        return Password("initial", _INLINE, hash=Secret(hashes.checked(node["hash"])))
    try:
        text = part.surroundings.line(node)
    except Absent:
        return Password("initial", described(node))
    if hashes.is_hash(text):
        try:
            return Password("initial", described(node), hash=Secret(hashes.checked(text)))
        except Wrong as wrong:
            raise Wrong(f"{described(node)}: {wrong.what}", wrong.cure) from None
    if len(text) > 512:
        raise Wrong(f"{described(node)} holds a password of more than 512 characters", "choose a shorter one")
    return Password("initial", described(node), plaintext=Secret(text))


def aliases(parts: Iterable[Part], declared: Container[str], desk: Desk) -> tuple[list[Alias], list[Claim]]:
    """Every alias that can be understood, and every address that aliases claim."""
    found: list[Alias] = []
    claims: list[Claim] = []
    for part in parts:
        for number, node in part.items("aliases"):
            if isinstance(node, dict) and not part.usable("aliases", number):
                node = part.sound(node, "aliases", number)
            if not _has_text(node, "address"):
                continue
            address = _claim(part, ("aliases", number, "address"), node["address"], "alias", claims, desk)
            targets = tuple(dict.fromkeys(_targets(part, number, node.get("to", ()), declared, desk)))
            if address is not None and targets:
                found.append(Alias(address, targets, part.origin("aliases", number)))
    return found, claims


def _targets(part: Part, number: int, node: Any, declared: Container[str], desk: Desk) -> Iterator[str]:
    lone = isinstance(node, str)
    for index, text in enumerate([node] if lone else node):
        try:
            yield addresses.target(text, declared)
        except Wrong as wrong:
            path = ("aliases", number, "to") if lone else ("aliases", number, "to", index)
            desk.refuse(part.origin(*path), wrong)
