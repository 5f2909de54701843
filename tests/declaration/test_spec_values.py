"""Addresses, networks, sizes and hashes: their canonical forms, and what is refused."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from passlib.hash import sha256_crypt, sha512_crypt
from spec_tools import fuzz

from mailprov.declaration import addresses, hashes, values
from mailprov.declaration.addresses import covers
from mailprov.declaration.diagnostics import InvalidValue

DANGEROUS = re.compile(r"[\s:\0%$\"'\\{}#|;`()<>,!*?&\[\]]|^[-@]")
"""what could mean something to a passwd-file, a Postfix map, nftables or a shell"""

TRICKY = st.text(
    st.one_of(
        st.sampled_from("a1.-_@+:%${}\"'\\#|;`(/\n\r\0 \t\u202e\u200f\ufeff。．ａИкK\u017f\u0130ß"),
        st.characters(),
    ),
    max_size=30,
)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com.", "example.com"),
        ("例子.公司", "xn--fsqu00a.xn--55qx5d"),
        ("例子。公司", "xn--fsqu00a.xn--55qx5d"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("a-1.b--c.example", "a-1.b--c.example"),
    ],
)
def test_domains(text: str, canonical: str) -> None:
    assert addresses.domain(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "a", "a..b", "-a.example", "a-.example", "a_b.example", "a b.example", "a.example..", ".a.example"),
        *("192.0.2.1", "a.1", "раypal.example", "xn--a.example", "xn--", "a" * 64 + ".example", "a." * 127 + "example"),
        *("a\n.example", "a.example\n", "a\0.example", "*.example", "{{7}}.example", "[192.0.2.1]", "a/b.example"),
    ],
)
def test_domains_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        addresses.domain(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("Alice@Example.COM", "alice@example.com"),
        ("a@例子.公司", "a@xn--fsqu00a.xn--55qx5d"),
        ("_x.y-z_@example.com", "_x.y-z_@example.com"),
        ("a" * 64 + "@example.com", "a" * 64 + "@example.com"),
    ],
)
def test_mailboxes(text: str, canonical: str) -> None:
    assert addresses.mailbox(text) == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "a", "a@", "@example.com", "a@b@example.com", "a+b@example.com", ".a@example.com", "a.@example.com"),
        *(
            "a..b@example.com",
            "-a@example.com",
            "a-@example.com",
            "a b@example.com",
            '"a"@example.com',
            "a:b@example.com",
        ),
        *("a\n@example.com", "ä@example.com", "ａ@example.com", "\u212a@example.com", "a" * 65 + "@example.com"),
        *(
            "a%u@example.com",
            "$a@example.com",
            "a|b@example.com",
            "a@localhost",
            "a@[192.0.2.1]",
            "a" * 64 + "@" + "b." * 100 + "c",
        ),
    ],
)
def test_mailboxes_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        addresses.mailbox(text)


def test_targets() -> None:
    declared = {"example.com"}
    assert addresses.target("Alice+Spam@Example.com", declared) == "alice+spam@example.com"
    assert addresses.target("Alice+Spam@Example.org", declared) == "Alice+Spam@example.org"
    assert addresses.without_extension("alice+spam@example.com") == "alice@example.com"
    for text in (
        "a+b|c@example.com",
        "a+@b",
        "|x@example.org",
        "/dev/null@example.org",
        "a,b@example.org",
        ".a@example.org",
    ):
        with pytest.raises(InvalidValue):
            addresses.target(text, declared)


@fuzz(1000)
@given(text=st.one_of(TRICKY, TRICKY.map(lambda text: f"{text}@example.com"), TRICKY.map(lambda text: f"a@{text}.com")))
@pytest.mark.parametrize(
    "reader",
    [
        addresses.domain,
        addresses.hostname,
        addresses.mailbox,
        lambda text: addresses.target(text, {"example.com"}),
        addresses.key,
        addresses.login,
        values.host_path,
    ],
)
def test_what_passes_is_harmless_and_stays_as_it_is(reader: Callable[[str], str], text: str) -> None:
    try:
        found = reader(text)
    except InvalidValue as wrong:
        assert wrong.what
        return
    assert found.isascii()
    assert not DANGEROUS.search(found)
    assert reader(found) == found


@given(text=TRICKY)
@pytest.mark.parametrize("reader", [addresses.endpoint, addresses.jump])
def test_endpoints_are_harmless(reader: Callable[[str], str], text: str) -> None:
    try:
        found = reader(text)
    except InvalidValue:
        return
    assert re.fullmatch(r"[A-Za-z0-9._@:%\[\]-]+", found)
    assert not found.startswith("-")
    assert reader(found) == found


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:DB8::0001", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("mail1", "mail1"),
        ("local", "local"),
        ("My_Alias", "My_Alias"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_endpoints(text: str, canonical: str) -> None:
    assert addresses.endpoint(text) == canonical


@pytest.mark.parametrize("text", ["", "-x", "a b", "a:b", "fe80::1%", "fe80::1%a b", "[a]", "a/b", "a\n", "user@host"])
def test_endpoints_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        addresses.endpoint(text)


def test_jump_hosts() -> None:
    assert addresses.jump("bastion.example.com") == "bastion.example.com"
    assert addresses.jump("admin@[2001:db8::1]:2222") == "admin@[2001:db8::1]:2222"
    for text in ("", "@a", "a:", "a:0", "a:65536", "a:x", "a,b", "-a", "x@-a", "2001:db8::1"):
        with pytest.raises(InvalidValue):
            addresses.jump(text)


def test_networks() -> None:
    assert str(addresses.network("10.0.0.0/8")) == "10.0.0.0/8"
    assert str(addresses.network("10.0.0.1")) == "10.0.0.1/32"
    with pytest.raises(InvalidValue) as caught:
        addresses.network("10.1.2.3/8")
    assert caught.value.fix == "did you mean 10.0.0.0/8?"
    merged = addresses.merged(map(addresses.network, ("2001:db8::/32", "10.1.0.0/16", "10.0.0.0/8", "192.0.2.1")))
    assert list(map(str, merged)) == ["10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1KiB", 1024),
        ("2GiB", 2 << 30),
        ("2gib", 2 << 30),
        ("500MB", 500_000_000),
        ("1.5 GiB", 3 << 29),
        ("1TB", 10**12),
        ("2KB", 2000),
        ("unlimited", None),
        ("Unlimited", None),
    ],
)
def test_quotas(text: str, size: int | None) -> None:
    assert values.quota(text) == size


@pytest.mark.parametrize(
    "text", ["", "5", "0GiB", "1KB", "-1GiB", "1e3MB", "2 G", "2G", "GiB", "1,5GiB", "٢GiB", "9" * 15 + "TiB"]
)
def test_quotas_refused(text: str) -> None:
    with pytest.raises(InvalidValue):
        values.quota(text)


@given(text=TRICKY)
def test_names_hold_nothing_that_cannot_be_seen(text: str) -> None:
    try:
        found = values.display_name(text)
    except InvalidValue:
        return
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]", found)
    assert values.display_name(found) == found


def b64(length: int) -> str:
    return base64.b64encode(bytes(length)).decode()


ARGON = "$argon2id$v=19$m=65536,t=3,p=1$c2FsdHNhbHRzYWx0c2FsdA$YYGIm8QFNuks32p7L7tyJNXv5fF7ND9nvmoUDSfoW84"
GOOD = {
    "{SHA512-CRYPT}" + sha512_crypt.using(salt="saltsalt", rounds=5000).hash("x"),
    "{SHA512-CRYPT}" + sha512_crypt.using(salt="saltsalt", rounds=100000).hash("x"),
    "{SHA256-CRYPT}" + sha256_crypt.using(salt="saltsalt", rounds=1000).hash("x"),
    "{BLF-CRYPT}$2y$05$" + "a" * 53,
    "{BLF-CRYPT}$2b$12$" + "./" * 26 + "Z",
    "{ARGON2ID}" + ARGON,
    "{ARGON2I}" + ARGON.replace("argon2id", "argon2i"),
    "{PBKDF2}$1$saltsaltsaltsalt$5000$" + "0123456789" * 4,
    "{SSHA512}" + b64(72),
    "{SSHA256}SoR/78T5q0UPFng8UCXWQxOUKhzrJZlwfNtllAupAeUT+kQv",
    f"{{SCRAM-SHA-1}}4096,{b64(16)},{b64(20)},{b64(20)}",
    f"{{SCRAM-SHA-256}}4096,{b64(16)},{b64(32)},{b64(32)}",
}


@pytest.mark.parametrize("text", sorted(GOOD))
def test_hashes(text: str) -> None:
    assert hashes.checked(text) == text
    scheme, brace, rest = text.partition("}")
    assert hashes.checked(scheme.lower() + brace + rest) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hunter2", "no {SCHEME}"),
        ("$6$salt$hash", "did you mean {SHA512-CRYPT}$6$…?"),
        ("$2y$10$abc", "did you mean {BLF-CRYPT}$2y$…?"),
        (ARGON, "did you mean {ARGON2ID}$argon2id$…?"),
        ("{PLAIN}hunter2", "{PLAIN} is no hash at all"),
        ("{CRYPT}$6$x", "{CRYPT} leaves the method open"),
        ("{md5-crypt}$1$x", "{MD5-CRYPT} is broken"),
        ("{SSHA512.HEX}00", "{SSHA512.HEX} names an encoding"),
        ("{SHA512CRYPT}x", "did you mean {SHA512-CRYPT}?"),
        ("{XYZZY}x", "known schemes: SHA512-CRYPT"),
        ("{SHA512-CRYPT}$6$salt$short", "not a complete {SHA512-CRYPT} hash"),
        ("{SHA512-CRYPT}$5$salt$" + "a" * 43, "not a complete"),
        ("{SHA512-CRYPT}$6$rounds=999$salt$" + "a" * 86, "rounds=999 is out of range"),
        ("{SHA512-CRYPT}$6$rounds=99999999$salt$" + "a" * 86, "out of range"),
        ("{SHA512-CRYPT}$6$salt$" + "a" * 86 + ":0:0::/:/bin/sh", "characters that no hash has"),
        ("{SHA512-CRYPT}$6$salt$" + "a" * 86 + "\n", "no {SCHEME}"),
        ("{SHA512-CRYPT}$6$salt$" + "a" * 600, "more than 512 characters"),
        ("{BLF-CRYPT}$2y$31$" + "a" * 53, "the cost 31 is out of range"),
        ("{BLF-CRYPT}$2x$05$" + "a" * 53, "not a complete"),
        ("{ARGON2ID}" + ARGON.replace("65536", "1048576"), "asks for 1024 MiB at every login"),
        ("{ARGON2ID}" + ARGON.replace("65536", "4"), "out of range"),
        ("{ARGON2ID}" + ARGON.replace("argon2id", "argon2i"), "not a complete"),
        ("{PBKDF2}$1$salt$9$" + "0" * 40, "9 rounds are out of range"),
        ("{SSHA512}" + b64(64), "not a complete"),
        ("{SSHA256}====", "not a complete"),
        (f"{{SCRAM-SHA-256}}10,{b64(16)},{b64(32)},{b64(32)}", "10 iterations are out of range"),
        (f"{{SCRAM-SHA-256}}4096,{b64(16)},{b64(20)},{b64(20)}", "not a complete"),
        ("{SCRAM-SHA-1}4096,,,", "not a complete"),
        ("{}x", "no {SCHEME}"),
    ],
)
def test_hashes_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        hashes.checked(text)
    said = f"{caught.value.what} {caught.value.fix}"
    assert words in said
    assert "hunter2" not in said
    assert "a" * 43 not in said


@fuzz(2000)
@given(data=st.data())
def test_what_passes_as_a_hash_cannot_leave_its_field(data: Any) -> None:
    base = data.draw(st.sampled_from(sorted(GOOD)))
    at = data.draw(st.integers(0, len(base)))
    text = base[:at] + data.draw(TRICKY) + base[at + data.draw(st.integers(0, 3)) :]
    try:
        found = hashes.checked(text)
    except InvalidValue:
        return
    assert re.fullmatch(r"\{[A-Z0-9-]+\}[A-Za-z0-9./$,=+-]+", found)
    assert len(found) <= 512


def test_certificate_names() -> None:
    assert covers(("mail.example.com",), "mail.example.com")
    assert covers(("*.example.com",), "mail.example.com")
    assert not covers(("*.example.com",), "a.mail.example.com")
    assert not covers(("*.example.com",), "example.com")
    assert not covers(("*.com",), "example.com")
    assert not covers(("m*.example.com",), "mail.example.com")
    assert not covers((), "mail.example.com")
