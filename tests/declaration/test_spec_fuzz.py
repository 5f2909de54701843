"""Any text in any place of a declaration gives a harmless Spec or complaints, and nothing else.

MAILPROV_FUZZ=50 multiplies the examples by 50.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_tools import ENVIRON, HASH, SMALL, Load, fuzz

from mailprov.errors import SpecError
from mailprov.model import Spec

TEXTS = st.text(
    st.one_of(st.sampled_from(": \n\r\0%$\"'\\{}#|;`(/@-.\t\u202e\u200f\ufeff&*!?[],~<>"), st.characters()), max_size=20
)
SPOTS = [
    "mail.example.com",
    "192.0.2.10",
    "example.com, catch_all",
    "catch_all: alice@example.com",
    "address: alice@example.com",
    "PW",
    "{initial: {env: PW}}",
    "{self_signed: {}}",
    "{imap: true}",
    "true",
    "1",
]


def quoted(text: str) -> str:
    """`text` as a double-quoted YAML scalar."""
    return '"' + "".join(char if char.isalnum() and char.isascii() else escaped(ord(char)) for char in text) + '"'


def escaped(code: int) -> str:
    return f"\\U{code:08x}"


@fuzz(1000)
@given(text=TEXTS, spot=st.sampled_from(SPOTS), in_quotes=st.booleans(), whole=st.booleans())
def test_any_text_anywhere_gives_a_spec_or_complaints(
    text: str, spot: str, in_quotes: bool, whole: bool, load_text: Load
) -> None:
    new = quoted(text) if in_quotes else text
    key, _, _ = spot.rpartition(": ")
    judge(load_text, SMALL.replace(spot, new if whole or not key else f"{key}: {new}", 1))


USER = "{address: bob@example.com, password: {initial: {env: PW}}, %s}"
FIELDS: dict[str, tuple[str, str]] = {
    "name": ("users:\n", f"users:\n  - {USER % 'name: TEXT'}\n"),
    "quota": ("users:\n", f"users:\n  - {USER % 'quota: TEXT'}\n"),
    "user's alias": ("users:\n", f"users:\n  - {USER % 'aliases: [TEXT]'}\n"),
    "allow_from": ("users:\n", f"users:\n  - {USER % 'allow_from: [TEXT]'}\n"),
    "unknown key": ("users:\n", f"users:\n  - {USER % 'TEXT: TEXT'}\n"),
    "user": ("alice@example.com, password", "TEXT, password"),
    "hash": ("{initial: {env: PW}}", "{hash: TEXT}"),
    "initial hash": ("{initial: {env: PW}}", "{initial: {hash: TEXT}}"),
    "env": ("PW", "TEXT"),
    "file": ("{env: PW}", "{file: TEXT}"),
    "domain": ("domains: [", "domains: [TEXT, "),
    "catch-all": ("catch_all: alice@example.com", "catch_all: TEXT"),
    "domain's host": ("catch_all: alice@example.com", "hosts: [TEXT]"),
    "alias": ("services:", "aliases: [{address: TEXT, to: x@example.org}]\nservices:"),
    "alias's target": ("services:", "aliases: [{address: a@example.com, to: [TEXT, TEXT]}]\nservices:"),
    "host's name": ("mail.example.com", "TEXT"),
    "address": ("192.0.2.10", "TEXT"),
    "hostname": ("address: 192.0.2.10", "hostname: TEXT"),
    "ssh user": ("address: 192.0.2.10", "ssh: {user: TEXT}"),
    "ssh jump": ("address: 192.0.2.10", "ssh: {jump: TEXT}"),
    "ssh files": ("address: 192.0.2.10", "ssh: {identity_file: TEXT, known_hosts: TEXT}"),
    "sudo's env": ("address: 192.0.2.10", "become: true, become_password: {env: TEXT}"),
    "sudo's file": ("address: 192.0.2.10", "become: true, become_password: {file: TEXT}"),
    "certificate files": ("self_signed: {}", "certificate: {file: TEXT}, key: {file: TEXT}"),
    "certificate on the host": ("self_signed: {}", "on_host: {certificate: TEXT, key: TEXT}"),
    "min_version": ("self_signed: {}", "self_signed: {}, min_version: TEXT"),
    "allow": ("services:", "firewall: {manage: true, allow: [{port: 9100, from: [TEXT]}]}\nservices:"),
    "include": ("services:", "include: [TEXT]\nservices:"),
    "group": ("services:", "groups: {TEXT: {hosts: [mail.example.com]}}\nservices:"),
    "group's host": ("services:", "groups: {edge: {hosts: [TEXT]}}\nservices:"),
    "group's parent": ("services:", "groups: {edge: {parent: TEXT}}\nservices:"),
}


@fuzz(200)
@given(
    text=st.one_of(
        TEXTS,
        TEXTS.map(lambda text: text + "@example.com"),
        TEXTS.map(lambda text: "a@" + text),
        TEXTS.map(lambda text: HASH + text),
        TEXTS.map(lambda text: "/etc/" + text),
        st.text("*?[]/.!-ab", max_size=12),
    )
)
@pytest.mark.parametrize("field", FIELDS)
def test_every_field(field: str, text: str, load_text: Load) -> None:
    old, new = FIELDS[field]
    judge(load_text, SMALL.replace(old, new.replace("TEXT", quoted(text)), 1))


@fuzz(200)
@given(text=TEXTS)
def test_every_secret(text: str, load_text: Load) -> None:
    for each in (text, HASH + text, "{" + text):
        judge(load_text, SMALL, {"PW": each})
        judge(load_text, SMALL.replace("initial", "hash"), {"PW": each})


SCALARS = st.sampled_from(
    [
        *(None, True, False, 1, 25, 993, 0.5, "", "a", "alice@example.com", "b@example.com", "example.com", "PW", HASH),
        *("pop3", "2GiB", "TLSv1.3", "/etc/a.pem", "10.0.0.0/8", "mail.example.com", "mail.yaml"),
    ]
)
KEYS = st.sampled_from(
    [
        *("address", "name", "hostname", "ssh", "become", "become_password", "tls", "services", "firewall", "hosts"),
        *(
            "catch_all",
            "password",
            "hash",
            "initial",
            "env",
            "file",
            "quota",
            "protocols",
            "allow_from",
            "aliases",
            "to",
        ),
        *("certificate", "key", "self_signed", "on_host", "min_version", "pop3", "smtp", "starttls", "port", "allow"),
        *("from", "manage", "user", "jump", "parent", "mail.example.com", "m2"),
    ]
)
STRUCTURES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=15,
)
TOP = ("hosts", "groups", "domains", "users", "aliases", "tls", "services", "firewall", "include")


@fuzz(150)
@given(parts=st.dictionaries(st.sampled_from(TOP), STRUCTURES, max_size=6))
def test_any_structure(parts: dict[str, Any], load_text: Load) -> None:
    judge(load_text, json.dumps({"mailprov": 1, **parts}))
    for key, value in parts.items():
        judge(load_text, SMALL.replace(f"{key}:", f"{key}2:", 1) + f"{key}: {json.dumps(value)}\n")


def judge(load_text: Load, text: str, environ: Mapping[str, str] = ENVIRON) -> None:
    """`text` gives a harmless Spec or complaints: nothing else."""
    try:
        spec = load_text(text, environ)
    except SpecError as error:
        assert error.errors
        assert str(error).isprintable() or all(char.isprintable() or char == "\n" for char in str(error))
    else:
        check_harmless(spec)


def check_harmless(spec: Spec) -> None:
    """Nothing in `spec` that goes into a file on a host can mean anything there but itself."""
    plain = set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    for user in spec.users:
        assert set(user.address.replace("@", "", 1)) <= plain
        assert all(set(alias.replace("@", "", 1)) <= plain for alias in user.aliases)
        assert all(char.isprintable() or char == "\u3000" or char.isspace() for char in user.name) or user.name
        assert not set(user.name) & set("\n\r\0\u202e\u200f\ufeff")
        for secret in (user.password.hash, user.password.plaintext):
            assert secret is None or not set(secret.reveal()) & set("\n\r\0")
    for domain in spec.domains.values():
        assert set(domain.name) <= plain
    for host in spec.hosts.values():
        assert set(host.hostname) <= plain
        assert not host.address.startswith("-")
