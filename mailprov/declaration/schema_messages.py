"""Departures from the schema in words: what is wrong, and what would be right."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

from mailprov.declaration import values
from mailprov.declaration.diagnostics import brief

Path = tuple[str | int, ...]
Words = tuple[str, str]
"""what is wrong, and what would be right ("" where the schema's own example says it)"""

_SECRET: Final = frozenset({"password", "become_password", "key", "hash", "initial", "env", "age", "sops"})
_KINDS: Final = {
    "object": "a mapping",
    "array": "a list",
    "string": "text",
    "boolean": "true or false",
    "null": "nothing",
    "integer": "a whole number",
    "number": "a number",
}
_MAIN_ONLY: Final = frozenset(
    {
        *("groups", "tls", "services", "firewall", "system_mail", "outgoing", "sieve", "drift", "handout", "include"),
        *("incoming", "resolver"),
    }
)
_OPERATORS: Final = frozenset(
    {
        "hosts",
        "env",
        "file",
        "age",
        "sops",
        "from_csv",
        "ssh",
        "become",
        "become_password",
        "identity_file",
        "known_hosts",
    }
)
"""keys that reach a machine, a file or a secret: those who may write a part of the declaration may not say these"""
_OF_PEOPLE: Final = frozenset(
    {"included file", "user of an included file", "password of an included file", "first password"}
)
_MOVE: Final = "move it there"
_TRUST: Final = "move it there, or mark this file there as your own: include: [{files: …, trusted: true}]"
_CURES: Final = {
    ("protocols", "minItems"): "leave the key out to allow all of them, or delete the user",
    ("allow_from", "minItems"): "leave the key out to allow every network",
    ("from", "minItems"): "name one; a rule of the firewall without this key lets everyone in",
    ("hosts", "minItems"): "leave the key out to serve the domain on every host",
    ("mailprov", "const"): "write `mailprov: 1`",
    ("certificate", "type"): "write {file: certs/mail.pem}",
    ("key", "type"): "write {file: certs/mail.key}",
    ("rotate", "pattern"): "for example 180d; every 30 days at most",
    ("before", "type"): "write {file: scripts/junk.sieve}, or false for none",
    ("password", "type"): "write {initial: {env: NAME}} or {hash: …}; passwords do not stand in this file",
}
_TEXTS: Final = frozenset(
    {"name", "user", "organization", "company", "helpdesk", "file", "identity_file", "known_hosts"}
)
"""keys whose values may be a number in quotes"""
_UNKNOWN: Final = {
    ("listener", "plain"): "mail is never served without TLS; give `starttls` or `tls` a port",
    ("listener", "cleartext"): "mail is never served without TLS; give `starttls` or `tls` a port",
    ("listener", "port"): "say which kind it is: `starttls` or `tls`",
    ("host", "group"): "the group names its hosts: groups: {NAME: {hosts: […]}}",
    ("host", "groups"): "the group names its hosts: groups: {NAME: {hosts: […]}}",
    ("group", "groups"): "a group names the one that it belongs to: `parent`",
    ("group", "address"): "this is a host's own; write it there",
    ("group", "hostname"): "this is a host's own; write it there",
    ("user", "csv"): "a staff list is an item of its own: - from_csv: staff.csv",
    ("user", "from-csv"): "a staff list is an item of its own: - from_csv: staff.csv",
    ("user", "fromcsv"): "a staff list is an item of its own: - from_csv: staff.csv",
    ("staff list", "quota"): "write it in `defaults`: {from_csv: {file: …, defaults: {quota: …}}}",
    ("staff list", "expire"): "write it in `defaults`: {from_csv: {file: …, defaults: {expire: …}}}",
    ("staff list", "protocols"): "write it in `defaults`: {from_csv: {file: …, defaults: {protocols: […]}}}",
    ("staff list", "password"): "write it in `defaults`: {from_csv: {file: …, defaults: {password: {…}}}}",
    ("staff list", "allow_from"): "write it in `defaults`: {from_csv: {file: …, defaults: {allow_from: […]}}}",
    ("password", "plain"): "passwords do not stand in this file: {initial: {env: NAME}} or {initial: {file: path}}",
    ("password", "plaintext"): "passwords do not stand in this file: {initial: {env: NAME}} or {initial: {file: path}}",
    ("password", "env"): "say who owns the password: {initial: {env: NAME}} or {hash: {env: NAME}}",
    ("password", "file"): "say who owns the password: {initial: {file: path}} or {hash: {file: path}}",
    ("password", "age"): "say who owns the password: {initial: {age: …}} or {hash: {age: …}}",
    ("password", "sops"): "say who owns the password: {initial: {sops: …}} or {hash: {sops: …}}",
}
_PORTS: Final = 65536
_SAFE_PROBLEMS: Final = frozenset({"pattern", "maxLength"})


@dataclass(frozen=True, slots=True)
class Departure:
    """The value `found` at `path` breaks the `keyword` (which wants `wanted`) of a `schema`, which may refer to these
    `definitions`."""

    path: Path
    keyword: str
    wanted: Any
    found: Any
    schema: dict[str, Any]
    definitions: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """Where a document departs from the schema.

    `path` leads to the value (or to its key, `of_key`). A `grave` problem leaves the value unusable;
    any other is a matter of format, about which the reader of the value may know more.
    """

    path: tuple[str | int, ...]
    what: str
    fix: str = ""
    of_key: bool = False
    grave: bool = True


def problems_of(departure: Departure) -> Iterator[Problem]:
    """The departure in words: usually one problem; unknown and missing keys are one each."""
    keyword, path = departure.keyword, departure.path
    if keyword == "additionalProperties":
        yield from _unknown(departure)
    elif keyword == "required":
        yield from _missing(departure)
    elif keyword == "oneOf":
        if isinstance(departure.found, dict):  # what is no mapping breaks `type`, too, which says it better
            yield _tls_sources(departure)
    elif sources := _sources(departure):
        yield from (_main_only((*path, key)) for key in sources)
    else:
        subject = next((step for step in reversed(path) if isinstance(step, str)), "")
        words = _WORDS[keyword](departure) if keyword in _WORDS else (f"`{subject}` is not valid here", "")
        fix = _CURES.get((subject, keyword)) or words[1] or _example(departure.schema)
        yield Problem(path, words[0], fix, grave=keyword not in _SAFE_PROBLEMS)


def _sources(departure: Departure) -> list[str]:
    """The keys of a source of a secret, where a part of people's wants a hash."""
    if departure.schema.get("title") != "managed password" or departure.wanted != "string":
        return []
    return [
        key for key in ("env", "file", "age", "sops") if isinstance(departure.found, dict) and key in departure.found
    ]


def _main_only(path: Path) -> Problem:
    fix = _TRUST if path[-1] in _OPERATORS else _MOVE
    return Problem(path, f"`{path[-1]}` may stand in the main file only", fix, of_key=True)


def _unknown(departure: Departure) -> Iterator[Problem]:
    path = departure.path
    known = list(departure.schema.get("properties", {}))
    kind = str(departure.schema.get("title", ""))
    for key in departure.found:
        if key in known:
            continue
        if (not path and key in _MAIN_ONLY and kind.endswith("included file")) or (
            key in _OPERATORS and (kind in _OF_PEOPLE)
        ):
            yield _main_only((*path, key))
            continue
        close = get_close_matches(key[:100], known, 1, 0.6) or get_close_matches(key[:100].lower(), known, 1, 0.6)
        if close:
            fix = f"did you mean `{close[0]}`?"
        elif not known:
            fix = "leave it empty: {}"
        else:
            fix = f"known here: {', '.join(known)}"
        if kind == "SMTP" and key in ("starttls", "tls"):
            fix = "port 25 offers STARTTLS by itself; a port for TLS from the first byte belongs to `submission`"
        yield Problem((*path, key), f"`{brief(key)}` is not known here", _UNKNOWN.get((kind, key), fix), of_key=True)


def _missing(departure: Departure) -> Iterator[Problem]:
    path = departure.path
    for key in departure.schema["required"]:
        if key in departure.found:
            continue
        if key == "address" and "from_csv" in departure.found:
            continue  # a staff list, which is told as such
        if key == "mailprov":
            yield Problem(path, "`mailprov: 1` is missing", "write it in the first line")
            continue
        strangers = [name[:100] for name in departure.found if name not in departure.schema.get("properties", {})]
        if get_close_matches(key, strangers, 1, 0.6):
            continue  # misspelt rather than missing, and told as such
        wanted = departure.schema.get("properties", {}).get(key, {})
        yield Problem(
            path, f"`{key}` is missing", _example({**_resolved(wanted, departure.definitions), **wanted}, key)
        )


def _tls_sources(departure: Departure) -> Problem:
    path = departure.path
    given = [key for key in ("certificate", "key", "self_signed", "on_host") if key in departure.found]
    if given in (["certificate"], ["key"]):
        other = "key" if given == ["certificate"] else "certificate"
        return Problem((*path, given[0]), f"`{given[0]}` needs `{other}`", f"add `{other}`", of_key=True)
    apart = [key for key in given if key != "key" or "certificate" not in given]  # these two are one source
    sources = " and ".join(f"`{key}`" for key in apart)
    return Problem(
        path,
        f"{sources} exclude each other",
        "keep exactly one source: certificate with key, self_signed, or on_host",
        of_key=True,
    )


def _type(departure: Departure) -> Words:
    wanted = [departure.wanted] if isinstance(departure.wanted, str) else list(departure.wanted)
    expected = " or ".join(_KINDS[name] for name in wanted if name != "null")
    what = f"expected {expected}, found {shown(departure.found, secret=_is_secret(departure.path))}"
    if departure.found is None:
        return what, "give it a value, or leave the key out"
    return what, _type_fix(departure, wanted)


def _type_fix(departure: Departure, wanted: Sequence[str]) -> str:
    """What would be right in place of a value of the wrong kind; "" where the schema's own example says it."""
    found, subject = departure.found, next((step for step in reversed(departure.path) if isinstance(step, str)), "")
    if subject in ("quota", "expire"):
        return _unit_fix(subject, found)
    if "integer" in wanted and isinstance(found, str):
        if found.isascii() and found.isdecimal() and found == str(port := int(found[:6])) and 0 < port < _PORTS:
            return f"write it without quotes: {found}"
        return "" if "boolean" not in wanted else f"write the number of a port, {_example(departure.schema)}; or false"
    if "boolean" in wanted and isinstance(found, str):
        return "write true or false"
    if "string" in wanted and isinstance(found, int | float):
        return "put it in quotes if it is meant as text" if subject in _TEXTS else ""
    return ""


def _unit_fix(subject: str, found: Any) -> str:
    """What would be right where somebody wrote `found` for a text with a unit."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return "give the number its unit: 90d" if subject == "expire" else "give the number a unit: 2GiB, 500MB"
    if subject == "expire":
        usual = "give the number its unit: 90d" if found % 1 else f"give the number its unit: {found}d"
        return usual if 1 <= found <= values.MOST_DAYS else values.days_fix(str(found))
    unusual = found <= 0 or found >= values.BYTES
    return (unusual and values.quota_fix(str(found))) or "give the number a unit: 2GiB, 500MB"


def _enum(departure: Departure) -> Words:
    choices = [str(choice) for choice in departure.wanted]
    found = str(departure.found)[:100]
    close = get_close_matches(found, choices, 1, 0.6) or get_close_matches(found.lower(), choices, 1, 0.6)
    fix = f"did you mean `{close[0]}`?" if close else f"choose from {', '.join(choices)}"
    return f"{shown(departure.found)} is not one of {', '.join(choices)}", fix


def _count(departure: Departure) -> Words:
    known = list(departure.schema["properties"])
    many = "exactly one of" if "maxProperties" in departure.schema else "at least one of"
    return f"{many} {', '.join(f'`{key}`' for key in known)} is wanted here", ""


def _range(departure: Departure) -> Words:
    least, most = departure.schema.get("minimum"), departure.schema.get("maximum")
    return f"{shown(departure.found)} is out of range", f"choose from {least} to {most}"


def _unique(departure: Departure) -> Words:
    seen: list[Any] = []
    for item in departure.found:
        if item in seen:
            return f"{shown(item)} stands twice in this list", "keep one of them"
        seen.append(item)
    return "something stands twice in this list", "keep one of them"


def _pattern(departure: Departure) -> Words:
    found = shown(departure.found, secret=_is_secret(departure.path))
    return f"{found} is not valid as {departure.schema.get('title', 'text')}", ""


_WORDS: Final[dict[str, Callable[[Departure], Words]]] = {
    "type": _type,
    "enum": _enum,
    "minProperties": _count,
    "maxProperties": _count,
    "minimum": _range,
    "maximum": _range,
    "uniqueItems": _unique,
    "const": lambda departure: (f"{shown(departure.found)} is not a format that this mailprov knows", ""),
    "not": lambda departure: (f"{shown(departure.found)} is not a port", ""),
    "minItems": lambda _: ("this list is empty", "give it an item, or leave the key out"),
    "minLength": lambda _: ("this text is empty", ""),
    "maxLength": lambda departure: (f"this text is longer than {departure.wanted} characters", "shorten it"),
    "pattern": _pattern,
}


def _resolved(wanted: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """The definition that `wanted` refers to, if it does."""
    name = str(wanted.get("$ref", "")).rpartition("/")[2]
    found: dict[str, Any] = definitions.get(name, {})
    return found


def _example(wanted: Any, key: str = "") -> str:
    """ "for example …", from the schema's own examples; "" where it has none."""
    examples = wanted.get("examples", []) if isinstance(wanted, dict) else []
    if not examples:
        return ""
    return f"for example {f'{key}: ' if key else ''}{_flow(examples[0])}"


def _flow(value: Any) -> str:
    """`value` as YAML would have it on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and value.startswith(("{", "*")):
        return f'"{value}"'
    return str(value)


def _is_secret(path: Sequence[str | int]) -> bool:
    return any(step in _SECRET for step in path)


def shown(value: Any, *, secret: bool = False) -> str:
    """`value` as a message may show it: its kind, and its text if that is no secret."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if secret:
        return "a text" if isinstance(value, str) else "a number"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return f"the number {value}"
    return f'the text "{brief(value)}"'
