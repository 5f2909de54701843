"""Two mistakes that have nothing to do with each other are both named: nobody corrects one to be told of the next."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from spec_tools import HASH, NOW

from mailprov.declaration import load
from mailprov.errors import SpecError

Document = dict[str, Any]

BASE: Final[Document] = {
    "mailprov": 1,
    "hosts": {
        "mail1": {"address": "192.0.2.10", "hostname": "mail1.example.com", "ssh": {"port": 22}},
        "mail2": {"address": "192.0.2.11", "hostname": "mail2.example.com"},
        "mail3": {"address": "192.0.2.12", "hostname": "mail3.example.com", "tls": {"self_signed": {}}},
    },
    "groups": {"east": {"hosts": ["mail2"]}, "west": {"hosts": ["mail3"]}},
    "domains": [
        {"name": "example.com", "hosts": ["mail1"]},
        {"name": "example.net", "hosts": ["mail2"]},
        {"name": "example.org", "hosts": ["mail3"]},
    ],
    "include": ["parts/*.yaml"],
    "users": [
        {"address": "alice@example.com", "aliases": ["postmaster@example.com"]},
        {"address": "bob@example.com", "password": {"hash": HASH}},
        {"address": "carol@example.net", "quota": "1GiB", "aliases": ["postmaster@example.net"]},
        {"address": "dave@example.org", "protocols": ["imap"], "aliases": ["postmaster@example.org"]},
        {"from_csv": "staff.csv"},
    ],
    "aliases": [
        {"address": "sales@example.com", "to": ["alice@example.com"]},
        {"address": "info@example.com", "to": ["bob@example.com"]},
    ],
    "tls": {"self_signed": {}},
    "services": {"imap": {"tls": 993}, "smtp": {"port": 25}},
    "firewall": {"manage": True, "allow": [{"port": 8080, "from": ["10.0.0.0/8"]}, {"port": 9090}]},
    "drift": {"ignore": [{"kind": "file", "name": "/etc/x"}]},
    "system_mail": {"to": "alice@example.com"},
}
PARTS: Final = {
    "parts/people.yaml": "users: [{address: erin@example.com}]\n",
    "staff.csv": "address\nfrank@example.com\n",
}


def at(document: Document, *path: str | int) -> Any:
    node: Any = document
    for step in path:
        node = node[step]
    return node


def put(value: object, *path: str | int) -> Callable[[Document, dict[str, str]], None]:
    """A mistake: this value there."""

    def made(document: Document, _: dict[str, str]) -> None:
        at(document, *path[:-1])[path[-1]] = value

    return made


def more(value: object, *path: str | int) -> Callable[[Document, dict[str, str]], None]:
    """A mistake: this value, too."""
    return lambda document, _: at(document, *path).append(value)


def file(text: str, name: str) -> Callable[[Document, dict[str, str]], None]:
    """A mistake: this text in a file beside it."""
    return lambda _, files: files.update({name: text})


Mistake = tuple[Callable[[Document, dict[str, str]], None], str]
MISTAKES: Final[dict[str, Mistake]] = {
    "unknown-key": (put(1, "servcies"), "`servcies` is not known here"),
    "unknown-host-key": (put(1, "hosts", "mail1", "adress"), "`adress` is not known here"),
    "unknown-user-key": (put(1, "users", 0, "qouta"), "`qouta` is not known here"),
    "host-address": (put("192.0.2.999", "hosts", "mail2", "address"), "192.0.2.999"),
    "hostname": (put("mail_3.example.com", "hosts", "mail3", "hostname"), "mail_3.example.com"),
    "ssh-port": (put(70000, "hosts", "mail1", "ssh", "port"), "70000"),
    "group": (put(["mail9"], "groups", "east", "hosts"), "mail9"),
    "group-parent": (put("north", "groups", "west", "parent"), "north"),
    "domain": (more({"name": "exam ple.com"}, "domains"), "exam ple.com"),
    "domain-host": (more({"name": "other.example", "hosts": ["mail8"]}, "domains"), "mail8"),
    "user-domain": (more({"address": "zoe@undeclared.example"}, "users"), "undeclared.example"),
    "user-twice": (more({"address": "bob@example.com"}, "users"), "bob@example.com"),
    "quota": (put("1 gigs", "users", 2, "quota"), "1 gigs"),
    "protocol": (put(["imaps"], "users", 3, "protocols"), "imaps"),
    "hash": (put({"hash": "{SHA512-CRYPT}x"}, "users", 1, "password"), "SHA512-CRYPT"),
    "alias-target": (put(["nobody@example.com"], "aliases", 0, "to"), "nobody@example.com"),
    "alias-circle": (put(["info@example.com"], "aliases", 1, "to"), "circle: info@example.com"),
    "alias-twice": (more({"address": "sales@example.com", "to": ["bob@example.com"]}, "aliases"), "sales@example.com"),
    "tls-half": (put({"certificate": {"file": "mail.pem"}}, "hosts", "mail3", "tls"), "`certificate` needs `key`"),
    "tls-both": (put({"self_signed": {}, "on_host": {"certificate": "/a", "key": "/b"}}, "tls"), "self_signed"),
    "ports": (put({"imap": {"tls": 993, "starttls": 993}}, "hosts", "mail2", "services"), "993"),
    "network": (put("10.0.0.1/8", "firewall", "allow", 0, "from", 0), "10.0.0.1/8"),
    "firewall-port": (put(0, "firewall", "allow", 1, "port"), "the number 0"),
    "include": (more("absent/*.yaml", "include"), "no file matches"),
    "drift": (put("fiel", "drift", "ignore", 0, "kind"), "fiel"),
    "system-mail": (put("who@example.com", "system_mail", "to"), "who@example.com"),
    "csv-absent": (more({"from_csv": "absent.csv"}, "users"), "absent.csv"),
    "csv-row": (file("address\nfrank@@example.com\n", "staff.csv"), "frank@@example.com"),
    "part-user": (file("users: [{address: er in@example.com}]\n", "parts/people.yaml"), "er in@example.com"),
    "part-key": (file("users: [{address: erin@example.com, qutoa: 1}]\n", "parts/people.yaml"), "`qutoa`"),
    "part-yaml": (file("users: [\n", "parts/people.yaml"), "parts/people.yaml:"),
    "part-host": (file("hosts: {}\n", "parts/people.yaml"), "`hosts` may stand in the main file only"),
    "version": (put(2, "mailprov"), "the number 2"),
}
SAME: Final = (("csv-row", "csv-row"), ("part-user", "part-key", "part-yaml", "part-host"), ("tls-half", "tls-both"))
"""those that are one place, of which one replaces the other"""
_WHO: Final = ("alias-target", "system-mail")
HIDDEN: Final = {
    "part-yaml": ("user-domain", *_WHO),  # the part that cannot be read may declare them
    "csv-absent": _WHO,  # so may the list
    "csv-row": _WHO,
    "tls-both": ("ports", "system-mail"),  # of a host whose certificate is not understood no more is looked at
}
"""what is told only when something else is corrected, by that"""
PAIRS: Final = [
    (one, other) for one, other in combinations(MISTAKES, 2) if not any(one in same and other in same for same in SAME)
]


def said(folder: Path, *names: str) -> list[str]:
    """All that is complained about where these mistakes were made."""
    document, files = copy.deepcopy(BASE), dict(PARTS)
    for name in names:
        MISTAKES[name][0](document, files)
    (folder / "parts").mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "mail.yaml").write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    try:
        load(folder / "mail.yaml", environ={}, now=NOW)
    except SpecError as error:
        return [str(each) for each in error.errors]
    return []


def test_without_a_mistake_it_loads(tmp_path: Path) -> None:
    assert said(tmp_path) == []


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_alone(name: str, tmp_path: Path) -> None:
    found = said(tmp_path, name)
    assert any(MISTAKES[name][1] in each for each in found), found


@pytest.mark.parametrize("first", MISTAKES)
def test_two_mistakes_are_both_named(first: str, tmp_path: Path) -> None:
    hidden = []
    for one, other in PAIRS:
        if first != one:
            continue
        found = said(tmp_path, one, other)
        for name, behind in ((one, other), (other, one)):
            told = any(MISTAKES[name][1] in each for each in found)
            if not told and name not in HIDDEN.get(behind, ()):
                hidden.append(f"{name} behind {behind}")
    assert hidden == []


def test_what_stays_hidden_is_known(tmp_path: Path) -> None:
    """Who mends one of these takes it out of the list."""
    for behind, names in HIDDEN.items():
        for name in names:
            found = said(tmp_path, name, behind)
            assert not any(MISTAKES[name][1] in each for each in found), (name, behind)


def test_a_host_behind_an_unreadable_file_of_the_operators_is_not_called_undeclared(tmp_path: Path) -> None:
    document = copy.deepcopy(BASE)
    document["include"] = [{"files": "parts/*.yaml", "trusted": True}]
    document["groups"]["east"]["hosts"] = ["mail9"]
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts/more.yaml").write_text("hosts: {\n")
    (tmp_path / "staff.csv").write_text(PARTS["staff.csv"])
    (tmp_path / "mail.yaml").write_text(yaml.safe_dump(document))
    with pytest.raises(SpecError) as raised:
        load(tmp_path / "mail.yaml", environ={}, now=NOW)
    assert "mail9" not in str(raised.value)
