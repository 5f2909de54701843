"""Users by the hundred thousand, and their passwords: made without `__init__`, which sets each field of a frozen
dataclass through `object.__setattr__` and so takes twice as long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

from mailprov.errors import Origin
from mailprov.model import Network, Password, Person, Protocol_, Secret, User

_Setter = Callable[[object, object], None]


def _setters(kind: type) -> dict[str, _Setter]:
    return {field.name: getattr(kind, field.name).__set__ for field in fields(kind)}


_USER, _PASSWORD = _setters(User), _setters(Password)
_new = object.__new__
_address, _password, _name = _USER["address"], _USER["password"], _USER["name"]
_quota, _protocols, _allow_from = _USER["quota"], _USER["protocols"], _USER["allow_from"]
_aliases, _origin, _person, _expire = _USER["aliases"], _USER["origin"], _USER["person"], _USER["expire"]
_was = _USER["was"]
_ownership, _source = _PASSWORD["ownership"], _PASSWORD["source"]
_hash, _plaintext, _lacking = _PASSWORD["hash"], _PASSWORD["plaintext"], _PASSWORD["lacking"]


def user(
    address: str,
    password: Password,
    name: str,
    quota: int | None,
    protocols: frozenset[Protocol_],
    allow_from: tuple[Network, ...],
    aliases: tuple[str, ...],
    origin: Origin,
    person: Person | None,
    expire: int | None,
    was: str,
) -> User:
    """A User with these fields."""
    made = _new(User)
    _address(made, address)
    _password(made, password)
    _name(made, name)
    _quota(made, quota)
    _protocols(made, protocols)
    _allow_from(made, allow_from)
    _aliases(made, aliases)
    _origin(made, origin)
    _person(made, person)
    _expire(made, expire)
    _was(made, was)
    return made


def managed(source: str, text: str) -> Password:
    """The managed Password with this hash."""
    made = _new(Password)
    _ownership(made, "managed")
    _source(made, source)
    _hash(made, Secret(text))
    _plaintext(made, None)
    _lacking(made, None)
    return made
